"""Calls made by SIPp: a callee, and callers against it, through the system under test or directly.

SIPp's own response times tick at 4 ms (CLOCK_MONOTONIC_COARSE), so latencies come from the microsecond
stamps of its short message trace, at both ends: what a call spends inside the system is the caller's time
from INVITE to 180 less the callee's.
"""

import csv
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .process import SIPP_CORE, Pinned

HERE = Path(__file__).parent
HOST = "127.0.0.1"
GRACE_S = 2.0  # for the calls that are under way when the last one has been placed
MOST_CALLS_AT_ONCE = 15_000
LONGEST_RUN_S = 180
EXITS_AFTER_CALLS = (
    0,
    1,
    -signal.SIGKILL,
)  # all well, some failed, we ended it; others are SIPp's own troubles


@dataclass(slots=True)
class Ports:
    """Who listens where on 127.0.0.1. Without a system in between, `system` is the callee's port."""

    system: int
    caller: int
    callee: int


@dataclass(slots=True)
class Outcome:
    """What became of one run of calls."""

    calls: int
    asked_rate: float
    good: int = 0
    rate: float = 0.0
    resent: int = 0  # by SIPp or by the system, seen at either end
    stray: int = 0  # messages for no call, or for one that is over
    busy: float = 0.0  # share of its core that the system took while calls were being placed
    inside_us: list[float] = field(default_factory=list)
    datagrams_in: float = 0.0  # per call, into the system
    datagrams_out: float = 0.0
    broken: str | None = None  # SIPp itself gave up, and what it said

    @property
    def clean(self) -> bool:
        return self.fault is None

    @property
    def usable(self) -> bool:
        """Whether so few calls went wrong that a cost per call still means something."""
        return self.good >= 0.99 * self.calls and self.resent <= 0.01 * self.calls

    @property
    def fault(self) -> str | None:
        """Say why these calls do not count as carried."""
        if self.broken:
            return f"sipp gave up: {self.broken}"
        if self.good < self.calls:
            return f"{self.calls - self.good} of {self.calls} calls failed at {self.asked_rate:.0f}/s"
        if self.resent or self.stray:
            return f"{self.resent} retransmissions, {self.stray} stray messages at {self.asked_rate:.0f}/s"
        if self.rate < 0.95 * self.asked_rate:
            return f"only {self.rate:.0f} calls/s came through at {self.asked_rate:.0f}/s"
        return None


class Side:
    """One SIPp process and the files it leaves."""

    def __init__(
        self, scenario: str, port: int, ports: Ports, folder: Path, *options: str, timed: bool = False
    ) -> None:
        self._folder = folder
        self._stats = folder / f"{scenario}.stat.csv"
        self._short = folder / f"{scenario}.short"
        command = [
            "sipp",
            f"{HOST}:{ports.system}",
            "-sf",
            str(HERE / f"{scenario}.xml"),
            "-i",
            HOST,
            "-p",
            str(port),
        ]
        command += ["-nostdin", "-timer_resol", "1", "-buff_size", "4000000", "-timeout", str(LONGEST_RUN_S)]
        command += ["-trace_stat", "-stf", str(self._stats), "-fd", "1", "-trace_counts"]
        if timed:
            command += ["-trace_shortmsg", "-shortmessage_file", str(self._short)]
        self.process = Pinned(
            [*command, *options], core=SIPP_CORE, log=folder / f"{scenario}.log", cwd=folder
        )
        self._counts = folder / f"{scenario}_{self.process.pid}_counts.csv"

    def stat(self, name: str) -> float:
        return float(_last_row(self._stats).get(name) or 0)

    def counts(self) -> dict[str, int]:
        """Return how often each step of the scenario was taken, and repeated, so far."""
        row = _last_row(self._counts)
        return {name: int(value) for name, value in row.items() if name[:1].isdigit() and value}

    def resent(self) -> int:
        return sum(count for name, count in self.counts().items() if name.endswith("_Retrans"))

    def last_words(self) -> str:
        said = self.process.log.read_text(errors="replace").strip().splitlines()
        return said[-1][-200:] if said else "(said nothing)"

    def stray(self) -> int:
        return int(self.stat("OutOfCallMsgs(C)") + self.stat("DeadCallMsgs(C)"))

    def sent_and_received(self) -> tuple[list[tuple[str, str, float]], int, int]:
        """Return the INVITEs and 180s with call and time in s; and how many messages went out and came in."""
        moments, sent, received = [], 0, 0
        for line in self._short.read_text().splitlines():
            _, _, at, direction, call, _, first = line.split("\t")
            sent += direction == "S"
            received += direction == "R"
            if first.startswith(("INVITE ", "SIP/2.0 180 ")):
                moments.append((call, first[:11], float(at)))
        return moments, sent, received

    def finish(self) -> None:
        """Let a callee that has no more calls write its files and go; it has nothing else to do."""
        if not self.process.ended():
            self.process.send(signal.SIGUSR1)
            if self.process.wait(0.5) is None:
                self.process.kill()


def callee(ports: Ports, folder: Path, *, timed: bool = False) -> Side:
    return Side("uas", ports.callee, ports, folder, timed=timed)


def caller(ports: Ports, folder: Path, calls: int, rate: float, *options: str, timed: bool = False) -> Side:
    load = ["-m", str(calls), "-r", str(round(rate)), "-l", str(MOST_CALLS_AT_ONCE)]
    return Side("uac", ports.caller, ports, folder, *load, *options, timed=timed)


def run_calls(
    ports: Ports,
    folder: Path,
    seconds: float,
    rate: float,
    cpu_s: Callable[[], float],
    *,
    timed: bool = False,
) -> Outcome:
    """Place calls for so long at one rate; `cpu_s` is the clock of the system under test."""
    outcome = Outcome(calls=max(1, round(seconds * rate)), asked_rate=rate)
    answering = callee(ports, folder, timed=timed)
    try:
        wait_for(answering, ports.callee)
        before_s = cpu_s()
        calling = caller(ports, folder, outcome.calls, rate, timed=timed)
        try:
            calling.process.wait(seconds)
            outcome.busy = (cpu_s() - before_s) / seconds
            calling.process.wait(GRACE_S)
        finally:
            if not calling.process.ended():
                calling.process.kill()
    finally:
        answering.finish()
    if calling.process.wait(0) not in EXITS_AFTER_CALLS:
        outcome.broken = calling.last_words()
    outcome.good = int(calling.stat("SuccessfulCall(C)"))
    outcome.rate = calling.stat("CallRate(C)")
    outcome.resent = calling.resent() + answering.resent()
    outcome.stray = calling.stray() + answering.stray()
    if timed and outcome.usable:
        _read_times(outcome, calling, answering)
    return outcome


def _read_times(outcome: Outcome, calling: Side, answering: Side) -> None:
    """Pair the legs by order, as Call-IDs may differ: the n-th INVITE sent is the n-th received."""
    ours, sent, received = calling.sent_and_received()
    theirs, answers, requests = answering.sent_and_received()
    outcome.datagrams_in = (sent + answers) / outcome.calls
    outcome.datagrams_out = (received + requests) / outcome.calls
    whole, thinking = _invite_to_180_s(ours), _invite_to_180_s(theirs)
    if len(whole) == len(thinking):
        outcome.inside_us = [(a - b) * 1e6 for a, b in zip(whole, thinking, strict=True) if a and b]


def _invite_to_180_s(moments: list[tuple[str, str, float]]) -> list[float | None]:
    """Return the time between a call's INVITE and its 180, if that came, in the order of the INVITEs."""
    started: dict[str, float] = {}
    took: dict[str, float] = {}
    for call, what, at in moments:
        if what.startswith("INVITE"):
            started.setdefault(call, at)
        else:
            took.setdefault(call, at - started[call])
    return [took.get(call) for call in started]


def _last_row(path: Path) -> dict[str, str]:
    """Return the newest complete row of a SIPp table, empty when there is none yet."""
    if not path.exists():
        return {}
    text = path.read_text()
    lines = text[: text.rfind("\n") + 1].splitlines()
    if len(lines) < 2:
        return {}
    names, values = csv.reader([lines[0], lines[-1]], delimiter=";")
    return dict(zip(names, values, strict=False))


def wait_for(side: Side, port: int) -> None:
    """Wait until SIPp has bound its port."""
    for _ in range(100):
        if side.process.wait(0.02) is not None:
            raise OSError(f"sipp ended at once: {side.last_words()}")
        if f":{port:04X} " in Path("/proc/net/udp").read_text():
            return
    raise OSError("sipp did not start listening within 2 s")
