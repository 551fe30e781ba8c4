"""Requests of a transfer that overtake each other, or are under way when the call ends (RFC 3261 12.2.2, RFC
5057).
"""

from __future__ import annotations

import pytest

from .referral import LEAVES, STAYS
from .seen import OFFER
from .styles import Style
from .transfers import MODES, SIDES, MakeLab, cast, one_story, outcome, together

EITHER = pytest.mark.parametrize("by", SIDES)


@EITHER
@pytest.mark.parametrize("mode", MODES)
def test_a_bye_of_ours_that_a_notify_overtakes(make_lab: MakeLab, mode: str, by: str) -> None:
    """Bob's phone has to refuse it with 500, since its number is an old one: it is said again."""
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    old = bob.call_with(alice)
    lab.holds("200 NOTIFY", sender="bob")
    lab.loses("BYE", receiver="bob")
    with lab.at_once():
        referral = bob.refers(alice, to=carol, then=STAYS)
        lab.run(0.1)
        alice.call_with(bob).hang_up()
        lab.run(0.1)
        lab.lets_go()
        carol.rings()  # of a transfer of our own she hears CANCEL
        lab.run(0.2)
    assert referral.result == (487 if mode == "local" else 180)
    lab.run(3.0)
    assert bob.got("BYE").cseq > bob.all("BYE")[0].cseq
    assert old.over
    if mode == "relay":
        carol.refuses(486)
        lab.run(1.0)
        assert referral.result == 486
    assert (alice.idle, bob.idle, carol.idle, lab.engine.calls) == (True, True, True, 0)
    one_story(lab)


@EITHER
def test_a_bye_behind_a_notify_of_the_same_phone(make_lab: MakeLab, by: str) -> None:
    """Alice is gone when she has said so, whatever else of hers is here first."""
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    referral = bob.refers(alice, to=carol, then=STAYS)
    lab.loses("BYE", sender="alice")
    with lab.at_once():
        alice.call_with(bob).hang_up()
        lab.run(0.1)
        carol.rings()
        lab.run(0.1)
    assert referral.result == 180
    lab.run(2.0)
    assert alice.got("200 BYE")
    assert bob.got("BYE")
    assert lab.engine.calls == 1  # Carol's
    carol.answers()
    assert together(alice, carol)
    assert referral.result == 200
    one_story(lab, traces=1)


@EITHER
def test_a_2xx_to_a_reinvite_that_meets_the_end(make_lab: MakeLab, by: str) -> None:
    """Bob asks, and leaves before he hears: Alice's 200 has its ACK all the same (13.2.2.4)."""
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    alice.style = Style(dials_after_s=1.0)
    lab.holds("200 INVITE", sender="alice", times=9)
    with lab.at_once():
        usage = bob.call_with(alice)
        bob.refers(alice, to=carol, then=STAYS)
        lab.run(0.2)
        before = alice.count("ACK")
        asking = usage.ask("INVITE", OFFER)
        lab.run(0.2)
        usage.hang_up()
        lab.run(0.2)
        assert asking.answered == 487
        lab.lets_go()
        lab.run(0.2)
    assert alice.count("ACK") == before + 1
    lab.run(1.0)
    carol.answers()
    assert together(alice, carol)
    one_story(lab, traces=1)


@EITHER
@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_notify_that_crosses_the_end(make_lab: MakeLab, by: str, who: str) -> None:
    """The call ends while a NOTIFY is open: the subscription is not over (RFC 5057), and tells the result."""
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    referral = bob.refers(alice, to=carol, then=STAYS)
    lab.holds("200 NOTIFY", sender="bob", times=9)
    with lab.at_once():
        usages = {"alice": alice.call_with(bob), "bob": bob.call_with(alice)}
        carol.rings()
        lab.run(0.1)
        usages[who].hang_up()
        lab.run(2.5)
        assert not alice.all("481 NOTIFY")
        assert usages[who].over
        lab.network.rules.clear()
        lab.lets_go()
        lab.run(0.5)
    assert not alice.all("481 NOTIFY")
    carol.answers()
    lab.run(1.0)
    assert referral.statuses == [100, 180, 200]
    assert together(alice, carol)
    assert outcome(lab) == ("completed", "answered", "")
    one_story(lab, traces=1)


@EITHER
@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_202_behind_the_end(make_lab: MakeLab, by: str, who: str) -> None:
    """The REFER is open when the call ends, and is accepted all the same."""
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    alice.style = Style(dials_after_s=1.0)
    lab.holds("202 REFER", sender="alice", times=9)
    with lab.at_once():
        usages = {"alice": alice.call_with(bob), "bob": bob.call_with(alice)}
        referral = bob.refers(alice, to=carol, then=STAYS)
        lab.run(0.1)
        usages[who].hang_up()
        lab.run(0.3)
        assert usages[who].over
        lab.lets_go()
        lab.run(0.2)
    lab.run(1.0)
    assert referral.answered == 202
    carol.answers()
    lab.run(1.0)
    assert together(alice, carol)
    assert referral.result == 200
    assert outcome(lab) == ("completed", "answered", "")
    one_story(lab, traces=1)


@EITHER
def test_a_notify_that_was_lost_holds_up_one_bye_alone(make_lab: MakeLab, by: str) -> None:
    """Bob's first BYE waits for it; Alice wants to know who says so, and the next one crosses at once."""
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    usage = bob.call_with(alice)
    alice.replies["BYE"] = 407
    bob.refers(alice, to=carol, then=STAYS)
    lab.loses("NOTIFY", receiver="bob", times=99)
    carol.rings()
    usage.hang_up()
    lab.run(40.0)
    assert bob.got("407 BYE")
    assert not usage.over
    lab.network.rules.clear()
    bob.password = "secret"
    asked_at = lab.now
    usage.hang_up()
    lab.run(5.0)
    assert usage.over
    assert bob.got("200 BYE").at - asked_at < 1.0
    carol.refuses(486)
    assert outcome(lab)[0] == "busy"


@EITHER
def test_a_subscribe_that_crosses_the_last_notify(make_lab: MakeLab, by: str) -> None:
    """The dialogs live on for NOTIFYs alone; who asks something at the very end hears that they are over."""
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    alice.style = Style(dials_after_s=3.0)
    referral = bob.refers(alice, to=carol, then=LEAVES)
    lab.run(1.0)
    lab.holds("200 SUBSCRIBE", sender="alice", times=9)
    with lab.at_once():
        asking = referral.subscribes(0)
        lab.run(0.3)
    lab.lets_go()
    lab.run(1.0)
    assert asking.answered in (200, 481)
    assert not len(lab.engine.shared.calls)
    lab.run(5.0)
    carol.answers()
    assert together(alice, carol)
    one_story(lab)
