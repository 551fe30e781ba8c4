"""INVITE with Replaces (RFC 3891): whose dialog it names, who may, and what the target gets."""

from __future__ import annotations

import pytest

from .dialog import Dialog
from .lab import Lab
from .phone import Phone
from .session import Calling
from .transfers import (
    MODES,
    SIDES,
    MakeLab,
    cast,
    caused,
    child_of,
    consults,
    hang_up,
    one_story,
    outcome,
    still_talking,
    together,
    transfers,
)

NOTHING = "nothing@nowhere;to-tag=a;from-tag=b"


def named(dialog: Dialog, *, seen_from: str = "other") -> str:
    """A dialog of a phone in a Replaces: as its other end knows it, or as itself does."""
    to_tag, from_tag = dialog.remote_tag, dialog.local_tag
    if seen_from == "self":
        to_tag, from_tag = from_tag, to_tag
    return f"{dialog.call_id};to-tag={to_tag};from-tag={from_tag}"


def desk(lab: Lab) -> Phone:
    """Another phone behind Bob's trunk."""
    return lab.phone("desk", at="192.0.2.2", port=5070)


def replaces(phone: Phone, user: str, *values: str) -> Calling:
    """A call in the place of another."""
    value = "\r\nReplaces: ".join(values)
    return phone.calls(user, headers={"Replaces": value, "Require": "replaces", "traceparent": ""})


@pytest.mark.parametrize("by", SIDES)
def test_a_call_moves_to_the_phone_on_the_desk(make_lab: MakeLab, by: str) -> None:
    """Bob's other phone takes over: it names Bob's dialog with us, Alice gets her own with us."""
    lab, alice, bob, _ = cast(make_lab, None, by=by)
    first = alice.trace_id if by == "callee" else bob.trace_id
    theirs = alice.call_with(bob).dialog
    replaces(desk(lab), "alice", named(bob.call_with(alice).dialog))
    assert alice.got("INVITE").header("Replaces") == named(theirs, seen_from="self")
    assert alice.got("INVITE").trace_id == first
    assert caused(lab).origin.carrier == "replaces"
    assert together(alice, lab.phones["desk"])
    assert bob.idle
    assert lab.engine.calls == 1
    one_story(lab, traces=1)


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("side", ["other", "self"])
@pytest.mark.parametrize("whose", ["bob", "alice"])
def test_each_end_of_each_dialog_names_the_call(make_lab: MakeLab, by: str, side: str, whose: str) -> None:
    lab, alice, bob, _ = cast(make_lab, None, by=by)
    usage = bob.call_with(alice) if whose == "bob" else alice.call_with(bob)
    calling = replaces(desk(lab), "alice", named(usage.dialog, seen_from=side))
    assert not calling.failed, lab.ladder()
    talking = next(phone for phone in (alice, bob) if phone.hears(lab.phones["desk"]))
    assert together(talking, lab.phones["desk"])
    assert lab.engine.calls == 1


@pytest.mark.parametrize("by", SIDES)
def test_the_call_of_others_is_not_to_be_had(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, _ = cast(make_lab, None, by=by)
    dave = lab.phone("dave")
    for usage in (bob.call_with(alice), alice.call_with(bob)):
        for side in ("other", "self"):
            assert replaces(dave, "alice", named(usage.dialog, seen_from=side)).failed == 403
    assert alice.count("INVITE") == (by == "caller")
    still_talking(alice, bob)


def test_a_stranger_gets_nothing(make_lab: MakeLab) -> None:
    lab, alice, bob, _ = cast(make_lab, None, by="callee")
    stranger = lab.phone("mallory", at="198.51.100.9")
    assert replaces(stranger, "alice", named(bob.call_with(alice).dialog)).failed == 403
    still_talking(alice, bob)


def test_a_dialog_that_nobody_knows(make_lab: MakeLab) -> None:
    lab, alice, bob, _ = cast(make_lab, None, by="callee")
    assert replaces(desk(lab), "alice", NOTHING).failed == 481
    assert not alice.all("INVITE")
    still_talking(alice, bob)


@pytest.mark.parametrize("by", SIDES)
def test_a_dialog_that_is_over(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, _ = cast(make_lab, None, by=by)
    dialog = bob.call_with(alice).dialog
    hang_up(alice, bob)
    heard = len(alice.heard)
    assert replaces(desk(lab), "alice", named(dialog)).failed == 603
    assert len(alice.heard) == heard


def test_a_confirmed_dialog_where_an_early_one_was_meant(make_lab: MakeLab) -> None:
    lab, alice, bob, _ = cast(make_lab, None, by="callee")
    value = named(bob.call_with(alice).dialog) + ";early-only"
    assert replaces(desk(lab), "alice", value).failed == 486
    still_talking(alice, bob)


@pytest.mark.parametrize("values", [(NOTHING, NOTHING), ("",), ("nonsense",), ("a;to-tag=b",)])
def test_a_replaces_that_cannot_be_read(make_lab: MakeLab, values: tuple[str, ...]) -> None:
    lab, alice, bob, _ = cast(make_lab, None, by="callee")
    headers = {"Replaces": "\r\nReplaces: ".join(values) or " "}
    assert desk(lab).calls("alice", headers=headers).failed == 400
    assert not alice.all("INVITE")
    still_talking(alice, bob)


def test_a_target_that_refuses_to_be_taken_over(make_lab: MakeLab) -> None:
    lab, alice, bob, _ = cast(make_lab, None, by="callee")
    alice.style.replaces = "ignores"
    calling = replaces(desk(lab), "alice", named(bob.call_with(alice).dialog))
    alice.refuses(488)
    assert calling.failed == 488
    still_talking(alice, bob)


# Early dialogs


def ringing(make_lab: MakeLab, *, begun_by: str) -> tuple[Lab, Phone, Phone]:
    """Bob and Carol, of whom one has called the other, and nobody has answered."""
    lab = make_lab()
    bob, carol = lab.cast("bob", "carol")
    lab.ringing(*(("carol", "bob") if begun_by == "carol" else ("bob", "carol")))
    return lab, bob, carol


def test_a_call_is_picked_up_elsewhere(make_lab: MakeLab) -> None:
    """Carol calls Bob, whose phone rings; the one on the desk takes the call (RFC 3891 section 1)."""
    lab, bob, carol = ringing(make_lab, begun_by="carol")
    early = bob.called.usages[""].dialog
    calling = replaces(desk(lab), "carol", named(early) + ";early-only")
    assert not calling.failed
    assert together(carol, lab.phones["desk"])
    assert bob.got("CANCEL")
    assert bob.idle
    assert lab.engine.calls == 1


def test_an_early_dialog_that_the_target_did_not_begin(make_lab: MakeLab) -> None:
    lab, bob, carol = ringing(make_lab, begun_by="bob")
    early = bob.usage.dialog
    assert replaces(desk(lab), "carol", named(early)).failed == 481
    assert carol.count("INVITE") == 1
    carol.answers()
    assert together(bob, carol)


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("mode", MODES)
def test_nobody_is_sent_to_a_target_that_still_rings(make_lab: MakeLab, mode: str, by: str) -> None:
    """Bob has not waited for Carol to answer: 481, and each of his calls goes on."""
    alice, bob, carol = cast(make_lab, mode, by=by)[1:]
    talking = bob.call_with(alice)
    bob.calls("carol", headers={"traceparent": ""})
    carol.rings()
    referral = bob.refers(alice, to=carol, replaces=bob.usage)
    assert 481 in (referral.answered, referral.result)
    assert talking.live
    carol.answers()
    assert bob.hears(carol)
    hang_up(bob, carol)
    still_talking(alice, bob)


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("mode", MODES)
def test_somebody_is_sent_to_a_caller_who_still_waits(make_lab: MakeLab, mode: str, by: str) -> None:
    """Carol calls Bob while he talks, and without answering he gives her to Alice."""
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    carol.calls("bob", headers={"traceparent": ""})
    bob.rings()
    early = bob.called.usages[""]
    referral = bob.refers(alice, to=carol, replaces=early)
    if mode == "relay":
        assert referral.result == 200
        assert together(alice, carol)
        assert bob.idle
        assert outcome(lab) == ("completed", "answered", "")
        one_story(lab)
    else:
        assert max(referral.answered, referral.result) >= 400
        bob.refuses(486)
        still_talking(alice, bob)


# Races of a consultation


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("mode", MODES)
def test_the_consultation_ends_while_the_refer_is_on_its_way(make_lab: MakeLab, mode: str, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    consults(bob, alice, carol)
    with lab.at_once():
        referral = bob.refers(alice, to=carol, replaces=carol)
        carol.call_with(bob).hang_up()
    lab.run(5.0)
    assert max(referral.answered, referral.result) >= 400
    assert carol.idle
    assert bob.resumes(alice).answered == 200
    still_talking(alice, bob)


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("mode", MODES)
def test_the_consultation_was_begun_by_the_target(make_lab: MakeLab, mode: str, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    bob.holds(alice)
    carol.calls("bob")
    bob.answers()
    bob.refers(alice, to=carol, replaces=carol)
    assert together(alice, carol)
    assert bob.idle
    assert lab.engine.calls == 1
    one_story(lab, traces=2)


@pytest.mark.parametrize("mode", MODES)
def test_where_two_traces_meet_both_know_of_it(make_lab: MakeLab, mode: str) -> None:
    """The transferee's goes on; the consultation's has a link to it, and the new leg one back."""
    lab, alice, bob, carol = cast(make_lab, mode, by="callee")
    consults(bob, alice, carol)
    consultation = carol.got("INVITE").trace_id
    bob.refers(alice, to=carol, replaces=carol)
    assert together(alice, carol)
    hang_up(alice, carol)
    one_story(lab, traces=2)
    (transfer,) = transfers(lab)
    customers = {span.span_id for span in lab.spans if span.trace_id == alice.trace_id}
    others = {span.span_id for span in lab.spans if span.trace_id == consultation}
    assert transfer.span_id in customers
    assert any(link[1] in customers for span in lab.spans if span.span_id in others for link in span.links)
    name = "INVITE" if mode == "relay" else "dialog"
    news = [
        span for span in child_of(lab, transfer.span_id, name) if span.kind != "CLIENT" or name == "dialog"
    ]
    assert any(link[1] in others for span in news for link in span.links)
