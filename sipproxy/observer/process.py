"""The observer as a process: its orders, its log, its loop."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
from collections.abc import Sequence

from ..errors import LocalProtocolError
from ..telemetry.logs import LineWriter, open_log
from ..telemetry.masking import Masker
from .observing import Observer
from .orders import Orders

GOOD, FAILED, WRONG = 0, 1, 2


def run(arguments: Sequence[str]) -> int:
    """Serve one worker until it ends; the exit code is the result."""
    try:
        orders = Orders.read(sys.stdin.buffer)
        _forget_input()
        (descriptor,) = map(int, arguments)
        connected = socket.socket(fileno=descriptor)
    except (LocalProtocolError, ValueError, OSError) as error:
        print(f"sipproxy.observer: {error}", file=sys.stderr)
        return WRONG
    masker = Masker(orders.privacy)
    lines = LineWriter()
    log = open_log(masker.mask_text, orders.log_level, mask_id=masker.mask_id, writer=lines)
    # What the modules made lives as long as the process.
    gc.collect()
    gc.freeze()

    async def observe() -> None:
        await Observer(orders, connected, log).run()

    try:
        asyncio.run(observe())
    except Exception as error:
        log.error("internal error", error=repr(error), where="observer")
        return FAILED
    finally:
        lines.close(1.0)
    return GOOD


def _forget_input() -> None:
    """What was read holds secrets, and could be read again for as long as it is open."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
