"""Tail sampling: which calls are exported, once it is known how they went."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sipproxy.store.tail import ASKED, CHANCE, ERROR, MOST_HELD, SLOW, TRANSFER, Tail, chance
from sipproxy.telemetry.record import FORCED, SpanRecord
from sipproxy.telemetry.settings import KeepSettings
from tests.unit.store.outboxes import TRACE, Keeper, span, taken_by

KEEP = KeepSettings(slower_than_ms=2000)  # errors and transfers too, and no others
ROOT, OTHER = "00000000000000a1", "00000000000000b1"
OTHER_TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def keeper(file: Path) -> Iterator[Keeper]:
    keeper = Keeper(file, keep=KEEP)
    yield keeper
    keeper.close()


def of_call(number: int, root_id: str = ROOT, **changes: object) -> SpanRecord:
    """A span of a call; number 0 is its first."""
    span_id = root_id if number == 0 else f"{int(root_id, 16) + number:016x}"
    attributes = {"sip.cseq": number, **dict(changes.pop("attributes", {}))}  # type: ignore[call-overload]
    return span(span_id, root_id, attributes=attributes, **changes)


def counts(keeper: Keeper) -> tuple[int, int]:
    """Spans that were kept, and that were sampled out."""
    found: tuple[int, int] = keeper.sql.execute("SELECT kept, sampled_out FROM outbox_tally").fetchone()
    return found


# One span's reasons


@pytest.mark.parametrize(
    ("record", "reasons"),
    [
        (of_call(0), 0),
        (of_call(1, failed=True), ERROR),
        (of_call(0, attributes={"sip.setup.duration_ms": 2000}), 0),
        (of_call(0, attributes={"sip.setup.duration_ms": 2001}), SLOW),
        (of_call(2, name="transfer"), TRANSFER),
        (of_call(0, attributes={"sip.transfer": True}), TRANSFER),
        (of_call(0, flags=1 | FORCED), ASKED),
        (of_call(0, flags=1 | FORCED, failed=True), ASKED | ERROR),
    ],
)
def test_why_a_span_keeps_its_call(record: SpanRecord, reasons: int) -> None:
    assert Tail(KEEP).reasons(record) == reasons


def test_what_is_not_asked_for_is_no_reason() -> None:
    tail = Tail(KeepSettings(errors=False, transfers=False))
    assert tail.reasons(of_call(0, failed=True, name="transfer")) == 0
    assert tail.reasons(of_call(0, attributes={"sip.setup.duration_ms": 99_999})) == 0
    assert tail.reasons(of_call(0, flags=1 | FORCED)) == ASKED


def test_chance_is_the_same_for_a_trace_everywhere_and_comes_as_often_as_it_should() -> None:
    tail = Tail(KeepSettings(ratio=0.1))
    traces = [f"{n * 0x9E3779B97F4A7C15:032x}" for n in range(1, 5001)]
    kept = [trace for trace in traces if tail.reasons(of_call(0, trace_id=trace)) == CHANCE]
    assert 400 < len(kept) < 600
    assert kept == [trace for trace in traces if chance(trace) < round(0.1 * 2**64)]
    assert all(Tail(KeepSettings(ratio=1.0)).reasons(of_call(0, trace_id=trace)) for trace in traces)
    assert not any(Tail(KeepSettings(ratio=0.0)).reasons(of_call(0, trace_id=trace)) for trace in traces)


def test_chance_does_not_repeat_what_head_sampling_chose() -> None:
    """A tenth of a tenth is a hundredth."""
    head = [f"{n:016x}{n * 0x9E3779B97F4A7C15 % 2**64 // 10:016x}" for n in range(1, 5001)]
    tail = Tail(KeepSettings(ratio=0.1))
    assert 400 < sum(bool(tail.reasons(of_call(0, trace_id=trace))) for trace in head) < 600


def test_chance_is_asked_for_a_call_not_for_each_span() -> None:
    assert Tail(KeepSettings(ratio=1.0)).reasons(of_call(1)) == 0


# Calls


def test_a_call_without_a_reason_is_dropped_when_it_is_over(keeper: Keeper, file: Path) -> None:
    keeper.add([of_call(1), of_call(0)])
    keeper.add([of_call(2)])
    assert keeper.count("held") == 2
    keeper.add([of_call(3)], ROOT)
    assert keeper.count("held") == 0
    assert taken_by(file) == []
    assert counts(keeper) == (0, 4)


def test_a_reason_lets_everything_go_in_order(keeper: Keeper, file: Path) -> None:
    keeper.add([of_call(1), of_call(0)])
    keeper.add([of_call(2)])
    keeper.add([of_call(3, failed=True), of_call(4)])
    keeper.add([of_call(5)], ROOT)
    assert taken_by(file) == [1, 0, 2, 3, 4, 5]
    assert counts(keeper) == (6, 0)


def test_later_spans_follow_the_decision(keeper: Keeper, file: Path) -> None:
    keeper.add([of_call(0, failed=True)], ROOT)
    keeper.add([of_call(0, OTHER, trace_id=OTHER_TRACE)], OTHER)
    keeper.add([of_call(1), of_call(2, OTHER, trace_id=OTHER_TRACE, failed=True)])
    assert taken_by(file) == [0, 1]
    assert counts(keeper) == (2, 2)


def test_calls_are_told_apart(keeper: Keeper, file: Path) -> None:
    keeper.add([of_call(0), of_call(10, OTHER, trace_id=OTHER_TRACE), of_call(1)])
    keeper.add([of_call(11, OTHER, trace_id=OTHER_TRACE, failed=True)])
    assert taken_by(file) == [10, 11]
    assert keeper.count("held") == 1


def test_a_restart_keeps_what_is_held_and_what_was_decided(file: Path) -> None:
    third = "00000000000000c1"
    keeper = Keeper(file, keep=KEEP)
    keeper.add([of_call(0), of_call(20, OTHER, trace_id=OTHER_TRACE, failed=True)])
    keeper.add([of_call(30, third, trace_id="1" * 32)], third)
    keeper.close()
    keeper = Keeper(file, keep=KEEP)
    keeper.add([of_call(1, failed=True), of_call(21, OTHER, trace_id=OTHER_TRACE)], boot="boot-2")
    keeper.add([of_call(31, third, trace_id="1" * 32)], boot="boot-2")
    assert taken_by(file) == [20, 0, 1, 21]
    assert counts(keeper) == (4, 2)
    keeper.close()


def test_without_sampling_what_was_held_leaves(file: Path) -> None:
    keeper = Keeper(file, keep=KEEP)
    keeper.add([of_call(0)])
    keeper.close()
    keeper = Keeper(file)
    keeper.add([of_call(1)])
    assert taken_by(file) == [0, 1]
    keeper.close()


def test_a_rollback_takes_a_decision_back(keeper: Keeper, file: Path) -> None:
    keeper.add([of_call(0)])
    keeper.sql.execute("BEGIN IMMEDIATE")
    keeper.box.add([of_call(1, failed=True)], [], "boot-1")
    keeper.sql.execute("ROLLBACK")
    assert taken_by(file) == []
    keeper.add([of_call(1, failed=True)])
    assert taken_by(file) == [0, 1]
    assert counts(keeper) == (2, 0)


# Bounds


def test_a_call_that_takes_too_long_is_decided_on(file: Path) -> None:
    keeper = Keeper(file, keep=KeepSettings(wait_s=600))
    keeper.add([of_call(0)])
    keeper.maintain(after_s=590)
    assert keeper.count("held") == 1
    keeper.maintain(after_s=610)
    assert keeper.count("held") == 0
    keeper.add([of_call(1, failed=True)])
    assert taken_by(file) == []
    assert counts(keeper) == (0, 2)
    keeper.close()


def test_a_call_with_too_many_spans_is_decided_on(keeper: Keeper, file: Path) -> None:
    for number in range(0, MOST_HELD, 16):
        keeper.add([of_call(n) for n in range(number, number + 16)])
    assert keeper.count("held") == MOST_HELD // 16
    keeper.add([of_call(MOST_HELD)])
    assert keeper.count("held") == 0
    assert counts(keeper) == (0, MOST_HELD + 1)
    assert taken_by(file) == []


def test_the_oldest_are_decided_on_when_room_is_short(file: Path) -> None:
    keeper = Keeper(file, keep=KEEP, unsent_mb=16)
    for number in range(1, 300):
        root_id = f"{number:016x}"
        keeper.add([span(root_id, trace_id=f"{number:032x}", attributes={"sip.trunk": "x" * 20_000})])
    keeper.maintain()
    assert 0 < keeper.count("held") < 210  # of a quarter of 16 MB
    assert keeper.box.held_bytes() <= 4 << 20
    (last,) = keeper.sql.execute("SELECT max(call) FROM outbox_held").fetchone()
    assert last == 299
    keeper.close()


def test_what_is_long_over_is_forgotten(keeper: Keeper) -> None:
    keeper.add([of_call(0)], ROOT)
    keeper.add([of_call(0, OTHER, failed=True, trace_id=OTHER_TRACE)])  # its end is never told
    keeper.maintain(after_s=3600)
    assert keeper.count("calls") == 2
    keeper.maintain(after_s=3800)
    assert keeper.count("calls") == 1
    keeper.maintain(after_s=9 * 86400)
    assert (keeper.count("calls"), keeper.count("traces")) == (0, 0)


# Transfers


def test_both_calls_of_a_transfer_are_kept(keeper: Keeper, file: Path) -> None:
    """The one that a transfer caused comes from outside, in the same trace, and says so."""
    keeper.add([of_call(0), of_call(1)])
    keeper.add([of_call(10, OTHER, attributes={"sip.transfer": True})])
    keeper.add([of_call(2)], ROOT)
    keeper.add([of_call(11, OTHER)], OTHER)
    assert taken_by(file) == [0, 1, 10, 2, 11]


def test_a_call_that_a_link_leads_to_is_kept(keeper: Keeper, file: Path) -> None:
    keeper.add([of_call(10, OTHER, trace_id=OTHER_TRACE)])
    keeper.add([of_call(0, links=((OTHER_TRACE, "1" * 16, 1),), failed=True)])
    assert taken_by(file) == [10, 0]


def test_also_when_it_comes_later(keeper: Keeper, file: Path) -> None:
    keeper.add([of_call(0, failed=True)], ROOT)
    keeper.add([of_call(10, OTHER, trace_id=OTHER_TRACE, links=((TRACE, ROOT, 1),))])
    assert taken_by(file) == [0, 10]


def test_what_is_kept_for_another_s_sake_keeps_no_third(keeper: Keeper, file: Path) -> None:
    third, its_trace = "00000000000000c1", "c" * 32
    keeper.add([of_call(20, third, trace_id=its_trace, links=((OTHER_TRACE, OTHER, 1),))])
    keeper.add([of_call(10, OTHER, trace_id=OTHER_TRACE, links=((TRACE, ROOT, 1),))])
    keeper.add([of_call(0, failed=True)])
    assert taken_by(file) == [10, 0]
    assert keeper.count("held") == 1


def test_a_call_kept_by_chance_keeps_no_other(file: Path) -> None:
    keeper = Keeper(file, keep=KeepSettings(ratio=0.5))
    lucky = next(f"{n:032x}" for n in range(1, 99) if chance(f"{n:032x}") < 2**63)
    unlucky = next(f"{n:032x}" for n in range(1, 99) if chance(f"{n:032x}") >= 2**63)
    keeper.add([of_call(10, OTHER, trace_id=unlucky), of_call(0, OTHER, trace_id=unlucky)])
    keeper.add([of_call(0, trace_id=lucky, links=((unlucky, OTHER, 1),))])
    assert taken_by(file) == [0]
    keeper.add([of_call(1, trace_id=lucky, failed=True)])  # now there is a reason
    assert taken_by(file) == [10, 0, 1]
    keeper.close()
