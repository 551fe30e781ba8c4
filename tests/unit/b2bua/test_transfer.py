"""One transfer: every input in every stage, and that its one outcome is told once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sipproxy.b2bua.call import Call
from sipproxy.b2bua.couple import Stage as CallStage
from sipproxy.b2bua.events import CallForgotten, Linked, Milestone, TransferBegan, TransferEnded
from sipproxy.b2bua.shared import Shared
from sipproxy.b2bua.transfer import SETTLE_S, Transfer
from sipproxy.propagation.context import TraceContext
from sipproxy.propagation.settings import PropagationSettings
from sipproxy.sip.refer import ReferTo
from tests.unit.b2bua.support import CONTEXT
from tests.unit.b2bua.talking import call_in, engine_room

EXPIRES_AT = 120.0
OTHER = TraceContext("a" * 32, "b" * 16, 1)

Input = Callable[[Transfer], None]
INPUTS: dict[str, Input] = {
    "accepted": lambda transfer: transfer.accepted(1.0),
    "refused": lambda transfer: transfer.refused(603, "", 1.0),
    "placed": lambda transfer: transfer.placed("call tag"),
    "100": lambda transfer: transfer.progressed(100, 1.0),
    "180": lambda transfer: transfer.progressed(180, 1.0),
    "200": lambda transfer: transfer.concluded(200, "", 1.0),
    "401": lambda transfer: transfer.concluded(401, "", 1.0),
    "487": lambda transfer: transfer.concluded(487, "", 1.0),
    "503": lambda transfer: transfer.concluded(503, "", 1.0),
    "silence": lambda transfer: transfer.concluded(408, "timeout", 1.0),
    "NOTIFY 100": lambda transfer: transfer.reported(100, 1.0),
    "NOTIFY 180": lambda transfer: transfer.reported(180, 1.0),
    "NOTIFY 200": lambda transfer: transfer.reported(200, 1.0),
    "NOTIFY 486": lambda transfer: transfer.reported(486, 1.0),
    "NOTIFY 487": lambda transfer: transfer.reported(487, 1.0),
    "time": lambda transfer: transfer.expired(EXPIRES_AT),
}

# How a stage is reached, and what the inputs make of it. What does not stand there changes nothing.
COMMON = {
    "refused": "refused refused 603",
    "placed": "trying",
    "180": "ringing",
    "200": "answered completed 200",
    "487": "abandoned cancelled 487",
    "503": "failed unreachable 503",
    "silence": "failed timeout 0 timeout",
}
NOT_SEEN = {"NOTIFY 100": "trying", "NOTIFY 180": "ringing", "time": "expired unknown 0"}
TABLE: dict[tuple[str, ...], dict[str, str]] = {
    (): {"accepted": "accepted", **COMMON, **NOT_SEEN},
    ("accepted",): {**COMMON, **NOT_SEEN},
    ("accepted", "NOTIFY 100"): {**COMMON, **NOT_SEEN},
    ("accepted", "NOTIFY 180"): {**COMMON, **NOT_SEEN},
    ("accepted", "NOTIFY 200"): {**COMMON, **NOT_SEEN, "time": "answered completed 200 reported"},
    ("accepted", "NOTIFY 486"): {**COMMON, **NOT_SEEN, "time": "failed busy 486 reported"},
    ("accepted", "NOTIFY 487"): {**COMMON, **NOT_SEEN, "time": "abandoned cancelled 487 reported"},
    ("accepted", "placed"): COMMON,
    ("placed",): COMMON,
    ("accepted", "placed", "180"): COMMON,
    ("accepted", "placed", "401"): {**COMMON, **NOT_SEEN},
    ("accepted", "placed", "200"): {},
    ("accepted", "placed", "503"): {},
    ("accepted", "placed", "487"): {},
    ("refused",): {},
    ("accepted", "time"): {},
    ("accepted", "NOTIFY 486", "time"): {},
}


def transfer_of(call: Call, target: str = "<sip:carol@192.0.2.3>", now: float = 0.0) -> Transfer:
    transfer = Transfer(call, ReferTo.parse(target), now)
    transfer.expires_at = EXPIRES_AT
    return transfer


@pytest.fixture
def shared() -> Shared:
    return engine_room()


@pytest.fixture
def transfer(shared: Shared) -> Transfer:
    return transfer_of(call_in(shared))


def ends(shared: Shared) -> list[TransferEnded]:
    return [fact for fact in shared.facts if isinstance(fact, TransferEnded)]


def told(transfer: Transfer) -> str:
    """Its stage, and its outcome where it has one."""
    if not transfer.over:
        assert ends(transfer.shared) == []
        return transfer.stage.name.lower()
    (end,) = ends(transfer.shared)
    assert end.stage == transfer.stage.name.lower()
    assert end.span_id == transfer.context.span_id
    words = (end.stage, end.outcome, str(end.status), end.error, end.source)
    return " ".join(word for word in words if word)


@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize("way", TABLE, ids=" ".join)
def test_each_input_in_each_stage(transfer: Transfer, way: tuple[str, ...], given: str) -> None:
    for step in way:
        INPUTS[step](transfer)
    before = told(transfer)
    INPUTS[given](transfer)
    assert told(transfer) == TABLE[way].get(given, before)
    assert transfer.shared.counts.get("transfers", 0) == transfer.over


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((status, "completed") for status in (200, 202, 299)),
        *((status, "busy") for status in (486, 600)),
        (603, "declined"),
        (408, "timeout"),
        (487, "cancelled"),
        *((status, "unreachable") for status in (404, 410, 480, 502, 503, 504)),
        *((status, "failed") for status in (400, 403, 482, 483, 484, 488, 491, 500, 501, 606, 699)),
        *((status, "failed") for status in (302, 401, 407, 422)),  # too late for another attempt
    ],
)
@pytest.mark.parametrize("source", ["", "reported"])
def test_the_outcome_of_a_status(transfer: Transfer, status: int, outcome: str, source: str) -> None:
    if source:
        transfer.reported(status, 1.0)
        transfer.shared.endpoint.expire(1.0 + SETTLE_S)
    else:
        transfer.placed("call tag")
        transfer.concluded(status, "", EXPIRES_AT)
    (end,) = ends(transfer.shared)
    assert (end.outcome, end.status, end.source) == (outcome, status, source)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ("timeout", "timeout"),
        ("transport", "unreachable"),
        ("dns", "unreachable"),
        ("overload", "unreachable"),
    ],
)
def test_where_no_response_came_none_is_told(transfer: Transfer, error: str, outcome: str) -> None:
    transfer.failed(408 if error == "timeout" else 503, error, 1.0)
    (end,) = ends(transfer.shared)
    assert (end.outcome, end.status, end.error) == (outcome, 0, error)


@pytest.mark.parametrize("status", [300, 301, 302, 305, 380, 401, 407, 421, 422, 423])
def test_a_call_that_may_be_placed_again(transfer: Transfer, status: int) -> None:
    transfer.placed("call tag")
    transfer.concluded(status, "", 1.0)
    assert not transfer.over
    assert not transfer.live
    transfer.placed("call tag")
    transfer.concluded(200, "", 2.0)
    assert told(transfer) == "answered completed 200"


def test_a_report_is_believed_when_no_call_comes_soon(shared: Shared, transfer: Transfer) -> None:
    transfer.reported(200, 1.0)
    shared.endpoint.expire(1.0 + SETTLE_S - 0.1)
    assert not transfer.over
    shared.endpoint.expire(1.0 + SETTLE_S)
    assert told(transfer) == "answered completed 200 reported"


def test_a_call_that_comes_late_counts_more_than_the_report(shared: Shared, transfer: Transfer) -> None:
    transfer.reported(200, 1.0)
    transfer.placed("call tag")
    shared.endpoint.expire(1.0 + SETTLE_S)
    assert told(transfer) == "trying"
    transfer.concluded(486, "", 9.0)
    assert told(transfer) == "failed busy 486"


# What is told besides


@pytest.mark.parametrize(
    ("target", "kind"),
    [("<sip:carol@h>", "blind"), ("<sip:carol@h?Replaces=x%3Bto-tag%3Da%3Bfrom-tag%3Db>", "attended")],
)
def test_the_beginning_is_told(shared: Shared, target: str, kind: str) -> None:
    transfer = transfer_of(call_in(shared), target)
    transfer.begin("relay", "bob", OTHER, 0.5)
    (fact,) = shared.facts
    assert isinstance(fact, TransferBegan)
    assert (fact.root, fact.parent, fact.context, fact.link) == (CONTEXT, CONTEXT, transfer.context, OTHER)
    assert (fact.kind, fact.mode, fact.trunk, fact.began_at) == (kind, "relay", "bob", 0.5)


def test_milestones_and_links_stop_with_the_transfer(shared: Shared, transfer: Transfer) -> None:
    transfer.accepted(1.0)
    transfer.reported(180, 2.0)
    transfer.links(OTHER)
    transfer.concluded(200, "", 3.0)
    del shared.facts[-2:]  # counted, and ended
    assert shared.facts == [
        Milestone(transfer.context.span_id, "accepted", 1.0),
        Milestone(transfer.context.span_id, "notify", 2.0),
        Linked(transfer.context.span_id, OTHER),
    ]
    transfer.reported(200, 4.0)
    transfer.links(OTHER)
    assert len(shared.facts) == 3


def test_an_unsampled_transfer_is_told_like_any_other(shared: Shared) -> None:
    unsampled = TraceContext(CONTEXT.trace_id, CONTEXT.span_id, 0)
    call = Call(shared, unsampled, session_id="", interaction="", baggage="", hops=70, now=0.0)
    transfer = transfer_of(call)
    transfer.begin("relay", "bob", None, 0.0)
    transfer.accepted(1.0)
    transfer.links(OTHER)
    transfer.reported(180, 1.0)
    transfer.concluded(486, "", 2.0)
    assert shared.counts == {"transfers": 1}
    assert [fact.outcome for fact in ends(shared)] == ["busy"]


@pytest.mark.parametrize("first", ["call", "transfer"])
def test_the_last_word_on_a_call_comes_behind_its_transfers(shared: Shared, first: str) -> None:
    call = call_in(shared)
    transfer = transfer_of(call)
    call.stage = CallStage.ENDING
    if first == "call":
        call.forget(1.0)
        assert CallForgotten(CONTEXT) not in shared.facts
        transfer.expired(EXPIRES_AT)
    else:
        transfer.expired(EXPIRES_AT)
        call.forget(EXPIRES_AT)
    assert shared.facts[-1] == CallForgotten(CONTEXT)


# What it hands on


def test_it_is_a_span_of_its_calls_trace_and_has_its_place_in_the_chain(shared: Shared) -> None:
    call = call_in(shared)
    call.hops, call.chain, call.interaction, call.baggage = 17, 3, "i-1", "k=v"
    transfer = transfer_of(call)
    assert transfer.context.trace_id == CONTEXT.trace_id
    assert transfer.previous == f"{CONTEXT.trace_id};span={transfer.context.span_id}"
    assert (transfer.hops, transfer.chain) == (16, 4)
    assert (transfer.interaction, transfer.baggage) == ("i-1", "k=v")


@pytest.mark.parametrize(
    ("chain", "now", "fresh"),
    [(0, 0.0, False), (9, 0.0, False), (10, 0.0, True), (0, 14400.0, False), (0, 14400.5, True)],
)
def test_a_long_chain_begins_a_new_trace(shared: Shared, chain: int, now: float, fresh: bool) -> None:
    assert shared.propagation == PropagationSettings(max_transfers=10, max_duration_s=14400.0)
    call = call_in(shared)
    call.chain = chain
    assert transfer_of(call, now=now).fresh is fresh


@pytest.mark.parametrize("end", ["placed", "refused", "time", "503"])
def test_a_proxy_that_drains_waits_for_calls_still_to_come(
    shared: Shared, transfer: Transfer, end: str
) -> None:
    assert shared.awaited == 0
    transfer.awaits(True)
    transfer.awaits(True)
    assert shared.awaited == 1
    INPUTS[end](transfer)
    transfer.awaits(False)
    assert shared.awaited == 0


@pytest.mark.parametrize(
    ("way", "transferred"),
    [
        (("200",), True),
        (("NOTIFY 200",), True),
        (("NOTIFY 486",), False),
        (("503",), False),
        (("refused",), False),
        (("503", "NOTIFY 200"), False),
    ],
)
def test_the_old_call_knows_whether_it_was_transferred(
    shared: Shared, way: tuple[str, ...], transferred: bool
) -> None:
    call = call_in(shared)
    transfer = transfer_of(call)
    for step in way:
        INPUTS[step](transfer)
    assert call.transferred is transferred
