"""Spans that have begun and not ended, so that the next start can end what a crash left open."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from ..telemetry.attributes import Attributes
from ..telemetry.record import Event, SpanRecord
from .packing import Packer, plain
from .told import DIALOG, TRANSFER

_63_BITS = (1 << 63) - 1


def key_of(span_id: str) -> int:
    """The number of a span among those of its call."""
    return int(span_id, 16) & _63_BITS


class Journal:
    """Works within the transaction of another."""

    def __init__(self, sql: sqlite3.Connection, packer: Packer) -> None:
        self._sql = sql
        self._packer = packer

    def open(self, openings: Iterable[tuple[int, SpanRecord]]) -> None:
        """Each with the number of its call; one that is there already changes nothing."""
        self._sql.executemany(
            "INSERT OR IGNORE INTO journal VALUES (?, ?, ?)",
            [(number, key_of(record.span_id), plain([record])) for number, record in openings],
        )

    def open_again(self, openings: Iterable[tuple[int, SpanRecord]]) -> None:
        """The same, of spans that may have ended meanwhile."""
        for number, record in openings:
            rows = self._sql.execute("SELECT data FROM spans WHERE call = ?", (number,))
            if not any(
                record.span_id == span.span_id for (data,) in rows for span in self._packer.spans(data)
            ):
                self.open([(number, record)])

    def close(self, spans: Iterable[tuple[int, int]]) -> None:
        """They have ended: numbers of calls, and keys of spans."""
        self._sql.executemany("DELETE FROM journal WHERE call = ? AND span = ?", spans)

    def of(self, number: int) -> list[SpanRecord]:
        """What of one call is open."""
        rows = self._sql.execute("SELECT data FROM journal WHERE call = ?", (number,))
        return [span for (data,) in rows for span in self._packer.spans(data)]

    def clear(self, number: int) -> None:
        """Nothing of that call is open any more."""
        self._sql.execute("DELETE FROM journal WHERE call = ?", (number,))


def lost(opening: SpanRecord, at_ns: int) -> SpanRecord:
    """A span that nobody ended, ended: a dialog says so, of a transfer nobody knows the outcome."""
    end_ns = max(at_ns, opening.start_ns)
    attributes: Attributes = dict(opening.attributes)
    events: tuple[Event, ...] = opening.events
    if opening.name == DIALOG:
        attributes["sip.dialog.end"] = "lost"
        attributes["sip.talk_ms"] = round((end_ns - opening.start_ns) / 1e6)
    elif opening.name == TRANSFER:
        attributes["sip.transfer.outcome"] = "unknown"
        events = (*events, ("outcome", end_ns, None))
    return opening._replace(end_ns=end_ns, attributes=attributes, events=events)
