"""sngrep as an operator has it: in a terminal (tmux), listening for HEP packets, steered by keys.

with Sngrep() as sngrep:
    ... packets to sngrep.address ...
    sngrep.until("COMPLETED", times=2)
    sngrep.press("Down", "x")
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import time
from types import TracebackType
from typing import Self

from tests.support.ports import free_port
from tests.support.programs import require

_DEADLINE_S = 10.0
_SIZE = ["-x", "160", "-y", "50"]


class Sngrep:
    """One sngrep in a tmux of its own; without a capture device, so it sees nothing but what it is sent."""

    def __init__(self) -> None:
        self._tmux, program = require("tmux", "tmux"), require("sngrep", "sngrep")
        self._folder = tempfile.TemporaryDirectory(prefix="sngrep-")  # a socket's path has to be short
        self.address = f"127.0.0.1:{free_port('127.0.0.1')}"
        _, columns, _, rows = _SIZE  # it chooses its columns once, and tmux may give them a moment later
        command = f"stty cols {columns} rows {rows}; exec {program} -F -L udp:{self.address}"
        self._call("-f", "/dev/null", "new-session", "-d", "-s", "sngrep", *_SIZE, command)

    def press(self, *keys: str) -> None:
        """Keys, by tmux's names."""
        self._call("send-keys", "-t", "sngrep", *keys)

    @property
    def screen(self) -> str:
        """What is on it."""
        return self._call("capture-pane", "-p", "-t", "sngrep")

    def until(self, text: str, *, times: int = 1) -> str:
        """The screen, once it shows that so often; asking tmux again is all the waiting there is."""
        deadline = time.monotonic() + _DEADLINE_S
        while (screen := self.screen).count(text) < times:
            assert time.monotonic() < deadline, f"sngrep shows no {text!r}:\n{screen}"
        return screen

    def _call(self, *arguments: str) -> str:
        done = subprocess.run(
            [self._tmux, "-u", "-S", f"{self._folder.name}/socket", *arguments],
            env={**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"tmux {arguments}: {done.stderr}"
        return done.stdout

    def __enter__(self) -> Self:
        self.until(f"[L:{self.address.rpartition(':')[2]}]")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Without its terminal it would go on, as busy as can be; without it tmux has nothing left to do.
        pid = int(self._call("display-message", "-p", "-t", "sngrep", "#{pane_pid}"))
        ended = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        select.select([ended], [], [], _DEADLINE_S)
        os.close(ended)
        self._folder.cleanup()
