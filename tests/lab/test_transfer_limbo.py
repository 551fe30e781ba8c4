"""Transfers that wait: for a slow phone, for an ACK that was lost, for a BYE that came too early; and what
crosses them meanwhile.
"""

from __future__ import annotations

import pytest

from sipproxy.b2bua.joining import PATIENCE_S

from .referral import LEAVES, STAYS
from .seen import OFFER
from .styles import Style
from .transactions import Asking
from .transfers import (
    KINDS,
    MODES,
    SIDES,
    MakeLab,
    cast,
    consults,
    hang_up,
    one_story,
    outcome,
    still_talking,
    together,
    transfers,
)

EITHER = pytest.mark.parametrize("by", SIDES)
EACH = pytest.mark.parametrize("kind", KINDS)
ENOUGH_S = PATIENCE_S + 1.0  # more than a phone has for a re-INVITE of ours


# Slow phones (RFC 3261 section 14.1: a re-INVITE that fails leaves the session as it was)


@EITHER
def test_a_transferee_that_asks_its_user_keeps_its_call(make_lab: MakeLab, by: str) -> None:
    """It says 100 and no more: the transfer fails, and nothing else."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    offered = alice.call_with(bob)
    alice.replies["INVITE"] = None
    referral = bob.refers(alice, to=carol, then=STAYS)
    carol.answers()
    lab.run(ENOUGH_S)
    assert referral.result == 408
    assert outcome(lab)[0] == "timeout"
    assert carol.idle
    assert offered.live
    assert not alice.all("BYE")
    alice.replies.clear()
    still_talking(alice, bob)
    one_story(lab)


@EITHER
def test_a_target_that_asks_its_user_keeps_both_calls(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    consults(bob, alice, carol)
    carol.replies["INVITE"] = None
    referral = bob.refers(alice, to=carol, replaces=carol, then=STAYS)
    lab.run(ENOUGH_S)
    assert referral.result == 408
    assert lab.engine.calls == 2
    assert not carol.all("BYE")
    carol.replies.clear()
    still_talking(bob, carol)
    hang_up(bob, carol)
    bob.resumes(alice)
    still_talking(alice, bob)
    one_story(lab)


@EITHER
@pytest.mark.parametrize("status", [408, 481])
def test_a_transferee_that_has_lost_the_dialog_is_gone(make_lab: MakeLab, by: str, status: int) -> None:
    """When the phone itself says so, that is the end (RFC 3261 section 12.2.1.2)."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    alice.replies["INVITE"] = status
    referral = bob.refers(alice, to=carol, then=STAYS)
    carol.answers()
    lab.run(5.0)
    assert referral.result == status
    assert bob.got("BYE")
    assert (bob.idle, carol.idle, lab.engine.calls) == (True, True, 0)
    one_story(lab)


# An ACK that never comes (RFC 3261 section 13.3.1.4: only that session ends)


@EITHER
@EACH
@pytest.mark.parametrize("mode", MODES)
def test_a_2xx_that_a_departed_transferor_never_acknowledged(
    make_lab: MakeLab, mode: str, kind: str, by: str
) -> None:
    """Bob's ACK for a re-INVITE of his is lost, and within the same second he has left for good."""
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    if kind == "attended":
        consults(bob, alice, carol)
    old = bob.call_with(alice)
    bob.withholds.add("ACK")
    with lab.at_once():
        old.ask("INVITE", OFFER)
        lab.run(0.1)
        bob.refers(old, to=carol, replaces=carol if kind == "attended" else None, then=LEAVES)
        lab.run(0.1)
    if kind == "blind":
        carol.answers()
    lab.run(10.0)
    assert together(alice, carol)
    lab.run(60.0)
    assert together(alice, carol)
    still_talking(alice, carol)
    one_story(lab)


@EITHER
def test_an_ack_that_comes_after_all(make_lab: MakeLab, by: str) -> None:
    """The transferor has left, and its ACK was only late: our 2xx is not sent any more."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    lab.loses("ACK", sender="bob", times=2)
    with lab.at_once():
        bob.call_with(alice).ask("INVITE", OFFER)
        lab.run(0.1)
        bob.refers(alice, to=carol, then=LEAVES)
        lab.run(0.1)
    carol.answers()
    lab.run(10.0)
    assert together(alice, carol)
    assert len(bob.all("200 INVITE")) < 6
    assert lab.count("no_ack") == 0
    assert lab.count("stray_ack") == 0
    one_story(lab)


# What crosses a join


@EITHER
@pytest.mark.parametrize("who", ["bob", "alice"])
def test_an_update_during_a_join(make_lab: MakeLab, by: str, who: str) -> None:
    """RFC 3264 section 4: no offer while another one is open, from neither side of the old call."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    offered = alice.call_with(bob)
    alice.replies["INVITE"] = None
    bob.refers(alice, to=carol, then=STAYS)
    carol.answers()
    asking: Asking = (bob.call_with(alice) if who == "bob" else offered).ask("UPDATE", OFFER)
    lab.settle()
    assert asking.answered == 491
    assert not (alice if who == "bob" else bob).all("UPDATE")
    alice.replies.clear()
    offered.answer_invite(200)
    lab.run(5.0)
    assert together(alice, carol)
    still_talking(alice, carol)
    one_story(lab)


@EITHER
def test_an_update_that_is_open_when_a_join_begins(make_lab: MakeLab, by: str) -> None:
    """Our offer waits until Alice has answered Bob's."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    bob.refers(alice, to=carol, then=STAYS)
    before = alice.count("INVITE")
    with lab.at_once():
        lab.holds("200 UPDATE", sender="alice")
        asking = bob.call_with(alice).ask("UPDATE", OFFER)
        lab.run(0.1)
        carol.answers()
        lab.run(0.2)
        assert alice.count("INVITE") == before
        lab.lets_go()
    lab.run(10.0)
    assert asking.answered == 200
    assert together(alice, carol)
    still_talking(alice, carol)
    one_story(lab)


# A BYE that overtakes its 2xx (RFC 3261 section 15)


@EITHER
def test_the_targets_bye_overtakes_its_answer(make_lab: MakeLab, by: str) -> None:
    """Carol picks up and hangs up; her BYE is here first. Nobody is joined with her."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    before = alice.count("INVITE")
    referral = bob.refers(alice, to=carol, then=STAYS)
    carol.rings()
    lab.holds("200 INVITE", sender="carol")
    carol.answers()
    carol.hangs_up()
    lab.lets_go()
    lab.run(5.0)
    assert referral.result == 487
    assert carol.idle
    assert alice.count("INVITE") == before
    still_talking(alice, bob)
    hang_up(alice, bob)
    assert lab.engine.calls == 0
    one_story(lab)


# Behind a transfer


@EITHER
@EACH
@pytest.mark.parametrize("mode", MODES)
def test_a_challenged_bye_behind_a_transfer(make_lab: MakeLab, mode: str, kind: str, by: str) -> None:
    """Carol wants to know who says BYE: Alice is asked, and hears 200 only when the call is over."""
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    if kind == "attended":
        consults(bob, alice, carol)
    bob.refers(alice, to=carol, replaces=carol if kind == "attended" else None)
    if kind == "blind":
        carol.answers()
    lab.run(3.0)
    assert together(alice, carol)
    carol.replies["BYE"] = 407
    alice.password = "secret"
    hang_up(alice, carol)
    assert alice.got("407 BYE")
    assert carol.got("BYE").header("Proxy-Authorization") == "secret"
    assert carol.idle
    one_story(lab)


# Draining


@EITHER
def test_a_drain_waits_for_a_transfer_whose_call_is_still_to_come(make_lab: MakeLab, by: str) -> None:
    """The transferor has left, so no call is up; the transferee is about to dial us."""
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    alice.style = Style(dials_after_s=1.0)
    lab.engine.drain()
    with lab.at_once():
        bob.refers(alice, to=carol, then=LEAVES)
        lab.run(0.5)
        assert (lab.engine.calls, lab.engine.busy) == (0, True)
    lab.run(1.0)
    carol.answers()
    assert together(alice, carol)
    hang_up(alice, carol)
    assert not lab.engine.busy
    one_story(lab)


@EITHER
@pytest.mark.parametrize("end", ["refused", "failed", "never dialled"])
def test_a_drain_waits_for_no_transfer_that_is_over(make_lab: MakeLab, by: str, end: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    alice.style = Style(answer=603 if end == "refused" else 202, dials_after_s=130.0 * (end[0] == "n"))
    lab.engine.drain()
    bob.refers(alice, to=carol, then=STAYS)
    if end == "failed":
        carol.refuses(486)
    hang_up(alice, bob)
    assert (lab.engine.calls, lab.engine.busy) == (0, end == "never dialled")
    lab.run(121.0)  # transfer.expires_s
    assert not lab.engine.busy
    assert transfers(lab)
    one_story(lab)
