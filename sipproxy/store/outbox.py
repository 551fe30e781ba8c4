"""What no collector has taken yet, in the store's own file, so that neither an outage nor a restart loses it.

A row is a list of encoded spans of one start of the proxy. Ids rise; each destination has a cursor, behind
which all has arrived or was given up. Rows behind all cursors are deleted, but for the newest: it carries
the running totals, by which nobody has to count. Where the disk budget is used up the oldest go, counted for
each destination that had not got them.

Here is the keeper's side, within its transaction and without a memory of its own, so that a rollback leaves
nothing wrong behind. `cursor.py` is the side of those who send.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial

from ..telemetry.encode import Envelope, encode_span
from ..telemetry.otlp import targets
from ..telemetry.record import SpanRecord
from ..telemetry.resource import envelope_for
from ..telemetry.settings import KeepSettings, TracingSettings
from .bundle import bundle
from .held import TABLES as HELD_TABLES
from .held import Held
from .settings import StoreSettings
from .summary import CallSummary

SAMPLED = 0x01  # W3C's flag
ROW_BYTES = (
    1_000_000  # of spans in one row, and so in one request: what a proxy in front of a collector takes
)
_AT_ONCE = 500  # rows deleted in one step
_ORIGINS_KEPT = 1000
_MEGABYTE = 1 << 20
_NAMING = ("rows", "refused", "held")  # tables that name an origin

_TABLES = (
    """CREATE TABLE IF NOT EXISTS outbox_origins (
        id INTEGER PRIMARY KEY, boot TEXT NOT NULL UNIQUE, resource BLOB NOT NULL, scope BLOB NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS outbox_rows (
        id INTEGER PRIMARY KEY, origin INTEGER NOT NULL, spans INTEGER NOT NULL, bytes INTEGER NOT NULL,
        spans_upto INTEGER NOT NULL, bytes_upto INTEGER NOT NULL, data BLOB NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS outbox_destinations (
        name TEXT PRIMARY KEY, cursor INTEGER NOT NULL, spans_upto INTEGER NOT NULL,
        bytes_upto INTEGER NOT NULL, exported INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0,
        dropped INTEGER NOT NULL DEFAULT 0)""",
    """CREATE TABLE IF NOT EXISTS outbox_refused (
        id INTEGER PRIMARY KEY, destination TEXT NOT NULL, origin INTEGER NOT NULL, at_ns INTEGER NOT NULL,
        reason TEXT NOT NULL, span BLOB NOT NULL)""",
)


def outbox_of(
    tracing: TracingSettings, store: StoreSettings, *, version: str, region: str | None
) -> Callable[[sqlite3.Connection], Outbox]:
    """What the keeper calls whenever it has opened a file. Raises ConfigurationError at once, not then."""
    return partial(
        Outbox,
        destinations=[target.name for target in targets(tracing)],
        tracing=tracing,
        budget=store.unsent_mb * _MEGABYTE,
        envelope=partial(envelope_for, tracing, version, region),
    )


class Outbox:
    """The keeper's side."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        destinations: Sequence[str],
        tracing: TracingSettings,
        budget: int,  # bytes
        envelope: Callable[[str], Envelope],  # of a start of the proxy, by its id
    ) -> None:
        self._sql = connection
        self._names = destinations
        self._most = tracing.batch
        self._budget = budget
        self._envelope = envelope
        for table in (*_TABLES, *HELD_TABLES):
            connection.execute(table)
        self._place_cursors()
        self._held = Held(connection, tracing.keep or KeepSettings(), budget // 4, self._put)
        self._samples = tracing.keep is not None
        if not self._samples:
            self._held.let_all_go()

    def add(self, records: list[SpanRecord], ended: list[CallSummary], boot: str) -> None:
        """Spans that finished, and calls that ended with them. `boot`: which start of the proxy made them."""
        if not self._names:
            return
        ready = [record for record in records if record.flags & SAMPLED and record.end_ns]
        origin = self._origin(boot) if ready else 0
        if self._samples:
            self._held.add(ready, [call.root_id for call in ended], origin)
        elif ready:
            self._put(origin, [encode_span(record) for record in ready])

    def held_bytes(self) -> int:
        """About how much of the file is used here."""
        first = self._sql.execute("SELECT bytes_upto - bytes FROM outbox_rows ORDER BY id LIMIT 1").fetchone()
        waiting = 0 if first is None else self._newest()[2] - first[0]
        return waiting + self._held.size()

    def maintain(self, now_ns: int) -> bool:
        """Delete what is not needed, give up what is too much. True: there is more to do."""
        more = self._held.maintain(now_ns)
        self._give_up()
        return self._delete() or more

    # Rows

    def _put(self, origin: int, spans: list[bytes]) -> None:
        """In rows of what fits into one request."""
        newest, spans_upto, bytes_upto = self._newest()
        for row in rows_of(spans, self._most, ROW_BYTES):
            data = bundle(row)
            spans_upto += len(row)
            bytes_upto += len(data)
            newest += 1
            self._sql.execute(
                "INSERT INTO outbox_rows VALUES (?, ?, ?, ?, ?, ?, ?)",
                (newest, origin, len(row), len(data), spans_upto, bytes_upto, data),
            )

    def _newest(self) -> tuple[int, int, int]:
        """Its id, and how many spans and bytes there have ever been up to it."""
        found: tuple[int, int, int] | None = self._sql.execute(
            "SELECT id, spans_upto, bytes_upto FROM outbox_rows ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return found or (0, 0, 0)

    def _origin(self, boot: str) -> int:
        found: tuple[int] | None = self._sql.execute(
            "SELECT id FROM outbox_origins WHERE boot = ?", (boot,)
        ).fetchone()
        if found is not None:
            return found[0]
        envelope = self._envelope(boot)
        self._sql.execute(
            "INSERT INTO outbox_origins (boot, resource, scope) VALUES (?, ?, ?)",
            (boot, envelope.resource, envelope.scope),
        )
        return self._origin(boot)

    # Cursors

    def _place_cursors(self) -> None:
        """A new destination begins where the slowest one is, so one that was renamed misses nothing; the very
        first at the end, since whatever is there was meant for nobody. Those that are configured no longer
        go: they would hold the rows for ever.
        """
        slowest = self._sql.execute(
            "SELECT cursor, spans_upto, bytes_upto FROM outbox_destinations ORDER BY cursor LIMIT 1"
        ).fetchone()
        start = slowest or self._newest()
        self._sql.executemany(
            "INSERT OR IGNORE INTO outbox_destinations (name, cursor, spans_upto, bytes_upto) "
            "VALUES (?, ?, ?, ?)",
            [(name, *start) for name in self._names],
        )
        marks = ", ".join("?" * len(self._names))
        self._sql.execute(f"DELETE FROM outbox_destinations WHERE name NOT IN ({marks})", self._names)

    def _give_up(self) -> None:
        """Move the cursors over what the disk budget has no room for."""
        limit = self._newest()[2] - self._budget
        behind = self._sql.execute(
            "SELECT min(cursor) FROM outbox_destinations WHERE bytes_upto < ?", (limit,)
        ).fetchone()[0]
        if behind is None:
            return
        last: tuple[int, int, int] | None = None
        rows = self._sql.execute(
            "SELECT id, spans_upto, bytes_upto FROM outbox_rows WHERE id > ? ORDER BY id", (behind,)
        )
        for row in rows:
            last = row
            if row[2] >= limit:
                break
        rows.close()
        if last is not None:
            cursor, spans_upto, bytes_upto = last
            self._sql.execute(
                "UPDATE outbox_destinations SET dropped = dropped + ? - spans_upto, cursor = ?, "
                "spans_upto = ?, bytes_upto = ? WHERE cursor < ?",
                (spans_upto, cursor, spans_upto, bytes_upto, cursor),
            )

    def _delete(self) -> bool:
        """Rows that nobody needs, and origins that no row names."""
        newest = self._newest()[0]
        behind = self._sql.execute("SELECT min(cursor) FROM outbox_destinations").fetchone()[0]
        upto = newest - 1 if behind is None else min(behind, newest - 1)
        gone = self._sql.execute(
            "DELETE FROM outbox_rows WHERE id IN "
            "(SELECT id FROM outbox_rows WHERE id <= ? ORDER BY id LIMIT ?)",
            (upto, _AT_ONCE),
        ).rowcount
        if gone < _AT_ONCE:
            used = " AND ".join(f"id NOT IN (SELECT origin FROM outbox_{table})" for table in _NAMING)
            self._sql.execute(
                f"DELETE FROM outbox_origins WHERE id <= (SELECT max(id) FROM outbox_origins) - ? AND {used}",
                (_ORIGINS_KEPT,),
            )
        return gone == _AT_ONCE


def rows_of(spans: list[bytes], most: int, room: int) -> list[list[bytes]]:
    """Cut into lists of at most so many spans and, where one span is not larger by itself, so many bytes."""
    rows: list[list[bytes]] = []
    left = 0
    for span in spans:
        if not rows or len(rows[-1]) >= most or left < len(span):
            rows.append([])
            left = room
        rows[-1].append(span)
        left -= len(span)
    return rows
