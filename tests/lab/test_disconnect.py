"""Session disconnect delay (RFC 6076 section 4.4): from a BYE of ours to its final response, if one comes."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.events import CallForgotten, Disconnected, RequestArrived

from .lab import Lab
from .transfers import MakeLab, cast, together

HERE_AND_BACK_S = 0.020  # what the lab's wire takes


def told(lab: Lab) -> list[tuple[str, int, float]]:
    """Trunk, status, delay."""
    return [(fact.trunk, fact.status, round(fact.delay_s, 3)) for fact in lab.facts_of(Disconnected)]


@pytest.mark.parametrize(("who", "other"), [("alice", "bob"), ("bob", "alice")])
def test_the_one_who_is_told_answers(lab: Lab, who: str, other: str) -> None:
    lab.talking("alice", "bob")
    lab.phones[who].hangs_up()
    assert told(lab) == [(other, 200, HERE_AND_BACK_S)]
    (fact,), (arrived,) = lab.facts_of(Disconnected), lab.facts_of(RequestArrived)
    assert fact.root is arrived.root
    assert lab.now - fact.at < HERE_AND_BACK_S


def test_it_is_told_before_the_last_word_on_the_call(lab: Lab) -> None:
    """Who counts by call has forgotten the call then."""
    alice, _ = lab.talking("alice", "bob")
    alice.hangs_up()
    kinds = [type(fact) for fact in lab.facts if isinstance(fact, Disconnected | CallForgotten)]
    assert kinds == [Disconnected, CallForgotten]


def test_a_slow_answer(lab: Lab) -> None:
    alice, _ = lab.talking("alice", "bob")
    lab.holds("200 BYE", sender="bob", times=99)
    alice.hangs_up()
    lab.run(5.0)
    assert alice.got("200 BYE")  # from us: nobody has to wait for so long
    assert told(lab) == []
    lab.lets_go()
    ((trunk, status, delay_s),) = told(lab)
    assert (trunk, status) == ("bob", 200)
    assert delay_s == pytest.approx(5.0, abs=0.1)


def test_a_lost_bye_counts_from_the_first(lab: Lab) -> None:
    alice, _ = lab.talking("alice", "bob")
    lab.loses("BYE", receiver="bob", times=2)
    alice.hangs_up()
    lab.run(2.0)
    assert told(lab) == [("bob", 200, 1.5 + HERE_AND_BACK_S)]


def test_silence(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    bob.dead = True
    alice.hangs_up()
    lab.run(40.0)
    assert told(lab) == [("bob", 0, 32.0)]


def test_nobody_is_there_any_more(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    lab.network.unreachable.add(("192.0.2.2", 5060))
    bob.dead = True
    alice.hangs_up()
    lab.settle()
    ((trunk, status, delay_s),) = told(lab)
    assert (trunk, status) == ("bob", 0)
    assert delay_s < 1.0


def test_a_dialog_that_the_other_has_lost(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    bob.replies["BYE"] = 481
    alice.hangs_up()
    assert told(lab) == [("bob", 481, HERE_AND_BACK_S)]
    bob.replies.clear()
    bob.usage.end()


def test_a_bye_that_is_challenged_ends_nothing_yet(lab: Lab) -> None:
    """The one that brings the credentials counts, from its own beginning."""
    alice, bob = lab.talking("alice", "bob")
    bob.replies["BYE"] = 407
    alice.password = "secret"
    alice.hangs_up()
    assert bob.count("BYE") == 2
    assert told(lab) == [("bob", 200, HERE_AND_BACK_S)]


def test_a_challenge_that_nobody_meets_is_no_end(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    bob.replies["BYE"] = 407
    alice.hangs_up()
    assert told(lab) == []
    bob.hangs_up()
    assert told(lab) == [("alice", 200, HERE_AND_BACK_S)]


def test_our_own_bye_cannot_meet_a_challenge(lab: Lab) -> None:
    _, bob = lab.talking("alice", "bob")
    bob.replies["BYE"] = 407
    lab.does(lab.engine.end_all)
    assert sorted(told(lab)) == [("alice", 200, HERE_AND_BACK_S), ("bob", 407, HERE_AND_BACK_S)]
    bob.replies.clear()
    bob.usage.end()


def test_a_call_that_we_end_has_two(lab: Lab) -> None:
    lab.talking("alice", "bob")
    lab.does(lab.engine.end_all)
    assert sorted(told(lab)) == [("alice", 200, HERE_AND_BACK_S), ("bob", 200, HERE_AND_BACK_S)]


def test_byes_that_cross(lab: Lab) -> None:
    """Each hangs up; we told Bob before we heard him."""
    alice, bob = lab.talking("alice", "bob")
    with lab.at_once():
        alice.hangs_up()
        bob.hangs_up()
    assert told(lab) == [("bob", 200, HERE_AND_BACK_S)]


def test_a_bye_that_waits_for_an_ack_counts_from_when_it_leaves(lab: Lab) -> None:
    alice, bob = lab.ringing("alice", "bob")
    alice.withholds.add("ACK")
    bob.answers()
    bob.hangs_up()
    lab.run(3.0)
    assert told(lab) == []
    alice.acknowledges()
    assert told(lab) == [("alice", 200, HERE_AND_BACK_S)]


def test_a_call_that_was_never_answered_has_none(lab: Lab) -> None:
    alice, bob = lab.ringing("alice", "bob")
    bob.refuses(486)
    lab.ringing("alice", "bob")
    alice.cancels()
    assert told(lab) == []


def test_the_transferor_is_told_of_the_end_of_its_call(make_lab: MakeLab) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by="callee")
    bob.refers(alice, to=carol, then="stays")
    carol.answers()
    assert together(alice, carol)
    assert told(lab) == [("bob", 200, HERE_AND_BACK_S)]
    carol.hangs_up()
    assert told(lab)[1:] == [("alice", 200, HERE_AND_BACK_S)]
