"""A transfer's new call is asked about as any other, whoever places it: a rejection fails the transfer, and
the old call goes on.
"""

from __future__ import annotations

from typing import Any

import pytest

from sipproxy.b2bua.events import Consulted
from sipproxy.b2bua.settings import Timeouts
from sipproxy.propagation.settings import PropagationSettings
from sipproxy.telemetry.record import SpanRecord

from .core import ERROR, HOSTS, TIMEOUT, asks
from .lab import Lab
from .phone import Phone
from .referral import LEAVES, STAYS
from .transfers import (
    MODES,
    MakeLab,
    cast,
    child_of,
    consults,
    one_story,
    outcome,
    still_talking,
    together,
    transfers,
)

BOTH = pytest.mark.parametrize("mode", MODES)
EITHER = pytest.mark.parametrize("by", ["caller", "callee"])
TO_CAROL = asks("carol", source="alice", user="carol", timeout_ms=3000)


def scene(
    make_lab: MakeLab, mode: str, by: str = "callee", **settings: Any
) -> tuple[Lab, Phone, Phone, Phone]:
    """Alice and Bob talk. Alice's calls to Carol are asked about."""
    settings.setdefault("routes", [TO_CAROL])
    lab, alice, bob, carol = cast(make_lab, mode, by=by, **settings)
    lab.application = lambda question: {"to": ["carol"]}
    return lab, alice, bob, carol


def asked_about(lab: Lab) -> SpanRecord:
    """The webhook's span, under the route of the new call, under the transfer or the new call's own root."""
    (asked,) = [span for span in lab.spans if span.name == "webhook"]
    (routed,) = [span for span in lab.spans if span.span_id == asked.parent_id]
    assert routed.name == "route"
    assert routed.span_id == lab.asked[0].context.span_id
    (transfer,) = transfers(lab)
    above = [span for span in lab.spans if span.span_id == routed.parent_id]
    assert above[0].span_id == transfer.span_id or above[0].parent_id == transfer.span_id
    assert asked.trace_id == routed.trace_id == transfer.trace_id == lab.asked[0].context.trace_id
    return asked


@EITHER
@BOTH
def test_the_new_call_goes_where_the_application_says(make_lab: MakeLab, mode: str, by: str) -> None:
    lab, alice, bob, carol = scene(make_lab, mode, by)
    lab.application = lambda question: {
        "to": ["carol"],
        "uri": "sip:desk@carol",
        "headers": {"X-Queue": "gold"},
    }
    bob.refers(alice, to=carol)
    carol.answers()
    assert together(alice, carol)
    assert (carol.got("INVITE").uri, carol.got("INVITE").header("X-Queue")) == ("sip:desk@carol", "gold")
    assert outcome(lab)[:2] == ("completed", "answered")
    asked_about(lab)
    one_story(lab, traces=1)


@BOTH
def test_the_application_is_told_where_the_transfer_goes(make_lab: MakeLab, mode: str) -> None:
    lab, alice, bob, carol = scene(make_lab, mode)
    bob.refers(alice, to=carol)
    (consult,) = lab.asked
    asked = consult.question
    assert (asked["uri"], asked["trunk"]) == ("sip:carol@192.0.2.100:5060", "alice")
    assert (asked["from"], asked["to"]) == (alice.uri, "sip:carol@192.0.2.100:5060")
    assert "sipproxy-ref" not in str(asked)
    carol.answers()
    one_story(lab)


@BOTH
def test_an_attended_transfer_is_asked_about_where_it_dials(make_lab: MakeLab, mode: str) -> None:
    """It dials nobody: the consultation is there, and takes the place of the old call."""
    lab, alice, bob, carol = scene(make_lab, mode)
    consults(bob, alice, carol)
    bob.refers(alice, to=carol, replaces=carol)
    assert together(alice, carol)
    assert lab.asked == []
    one_story(lab)


@EITHER
@BOTH
def test_a_rejection_fails_the_transfer_and_nothing_else(make_lab: MakeLab, mode: str, by: str) -> None:
    lab, alice, bob, carol = scene(make_lab, mode, by)
    lab.application = lambda question: {"reject": 603, "reason": "Not at this hour"}
    referral = bob.refers(alice, to=carol, then=STAYS)
    assert referral.statuses[-1] == 603
    assert outcome(lab)[:2] == ("declined", "failed")
    assert not carol.heard
    assert lab.count("webhook_rejected") == 1
    still_talking(alice, bob)
    asked_about(lab)
    one_story(lab, traces=1)


@pytest.mark.parametrize("failure", [TIMEOUT, ERROR, {"to": ["nowhere"]}])
@BOTH
def test_no_good_answer_loses_no_transfer(make_lab: MakeLab, mode: str, failure: object) -> None:
    lab, alice, bob, carol = scene(make_lab, mode)
    lab.application = lambda question: failure
    bob.refers(alice, to=carol)
    lab.run(3.1)
    carol.answers()
    assert together(alice, carol)
    assert asked_about(lab).failed
    one_story(lab, traces=1)


# While it thinks


@BOTH
def test_the_transferor_need_not_wait(make_lab: MakeLab, mode: str) -> None:
    lab, alice, bob, carol = scene(make_lab, mode)
    lab.thinks_s = 1.0
    bob.refers(alice, to=carol, then=LEAVES)
    lab.run(1.1)
    carol.answers()
    assert together(alice, carol)
    one_story(lab, traces=1)


@BOTH
def test_the_transferee_hangs_up_meanwhile(make_lab: MakeLab, mode: str) -> None:
    lab, alice, bob, carol = scene(make_lab, mode)
    lab.thinks_s = 1.0
    bob.refers(alice, to=carol, then=STAYS)
    if mode == "relay":
        alice.cancels()
    else:
        alice.hangs_up()
    lab.run(2.0)
    assert not carol.heard
    assert [fact.result for fact in lab.facts_of(Consulted)] == ["abandoned"]
    asked_about(lab)
    one_story(lab, traces=1)


def test_everybody_hangs_up_meanwhile(make_lab: MakeLab) -> None:
    lab, alice, bob, carol = scene(make_lab, "local")
    lab.thinks_s = 1.0
    bob.refers(alice, to=carol, then=LEAVES)
    alice.hangs_up()
    lab.run(2.0)
    assert not carol.heard
    assert outcome(lab)[0] == "cancelled"
    asked_about(lab)
    one_story(lab, traces=1)


def test_the_target_is_not_found_in_time(make_lab: MakeLab) -> None:
    """The time that a target may ring has passed before anybody knows who it is."""
    lab, alice, bob, carol = scene(make_lab, "local", timeouts=Timeouts(ring_s=0.5))
    lab.thinks_s = 1.0
    referral = bob.refers(alice, to=carol, then=STAYS)
    lab.run(2.0)
    assert referral.statuses[-1] == 408
    assert not carol.heard
    still_talking(alice, bob)
    one_story(lab, traces=1)


def test_a_drain_waits_for_a_transfer_that_is_asked_about(make_lab: MakeLab) -> None:
    lab, alice, bob, carol = scene(make_lab, "relay")
    lab.thinks_s = 1.0
    bob.refers(alice, to=carol)
    lab.engine.drain()
    lab.run(1.1)
    carol.answers()
    assert together(alice, carol)
    one_story(lab, traces=1)


# A trace that began anew


def test_a_long_chain(make_lab: MakeLab) -> None:
    """Behind `max_transfers` the call has another trace; what is asked about its next transfer is there."""
    routes = [asks(name, source="alice", user=f"^{name}$") for name in ("bob", "carol", "dave")]
    lab, alice, bob, carol = scene(
        make_lab, "local", routes=routes, propagation=PropagationSettings(max_transfers=1)
    )
    dave = lab.phone("dave", at=HOSTS["dave"])
    lab.application = lambda question: {"to": [question["uri"][4:].partition("@")[0]]}
    for transferor, target in ((bob, carol), (carol, dave), (dave, bob)):
        transferor.refers(alice, to=target)
        target.answers()
        assert together(alice, target)
    for transfer in transfers(lab):
        (routed,) = child_of(lab, transfer.span_id, "route")
        (asked,) = child_of(lab, routed.span_id, "webhook")
        assert transfer.trace_id == routed.trace_id == asked.trace_id
    assert len({transfer.trace_id for transfer in transfers(lab)}) == 2
    assert [consult.context.trace_id for consult in lab.asked[1:]] == [
        span.trace_id for span in transfers(lab)
    ]
    one_story(lab)
