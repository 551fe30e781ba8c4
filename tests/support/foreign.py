"""A foreign program as a process: what it writes can be waited for, and it is ended by its pid.

    class Phone(ForeignProcess): ...           # says which command it is, and how it is told what to do

    with Phone("alice", command, folder) as alice:
        alice.wait_until(lambda: "ready" in alice.lines, "readiness")

An exit while it should still be running fails what waits for it, with all that it wrote. It has a group of
its own: where a main process does not end, its children do not stay behind.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from .ports import is_listening

PATIENCE_S = 10.0
_STOP_S = 10.0
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")

Socket = tuple[str, int, str]  # host, port, udp or tcp


class ForeignProcess:
    """One process."""

    def __init__(
        self,
        who: str,
        command: Sequence[str],
        folder: Path,
        *,
        sockets: Sequence[Socket] = (),
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.who = who
        self.folder = folder
        self.lines: list[str] = []
        self._sockets = sockets
        self._written = threading.Condition()
        self._ended = False
        self._killed = False
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "HOME": str(folder), **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            pass_fds=pass_fds,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def wait_until(self, condition: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
        """Return once it holds; asked again whenever there is news of this process."""
        with self._written:
            self._written.wait_for(lambda: condition() or self._ended, timeout_s)
            if not condition():
                gone = f", it ended with {self._process.poll()}" if self._ended else ""
                raise AssertionError(f"{self.who}: no {what} within {timeout_s} s{gone}\n{self.report()}")

    def wait_for_line(self, text: str, count: int = 1, timeout_s: float = PATIENCE_S) -> None:
        """Return once it wrote so many lines with that text."""
        self.wait_until(lambda: sum(text in line for line in self.lines) >= count, repr(text), timeout_s)

    def write(self, line: str) -> None:
        """Type a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def report(self) -> str:
        """What it wrote."""
        return "\n".join(f"{self.who}| {line}" for line in self.lines)

    def wait_until_ready(self) -> None:
        """Return once its `sockets` are bound."""
        if not listens(self._process, self._sockets):
            self._stop()
            raise AssertionError(f"{self.who} does not listen:\n{self.report()}")

    def quit(self) -> None:
        """Ask it to end; what is left after a while is killed."""
        self._process.terminate()

    def _notice(self, change: Callable[[], None]) -> None:
        with self._written:
            change()
            self._written.notify_all()

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                clean = _COLOUR.sub("", line).rstrip("\r\n")
                self._notice(partial(self.lines.append, clean))
        with self._written:
            self._ended = True
            self._written.notify_all()

    def _stop(self) -> None:
        if self._process.poll() is None:
            self.quit()
        self._killed = killed(self._process) or self._killed
        self._reader.join()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def __enter__(self) -> Self:
        try:
            self.wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        if kind is None:
            assert not self._killed, f"{self.who} would not end\n{self.report()}"


def listens(process: subprocess.Popen[str], sockets: Sequence[Socket]) -> bool:
    """Whether somebody has bound them all, before patience or the process is at its end."""
    deadline = time.monotonic() + PATIENCE_S
    while not all(is_listening(*each) for each in sockets):
        try:
            process.wait(0.01)
        except subprocess.TimeoutExpired:
            if time.monotonic() < deadline:
                continue
        return False
    return True


def killed(process: subprocess.Popen[str]) -> bool:
    """Wait for the end of a process that has been asked to; whether it, and its group, had to be killed."""
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False
