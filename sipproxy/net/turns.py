"""Whose turn it is: what connections bring is worked off so that neither one nor all of them together keep
the rest of the proxy waiting.

What is read is taken at once, as long as it is little: a byte may cost a microsecond, as in a handshake or in
tiny frames. Otherwise its connection is read no further and queues up; in each round of the loop the queue is
served for a share's time, one turn for each. So a flood, be it of a thousand connections, costs whoever else
there is some milliseconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

SHARE_S: Final = 0.005
MOMENT_S: Final = 0.010
AT_ONCE: Final = 8192  # bytes in a moment
TURN: Final = 16384  # bytes of the wire


class Waiting(Protocol):
    """Who queues up."""

    def turn(self) -> bool:
        """Do a bounded piece of work; True: there is more."""


class Turns:
    """The queue of all connections of the proxy."""

    __slots__ = ("_clock", "_due", "_ends_at", "_left", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._clock = clock
        self._due: deque[Waiting] = deque()
        self._ends_at = 0.0  # the moment
        self._left = 0  # bytes of it

    def at_once(self, size: int, now: float) -> bool:
        """Whether so many bytes may be taken now."""
        if now >= self._ends_at:
            self._ends_at, self._left = now + MOMENT_S, AT_ONCE
        self._left -= size
        return self._left >= 0 and not self._due

    def queue(self, who: Waiting) -> None:
        """It is its turn when all before have had theirs. Once at a time."""
        if not self._due:
            self._loop.call_soon(self._serve)
        self._due.append(who)

    def _serve(self) -> None:
        due, clock = self._due, self._clock
        until = clock() + SHARE_S
        for _ in range(len(due)):
            if due[0].turn():
                due.rotate(-1)
            else:
                due.popleft()
            if clock() >= until:
                break
        if due:
            self._loop.call_soon(self._serve)
