"""One destination's place in the outbox: what it gets next, and how far it has come.

A connection of its own, beside the keeper's. The place is written down behind every batch, before the next
one is read: so after a crash the last batch at most is sent twice.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..telemetry.encode import Envelope
from .bundle import unbundle

MOST_REFUSED = 10_000  # spans set aside that are kept, of all destinations
_BUSY_S = 5.0


class Spot(NamedTuple):
    """Behind a row: its id, and how many spans and bytes there have ever been up to it."""

    row: int
    spans: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Spans of one origin, as `encode_span` made them."""

    before: Spot
    after: Spot
    origin: int
    envelope: Envelope
    spans: list[bytes]


class Tally(NamedTuple):
    """Spans of a destination since the store began."""

    exported: int = 0
    refused: int = 0
    dropped: int = 0
    sampled_out: int = 0  # for all destinations


class _Done(NamedTuple):
    """A batch whose arrival is not written down yet."""

    batch: Batch
    refused: int
    aside: Sequence[tuple[bytes, str]]


class Cursor:
    """Used by one thread. Everything raises sqlite3.Error where the file cannot be used now."""

    def __init__(self, file: Path, name: str) -> None:
        self.tally = Tally()
        self.files = 0  # that were opened: what is known of one means nothing in the next
        self._file = file
        self._name = name
        self._sql: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None  # which file that is
        self._spot: Spot | None = None
        self._done: _Done | None = None

    def open(self) -> bool:
        """Go on in the file that is there now. False: there is none yet, or it does not know us yet."""
        try:
            status = os.stat(self._file)
        except FileNotFoundError:
            return False
        identity = (status.st_dev, status.st_ino)
        if identity != self._opened:  # the first one; or the old one was damaged, and set aside
            self.close()
            self._opened, self._spot, self._done = identity, None, None
            self.files += 1
        if self._sql is None:
            uri = f"{self._file.absolute().as_uri()}?mode=rw"
            self._sql = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)
            self._sql.execute("PRAGMA synchronous = NORMAL")
        self._catch_up(self._sql)
        return self._read(self._sql)

    @property
    def position(self) -> int:
        """Spans that are behind us."""
        return 0 if self._spot is None else self._spot.spans

    @property
    def queued(self) -> int:
        """Spans that wait."""
        if self._sql is None or self._spot is None:
            return 0
        found = self._sql.execute("SELECT spans_upto FROM outbox_rows ORDER BY id DESC LIMIT 1").fetchone()
        return 0 if found is None else max(0, found[0] - self._spot.spans)

    def next(self, most: int, room: int) -> Batch | None:
        """At most so many spans and bytes, but for one row at least; None when there is nothing. A row that
        cannot be read is passed over, and what is missing then counts as dropped.
        """
        if self._sql is None or self._spot is None:
            return None
        spans: list[bytes] = []
        before = after = self._spot
        origin: int | None = None
        rows = self._sql.execute(
            "SELECT id, origin, spans_upto, bytes_upto, data FROM outbox_rows WHERE id > ? ORDER BY id",
            (before.row,),
        )
        with contextlib.closing(rows):
            for row, made_by, spans_upto, bytes_upto, data in rows:
                full = spans_upto - before.spans > most or bytes_upto - before.bytes > room
                if origin is not None and (full or made_by != origin):
                    break
                spans += unbundle(data)
                origin, after = made_by, Spot(row, spans_upto, bytes_upto)
        if origin is None:
            return None
        found = self._sql.execute(
            "SELECT resource, scope FROM outbox_origins WHERE id = ?", (origin,)
        ).fetchone()
        return Batch(before, after, origin, Envelope(*(found or (b"", b""))), spans)

    def arrived(self, batch: Batch, *, refused: int = 0, aside: Sequence[tuple[bytes, str]] = ()) -> None:
        """The batch is done with. `refused` of it the collector threw away, and `aside`, with the reasons,
        it would not take. Where this raises, `open` makes up for it.
        """
        assert self._sql is not None
        self._spot = batch.after
        self._done = _Done(batch, refused, aside)
        self._catch_up(self._sql)
        self._read(self._sql)

    def close(self) -> None:
        """Close the file."""
        if self._sql is not None:
            self._sql.close()
            self._sql = None

    def _read(self, sql: sqlite3.Connection) -> bool:
        """The keeper may have moved us, over what there was no room for."""
        try:
            found = sql.execute(
                "SELECT cursor, spans_upto, bytes_upto, exported, refused, dropped, sampled_out "
                "FROM outbox_destinations JOIN outbox_tally WHERE name = ?",
                (self._name,),
            ).fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return False
            raise
        if found is None:
            return False
        self._spot, self.tally = Spot(*found[:3]), Tally(*found[3:])
        return True

    # Writing

    def _catch_up(self, sql: sqlite3.Connection) -> None:
        """Write down what has arrived."""
        if self._done is not None:
            with _writing(sql):
                self._write(sql, *self._done)
            self._done = None

    def _write(
        self, sql: sqlite3.Connection, batch: Batch, refused: int, aside: Sequence[tuple[bytes, str]]
    ) -> None:
        found = sql.execute(
            "SELECT cursor, spans_upto FROM outbox_destinations WHERE name = ?", (self._name,)
        ).fetchone()
        if found is None:  # the settings do not name us any more, and another observer has begun
            return
        given_up = 0  # of what arrived: the keeper had no room for it any more
        if found[0] > batch.before.row:
            given_up = min(found[1], batch.after.spans) - batch.before.spans
        lost, unreadable = refused + len(aside), batch.after.spans - batch.before.spans - len(batch.spans)
        sql.execute(
            "UPDATE outbox_destinations SET exported = exported + ?, refused = refused + ?, "
            "dropped = dropped + ? WHERE name = ?",
            (len(batch.spans) - lost, lost, unreadable - given_up, self._name),
        )
        sql.execute(
            "UPDATE outbox_destinations SET cursor = ?, spans_upto = ?, bytes_upto = ? "
            "WHERE name = ? AND cursor < ?",
            (*batch.after, self._name, batch.after.row),
        )
        if aside:
            now_ns = time.time_ns()
            sql.executemany(
                "INSERT INTO outbox_refused (destination, origin, at_ns, reason, span) "
                "VALUES (?, ?, ?, ?, ?)",
                [(self._name, batch.origin, now_ns, reason, span) for span, reason in aside],
            )
            sql.execute(
                "DELETE FROM outbox_refused WHERE id <= (SELECT max(id) FROM outbox_refused) - ?",
                (MOST_REFUSED,),
            )


@contextlib.contextmanager
def _writing(sql: sqlite3.Connection) -> Iterator[None]:
    sql.execute("BEGIN IMMEDIATE")
    try:
        yield
        sql.execute("COMMIT")
    except BaseException:
        if sql.in_transaction:  # SQLite may have rolled back by itself
            sql.execute("ROLLBACK")
        raise
