"""What is too old or too much goes, oldest first, in small steps, and the file gets smaller."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sipproxy.store import Query
from sipproxy.store.settings import StoreSettings
from tests.unit.store.support import Exported, Observer, Worker, ladder, ns
from tests.unit.telemetry.facts import Call

DAY = 86_400
MEGABYTE = 1 << 20


def numbers(observer: Observer) -> list[int]:
    found = observer.reader.search(Query(limit=200))
    assert found.next is None
    return sorted(call.number for call in found.calls)


def rows(observer: Observer) -> dict[str, int]:
    sql = observer.keeper._opened().sql
    tables = ("calls", "summaries", "names", "trunk_calls", "spans", "messages", "journal")
    return {table: sql.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}


def files(folder: Path) -> int:
    """Bytes of the file and its log."""
    return sum(path.stat().st_size for path in folder.glob("store.db*") if not path.name.endswith("-shm"))


def tell(worker: Worker, observer: Observer, at: float) -> Call:
    """A call from then on, with its ladder; all that it told is over a minute ago."""
    call = Call()
    for facts, seen in zip(call.basic(), ladder(call), strict=True):
        for fact in facts:
            for name in ("at", "began_at", "arrived_at"):
                if hasattr(fact, name):
                    setattr(fact, name, getattr(fact, name) + at)
        later = [m._replace(at_ns=m.at_ns + round(at * 1e9)) for m in seen]
        observer.takes(worker(*facts, at=at + 10, messages=later))
    return call


def test_old_calls_go_with_all_that_was_theirs(worker: Worker, observer: Observer) -> None:
    for day in (0, 1, 6):
        tell(worker, observer, day * DAY)
    observer.keeper.commit()
    assert not observer.keeper.maintain(ns(6.5 * DAY))
    assert numbers(observer) == [1, 2, 3]
    while observer.keeper.maintain(ns(8.5 * DAY)):
        pass
    assert numbers(observer) == [3]
    left = rows(observer)
    assert (left["calls"], left["summaries"], left["trunk_calls"], left["journal"]) == (1, 1, 2, 0)
    assert observer.keeper.figures()["deleted"] == 2
    while observer.keeper.maintain(ns(20 * DAY)):
        pass
    assert numbers(observer) == [3]  # the last that ended is remembered until another has come
    observer.restarts("second")
    while observer.keeper.maintain(ns(20 * DAY)):
        pass
    assert set(rows(observer).values()) == {0}


def test_a_call_that_goes_on_stays(worker: Worker, observer: Observer) -> None:
    observer.stores(worker.all(Call().until_answered()))
    observer.restarts()
    assert not observer.keeper.maintain(ns(100 * DAY))
    assert numbers(observer) == [1]


@pytest.mark.slow
def test_the_file_stays_within_its_bound(tmp_path: Path, worker: Worker) -> None:
    observer = Observer(tmp_path, StoreSettings(max_mb=16), raw=True, outbox=None)
    observer.begin()
    for number in range(9000):
        tell(worker, observer, number * 100.0)
        if number % 50 == 49:
            assert observer.keeper.commit()
            for _ in range(5):
                if not observer.keeper.maintain(ns(number * 100.0)):
                    break
            assert files(tmp_path) < 16 * MEGABYTE
    left = [call.number for call in observer.reader.search(Query(limit=200)).calls]
    assert left == [*range(9000, 8800, -1)]  # the newest are there
    assert 1000 < rows(observer)["calls"] < 9000
    assert observer.log.lines == []
    observer.close()


@pytest.mark.slow
def test_a_smaller_bound_shrinks_the_file_step_by_step(tmp_path: Path, worker: Worker) -> None:
    observer = Observer(tmp_path, raw=True, outbox=None)
    observer.begin()
    for number in range(9000):
        tell(worker, observer, number * 100.0)
    observer.keeper.commit()
    assert files(tmp_path) > 20 * MEGABYTE
    observer.close()
    observer = Observer(tmp_path, StoreSettings(max_mb=16), raw=True, outbox=None)
    observer.begin("second")
    longest = 0.0
    more = True
    while more:
        before = time.perf_counter()
        more = observer.keeper.maintain(ns(9000 * 100.0))
        longest = max(longest, time.perf_counter() - before)
    assert files(tmp_path) < 16 * MEGABYTE
    assert longest < 1.0  # nobody else can write for as long
    observer.close()


def test_what_the_outbox_holds_is_not_counted(tmp_path: Path, worker: Worker) -> None:
    """Else an outage of the collector would delete calls."""

    class Full(Exported):
        def held_bytes(self) -> int:
            return 40 * MEGABYTE

        def maintain(self, now_ns: int) -> bool:
            question = "SELECT count(*) FROM outbox_test WHERE typeof(boot) = 'blob'"
            count = self._sql.execute(question).fetchone()[0]
            if count < 40:
                self._sql.execute("INSERT INTO outbox_test VALUES (zeroblob(?), NULL, NULL)", (MEGABYTE,))
            return bool(count < 40)

    observer = Observer(tmp_path, StoreSettings(max_mb=16), outbox=Full)
    observer.begin()
    tell(worker, observer, 0.0)
    tell(worker, observer, 1000.0)
    observer.keeper.commit()
    while observer.keeper.maintain(ns(1000)):
        pass
    assert files(tmp_path) > 40 * MEGABYTE
    assert numbers(observer) == [1, 2]
    observer.close()


def test_the_log_is_moved_into_the_file_every_few_seconds(
    worker: Worker, observer: Observer, tmp_path: Path
) -> None:
    """So that a power cut takes no more than that."""
    observer.keeper.maintain(ns(0))
    tell(worker, observer, 0.0)
    observer.keeper.commit()
    before = (tmp_path / "store.db").read_bytes()
    observer.keeper.maintain(ns(4))
    assert (tmp_path / "store.db").read_bytes() == before
    observer.keeper.maintain(ns(5))
    assert (tmp_path / "store.db").read_bytes() != before
