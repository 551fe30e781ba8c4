"""What is too old or too much goes, the oldest calls first, in steps so small that no commit waits for long.

The bound holds for the file and its log together, without what the outbox holds, which has one of its own.
Calls that are not over stay. Pages that become free are used again, and only given back when the file has
come to its bound: moving pages costs.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from .rows import Rows
from .settings import StoreSettings

_CALLS_AT_ONCE = 100
_PAGES_AT_ONCE = 1000
_FULL, _ROOMY = 0.95, 0.90  # of the bound: where pages are given back, and how much may be in use
_MEGABYTE = 1 << 20
_DAY_NS = 86_400 * 10**9


class Retention:
    """Works on the keeper's connection."""

    def __init__(self, sql: sqlite3.Connection, file: Path, rows: Rows, settings: StoreSettings) -> None:
        self._sql = sql
        self._files = file, file.with_name(f"{file.name}-wal")
        self._rows = rows
        self._keep_ns = round(settings.keep_days * _DAY_NS)
        self._most = settings.max_mb * _MEGABYTE
        self._page = self._pragma("page_size")

    def delete(self, now_ns: int, held: int) -> int:
        """Within a transaction: one step. `held`: bytes of the outbox. How many calls went."""
        numbers = self._too_old(now_ns)
        if not numbers and self._used(held) > _ROOMY * self._most:
            numbers = self._oldest()
        if numbers:
            self._rows.delete(numbers)
        return len(numbers)

    def shrink(self, held: int) -> bool:
        """Outside of a transaction: give pages back, where the files are at their bound. True: more to do."""
        if self.bytes() - held <= _FULL * self._most:
            return False
        free = self._pragma("freelist_count")
        if free:  # each page is a row of this statement, and only what is fetched is done
            self._sql.execute(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})").fetchall()
        if free <= _PAGES_AT_ONCE:
            self._truncate()
        return free > _PAGES_AT_ONCE

    def bytes(self) -> int:
        """Of the file and its log."""
        return sum(path.stat().st_size for path in self._files if path.exists())

    def _used(self, held: int) -> int:
        free = self._pragma("freelist_count") * self._page
        return self.bytes() - free - held

    def _truncate(self) -> None:
        """Both files get shorter at a checkpoint only. Where readers are in the way, at another time."""
        (patience,) = self._sql.execute("PRAGMA busy_timeout").fetchone()
        self._sql.execute("PRAGMA busy_timeout = 100")
        try:
            self._sql.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self._sql.execute(f"PRAGMA busy_timeout = {int(patience)}")

    def _too_old(self, now_ns: int) -> list[int]:
        return self._idle(
            "SELECT number FROM calls INDEXED BY calls_began WHERE began < ? AND open = 0 "
            "ORDER BY began LIMIT ?",
            (now_ns - self._keep_ns, _CALLS_AT_ONCE),
        )

    def _oldest(self) -> list[int]:
        return self._idle(
            "SELECT number FROM calls WHERE open = 0 ORDER BY number LIMIT ?", (_CALLS_AT_ONCE,)
        )

    def _idle(self, question: str, values: tuple[int, ...]) -> list[int]:
        """Those of which nothing more will come."""
        return [number for (number,) in self._sql.execute(question, values) if not self._rows.of_late(number)]

    def _pragma(self, name: str) -> int:
        (value,) = self._sql.execute(f"PRAGMA {name}").fetchone()
        return int(value)
