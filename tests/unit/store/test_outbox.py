"""The outbox: what waits for whom, for how long, and how much of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from sipproxy.store.bundle import bundle
from sipproxy.store.cursor import Cursor
from sipproxy.store.outbox import rows_of
from sipproxy.telemetry.record import PARENT_IS_REMOTE
from tests.unit.store.outboxes import Keeper, instance_in, numbers_in, span, spans, taken_by


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def keeper(file: Path) -> Iterator[Keeper]:
    keeper = Keeper(file)
    yield keeper
    keeper.close()


def test_spans_wait_in_the_order_in_which_they_came(keeper: Keeper, file: Path) -> None:
    keeper.add(spans(range(3)))
    keeper.add(spans(range(3, 5)))
    assert taken_by(file) == [0, 1, 2, 3, 4]
    assert taken_by(file) == []


def test_neither_open_spans_nor_those_that_are_not_sampled(keeper: Keeper, file: Path) -> None:
    of_call = spans(range(4))
    keeper.add(
        [
            of_call[0]._replace(end_ns=0),
            of_call[1]._replace(flags=0),
            of_call[2]._replace(flags=PARENT_IS_REMOTE),
            of_call[3]._replace(flags=PARENT_IS_REMOTE | 1),
        ]
    )
    assert taken_by(file) == [3]


def test_a_batch_is_at_most_so_many_spans(file: Path) -> None:
    keeper = Keeper(file, batch=100)
    keeper.add(spans(range(250)))
    for start in range(250, 300, 10):
        keeper.add(spans(range(start, start + 10)))
    cursor = Cursor(file, "main")
    assert cursor.open()
    sizes = []
    while (batch := cursor.next(100, 1_000_000)) is not None:
        sizes.append(len(numbers_in(batch)))
        cursor.arrived(batch)
    assert sizes == [100, 100, 100]
    cursor.close()
    keeper.close()


def test_a_batch_is_at_most_so_many_bytes(keeper: Keeper, file: Path) -> None:
    keeper.add(spans(range(40), size=100_000))
    cursor = Cursor(file, "main")
    assert cursor.open()
    batch = cursor.next(512, 1_000_000)
    assert batch is not None
    assert numbers_in(batch) == list(range(9))
    cursor.close()
    assert taken_by(file) == list(range(40))


@pytest.mark.parametrize(
    ("sizes", "rows"),
    [
        ([], []),
        ([1, 1, 1], [3]),
        ([1] * 7, [4, 3]),
        ([60, 60], [1, 1]),
        ([300], [1]),
        ([300, 1, 1], [1, 2]),
        ([50, 50, 1], [2, 1]),
        ([0] * 5, [4, 1]),
    ],
)
def test_rows_hold_what_fits_into_one_request(sizes: list[int], rows: list[int]) -> None:
    given = [bytes(size) for size in sizes]
    cut = rows_of(given, 4, 100)
    assert [len(row) for row in cut] == rows
    assert [one for row in cut for one in row] == given


def test_a_rollback_leaves_nothing_behind(keeper: Keeper, file: Path) -> None:
    keeper.add(spans(range(2)))
    keeper.sql.execute("BEGIN IMMEDIATE")
    keeper.box.add(spans(range(2, 4)), [], "boot-2")
    keeper.sql.execute("ROLLBACK")  # the disk was full
    keeper.add(spans(range(2, 4)), boot="boot-2")
    assert taken_by(file) == [0, 1, 2, 3]


# Whose they are


def test_spans_keep_the_start_of_the_proxy_that_made_them(keeper: Keeper, file: Path) -> None:
    keeper.add(spans(range(2)), boot="boot-1")
    keeper.add(spans(range(2, 4)), boot="boot-2")
    keeper.add(spans(range(4, 6)), boot="boot-1")  # lost ones, told at the next start
    cursor = Cursor(file, "main")
    assert cursor.open()
    seen = []
    while (batch := cursor.next(512, 1_000_000)) is not None:
        seen.append((instance_in(batch), numbers_in(batch)))
        cursor.arrived(batch)
    assert seen == [("boot-1", [0, 1]), ("boot-2", [2, 3]), ("boot-1", [4, 5])]
    cursor.close()


def test_an_upgrade_does_not_relabel_what_waits(keeper: Keeper, file: Path) -> None:
    keeper.add(spans(range(1)), boot="boot-1")
    keeper.sql.execute(
        "UPDATE outbox_origins SET resource = ?", (b"\x0a\x00",)
    )  # as an older version wrote it
    keeper.add(spans(range(1, 2)), boot="boot-1")
    cursor = Cursor(file, "main")
    assert cursor.open()
    batch = cursor.next(512, 1_000_000)
    assert batch is not None
    assert (batch.envelope.resource, numbers_in(batch)) == (b"\x0a\x00", [0, 1])
    cursor.close()


def test_starts_that_no_span_names_are_forgotten(keeper: Keeper, file: Path) -> None:
    keeper.add(spans(range(1)), boot="the first")
    with keeper:
        for n in range(1200):
            keeper.box.add(spans(range(1)), [], f"boot-{n}")
    keeper.maintain()
    assert keeper.count("origins") == 1201  # all are needed
    taken_by(file)
    keeper.maintain()
    assert keeper.count("origins") == 1000


# Destinations


def test_every_destination_gets_everything(file: Path) -> None:
    keeper = Keeper(file, "archive")
    keeper.add(spans(range(3)))
    assert taken_by(file) == [0, 1, 2]
    keeper.maintain()
    keeper.add(spans(range(3, 5)))
    assert taken_by(file, "archive") == [0, 1, 2, 3, 4]
    assert taken_by(file) == [3, 4]
    keeper.close()


def test_what_all_have_got_is_deleted(file: Path) -> None:
    keeper = Keeper(file, "archive", batch=1)
    keeper.add(spans(range(1500)))
    taken_by(file)
    keeper.maintain()
    assert keeper.count("rows") == 1500
    taken_by(file, "archive")
    keeper.maintain()
    assert keeper.count("rows") == 1  # the newest carries the running totals
    assert keeper.box.held_bytes() < 1000
    keeper.add(spans(range(1500, 1502)))
    assert taken_by(file) == [1500, 1501]
    keeper.close()


def test_without_a_destination_nothing_is_written(file: Path) -> None:
    keeper = Keeper(file, main=False)
    keeper.add(spans(range(3)))
    assert keeper.count("rows") == 0
    keeper.close()


def test_a_destination_that_goes_holds_nothing_back(file: Path) -> None:
    keeper = Keeper(file, "archive")
    keeper.add(spans(range(600)))
    taken_by(file)
    keeper.close()
    keeper = Keeper(file)
    keeper.maintain()
    assert keeper.count("destinations") == 1
    assert keeper.count("rows") == 1
    keeper.close()


def test_a_destination_that_is_renamed_misses_nothing(file: Path) -> None:
    keeper = Keeper(file, "archive")
    keeper.add(spans(range(3)))
    taken_by(file)
    keeper.close()
    keeper = Keeper(file, "vault")
    assert taken_by(file, "vault") == [0, 1, 2]
    assert taken_by(file) == []
    keeper.close()


def test_a_new_destination_begins_where_the_slowest_is(file: Path) -> None:
    keeper = Keeper(file)
    keeper.add(spans(range(2)))
    taken_by(file)
    keeper.add(spans(range(2, 4)))
    keeper.close()
    keeper = Keeper(file, "archive")
    assert taken_by(file, "archive") == [2, 3]
    assert taken_by(file) == [2, 3]
    keeper.close()


def test_the_first_destination_after_none_begins_at_the_end(file: Path) -> None:
    Keeper(file).close()
    keeper = Keeper(file)
    keeper.add(spans(range(2)))
    keeper.close()
    Keeper(file, main=False).close()  # nobody wants them
    keeper = Keeper(file)
    keeper.add(spans(range(2, 4)))
    assert taken_by(file) == [2, 3]
    keeper.close()


# The disk


def test_the_oldest_go_when_the_disk_budget_is_used_up(file: Path) -> None:
    keeper = Keeper(file, "archive", unsent_mb=16, batch=1)
    keeper.add(spans(range(200), size=100_000))
    keeper.maintain()
    assert taken_by(file, "archive") == list(range(33, 200))
    cursor = Cursor(file, "main")
    assert cursor.open()
    assert cursor.tally == (0, 0, 33, 0)
    assert cursor.queued == 167
    assert keeper.box.held_bytes() < 16 << 20
    cursor.close()
    keeper.close()


def test_only_who_was_slow_loses_any(file: Path) -> None:
    keeper = Keeper(file, "archive", unsent_mb=16, batch=1)
    keeper.add(spans(range(100), size=100_000))
    assert len(taken_by(file, "archive")) == 100
    keeper.add(spans(range(100, 200), size=100_000))
    keeper.maintain()
    assert taken_by(file, "archive") == list(range(100, 200))
    assert taken_by(file) == list(range(33, 200))
    rows = keeper.sql.execute("SELECT name, dropped FROM outbox_destinations ORDER BY name")
    assert rows.fetchall() == [("archive", 0), ("main", 33)]
    keeper.close()


def test_what_arrives_while_it_is_given_up_is_not_counted_as_lost(file: Path) -> None:
    keeper = Keeper(file, unsent_mb=16, batch=50)
    keeper.add(spans(range(100), size=100_000))  # in rows of nine
    cursor = Cursor(file, "main")
    assert cursor.open()
    batch = cursor.next(18, 2_000_000)
    assert batch is not None
    keeper.add(spans(range(100, 200), size=100_000))
    keeper.maintain()  # meanwhile the batch is on its way
    cursor.arrived(batch)
    exported, refused, dropped, _ = cursor.tally
    assert (exported, refused) == (18, 0)
    rest = cursor.queued
    assert exported + dropped + rest == 200
    cursor.close()
    keeper.close()


# Those who send


def test_there_may_be_no_file_yet_and_none_is_made(file: Path) -> None:
    cursor = Cursor(file, "main")
    assert not cursor.open()
    assert not file.exists()
    sqlite3.connect(file).close()
    assert not cursor.open()  # a file, and no tables
    keeper = Keeper(file, main=False)
    assert not cursor.open()  # tables, but nobody knows us
    keeper.close()
    keeper = Keeper(file)
    assert cursor.open()
    cursor.close()
    keeper.close()


def test_a_store_that_was_set_aside_is_left(keeper: Keeper, file: Path) -> None:
    keeper.add(spans(range(2)))
    cursor = Cursor(file, "main")
    assert cursor.open()
    keeper.close()
    for path in [*file.parent.glob("store.db*")]:
        path.rename(path.with_name("broken-" + path.name))
    fresh = Keeper(file)
    fresh.add(spans(range(7, 9)))
    assert cursor.open()
    batch = cursor.next(512, 1_000_000)
    assert batch is not None
    assert numbers_in(batch) == [7, 8]
    assert cursor.files == 2
    cursor.close()
    fresh.close()


def test_what_arrived_is_written_down_before_the_next_is_read(keeper: Keeper, file: Path) -> None:
    keeper.add(spans(range(2)))
    cursor = Cursor(file, "main")
    assert cursor.open()
    batch = cursor.next(1, 1)
    assert batch is not None
    cursor._sql.execute(  # type: ignore[union-attr]  # a disk that is full, for this connection
        "CREATE TEMP TRIGGER full BEFORE UPDATE ON outbox_destinations "
        "BEGIN SELECT raise(ABORT, 'database or disk is full'); END"
    )
    with pytest.raises(sqlite3.Error, match="full"):
        cursor.arrived(batch)
    with pytest.raises(sqlite3.Error, match="full"):
        cursor.open()
    cursor.close()
    assert cursor.open()
    assert cursor.tally.exported == 2
    assert cursor.next(512, 1_000_000) is None
    cursor.close()


def test_what_is_set_aside_is_kept_with_its_reason(keeper: Keeper, file: Path) -> None:
    keeper.add(spans(range(3)))
    cursor = Cursor(file, "main")
    assert cursor.open()
    batch = cursor.next(512, 1_000_000)
    assert batch is not None
    cursor.arrived(batch, refused=1, aside=[(batch.spans[1], "HTTP 400")])
    assert cursor.tally == (1, 2, 0, 0)
    (row,) = keeper.sql.execute("SELECT destination, reason, span FROM outbox_refused")
    assert row == ("main", "HTTP 400", batch.spans[1])
    cursor.close()


def test_a_row_that_cannot_be_read_holds_up_nothing(file: Path) -> None:
    keeper = Keeper(file, batch=2)
    keeper.add(spans(range(8)))
    damaged = [b"", b"no spans at all", bundle([b"a", b"b"])[:-1] + b"c"]
    for row, data in enumerate(damaged, 2):
        keeper.sql.execute("UPDATE outbox_rows SET data = ? WHERE id = ?", (data, row))
    cursor = Cursor(file, "main")
    assert cursor.open()
    found = []
    while (batch := cursor.next(2, 1_000_000)) is not None:
        found += numbers_in(batch) if batch.spans else []
        cursor.arrived(batch)
    assert found == [0, 1]
    assert cursor.tally == (2, 0, 6, 0)
    cursor.close()
    keeper.close()


def test_spans_whose_origin_is_missing_leave_without_it(keeper: Keeper, file: Path) -> None:
    keeper.add(spans(range(2)))
    keeper.sql.execute("DELETE FROM outbox_origins")
    assert taken_by(file) == [0, 1]


def test_a_huge_span_goes_alone(keeper: Keeper, file: Path) -> None:
    """It is larger than any request should be."""
    keeper.add(
        [*spans([0]), span("0000000000000002", attributes={"sip.cseq": 1, "sip.trunk": "x" * 1_500_000})]
    )
    cursor = Cursor(file, "main")
    assert cursor.open()
    sizes = []
    while (batch := cursor.next(512, 1_000_000)) is not None:
        sizes.append(numbers_in(batch))
        cursor.arrived(batch)
    assert sizes == [[0], [1]]
    cursor.close()
