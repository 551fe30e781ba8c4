"""CANCEL in every state, and answers that come too late for it."""

from __future__ import annotations

from .lab import Lab
from .ladder import check


def test_a_ringing_call_is_cancelled(lab: Lab) -> None:
    alice, bob = lab.ringing("alice", "bob")
    alice.cancels({"Reason": 'SIP;cause=200;text="Call completed elsewhere"'})
    assert alice.got("200 CANCEL")
    assert alice.got("487")
    assert bob.got("CANCEL").header("Reason") == 'SIP;cause=200;text="Call completed elsewhere"'
    assert bob.got("CANCEL").branch == bob.got("INVITE").branch
    assert bob.got("ACK")
    check("cancel", lab.ladder())


def test_a_call_is_cancelled_before_the_callee_said_anything(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    bob.withholds.add("100")
    alice.calls("bob")
    alice.cancels()
    assert alice.got("487")
    assert not bob.all("CANCEL")
    bob.rings()
    assert bob.got("CANCEL")
    assert not bob.called.open


def test_a_call_is_cancelled_though_the_ringing_got_lost(lab: Lab) -> None:
    """It rings, and we do not know: only a repeated INVITE brings the 180 back, and the CANCEL out (9.1)."""
    alice, bob = lab.cast("alice", "bob")
    bob.withholds.add("100")
    alice.calls("bob")
    lab.loses("180", sender="bob")
    bob.rings()
    alice.cancels()
    lab.run(5.0)
    assert bob.got("CANCEL")
    assert not bob.called.open


def test_cancel_comes_right_behind_the_invite(lab: Lab) -> None:
    """Against 9.1, but it happens."""
    alice, bob = lab.cast("alice", "bob")
    with lab.at_once():
        calling = alice.calls("bob")
        calling.cancel(at_once=True)
    assert alice.got("487")
    assert bob.got("CANCEL")


def test_cancel_crosses_the_answer_behind_us(lab: Lab) -> None:
    """The 200 is with us or behind us already: the CANCEL changes nothing, the caller has to hang up."""
    alice, bob = lab.ringing("alice", "bob")
    lab.network.slowness["alice"] = 0.005
    with lab.at_once():
        bob.answers()
        alice.cancels()
    assert alice.got("200 CANCEL")
    assert alice.got("200 INVITE")
    assert bob.got("ACK")
    assert bob.got("BYE")
    assert alice.idle
    assert bob.idle
    check("cancel-crosses-200", lab.ladder())


def test_cancel_crosses_the_answer_before_us(lab: Lab) -> None:
    """The 200 reaches us behind the CANCEL: the caller has its 487, the callee gets ACK and BYE (15.1.2)."""
    alice, bob = lab.ringing("alice", "bob")
    lab.network.slowness["bob"] = 0.005
    with lab.at_once():
        bob.answers()
        alice.cancels()
    assert alice.got("487")
    assert bob.got("ACK")
    assert bob.got("BYE")
    assert not alice.all("200 INVITE")
    check("late-answer", lab.ladder())


def test_a_late_answer_that_is_repeated_is_ended_once(lab: Lab) -> None:
    alice, bob = lab.ringing("alice", "bob")
    lab.network.slowness["bob"] = 0.005
    lab.loses("ACK", receiver="bob")
    lab.loses("BYE", receiver="bob", times=2)
    with lab.at_once():
        bob.answers()
        alice.cancels()
    lab.run(10.0)
    assert bob.count("BYE") == 1
    assert bob.idle


def test_a_repeated_cancel_is_answered_again(lab: Lab) -> None:
    alice, bob = lab.ringing("alice", "bob")
    lab.loses("200 CANCEL", receiver="alice", times=2)
    alice.cancels()
    lab.run(5.0)
    assert len(alice.all("200 CANCEL")) == 1
    assert len(bob.all("CANCEL")) == 1


def test_a_lost_cancel_is_sent_again(lab: Lab) -> None:
    _, bob = lab.ringing("alice", "bob")
    lab.loses("CANCEL", receiver="bob", times=2)
    lab.phones["alice"].cancels()
    lab.run(5.0)
    assert bob.got("CANCEL")
    assert bob.idle


def test_a_callee_that_never_ends_a_cancelled_invite_is_given_up(lab: Lab) -> None:
    alice, _bob = lab.ringing("alice", "bob")
    lab.loses("487", sender="bob", times=99)
    alice.cancels()
    lab.run(70.0)
    assert lab.engine.endpoint.transactions == 0


def test_cancel_for_nothing_gets_481(lab: Lab) -> None:
    alice, _bob = lab.ringing("alice", "bob")
    invite = alice.session
    alice.cancels()
    lab.run(60.0)
    wire = invite.asking.follow("CANCEL").replace(b"z9hG4bK-alice", b"z9hG4bK-never")  # type: ignore[attr-defined]
    alice.asks_again(wire)
    assert alice.got("481 CANCEL")


def test_cancel_of_an_answered_call_changes_nothing(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    wire = alice.session.asking.follow("CANCEL")  # type: ignore[attr-defined]
    alice.asks_again(wire)
    assert alice.got("200 CANCEL")
    assert not bob.all("CANCEL")
    assert alice.talking
    assert bob.talking


def test_cancel_on_a_fork_ends_all_its_branches(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    bob.rings(fork="-desk")
    bob.rings(fork="-mobile")
    alice.cancels()
    assert len(bob.all("CANCEL")) == 1
    assert alice.idle
    assert bob.idle


def test_a_reason_that_reads_like_a_note_of_ours_is_just_a_reason(lab: Lab) -> None:
    alice, bob = lab.ringing("alice", "bob")
    alice.cancels({"Reason": "sent"})
    assert bob.got("CANCEL").header("Reason") == "sent"
