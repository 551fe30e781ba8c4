"""What is measured, one function per figure. All of it is bounded in calls and in time."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TypeAlias

from . import otlp, sipp
from .sipp import Outcome
from .systems import Running

Start: TypeAlias = Callable[[], AbstractContextManager[Running]]

BASE_RATE = 100.0  # calls/s that every system carries
FAST_RATE = 1000.0  # and one for those whose cost at the lower rate lets hope for it
WARM_UP_S = 1.0
SETTLE_S = 1.5  # after the calls: timers of answered transactions, the last batch of spans
SATURATED = 0.85  # of a core; a system that fails below it was not the limit
SPARE_RUNS = 1
CONFIRM_AT = (1.0, 0.95, 0.9, 0.8)
HOPELESS = 1.3  # cores
GAP = 0.04  # between the highest rate that passed and the lowest that failed


@dataclass(slots=True)
class Plan:
    """How much to do."""

    cpu_runs: int
    cpu_run_s: float
    steps: int
    step_s: float
    confirm_s: float
    search_s: float  # no new step after that
    held_calls: int
    transfers: bool
    forget_s: float = 36.0  # RFC 3261's transaction timers end after 32 s


FULL = Plan(
    cpu_runs=3,
    cpu_run_s=4.0,
    steps=9,
    step_s=3.0,
    confirm_s=8.0,
    search_s=80.0,
    held_calls=5000,  # so that what a process has once, buffers say, is not taken for a call's
    transfers=True,
)
QUICK = Plan(
    cpu_runs=1,
    cpu_run_s=2.0,
    steps=4,
    step_s=2.0,
    confirm_s=0.0,
    search_s=15.0,
    held_calls=0,
    transfers=False,
)


@dataclass(slots=True)
class Figures:
    """What one system achieved; None: not measured, or it failed (`faults` says how)."""

    calls_per_s: float | None = None
    at_least: bool = False  # the search ended before the system did
    cpu_us: dict[float, float] = field(default_factory=dict)  # per call, by calls/s
    observer_us: dict[float, float] = field(default_factory=dict)  # of the process beside, by calls/s
    observer_bytes: float | None = None  # in all, with the held calls
    cpu_at_top_us: float | None = None  # per call, at calls_per_s
    inside_us: list[float] = field(default_factory=list)
    datagrams: tuple[float, float] | None = None
    spans_per_call: float | None = None
    held_bytes: float | None = None
    fresh_bytes: float | None = None
    transfer_us: dict[str, float] = field(default_factory=dict)  # per call, by kind (transfers.py)
    transfer_datagrams: dict[str, tuple[float, float]] = field(default_factory=dict)  # in and out, per call
    transfer_spans: dict[str, float] = field(default_factory=dict)  # that arrived, per call
    pending_bytes: float | None = None  # that PENDING transfers hold (pending.py)
    pending_stall_s: float | None = None
    pending_together_s: float | None = None  # the same when all had begun at one moment
    faults: list[str] = field(default_factory=list)

    def latency_us(self, share: float) -> float | None:
        if not self.inside_us:
            return None
        ordered = sorted(self.inside_us)
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


class Bench:
    """Hands every run a folder of its own."""

    def __init__(self, folder: Path, receiver_port: int) -> None:
        self._folder = folder
        self._numbers = count(1)
        self.receiver_port = receiver_port

    def folder(self) -> Path:
        folder = self._folder / f"{next(self._numbers)}"
        folder.mkdir(parents=True)
        return folder

    def calls(self, running: Running, seconds: float, rate: float, *, timed: bool = False) -> Outcome:
        return sipp.run_calls(running.ports, self.folder(), seconds, rate, running.cpu_s, timed=timed)

    def warm_up(self, running: Running) -> None:
        self.calls(running, WARM_UP_S, BASE_RATE)


def cost_and_latency(
    bench: Bench, running: Running, plan: Plan, figures: Figures, *, fast: bool = True
) -> None:
    """Take CPU per call at fixed rates (median of the runs), time inside at the lower one, spans per call."""
    bench.warm_up(running)
    _pause(SETTLE_S)
    spans_before, calls = otlp.spans_so_far(bench.receiver_port), 0
    for rate in (BASE_RATE, FAST_RATE) if fast else (BASE_RATE,):
        if rate == FAST_RATE and rate * figures.cpu_us.get(BASE_RATE, math.inf) > HOPELESS * 1e6:
            break
        costs: list[float] = []
        beside: list[float] = []
        for _ in range(plan.cpu_runs + SPARE_RUNS):
            before_s, observer_before_s = running.cpu_s(), running.observer_cpu_s()
            outcome = bench.calls(running, plan.cpu_run_s, rate, timed=rate == BASE_RATE)
            if outcome.fault:
                figures.faults.append(outcome.fault)
            if not outcome.usable:
                _pause(SETTLE_S)
                continue
            _pause(SETTLE_S)
            costs.append((running.cpu_s() - before_s) / outcome.calls * 1e6)
            beside.append((running.observer_cpu_s() - observer_before_s) / outcome.calls * 1e6)
            calls += outcome.calls
            if rate == BASE_RATE:
                figures.inside_us += outcome.inside_us
                figures.datagrams = (outcome.datagrams_in, outcome.datagrams_out)
            if len(costs) == plan.cpu_runs:
                figures.cpu_us[rate] = statistics.median(costs)
                if running.observers():
                    figures.observer_us[rate] = statistics.median(beside)
                break
    spans = otlp.spans_so_far(bench.receiver_port) - spans_before
    figures.spans_per_call = spans / calls if calls else None


def highest_rate(bench: Bench, start: Start, plan: Plan, figures: Figures) -> None:
    """Search the highest rate without a failed call or a retransmission, then hold it for longer.

    Up by what the system's idle time promises until a step fails, then halve the gap.
    """
    search = _Search(bench, start)
    deadline = time.monotonic() + plan.search_s
    good = bad = 0.0
    rate = 0.7e6 / min(figures.cpu_us.values()) if figures.cpu_us else BASE_RATE / 2
    figures.at_least = True
    try:
        for _ in range(plan.steps):
            if search.carries(rate, plan.step_s):
                good, figures.cpu_at_top_us = rate, search.cost_us
            else:
                bad = rate
                figures.at_least = search.busy < SATURATED
            if not bad:
                rate = good * min(1.6, max(1.1, 0.95 / max(search.busy, 0.01)))
            elif not good:
                rate = bad * 0.7
            elif bad - good <= GAP * bad:
                break
            else:
                rate = (good + bad) / 2
            if time.monotonic() > deadline:
                break
        if good and plan.confirm_s:
            share = _share_that_holds(search, good, plan.confirm_s, deadline)
            if share:
                good, figures.cpu_at_top_us = share * good, search.cost_us
            else:
                figures.faults.append(f"its calls/s held for {plan.step_s:.0f} s only; {search.fault}")
    finally:
        search.close()
    figures.calls_per_s = good or None
    if not good:
        figures.faults.append(f"no rate passed; last: {search.fault}")


def _share_that_holds(search: "_Search", rate: float, seconds: float, deadline: float) -> float | None:
    for share in CONFIRM_AT:
        if search.carries(share * rate, seconds):
            return share
        if time.monotonic() > deadline:
            break
    return None


class _Search:
    """Keeps the system running from step to step; starts it anew after a failed one.

    A step that failed below saturation is tried once more: it may have been noise.
    """

    def __init__(self, bench: Bench, start: Start) -> None:
        self._bench = bench
        self._start = start
        self._stack = ExitStack()
        self._running: Running | None = None
        self.busy = 0.0  # of the last step
        self.cost_us = 0.0
        self.fault: str | None = None

    def carries(self, rate: float, seconds: float) -> bool:
        for _ in range(2):
            if self._running is None:
                self._running = self._stack.enter_context(self._start())
                self._bench.warm_up(self._running)
            outcome = self._bench.calls(self._running, seconds, rate)
            self.busy, self.fault = outcome.busy, outcome.fault
            self.cost_us = outcome.busy * seconds / outcome.calls * 1e6
            if outcome.clean:
                return True
            self.close()
            if self.busy >= SATURATED:
                return False
        return False

    def close(self) -> None:
        self._stack.close()
        self._running = None


def held_calls(bench: Bench, participants: Sequence[tuple[Start, Figures]], plan: Plan) -> None:
    """Take memory per held call, right after the set-up and 36 s later; all systems wait together."""
    with ExitStack() as stack:
        waiting: list[tuple[Running, Figures, int]] = []
        for start, figures in participants:
            running = stack.enter_context(start())
            bench.warm_up(running)
            _pause(SETTLE_S)
            before = running.memory_bytes()
            rate = min(250.0, 0.6 * (figures.calls_per_s or BASE_RATE))
            established = _hold(bench, running, stack, plan.held_calls, rate, plan.forget_s)
            if established < plan.held_calls:
                figures.faults.append(f"only {established} of {plan.held_calls} held calls were set up")
                continue
            figures.fresh_bytes = (running.memory_bytes() - before) / plan.held_calls
            waiting.append((running, figures, before))
        _pause(plan.forget_s)
        for running, figures, before in waiting:
            figures.held_bytes = (running.memory_bytes() - before) / plan.held_calls
            figures.observer_bytes = running.observer_memory_bytes() or None


def _hold(bench: Bench, running: Running, stack: ExitStack, calls: int, rate: float, forget_s: float) -> int:
    """Set up so many calls and leave them standing until the stack unwinds; return how many stand."""
    folder = bench.folder()
    answering = sipp.callee(running.ports, folder)
    stack.callback(answering.process.stop)
    sipp.wait_for(answering, running.ports.callee)
    longest_ms = str(round(sipp.LONGEST_RUN_S * 1000))
    calling = sipp.caller(running.ports, folder, calls, rate, "-set", "hold", "true", "-d", longest_ms)
    stack.callback(calling.process.stop)
    deadline = time.monotonic() + calls / rate + 5.0
    established = 0
    while established < calls and time.monotonic() < deadline and calling.process.wait(0.5) is None:
        established = calling.counts().get("4_ACK_Sent", 0)
    return established


def _pause(seconds: float) -> None:
    """Let the systems be on their own; nothing tells us from outside when a timer in them has passed."""
    time.sleep(seconds)
