"""Offers inside a call: re-INVITE and UPDATE from both sides, and when they meet."""

from __future__ import annotations

import pytest

from .lab import Lab
from .ladder import check
from .media import signed
from .seen import ANSWER, HOLD, OFFER


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_reinvite_crosses_with_its_answer_and_ack(lab: Lab, who: str) -> None:
    lab.talking("alice", "bob")
    asker, other = lab.phones[who], lab.phones["bob" if who == "alice" else "alice"]
    before = len(other.all("ACK"))
    assert asker.reinvites(HOLD).answered == 200
    assert other.got("INVITE").body == signed(HOLD, who)
    assert asker.got("200 INVITE").body == signed(ANSWER, other.name) + "a=recvonly\r\n"
    assert len(other.all("ACK")) == before + 1
    assert other.got("ACK").cseq == other.got("INVITE").cseq
    if who == "bob":
        check("reinvite-from-callee", lab.ladder())


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_reinvite_without_an_offer(lab: Lab, who: str) -> None:
    lab.talking("alice", "bob")
    asker, other = lab.phones[who], lab.phones["bob" if who == "alice" else "alice"]
    assert asker.reinvites("").answered == 200
    assert asker.got("200 INVITE").body == signed(OFFER, other.name)
    assert other.got("ACK").body == signed(ANSWER, who)


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_an_update_crosses(lab: Lab, who: str) -> None:
    lab.talking("alice", "bob")
    asker, other = lab.phones[who], lab.phones["bob" if who == "alice" else "alice"]
    assert asker.updates(HOLD).answered == 200
    assert other.got("UPDATE").body == signed(HOLD, who)
    assert asker.got("200 UPDATE").body == signed(ANSWER, other.name) + "a=recvonly\r\n"


def test_the_target_is_refreshed_by_a_reinvite(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    alice.contact = "<sip:alice-moved@192.0.2.1:5060>"
    alice.reinvites()
    bob.contact = "<sip:bob-moved@192.0.2.2:5060>"
    bob.updates()
    bob.sends("INFO")
    assert alice.got("INFO").uri == "sip:alice-moved@192.0.2.1:5060"
    alice.hangs_up()
    assert bob.got("BYE").uri == "sip:bob-moved@192.0.2.2:5060"


def test_a_refused_reinvite_leaves_the_call_as_it_was(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    bob.replies["INVITE"] = 488
    assert alice.reinvites().answered == 488
    assert alice.talking
    assert bob.talking
    assert alice.sends("INFO").answered == 200


def test_two_reinvites_meet_and_both_try_again(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    with lab.at_once():
        alice.reinvites()
        bob.reinvites()
    assert alice.got("491")
    assert bob.got("491")
    lab.run(6.0)
    assert alice.count("200 INVITE") == 2
    assert bob.count("200 INVITE") == 1
    assert alice.talking
    assert bob.talking
    check("glare", lab.ladder())


def test_two_updates_meet_and_both_try_again(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    with lab.at_once():
        alice.updates()
        bob.updates()
    lab.run(6.0)
    assert alice.got("200 UPDATE")
    assert bob.got("200 UPDATE")


def test_a_second_reinvite_while_the_first_is_open_gets_500(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    bob.replies["INVITE"] = None
    alice.reinvites()
    alice.retries = False
    assert alice.reinvites().answered == 500
    assert alice.got("500").header("Retry-After")
    bob.usage.answer_invite(200)
    lab.settle()
    assert alice.count("200 INVITE") == 2


def test_a_reinvite_before_the_ack_is_put_off(lab: Lab) -> None:
    """RFC 5407 section 3.1: the callee's 2xx is on its way, or the ACK is."""
    alice, bob = lab.ringing("alice", "bob")
    lab.holds("ACK", sender="alice")
    bob.answers()
    bob.usage.unacknowledged.clear()  # a callee that does not wait
    with lab.at_once():
        bob.reinvites()
    assert bob.got("491")
    lab.lets_go()
    lab.run(5.0)
    assert bob.got("200 INVITE")
    assert alice.talking
    assert bob.talking


def test_the_callers_reinvite_overtakes_its_ack(lab: Lab) -> None:
    alice, bob = lab.ringing("alice", "bob")
    lab.holds("ACK", sender="alice")
    bob.answers()
    alice.reinvites()
    lab.lets_go()
    lab.run(8.0)
    assert bob.talking
    assert alice.talking
    assert alice.count("200 INVITE") == 2


def test_a_repeated_answer_gets_the_same_ack(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    lab.loses("ACK", receiver="bob", times=2)
    alice.reinvites()
    lab.run(4.0)
    assert not bob.usage.unacknowledged
    acks = [ack for ack in bob.all("ACK") if ack.cseq == bob.got("INVITE").cseq]
    assert len({ack.data for ack in acks}) == 1


def test_prack_within_a_reinvite_names_its_cseq(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    alice.sends("INFO")
    bob.replies["INVITE"] = None
    alice.reinvites()
    invite = bob.usage.invite_in
    assert invite is not None
    rows = [("Contact", bob.contact), ("Require", "100rel"), ("RSeq", "7")]
    bob.usage.unpracked[7] = invite.request.cseq
    invite.answer(183, tag=bob.usage.dialog.local_tag, rows=rows)
    lab.settle()
    assert bob.got("PRACK").header("RAck") == f"7 {invite.request.cseq} INVITE"
    assert alice.got("200 PRACK")
    bob.usage.answer_invite(200)
    lab.settle()
    assert alice.talking


def test_a_reinvite_is_taken_back(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    bob.replies["INVITE"] = None
    reinvite = alice.reinvites()
    alice.asks_to_cancel(reinvite)
    assert bob.got("CANCEL")
    assert reinvite.answered == 487
    assert alice.talking
    assert bob.talking


def test_a_reinvite_is_taken_back_before_anybody_answered(lab: Lab) -> None:
    """9.1: the CANCEL waits for the first provisional response, it is not forgotten."""
    alice, bob = lab.talking("alice", "bob")
    bob.replies["INVITE"] = None
    lab.loses("INVITE", receiver="bob")
    reinvite = alice.reinvites()
    alice.asks_to_cancel(reinvite)
    lab.run(3.0)
    assert bob.got("CANCEL")
    assert reinvite.answered == 487


def test_a_peer_that_lost_the_dialog_ends_the_call(lab: Lab) -> None:
    """12.2.1.2: 481 to a re-INVITE."""
    alice, bob = lab.talking("alice", "bob")
    bob.replies["INVITE"] = 481
    assert alice.reinvites().answered == 481
    lab.run(1.0)
    assert bob.got("BYE")
    assert not alice.talking


def test_a_peer_that_fell_silent_ends_the_call(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    bob.dead = True
    reinvite = alice.reinvites()
    lab.run(34.0)
    assert reinvite.answered == 408
    lab.run(40.0)
    assert alice.idle


def test_session_descriptions_of_a_failed_offer_do_not_linger(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    bob.replies["INVITE"] = 488
    alice.reinvites()
    bob.replies["INVITE"] = 200
    assert alice.reinvites().answered == 200
