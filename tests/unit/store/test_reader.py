"""The story of a call: all that links lead to, as far as a page can show; and spans to send again."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from sipproxy.b2bua.events import Linked
from sipproxy.propagation.context import TraceContext
from sipproxy.store import Changes, Query, StoreError, Story
from sipproxy.store.reader import Reader
from sipproxy.store.story import MOST_CALLS, MOST_MESSAGES, MOST_SPANS
from sipproxy.telemetry.parcel import Parcel
from tests.unit.store.support import MASKER, Observer, Worker, message, ns
from tests.unit.store.test_search import call_of, put
from tests.unit.telemetry.facts import Call, span_id
from tests.unit.telemetry.transfers import TARGET_CALL_ID, Transfer


def story_of(observer: Observer, ident: str) -> Story:
    story = observer.reader.story(ident)
    assert story is not None
    return story


def roots(story: Story) -> list[str]:
    return [call.root_id for call in story.calls]


def linked_to(*calls: Call, **more: str) -> Call:
    call = Call(**more)  # type: ignore[arg-type]
    call.origin.links = [other.root for other in calls]
    return call


def test_a_story_has_what_is_open(worker: Worker, observer: Observer) -> None:
    call = Call()
    observer.stores(worker.all(call.until_answered()))
    story = story_of(observer, call.root.trace_id)
    assert [(span.name, span.kind, span.end_ns > 0) for span in story.spans] == [
        ("route", "INTERNAL", True),
        ("INVITE", "SERVER", True),
        ("INVITE", "CLIENT", True),
        ("dialog", "SERVER", False),
        ("dialog", "CLIENT", False),
    ]
    assert (story.traces, story.truncated) == ([call.root.trace_id], False)


def test_links_are_followed_both_ways_and_on(worker: Worker, observer: Observer) -> None:
    first = Call(trace_id="1" * 32)
    second = linked_to(first, trace_id="2" * 32)
    third = linked_to(second, trace_id="3" * 32)
    elsewhere = Call(trace_id="4" * 32)
    for at, call in enumerate((first, second, third, elsewhere)):
        observer.stores(worker(call.arrives(float(at))))
    related = [call.root.span_id for call in (first, second, third)]
    for call in (first, second, third):
        assert roots(story_of(observer, call.root.span_id)) == related
    assert roots(story_of(observer, elsewhere.root.span_id)) == [elsewhere.root.span_id]
    story = story_of(observer, second.root.trace_id)
    assert story.traces[0] == "2" * 32
    assert sorted(story.traces) == ["1" * 32, "2" * 32, "3" * 32]


def test_calls_of_one_trace_stand_together(worker: Worker, observer: Observer) -> None:
    """A transfer whose new INVITE comes from outside: a call of its own in the same trace."""
    first, second = Call(), Call(transferred=True)
    observer.stores(worker(first.arrives()), worker(second.arrives(1.0)))
    assert roots(story_of(observer, second.root.span_id)) == [first.root.span_id, second.root.span_id]


def test_a_link_that_came_late_is_followed(worker: Worker, observer: Observer) -> None:
    call, other = Call(trace_id="1" * 32), Call(trace_id="2" * 32)
    transfer = Transfer(call)
    observer.stores(worker(other.arrives()), worker.all(call.until_answered()), worker(transfer.begins()))
    observer.stores(worker(Linked(transfer.context.span_id, other.root), transfer.ends()))
    assert len(story_of(observer, other.root.span_id).calls) == 2


def test_a_call_with_several_traces_is_one_call(worker: Worker, observer: Observer) -> None:
    call = Call(trace_id="1" * 32)
    transfer = Transfer(call)
    own = TraceContext("9" * 32, span_id(), 1)
    observer.stores(worker.all(call.until_answered()), worker(transfer.begins()))
    observer.stores(worker(transfer.calls_target(context=own)))
    for ident in ("1" * 32, "9" * 32, TARGET_CALL_ID):
        story = story_of(observer, ident)
        assert (roots(story), story.traces) == ([call.root.span_id], ["1" * 32, "9" * 32])


def test_calls_of_one_interaction_are_one_story(worker: Worker, observer: Observer) -> None:
    calls = [Call(trace_id=f"{number}" * 32, interaction_id="INT-7") for number in (1, 2)]
    observer.stores(*(worker(call.arrives()) for call in calls))
    assert len(story_of(observer, "INT-7").calls) == 2
    assert len(story_of(observer, calls[0].root.span_id).calls) == 1


def test_a_story_is_bounded_in_calls(observer: Observer) -> None:
    same = "a" * 32
    put(observer, [call_of(number, number, traces=(same,)) for number in range(16_300, 16_600)])  # two eras
    story = story_of(observer, same)
    assert [call.number for call in story.calls] == [*range(16_550, 16_600)]  # the newest
    assert story.truncated


def test_a_chain_of_links_is_bounded(observer: Observer) -> None:
    put(
        observer,
        [call_of(number, number, links=(f"{number - 1:032x}",)) for number in range(1, MOST_CALLS + 11)],
    )
    story = story_of(observer, f"{1:032x}")
    assert (len(story.calls), story.truncated) == (MOST_CALLS, True)
    assert len(story_of(observer, f"{MOST_CALLS + 10:032x}").calls) == MOST_CALLS


def test_a_chain_that_just_fits_is_not_truncated(observer: Observer) -> None:
    put(observer, [call_of(number, links=(f"{number - 1:032x}",)) for number in range(1, MOST_CALLS + 1)])
    story = story_of(observer, f"{1:032x}")
    assert (len(story.calls), story.truncated) == (MOST_CALLS, False)


def test_a_story_is_bounded_in_spans_and_messages(worker: Worker, observer: Observer) -> None:
    call = Call()
    parcel = worker.all(call.basic())
    one = parcel.finished[0]
    many = [one._replace(span_id=f"{number:016x}") for number in range(MOST_SPANS + 10)]
    seen = [message(1.0, "INFO", call.request.call_id, n) for n in range(MOST_MESSAGES + 10)]
    observer.stores(parcel._replace(messages=seen))
    (summary,) = observer.reader.search(Query()).calls
    changes = Changes([], [], [], [summary], [])
    observer.keeper.keep("first", 9, Parcel([], many, [], []), changes)
    observer.keeper.commit()
    story = story_of(observer, call.root.span_id)
    assert (len(story.spans), len(story.messages), story.truncated) == (MOST_SPANS, MOST_MESSAGES, True)


def test_damaged_rows_are_left_out(worker: Worker, observer: Observer) -> None:
    call = Call()
    seen = [message(0.0, "INVITE", call.request.call_id, 7)]
    observer.stores(worker(call.arrives(), call.is_routed(), call.is_tried(), messages=seen))
    sql = observer.keeper._opened().sql
    sql.execute("UPDATE spans SET data = x'5b5d'")
    sql.execute("UPDATE messages SET data = x'5b315d'")
    story = story_of(observer, call.root.span_id)
    assert ([span.name for span in story.spans], story.messages) == (["INVITE", "INVITE"], [])
    assert observer.keeper._suspected


def test_a_reader_goes_on_when_the_file_is_a_new_one(
    worker: Worker, observer: Observer, tmp_path: Path
) -> None:
    observer.stores(worker(Call().arrives()))
    assert len(observer.reader.search(Query()).calls) == 1
    observer.keeper.close()
    for path in tmp_path.glob("store.db*"):
        path.unlink()
    assert observer.reader.search(Query()) == ([], None)
    observer.restarts("second")
    call = Call()
    observer.stores(worker(call.arrives()))
    assert [found.root_id for found in observer.reader.search(Query()).calls] == [call.root.span_id]


def test_a_store_is_read_where_no_proxy_runs(worker: Worker, observer: Observer) -> None:
    call = Call()
    observer.stores(worker.all(call.basic()))
    observer.close()
    reader = Reader(observer.place, reference=MASKER.mask_reference)
    assert [found.root_id for found in reader.search(Query()).calls] == [call.root.span_id]
    reader.close()


def test_threads_take_turns(worker: Worker, observer: Observer) -> None:
    call = Call()
    observer.stores(worker.all(call.basic()))
    found: list[int] = []

    def ask() -> None:
        for _ in range(20):
            found.append(len(observer.reader.search(Query()).calls))
            found.append(len(story_of(observer, call.root.trace_id).calls))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 160


def test_a_question_can_be_interrupted(observer: Observer) -> None:
    put(observer, [call_of(number, interaction_id=f"INT-{number}") for number in range(1, 2000)])
    observer.reader.interrupt()  # nothing is asked: nothing happens
    assert len(observer.reader.search(Query()).calls) == 50
    sql = observer.reader._sql
    assert sql is not None
    sql.set_progress_handler(lambda: observer.reader.interrupt() or 0, 1)  # type: ignore[func-returns-value]
    with pytest.raises(StoreError, match="too long"):
        observer.reader.search(Query())
    sql.set_progress_handler(None, 0)
    assert len(observer.reader.search(Query()).calls) == 50


def test_spans_to_send_again_come_call_by_call_with_their_boot(worker: Worker, observer: Observer) -> None:
    old, call = Call(), Call()
    observer.stores(worker.all(old.basic()))
    observer.restarts("second")
    observer.stores(worker(call.arrives(20.0), call.is_routed(at=20.0), call.is_tried(at=20.0)))
    sent = [*observer.reader.spans()]
    assert [[boot for boot, _ in spans] for spans in sent] == [["first"] * 5, ["second"]]
    assert {span.root_id for _, span in sent[0]} == {old.root.span_id}
    assert all(span.end_ns for spans in sent for _, span in spans)
    assert len([*observer.reader.spans(ns(1.0))]) == 1
    assert [*observer.reader.spans(ns(21.0))] == []
    assert len([*observer.reader.spans(0, ns(20.0))]) == 1


def test_sending_again_keeps_nobody_waiting(worker: Worker, observer: Observer) -> None:
    """Also thousands of calls, and whatever is written or deleted meanwhile."""
    calls = [Call() for _ in range(450)]
    observer.stores(*(worker(call.arrives(5.0), call.is_routed(at=5.0)) for call in calls))
    sent = observer.reader.spans()
    first = next(sent)
    observer.stores(worker(Call().arrives(6.0)))
    assert len(observer.reader.search(Query()).calls) == 50
    told = [span.span_id for _, span in first] + [span.span_id for spans in sent for _, span in spans]
    assert len(told) == len(set(told)) == 450
