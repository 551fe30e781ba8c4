"""The re-INVITEs of a transfer that we do ourselves: when they meet others, get lost, or come too early."""

from __future__ import annotations

import pytest

from .core import HOSTS
from .lab import trunk
from .referral import LEAVES, STAYS
from .seen import HOLD
from .transfers import (
    SIDES,
    MakeLab,
    cast,
    consults,
    one_story,
    outcome,
    still_talking,
    together,
)

EITHER = pytest.mark.parametrize("by", SIDES)
KINDS = pytest.mark.parametrize("attended", [False, True], ids=["blind", "attended"])


@EITHER
@pytest.mark.parametrize("who", ["alice", "bob", "both"])
def test_our_reinvite_meets_one_of_theirs(make_lab: MakeLab, by: str, who: str) -> None:
    """491: ours is tried again."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    bob.refers(alice, to=carol, then=STAYS)
    carol.rings()
    with lab.at_once():
        carol.answers()
        if who != "bob":
            lab.run(0.005)
            alice.reinvites("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n")
        if who != "alice":
            bob.call_with(alice).ask("INVITE", "")
    lab.run(12.0)
    assert together(alice, carol)
    assert bob.idle
    assert outcome(lab) == ("completed", "answered", "")
    one_story(lab, traces=1)


@EITHER
def test_the_transferee_says_491_and_then_takes_it(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    alice.replies["INVITE"] = 491
    bob.refers(alice, to=carol)
    carol.answers()
    refused_at = lab.now
    alice.replies.clear()
    lab.run(5.0)
    assert together(alice, carol)
    waited_s = alice.all("INVITE")[-1].at - refused_at
    assert (2.0 if by == "caller" else 0.0) <= waited_s <= (4.1 if by == "caller" else 2.1)
    one_story(lab, traces=1)


@EITHER
def test_a_transferee_that_always_says_491(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    alice.replies["INVITE"] = 491
    referral = bob.refers(alice, to=carol)
    carol.answers()
    lab.run(60.0)
    assert referral.result == 491
    assert carol.idle
    alice.replies.clear()
    still_talking(alice, bob)
    one_story(lab, traces=1)


# The wire


@EITHER
@KINDS
@pytest.mark.parametrize("lost", ["ACK", "INVITE", "200 INVITE", "NOTIFY", "200 NOTIFY", "BYE", "202"])
@pytest.mark.parametrize("fate", ["lost", "twice"])
def test_each_message_may_get_lost_or_come_twice(
    make_lab: MakeLab, by: str, attended: bool, lost: str, fate: str
) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    if attended:
        consults(bob, alice, carol)
    for phone in (alice, bob, carol):
        lab.loses(lost, receiver=phone.name, fate=fate)
        lab.loses(lost, sender=phone.name, fate=fate)
    bob.refers(alice, to=carol, replaces=carol if attended else None)
    lab.run(3.0)
    if not attended:
        carol.answers()
    lab.run(12.0)
    assert together(alice, carol)
    assert bob.idle
    assert not alice.call_with(carol).unacknowledged
    assert not carol.call_with(alice).unacknowledged
    one_story(lab)


@pytest.mark.parametrize("then", [LEAVES, STAYS])
def test_a_refer_before_the_ack(make_lab: MakeLab, then: str) -> None:
    """Bob has answered and transfers at once; whether or not Alice's ACK comes, his 2xx gets one."""
    lab = make_lab(trunks={name: trunk(name, refer="local") for name in HOSTS})
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    lab.ringing("alice", "bob")
    lab.holds("ACK", sender="alice", times=9)
    with lab.at_once():
        bob.answers()
        lab.run(0.05)
        bob.refers(alice, to=carol, then=then)
        lab.run(0.05)
        bob.usage.hang_up()
    lab.run(1.0)
    assert bob.idle
    assert bob.got("ACK")
    lab.lets_go()
    carol.answers()
    lab.run(5.0)
    assert together(alice, carol)
    one_story(lab, traces=1)


@EITHER
@pytest.mark.parametrize("phase", ["asking", "offering", "waiting"])
@pytest.mark.parametrize("order", ["carol, alice", "alice, carol"])
def test_the_transferor_leaves_both_of_its_calls(make_lab: MakeLab, by: str, phase: str, order: str) -> None:
    """As soon as the REFER is accepted: the target, who is about to be joined, hears nothing of it."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    consults(bob, alice, carol)
    slow = carol if phase == "asking" else alice
    asked = slow.call_with(bob)
    slow.replies["INVITE"] = 491 if phase == "waiting" else None
    bob.refers(alice, to=carol, replaces=carol, then=STAYS)
    slow.replies.clear()
    for name in order.split(", "):
        bob.call_with(lab.phones[name]).hang_up()
        lab.settle()
    assert bob.idle
    if asked.invite_in is not None:
        asked.answer_invite(200)
    lab.run(5.0)
    assert together(alice, carol)
    assert not carol.all("BYE")
    assert outcome(lab) == ("completed", "answered", "")
    one_story(lab)


@EITHER
def test_one_leg_is_not_transferred_twice(make_lab: MakeLab, by: str) -> None:
    """While Bob's call waits for Carol, Dave's other call would take Alice away from it: one of them wins."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    dave = lab.phone("dave")
    first = bob.refers(alice, to=carol, then=STAYS)  # Carol rings
    bob.calls("dave", headers={"traceparent": ""})
    dave.answers()
    second = bob.refers(dave, to=alice, replaces=alice, then=STAYS)  # Dave is to have Alice
    carol.rings()
    carol.answers()
    lab.run(10.0)
    assert alice.hearing in ({"carol"}, {"dave"})
    winner = carol if alice.hears(carol) else dave
    assert alice.name in winner.hearing
    assert sorted(referral.result == 200 for referral in (first, second)) == [False, True]
    one_story(lab)


@EITHER
def test_the_transferor_leaves_before_its_own_ack_is_here(make_lab: MakeLab, by: str) -> None:
    """Its re-INVITE was answered: the ACK that comes behind the BYE still ends the repeats."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    bob.refers(alice, to=carol, then=STAYS)
    lab.holds("ACK", sender="bob")
    bob.call_with(alice).ask("INVITE", HOLD)
    lab.settle()
    bob.call_with(alice).hang_up()
    lab.settle()
    lab.lets_go()
    heard = bob.count("200 INVITE")
    answers = len(bob.all("200 INVITE"))
    lab.run(10.0)
    assert bob.count("200 INVITE") == heard
    assert len(bob.all("200 INVITE")) == answers
    carol.answers()
    assert together(alice, carol)
    one_story(lab, traces=1)


@EITHER
def test_the_target_leaves_and_its_offer_gets_lost(make_lab: MakeLab, by: str) -> None:
    """Our re-INVITE to it was heard, and will never have an answer: it is given up all the same."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    consults(bob, alice, carol)
    lab.loses("200 INVITE", sender="carol", times=99)
    referral = bob.refers(alice, to=carol, replaces=carol, then=STAYS)
    carol.call_with(bob).hang_up()
    lab.run(70.0)
    assert referral.result >= 400
    assert carol.idle
    assert bob.resumes(alice).answered == 200
    lab.run(70.0)
    assert lab.engine.endpoint.transactions == 0
