"""A transfer in the book of open spans: what hangs on it, what it says, and when it leaves."""

from __future__ import annotations

import tracemalloc

import pytest

from sipproxy.b2bua.events import DialogEnded, Established, Linked
from sipproxy.propagation.context import TraceContext
from sipproxy.telemetry.attributes import ALLOWED, ROWS, Place
from sipproxy.telemetry.parcel import Parcel, pack, unpack
from sipproxy.telemetry.record import MOST_EVENTS, PARENT_IS_REMOTE
from sipproxy.telemetry.settings import Mask
from tests.unit.telemetry.facts import CALLEE, CALLER, TRACE_ID, Call, request
from tests.unit.telemetry.telling import Telling, ms, names
from tests.unit.telemetry.transfers import TARGET_CALL_ID, Transfer, talking

ELSEWHERE = TraceContext("a" * 32, "b" * 16, 1)
HOUR_S = 3600.0
TYPES = {row.name: row.type for row in ROWS}


@pytest.fixture
def tell() -> Telling:
    return Telling()


def test_the_new_leg_hangs_on_the_transfer_and_that_on_the_root(tell: Telling) -> None:
    transfer = Transfer(Call())
    root, context = transfer.call.root, transfer.context
    tell.all(transfer.local())
    assert {(span.name, span.kind, span.parent_id) for span in tell.spans[3:]} == {
        ("transfer", "INTERNAL", root.span_id),
        ("INVITE", "CLIENT", context.span_id),
        ("re-INVITE", "CLIENT", context.span_id),
        ("dialog", "CLIENT", context.span_id),
        ("dialog", "CLIENT", root.span_id),
        ("dialog", "SERVER", root.span_id),
    }
    assert {span.trace_id for span in tell.spans} == {TRACE_ID}
    assert len({span.span_id for span in tell.spans}) == len(tell.spans) == 9
    assert not any(span.failed for span in tell.spans)
    assert len(tell.book) == 0


def test_the_transfer_says_how_and_what_became_of_it(tell: Telling) -> None:
    transfer = talking(tell)
    tell(transfer.begins(3.0), *transfer.tells("accepted", "notify", at=3.1))
    tell(transfer.ends("completed", 6.0, source="reported", status=200))
    span = tell.one("transfer", "INTERNAL")
    assert span.attributes == {
        "sip.transfer": True,
        "sip.transfer.kind": "blind",
        "sip.transfer.mode": "local",
        "sip.transfer.outcome": "completed",
        "sip.transfer.outcome_source": "reported",
        "sip.transfer.stage": "answered",
        "sip.response.status_code": 200,
        "sip.trunk": "carrier-a",
    }
    assert [(name, ms(at)) for name, at, _ in span.events] == [
        ("accepted", 3100),
        ("notify", 3100),
        ("outcome", 6000),
    ]
    assert (ms(span.start_ns), ms(span.end_ns)) == (3000, 6000)
    assert span.links == ()


def test_it_leaves_at_once_and_ends_once(tell: Telling) -> None:
    transfer = talking(tell)
    held = len(tell.book)
    assert tell(transfer.begins()) == []
    assert len(tell.book) == held + 1
    (span,) = tell(transfer.ends("completed", 6.0))
    assert span.name == "transfer"
    assert len(tell.book) == held
    assert (
        tell(transfer.ends("failed", 7.0), *transfer.tells("notify"), Linked(span.span_id, ELSEWHERE)) == []
    )


def test_a_re_invite_says_whom_it_went_to(tell: Telling) -> None:
    tell.all(Transfer(Call(rtt_ms=1.25)).local())
    assert tell.one("re-INVITE", "CLIENT").attributes == {
        "sip.request.method": "INVITE",
        "sip.response.status_code": 200,
        "sip.call_id": "1-2345@192.0.2.1",
        "sip.cseq": 2,
        "sip.leg": "caller",
        "sip.trunk": "sbc",
        "sip.peer.rtt_ms": 1.25,
        "network.transport": "udp",
        "network.peer.address": "192.0.2.1",
        "network.peer.port": 5070,
        "server.address": "192.0.2.1",
    }
    new_leg = next(span for span in tell.spans if span.attributes.get("sip.trunk") == "agents")
    assert new_leg.attributes["sip.call_id"] == TARGET_CALL_ID
    assert "sip.proxy.delay_us" not in new_leg.attributes
    assert new_leg.attributes["sip.leg"] == "callee"


def test_a_call_that_comes_back_from_outside_hangs_on_its_transfer(tell: Telling) -> None:
    transfer = talking(tell)
    transfer.mode = "relay"
    new = Call(parent=transfer.context, carrier="marker", decision="recovered", transferred=True)
    tell(transfer.begins(), *transfer.tells("accepted"), new.arrives(4.0), new.is_tried(at=4.0))
    tell(new.concludes(new.attempt, 486, 5.0), new.concludes(new.root, 486, 5.0), new.is_forgotten())
    tell(transfer.ends("busy", 5.0, stage="failed", status=486))
    arrived = next(span for span in tell.spans if span.span_id == new.root.span_id)
    assert arrived.parent_id == transfer.context.span_id
    assert arrived.attributes["sip.transfer"] is True
    assert arrived.attributes["sip.trace.carrier"] == "marker"
    assert not arrived.flags & PARENT_IS_REMOTE
    others = [span for span in tell.spans if span.name != "transfer" and span is not arrived]
    assert not any("sip.transfer" in span.attributes for span in others)


@pytest.mark.parametrize("leg", ["caller", "callee"])
@pytest.mark.parametrize(("dialled", "kind"), [(True, "CLIENT"), (False, "SERVER")])
def test_the_kind_of_a_dialog_says_who_dialled(tell: Telling, leg: str, dialled: bool, kind: str) -> None:
    """After a transfer the callee's place may belong to somebody who called us."""
    transfer = talking(tell)
    fact = transfer.target_is_established()
    assert isinstance(fact, Established)
    fact.leg, fact.dialled, fact.parent = leg, dialled, transfer.call.root
    tell(
        fact, DialogEnded(transfer.target_dialog.span_id, "transferred", 9.0, 1, transfer.call.root, "callee")
    )
    (span,) = (span for span in tell.spans if span.name == "dialog")
    assert (span.kind, span.parent_id) == (kind, transfer.call.root.span_id)
    assert span.attributes["sip.leg"] == leg
    assert span.attributes["sip.dialog.end"] == "transferred"


def test_a_flood_of_notifies_leaves_room_for_the_outcome(tell: Telling) -> None:
    transfer = talking(tell)
    tell(transfer.begins(), *transfer.tells("accepted", *["notify"] * 200), transfer.ends())
    span = tell.one("transfer", "INTERNAL")
    assert names(span) == ["accepted", *["notify"] * (MOST_EVENTS - 2), "outcome"]
    assert span.dropped_events == 74


def test_what_is_not_sampled_leaves_nothing(tell: Telling) -> None:
    transfer = Transfer(Call(sampled=False))
    tell.all(transfer.local())
    tell(Linked(transfer.context.span_id, ELSEWHERE), transfer.begins(), transfer.ends())
    assert tell.spans == []
    assert len(tell.book) == 0


def test_a_transfer_outlives_its_call(tell: Telling) -> None:
    """The transferor hangs up behind the 202, the transferee too; the new call rings on."""
    transfer = talking(tell)
    tell(transfer.begins(), *transfer.tells("accepted"))
    tell(*transfer.call.hangs_up(4.0), sent_at=4.0)
    assert len(tell.book) == 1
    for at in (44.0, 84.0, 124.0):
        assert tell(sent_at=at) == []
    tell(transfer.ends("timeout", 125.0, stage="expired", error="timeout"), sent_at=125.0)
    assert tell.one("transfer", "INTERNAL").attributes["sip.transfer.stage"] == "expired"
    assert len(tell.book) == 0
    assert tell(sent_at=164.0) == []
    assert not tell.book._orphans


def test_a_transfer_that_nobody_ends_is_given_up_when_none_can_be_pending(tell: Telling) -> None:
    transfer = talking(tell)
    tell(transfer.begins(3.0), *transfer.call.hangs_up(4.0), sent_at=4.0)
    asked = ((float(at), tell(sent_at=float(at))) for at in range(4, 7200, 10))
    at, gone = next((at, gone) for at, gone in asked if gone)
    assert HOUR_S < at - 3.0 < HOUR_S + 100
    assert [(span.name, ms(span.end_ns)) for span in gone] == [("transfer", at * 1000)]
    assert gone[0].attributes["sip.transfer.outcome"] == "unknown"
    assert len(tell.book) == 0


def test_those_that_nobody_ends_leave_in_portions(tell: Telling) -> None:
    calls = [Call() for _ in range(600)]
    for call in calls:
        tell(call.arrives(), call.is_tried(), call.is_forgotten())
    portions = [len(tell(sent_at=40.0)) for _ in range(6)]
    assert sum(portions) == len(tell.spans) == 2 * len(calls)
    assert max(portions) <= 256
    assert len(tell.book) == 0


@pytest.mark.parametrize(
    ("told", "stage"),
    [([], None), (["accepted"], "accepted"), (["notify"], "accepted"), (["accepted", "notify"], "accepted")],
)
def test_a_shutdown_leaves_the_outcome_unknown(tell: Telling, told: list[str], stage: str | None) -> None:
    """A NOTIFY can overtake the 202, and says as much."""
    transfer = talking(tell)
    tell(transfer.begins(3.0), *transfer.tells(*told))
    closed = tell.book.close_all(5.0)
    (span,) = (span for span in closed if span.name == "transfer")
    assert span.attributes["sip.transfer.outcome"] == "unknown"
    assert span.attributes.get("sip.transfer.stage") == stage
    assert names(span) == [*told, "outcome"]
    assert not span.failed
    assert ms(span.end_ns) == 5000
    assert "sip.dialog.end" not in span.attributes
    assert tell(transfer.ends(), *transfer.call.hangs_up()) == []
    assert len(tell.book) == 0


@pytest.mark.parametrize("mask", [Mask.LAST2, Mask.HASH, Mask.FULL])
def test_no_name_and_no_number_is_in_any_span_of_a_transfer(mask: Mask) -> None:
    tell = Telling(mask)
    invite = request("INVITE", f"{CALLER}@h", f"Referred-By: <sip:{CALLER}@h>\nSubject: {CALLER}\n")
    transfer = talking(tell, Call(request=invite, interaction_id=f"tel:{CALLER}", session_id=CALLER))
    new = Call(request=invite, parent=transfer.context, decision="recovered", transferred=True)
    tell(
        transfer.begins(), *transfer.tells("accepted", "notify", f"X{CALLER}", f'"Jane Roe" <sip:{CALLER}@h>')
    )
    tell(transfer.calls_target(), transfer.changes_transferee())
    tell.all([transfer.reaches_target(), transfer.is_done(), transfer.call.hangs_up(9.0), *new.basic()])
    assert len(tell.spans) == 14
    for secret in (CALLER.removeprefix("+"), CALLEE, "Jane", "Roe"):
        assert secret not in repr(tell.spans)


def test_every_attribute_has_a_row_for_its_place_and_its_type(tell: Telling) -> None:
    transfer = Transfer(
        Call(rtt_ms=3.5, interaction_id="INT-1", session_id="ab30317f1a784dc48ff824d0d3715d86")
    )
    tell.all(transfer.local()[:-2])
    new = Call(parent=transfer.context, decision="recovered", transferred=True)
    tell(transfer.ends("failed", 6.0, source="reported", stage="failed", status=488))
    tell.all([*new.basic(), transfer.call.hangs_up()])
    places = {
        ("INVITE", "SERVER"): Place.REQUEST,
        ("INVITE", "CLIENT"): Place.ATTEMPT,
        ("re-INVITE", "CLIENT"): Place.ATTEMPT,
        ("route", "INTERNAL"): Place.ROUTE,
        ("dialog", "SERVER"): Place.DIALOG,
        ("dialog", "CLIENT"): Place.DIALOG,
        ("transfer", "INTERNAL"): Place.TRANSFER,
    }
    assert {(span.name, span.kind) for span in tell.spans} == places.keys()
    for span in tell.spans:
        assert span.attributes.keys() <= ALLOWED[places[span.name, span.kind]]
        for name, value in span.attributes.items():
            assert type(value) is TYPES[name], name
        for _, _, attributes in span.events:
            assert (attributes or {}).keys() <= ALLOWED[Place.EVENT]
    told = set(tell.one("transfer", "INTERNAL").attributes)
    assert told == ALLOWED[Place.TRANSFER]


def test_records_survive_a_pipe_to_another_process(tell: Telling) -> None:
    spans = tell.all(Transfer(Call(interaction_id="INT-1")).local())
    parcel = Parcel([], spans, [], [])
    assert unpack(pack(parcel)) == parcel


def test_a_pending_transfer_is_one_small_span(tell: Telling) -> None:
    for facts in (
        facts for _ in range(100) for facts in Transfer(Call()).local()
    ):  # what is made once is made
        tell(*facts)
    transfers = [talking(tell) for _ in range(200)]
    told = [[transfer.begins(), *transfer.tells("accepted", "notify")] for transfer in transfers]
    held = len(tell.book)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for facts in told:
            tell.book.take(facts, 0.0)
        size = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(tell.book) == held + len(transfers)
    assert size / len(transfers) < 800
