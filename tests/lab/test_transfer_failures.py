"""Transfers that fail: each failure of the target looks different, and after each the old two still talk."""

from __future__ import annotations

import pytest

from .lab import Lab, trunk
from .phone import Phone
from .referral import LEAVES
from .transfers import (
    MODES,
    SIDES,
    MakeLab,
    cast,
    consults,
    hang_up,
    one_story,
    outcome,
    still_talking,
    transfers,
)

# What the target does, and what is told of it: the status, the outcome, and error.type.
FAILURES = {
    "busy": (486, "busy", "486"),
    "busy everywhere": (600, "busy", "600"),
    "declined": (603, "declined", "603"),
    "not found": (404, "unreachable", "404"),
    "gone": (410, "unreachable", "410"),
    "away": (480, "unreachable", "480"),
    "not acceptable": (488, "failed", "488"),
    "overloaded": (503, "unreachable", "503"),
    "broken": (500, "failed", "500"),
    "silent": (408, "timeout", "timeout"),
    "rings for ever": (408, "timeout", "timeout"),
    "no way": (503, "unreachable", "transport"),
}


def fails(lab: Lab, carol: Phone, what: str, status: int) -> None:
    """Let the target do what it does."""
    if what == "rings for ever":
        carol.rings()
        lab.run(185.0)
    elif what in ("silent", "no way"):
        lab.run(40.0)
    else:
        carol.rings()
        carol.refuses(status)


def unable(lab: Lab, carol: Phone, what: str) -> None:
    """What has to be so before anybody calls the target."""
    if what == "silent":
        carol.dead = True
    elif what == "no way":
        lab.network.unreachable.add(carol.place[1:])


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("what", FAILURES)
def test_the_old_two_talk_on(make_lab: MakeLab, mode: str, by: str, what: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    status, expected, error = FAILURES[what]
    unable(lab, carol, what)
    referral = bob.refers(alice, to=carol)
    fails(lab, carol, what, status)
    assert referral.answered == 202
    assert referral.statuses[0] == 100
    assert referral.result == status
    assert referral.over
    assert outcome(lab) == (expected, "failed", "")
    (transfer,) = transfers(lab)
    assert transfer.failed
    assert transfer.attributes["error.type"] == error
    assert lab.engine.calls == 1
    still_talking(alice, bob)
    one_story(lab, traces=1)


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("mode", MODES)
def test_a_target_that_no_route_leads_to(make_lab: MakeLab, mode: str, by: str) -> None:
    lab, alice, bob, _ = cast(make_lab, mode, by=by)
    referral = bob.refers(alice, to="nobody")
    assert referral.answered == 202
    assert referral.result == 403
    assert outcome(lab)[:2] == ("failed", "failed")
    still_talking(alice, bob)
    one_story(lab)


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("mode", MODES)
def test_one_that_fails_and_one_that_succeeds(make_lab: MakeLab, mode: str, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    dave = lab.phone("dave")
    bob.refers(alice, to=carol)
    carol.refuses(486)
    still_talking(alice, bob)
    bob.refers(alice, to=dave)
    dave.answers()
    assert alice.hearing == {"dave"}
    assert bob.idle
    assert [span.attributes["sip.transfer.outcome"] for span in transfers(lab)] == ["busy", "completed"]
    one_story(lab, traces=1)


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", [486, 603])
def test_a_consultation_goes_on_when_the_target_changes_its_mind(
    make_lab: MakeLab, mode: str, by: str, status: int
) -> None:
    """The INVITE with Replaces, or the re-INVITE, is refused: all that Bob had he still has."""
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    consults(bob, alice, carol)
    if mode == "local":
        carol.replies["INVITE"] = status
    else:
        carol.style.replaces = "ignores"
    referral = bob.refers(alice, to=carol, replaces=carol)
    if mode == "relay":
        carol.refuses(status)
    carol.replies.clear()
    assert referral.result == status
    assert outcome(lab)[1] == "failed"
    assert bob.hears(carol)
    assert carol.hears(bob)
    assert bob.resumes(alice).answered == 200
    bob.holds(carol)
    assert bob.resumes(carol).answered == 200
    hang_up(bob, carol)
    still_talking(alice, bob)
    one_story(lab)


@pytest.mark.parametrize("by", SIDES)
def test_the_transferee_takes_no_offer(make_lab: MakeLab, by: str) -> None:
    """The target, who has answered already, is told so; the old call goes on."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    alice.replies["INVITE"] = 488
    referral = bob.refers(alice, to=carol)
    carol.answers()
    assert carol.got("ACK")
    assert carol.got("BYE")
    assert carol.idle
    assert referral.result == 488
    assert outcome(lab) == ("failed", "failed", "")
    alice.replies.clear()
    still_talking(alice, bob)
    one_story(lab, traces=1)


@pytest.mark.parametrize("by", SIDES)
def test_the_transferee_takes_no_offer_from_a_consultation(make_lab: MakeLab, by: str) -> None:
    """The target's offer is answered by the transferor instead, so that those two go on talking."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    consults(bob, alice, carol)
    alice.replies["INVITE"] = 488
    referral = bob.refers(alice, to=carol, replaces=carol)
    lab.run(1.0)
    assert referral.result == 488
    assert bob.hears(carol)
    assert carol.hears(bob)
    alice.replies.clear()
    assert bob.resumes(alice).answered == 200
    hang_up(carol, bob)
    still_talking(alice, bob)
    one_story(lab)


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("attended", [False, True])
def test_the_transferee_is_silent(make_lab: MakeLab, by: str, attended: bool) -> None:
    """Then there is nobody left to talk to: but nothing hangs."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    if attended:
        consults(bob, alice, carol)
    alice.dead = True
    referral = bob.refers(alice, to=carol, replaces=carol if attended else None)
    if not attended:
        carol.answers()
    lab.run(40.0)
    assert referral.result == 408
    assert outcome(lab) == ("timeout", "failed", "")
    if attended:
        assert bob.hears(carol)
        assert carol.hears(bob)
        hang_up(bob, carol)
    assert carol.idle
    one_story(lab)


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("mode", MODES)
def test_a_transferor_that_left_hears_of_the_failure(make_lab: MakeLab, mode: str, by: str) -> None:
    """And the transferee, whom nobody is left to talk to, hears BYE."""
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    referral = bob.refers(alice, to=carol, then=LEAVES)
    assert bob.idle
    carol.rings()
    carol.refuses(486)
    lab.run(3.0)
    assert referral.result == 486
    assert alice.idle
    assert lab.engine.calls == 0
    assert outcome(lab) == ("busy", "failed", "")
    one_story(lab, traces=1)


def test_the_target_hangs_up_before_it_is_joined(make_lab: MakeLab) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by="callee")
    alice.replies["INVITE"] = None
    referral = bob.refers(alice, to=carol)
    carol.answers()
    carol.hangs_up()
    assert carol.idle
    alice.replies.clear()
    alice.call_with(bob).answer_invite(200)  # too late: Carol is gone
    lab.run(6.0)
    assert referral.result >= 400
    still_talking(alice, bob)
    one_story(lab, traces=1)


@pytest.mark.parametrize("mode", MODES)
def test_a_target_whose_name_does_not_resolve(make_lab: MakeLab, mode: str) -> None:
    trunks = {"carol": trunk("carol.example:5060", match=("192.0.2.3",))}
    lab, alice, bob = cast(make_lab, mode, by="callee", trunks=trunks)[:3]
    referral = bob.refers(alice, to="carol")
    lab.run(10.0)
    assert referral.result == 503
    assert outcome(lab) == ("unreachable", "failed", "")
    assert transfers(lab)[-1].attributes["error.type"] == "dns"
    still_talking(alice, bob)
    one_story(lab, traces=1)
