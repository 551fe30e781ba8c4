"""How calls end: in order, crossing, challenged, unanswered, by time."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.events import DialogEnded

from .lab import Lab
from .ladder import check


def ends(lab: Lab) -> set[str]:
    return {fact.end for fact in lab.facts_of(DialogEnded)}


@pytest.mark.parametrize(("who", "end"), [("alice", "caller_bye"), ("bob", "callee_bye")])
def test_bye_from_each_side(lab: Lab, who: str, end: str) -> None:
    lab.talking("alice", "bob")
    other = lab.phones["bob" if who == "alice" else "alice"]
    lab.phones[who].hangs_up({"Reason": "Q.850;cause=16"})
    assert other.got("BYE").header("Reason") == "Q.850;cause=16"
    assert ends(lab) == {end}
    assert lab.engine.calls == 0


def test_byes_cross(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    with lab.at_once():
        alice.hangs_up()
        bob.hangs_up()
    assert alice.got("200 BYE")
    assert bob.got("200 BYE")
    assert lab.engine.calls == 0
    check("byes-cross", lab.ladder())


def test_bye_from_the_caller_before_its_ack(lab: Lab) -> None:
    """Allowed (section 15). The callee still needs an ACK for its 2xx."""
    alice, bob = lab.ringing("alice", "bob")
    alice.withholds.add("ACK")
    bob.answers()
    alice.hangs_up()
    assert bob.got("ACK")
    assert bob.got("BYE")
    assert alice.got("200 BYE")
    assert lab.engine.calls == 0


def test_bye_from_the_callee_waits_for_the_callers_ack(lab: Lab) -> None:
    """Section 15: as the callee towards our caller, we must not send BYE before the ACK."""
    alice, bob = lab.ringing("alice", "bob")
    alice.withholds.add("ACK")
    bob.answers()
    bob.hangs_up()
    assert bob.got("200 BYE")
    assert not alice.all("BYE")
    alice.acknowledges()
    assert alice.got("BYE")
    assert lab.engine.calls == 0
    check("bye-before-ack", lab.ladder())


def test_bye_from_the_callee_when_the_ack_never_comes(lab: Lab) -> None:
    alice, bob = lab.ringing("alice", "bob")
    alice.withholds.add("ACK")
    bob.answers()
    bob.hangs_up()
    lab.run(40.0)
    assert alice.got("BYE")
    assert lab.engine.calls == 0


def test_an_answer_that_is_never_acknowledged_ends_the_call(lab: Lab) -> None:
    """13.3.1.4: repeated for 64*T1, then BYE; the callee gets its ACK, for it did nothing wrong."""
    alice, bob = lab.ringing("alice", "bob")
    alice.withholds.add("ACK")
    bob.answers()
    lab.run(40.0)
    repeats = [round(seen.at - alice.all("200 INVITE")[0].at, 1) for seen in alice.all("200 INVITE")]
    assert repeats == [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert alice.got("BYE")
    assert bob.got("BYE")
    assert bob.got("ACK")
    assert ends(lab) == {"timeout"}
    assert lab.count("no_ack") == 1


def test_a_lost_ack_is_made_good_by_the_repeated_answer(lab: Lab) -> None:
    alice, bob = lab.ringing("alice", "bob")
    lab.loses("ACK", sender="alice", times=2)
    lab.loses("ACK", receiver="bob", times=1)
    bob.answers()
    lab.run(8.0)
    assert not bob.usage.unacknowledged
    assert alice.talking
    assert bob.talking


def test_a_challenged_bye_goes_back_and_comes_again(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    bob.replies["BYE"] = 407
    alice.password = "secret"
    alice.hangs_up()
    assert alice.got("407 BYE").header("Proxy-Authenticate")
    assert [bye.header("Proxy-Authorization") for bye in bob.all("BYE")] == ["", "secret"]
    assert alice.got("200 BYE")
    assert lab.engine.calls == 0


def test_a_challenged_bye_that_nobody_can_meet_leaves_the_call_up(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    bob.replies["BYE"] = 407
    alice.hangs_up()
    assert lab.engine.calls == 1
    assert bob.sends("INFO").answered == 200
    bob.hangs_up()
    assert lab.engine.calls == 0


def test_a_challenged_bye_crosses_the_challengers_own(lab: Lab) -> None:
    """Both want to end it: a challenge must not bring it back to life."""
    alice, bob = lab.talking("alice", "bob")
    bob.replies["BYE"] = 407
    with lab.at_once():
        alice.hangs_up()
        bob.hangs_up()
    lab.run(5.0)
    assert lab.engine.calls == 0


def test_a_bye_that_nobody_answers(lab: Lab) -> None:
    """The asker does not have to wait for 32 seconds."""
    alice, bob = lab.talking("alice", "bob")
    bob.dead = True
    alice.hangs_up()
    assert not alice.idle
    lab.run(2.1)
    assert alice.got("200 BYE")
    lab.run(31.0)
    assert lab.engine.calls == 0


def test_a_bye_that_is_lost_is_sent_again(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    lab.loses("BYE", times=3)
    alice.hangs_up()
    lab.run(8.0)
    assert bob.got("BYE")
    assert alice.got("200 BYE")
    assert bob.count("BYE") == 1


def test_a_second_bye_gets_481_or_200_but_an_answer(lab: Lab) -> None:
    alice, _ = lab.talking("alice", "bob")
    alice.hangs_up()
    usage = alice.usage
    usage.bye, usage.over = None, False
    usage.hang_up()
    lab.settle()
    assert alice.got("481 BYE")


def test_bye_while_a_reinvite_rings(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    bob.replies["INVITE"] = None
    reinvite = alice.reinvites()
    bob.hangs_up()
    lab.run(1.0)
    assert reinvite.answered == 487
    assert alice.got("BYE")
    assert lab.engine.calls == 0


def test_bye_from_the_one_whose_reinvite_rings(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    bob.replies["INVITE"] = None
    reinvite = alice.reinvites()
    alice.hangs_up()
    lab.run(1.0)
    assert reinvite.answered == 487
    assert bob.idle
    assert lab.engine.calls == 0


def test_bye_behind_a_reinvite_that_is_answered(lab: Lab) -> None:
    """The 2xx to the re-INVITE meets our BYE: it is acknowledged all the same (13.2.2.4)."""
    alice, bob = lab.talking("alice", "bob")
    bob.replies["INVITE"] = None
    alice.reinvites()
    with lab.at_once():
        bob.usage.answer_invite(200)
        alice.hangs_up()
    lab.run(5.0)
    assert bob.got("ACK").cseq == bob.got("INVITE").cseq
    assert lab.engine.calls == 0


def test_an_update_is_open_when_the_call_ends(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    bob.replies["UPDATE"] = None
    alice.updates()
    bob.hangs_up()
    lab.run(40.0)
    assert lab.engine.calls == 0


def test_the_callee_is_gone(lab: Lab) -> None:
    """12.2.1.2 by way of an in-dialog request of the other side."""
    alice, bob = lab.talking("alice", "bob")
    bob.usages.clear()
    bob.sessions.clear()
    assert alice.updates().answered == 481
    lab.run(1.0)
    assert alice.idle
    assert lab.engine.calls == 0


def test_drain_refuses_new_calls_and_ends_the_old_ones(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    carol = lab.phone("carol")
    lab.engine.drain()
    carol.calls("dave")
    assert carol.got("503").header("Retry-After") == "30"
    assert carol.asks("OPTIONS").answered == 503
    assert alice.sends("INFO").answered == 200
    lab.does(lab.engine.end_all)
    assert alice.got("BYE")
    assert bob.got("BYE")
    assert ends(lab) == {"shutdown"}
    assert lab.engine.calls == 0


def test_a_shutdown_meets_calls_in_every_state(lab: Lab) -> None:
    alice, bob, carol, dave = lab.cast("alice", "bob", "carol", "dave")
    lab.ringing("alice", "bob")
    carol.withholds.add("ACK")
    lab.phone("carol").calls("dave")
    dave.answers()
    lab.does(lab.engine.end_all)
    assert alice.got("503")
    assert bob.got("CANCEL")
    assert dave.got("BYE")
    lab.run(40.0)
    assert carol.got("BYE")
    assert lab.engine.calls == 0


def test_the_other_sides_answers_are_not_repeated_for_ever(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    with lab.at_once():
        alice.reinvites()
        bob.hangs_up()
    lab.run(3.0)
    before = len(alice.heard)
    lab.run(40.0)
    assert len(alice.heard) == before
