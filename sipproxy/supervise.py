"""Starts the observer, and starts it again whenever it has ended: after 0.2 s, then at growing intervals.

                 spawned            ended                      due
    WAITING ───────────────► UP ───────────────► WAITING ───────────────► UP ...
                             │ the connection is lost, and it does not end: killed

A thread per observer spawns it and waits for its end: so neither costs the calls' loop a millisecond. What
ends a whole process group, Ctrl-C say, does not reach it: it ends when it has stored what we told it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import site
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from .net.handover import Handover
from .observer.orders import Orders
from .telemetry.logs import Log

FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 10.0
STEADY_S = 10.0  # whoever lived that long does not suffer for those before
LAST_S = 8.0  # for its last spans to reach a collector
GIVE_UP_S = 10.0  # then one that has closed the connection, and does not end, is killed
_DEAF_TO = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_HERE = str(Path(__file__).resolve().parent.parent)
COMMAND = (sys.executable, "-P", "-m", "sipproxy.observer")


class Supervisor:
    """Of one observer at a time. Lives in the loop that has the calls."""

    def __init__(
        self,
        handover: Handover,
        orders: Callable[[], Orders],
        log: Log,
        *,
        command: Sequence[str] = COMMAND,
        first_wait_s: float = FIRST_WAIT_S,
        last_s: float = LAST_S,
    ) -> None:
        self.pid: int | None = None  # while there is one
        self._handover = handover
        self._orders = orders
        self._log = log
        self._command = command
        self._first_wait_s = self._wait_s = first_wait_s
        self._last_s = last_s
        self._loop = asyncio.get_running_loop()
        self._running: _Run | None = None
        self._began_at = 0.0
        self._timer: asyncio.TimerHandle | None = None  # until the next one begins, or this one is killed
        self._finishing = self._closed = False
        self._gone = asyncio.Event()
        self._gone.set()

    def start(self) -> None:
        """Spawn it, without waiting for it."""
        self._timer = None
        self._gone.clear()
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:  # no descriptor is left, for a while
            self._began_at = self._loop.time()
            self._ended(f"cannot be started: {error.strerror}")
            return
        self._began_at = self._loop.time()
        self._running = _Run(self._command, theirs, self._orders(), self._loop, self._spawned, self._ended)
        self._handover.attach(ours, self._lost)
        self._running.start()

    @property
    def restarts(self) -> int:
        """How many of them have ended that should not have."""
        return self._handover.restarts

    def _spawned(self, pid: int) -> None:
        self.pid = pid

    def _lost(self) -> None:
        """It has closed the connection; mostly by ending, which is told at once."""
        if self._running is not None and not self._finishing:
            self._cancel()
            self._timer = self._loop.call_later(GIVE_UP_S, self._kill)

    def _kill(self) -> None:
        self._timer = None
        if self._running is not None:
            self._running.kill()

    def _ended(self, how: str) -> None:
        self.pid = self._running = None
        self._handover.detach()
        self._cancel()
        self._gone.set()
        if self._closed or (self._finishing and not self._handover.owes):
            return
        self._handover.restarts += 1
        lived_s = self._loop.time() - self._began_at
        if lived_s >= STEADY_S:
            self._wait_s = self._first_wait_s
        wait_s, self._wait_s = self._wait_s, min(2 * self._wait_s, LONGEST_WAIT_S)
        self._log.warning(
            "observer ended",
            how=how,
            lived_s=round(lived_s, 1),
            restarts=self._handover.restarts,
            next_in_s=wait_s,
        )
        self._gone.clear()
        self._timer = self._loop.call_later(wait_s, self.start)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def finish(self, timeout_s: float, hurry: asyncio.Event | None = None) -> None:
        """Hand over what is left, and let it end: it has `last_s` to bring its last spans to a collector, or
        until `hurry` is set. What is stored by then leaves after the next start.
        """
        self._finishing = True
        if self._running is None:  # it was to begin later: one more try, for those that wait
            self._cancel()
            self._handover.flush()
            if self._handover.owes:
                self.start()
            else:
                self._gone.set()
        await self._handover.finish(timeout_s)
        self._closed = True
        if self._running is None:
            self._cancel()
            self._gone.set()
        if not self._handover.owes:
            await either(self._gone, hurry or asyncio.Event(), self._last_s)
        self._handover.close()
        if self._running is not None:
            if hurry is None or not hurry.is_set():
                self._log.warning("observer does not end", killed=True)
            self._running.kill()
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._gone.wait()


async def either(one: asyncio.Event, other: asyncio.Event, most_s: float) -> None:
    """Wait for one of the two, but not longer."""
    waits = [asyncio.ensure_future(event.wait()) for event in (one, other)]
    await asyncio.wait(waits, timeout=most_s, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


class _Run:
    """One observer, from its spawning to its end."""

    def __init__(
        self,
        command: Sequence[str],
        theirs: socket.socket,
        orders: Orders,
        loop: asyncio.AbstractEventLoop,
        spawned: Callable[[int], None],
        ended: Callable[[str], None],
    ) -> None:
        self._command = [*command, str(theirs.fileno())]
        self._theirs = theirs
        self._orders = orders
        self._loop = loop
        self._spawned = spawned
        self._ended = ended
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """From now on, `ended` is told once."""
        threading.Thread(target=self._run, name="observer", daemon=True).start()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()

    def _run(self) -> None:
        try:
            self._process = self._spawn()
        except OSError as error:
            self._tell(self._ended, f"cannot be started: {error.strerror}")
            return
        finally:
            self._theirs.close()
        self._tell(self._spawned, self._process.pid)
        code = self._process.wait()
        self._tell(self._ended, f"exit code {code}" if code >= 0 else f"signal {-code}")

    def _spawn(self) -> subprocess.Popen[bytes]:
        # What this thread does not hear its child will not hear either, not even before it can ignore it.
        signal.pthread_sigmask(signal.SIG_BLOCK, _DEAF_TO)
        sheet = self._orders.sheet()
        try:
            return subprocess.Popen(
                self._command,
                stdin=sheet,
                stdout=subprocess.DEVNULL,
                pass_fds=(self._theirs.fileno(),),
                process_group=0,
                env=_environment(),
            )
        finally:
            os.close(sheet)

    def _tell(self, whom: Callable[..., None], what: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is there any more
            self._loop.call_soon_threadsafe(whom, what)


def _environment() -> dict[str, str]:
    """Ours; where we are not installed, the way to us, so that both are of one make."""
    environment = dict(os.environ)
    if _HERE not in site.getsitepackages():
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (_HERE, environment.get("PYTHONPATH"))))
    return environment
