"""Where the store is, and that two proxies never share it."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sipproxy.store.place import Place, folder_of
from sipproxy.store.settings import StoreSettings
from sipproxy.store.version import VERSION
from tests.unit.store.support import Lines, Observer


def opened(folder: Path, log: Lines) -> Place:
    return Place.open(StoreSettings(path=str(folder)), log)


@pytest.mark.parametrize(
    ("path", "environment", "folder"),
    [
        ("/srv/store", {"STATE_DIRECTORY": "/var/lib/sipproxy"}, "/srv/store"),
        (None, {"STATE_DIRECTORY": "/var/lib/sipproxy:/var/lib/other"}, "/var/lib/sipproxy"),
        (None, {"XDG_STATE_HOME": "/home/a/state", "HOME": "/home/a"}, "/home/a/state/sipproxy"),
        (None, {"XDG_STATE_HOME": "not/absolute", "HOME": "/home/a"}, "/home/a/.local/state/sipproxy"),
        (None, {"HOME": "/home/a"}, "/home/a/.local/state/sipproxy"),
        (None, {}, "/.local/state/sipproxy"),
    ],
)
def test_where_the_folder_is(path: str | None, environment: dict[str, str], folder: str) -> None:
    assert folder_of(StoreSettings(path=path), environment) == Path(folder)


def test_a_folder_is_made_for_nobody_else_to_read(tmp_path: Path) -> None:
    log = Lines()
    place = opened(tmp_path / "a" / "b", log)
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((place.folder / "key").stat().st_mode) == 0o600
    assert (len(place.key), log.lines) == (32, [])
    place.close()


def test_the_files_are_for_nobody_else_to_read(tmp_path: Path) -> None:
    observer = Observer(tmp_path)
    observer.begin()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("store.db*")}
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}
    observer.close()


def test_the_key_stays(tmp_path: Path) -> None:
    log = Lines()
    first = opened(tmp_path, log)
    first.close()
    second = opened(tmp_path, log)
    assert (second.key, second.temporary) == (first.key, False)
    second.close()


def test_a_damaged_key_is_replaced_and_said(tmp_path: Path) -> None:
    log = Lines()
    (tmp_path / "key").write_bytes(b"short")
    place = opened(tmp_path, log)
    assert (len(place.key), log.events) == (32, ["store: key replaced"])
    assert (tmp_path / "key").read_bytes() == place.key
    place.close()


def test_a_key_that_is_gone_is_said_where_calls_are_stored(tmp_path: Path) -> None:
    log = Lines()
    opened(tmp_path, log).close()
    assert log.events == []
    (tmp_path / "store.db").touch()
    (tmp_path / "key").unlink()
    opened(tmp_path, log).close()
    assert log.events == ["store: key replaced"]


def test_a_second_proxy_gets_a_folder_for_its_time(tmp_path: Path) -> None:
    log = Lines()
    first = opened(tmp_path, log)
    second = opened(tmp_path, log)
    ((level, _, facts),) = log.lines
    assert (level, facts["reason"]) == ("warning", "another sipproxy uses it")
    assert facts["instead"] == str(second.folder)
    assert second.temporary
    assert second.folder != first.folder
    (second.folder / "store.db").write_bytes(b"")
    second.close()
    assert not second.folder.exists()
    first.close()
    assert tmp_path.exists()
    third = opened(tmp_path, log)
    assert not third.temporary
    third.close()


def test_a_killed_proxy_leaves_no_lock(tmp_path: Path) -> None:
    program = """
import sys, time
from sipproxy.store.place import Place
from sipproxy.store.settings import StoreSettings
from tests.unit.store.support import Lines
place = Place.open(StoreSettings(path=sys.argv[1]), Lines())
print(place.folder, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == str(tmp_path)
        log = Lines()
        place = opened(tmp_path, log)
        assert place.temporary
        place.close()
        other.kill()
    place = opened(tmp_path, log)
    assert not place.temporary
    place.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up root's rights, to have none")
def test_a_folder_where_we_may_not_write(tmp_path: Path) -> None:
    program = """
import os, sys
from sipproxy.store.place import Place
from sipproxy.store.settings import StoreSettings
from tests.unit.store.support import Lines
os.setgid(65534)
os.setuid(65534)
log = Lines()
place = Place.open(StoreSettings(path=sys.argv[1]), log)
((level, _, facts),) = log.lines
print(place.temporary, level, facts["reason"])
place.close()
"""
    readable = tmp_path / "readable"
    readable.mkdir(mode=0o755)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    done = subprocess.run(
        [sys.executable, "-c", program, str(readable)], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("True warning Permission denied", "")


def test_where_a_file_is_in_the_way(tmp_path: Path) -> None:
    log = Lines()
    (tmp_path / "file").touch()
    place = opened(tmp_path / "file" / "store", log)
    assert (place.temporary, len(log.lines)) == (True, 1)
    place.close()


def test_a_store_that_a_newer_sipproxy_made_is_not_touched(tmp_path: Path) -> None:
    observer = Observer(tmp_path)
    observer.begin()
    observer.close()
    sql = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    sql.execute(f"PRAGMA user_version = {VERSION + 1}")
    sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sql.close()
    before = (tmp_path / "store.db").read_bytes()
    log = Lines()
    place = opened(tmp_path, log)
    assert place.temporary
    assert "a newer sipproxy made it" in str(log.lines[0][2]["reason"])
    place.close()
    assert (tmp_path / "store.db").read_bytes() == before


def test_a_store_is_found_without_a_proxy(tmp_path: Path) -> None:
    settings = StoreSettings(path=str(tmp_path))
    assert Place.find(settings) is None
    assert [*tmp_path.iterdir()] == []
    place = Place.open(settings, Lines())
    assert Place.find(settings) is None  # nothing was stored yet
    observer = Observer(tmp_path)
    observer.begin()
    found = Place.find(settings)
    assert found is not None
    assert (found.folder, found.key) == (tmp_path, place.key)
    observer.close()
    place.close()
