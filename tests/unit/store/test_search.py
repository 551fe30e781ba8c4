"""Search: what is found by what, page by page, and that no question takes long."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sipproxy.store import Changes, Query
from sipproxy.store.schema import ERA_BITS
from sipproxy.store.summary import OUTCOMES, CallSummary
from sipproxy.telemetry.parcel import Parcel
from tests.unit.store.support import KEYS, Observer, Worker, ns
from tests.unit.telemetry.facts import Call, request

SECOND = 10**9


def call_of(number: int, began: float = 0.0, **more: object) -> CallSummary:
    """One that is over."""
    trace = f"{number:032x}"
    call = CallSummary(number, f"{number:016x}", trace, ns(began), state="over", traces=(trace,))
    for name, value in more.items():
        setattr(call, name, value)
    return call


def put(observer: Observer, calls: list[CallSummary]) -> None:
    """Into the store, as they are."""
    observer.keeper.keep("first", 0, Parcel([], [], [], []), Changes(calls, [], [], [], []))
    assert observer.keeper.commit()


def numbers(observer: Observer, **query: Any) -> list[int]:
    return [call.number for call in observer.reader.search(Query(**query)).calls]


def pages(observer: Observer, **query: Any) -> Iterator[list[int]]:
    before = None
    while True:
        found = observer.reader.search(Query(before=before, **query))
        yield [call.number for call in found.calls]
        if found.next is None:
            return
        before = found.next


def test_where_there_is_no_store_nothing_is_found(tmp_path: Path) -> None:
    observer = Observer(tmp_path)
    assert observer.reader.search(Query()) == ([], None)
    assert observer.reader.story("f" * 32) is None
    assert [*observer.reader.spans()] == []
    assert [*tmp_path.iterdir()] == []


def test_newest_first(observer: Observer) -> None:
    put(observer, [call_of(1, 5.0), call_of(2, 1.0), call_of(3, 5.0), call_of(4, 9.0)])
    assert numbers(observer) == [4, 3, 1, 2]


def test_by_each_property(observer: Observer) -> None:
    put(
        observer,
        [
            call_of(1, 1.0, outcome="answered", setup_ms=300, trunks=("sbc", "a")),
            call_of(2, 2.0, outcome="busy", setup_ms=2000, trunks=("sbc", "b")),
            call_of(3, 3.0, outcome="answered", setup_ms=2001, trunks=("sbc", "a", "b"), transferred=True),
            call_of(4, 4.0, trunks=("sbc",), state="calling"),
        ],
    )
    assert numbers(observer, outcome="answered") == [3, 1]
    assert numbers(observer, outcome="lost") == []
    assert numbers(observer, outcome="no such") == []
    assert numbers(observer, trunk="b") == [3, 2]
    assert numbers(observer, trunk="no such") == []
    assert numbers(observer, slower_than_ms=2000) == [3]
    assert numbers(observer, slower_than_ms=1999) == [3, 2]
    assert numbers(observer, slower_than_ms=0) == [3, 2, 1]
    assert numbers(observer, slower_than_ms=1 << 62) == []
    assert numbers(observer, transferred=True) == [3]
    assert numbers(observer, transferred=False) == [4, 2, 1]
    assert numbers(observer, since_ns=ns(2.0)) == [4, 3, 2]
    assert numbers(observer, until_ns=ns(2.0)) == [1]
    assert numbers(observer, since_ns=ns(2.0), until_ns=ns(3.0)) == [2]
    assert numbers(observer, trunk="b", outcome="answered", transferred=True, slower_than_ms=5) == [3]
    assert numbers(observer, trunk="b", outcome="busy", transferred=True) == []


def test_by_each_id(worker: Worker, observer: Observer) -> None:
    call = Call(interaction_id="tel:+4915550009999", request=request(call_id="4915550001234@192.0.2.1"))
    observer.stores(worker.all(call.basic()), worker.all(Call(trace_id="1" * 32).basic()))
    for ident in (
        call.root.trace_id,
        call.root.trace_id.upper(),
        call.root.span_id,
        "4915550001234@192.0.2.1",  # as it is
        "***34@192.0.2.1",  # as it is shown
        "tel:+4915550009999",
        "tel:***99",
    ):
        assert numbers(observer, id=ident) == [1], ident
    for ident in ("", "f" * 32, "4915550001235@192.0.2.1", "x" * 5000, "\udcff"):
        assert numbers(observer, id=ident) == [], ident
    assert numbers(observer, id=call.root.trace_id, outcome="busy") == []
    assert numbers(observer, id=call.root.trace_id, since_ns=ns(1.0)) == []


def test_many_calls_of_one_id_come_page_by_page(observer: Observer) -> None:
    same = "a" * 32
    put(observer, [call_of(number, number / 10, traces=(same,)) for number in range(1, 8)])
    assert [*pages(observer, id=same, limit=3)] == [[7, 6, 5], [4, 3, 2], [1]]


def test_an_id_is_found_in_every_era(observer: Observer) -> None:
    same = "a" * 32
    far = [1, 2, (1 << ERA_BITS) + 1, (1 << ERA_BITS) + 2, (5 << ERA_BITS) + 3]
    put(observer, [call_of(number, number, traces=(same,)) for number in far])
    assert [*itertools.chain(*pages(observer, id=same, limit=2))] == far[::-1]


def test_the_limit_is_bounded(observer: Observer) -> None:
    put(observer, [call_of(number) for number in range(1, 300)])
    assert [len(page) for page in pages(observer, limit=100_000)] == [200, 99]
    assert len(numbers(observer, limit=0)) == 1
    assert len(numbers(observer, limit=299)) == 200


@pytest.mark.parametrize(
    "before", ["", "x", "1", "1.", ".1", "1.x", "-1.1", "1.1.1", "9" * 60, "1.2 OR 1", "\u0661.\u0661"]
)
def test_what_is_no_cursor_is_refused(observer: Observer, before: str) -> None:
    put(observer, [call_of(1)])
    with pytest.raises(ValueError, match="no cursor"):
        numbers(observer, before=before)


def test_pages_hold_what_one_question_would(observer: Observer) -> None:
    """Whatever index leads: against a search that reads everything."""
    chance = random.Random(7)
    calls = [
        call_of(
            number,
            chance.randrange(50),
            outcome=chance.choice([*OUTCOMES[:3], ""]),
            setup_ms=chance.choice([None, 0, 1, 100, 1000, 2000, 4095, 4096]),
            transferred=chance.random() < 0.2,
            trunks=tuple({"in", chance.choice(["a", "b", "c"]), chance.choice(["a", "b", "c"])}),
        )
        for number in range(1, 400)
    ]
    put(observer, calls)
    for _ in range(150):
        query: dict[str, Any] = {
            "outcome": chance.choice([None, *OUTCOMES[:3]]),
            "trunk": chance.choice([None, "in", "a", "b"]),
            "slower_than_ms": chance.choice([None, 0, 99, 1000, 4095]),
            "transferred": chance.choice([None, True, False]),
            "since_ns": chance.choice([None, ns(10)]),
            "until_ns": chance.choice([None, ns(40)]),
        }
        expected = [
            call.number
            for call in sorted(calls, key=lambda call: (call.began_ns, call.number), reverse=True)
            if query["outcome"] in (None, call.outcome)
            and (query["trunk"] is None or query["trunk"] in call.trunks)
            and (query["slower_than_ms"] is None or (call.setup_ms or 0) > query["slower_than_ms"])
            and query["transferred"] in (None, call.transferred)
            and call.began_ns >= (query["since_ns"] or 0)
            and call.began_ns < (query["until_ns"] or ns(99))
        ]
        limit = chance.choice([1, 7, 200])
        assert [*itertools.chain(*pages(observer, limit=limit, **query))] == expected, query


def test_calls_that_come_meanwhile_do_not_shift_the_pages(observer: Observer) -> None:
    put(observer, [call_of(number, number) for number in range(1, 5)])
    found = observer.reader.search(Query(limit=2))
    put(observer, [call_of(5, 5.0)])
    assert numbers(observer, limit=2, before=found.next) == [2, 1]


def test_a_damaged_call_is_left_out_and_looked_at(observer: Observer) -> None:
    put(observer, [call_of(1), call_of(2)])
    sql = observer.keeper._opened().sql
    sql.execute("UPDATE summaries SET data = x'00' WHERE call = 2")
    assert numbers(observer) == [1]
    assert observer.keeper._suspected
    observer.keeper.maintain(ns(20))  # the file itself is whole
    assert observer.log.lines == []


@pytest.mark.alone
@pytest.mark.slow
def test_forty_thousand_calls_are_searched_within_a_moment(observer: Observer) -> None:
    """A million spans are measured by bench/store.py; here that no question reads everything."""
    calls = [
        call_of(
            number,
            number / 100,
            outcome="lost" if number < 3 else OUTCOMES[number % 2],
            setup_ms=90_000 if number < 3 else number % 4000,
            transferred=number < 3,
            trunks=("in", "rare" if number < 3 else "ab"[number % 2]),
            interaction_id=f"INT-{number}",
            call_keys=(KEYS(f"{number}@host"),),
            call_ids=(f"{number}@host",),
        )
        for number in range(1, 40_000)
    ]
    for start in range(0, len(calls), 5000):
        put(observer, calls[start : start + 5000])
    for query in (
        Query(),
        Query(outcome="lost"),
        Query(outcome="answered"),
        Query(trunk="rare"),
        Query(trunk="a", outcome="answered"),
        Query(slower_than_ms=80_000),
        Query(transferred=True),
        Query(id="INT-2"),
        Query(id="2@host"),
        Query(since_ns=ns(100), until_ns=ns(101)),
    ):
        best = min(_took(observer, query) for _ in range(3))
        assert best < 0.1, query


def _took(observer: Observer, query: Query) -> float:
    before = time.perf_counter()
    observer.reader.search(query)
    return time.perf_counter() - before
