"""Messages of a transfer that cross, overtake and double: one story each."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.events import DialogEnded, TransferBegan

from .referral import LEAVES, STAYS
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
    together,
    transfers,
)

ANY = pytest.mark.parametrize(("mode", "by"), [(mode, by) for mode in MODES for by in SIDES])
EITHER = pytest.mark.parametrize("by", SIDES)


# NOTIFY before the 202


@EITHER
def test_the_transferee_notifies_before_it_answers(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    alice.style.early_notify = True
    with lab.at_once():
        referral = bob.refers(alice, to=carol)
        lab.run(0.045)
        assert (referral.statuses, referral.answered) == ([100], 0)
    lab.run(0.2)
    assert referral.answered == 202
    carol.answers()
    assert together(alice, carol)
    assert bob.idle
    assert outcome(lab) == ("completed", "answered", "")
    one_story(lab, traces=1)


@ANY
def test_the_202_is_overtaken(make_lab: MakeLab, mode: str, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    lab.holds("202", receiver="bob")
    referral = bob.refers(alice, to=carol)
    assert referral.statuses == [100]
    lab.lets_go()
    assert referral.answered == 202
    carol.answers()
    assert together(alice, carol)
    assert bob.idle
    one_story(lab, traces=1)


@ANY
def test_the_202_comes_when_all_is_over(make_lab: MakeLab, mode: str, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    lab.holds("202", receiver="bob", times=9)
    referral = bob.refers(alice, to=carol)
    carol.answers()
    assert referral.result == 200
    lab.lets_go()
    lab.run(3.0)
    assert together(alice, carol)
    assert bob.idle
    one_story(lab, traces=1)


# BYE from the transferor


@ANY
@pytest.mark.parametrize("kind", KINDS)
def test_bye_right_behind_the_202(make_lab: MakeLab, mode: str, by: str, kind: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    if kind == "attended":
        consults(bob, alice, carol)
    referral = bob.refers(alice, to=carol, replaces=carol if kind == "attended" else None, then=LEAVES)
    if kind == "blind":
        carol.rings()
        carol.answers()
    lab.run(3.0)
    assert together(alice, carol)
    assert bob.idle
    assert referral.result == 200
    assert outcome(lab) == ("completed", "answered", "")
    assert lab.engine.calls == 1
    one_story(lab)


@ANY
def test_bye_crosses_the_last_notify(make_lab: MakeLab, mode: str, by: str) -> None:
    """The transferee must not lose the dialog before its NOTIFY is answered."""
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    referral = bob.refers(alice, to=carol, then=STAYS)
    lab.holds("NOTIFY", receiver="bob")
    carol.answers()
    bob.call_with(alice).hang_up()
    lab.run(0.2)
    assert not alice.all("BYE")
    lab.lets_go()
    lab.run(3.0)
    assert referral.result == 200
    assert together(alice, carol)
    assert bob.idle
    if mode == "relay":
        assert alice.heard.index(alice.got("200 NOTIFY")) < alice.heard.index(alice.got("BYE"))
    one_story(lab, traces=1)


@ANY
def test_bye_does_not_wait_for_ever(make_lab: MakeLab, mode: str, by: str) -> None:
    """The NOTIFY is never answered: two seconds are enough."""
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    bob.refers(alice, to=carol, then=STAYS)
    lab.loses("NOTIFY", receiver="bob", times=99)
    carol.answers()
    hung_up_at = lab.now
    bob.call_with(alice).hang_up()
    lab.run(3.0)
    assert bob.idle
    assert bob.got("200 BYE").at - hung_up_at < 2.2
    assert together(alice, carol)
    lab.run(40.0)
    assert together(alice, carol)
    one_story(lab, traces=1)


@ANY
def test_nobody_but_us_ends_the_transferors_call(make_lab: MakeLab, mode: str, by: str) -> None:
    """In local mode the transferor hears BYE from us; in relay mode it is up to those who talk."""
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    alice.style.leaves = True
    bob.refers(alice, to=carol, then=STAYS)
    carol.answers()
    lab.run(3.0)
    assert bob.got("BYE")
    assert bob.idle
    assert together(alice, carol)
    assert "transferred" in {fact.end for fact in lab.facts_of(DialogEnded)}
    one_story(lab, traces=1)


@ANY
def test_the_target_answers_when_the_transferor_has_given_up(make_lab: MakeLab, mode: str, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    bob.refers(alice, to=carol, then=STAYS)
    carol.rings()
    bob.hangs_up()
    lab.run(20.0)
    assert bob.idle
    carol.answers()
    lab.run(3.0)
    assert together(alice, carol)
    assert outcome(lab) == ("completed", "answered", "")
    one_story(lab, traces=1)


# REFERs


@EITHER
@pytest.mark.parametrize("status", [401, 407])
def test_a_challenged_refer_comes_again(make_lab: MakeLab, by: str, status: int) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    alice.style.answer = status
    bob.password = "secret"
    referral = bob.refers(alice, to=carol)
    assert [refer.header("Proxy-Authorization") for refer in alice.all("REFER")] == ["", "secret"]
    assert referral.answered == 202
    carol.answers()
    assert referral.statuses == [100, 200]
    assert together(alice, carol)
    first, second = transfers(lab)
    assert not first.failed
    assert (first.attributes["sip.transfer.outcome"], first.attributes["sip.transfer.stage"]) == (
        "refused",
        "refused",
    )
    assert second.attributes["sip.transfer.outcome"] == "completed"
    one_story(lab, traces=1)


@EITHER
def test_refers_from_both_sides_are_relayed(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    dave = lab.phone("dave")
    with lab.at_once():
        there = bob.refers(alice, to=carol, then=STAYS)
        back = alice.refers(bob, to=dave, then=STAYS)
    carol.answers()
    dave.answers()
    assert (there.result, back.result) == (200, 200)
    assert carol.hearing == {"alice"}
    assert dave.hearing == {"bob"}
    hang_up(alice, bob)
    assert [span.attributes["sip.transfer.outcome"] for span in transfers(lab)] == ["completed"] * 2
    one_story(lab, traces=1)


@EITHER
def test_of_refers_from_both_sides_one_is_done(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    dave = lab.phone("dave")
    with lab.at_once():
        there = bob.refers(alice, to=carol)
        back = alice.refers(bob, to=dave)
    assert sorted((there.answered, back.answered)) == [202, 491]
    target, gone, stays = (carol, bob, alice) if there.answered == 202 else (dave, alice, bob)
    target.answers()
    assert together(stays, target)
    assert gone.idle
    one_story(lab, traces=1)


@EITHER
def test_a_second_refer_is_another_subscription(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    dave = lab.phone("dave")
    first = bob.refers(alice, to=carol, then=STAYS)
    bob.sends("INFO")  # so that the numbers on both legs differ
    alice.call_with(bob).ask("INFO")
    second = bob.refers(alice, to=dave)
    carol.rings()
    dave.rings()
    carol.refuses(486)
    dave.answers()
    assert first.statuses == [100, 180, 486]
    assert second.statuses == [100, 180, 200]
    assert together(alice, dave)
    assert [span.attributes["sip.transfer.outcome"] for span in transfers(lab)] == ["busy", "completed"]
    one_story(lab, traces=1)


@EITHER
def test_a_second_refer_waits_its_turn(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    dave = lab.phone("dave")
    first = bob.refers(alice, to=carol)
    assert bob.refers(alice, to=dave).answered == 491
    assert not dave.heard
    carol.answers()
    assert first.result == 200
    assert together(alice, carol)
    one_story(lab, traces=1)


@ANY
def test_a_refer_that_is_repeated_is_one(make_lab: MakeLab, mode: str, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    lab.loses("REFER", sender="bob", fate="twice")
    lab.loses("202", receiver="bob", times=2)
    referral = bob.refers(alice, to=carol)
    lab.run(5.0)
    assert referral.answered == 202
    assert alice.count("REFER") == (mode == "relay")
    assert carol.count("INVITE") == 1
    carol.answers()
    assert together(alice, carol)
    assert len(lab.facts_of(TransferBegan)) == 1
    one_story(lab, traces=1)
