"""The store's file while it is open, and what is written to it as one."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from ..telemetry.record import SpanRecord
from . import MakeOutbox
from .batch import Batch
from .journal import Journal, lost
from .ladders import Row
from .names import Keys
from .retention import Retention
from .rows import Rows
from .schema import Broken, connect, connect_to_read, packer_of
from .settings import StoreSettings
from .summary import CallSummary
from .told import finish
from .version import version_of


class Opened:
    """Raises Broken, StoreError or sqlite3.Error. After any of them it is of no use any more."""

    def __init__(
        self, file: Path, settings: StoreSettings, keys: Keys, make_outbox: MakeOutbox | None
    ) -> None:
        self.is_new = version_of(file) == 0
        self.sql = connect(file)
        try:
            self._file = file
            self.packer = packer_of(self.sql)
            self.rows = Rows(self.sql, self.packer, keys)
            self.journal = Journal(self.sql, self.packer)
            self.retention = Retention(self.sql, file, self.rows, settings)
            with self.transaction():
                self.outbox = make_outbox(self.sql) if make_outbox is not None else None
            self._inodes = self._are()
        except BaseException:
            self.sql.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self.sql.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.sql.execute("COMMIT")
        except BaseException:
            self.rows.forget()
            with suppress(sqlite3.Error):  # it may be rolled back already, and what was wrong is told
                self.sql.execute("ROLLBACK")
            raise

    def write(self, boot: str, batch: Batch, messages: Iterable[Row]) -> None:
        """A batch."""
        with self.transaction():
            self.journal.open_again(batch.again)
            self.journal.open(batch.opened.values())
            self.journal.close(batch.closed)
            self.rows.write(batch.calls.values(), self.boot(boot, batch.last, batch.heard_ns))
            self.rows.write_spans(batch.finished)
            self.sql.executemany(
                "INSERT INTO messages (call, count, data, raw) VALUES (?, ?, ?, ?)", messages
            )
            if self.outbox is not None:
                self.outbox.add(batch.records, batch.ended, boot)
        self.rows.forget([call.number for call in batch.gone])

    def boot(self, name: str, last: int = 0, heard_ns: int = 0) -> int:
        """The number of a start of the signalling process; what is known of it is noted."""
        (number,) = self.sql.execute(
            "INSERT INTO boots (boot, last, heard) VALUES (?, ?, ?) ON CONFLICT (boot) DO UPDATE "
            "SET last = max(last, excluded.last), heard = max(heard, excluded.heard) RETURNING id",
            (name, last, heard_ns),
        ).fetchone()
        return int(number)

    def close_lost(self, call: CallSummary, at_ns: int) -> list[SpanRecord]:
        """End what of a call is open, at that time at the latest."""
        records = [lost(opening, at_ns) for opening in self.journal.of(call.number)]
        if records:
            for record in records:
                finish(call, record)
            self.rows.write_spans({call.number: records})
            self.journal.clear(call.number)
        return records

    def tend(self, boot: str, now_ns: int) -> tuple[int, bool]:
        """One step of housekeeping: how many calls went, and whether there is more to do."""
        held, more = 0, False
        with self.transaction():
            self.boot(boot, 0, now_ns)
            if self.outbox is not None:
                more = self.outbox.maintain(now_ns)
                held = self.outbox.held_bytes()
            deleted = self.retention.delete(now_ns, held)
        return deleted, self.retention.shrink(held) or more or deleted > 0

    def check(self) -> None:
        """Look through all of it, as it is in the file: Broken."""
        sql = connect_to_read(self._file)
        if sql is not None:
            with closing(sql):
                (verdict,) = sql.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise Broken(str(verdict))

    def checkpoint(self) -> None:
        """Move what is in the log into the file, as far as readers let us, and sync."""
        self.sql.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def missing(self) -> str:
        """What has lost its name, so that readers would not see what is written: the file, the log beside it,
        or, "", neither.
        """
        file, log = self._are()
        if file != self._inodes[0]:
            return "file"
        return "" if log == self._inodes[1] else "log"

    def rescue(self) -> None:
        """What is only in a log that nobody else can see goes into the file."""
        with suppress(sqlite3.Error):
            self.checkpoint()

    def _are(self) -> list[int]:
        found = []
        for path in (self._file, self._file.with_name(f"{self._file.name}-wal")):
            try:
                found.append(os.stat(path).st_ino)
            except OSError:
                found.append(0)
        return found

    def close(self) -> None:
        """Let go of the file."""
        self.sql.close()
