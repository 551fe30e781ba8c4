"""Server-sent events: what changed among the live calls, joined over a quarter of a second, and the state.

    event: calls   {"added": [Live], "changed": [Live], "ended": [Row]}
    event: state   {"draining", "calls", "status", "reasons"}

Each event is made once for all who listen. Every `id` is higher than the last: /api/calls tells the one up to
which its list is true, so whoever listens first and then asks for the list misses nothing. What is told twice
does no harm: an added or changed call is told as it is now, an ended one as it was.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from ..store import Changes
from ..store.summary import CallSummary, live_row, row
from .answers import encode
from .shapes import Json

JOINED_S = 0.25
STATE_S = 1.0
MOST_LISTENERS = 50
_MOST_WAITING = 64  # events that one listener has not read: 16 s and more
_MOST_CALLS = 2000  # in one event; the rest come with the next

_ADDED, _CHANGED, _ENDED = "added", "changed", "ended"


class Listener:
    """One client. What it does not read in time ends it."""

    def __init__(self, cut: Callable[[], None]) -> None:
        self._cut = cut
        self._waiting: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self.ended = False

    def tell(self, event: bytes) -> None:
        """Take an event, or be cut off."""
        if len(self._waiting) >= _MOST_WAITING:
            self.end()
            self._cut()
            return
        self._waiting.append(event)
        self._wake.set()

    def end(self) -> None:
        """Nothing comes any more."""
        self.ended = True
        self._waiting.clear()
        self._wake.set()

    async def next(self, patience_s: float) -> bytes:
        """All that waits; nothing after that time, or at the end."""
        if not self._waiting and not self.ended:
            try:
                async with asyncio.timeout(patience_s):
                    await self._wake.wait()
            except TimeoutError:
                return b""
        self._wake.clear()
        events = b"".join(self._waiting)
        self._waiting.clear()
        return events


class Hub:
    """Joins the changes and tells them to all who listen. Lives on the loop."""

    def __init__(self, state: Callable[[], Json]) -> None:
        self.seq = 0  # of the last event
        self._state = state
        self._told_state: Json = {}
        self._pending: dict[str, tuple[str, CallSummary]] = {}  # by the call's id
        self._listeners: set[Listener] = set()
        self._flush_timer: asyncio.TimerHandle | None = None
        self._watch_timer: asyncio.TimerHandle | None = None

    def changed(self, changes: Changes) -> None:
        """Take what a parcel changed."""
        pending = self._pending
        for call in changes.added:
            pending[call.root_id] = _ADDED, call
        for call in changes.changed:
            known = pending.get(call.root_id)
            pending[call.root_id] = known[0] if known else _CHANGED, call
        for call in changes.ended:
            pending[call.root_id] = _ENDED, call
        if pending and self._flush_timer is None:
            self._flush_timer = _later(JOINED_S, self.flush)

    def join(self, cut: Callable[[], None]) -> Listener | None:
        """A new listener, told the state first; None where there are too many."""
        if len(self._listeners) >= MOST_LISTENERS:
            return None
        listener = Listener(cut)
        if self._watch_timer is None:
            self._told_state = self._state()
            self._watch_timer = _later(STATE_S, self._watch)
        self._listeners.add(listener)
        listener.tell(b"retry: 2000\n" + _event("state", self.seq, self._state()))
        return listener

    def leave(self, listener: Listener) -> None:
        """It has gone."""
        self._listeners.discard(listener)

    def close(self) -> None:
        """End all of them."""
        for timer in (self._flush_timer, self._watch_timer):
            if timer is not None:
                timer.cancel()
        for listener in self._listeners:
            listener.end()
        self._listeners.clear()

    def flush(self) -> None:
        """Tell what has changed."""
        self._flush_timer = None
        pending = self._pending
        if len(pending) > _MOST_CALLS and self._listeners:
            chosen = [pending.pop(root_id) for root_id in list(pending)[:_MOST_CALLS]]
            self._flush_timer = _later(JOINED_S, self.flush)
        else:
            chosen, self._pending = [*pending.values()], {}
        self.seq += 1
        if self._listeners:
            self._tell(_event("calls", self.seq, _shapes(chosen)))

    def _watch(self) -> None:
        self._watch_timer = None
        if not self._listeners:
            return
        self._watch_timer = _later(STATE_S, self._watch)
        state = self._state()
        if state != self._told_state:
            self._told_state = state
            self.seq += 1
            self._tell(_event("state", self.seq, state))

    def _tell(self, event: bytes) -> None:
        for listener in [*self._listeners]:
            listener.tell(event)
            if listener.ended:
                self._listeners.discard(listener)


def _later(delay_s: float, call: Callable[[], None]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(delay_s, call)


def _shapes(chosen: Iterable[tuple[str, CallSummary]]) -> Json:
    told: dict[str, list[Json]] = {_ADDED: [], _CHANGED: [], _ENDED: []}
    for what, call in chosen:
        told[what].append(row(call) if what is _ENDED else live_row(call))
    return dict(told)


def _event(name: str, seq: int, data: Json) -> bytes:
    return b"event: %s\nid: %d\ndata: %s\n\n" % (name.encode(), seq, encode(data))
