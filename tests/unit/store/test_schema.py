"""The file: how it is made and opened, and what is not taken for one of ours."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sipproxy.store import StoreError
from sipproxy.store.dictionary import DICTIONARY
from sipproxy.store.schema import (
    Broken,
    connect,
    connect_to_read,
    is_broken,
    is_interrupted,
    is_passing,
    packer_of,
    set_aside,
)
from sipproxy.store.version import VERSION, version_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def pragma(sql: sqlite3.Connection, name: str) -> object:
    return sql.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_new_file(file: Path) -> None:
    with closing(connect(file)) as sql:
        assert (pragma(sql, "journal_mode"), pragma(sql, "synchronous")) == ("wal", 1)
        assert pragma(sql, "auto_vacuum") == 2  # incremental
        assert version_of(file) == VERSION  # in the file, not in the log beside it
    with closing(connect(file)) as sql:
        assert pragma(sql, "auto_vacuum") == 2


def test_a_start_that_died_before_its_checkpoint_is_taken_up(file: Path, tmp_path: Path) -> None:
    """All tables are in the log, none in the file."""
    with closing(connect(file)) as sql:
        statements = [text for (text,) in sql.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]
        application = pragma(sql, "application_id")
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other, isolation_level=None)) as sql:
        sql.execute("PRAGMA journal_mode = WAL")
        sql.execute("BEGIN")
        for statement in statements:
            if not statement.startswith("CREATE TABLE sqlite_"):
                sql.execute(statement)
        sql.execute("INSERT INTO meta VALUES ('dictionary', ?)", (DICTIONARY,))
        sql.execute(f"PRAGMA application_id = {application}")
        sql.execute(f"PRAGMA user_version = {VERSION}")
        sql.execute("COMMIT")
        for suffix in ("", "-wal"):
            shutil.copy(f"{other}{suffix}", f"{file}{suffix}")
        file.with_name("store.db-shm").unlink(missing_ok=True)
    assert version_of(file) == 0
    with closing(connect(file)):
        assert version_of(file) == VERSION


def test_a_log_without_its_file_is_not_replayed_into_a_new_one(file: Path) -> None:
    with closing(connect(file)) as sql:
        sql.execute("INSERT INTO trunks (name) VALUES ('old')")
        shutil.copy(f"{file}-wal", f"{file}-copy")
    file.unlink()
    shutil.move(f"{file}-copy", f"{file}-wal")
    with closing(connect(file)) as sql:
        assert sql.execute("SELECT * FROM trunks").fetchall() == []


def test_a_damaged_file_that_others_still_read_takes_nothing_from_the_new_one(file: Path) -> None:
    """SQLite's last connection deletes the log beside its file, by name: by then the name is another's."""
    connect(file).close()
    reader = connect_to_read(file)
    assert reader is not None
    reader.execute("SELECT * FROM trunks").fetchall()
    set_aside(file)
    with closing(connect(file)) as sql:
        sql.execute("INSERT INTO trunks (name) VALUES ('new')")
        reader.close()
        assert file.with_name("store.db-wal").exists()
        with closing(connect(file)) as other:
            assert other.execute("SELECT name FROM trunks").fetchall() == [("new",)]


def test_reading_makes_no_file_and_writes_nothing(file: Path, tmp_path: Path) -> None:
    assert connect_to_read(file) is None
    assert [*tmp_path.iterdir()] == []
    connect(file).close()
    reader = connect_to_read(file)
    assert reader is not None
    with closing(reader), pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("INSERT INTO trunks (name) VALUES ('x')")


def test_a_file_keeps_its_dictionary(file: Path) -> None:
    with closing(connect(file)) as sql:
        sql.execute("UPDATE meta SET value = ? WHERE name = 'dictionary'", (b"an older one",))
        packed = packer_of(sql).pack(["an older one"])
    with closing(connect(file)) as sql:
        assert packer_of(sql).unpack(packed) == ["an older one"]
        sql.execute("DELETE FROM meta")
        with pytest.raises(Broken, match="dictionary"):
            packer_of(sql)


@pytest.mark.parametrize("version", [VERSION + 1, 2**31 - 1])
def test_what_a_newer_version_made_is_not_opened(file: Path, version: int) -> None:
    with closing(connect(file)) as sql:
        sql.execute(f"PRAGMA user_version = {version}")
        sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for opening in (connect, connect_to_read, version_of):
        with pytest.raises(StoreError, match=f"version {version} of the store, ours is {VERSION}"):
            opening(file)


def test_what_errors_mean() -> None:
    def error(code: int) -> sqlite3.OperationalError:
        made = sqlite3.OperationalError("as SQLite says")
        made.sqlite_errorcode = code
        return made

    assert is_broken(error(sqlite3.SQLITE_CORRUPT_INDEX))
    assert is_broken(Broken("no store"))
    assert is_passing(error(sqlite3.SQLITE_FULL))
    assert is_passing(error(sqlite3.SQLITE_IOERR_WRITE))
    assert is_interrupted(error(sqlite3.SQLITE_INTERRUPT))
    for other in (error(sqlite3.SQLITE_ERROR), sqlite3.ProgrammingError("a fault of ours")):
        assert not is_broken(other)
        assert not is_passing(other)
        assert not is_interrupted(other)
