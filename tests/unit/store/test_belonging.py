"""Which spans a message belongs to: click a span, and its messages light up."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.events import Transacted
from sipproxy.store import StoredMessage, Story
from sipproxy.store.belonging import Belonging
from sipproxy.telemetry.record import SpanRecord
from tests.unit.store.support import CALLEE_CALL_ID, Observer, Worker, ladder, message
from tests.unit.telemetry.facts import Call, span_id
from tests.unit.telemetry.transfers import Transfer


def named(story: Story, m: StoredMessage) -> list[str]:
    names = {
        span.span_id: f"{span.name} {span.attributes.get('sip.leg', '')}".rstrip() for span in story.spans
    }
    return [names[span] for span in m.spans]


def story_of(observer: Observer, call: Call) -> Story:
    story = observer.reader.story(call.root.span_id)
    assert story is not None
    return story


def lines(story: Story) -> list[str]:
    return [f"{m.start} {m.method}: {', '.join(named(story, m))}" for m in story.messages]


def test_a_basic_call(worker: Worker, observer: Observer) -> None:
    call = Call()
    for facts, seen in zip(call.basic(), ladder(call), strict=True):
        observer.stores(worker(*facts, messages=seen))
    assert lines(story_of(observer, call)) == [
        "INVITE INVITE: INVITE caller",
        "100 Trying INVITE: INVITE caller",
        "INVITE INVITE: INVITE callee",
        "100 Trying INVITE: INVITE callee",
        "180 Ringing INVITE: INVITE callee",
        "180 Ringing INVITE: INVITE caller",
        "200 OK INVITE: INVITE callee",
        "200 OK INVITE: INVITE caller",
        "ACK ACK: INVITE caller",
        "ACK ACK: INVITE callee",
        "BYE BYE: dialog caller",
        "BYE BYE: dialog callee",
        "200 OK BYE: dialog caller",
        "200 OK BYE: dialog callee",
    ]


def test_while_it_lasts(worker: Worker, observer: Observer) -> None:
    call = Call()
    observer.stores(worker(call.arrives(), call.is_tried(), messages=ladder(call)[0]))
    assert lines(story_of(observer, call))[0] == "INVITE INVITE: INVITE caller"


def test_a_cancel_belongs_to_its_invite(worker: Worker, observer: Observer) -> None:
    call = Call()
    here = call.request.call_id
    seen = [
        message(1.0, "CANCEL", here, 7),
        message(1.0, "200 OK", here, 7, "CANCEL", sent=True),
        message(1.0, "487 Request Terminated", here, 7, "INVITE", sent=True),
    ]
    observer.stores(worker(call.arrives(), call.concludes(call.root, 487, 1.0), messages=seen))
    assert {line.partition(": ")[2] for line in lines(story_of(observer, call))} == {"INVITE caller"}


def test_requests_in_a_dialog_belong_to_it_and_to_their_span(worker: Worker, observer: Observer) -> None:
    call = Call()
    observer.stores(worker.all(call.until_answered()))
    change = call.caller_dialog.child(span_id())
    here = call.request.call_id
    told = Transacted(call.root, call.caller_dialog, change, None, 4.0, "UPDATE", "caller", "sbc", here, 8)
    seen = [
        message(4.0, "UPDATE", here, 8),
        message(4.0, "UPDATE", CALLEE_CALL_ID, 2, sent=True),
        message(4.1, "200 OK", here, 8, "UPDATE", sent=True),
        message(5.0, "INFO", here, 9),
    ]
    observer.stores(worker(told, call.concludes(change, 200, 4.1), messages=seen))
    assert lines(story_of(observer, call)) == [
        "UPDATE UPDATE: UPDATE caller, dialog caller",
        "UPDATE UPDATE: dialog callee",
        "200 OK UPDATE: UPDATE caller, dialog caller",
        "INFO INFO: dialog caller",
    ]


def test_of_numbers_used_from_both_sides_the_side_decides(worker: Worker, observer: Observer) -> None:
    """Each side of a dialog counts for itself: both may send a re-INVITE with the number 8."""
    call = Call()
    observer.stores(worker.all(call.until_answered()))
    change = call.callee_dialog.child(span_id())
    told = Transacted(
        *(
            call.root,
            call.callee_dialog,
            change,
            None,
            4.0,
            "re-INVITE",
            "callee",
            "carrier-a",
            CALLEE_CALL_ID,
            1,
        )
    )
    seen = [message(4.0, "INVITE", CALLEE_CALL_ID, 1), message(0.0, "INVITE", CALLEE_CALL_ID, 1, sent=True)]
    observer.stores(worker(told, messages=seen))
    assert lines(story_of(observer, call)) == [
        "INVITE INVITE: INVITE callee",
        "INVITE INVITE: re-INVITE callee, dialog callee",
    ]


def test_of_a_number_used_again_the_time_decides(worker: Worker, observer: Observer) -> None:
    first, second = Call(), Call()
    here = first.request.call_id
    observer.stores(
        worker(
            *(first.arrives(1.0), first.concludes(first.root, 503, 1.1), first.is_forgotten()),
            *(second.arrives(60.0), second.concludes(second.root, 486, 61.0)),
            messages=[
                message(1.0, "INVITE", here, 7),
                message(1.7, "ACK", here, 7),
                message(60.0, "INVITE", here, 7),
                message(61.2, "ACK", here, 7),
            ],
        )
    )
    story = story_of(observer, first)
    roots = [first.root.span_id] * 2 + [second.root.span_id] * 2
    assert [m.spans for m in story.messages] == [(root,) for root in roots]


def test_a_transfer_has_its_refer_and_notifies(worker: Worker, observer: Observer) -> None:
    call = Call()
    first, second = Transfer(call), Transfer(call)
    observer.stores(worker.all(call.until_answered()))
    here = CALLEE_CALL_ID
    seen = [
        message(3.0, "REFER", here, 2),
        message(3.0, "202 Accepted", here, 2, "REFER", sent=True),
        message(4.0, "NOTIFY", here, 2, sent=True),
        message(20.0, "REFER", here, 3),
    ]
    observer.stores(worker(first.begins(3.0), first.ends(at=4.0)))
    observer.stores(worker(second.begins(20.0), messages=seen))
    story = story_of(observer, call)
    assert [m.spans for m in story.messages] == [
        *[(first.context.span_id, call.callee_dialog.span_id)] * 3,
        (second.context.span_id, call.callee_dialog.span_id),
    ]


@pytest.mark.parametrize("value", [None, [1], {"a": 1}, "7", 7.5, True])
def test_nothing_makes_it_raise(worker: Worker, value: object) -> None:
    spans = worker.all(Call().basic()).finished
    odd: list[SpanRecord] = [
        span._replace(attributes={"sip.cseq": 7, "sip.request.method": "INVITE"}) for span in spans
    ]
    m = StoredMessage(1, 0, True, "", "", "", "", "", 0, 0, "", "", 1, "", 0)
    for name in ("method", "cseq", "root_id"):
        if not isinstance(value, list | dict):
            setattr(m, name, value)
    assert Belonging([*odd, *spans]).of(m) == ()
