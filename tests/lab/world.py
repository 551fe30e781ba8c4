"""Virtual time: what happens next, in the order of its time. Nothing waits for a real clock."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol


class Timed(Protocol):
    """Has deadlines of its own: the proxy's core."""

    @property
    def next_at(self) -> float | None: ...

    def expire(self, now: float) -> None: ...


class World:
    """The clock, the events to come, and how many of them are messages or answers on their way."""

    def __init__(self, start_at: float = 1000.0) -> None:
        self.now = start_at
        self.under_way = 0  # messages and lookups
        self.timed: Timed | None = None
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Let something happen at a time; things of the same time happen in the order of asking."""
        self._count += 1
        heappush(self._events, (max(when, self.now), self._count, what))

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Let something happen some time from now."""
        self.at(self.now + seconds, what)

    def carry(self, seconds: float, what: Callable[[], None]) -> None:
        """Let something arrive after a while: a message, or the answer to a lookup."""
        self.under_way += 1

        def arrive() -> None:
            self.under_way -= 1
            what()

        self.after(seconds, arrive)

    @property
    def next_at(self) -> float | None:
        """When the next thing happens."""
        core = None if self.timed is None else self.timed.next_at
        event = self._events[0][0] if self._events else None
        if core is None or event is None:
            return core if event is None else event
        return min(core, event)

    def step(self) -> None:
        """Let the next thing happen. At the same moment messages come before the core's timers."""
        at = self.next_at
        if at is None:
            return
        self.now = max(self.now, at)
        if self._events and self._events[0][0] <= self.now:
            heappop(self._events)[2]()
        elif self.timed is not None:
            self.timed.expire(self.now)

    def run_until(self, when: float) -> None:
        """Let everything happen up to a time."""
        while (at := self.next_at) is not None and at <= when:
            self.step()
        self.now = max(self.now, when)

    def settle(self, within_s: float = 3.0) -> None:
        """Go on until nothing is on its way; timers that come due meanwhile fire."""
        latest = self.now + within_s
        while self.under_way and (at := self.next_at) is not None and at <= latest:
            self.step()
