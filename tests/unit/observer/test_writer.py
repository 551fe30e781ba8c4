"""What was put is stored once and then acknowledged, whatever the store does meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from sipproxy.observer import writer as module
from sipproxy.observer.writer import Writer
from sipproxy.store import Beginning, Changes, StoreError
from sipproxy.telemetry.parcel import Parcel
from tests.unit.net.observing import Lines, record
from tests.unit.net.support import DEADLINE_S

NO_CHANGES = Changes([], [], [], [], [])


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.005)
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.01)


def parcel(number: int) -> Parcel:
    return Parcel([], [record(number)], [], [])


class Store:
    """Outlives its keepers. What fails, and how often, is set by the test."""

    def __init__(self) -> None:
        self.numbers: list[int] = []  # of parcels that are in it, in order
        self.commits = 0
        self.opened = 0
        self.closed = 0
        self.maintained = threading.Event()
        self.unopenable: list[Exception] = []
        self.full = 0  # how many commits fail
        self.refused_twice = threading.Event()
        self.poison: set[int] = set()
        self.poisoned_at_commit = False
        self.may_commit = threading.Event()
        self.may_commit.set()

    def keeper(self) -> Keeper:
        return Keeper(self)


class Keeper:
    """As store.keeper, in memory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._batch: list[int] = []
        self._refused = 0

    def begin(self, boot: str) -> Beginning:
        store = self._store
        assert boot == "b1"
        if store.unopenable:
            raise store.unopenable.pop(0)
        store.opened += 1
        return Beginning(1, max(store.numbers, default=0), [], [], [])

    def keep(self, boot: str, number: int, parcel: Parcel, changes: Changes) -> bool:
        if number in self._store.poison and not self._store.poisoned_at_commit:
            raise TypeError("poison")
        if number in self._store.numbers:
            return False
        self._batch.append(number)
        return True

    def commit(self) -> bool:
        store = self._store
        assert store.may_commit.wait(DEADLINE_S)
        batch, self._batch = self._batch, []
        if store.poison.intersection(batch):
            raise TypeError("poison")
        if store.full:
            store.full -= 1
            self._refused += 1
            if self._refused == 2:
                store.refused_twice.set()
            return False
        store.commits += 1
        store.numbers += batch
        return True

    def maintain(self, now_ns: int) -> bool:
        self._store.maintained.set()
        return False

    def figures(self) -> dict[str, int]:
        return {"bytes": len(self._store.numbers)}

    def suspect(self) -> None:
        """Nothing to look at."""

    def close(self) -> None:
        self._store.closed += 1


class Story:
    """A writer, and what it told."""

    def __init__(self, store: Store) -> None:
        self.store, self.log = store, Lines()
        self.acknowledged: list[int] = []
        self.early: list[int] = []  # acknowledged and not stored
        self.beginnings: list[Beginning] = []
        self._told = threading.Condition()
        self.writer = Writer(store.keeper, "b1", begun=self._begun, stored=self._stored, log=self.log)

    def _begun(self, beginning: Beginning) -> None:
        self.beginnings.append(beginning)

    def _stored(self, number: int, finished: bool) -> None:
        with self._told:
            if finished and max(self.store.numbers, default=0) < number - 1:  # one number needs no storing
                self.early.append(number)
            self.acknowledged.append(number)
            self._told.notify_all()

    def puts(self, *numbers: int) -> None:
        for number in numbers:
            self.writer.put(number, parcel(number), NO_CHANGES)

    def until(self, enough: Callable[[], bool]) -> None:
        with self._told:
            assert self._told.wait_for(enough, DEADLINE_S)

    def until_acknowledged(self, number: int) -> None:
        self.until(lambda: number in self.acknowledged)


@contextmanager
def writing(store: Store | None = None) -> Iterator[Story]:
    story = Story(store or Store())
    story.writer.start()
    yield story
    story.writer.close(0.0)


def test_what_is_put_is_stored_in_order_and_then_acknowledged() -> None:
    with writing() as it:
        it.puts(1, 2, 3)
        it.until_acknowledged(3)
        assert it.store.numbers == [1, 2, 3]
        assert it.early == []
        assert it.beginnings == [Beginning(1, 0, [], [], [])]


def test_what_comes_during_a_commit_is_committed_together() -> None:
    store = Store()
    store.may_commit.clear()
    with writing(store) as it:
        it.puts(*range(1, 51))
        store.may_commit.set()
        it.until_acknowledged(50)
        assert store.numbers == [*range(1, 51)]
        assert store.commits <= 3


def test_what_needs_no_storing_is_acknowledged_in_its_turn() -> None:
    with writing() as it:
        it.puts(1)
        it.writer.put(2)
        it.until_acknowledged(2)
        assert it.store.numbers == [1]


def test_a_store_that_takes_nothing_gets_all_of_it_again() -> None:
    store = Store()
    store.full = 3
    with writing(store) as it:
        it.puts(1, 2)
        it.until_acknowledged(2)
        assert (store.numbers, store.full) == ([1, 2], 0)
        assert it.writer.trouble == ""


def test_while_it_takes_nothing_that_is_known_and_nothing_is_acknowledged() -> None:
    store = Store()
    store.full = 1 << 30
    with writing(store) as it:
        it.puts(1)
        assert store.refused_twice.wait(DEADLINE_S)
        assert it.writer.trouble == "the store takes nothing"
        assert it.acknowledged == []


def test_a_store_that_cannot_be_opened_yet_is_tried_again() -> None:
    store = Store()
    store.unopenable = [StoreError("disk full"), StoreError("disk full"), TypeError("a bug")]
    with writing(store) as it:
        it.puts(1)
        it.until_acknowledged(1)
        assert it.log.events == ["internal error"]  # of the others the keeper tells


def test_a_parcel_that_breaks_the_keeper_costs_itself_alone() -> None:
    store = Store()
    store.poison = {2, 4}
    store.may_commit.clear()
    with writing(store) as it:
        it.puts(1, 2, 3, 4, 5)
        store.may_commit.set()
        it.until_acknowledged(5)
        assert store.numbers == [1, 3, 5]
        assert it.writer.skipped == 2
        assert it.log.events.count("a parcel cannot be stored and is left out") == 2
        it.puts(6)
        it.until_acknowledged(6)


def test_the_same_where_it_breaks_the_commit() -> None:
    store = Store()
    store.poison, store.poisoned_at_commit = {2}, True
    with writing(store) as it:
        it.puts(1, 2, 3)
        it.until_acknowledged(3)
        assert (store.numbers, it.writer.skipped) == ([1, 3], 1)


def test_the_store_is_looked_after_also_while_nothing_comes() -> None:
    with writing() as it:
        assert it.store.maintained.wait(DEADLINE_S)
        assert it.writer.figures() == {"bytes": 0}


def test_closing_stores_all_that_was_put() -> None:
    store = Store()
    store.may_commit.clear()
    with writing(store) as it:
        it.puts(*range(1, 101))
        store.may_commit.set()
        assert it.writer.close() == 0
        assert store.numbers == [*range(1, 101)]
        assert store.closed == 1


def test_closing_gives_up_on_a_store_that_takes_nothing() -> None:
    store = Store()
    store.full = 1 << 30
    with writing(store) as it:
        it.puts(1)
        assert it.writer.close(0.05) == 1
        assert it.acknowledged == []


def test_closing_gives_up_on_a_store_that_never_opened() -> None:
    store = Store()
    store.unopenable = [StoreError("disk full")] * 10_000
    with writing(store) as it:
        it.puts(1, 2)
        assert it.writer.close(0.05) == 2
