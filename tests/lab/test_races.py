"""Races that a long soak found, each as a story of its own."""

from __future__ import annotations

from collections.abc import Callable

from sipproxy.sip.flow import UDP

from .lab import Lab, route
from .seen import ANSWER


def test_a_late_answer_comes_again_while_its_contact_is_looked_up(lab: Lab) -> None:
    lab.hosts["pc.bob.example"] = [(UDP, "192.0.2.2", 5060)]
    alice, bob = lab.ringing("alice", "bob")
    bob.contact = "<sip:bob@pc.bob.example>"
    lab.lookup_s = 2.0
    lab.network.slowness["bob"] = 0.005
    with lab.at_once():
        bob.answers()
        alice.cancels()
    lab.run(10.0)
    assert bob.count("BYE") == 1
    assert bob.idle


def test_a_late_answer_on_a_dialog_that_was_used_is_ended_in_order(lab: Lab) -> None:
    """The BYE's CSeq follows those of PRACK and UPDATE, else it gets 500 and the callee stays in the call."""
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    bob.progresses(183, body=ANSWER, reliable=True)
    alice.updates()
    lab.network.slowness["bob"] = 0.005
    with lab.at_once():
        bob.answers()
        alice.cancels()
    assert bob.got("BYE").cseq > bob.got("UPDATE").cseq > bob.got("PRACK").cseq
    assert bob.idle


def test_a_second_answer_on_a_dialog_that_was_used_is_ended_in_order(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    bob.forks_end = False
    alice.calls("bob")
    bob.rings(fork="-desk", reliable=True)
    bob.rings(fork="-mobile", reliable=True)
    bob.answers(fork="-desk")
    bob.answers(fork="-mobile")
    assert bob.called.usages["-mobile"].over
    assert not bob.called.usages["-desk"].over
    bob.called.usage = bob.called.usages["-desk"]


def test_the_answer_to_a_reinvite_crosses_the_askers_bye(lab: Lab) -> None:
    """RFC 5407 section 3.2.4: it is acknowledged on both sides, and then repeated no more."""
    alice, bob = lab.talking("alice", "bob")
    before = len(bob.all("ACK"))
    bob.replies["INVITE"] = None
    alice.reinvites()
    lab.holds("ACK", sender="alice")
    with lab.at_once():
        bob.usage.answer_invite(200)
        alice.hangs_up()
    lab.run(0.2)
    lab.lets_go()
    lab.run(5.0)
    assert len(bob.all("ACK")) == before + 1
    heard = len(alice.heard)
    lab.run(40.0)
    assert len(alice.heard) == heard


def test_the_answer_to_a_reinvite_comes_when_the_call_is_over(lab: Lab) -> None:
    """13.2.2.4: each 2xx is acknowledged, also that which nobody waits for any more."""
    alice, bob = lab.talking("alice", "bob")
    bob.replies["INVITE"] = None
    alice.reinvites()
    lab.holds("200 INVITE", sender="bob", times=9)
    bob.usage.answer_invite(200)
    bob.usage.unacknowledged.clear()
    alice.hangs_up()
    assert lab.engine.calls == 0
    lab.lets_go()
    assert bob.got("ACK").cseq == bob.got("INVITE").cseq


def test_a_bye_in_an_early_dialog_crosses_its_answer(lab: Lab) -> None:
    """RFC 5407 section 3.1.3, on one of two forks: the answer is no answer any more."""
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    bob.rings(fork="-desk")
    bob.rings(fork="-mobile")
    lab.network.slowness["bob"] = 0.005
    with lab.at_once():
        alice.hangs_up()
        bob.answers(fork="-desk")
    lab.run(5.0)
    assert alice.idle
    assert bob.idle
    assert lab.engine.calls == 0


def test_a_bye_in_an_early_dialog_crosses_an_answer_that_gets_lost(lab: Lab) -> None:
    """The caller's INVITE still needs its final response: our 2xx is repeated until the ACK, BYE or not."""
    alice, bob = lab.ringing("alice", "bob")
    lab.loses("200 INVITE", receiver="alice")
    with lab.at_once():
        bob.answers()
        lab.run(0.015)
        alice.hangs_up()
    lab.run(5.0)
    assert alice.session.asking.answered  # type: ignore[attr-defined]
    assert bob.got("ACK")
    assert lab.engine.calls == 0


def test_the_answer_to_a_reinvite_gets_lost_and_the_asker_hangs_up(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    lab.loses("200 INVITE", receiver="alice")
    with lab.at_once():
        reinvite = alice.reinvites()
        lab.run(0.035)
        alice.hangs_up()
    lab.run(5.0)
    assert reinvite.answered == 200
    assert bob.idle


def test_a_trunk_that_was_given_up_answers_when_the_call_is_over(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(routes=(route("bob", "carol", source="alice"),))
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    bob.withholds.add("100")
    alice.calls("bob")
    lab.run(5.1)
    carol.answers()
    alice.hangs_up()
    assert lab.engine.calls == 0
    bob.answers()
    assert bob.got("ACK")
    assert bob.got("BYE")
    assert bob.idle


def test_a_callees_bye_overtakes_its_answer_on_a_forked_call(lab: Lab) -> None:
    """A datagram may overtake another: the dialog is over before it is answered, and the call with it."""
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    bob.rings(fork="-desk")
    bob.rings(fork="-mobile")
    lab.holds("200 INVITE", sender="bob")
    bob.answers(fork="-desk")
    bob.hangs_up()
    lab.lets_go()
    lab.run(5.0)
    assert alice.idle
    assert lab.engine.calls == 0
