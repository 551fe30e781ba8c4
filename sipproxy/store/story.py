"""The calls that belong together, with their spans and messages: what one page shows.

From the calls that an id names it goes to those of the same traces, to those that these are linked with, and
to those that are linked with them, as far as a page can show.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

from ..telemetry.record import SpanRecord
from . import StoredMessage, Story
from .belonging import Belonging
from .ladders import stored
from .names import RANGE, Keys, era_of, of_hex, of_link
from .packing import Packer
from .summary import CallSummary

MOST_CALLS, MOST_SPANS, MOST_MESSAGES = 50, 5000, 5000


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
        self._eras = [] if first is None else [*range(era_of(last), era_of(first) - 1, -1)]

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
        numbers: set[int] = set()
        for name in names:
            for era in self._eras:
                rows = self._sql.execute(
                    "SELECT call FROM names WHERE era = ? AND key = ? ORDER BY call DESC LIMIT ?",
                    (era, name, len(self._calls) + MOST_CALLS + 1),
                )
                numbers.update(number for (number,) in rows if number not in self._calls)
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
