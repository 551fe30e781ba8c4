"""Processes pinned to one core: start them, read what their whole tree costs, end them by their pids."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

CORES = sorted(os.sched_getaffinity(0))
SIPP_CORE, SYSTEM_CORE = CORES[0], CORES[-1]
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Pinned:
    """A process, and all that it forks, on one core. Its output goes to a file."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        core: int,
        log: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self, timeout_s: float) -> int | None:
        """Return the exit code, or None when the process is still there at the deadline."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End the tree: politely, then (a second SIGTERM cuts a drain short) less so."""
        family = self.tree()
        for patience_s in (1.0, 2.0):
            if not self.ended():
                self.send(signal.SIGTERM)
            if self.wait(patience_s) is not None:
                break
        else:
            self.kill()
        for pid in set(family) & set(_parents()) - {os.getpid()}:
            os.kill(pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def tree(self) -> list[int]:
        """Return the pids of the process and its descendants."""
        if self.ended():
            return []
        parents = _parents()
        found = [self.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def running(self, program: str) -> list[int]:
        """Return the pids of the tree in whose command line that word stands."""
        return [pid for pid in self.tree() if program in _command(pid)]


def cpu_s(pids: Iterable[int]) -> float:
    """Return user plus system time of processes so far, to the ns (/proc/PID/stat ticks at 10 ms)."""
    return sum(map(_cpu_s, pids))


def memory_bytes(pids: Iterable[int]) -> int:
    """Return the proportional set size of processes: pages that they share count once."""
    return sum(map(_pss_bytes, pids))


def pin(pid: int, core: int) -> None:
    """Move a process, all its threads, to one core."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), {core})


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        port: int = udp.getsockname()[1]
        return port


def _stat(pid: int) -> list[str]:
    """Return /proc/PID/stat from the state on; the command before it may hold blanks and brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def _parents() -> dict[int, int]:
    """Return each living process and its parent."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                state, parent = _stat(int(entry))[:2]
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
            if state != "Z":
                parents[int(entry)] = int(parent)
    return parents


def _cpu_s(pid: int) -> float:
    process_clock = (~pid << 3) | 2  # what clock_getcpuclockid(3) returns
    buried_children = sum(int(ticks) for ticks in _stat(pid)[13:15]) / TICKS_PER_S
    return time.clock_gettime(process_clock) + buried_children


def _pss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
