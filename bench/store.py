"""The embedded store alone, on one core: spans/s that it takes, and how long a search lasts over a million.

    python -m bench.store [--spans N]

Calls are made beforehand and told in parcels as the signalling process would: 500 go on at a time, each in
three pieces (it arrives, it is answered, it ends). Only what the observer does with a parcel is timed.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sipproxy.store import Query
from sipproxy.store.keeper import Keeper
from sipproxy.store.live import LiveCalls
from sipproxy.store.place import Place
from sipproxy.store.reader import Reader
from sipproxy.store.settings import StoreSettings
from sipproxy.telemetry.callkey import CallKeys
from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.parcel import Note, Parcel, unpack
from sipproxy.telemetry.record import SpanRecord
from sipproxy.telemetry.settings import PrivacySettings
from sipproxy.telemetry.wire import Wire

from .store_calls import BEGAN_NS, EVERY_NS, RARE, SPANS_PER_CALL, call, messages, parcels

SPANS = 1_000_000
_PARCELS_IN_COMMIT = 40  # as many as the observer takes when it lags behind
_TRIES = 7
_LADDERS = 2000  # calls


class Row(NamedTuple):
    """One figure."""

    what: str
    value: float
    unit: str
    goal: str = ""


class Quiet:
    """A log that nobody reads."""

    def info(self, event: str, **facts: object) -> None: ...

    def warning(self, event: str, **facts: object) -> None: ...

    def error(self, event: str, **facts: object) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.store", description=__doc__)
    parser.add_argument("--spans", type=int, default=SPANS)
    for row in measure(parser.parse_args().spans):
        print(f"{row.what:<48} {row.value:>12,.1f} {row.unit:<8} {row.goal}")


def measure(spans: int = SPANS) -> list[Row]:
    """All figures, on a store in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="bench-store-") as folder:
        place = Place(Path(folder), bytes(range(32)))
        calls = spans // SPANS_PER_CALL
        rows = [*_write(place, calls), *_search(place, calls)]
    with tempfile.TemporaryDirectory(prefix="bench-store-") as folder:
        return [*rows, *_ladders(Place(Path(folder), bytes(range(32))))]


def _write(place: Place, calls: int) -> Iterator[Row]:
    keys = CallKeys(place.key)
    keeper = Keeper(place, StoreSettings(max_mb=100_000), None, keys, None, Quiet())
    live = LiveCalls(keeper.begin("bench").next_number, keys)
    following = keeping = slowest = 0.0
    waiting = number = 0
    for number, data in enumerate(parcels(calls, keys), 1):
        parcel = unpack(data)
        before = time.process_time()
        changes = live.take(parcel)
        between = time.process_time()
        keeper.keep("bench", number, parcel, changes)
        waiting += 1
        if waiting == _PARCELS_IN_COMMIT:
            waiting = 0
            began = time.perf_counter()
            keeper.commit()
            slowest = max(slowest, time.perf_counter() - began)
        following += between - before
        keeping += time.process_time() - between
    keeper.commit()
    keeper.maintain(BEGAN_NS)
    figures = keeper.figures()
    keeper.close()
    spans = figures["spans"]
    yield Row("store: spans/s written", spans / keeping, "spans/s", "at least 20,000")
    yield Row("store: spans/s with the live calls", spans / (keeping + following), "spans/s")
    yield Row("store: slowest commit", slowest * 1000, "ms")
    yield Row("store: bytes per span", figures["bytes"] / spans, "bytes")


def _ladders(place: Place) -> Iterator[Row]:
    """Masking included: 14 messages a call, each of 400 to 900 bytes."""
    keys = CallKeys(place.key)
    wire = Wire(Masker(PrivacySettings()))
    keeper = Keeper(place, StoreSettings(), wire, keys, None, Quiet())
    live = LiveCalls(keeper.begin("bench").next_number, keys)
    spent = 0.0
    for number in range(_LADDERS):
        opened: list[SpanRecord] = []
        finished: list[SpanRecord] = []
        notes: list[Note] = []
        for piece in call(4 * number + 101, _LADDERS, random.Random(number), keys):
            opened += piece[0]
            finished += piece[1]
            notes += piece[2]
        parcel = Parcel(opened, finished, notes, messages(opened[0], opened[1]))
        changes = live.take(parcel)
        before = time.process_time()
        keeper.keep("bench", number + 1, parcel, changes)
        if number % 20 == 19:
            keeper.commit()
        spent += time.process_time() - before
    keeper.maintain(BEGAN_NS)
    figures = keeper.figures()
    keeper.close()
    assert figures["messages"] == 14 * _LADDERS
    yield Row("store: calls/s with spans and ladder", _LADDERS / spent, "calls/s")
    yield Row("store: bytes per call with its ladder", figures["bytes"] / _LADDERS, "bytes")


def _search(place: Place, calls: int) -> Iterator[Row]:
    reader = Reader(place)
    middle = BEGAN_NS + calls // 2 * EVERY_NS
    rare = f"call-{RARE}@host"
    queries = {
        "everything": Query(),
        "a second page": Query(before=reader.search(Query()).next),
        "Call-ID": Query(id=rare),
        "no such id": Query(id="f" * 32),
        "interaction id": Query(id=f"INT-{RARE}"),
        "trunk that all use": Query(trunk="sbc"),
        "rare trunk": Query(trunk="rare"),
        "outcome of most": Query(outcome="answered"),
        "rare outcome": Query(outcome="declined"),
        "slower than 1 ms": Query(slower_than_ms=1),
        "slower than 50 s, rare": Query(slower_than_ms=50_000),
        "transferred, rare": Query(transferred=True),
        "not transferred": Query(transferred=False),
        "ten seconds of long ago": Query(since_ns=middle, until_ns=middle + 10**10),
        "half a year of nothing": Query(since_ns=0, until_ns=BEGAN_NS),
        "two that never meet": Query(trunk="busy-only", outcome="answered"),
        "two that never meet, and slow": Query(trunk="busy-only", outcome="answered", slower_than_ms=1),
        "all at once": Query(trunk="sbc", outcome="answered", transferred=True, slower_than_ms=1),
    }
    for what, query in queries.items():
        yield Row(f"search: {what}", _typical(partial(reader.search, query)), "ms", "under 100")
    yield Row("one call's story", _typical(lambda: reader.story(rare)), "ms")
    reader.close()


def _typical(question: Callable[[], object]) -> float:
    """The median, or the first, if that took longer: nothing was in SQLite's cache then."""
    times = []
    for _ in range(_TRIES):
        before = time.perf_counter()
        question()
        times.append(time.perf_counter() - before)
    return max(statistics.median(times), times[0]) * 1000


if __name__ == "__main__":
    main()
