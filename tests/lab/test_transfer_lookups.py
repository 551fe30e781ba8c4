"""A phone's Contact is a name: our offer to it waits for a look-up, and meanwhile things happen."""

from __future__ import annotations

import pytest

from sipproxy.sip.flow import UDP

from .core import HOSTS
from .lab import Lab
from .phone import Phone
from .referral import STAYS, Referral
from .transfers import KINDS, SIDES, MakeLab, cast, hang_up, one_story, outcome, still_talking, together

EITHER = pytest.mark.parametrize("by", SIDES)
EACH = pytest.mark.parametrize("kind", KINDS)
LOOKUP_S = 1.0


def with_a_name(make_lab: MakeLab, by: str) -> tuple[Lab, Phone, Phone, Phone]:
    """The usual three, and Alice's Contact, as it is from now on, is a host's name."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    lab.hosts["alice.example"] = [(UDP, HOSTS["alice"], 5060)]
    alice.contact = "<sip:alice@alice.example:5060>"
    assert alice.resumes(bob).answered == 200
    lab.lookup_s = LOOKUP_S
    return lab, alice, bob, carol


def refers_and_waits(bob: Phone, alice: Phone, carol: Phone, kind: str) -> Referral:
    """Bob sends Alice to Carol, `at_once`: until our offer to Alice is about to leave."""
    lab = bob.lab
    if kind == "attended":
        bob.calls("carol", headers={"traceparent": ""})
        lab.run(0.1)
        carol.answers()
        lab.run(0.1)
    referral = bob.refers(alice, to=carol, replaces=carol if kind == "attended" else None, then=STAYS)
    lab.run(0.1)
    if kind == "blind":
        carol.answers()
    lab.run(0.2)
    assert not offered(alice)
    return referral


def offered(alice: Phone) -> bool:
    """Whether she has got an INVITE in her call."""
    return any(invite.to_tag for invite in alice.all("INVITE"))


@EITHER
@EACH
def test_the_offer_leaves_once_its_way_is_known(make_lab: MakeLab, by: str, kind: str) -> None:
    lab, alice, bob, carol = with_a_name(make_lab, by)
    with lab.at_once():
        referral = refers_and_waits(bob, alice, carol, kind)
    assert together(alice, carol)
    assert referral.result == 200
    one_story(lab)


@EITHER
@EACH
def test_the_target_leaves_before_the_offer_does(make_lab: MakeLab, by: str, kind: str) -> None:
    """What then comes of the offer joins nobody: it is taken back, and the old two talk."""
    lab, alice, bob, carol = with_a_name(make_lab, by)
    with lab.at_once():
        referral = refers_and_waits(bob, alice, carol, kind)
        carol.hangs_up()
        lab.run(0.2)
        assert referral.result == 487
    lab.run(5.0)
    assert offered(alice)  # it had its way to go, and went it
    assert (referral.statuses[-1], referral.statuses.count(200)) == (487, 0)
    assert carol.idle
    assert bob.hearing == {"alice"}
    assert outcome(lab)[0] == "cancelled"
    still_talking(alice, bob)
    hang_up(alice, bob)
    one_story(lab)


@EITHER
@EACH
def test_the_transferee_leaves_before_the_offer_does(make_lab: MakeLab, by: str, kind: str) -> None:
    lab, alice, bob, carol = with_a_name(make_lab, by)
    with lab.at_once():
        referral = refers_and_waits(bob, alice, carol, kind)
        alice.hangs_up()
        lab.run(0.2)
    lab.run(5.0)
    assert referral.result == 487
    assert alice.idle
    if kind == "attended":
        assert together(bob, carol)
        still_talking(bob, carol)
        hang_up(bob, carol)
    assert (bob.idle, carol.idle, lab.engine.calls) == (True, True, 0)
    one_story(lab)


@EITHER
@EACH
def test_the_transferor_leaves_before_the_offer_does(make_lab: MakeLab, by: str, kind: str) -> None:
    """The transfer goes on without it."""
    lab, alice, bob, carol = with_a_name(make_lab, by)
    with lab.at_once():
        old = bob.call_with(alice)
        refers_and_waits(bob, alice, carol, kind)
        old.hang_up()
        lab.run(0.2)
    lab.run(5.0)
    assert together(alice, carol)
    assert bob.idle
    still_talking(alice, carol)
    one_story(lab)
