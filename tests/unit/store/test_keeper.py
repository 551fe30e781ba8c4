"""What is in the store is what whole parcels told, each once, whatever dies in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from sipproxy.store import Beginning, Query, StoreError
from sipproxy.store.settings import StoreSettings
from sipproxy.telemetry.parcel import Parcel
from tests.unit.store.support import Observer, Worker, ended, exported, ladder, ns
from tests.unit.telemetry.facts import Call
from tests.unit.telemetry.transfers import Transfer


def found(observer: Observer, **query: object) -> list[str]:
    """Root ids, newest first."""
    return [call.root_id for call in observer.reader.search(Query(**query)).calls]  # type: ignore[arg-type]


def spans(observer: Observer, call: Call) -> list[tuple[str, str]]:
    story = observer.reader.story(call.root.span_id)
    assert story is not None
    return [(span.name, span.kind) for span in story.spans if span.root_id == call.root.span_id]


def test_a_call_is_there_before_it_ends(worker: Worker, observer: Observer) -> None:
    call = Call()
    observer.stores(worker.all(call.until_answered()))
    (stored,) = observer.reader.search(Query()).calls
    assert (stored.state, stored.outcome, stored.setup_ms) == ("talking", "answered", 2000)
    assert len(spans(observer, call)) == 5
    observer.stores(worker(call.hangs_up(), at=10.0))
    (stored,) = observer.reader.search(Query()).calls
    assert (stored.state, stored.end, stored.spans) == ("over", "caller_bye", 5)
    assert len(spans(observer, call)) == 5


def test_spans_go_to_the_outbox_once_and_with_them_the_end_of_the_call(
    worker: Worker, observer: Observer, tmp_path: Path
) -> None:
    call = Call()
    observer.stores(*(worker(*facts) for facts in call.basic()))
    told = [span for _, span in exported(tmp_path)]
    assert len(told) == len(set(told)) == 5
    assert ended(tmp_path) == [call.root.span_id]


def test_a_parcel_that_is_there_is_not_taken_again(worker: Worker, observer: Observer) -> None:
    call = Call()
    first, second = worker.all(call.until_answered()), worker(call.hangs_up())
    assert observer.takes(first, 1)
    assert not observer.takes(first, 1)  # it waits to be written
    assert observer.keeper.commit()
    assert not observer.takes(first, 1)
    beginning = observer.restarts()
    assert beginning.last == 1
    assert not observer.takes(first, 1)
    assert observer.takes(second, 5)  # numbers have gaps where parcels were dropped
    assert not observer.takes(second, 4)
    observer.keeper.commit()
    assert len(spans(observer, call)) == 5


def test_what_was_not_committed_is_not_there(worker: Worker, observer: Observer) -> None:
    call = Call()
    parcel = worker.all(call.until_answered())
    observer.takes(parcel, 1)
    beginning = observer.restarts()
    assert (beginning.last, beginning.calls, found(observer)) == (0, [], [])
    assert observer.takes(parcel, 1)
    assert observer.keeper.commit()
    assert found(observer) == [call.root.span_id]


def test_a_restarted_observer_goes_on_with_the_calls_of_the_same_boot(
    worker: Worker, observer: Observer, tmp_path: Path
) -> None:
    over, talking = Call(), Call()
    transfer = Transfer(talking)
    observer.stores(worker.all(over.basic()), worker.all(talking.until_answered()))
    observer.stores(worker(transfer.begins()))
    beginning = observer.restarts()
    assert beginning.lost == []
    assert (beginning.next_number, [call.number for call in beginning.calls]) == (3, [2])
    assert [span.name for span in beginning.opened] == ["dialog", "dialog", "transfer"]
    observer.takes(worker.openings(), 0)
    observer.takes(worker.openings(), 0)  # at any time
    observer.stores(worker(transfer.ends()), worker(talking.hangs_up(), at=10.0))
    (stored, _) = observer.reader.search(Query()).calls
    assert (stored.number, stored.transfers, stored.spans, stored.outcome) == (2, 1, 6, "answered")
    assert len(spans(observer, talking)) == 6
    assert observer.restarts("second").lost == []
    assert len(exported(tmp_path)) == 11


def test_a_call_whose_beginning_comes_behind_its_dialogs_is_put_right(
    worker: Worker, observer: Observer
) -> None:
    """A new observer hears of what is open first, and then of what had waited for it."""
    call = Call()
    waiting = worker.all(call.until_answered())
    observer.takes(worker.openings(), 0)
    assert observer.keeper.commit()
    (early,) = observer.reader.search(Query()).calls
    assert (early.began_ns, early.state) == (ns(2.0), "talking")
    observer.stores(waiting._replace(messages=ladder(call)[0]))
    (stored,) = observer.reader.search(Query(trunk="carrier-a", until_ns=ns(1.0))).calls
    assert (stored.began_ns, stored.answered_ns, stored.trunks) == (ns(0), ns(2.0), ("sbc", "carrier-a"))
    assert found(observer, trunk="sbc") == [call.root.span_id]
    assert found(observer, since_ns=ns(1.0)) == []
    story = observer.reader.story(call.root.span_id)
    assert story is not None
    assert len(story.messages) == 3
    observer.stores(worker(call.hangs_up(), at=10.0))
    observer.stores(worker(Call().arrives(100.0), at=100.0))
    assert found(observer, trunk="carrier-a") == [call.root.span_id]


def test_openings_of_spans_that_have_ended_do_nothing(worker: Worker, observer: Observer) -> None:
    call = Call()
    arriving = worker(call.arrives(), call.is_tried())
    stale = worker.openings()
    observer.stores(arriving, worker(*call.is_answered()), worker(*call.is_acknowledged()))
    observer.restarts()
    observer.takes(stale, 0)
    observer.keeper.commit()
    assert len(spans(observer, call)) == 4
    assert len(observer.restarts("second").lost) == 2


def test_what_was_told_again_leaves_the_journal_though_it_is_opened_and_ended_in_a_later_batch(
    worker: Worker, observer: Observer
) -> None:
    call = Call()
    opening = worker.all(call.until_answered())
    observer.takes(worker.openings(), 0)
    observer.keeper.commit()
    observer.takes(opening, 1)  # what the observer before had not acknowledged
    observer.takes(worker.all([call.hangs_up(), [call.is_forgotten()]]), 2)
    observer.keeper.commit()
    assert observer.restarts("second").lost == []


def test_what_a_crash_left_open_is_closed_by_the_next_start(
    worker: Worker, observer: Observer, tmp_path: Path
) -> None:
    call, ringing, over = Call(), Call(), Call()
    transfer = Transfer(call)
    observer.stores(worker.all(call.until_answered()), worker(transfer.begins(3.0)))
    observer.stores(worker(ringing.arrives(4.0), ringing.is_tried(at=4.0), at=4.0))
    observer.stores(worker.all(over.basic()))
    observer.keeper.maintain(ns(62.5))  # the signalling process is alive
    beginning = observer.restarts("second")
    told = {(span.name, span.kind): span for span in beginning.lost if span.root_id == call.root.span_id}
    assert {span.end_ns for span in beginning.lost} == {ns(62.5)}
    assert told["dialog", "SERVER"].attributes["sip.dialog.end"] == "lost"
    assert told["dialog", "CLIENT"].attributes["sip.talk_ms"] == 60_500
    assert told["transfer", "INTERNAL"].attributes["sip.transfer.outcome"] == "unknown"
    assert told["transfer", "INTERNAL"].events == (("outcome", ns(62.5), None),)
    assert "error.type" not in told["transfer", "INTERNAL"].attributes
    others = [span for span in beginning.lost if span.root_id == ringing.root.span_id]
    assert [(span.name, span.kind) for span in others] == [("INVITE", "SERVER"), ("INVITE", "CLIENT")]
    stored = {call.root_id: call for call in observer.reader.search(Query()).calls}
    assert {call.outcome for call in stored.values()} == {"lost", "answered"}
    lost = stored[call.root.span_id]
    assert (lost.state, lost.outcome, lost.ended_ns, lost.end, lost.spans) == (
        *("over", "lost", ns(62.5), "lost"),
        6,
    )
    assert stored[over.root.span_id].outcome == "answered"
    assert exported(tmp_path)[-5:] == [("first", span.span_id) for span in beginning.lost]
    assert ended(tmp_path) == [over.root.span_id, call.root.span_id, ringing.root.span_id]


def test_it_is_closed_once(worker: Worker, observer: Observer, tmp_path: Path) -> None:
    observer.stores(worker.all(Call().until_answered()))
    assert len(observer.restarts("second").lost) == 2
    assert observer.restarts("second").lost == []
    assert observer.restarts("third").lost == []
    spans_told = [span for _, span in exported(tmp_path)]
    assert len(spans_told) == len(set(spans_told)) == 5


def test_a_call_that_was_over_keeps_its_outcome_when_its_transfer_is_lost(
    worker: Worker, observer: Observer, tmp_path: Path
) -> None:
    call = Call()
    observer.stores(worker.all(call.until_answered()), worker(Transfer(call).begins()))
    observer.stores(worker(call.hangs_up(), at=10.0))
    (lost,) = observer.restarts("second").lost
    assert lost.name == "transfer"
    (stored,) = observer.reader.search(Query()).calls
    assert (stored.outcome, stored.ended_ns, stored.spans) == ("answered", ns(10.0), 6)
    assert ended(tmp_path) == [call.root.span_id]


def test_a_call_whose_end_was_never_told_is_closed(
    worker: Worker, observer: Observer, tmp_path: Path
) -> None:
    call = Call()
    observer.stores(worker.all(call.until_answered()))
    worker(call.hangs_up(), at=10.0)  # dropped on its way
    observer.restarts()
    observer.takes(worker.openings(), 0)
    changes = observer.live.settle()
    assert observer.keeper.keep("first", 0, Parcel([], [], [], []), changes)
    assert observer.keeper.commit()
    (stored,) = observer.reader.search(Query()).calls
    assert (stored.state, stored.outcome, stored.spans) == ("over", "lost", 5)
    assert {span.end_ns > 0 for span in observer.reader.story(call.root.span_id).spans} == {True}  # type: ignore[union-attr]
    assert observer.restarts("second").lost == []
    assert len(exported(tmp_path)) == 5


def test_a_parcel_of_another_boot_is_refused(worker: Worker, observer: Observer) -> None:
    with pytest.raises(StoreError, match="another start"):
        observer.keeper.keep("second", 1, worker(), observer.live.take(worker()))


def test_two_observers_do_not_write_at_once(observer: Observer, tmp_path: Path) -> None:
    other = Observer(tmp_path)
    with pytest.raises(StoreError, match="another process still writes"):
        other.begin()
    observer.close()
    assert other.begin("second") == Beginning(1, 0, [], [], [])
    other.close()


def test_a_commit_of_nothing_succeeds(observer: Observer) -> None:
    assert observer.keeper.commit()


def test_figures_count_what_was_written(worker: Worker, observer: Observer) -> None:
    observer.stores(worker.all(Call().basic()))
    observer.keeper.maintain(ns(11))
    figures = observer.keeper.figures()
    assert (figures["spans"], figures["lost"], figures["failures"]) == (5, 0, 0)
    assert figures["bytes"] > 10_000


def test_numbers_go_on_after_a_restart(worker: Worker, observer: Observer) -> None:
    observer.stores(worker.all(Call().basic()), worker.all(Call().basic()))
    assert observer.restarts("second").next_number == 3


def test_without_an_outbox_nothing_is_exported(tmp_path: Path, worker: Worker) -> None:
    observer = Observer(tmp_path, StoreSettings(), outbox=None)
    observer.begin()
    observer.stores(worker.all(Call().basic()))
    observer.close()
    with pytest.raises(Exception, match="no such table"):
        exported(tmp_path)
