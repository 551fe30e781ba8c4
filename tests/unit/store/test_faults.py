"""Damaged files, full disks, SIGKILL: what is acknowledged is there, and it goes on by itself."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from sipproxy.store import Query, StoreError
from sipproxy.store.version import VERSION
from tests.unit.store.support import Observer, Worker, exported, ns
from tests.unit.telemetry.facts import Call

MEGABYTE = 1 << 20


def found(observer: Observer) -> list[str]:
    return [call.root_id for call in observer.reader.search(Query(limit=200)).calls]


def damage(file: Path) -> None:
    """All of it but the first page; and another process writes, so that SQLite reads it again."""
    sql = sqlite3.connect(file, isolation_level=None)
    sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sql.execute("CREATE TABLE IF NOT EXISTS outbox_other (value)")
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(os.urandom(file.stat().st_size - 4096))
    sql.execute("PRAGMA user_version = 1")
    sql.close()


def free(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_bsize


def aside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*broken*"))


@pytest.mark.parametrize(
    "content",
    [b"not a database" * 500, b"SQLite format 3\x00" + bytes(5000), b"\xff" * 100],
    ids=["text", "header alone", "short"],
)
def test_a_damaged_file_is_set_aside_at_the_start(tmp_path: Path, worker: Worker, content: bytes) -> None:
    (tmp_path / "store.db").write_bytes(content)
    observer = Observer(tmp_path)
    assert observer.begin().calls == []
    ((level, event, facts),) = observer.log.lines
    assert (level, facts["aside"]) == ("error", str(tmp_path / "store.db.broken-1"))
    assert event == "store: set aside"
    assert (tmp_path / "store.db.broken-1").read_bytes()[:100] == content[:100]
    call = Call()
    observer.stores(worker.all(call.basic()))
    assert found(observer) == [call.root.span_id]
    assert observer.keeper.figures()["broken"] == 1
    observer.close()


def test_a_database_of_somebody_else_is_set_aside(tmp_path: Path) -> None:
    sql = sqlite3.connect(tmp_path / "store.db")
    sql.execute("CREATE TABLE theirs (value)")
    sql.close()
    observer = Observer(tmp_path)
    observer.begin()
    observer.close()
    sql = sqlite3.connect(tmp_path / "store.db.broken-1")
    assert sql.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    sql.close()


def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    (tmp_path / "store.db").touch()
    observer = Observer(tmp_path)
    observer.begin()
    assert observer.log.lines == []
    observer.close()


def test_a_start_that_was_cut_off_is_a_new_store(tmp_path: Path, worker: Worker) -> None:
    """SQLite had written its header, and no table yet."""
    sql = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    sql.execute("PRAGMA journal_mode = WAL")
    sql.close()
    observer = Observer(tmp_path)
    observer.begin()
    observer.stores(worker.all(Call().basic()))
    assert (observer.log.lines, len(found(observer))) == ([], 1)
    observer.close()
    sql = sqlite3.connect(tmp_path / "store.db")
    assert sql.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    sql.close()


def test_a_file_damaged_while_it_is_used_is_set_aside_and_nothing_waiting_is_lost(
    tmp_path: Path, worker: Worker
) -> None:
    observer = Observer(tmp_path)
    observer.begin()
    old, talking, new = Call(), Call(), Call()
    observer.stores(worker.all(old.basic()), worker.all(talking.until_answered()))
    damage(tmp_path / "store.db")
    observer.stores(worker.all(new.basic()), worker(talking.hangs_up(), at=10.0))
    assert [line[0] for line in observer.log.lines] == ["error"]
    assert aside(tmp_path)[0] == "store.db.broken-1"
    assert sorted(found(observer)) == sorted([talking.root.span_id, new.root.span_id])
    observer.close()


def test_a_reader_that_meets_damage_has_it_looked_at(tmp_path: Path, worker: Worker) -> None:
    observer = Observer(tmp_path)
    observer.begin()
    observer.stores(*(worker.all(Call().basic()) for _ in range(200)))
    damage(tmp_path / "store.db")
    with pytest.raises(StoreError, match=r"store\.db"):
        found(observer)
    observer.keeper.maintain(ns(20))
    assert "store.db.broken-1" in aside(tmp_path)
    assert found(observer) == []
    observer.close()


def test_of_damaged_files_the_newest_three_are_kept(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / "store.db").write_bytes(b"%d is not a database" % number)
        (tmp_path / "store.db-wal").write_bytes(b"neither is this")
        observer = Observer(tmp_path)
        observer.begin()
        observer.close()
    kept = [name for name in aside(tmp_path) if not name.endswith(("-wal", "-shm"))]
    assert kept == ["store.db.broken-3", "store.db.broken-4", "store.db.broken-5"]


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path, observer: Observer) -> None:
    observer.close()
    sql = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    sql.execute(f"PRAGMA user_version = {VERSION + 1}")
    sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sql.close()
    with pytest.raises(StoreError, match="a newer sipproxy made it"):
        observer.begin()
    with pytest.raises(StoreError, match="a newer sipproxy made it"):
        observer.reader.search(Query())
    assert aside(tmp_path) == []


def test_a_full_disk_loses_nothing_and_is_over_when_there_is_room(
    tmp_path: Path, worker: Worker, small_disk: Path
) -> None:
    observer = Observer(small_disk)
    observer.begin()
    observer.stores(worker.all(Call().basic()))
    (small_disk / "in the way").write_bytes(bytes(free(small_disk) - 200_000))
    written = []
    for number in range(2, 1000):
        parcel = worker.all(Call().basic())
        changes = observer.live.take(parcel)
        assert observer.keeper.keep("first", number, parcel, changes)
        written.append((number, parcel, changes))
        if not observer.keeper.commit():
            break
    waiting = written.pop()
    before = len(found(observer))
    assert before == min(200, 1 + len(written))
    for _ in range(3):
        assert observer.keeper.keep("first", *waiting)  # not "in the store already"
        assert not observer.keeper.commit()
    observer.keeper.maintain(ns(20))
    assert [line[0] for line in observer.log.lines] == ["warning"]
    (small_disk / "in the way").unlink()
    assert observer.keeper.keep("first", *waiting)
    assert observer.keeper.commit()
    assert not observer.keeper.keep("first", *waiting)
    assert [line[0] for line in observer.log.lines] == ["warning", "info"]
    assert len(found(observer)) == before + 1
    told = [span for _, span in exported(small_disk)]
    assert len(told) == len(set(told)) == 5 * (before + 1)
    assert observer.keeper.figures()["failures"] >= 4
    observer.close()


def test_a_new_store_on_a_full_disk_can_be_begun_later(small_disk: Path) -> None:
    (small_disk / "in the way").write_bytes(bytes(free(small_disk)))
    observer = Observer(small_disk)
    with pytest.raises(StoreError):
        observer.begin()
    with pytest.raises(StoreError):
        observer.begin()
    assert [line[0] for line in observer.log.lines] in (["warning"], [])
    (small_disk / "in the way").unlink()
    assert observer.begin().next_number == 1
    observer.close()


def test_a_file_that_was_removed_is_made_anew(tmp_path: Path, worker: Worker, observer: Observer) -> None:
    observer.stores(worker.all(Call().basic()))
    for path in tmp_path.glob("store.db*"):
        path.unlink()
    call = Call()
    observer.stores(worker.all(call.basic()))
    ((level, event, facts),) = observer.log.lines
    assert (level, event, facts["file"]) == ("warning", "store: removed", str(tmp_path / "store.db"))
    assert found(observer) == [call.root.span_id]


@pytest.mark.parametrize("suffixes", [["-wal"], ["-wal", "-shm"]])
def test_a_log_that_was_removed_costs_nothing(
    tmp_path: Path, worker: Worker, observer: Observer, suffixes: list[str]
) -> None:
    """Somebody cleans up what looks temporary: no new reader can see what is written then."""
    first, second, third = Call(), Call(), Call()
    observer.stores(worker.all(first.basic()))
    assert len(found(observer)) == 1
    for suffix in suffixes:
        (tmp_path / f"store.db{suffix}").unlink()
    parcel = worker.all(second.basic())
    assert observer.takes(parcel, 2)
    assert not observer.keeper.commit()
    assert (observer.restarts_wanted, observer.log.events) == (1, ["store: removed"])
    observer.restarts()
    observer.takes(parcel, 2)
    observer.takes(worker.all(third.basic()), 3)
    assert observer.keeper.commit()
    assert sorted(found(observer)) == sorted(call.root.span_id for call in (first, second, third))
    assert len(exported(tmp_path)) == 15


def test_a_folder_that_was_removed_is_made_anew(tmp_path: Path, worker: Worker) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    observer = Observer(folder)
    observer.begin()
    observer.stores(worker.all(Call().basic()))
    shutil.rmtree(folder)
    call = Call()
    observer.stores(worker.all(call.basic()))
    assert found(observer) == [call.root.span_id]
    names = ["key", "store.db", "store.db-shm", "store.db-wal", "writer"]
    assert sorted(path.name for path in folder.iterdir()) == names
    other = Observer(folder)
    with pytest.raises(StoreError, match="another process still writes"):
        other.begin()
    observer.close()


@pytest.mark.parametrize("trouble", ["damaged", "removed"])
def test_a_new_file_is_told_of_all_that_is_live(tmp_path: Path, worker: Worker, trouble: str) -> None:
    observer = Observer(tmp_path)
    observer.begin()
    talking, new = Call(), Call()
    observer.stores(worker.all(Call().basic()), worker.all(talking.until_answered()))
    if trouble == "damaged":
        damage(tmp_path / "store.db")
    else:
        (tmp_path / "store.db").unlink()
    observer.stores(worker(new.arrives(20.0)))
    assert observer.renewals == 1
    observer.tells_everything()
    assert {talking.root.span_id, new.root.span_id} <= set(found(observer))
    observer.restarts("second")
    assert len(exported(tmp_path)) == 3  # closed as lost: two dialogs, and the INVITE of the other
    assert observer.renewals == 1  # what a restart finds is its own business
    observer.close()


def test_sigkill_in_the_middle_of_a_transaction(tmp_path: Path) -> None:
    """What was acknowledged is there, what was under way is not, and the file is whole."""
    program = """
import os, signal, sys
from pathlib import Path
from tests.unit.store.support import Exported, Observer, Worker
from tests.unit.telemetry.facts import Call

class Killing(Exported):
    def add(self, records, ended, boot):
        super().add(records, ended, boot)
        if len(sys.argv) > 2 and self._sql.execute("SELECT count(*) FROM outbox_test").fetchone()[0] > 200:
            os.kill(os.getpid(), signal.SIGKILL)

observer, worker = Observer(Path(sys.argv[1]), outbox=Killing), Worker()
observer.begin()
for number in range(1000):
    call = Call()
    for facts in call.basic():
        observer.takes(worker(*facts))
    observer.keeper.commit()
    print(call.root.span_id, flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), "kill"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
    acknowledged = done.stdout.split()
    assert len(acknowledged) > 20
    observer = Observer(tmp_path)
    beginning = observer.begin()
    assert (observer.log.lines, beginning.lost) == ([], [])
    assert sorted(found(observer)) == sorted(acknowledged)
    assert len(exported(tmp_path)) == 5 * len(acknowledged)
    observer.close()
    sql = sqlite3.connect(tmp_path / "store.db")
    assert sql.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    sql.close()
