"""The calls that belong together, with their spans and messages: what one page shows.

From the calls that an id names it goes to those of the same traces, to those that these are linked with, and
to those that are linked with them, as far as a page can show.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator

from ..telemetry.record import SpanRecord
from . import StoredMessage, Story
from .belonging import Belonging
from .ladders import stored
from .names import RANGE, Keys, era_of, of_hex, of_link
from .packing import Packer
from .summary import CallSummary

MOST_CALLS, MOST_SPANS, MOST_MESSAGES = 50, 5000, 5000

_ERAS = """
WITH RECURSIVE eras (n) AS (SELECT ?1 UNION ALL SELECT n - 1 FROM eras WHERE n > ?2)
SELECT n FROM eras WHERE EXISTS (SELECT 1 FROM names WHERE era = n AND key = ?3)
"""  # the newest first
_IN_ERA = "SELECT call FROM names WHERE era = ? AND key = ? ORDER BY call DESC LIMIT ?"


class Telling:
    """One story, told within one read transaction: all of it is of the same moment."""

    def __init__(
        self, sql: sqlite3.Connection, packer: Packer, keys: Keys, damaged: Callable[[], None]
    ) -> None:
        self._sql = sql
        self._packer = packer
        self._keys = keys
        self._damaged = damaged
        self._story = Story()
        self._calls: dict[int, CallSummary] = {}
        first, last = sql.execute(RANGE).fetchone()
        self._oldest, self._newest = era_of(first or 0), era_of(last or 0)

    def tell(self, names: Iterable[int]) -> Story | None:
        """None: nothing is known of it."""
        story = self._story
        self._add(names)
        if not self._calls:
            return None
        self._follow()
        story.calls = sorted(self._calls.values(), key=lambda call: (call.began_ns, call.number))
        story.traces = [*dict.fromkeys(trace for call in self._calls.values() for trace in call.traces)]
        for call in story.calls:
            self._add_spans(call)
        for call in story.calls:
            self._add_messages(call)
        story.spans.sort(key=lambda span: (span.start_ns, span.end_ns or span.start_ns))
        story.messages.sort(key=lambda message: (message.at_ns, message.order))
        belonging = Belonging(story.spans)
        for message in story.messages:
            message.spans = belonging.of(message)
        return story

    def _follow(self) -> None:
        """Breadth first: `_calls` grows while it is gone through."""
        asked: set[int] = set()
        waiting = [*self._calls.values()]
        while waiting and not (self._story.truncated and len(self._calls) >= MOST_CALLS):
            call = waiting.pop(0)
            names = {*map(of_hex, (*call.traces, *call.links))}
            names.update([of_link(trace_id, self._keys) for trace_id in call.traces])
            waiting += self._add(names - asked)
            asked |= names

    def _add(self, names: Iterable[int]) -> list[CallSummary]:
        """The calls of these names that are not here yet; the newest, where there is no room for all."""
        numbers = {number for name in names for number in self._named(name)} - self._calls.keys()
        room = MOST_CALLS - len(self._calls)
        self._story.truncated = self._story.truncated or len(numbers) > room
        added = []
        for number in sorted(numbers, reverse=True)[:room]:
            found = self._sql.execute("SELECT data FROM summaries WHERE call = ?", (number,)).fetchone()
            if found is None:
                continue
            try:
                call = self._calls[number] = self._packer.call(found[0])
            except ValueError:
                self._damaged()
                continue
            added.append(call)
        return added

    def _named(self, name: int) -> Iterator[int]:
        """The newest calls that have this name: one more than there can be room for."""
        left = MOST_CALLS + 1
        for (era,) in self._sql.execute(_ERAS, (self._newest, self._oldest, name)):
            found = self._sql.execute(_IN_ERA, (era, name, left)).fetchall()
            yield from (number for (number,) in found)
            left -= len(found)
            if not left:
                return

    def _add_spans(self, call: CallSummary) -> None:
        """Those that have ended, and those that are open."""
        for table in ("spans", "journal"):
            rows = self._sql.execute(f"SELECT data FROM {table} WHERE call = ?", (call.number,))
            for (data,) in rows:
                spans = self._spans(data)
                room = MOST_SPANS - len(self._story.spans)
                self._story.spans += spans[:room]
                if len(spans) > room:
                    self._story.truncated = True
                    return

    def _spans(self, data: bytes) -> list[SpanRecord]:
        try:
            return self._packer.spans(data)
        except ValueError:
            self._damaged()
            return []

    def _add_messages(self, call: CallSummary) -> None:
        for row, data in self._sql.execute("SELECT id, data FROM messages WHERE call = ?", (call.number,)):
            messages = self._messages(row, data, call)
            room = MOST_MESSAGES - len(self._story.messages)
            self._story.messages += messages[:room]
            if len(messages) > room:
                self._story.truncated = True
                return

    def _messages(self, row: int, data: bytes, call: CallSummary) -> list[StoredMessage]:
        try:
            return [*stored(self._packer, row, data, call)]
        except ValueError:
            self._damaged()
            return []
