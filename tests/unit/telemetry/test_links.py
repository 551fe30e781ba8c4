"""Spans of several traces, or branches, that have to do with each other."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.events import Established, Linked, Transacted
from sipproxy.propagation.context import TraceContext
from sipproxy.telemetry.record import MOST_LINKS
from tests.unit.telemetry.facts import TRACE_ID, Call, span_id
from tests.unit.telemetry.telling import Telling
from tests.unit.telemetry.transfers import TARGET_CALL_ID, talking

ELSEWHERE = TraceContext("a" * 32, "b" * 16, 1)
NEW_TRACE = TraceContext("c" * 32, "d" * 16, 1)


@pytest.fixture
def tell() -> Telling:
    return Telling()


def test_what_the_refer_carried_is_a_link(tell: Telling) -> None:
    transfer = talking(tell)
    tell(transfer.begins(link=ELSEWHERE), transfer.ends())
    assert tell.one("transfer", "INTERNAL").links == ((ELSEWHERE.trace_id, ELSEWHERE.span_id, 1),)


def test_an_attempt_without_a_parent_begins_a_trace_of_its_own(tell: Telling) -> None:
    """A chain of transfers that grew too long goes on in a new trace; both say so."""
    transfer = talking(tell, Call(interaction_id="INT-4711"))
    tell(transfer.begins(), transfer.calls_target(context=NEW_TRACE))
    tell(Linked(NEW_TRACE.span_id, transfer.context), Linked(transfer.context.span_id, NEW_TRACE))
    tell(transfer.call.concludes(NEW_TRACE, 200, 5.0), *transfer.call.is_acknowledged(5.1))
    assert len(tell.book) == 5  # the call, two dialogs, the transfer, the attempt
    fact = transfer.target_is_established()
    assert isinstance(fact, Established)
    fact.parent, fact.context = NEW_TRACE, NEW_TRACE.child("e" * 16)
    change = fact.context.child(span_id())
    root, dialog = transfer.call.root, fact.context
    tell(fact, Transacted(root, dialog, change, None, 5.5, "UPDATE", "callee", "agents", TARGET_CALL_ID, 3))
    closed = {span.span_id: span for span in tell.book.close_all(7.0)}
    attempt, joined = closed[NEW_TRACE.span_id], closed[transfer.context.span_id]
    assert (attempt.trace_id, attempt.parent_id) == (NEW_TRACE.trace_id, "")
    assert attempt.links == ((TRACE_ID, transfer.context.span_id, 1),)
    assert joined.links == ((NEW_TRACE.trace_id, NEW_TRACE.span_id, 1),)
    assert (closed["e" * 16].trace_id, closed["e" * 16].parent_id) == (NEW_TRACE.trace_id, NEW_TRACE.span_id)
    assert (closed[change.span_id].trace_id, closed[change.span_id].parent_id) == (
        NEW_TRACE.trace_id,
        "e" * 16,
    )
    assert {span.attributes["interaction.id"] for span in closed.values()} == {"INT-4711"}
    assert len(tell.book) == 0


def test_a_link_comes_in_time_while_the_ack_is_awaited(tell: Telling) -> None:
    call = Call()
    tell.all(call.until_answered()[:-1])
    tell(Linked(call.root.span_id, ELSEWHERE), Linked(call.root.span_id, NEW_TRACE))
    tell(Linked(call.root.span_id, ELSEWHERE), *call.is_acknowledged())
    assert tell.one("INVITE", "SERVER").links == (
        (ELSEWHERE.trace_id, ELSEWHERE.span_id, 1),
        (NEW_TRACE.trace_id, NEW_TRACE.span_id, 1),
    )
    assert tell(Linked(call.root.span_id, ELSEWHERE)) == []


def test_a_link_stands_beside_those_that_the_request_brought(tell: Telling) -> None:
    call = Call(parent=None, decision="linked")
    call.origin.links = [ELSEWHERE]
    tell(call.arrives(), Linked(call.root.span_id, NEW_TRACE), Linked(call.root.span_id, ELSEWHERE))
    tell(call.concludes(call.root, 486, 1.0))
    assert [link[0] for link in tell.one("INVITE", "SERVER").links] == [
        ELSEWHERE.trace_id,
        NEW_TRACE.trace_id,
    ]


def test_spans_of_one_trace_and_one_span_id_in_two_are_different_links(tell: Telling) -> None:
    transfer = talking(tell)
    others = [ELSEWHERE, ELSEWHERE.child("f" * 16), TraceContext("d" * 32, ELSEWHERE.span_id, 0)]
    tell(transfer.begins(), *(Linked(transfer.context.span_id, other) for other in others), transfer.ends())
    assert tell.one("transfer", "INTERNAL").links == tuple(
        (other.trace_id, other.span_id, other.flags) for other in others
    )


def test_no_more_links_than_fit(tell: Telling) -> None:
    transfer = talking(tell)
    tell(transfer.begins())
    for number in range(MOST_LINKS + 9):
        tell(Linked(transfer.context.span_id, ELSEWHERE.child(f"{number + 1:016x}")))
    tell(transfer.ends())
    links = tell.one("transfer", "INTERNAL").links
    assert [int(span_id, 16) for _, span_id, _ in links] == list(range(1, MOST_LINKS + 1))


def test_a_trace_of_its_own_that_is_not_sampled_leaves_nothing(tell: Telling) -> None:
    transfer = talking(tell)
    held = len(tell.book)
    tell(transfer.calls_target(context=TraceContext("c" * 32, "d" * 16, 0)))
    assert len(tell.book) == held
    assert tell(transfer.call.concludes(NEW_TRACE, 486, 4.0)) == []
