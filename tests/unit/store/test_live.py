"""What the calls are doing now: states, what lists show, and who is forgotten when."""

from __future__ import annotations

import tracemalloc

import pytest

from sipproxy.b2bua.events import Fact, Linked
from sipproxy.propagation.context import TraceContext
from sipproxy.store import Changes
from sipproxy.store.live import LINGERS_NS, LiveCalls
from sipproxy.store.summary import CallSummary, copy_of, outcome_of
from sipproxy.telemetry.parcel import Parcel
from tests.unit.store.support import CALLEE_CALL_ID, KEYS, Worker, joined, ns
from tests.unit.telemetry.facts import Call, span_id
from tests.unit.telemetry.transfers import Transfer

ELSEWHERE = TraceContext("a" * 32, "b" * 16, 1)
NOTHING = Parcel([], [], [], [])


@pytest.fixture
def live() -> LiveCalls:
    return LiveCalls(7, KEYS)


def one(live: LiveCalls) -> CallSummary:
    (call,) = live.calls()
    return call


def which(changes: Changes) -> list[str]:
    return [name for name, calls in zip(Changes._fields, changes, strict=True) if calls]


def test_a_call_goes_through_its_states(worker: Worker, live: LiveCalls) -> None:
    call = Call(interaction_id="INT-7")
    seen = []
    for facts in call.basic():
        changes = live.take(worker(*facts))
        seen.append((which(changes), [call.state for call in live.calls()]))
    assert seen == [
        (["added"], ["calling"]),
        ([], ["calling"]),
        (["changed"], ["ringing"]),
        (["changed"], ["talking"]),
        (["changed"], ["talking"]),
        (["ended"], []),
    ]


def test_what_lists_show_of_a_call(worker: Worker, live: LiveCalls) -> None:
    call = Call(interaction_id="INT-7")
    live.take(worker.all(call.until_answered()))
    (ended,) = live.take(worker(call.hangs_up(10.0), at=10.0)).ended
    assert ended == CallSummary(
        number=7,
        root_id=call.root.span_id,
        trace_id=call.root.trace_id,
        began_ns=ns(0),
        state="over",
        sampled=True,
        traces=(call.root.trace_id,),
        sender="***34",
        receiver="***ce",
        trunks=("sbc", "carrier-a"),
        call_keys=(KEYS(call.request.call_id), KEYS(CALLEE_CALL_ID)),
        call_ids=(call.request.call_id, CALLEE_CALL_ID),
        interaction_id="INT-7",
        answered_ns=ns(2),
        ended_ns=ns(10),
        outcome="answered",
        status=200,
        end="caller_bye",
        setup_ms=2000,
        talk_ms=8000,
        spans=5,
    )


@pytest.mark.parametrize(
    ("status", "error", "outcome"),
    [
        (200, "", "answered"),
        (486, "", "busy"),
        (600, "", "busy"),
        (603, "", "declined"),
        (487, "", "cancelled"),
        (408, "", "timeout"),
        (0, "timeout", "timeout"),
        (302, "", "refused"),
        (404, "", "refused"),
        (503, "", "failed"),
        (604, "", "failed"),
        (0, "transport", "failed"),
    ],
)
def test_outcomes(status: int, error: str, outcome: str) -> None:
    assert outcome_of(status, error) == outcome


def test_a_call_that_is_busy(worker: Worker, live: LiveCalls) -> None:
    call = Call()
    live.take(worker(call.arrives(), call.is_tried()))
    told = call.concludes(call.attempt, 486, 1.0), call.concludes(call.root, 486, 1.0), call.is_forgotten()
    (ended,) = live.take(worker(*told, at=1.0)).ended
    assert (ended.outcome, ended.status, ended.failed, ended.answered_ns) == ("busy", 486, False, 0)


def test_the_trunks_that_were_tried_stand_in_their_order(worker: Worker, live: LiveCalls) -> None:
    call = Call()
    second = call.root.child(span_id())
    live.take(worker(call.arrives(), call.is_routed("a", "b"), call.is_tried("a")))
    live.take(worker(call.concludes(call.attempt, 503, 0.1), call.is_tried("b", 0.1, second)))
    assert one(live).trunks == ("sbc", "a", "b")


def test_a_transfer_is_seen_while_it_lasts_and_counted(worker: Worker, live: LiveCalls) -> None:
    call = Call()
    transfer, again = Transfer(call), Transfer(call)
    live.take(worker.all(call.until_answered()))
    live.take(worker(transfer.begins()))
    assert (one(live).state, one(live).transfers, one(live).transferred) == ("transferring", 1, True)
    live.take(worker(again.begins()))
    live.take(worker(transfer.ends("refused", status=403)))
    assert one(live).state == "transferring"
    live.take(worker(again.ends()))
    assert (one(live).state, one(live).transfers, one(live).failed) == ("talking", 2, True)


def test_a_call_that_a_transfer_caused_is_transferred(worker: Worker, live: LiveCalls) -> None:
    live.take(worker(Call(transferred=True).arrives()))
    assert (one(live).transferred, one(live).transfers) == (True, 0)


def test_links_lead_to_other_traces_alone(worker: Worker, live: LiveCalls) -> None:
    call = Call()
    transfer = Transfer(call)
    call.origin.links = [ELSEWHERE, call.root.child(span_id())]
    live.take(worker.all(call.until_answered()))
    assert one(live).links == (ELSEWHERE.trace_id,)
    later = TraceContext("c" * 32, "d" * 16, 1)
    live.take(worker(transfer.begins(), Linked(transfer.context.span_id, later)))
    live.take(worker(transfer.ends()))
    assert one(live).links == (ELSEWHERE.trace_id, later.trace_id)
    own = TraceContext(later.trace_id, span_id(), 1)
    live.take(worker(transfer.calls_target(context=own)))
    assert (one(live).traces, one(live).links) == (
        (call.root.trace_id, later.trace_id),
        (ELSEWHERE.trace_id,),
    )


def test_a_transfer_that_outlasts_its_call_is_told_late(worker: Worker, live: LiveCalls) -> None:
    call = Call()
    transfer = Transfer(call)
    live.take(worker.all(call.until_answered()))
    live.take(worker(transfer.begins()))
    (ended,) = live.take(worker(call.hangs_up(), at=10.0)).ended
    assert ended.state == "over"
    assert [span.name for span in live.open_spans(call.root.span_id)] == ["transfer"]
    other = Call()
    assert live.take(worker(other.arrives(300.0), at=300.0)).gone == []  # something of it is open
    (late,) = live.take(worker(transfer.ends(at=301.0), at=301.0)).late
    assert (late.root_id, late.state, late.spans) == (call.root.span_id, "over", 6)
    assert live.open_spans(call.root.span_id) == []


def test_a_while_after_its_end_a_call_is_gone(worker: Worker, live: LiveCalls) -> None:
    call = Call()
    live.take(worker.all(call.until_answered()))
    live.take(worker(call.hangs_up(), at=10.0))
    key = KEYS(CALLEE_CALL_ID)
    over = 10.0 + LINGERS_NS / 1e9
    assert live.take(worker(Call().arrives(over - 0.1))).gone == []
    found = live.call_of_key(KEYS(call.request.call_id), ns(10))
    assert found is not None
    assert found.root_id == call.root.span_id
    (gone,) = live.take(worker(Call().arrives(over))).gone
    assert gone.root_id == call.root.span_id
    assert live.call_of_key(key) is None
    assert live.open_spans(call.root.span_id) == []


def test_a_call_is_found_by_whatever_it_is_known_by(worker: Worker, live: LiveCalls) -> None:
    call, other = Call(interaction_id="INT-7"), Call(trace_id="e" * 32)
    live.take(worker.all(call.until_answered()))
    live.take(worker(other.arrives(3.0)))
    for ident in (call.root.span_id, call.root.trace_id, CALLEE_CALL_ID, "INT-7"):
        assert [found.root_id for found in live.by_id(ident)] == [call.root.span_id], ident
    assert [found.root_id for found in live.by_id(call.request.call_id)] == [
        call.root.span_id,
        other.root.span_id,
    ]
    assert live.by_id("") == []
    assert live.by_id("nobody's") == []


def test_of_calls_with_one_call_id_the_time_decides(worker: Worker, live: LiveCalls) -> None:
    """A challenged INVITE comes again with its Call-ID, and is a call of its own."""
    first, second = Call(), Call()
    live.take(worker(first.arrives(1.0)))
    live.take(worker(second.arrives(2.0)))
    key = KEYS(first.request.call_id)
    found = [live.call_of_key(key, at) for at in (ns(0.5), ns(1.5), ns(2.0), None)]
    roots = [first, first, second, second]
    assert [call and call.root_id for call in found] == [call.root.span_id for call in roots]


def test_openings_that_come_again_change_nothing(worker: Worker, live: LiveCalls) -> None:
    call = Call()
    transfer = Transfer(call)
    live.take(worker.all(call.until_answered()))
    live.take(worker(transfer.begins()))
    before = copy_of(one(live))
    assert which(live.take(worker.openings())) == []
    assert one(live) == before


def test_a_parcel_cut_differently_means_the_same(worker: Worker) -> None:
    call = Call()
    transfer = Transfer(call)
    lists: list[list[Fact]] = [*call.until_answered(), [transfer.begins()], [transfer.ends()]]
    pieces = [worker(*facts) for facts in lists]
    pieces.append(worker(call.hangs_up(), at=10.0))
    whole, cut = LiveCalls(), LiveCalls()
    (ended,) = whole.take(joined(pieces)).ended
    for piece in pieces[:-1]:
        cut.take(piece)
    assert cut.take(pieces[-1]).ended == [ended]


def test_changes_are_copies(worker: Worker, live: LiveCalls) -> None:
    call = Call()
    (added,) = live.take(worker(call.arrives())).added
    live.take(worker(call.progresses(180, call.root, at=0.5)))
    assert (added.state, one(live).state) == ("calling", "ringing")


def test_a_restarted_observer_goes_on(worker: Worker, live: LiveCalls) -> None:
    call = Call()
    transfer = Transfer(call)
    live.take(worker.all(call.until_answered()))
    live.take(worker(transfer.begins()))
    again = LiveCalls(8, KEYS, calls=[copy_of(one(live))], opened=live.open_spans(call.root.span_id))
    assert len(again) == 1
    again.take(worker.openings())
    assert which(again.settle()) == []
    again.take(worker(transfer.ends()))
    assert (one(again).state, one(again).transfers) == ("talking", 1)
    assert [call.number for call in again.take(worker(call.hangs_up(), at=10.0)).ended] == [7]
    assert len(again) == 0


def test_what_nobody_confirms_has_ended(worker: Worker, live: LiveCalls) -> None:
    """The signalling process had to drop what told of its end."""
    here, gone = Call(), Call()
    live.take(worker.all(here.until_answered()))
    live.take(worker.all(gone.until_answered()))
    worker(gone.hangs_up(), at=10.0)  # and nobody hears it
    live.doubt()
    live.take(worker.openings())
    changes = live.settle()
    assert [(call.root_id, call.outcome, call.state) for call in changes.ended] == [
        (gone.root.span_id, "lost", "over")
    ]
    assert live.open_spans(gone.root.span_id) == []
    assert [call.root_id for call in live.calls()] == [here.root.span_id]


def test_a_span_that_nobody_confirms_has_ended(worker: Worker, live: LiveCalls) -> None:
    """The call goes on, but the parcel with the transfer's end was dropped."""
    call = Call()
    transfer = Transfer(call)
    live.take(worker.all(call.until_answered()))
    live.take(worker(transfer.begins()))
    worker(transfer.ends(at=6.0))  # and nobody hears it
    live.doubt()
    live.take(worker.openings())
    changes = live.settle()
    (lost,) = changes.lost
    assert (lost.name, lost.attributes["sip.transfer.outcome"]) == ("transfer", "unknown")
    assert [(call.state, call.outcome) for call in changes.changed] == [("talking", "answered")]
    assert [span.name for span in live.open_spans(call.root.span_id)] == ["dialog", "dialog"]
    assert live.settle() == Changes([], [], [], [], [])


def test_a_call_that_goes_on_without_open_spans_is_not_lost(worker: Worker, live: LiveCalls) -> None:
    call = Call()
    live.take(worker.all(call.until_answered()))
    *ended, forgotten = call.hangs_up()
    live.take(worker(ended))
    live.doubt()
    live.take(worker.openings())
    assert live.settle().ended == []
    live.take(worker([forgotten]))
    assert [*live.calls()] == []


def test_a_clock_that_was_set_back_keeps_nobody(worker: Worker, live: LiveCalls) -> None:
    before = Call()
    live.take(worker.all(before.until_answered()))
    live.take(worker(before.hangs_up(7200.0), at=7200.0))
    after = Call()
    live.take(worker(after.arrives(100.0), after.concludes(after.root, 404, 100.0), at=100.0))
    live.take(worker(after.is_forgotten(), at=100.0))
    gone = live.take(worker(Call().arrives(140.0), at=140.0)).gone
    assert [call.root_id for call in gone] == [before.root.span_id, after.root.span_id]


def test_everything_as_if_it_were_told_now(worker: Worker, live: LiveCalls) -> None:
    call, over = Call(), Call()
    live.take(worker.all(over.basic()))
    live.take(worker.all(call.until_answered()))
    parcel, changes = live.everything()
    assert [span.name for span in parcel.opened] == ["dialog", "dialog"]
    assert [known.root_id for known in changes.added] == [over.root.span_id, call.root.span_id]


def test_odd_values_do_no_harm(worker: Worker, live: LiveCalls) -> None:
    call = Call()
    parcel = worker.all(call.basic())
    for record in parcel.finished:
        for name in record.attributes:
            record.attributes[name] = 7 if isinstance(record.attributes[name], str) else "odd"
    (ended,) = live.take(parcel).ended
    assert (ended.setup_ms, ended.error, ended.talk_ms) == (None, "", None)


def test_ten_thousand_live_calls_are_small(worker: Worker) -> None:
    calls = 500
    parcels = [worker.all(Call(trace_id=f"{number:032x}").until_answered()) for number in range(calls)]
    live = LiveCalls(1, KEYS)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for parcel in parcels:
            live.take(parcel)
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(live) == calls
    assert held / calls < 4000  # 40 MB for 10,000
