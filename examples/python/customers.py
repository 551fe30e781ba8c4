"""The database: customers by the number that they call from, lines by the number that is dialled.

Queries run in threads, since SQLite waits for disks and locks. `asyncio.to_thread` takes the context of the
call along; `loop.run_in_executor` does not, and its spans would be orphans.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

FILE = os.environ.get("DATABASE", "customers.db")
TIMEOUT_S = int(os.environ.get("DATABASE_TIMEOUT_MS", "150")) / 1000

_EXAMPLE = """
CREATE TABLE IF NOT EXISTS customers (number TEXT PRIMARY KEY, queue TEXT NOT NULL, blocked INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS lines (number TEXT PRIMARY KEY, trunk TEXT NOT NULL);
INSERT INTO customers VALUES ('+441632960001', 'gold', 0), ('+441632960002', 'silver', 1);
INSERT INTO lines VALUES ('+441632960100', 'carrier');
"""


class DatabaseError(Exception):
    """No answer from the database, or none in time."""


@dataclass(frozen=True, slots=True)
class Customer:
    """Who calls."""

    queue: str
    blocked: bool


def prepare() -> None:
    """Make the database, if there is none."""
    if not Path(FILE).exists():
        with closing(sqlite3.connect(FILE)) as database:
            database.executescript(_EXAMPLE)


async def find_customer(number: str) -> Customer | None:
    """Who calls from this number."""
    row = await _ask("SELECT queue, blocked FROM customers WHERE number = ?", number)
    return None if row is None else Customer(str(row[0]), bool(row[1]))


async def find_trunk(number: str) -> str | None:
    """The trunk behind which this number is."""
    row = await _ask("SELECT trunk FROM lines WHERE number = ?", number)
    return None if row is None else str(row[0])


async def _ask(query: str, number: str) -> tuple[object, ...] | None:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await asyncio.to_thread(_first_row, query, number)
    except (sqlite3.Error, TimeoutError) as error:
        raise DatabaseError(type(error).__name__) from None


def _first_row(query: str, number: str) -> tuple[object, ...] | None:
    file = f"{Path(FILE).absolute().as_uri()}?mode=rw"  # one that has gone is not made anew, and empty
    with closing(sqlite3.connect(file, uri=True, timeout=TIMEOUT_S)) as database:
        # A cursor: the shortcut `database.execute` goes past the instrumentation. And the number as a
        # parameter: the text of a query is exported, its parameters are not.
        row: tuple[object, ...] | None = database.cursor().execute(query, (number,)).fetchone()
        return row
