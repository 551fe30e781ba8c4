"""Before the answer: forks, early media, reliable provisional responses, UPDATE."""

from __future__ import annotations

from .lab import Lab
from .ladder import check
from .media import signed
from .seen import ANSWER, OFFER


def test_each_fork_gets_a_tag_of_its_own_towards_the_caller(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    bob.rings(fork="-desk")
    bob.rings(fork="-mobile")
    bob.rings(fork="-desk")
    first, second, third = alice.all("180")
    assert first.to_tag == third.to_tag != second.to_tag
    bob.answers(fork="-mobile")
    assert alice.got("200 INVITE").to_tag == second.to_tag
    assert alice.talking


def test_after_a_fork_both_sides_can_still_hang_up(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    bob.rings(fork="-desk")
    bob.rings(fork="-mobile")
    bob.answers(fork="-desk")
    assert bob.sends("INFO").answered == 200
    bob.hangs_up()
    assert alice.got("BYE")


def test_a_second_answer_from_a_fork_is_acknowledged_and_ended(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    bob.forks_end = False
    alice.calls("bob")
    bob.rings(fork="-desk")
    bob.rings(fork="-mobile")
    with lab.at_once():
        bob.answers(fork="-desk")
        bob.answers(fork="-mobile")
    desk, mobile = bob.called.usages["-desk"], bob.called.usages["-mobile"]
    assert mobile.over
    assert not desk.over
    assert bob.got("BYE").to_tag == mobile.dialog.local_tag
    assert alice.count("200 INVITE") == 1
    bob.called.usage = desk
    assert bob.sends("INFO").answered == 200
    bob.hangs_up()
    assert alice.got("BYE")
    check("two-answers", lab.ladder())


def test_a_second_answer_is_ended_once_though_it_is_repeated(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    bob.forks_end = False
    alice.calls("bob")
    bob.answers(fork="-desk")
    lab.loses("ACK", receiver="bob")
    lab.loses("BYE", receiver="bob")
    bob.answers(fork="-mobile")
    lab.run(10.0)
    assert bob.count("BYE") == 1
    assert bob.called.usages["-mobile"].over
    bob.called.usage = bob.called.usages["-desk"]
    assert alice.talking


def test_early_media_reaches_the_caller(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    bob.progresses(183, body=ANSWER)
    assert alice.got("183").body == signed(ANSWER, "bob")
    bob.answers()
    assert alice.talking


def test_a_provisional_response_without_a_contact_still_gives_one(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    bob.rings(headers={"Contact": ""})
    bob.answers()
    assert alice.talking


def test_a_reliable_response_is_acknowledged_by_prack(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", headers={"CSeq": "1 INVITE"})
    bob.progresses(183, body=ANSWER, reliable=True)
    assert alice.got("183").header("RSeq") == "1"
    assert alice.got("183").header("Require") == "100rel"
    assert bob.got("PRACK").header("RAck") == "1 1 INVITE"
    assert alice.got("200 PRACK")
    bob.rings(reliable=True)
    assert bob.got("PRACK").header("RAck") == "2 1 INVITE"
    bob.answers()
    assert alice.talking
    check("prack", lab.ladder())


def test_rack_names_the_cseq_of_the_other_leg(lab: Lab) -> None:
    """The caller's INVITE has number 2 after a challenge, ours on the other leg starts anew."""
    alice, bob = lab.cast("alice", "bob")
    alice.password = "secret"
    alice.calls("bob")
    bob.refuses(407)
    bob.rings(reliable=True)
    assert alice.got("180").cseq == 2
    assert bob.got("PRACK").header("RAck") == f"1 {bob.got('INVITE').cseq} INVITE"
    bob.answers()


def test_a_reliable_response_is_repeated_until_prack(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    lab.loses("180", receiver="alice", times=2)
    bob.rings(reliable=True)
    lab.run(4.0)
    assert not bob.called.usages[""].unpracked
    assert alice.count("180") == 1
    bob.answers()


def test_a_lost_prack_is_sent_again(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    lab.loses("PRACK", times=2)
    bob.rings(reliable=True)
    lab.run(4.0)
    assert not bob.called.usages[""].unpracked
    bob.answers()
    assert alice.talking


def test_each_fork_counts_its_reliable_responses(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    bob.rings(fork="-desk", reliable=True)
    bob.rings(fork="-mobile", reliable=True)
    bob.rings(fork="-desk", reliable=True)
    assert [prack.header("RAck") for prack in bob.all("PRACK")] == ["1 1 INVITE", "1 1 INVITE", "2 1 INVITE"]
    bob.answers(fork="-mobile")
    assert alice.talking


def test_update_in_an_early_dialog_from_each_side(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    bob.progresses(183, body=ANSWER, reliable=True)
    update = alice.updates(OFFER)
    assert update.answered == 200
    assert bob.got("UPDATE").body == signed(OFFER, "alice")
    assert bob.updates(OFFER).answered == 200
    assert alice.got("UPDATE").body == signed(OFFER, "bob")
    bob.answers()
    assert alice.talking
    check("early-update", lab.ladder())


def test_update_on_each_of_two_forks(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    bob.rings(fork="-desk", reliable=True)
    bob.rings(fork="-mobile", reliable=True)
    for fork in ("-desk", "-mobile"):
        bob.called.usage = bob.called.usages[fork]
        assert bob.updates(OFFER).answered == 200, fork
    bob.answers(fork="-desk")
    assert alice.talking


def test_a_refused_update_on_one_fork_leaves_the_other_alone(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    bob.rings(fork="-desk", reliable=True)
    bob.rings(fork="-mobile", reliable=True)
    bob.replies["UPDATE"] = 481
    alice.session.usage = next(iter(alice.session.usages.values()))
    alice.session.usage.bye = None
    alice.withholds.add("BYE")
    assert alice.updates(OFFER).answered == 481
    assert bob.called.open
    bob.answers(fork="-mobile")
    assert alice.count("200 INVITE") == 1


def test_a_bye_on_one_early_dialog_leaves_the_other_alone(lab: Lab) -> None:
    """RFC 3261 section 15: it ends that dialog; the INVITE, and its other early dialogs, go on."""
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    bob.rings(fork="-desk")
    bob.rings(fork="-mobile")
    desk = next(iter(alice.session.usages.values()))
    desk.hang_up()
    lab.settle()
    assert alice.got("200 BYE")
    assert bob.got("BYE").to_tag == bob.called.usages["-desk"].dialog.local_tag
    bob.answers(fork="-mobile")
    assert alice.count("200 INVITE") == 1


def test_a_bye_on_the_only_early_dialog_ends_the_call(lab: Lab) -> None:
    alice, bob = lab.ringing("alice", "bob")
    alice.hangs_up()
    assert alice.got("200 BYE")
    assert alice.got("487")
    assert not bob.called.open


def test_an_invite_in_an_early_dialog_waits_its_turn(lab: Lab) -> None:
    """14.2: 500 with Retry-After to the one whose INVITE is open, 491 to the one who was asked."""
    alice, bob = lab.ringing("alice", "bob")
    alice.retries = bob.retries = False
    assert alice.reinvites().answered == 500
    assert alice.got("500").header("Retry-After")
    assert bob.reinvites().answered == 491
    bob.answers()
    assert alice.talking
