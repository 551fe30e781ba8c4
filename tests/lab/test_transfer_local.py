"""Transfers that we do ourselves: what passes between transferee and target, and who leaves meanwhile."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.events import Attempted, DialogEnded, Established, TransferBegan

from .referral import STAYS
from .transfers import (
    SIDES,
    MakeLab,
    cast,
    child_of,
    consults,
    hang_up,
    one_story,
    outcome,
    previous,
    still_talking,
    together,
    transfers,
)

EITHER = pytest.mark.parametrize("by", SIDES)
KINDS = pytest.mark.parametrize("attended", [False, True], ids=["blind", "attended"])


@EITHER
def test_the_offer_goes_round(make_lab: MakeLab, by: str) -> None:
    """No offer to the target, its offer to the transferee, the answer in the ACK (RFC 3725)."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    before = alice.count("INVITE")
    bob.refers(alice, to=carol)
    invite = carol.got("INVITE")
    assert invite.body == ""
    assert (alice.number if by == "callee" else "alice") in invite.header("From")
    assert bob.number in invite.header("Referred-By")
    assert invite.header("previous-trace-id") == previous(lab)
    assert alice.count("INVITE") == before
    carol.answers()
    assert alice.got("INVITE").body == carol.call_with(alice).media.here
    assert carol.got("ACK").body == alice.call_with(carol).media.here
    assert alice.got("INVITE").to_tag == alice.call_with(carol).dialog.local_tag
    one_story(lab, traces=1)


@EITHER
def test_ringing_and_the_result_are_told_in_turn(make_lab: MakeLab, by: str) -> None:
    lab, _, bob, carol = cast(make_lab, "local", by=by)
    referral = bob.refers(lab.phones["alice"], to=carol, then=STAYS)
    notify = bob.got("NOTIFY")
    assert notify.header("Event") == f"refer;id={referral.asking.request.cseq}"
    assert notify.header("Subscription-State").startswith("active;expires=")
    assert notify.header("Content-Type").startswith("message/sipfrag")
    carol.rings()
    carol.answers()
    assert referral.statuses == [100, 180, 200]
    assert bob.got("NOTIFY").header("Subscription-State") == "terminated;reason=noresource"
    assert bob.got("BYE").at > bob.got("NOTIFY").at
    assert bob.idle
    one_story(lab, traces=1)


@EITHER
@KINDS
def test_what_the_spans_tell(make_lab: MakeLab, by: str, attended: bool) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    if attended:
        consults(bob, alice, carol)
    bob.refers(alice, to=carol, replaces=carol if attended else None)
    if not attended:
        carol.rings()
        carol.answers()
    hang_up(alice, carol)
    one_story(lab)
    (transfer,) = transfers(lab)
    (began,) = lab.facts_of(TransferBegan)
    assert transfer.parent_id == began.root.span_id
    assert next(event[0] for event in transfer.events) == "accepted"
    assert "notify" in [event[0] for event in transfer.events]
    assert not transfer.failed
    if not attended:
        (invite,) = child_of(lab, transfer.span_id)
        assert child_of(lab, transfer.span_id, "route")
        assert invite.attributes["sip.response.status_code"] == 200
        assert [event[0] for event in invite.events] == ["100", "180", "200", "ACK"]
        assert invite.span_id == carol.got("INVITE").span_id
    again = [fact for fact in lab.facts_of(Attempted) if fact.method == "re-INVITE"]
    assert {fact.trunk for fact in again} == ({"alice", "carol"} if attended else {"alice"})
    (joined,) = child_of(lab, transfer.span_id, "dialog")
    assert joined.attributes["sip.trunk"] == "carol"
    assert carol.got("BYE").span_id == joined.span_id
    ends = [fact.end for fact in lab.facts_of(DialogEnded)]
    assert ends.count("transferred") == (3 if attended else 1)
    if attended:
        (old,) = [
            fact
            for fact in lab.facts_of(Established)
            if fact.root.trace_id != transfer.trace_id and fact.trunk == "carol"
        ]
        assert old.context.span_id in {link[1] for link in joined.links}
        (left,) = [span for span in lab.spans if span.span_id == old.context.span_id]
        assert transfer.trace_id in {link[0] for link in left.links}


# Hold


@EITHER
@KINDS
def test_nobody_stays_on_hold(make_lab: MakeLab, by: str, attended: bool) -> None:
    """Bob held Alice, and with a consultation he held Carol too: both hear each other afterwards."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    if attended:
        consults(bob, alice, carol)
        bob.holds(carol)
    else:
        bob.holds(alice)
    bob.refers(alice, to=carol, replaces=carol if attended else None)
    if not attended:
        carol.answers()
    assert together(alice, carol)
    still_talking(alice, carol)
    one_story(lab)


@EITHER
@KINDS
def test_who_holds_goes_on_holding(make_lab: MakeLab, by: str, attended: bool) -> None:
    """Alice has put Bob on hold, and so Carol is on hold, until Alice takes her back."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    if attended:
        consults(bob, alice, carol)
        bob.resumes(alice)
    alice.holds(bob)
    bob.refers(alice, to=carol, replaces=carol if attended else None)
    if not attended:
        carol.answers()
    assert not alice.hears(carol)
    assert carol.hearing == {"alice"}  # music
    alice.resumes(carol)
    assert together(alice, carol)
    one_story(lab)


# Who leaves


@EITHER
def test_the_transferee_hangs_up_while_the_target_rings(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    referral = bob.refers(alice, to=carol, then=STAYS)
    carol.rings()
    alice.hangs_up()
    lab.run(3.0)
    assert carol.got("CANCEL")
    assert carol.idle
    assert referral.result == 487
    assert bob.got("BYE")
    assert bob.idle
    assert outcome(lab) == ("cancelled", "abandoned", "")
    assert not transfers(lab)[-1].failed
    one_story(lab, traces=1)


@EITHER
def test_the_transferee_hangs_up_as_the_target_answers(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    referral = bob.refers(alice, to=carol, then=STAYS)
    carol.rings()
    with lab.at_once():
        carol.answers()
        alice.hangs_up()
    lab.run(5.0)
    assert carol.got("ACK")
    assert carol.got("BYE")
    assert carol.idle
    assert referral.result == 487
    assert bob.idle
    assert lab.engine.calls == 0
    one_story(lab, traces=1)


@EITHER
def test_the_transferee_hangs_up_instead_of_answering_the_offer(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    alice.replies["INVITE"] = None
    bob.refers(alice, to=carol, then=STAYS)
    carol.answers()
    alice.call_with(bob).hang_up()
    lab.run(5.0)
    assert carol.got("BYE")
    assert carol.idle
    assert bob.idle
    assert lab.engine.calls == 0
    one_story(lab, traces=1)


@EITHER
def test_the_transferor_hangs_up_while_the_offer_is_out(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    alice.replies["INVITE"] = None
    bob.refers(alice, to=carol, then=STAYS)
    carol.answers()
    bob.hangs_up()
    assert bob.idle
    alice.call_with(bob).answer_invite(200)
    lab.run(3.0)
    assert together(alice, carol)
    assert outcome(lab) == ("completed", "answered", "")
    one_story(lab, traces=1)


@EITHER
@pytest.mark.parametrize("who", ["alice", "bob", "carol"])
def test_somebody_hangs_up_while_a_consultation_is_joined(make_lab: MakeLab, by: str, who: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    consults(bob, alice, carol)
    offered = alice.call_with(bob)
    alice.replies["INVITE"] = None
    bob.refers(alice, to=carol, replaces=carol, then=STAYS)
    assert offered.invite_in is not None
    leaving = {"alice": offered, "bob": bob.call_with(alice), "carol": carol.call_with(bob)}[who]
    leaving.hang_up()
    lab.settle()
    alice.replies.clear()
    if who != "alice":
        offered.answer_invite(200)
    lab.run(5.0)
    if who == "bob":
        assert together(alice, carol)
        assert outcome(lab)[0] == "completed"
    elif who == "alice":
        assert alice.idle
        assert together(bob, carol)
        hang_up(bob, carol)
    else:
        assert carol.idle
        assert bob.resumes(alice).answered == 200
        still_talking(alice, bob)
    one_story(lab)
