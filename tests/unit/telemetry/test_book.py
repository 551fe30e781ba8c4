"""The book of open spans: nothing stays in it, and nothing leaves it unmasked or unasked."""

from __future__ import annotations

import tracemalloc
from typing import get_args

import pytest

from sipproxy.b2bua.events import Counted, DialogEnded, Fact, Milestone, Settled, Transacted
from sipproxy.propagation.context import TraceContext
from sipproxy.telemetry.attributes import ALLOWED, ROWS, Place
from sipproxy.telemetry.parcel import Parcel, pack, unpack
from sipproxy.telemetry.record import MOST_EVENTS
from sipproxy.telemetry.settings import Mask
from tests.unit.telemetry.facts import CALLEE, CALLER, Call, request, span_id
from tests.unit.telemetry.telling import Telling, ms, names

ELSEWHERE = TraceContext("a" * 32, "b" * 16, 1)
TYPES = {row.name: row.type for row in ROWS}


@pytest.fixture
def tell() -> Telling:
    return Telling()


def test_a_cancelled_attempt_is_told_after_the_call_is_forgotten(tell: Telling) -> None:
    call = Call()
    tell(call.arrives(), call.is_tried())
    tell(Milestone(call.root.span_id, "CANCEL", 1.0), Milestone(call.attempt.span_id, "CANCEL", 1.0))
    tell(call.concludes(call.root, 487, 1.0), call.is_forgotten(), sent_at=1.0)
    assert names(tell.one("INVITE", "SERVER")) == ["CANCEL", "487"]
    tell(call.concludes(call.attempt, 487, 1.2), sent_at=1.2)
    assert names(tell.one("INVITE", "CLIENT")) == ["CANCEL", "487"]
    assert len(tell.book) == 0


def test_what_a_forgotten_call_leaves_open_is_given_up_in_time(tell: Telling) -> None:
    call = Call()
    tell(call.arrives(), call.is_tried(), call.dialog("callee", 1.0))
    tell(call.concludes(call.root, 487, 1.0), call.is_forgotten(), sent_at=2.0)
    assert tell.one("dialog", "CLIENT").attributes["sip.dialog.end"] == "lost"
    tell(sent_at=41.9)
    assert len(tell.book) == 1
    tell(sent_at=42.0)
    assert ms(tell.one("INVITE", "CLIENT").end_ns) == 42_000
    assert len(tell.book) == 0


def test_a_late_2xx_of_a_cancelled_call_is_not_waited_for(tell: Telling) -> None:
    call = Call()
    tell(call.arrives(), call.is_tried())
    tell(call.concludes(call.attempt, 200, 1.0), call.concludes(call.root, 487, 1.0), call.is_forgotten())
    assert tell.one("INVITE", "CLIENT").attributes["sip.response.status_code"] == 200
    assert len(tell.book) == 0


def test_a_call_that_is_not_sampled_leaves_nothing(tell: Telling) -> None:
    call = Call(sampled=False)
    change = call.caller_dialog.child(span_id())
    for facts in call.basic():
        tell(*facts)
        assert len(tell.book) == 0
    tell(Transacted(call.root, call.caller_dialog, change, None, 4.0, "UPDATE", "caller", "sbc", "x", 8))
    tell(Counted("stray_ack", "sbc"))
    assert tell.spans == []


def test_a_span_keeps_its_first_events_and_its_last(tell: Telling) -> None:
    call = Call()
    tell.all(call.until_answered())
    for number in range(200):
        tell(Milestone(call.caller_dialog.span_id, "INFO", 3.0 + number / 1000))
    tell(*call.hangs_up(10.0))
    dialog = tell.one("dialog", "SERVER")
    assert len(dialog.events) == MOST_EVENTS
    assert names(dialog) == ["INFO"] * 127 + ["BYE"]
    assert dialog.dropped_events == 73


def test_event_names_that_a_peer_made_up_are_masked(tell: Telling) -> None:
    call = Call()
    tell.all(call.until_answered())
    tell(Milestone(call.caller_dialog.span_id, "X4915550001234", 3.0), *call.hangs_up())
    assert names(tell.one("dialog", "SERVER")) == ["X***34", "BYE"]


def test_a_shutdown_ends_what_is_open(tell: Telling) -> None:
    talking, ringing = Call(), Call()
    tell.all(talking.until_answered())
    tell(ringing.arrives(4.0), ringing.is_tried(at=4.0))
    closed = tell.book.close_all(5.0)
    assert [(span.name, span.kind, ms(span.end_ns)) for span in closed] == [
        ("dialog", "SERVER", 5000),
        ("dialog", "CLIENT", 5000),
        ("INVITE", "SERVER", 5000),
        ("INVITE", "CLIENT", 5000),
    ]
    assert [span.attributes.get("sip.dialog.end") for span in closed] == ["shutdown", "shutdown", None, None]
    assert closed[0].attributes["sip.talk_ms"] == 3000
    assert tell.book.close_all(6.0) == []
    assert tell(*talking.hangs_up()) == []  # late, and harmless
    assert len(tell.book) == 0


def test_records_survive_a_pipe_to_another_process(tell: Telling) -> None:
    call = Call(parent=None, decision="linked", rtt_ms=1.0, interaction_id="INT-1")
    call.origin.links = [ELSEWHERE]
    spans = tell.all(call.basic())
    parcel = Parcel([], spans, [], [])
    assert unpack(pack(parcel)) == parcel


@pytest.mark.parametrize("mask", [Mask.LAST2, Mask.HASH, Mask.FULL])
def test_no_name_and_no_number_is_in_any_record(mask: Mask) -> None:
    tell = Telling(mask)
    call = Call(
        request=request("INVITE", f"{CALLER}@h", f"User-Agent: phone of {CALLER}\nSubject: {CALLER}\n"),
        interaction_id=f"tel:{CALLER}",
        session_id=f"{CALLER};remote={CALLER}",
    )
    spans = tell.all(call.basic())
    for secret in (CALLER.removeprefix("+"), CALLEE, "Jane", "Roe"):
        assert secret not in repr(spans)


def test_every_attribute_has_a_row_for_its_place_and_its_type(tell: Telling) -> None:
    call = Call(rtt_ms=3.5, interaction_id="INT-1", session_id="ab30317f1a784dc48ff824d0d3715d86")
    tell.all(call.until_answered())
    change = call.caller_dialog.child(span_id())
    tell(Transacted(call.root, call.caller_dialog, change, None, 4.0, "UPDATE", "caller", "sbc", "x", 8))
    tell(call.concludes(change, 500, 4.2, repeats=2), *call.hangs_up())
    places = {
        ("INVITE", "SERVER"): Place.REQUEST,
        ("INVITE", "CLIENT"): Place.ATTEMPT,
        ("route", "INTERNAL"): Place.ROUTE,
        ("dialog", "SERVER"): Place.DIALOG,
        ("dialog", "CLIENT"): Place.DIALOG,
        ("UPDATE", "SERVER"): Place.IN_DIALOG,
    }
    assert {(span.name, span.kind) for span in tell.spans} == places.keys()
    for span in tell.spans:
        assert span.attributes.keys() <= ALLOWED[places[span.name, span.kind]]
        for name, value in span.attributes.items():
            assert type(value) is TYPES[name], name
        for _, _, attributes in span.events:
            assert (attributes or {}).keys() <= ALLOWED[Place.EVENT]


def test_a_held_call_is_two_small_spans(tell: Telling) -> None:
    for facts in (facts for _ in range(100) for facts in Call().basic()):  # what is made once is made
        tell(*facts)
    calls = [Call() for _ in range(200)]
    told = [call.until_answered() for call in calls]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for lists in told:
            for facts in lists:
                tell.book.take(facts, 0.0)
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(tell.book) == 3 * len(calls)
    assert held / len(calls) < 1500


def test_every_kind_of_fact_is_understood(tell: Telling) -> None:
    assert set(get_args(Fact)) == set(tell.book._takers)


def test_an_end_that_nobody_waits_for_is_harmless(tell: Telling) -> None:
    call = Call()
    late = DialogEnded("0" * 15 + "1", "timeout", 1.0, 5, call.root, "caller")
    assert tell(Settled("0" * 15 + "1"), late, call.is_forgotten()) == []
    assert (
        tell(*call.hangs_up(), call.concludes(call.root, 200, 1.0), *call.progresses(180, call.root, at=1.0))
        == []
    )
