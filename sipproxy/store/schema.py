"""The file: its tables, how it is opened and given up, what SQLite's errors mean.

Everything is appended: ids rise. What finds a call by an id that looks random (`names`) is cut into eras of
calls, so that even there only the newest pages are written to; a search asks each era.

SQLite writes ahead (WAL) and syncs at checkpoints only (synchronous=NORMAL): whatever dies but the machine,
a committed transaction stays. A power cut can take the transactions since the last checkpoint, a few seconds
(`Keeper.maintain`), and never damages the file. That is enough: a power cut takes the calls themselves too.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from . import StoreError
from .dictionary import DICTIONARY
from .packing import Packer
from .version import APPLICATION, VERSION, version_of

ERA_BITS = 13  # 8,192 calls: a megabyte of names, which a commit writes once at most
CHECKPOINT_PAGES = 1000  # 4 MB
_BUSY_S = 10.0
_BROKEN_KEPT = 3

TABLES = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
    # heard: when we last knew it alive; last: number of its last parcel
    "CREATE TABLE boots (id INTEGER PRIMARY KEY, boot TEXT UNIQUE, last INTEGER, heard INTEGER)",
    # Narrow: a search that no index helps reads all of it. outcome: OUTCOMES, from 1; slow: bits of setup_ms
    """CREATE TABLE calls (number INTEGER PRIMARY KEY, began INTEGER, boot INTEGER, open INTEGER,
        outcome INTEGER, setup_ms INTEGER, slow INTEGER, transferred INTEGER)""",
    "CREATE INDEX calls_began ON calls (began)",
    "CREATE INDEX calls_outcome ON calls (outcome, began) WHERE outcome IS NOT NULL",
    "CREATE INDEX calls_slow ON calls (slow, began) WHERE slow IS NOT NULL",
    "CREATE INDEX calls_transferred ON calls (transferred, began) WHERE transferred = 1",
    "CREATE INDEX calls_open ON calls (number) WHERE open = 1",
    "CREATE TABLE summaries (call INTEGER PRIMARY KEY, data BLOB)",
    "CREATE TABLE trunks (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
    """CREATE TABLE trunk_calls (trunk INTEGER, began INTEGER, call INTEGER,
        PRIMARY KEY (trunk, began, call)) WITHOUT ROWID""",
    "CREATE TABLE names (era INTEGER, key INTEGER, call INTEGER, PRIMARY KEY (era, key, call)) WITHOUT ROWID",
    "CREATE TABLE spans (id INTEGER PRIMARY KEY, call INTEGER, data BLOB)",
    "CREATE INDEX spans_call ON spans (call)",
    "CREATE TABLE messages (id INTEGER PRIMARY KEY, call INTEGER, count INTEGER, data BLOB, raw BLOB)",
    "CREATE INDEX messages_call ON messages (call)",
    "CREATE TABLE journal (call INTEGER, span INTEGER, data BLOB, PRIMARY KEY (call, span)) WITHOUT ROWID",
)
_NAMES = frozenset(table.split()[2] for table in TABLES)


class Broken(Exception):
    """The file is damaged, or none of ours: to be set aside."""


def connect(file: Path) -> sqlite3.Connection:
    """Open the file for writing, or make it. Raises Broken, StoreError where a newer sipproxy made it or
    there can be no store, or sqlite3.Error.
    """
    version_of(file)
    with suppress(FileExistsError):  # SQLite would make it readable for everybody
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        return _connect(file)
    except sqlite3.Error as error:
        if is_broken(error):
            raise Broken(str(error)) from None
        raise


def _connect(file: Path) -> sqlite3.Connection:
    sql = sqlite3.connect(
        file, timeout=_BUSY_S, isolation_level=None, cached_statements=64, check_same_thread=False
    )  # one thread at a time: another may close it when the writer's has ended
    try:
        tables = names_of(sql)
        if not tables:
            sql.execute("PRAGMA auto_vacuum = INCREMENTAL")
            sql.execute("VACUUM")  # for an empty file that an interrupted start left
        if sql.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise StoreError("SQLite's WAL needs shared memory, which that file system has not")
        sql.execute("PRAGMA synchronous = NORMAL")
        sql.execute("PRAGMA cache_size = -16000")  # kB
        sql.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        sql.execute("PRAGMA journal_size_limit = 4194304")
        if not tables:
            _create(sql)
        elif not tables.issuperset(_NAMES):
            raise Broken("it is no store")
        elif version_of(file) != VERSION:  # its making was interrupted
            _checkpoint(sql)
    except BaseException:
        sql.close()
        raise
    return sql


def connect_to_read(file: Path) -> sqlite3.Connection | None:
    """Open the file for reading, in any thread. None: there is none yet."""
    if not version_of(file):
        return None
    sql = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )
    sql.execute("PRAGMA query_only = 1")
    return sql


def packer_of(sql: sqlite3.Connection) -> Packer:
    """With the dictionary that the file has packed with from its beginning."""
    found = sql.execute("SELECT value FROM meta WHERE name = 'dictionary'").fetchone()
    if found is None or not isinstance(found[0], bytes):
        raise Broken("its dictionary is missing")
    return Packer(found[0])


def names_of(sql: sqlite3.Connection) -> set[str]:
    """Of tables and indices."""
    return {name for (name,) in sql.execute("SELECT name FROM sqlite_master")}


def is_broken(error: Exception) -> bool:
    """Damaged, rather than unusable for now."""
    if isinstance(error, sqlite3.Error):
        return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return isinstance(error, Broken)


def is_passing(error: sqlite3.Error) -> bool:
    """No room, no file, no permission, or somebody else writes: it may work later."""
    return _code(error) in (
        *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY),
        *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM),
        *(sqlite3.SQLITE_AUTH, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT),
    )


def is_interrupted(error: Exception) -> bool:
    """Somebody called `interrupt`."""
    return isinstance(error, sqlite3.Error) and _code(error) == sqlite3.SQLITE_INTERRUPT


def set_aside(file: Path) -> Path:
    """Move a damaged file out of the way, with what SQLite has beside it; of many the newest few are kept.

    The file goes first: whoever opens it finds none then, and SQLite drops a log that has no file.
    """
    numbers = sorted(_numbers(file))
    for number in numbers[: len(numbers) + 1 - _BROKEN_KEPT]:
        for suffix in ("", "-wal", "-shm"):
            broken(file, number, suffix).unlink(missing_ok=True)
    number = numbers[-1] + 1 if numbers else 1
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            file.with_name(file.name + suffix).rename(broken(file, number, suffix))
    return broken(file, number, "")


def broken(file: Path, number: int, suffix: str) -> Path:
    """What is set aside."""
    return file.with_name(f"{file.name}.broken-{number}{suffix}")


def _numbers(file: Path) -> list[int]:
    found = (
        path.name.removeprefix(f"{file.name}.broken-") for path in file.parent.glob(f"{file.name}.broken-*")
    )
    return [int(number) for number in found if number.isdecimal()]


def _create(sql: sqlite3.Connection) -> None:
    """All at once, and in the file itself, not in the log beside it: `version_of` reads the file."""
    sql.execute("BEGIN IMMEDIATE")
    for table in TABLES:
        sql.execute(table)
    sql.execute("INSERT INTO meta VALUES ('dictionary', ?)", (DICTIONARY,))
    sql.execute(f"PRAGMA application_id = {APPLICATION}")
    sql.execute(f"PRAGMA user_version = {VERSION}")
    sql.execute("COMMIT")
    _checkpoint(sql)


def _checkpoint(sql: sqlite3.Connection) -> None:
    sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF
