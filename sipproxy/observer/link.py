"""The observer's end of the way from the signalling process: frames become what the observer acts on."""

from __future__ import annotations

import asyncio
import json
import marshal
import socket
from collections import deque
from typing import Any, Protocol

from ..net.channel import Channel
from ..net.frames import (
    ACK,
    COMMAND,
    END,
    HELLO,
    PAGE,
    PARCEL,
    SETTLED,
    STATE,
    Frame,
    FrameError,
    frame,
)
from ..telemetry.logs import Log


class Listener(Protocol):
    """Takes what the signalling process tells, in its order."""

    def greeted(self) -> None:
        """What is open will be told again."""

    def settled(self) -> None:
        """All that is open was told, and all that had waited."""

    def parcel(self, number: int, packed: bytes) -> None:
        """A parcel, as it came: unpacked it takes ten times the room."""


class Link:
    """`gone` is set when nothing more will come; `state` is the worker's last, `heard_at` when that was."""

    def __init__(self, connected: socket.socket, boot: str, listener: Listener, log: Log) -> None:
        self.gone = asyncio.Event()
        self.state: dict[str, Any] | None = None
        self.heard_at = 0.0
        self._boot = boot
        self._listener = listener
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._acked = self._told_acked = 0
        self._told: deque[bytes] = deque()  # and not sent yet
        self._channel = Channel(connected, more=self._more, received=self._received, lost=self._lost)

    # To the worker

    def acknowledge(self, number: int) -> None:
        """All parcels up to this one are stored."""
        self._acked = max(self._acked, number)
        self._channel.send()

    def tell_page(self, address: str) -> None:
        """Where the page is."""
        self._tell(frame(PAGE, 0, address.encode()))

    def command(self, asked: dict[str, object]) -> bool:
        """Pass on what somebody asked for; False: there is nobody to do it."""
        if not self._channel.is_open:
            return False
        self._tell(frame(COMMAND, 0, json.dumps(asked).encode()))
        return True

    def close(self) -> None:
        """Let go."""
        self._channel.close()

    def _tell(self, data: bytes) -> None:
        self._told.append(data)
        self._channel.send()

    def _more(self) -> bytes:
        if self._acked > self._told_acked:
            self._told_acked = self._acked
            return frame(ACK, self._acked)
        return self._told.popleft() if self._told else b""

    # From the worker

    def _received(self, received: Frame) -> None:
        kind, number, payload = received
        if kind == PARCEL:
            self._listener.parcel(number, payload)
        elif kind == STATE:
            self.state = _values(payload)
            self.heard_at = self._loop.time()
        elif kind == HELLO:
            boot = _values(payload).get("boot")
            if boot != self._boot:
                raise FrameError(f"hello of {boot!r}, which did not start us")
            self._listener.greeted()
        elif kind == SETTLED:
            self._listener.settled()
        elif kind == END:
            self.gone.set()
        else:
            raise FrameError(f"not from a worker: kind {kind!r}")

    def _lost(self, reason: str) -> None:
        if reason:
            self._log.error("worker is not understood", reason=reason)
        self.gone.set()


def _values(payload: bytes) -> dict[str, Any]:
    try:
        values = marshal.loads(payload)
    except (ValueError, TypeError, EOFError):
        values = None
    if not isinstance(values, dict):
        raise FrameError("not the values of a worker")
    return values
