"""Runs SIPp processes, the cast of a scenario, and tells what went wrong.

    with Cast() as cast:
        cast.enter(Role("bob", Path("callee.xml"), "127.0.0.3", 5070), folder)
        cast.enter(Role("alice", Path("caller.xml"), "127.0.0.2", 5071, calls_at="127.0.0.1:5060"), folder)
        cast.finish()

Each must see what its XML file says and end with exit code 0.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from . import wire
from .ports import free_port, is_listening

TIMEOUT_S = 30  # SIPp's own
_START_S = 10.0
_ENCORE_S = 3.0  # what the others get to finish once one has failed
_TAIL = 4000  # characters


class CastError(AssertionError):
    """A member of the cast did not see what its scenario wants."""


@dataclass(slots=True)
class Role:
    """What one SIPp process is to do."""

    name: str
    plays: Path
    host: str
    port: int
    transport: str = "udp"
    calls_at: str | None = None  # the proxy, for a member that calls; one that answers has none
    dials: str = "service"
    calls: int = 1
    keys: Mapping[str, str] = field(default_factory=dict)
    args: tuple[str, ...] = ()


class Actor:
    """One running SIPp."""

    def __init__(self, role: Role, folder: Path) -> None:
        self.role = role
        self._folder = folder
        folder.mkdir(parents=True)
        self._screen: IO[bytes] = (folder / "screen.log").open("wb")
        self._process = subprocess.Popen(
            self.command(),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=self._screen,
            stderr=subprocess.STDOUT,
        )
        self._ended = os.pidfd_open(self._process.pid)

    def command(self) -> list[str]:
        """SIPp's command line."""
        role = self.role
        program = shutil.which("sipp")
        if program is None:
            raise CastError("no sipp on this machine (Debian: apt-get install sip-tester)")
        command = [program, *([role.calls_at] if role.calls_at else []), "-sf", str(role.plays.resolve())]
        command += ["-i", role.host, "-p", str(role.port), "-bind_local", "-t", f"{role.transport[0]}1"]
        command += ["-ci", "127.0.0.1", "-cp", str(free_port("127.0.0.1"))]
        command += ["-m", str(role.calls), "-s", role.dials, "-nostdin", "-deadcall_wait", "0"]
        command += ["-timeout", str(TIMEOUT_S), "-timeout_error"]
        for log in ("err", "msg", "logs"):
            command.append(f"-trace_{log}")
        command += ["-error_file", "errors.log", "-message_file", "messages.log", "-log_file", "logs.log"]
        for key, value in role.keys.items():
            command += ["-key", key, value]
        return [*command, *role.args]

    @property
    def messages(self) -> list[wire.Message]:
        """All that it sent and received, in order."""
        return wire.read_log(self._folder / "messages.log")

    def wait_until_listening(self) -> None:
        """Return once it can be called."""
        deadline = time.monotonic() + _START_S
        while not is_listening(self.role.host, self.role.port, self.role.transport):
            if self.wait(0.01) is not None or time.monotonic() > deadline:
                raise CastError(f"{self.role.name} does not listen\n{self.report()}")

    def wait(self, timeout_s: float) -> int | None:
        """The exit code, or None when it is still at it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout_s)
        return None

    def stop(self) -> None:
        """End it if it has not ended by itself."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._ended)
        self._screen.close()

    def fileno(self) -> int:
        """Readable once the process has ended."""
        return self._ended

    def report(self) -> str:
        """The tails of what it wrote."""
        parts = [f"{self.role.name} played {self.role.plays} and ended with {self._process.poll()}"]
        for name in ("errors.log", "messages.log", "screen.log"):
            path = self._folder / name
            text = path.read_text("utf-8", "replace").strip() if path.exists() else ""
            if text and (name != "screen.log" or len(parts) == 1):
                parts.append(f"--- {self.role.name}: {name}\n{text[-_TAIL:]}")
        return "\n".join(parts)


class Cast:
    """The SIPp processes of one scenario."""

    def __init__(self) -> None:
        self.actors: list[Actor] = []

    def enter(self, role: Role, folder: Path) -> Actor:
        """Start a member; one that answers is listening when this returns."""
        actor = Actor(role, folder / role.name)
        self.actors.append(actor)
        if role.calls_at is None:
            actor.wait_until_listening()
        return actor

    def finish(self) -> None:
        """Wait for all; CastError with their logs when one failed."""
        waiting = list(self.actors)
        deadline = time.monotonic() + TIMEOUT_S + _ENCORE_S
        failed: list[Actor] = []
        while waiting and (left := deadline - time.monotonic()) > 0:
            ended, _, _ = select.select(waiting, [], [], left)
            for actor in ended:
                waiting.remove(actor)
                if actor.wait(0) != 0:
                    failed.append(actor)
                    deadline = min(deadline, time.monotonic() + _ENCORE_S)
        if failed or waiting:
            raise CastError("\n\n".join(actor.report() for actor in [*failed, *waiting]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for actor in self.actors:
            actor.stop()
