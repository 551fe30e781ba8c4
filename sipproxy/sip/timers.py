"""Timers: their names and lengths (RFC 3261 table 4, RFC 6026), and the one queue that holds them all.

Nothing is ever cancelled. A timer that comes too late finds its owner in another state and does nothing.
"""

from __future__ import annotations

from enum import IntEnum
from heapq import heappop, heappush
from typing import Protocol

T1 = 0.5  # seconds: an estimate of the round trip
T2 = 4.0  # the longest pause between repeats of a non-INVITE request or an INVITE response
T4 = 5.0  # the longest a message stays in the network
TRANSACTION_TIMEOUT = 64 * T1


class Timer(IntEnum):
    """A to M as in the RFCs; the rest is ours."""

    A = 1
    B = 2
    D = 3
    E = 4
    F = 5
    G = 6
    H = 7
    I = 8  # noqa: E741  the RFC's name
    J = 9
    K = 10
    L = 11
    M = 12
    REPEAT = 20  # a 2xx to INVITE goes out again (RFC 3261 section 13.3.1.4)
    UNHEARD = 21  # nobody acknowledged our 2xx
    RING = 22  # the callee rang too long
    FIRST_RESPONSE = 23  # a trunk stayed silent
    SESSION = 24  # nobody refreshed the session (RFC 4028)
    BYE = 25  # the other side has not answered a relayed BYE
    GIVE_UP = 26  # a cancelled INVITE got no final response (RFC 3261 section 9.1)
    PROBE = 27  # next OPTIONS to a trunk
    FORGET = 28  # something kept for a while
    GONE = 30  # a browser has not come back
    GLARE = 29  # a re-INVITE of ours that met another one is tried again


class Expirable(Protocol):
    """Owns timers."""

    def expire(self, timer: Timer, now: float) -> object: ...


class Reminder:
    """A timer's owner that lets go: what it was for may end long before the timer does, and must not wait for
    it.
    """

    __slots__ = ("_owner",)

    def __init__(self, owner: Expirable) -> None:
        self._owner: Expirable | None = owner

    def drop(self) -> None:
        """The timer is not waited for any more."""
        self._owner = None

    def expire(self, timer: Timer, now: float) -> None:
        """Pass it on, if anybody still waits."""
        if self._owner is not None:
            self._owner.expire(timer, now)


class TimerQueue:
    """All deadlines of the core, earliest first."""

    __slots__ = ("_heap", "_sequence")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Expirable, Timer]] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_at(self) -> float | None:
        """When `pop` will have something; None for never."""
        return self._heap[0][0] if self._heap else None

    def start(self, timer: Timer, at: float, owner: Expirable) -> None:
        """Let `owner` know at `at`."""
        self._sequence += 1
        heappush(self._heap, (at, self._sequence, owner, timer))

    def pop(self, now: float) -> tuple[Expirable, Timer] | None:
        """Take one timer that is due; None when none is."""
        if self._heap and self._heap[0][0] <= now:
            _, _, owner, timer = heappop(self._heap)
            return owner, timer
        return None
