"""Where calls go when somebody is busy, slow, gone or full."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sipproxy.b2bua.settings import Health, TrunkLimits

from .lab import Lab, route, trunk
from .ladder import check
from .seen import ANSWER

MakeLab = Callable[..., Lab]
TO_BOTH = (route("bob", "carol", source="alice"),)


@pytest.fixture
def two(make_lab: MakeLab) -> Lab:
    lab = make_lab(routes=TO_BOTH)
    lab.cast("alice", "bob", "carol")
    return lab


@pytest.mark.parametrize("status", [408, 500, 503, 504])
def test_the_next_trunk_is_tried_after(two: Lab, status: int) -> None:
    alice, bob, carol = two.phones.values()
    alice.calls("bob")
    bob.refuses(status)
    carol.answers()
    assert alice.talking
    assert not alice.all(str(status))
    assert carol.got("INVITE").span_id != bob.got("INVITE").span_id
    assert carol.got("INVITE").trace_id == bob.got("INVITE").trace_id
    assert two.count("failover") == 1
    if status == 503:
        check("failover", two.ladder())


@pytest.mark.parametrize("status", [302, 404, 486, 488, 600, 603])
def test_a_refusal_is_final(two: Lab, status: int) -> None:
    alice, bob, carol = two.phones.values()
    alice.calls("bob")
    bob.refuses(status)
    assert alice.got(str(status))
    assert not carol.heard


def test_a_trunk_that_asks_for_a_pause_gets_it(two: Lab) -> None:
    alice, bob, carol = two.phones.values()
    alice.calls("bob")
    bob.refuses(503, {"Retry-After": "20"})
    carol.answers()
    alice.hangs_up()
    alice.calls("bob")
    assert bob.count("INVITE") == 1
    carol.refuses(486)
    two.run(20.0)
    alice.calls("bob")
    assert bob.count("INVITE") == 2


def test_a_malformed_retry_after_does_not_kill_the_call(two: Lab) -> None:
    alice, bob, carol = two.phones.values()
    alice.calls("bob")
    bob.refuses(503, {"Retry-After": "soon"})
    carol.answers()
    assert alice.talking


def test_a_silent_trunk_is_left_after_five_seconds(two: Lab) -> None:
    alice, bob, carol = two.phones.values()
    bob.dead = True
    alice.calls("bob")
    two.run(4.9)
    assert not carol.heard
    two.run(0.3)
    carol.answers()
    assert alice.talking


def test_the_last_trunk_gets_timer_b(two: Lab) -> None:
    alice, bob, carol = two.phones.values()
    bob.dead = carol.dead = True
    alice.calls("bob")
    two.run(36.9)
    assert not alice.all("408")
    two.run(0.3)
    assert alice.got("408")


def test_a_silent_trunk_that_wakes_up_is_cancelled(two: Lab) -> None:
    alice, bob, carol = two.phones.values()
    bob.withholds.add("100")
    alice.calls("bob")
    two.run(5.1)
    carol.rings()
    bob.rings()
    assert bob.got("CANCEL")
    carol.answers()
    assert alice.talking


def test_a_silent_trunk_that_answers_late_is_ended(two: Lab) -> None:
    alice, bob, carol = two.phones.values()
    bob.withholds.add("100")
    alice.calls("bob")
    two.run(5.1)
    carol.answers()
    bob.answers()
    assert bob.got("ACK")
    assert bob.got("BYE")
    assert alice.talking
    assert carol.talking


def test_an_unreachable_trunk_is_left_at_once(two: Lab) -> None:
    alice, bob, carol = two.phones.values()
    two.network.unreachable.add(("192.0.2.2", 5060))
    alice.calls("bob")
    two.settle()
    carol.answers()
    assert alice.talking
    assert not bob.heard


def test_ringing_alone_does_not_forbid_the_next_trunk(two: Lab) -> None:
    alice, bob, carol = two.phones.values()
    alice.calls("bob")
    bob.rings()
    bob.refuses(503)
    carol.rings()
    assert alice.count("180") == 2
    carol.answers()
    assert alice.talking


def test_no_other_trunk_once_the_caller_heard_something(two: Lab) -> None:
    alice, bob, carol = two.phones.values()
    alice.calls("bob")
    bob.progresses(183, body=ANSWER)
    bob.refuses(503)
    assert alice.got("503")
    assert not carol.heard


def test_all_trunks_are_down(two: Lab) -> None:
    alice = two.phones["alice"]
    two.network.unreachable |= {("192.0.2.2", 5060), ("192.0.2.3", 5060)}
    alice.calls("bob")
    two.settle()
    assert alice.got("503")
    assert two.engine.calls == 0


def test_the_last_refusal_is_the_callers(two: Lab) -> None:
    alice, bob, carol = two.phones.values()
    alice.calls("bob")
    bob.refuses(503)
    carol.refuses(500)
    assert alice.got("500")


def test_cancel_between_two_trunks(two: Lab) -> None:
    alice, bob, carol = two.phones.values()
    alice.calls("bob")
    bob.refuses(503)
    alice.cancels()
    assert carol.got("CANCEL")
    assert alice.got("487")


def test_a_full_trunk_is_passed_over(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"bob": trunk("bob", limits=TrunkLimits(calls=1))}, routes=TO_BOTH)
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    alice.calls("bob")
    bob.answers()
    alice.calls("bob")
    carol.answers()
    bob.hangs_up()
    alice.sessions.reverse()
    alice.calls("bob")
    assert bob.count("INVITE") == 2


def test_a_caller_over_its_limit_is_told_to_wait(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"alice": trunk("alice", limits=TrunkLimits(cps=2))})
    alice, bob = lab.cast("alice", "bob")
    with lab.at_once():
        for _ in range(3):
            alice.calls("bob")
    assert len(alice.all("503")) == 1
    assert alice.got("503").header("Retry-After")
    assert len(bob.sessions) == 2
    lab.run(0.5)
    alice.calls("bob")
    assert len(bob.sessions) == 3


def test_probes_take_a_dead_trunk_out_and_back_in(make_lab: MakeLab) -> None:
    lab = make_lab(
        trunks={"bob": trunk("bob", health=Health(options_every_s=10, down_after=2))}, routes=TO_BOTH
    )
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    lab.run(11.0)
    assert bob.got("OPTIONS").header("Max-Forwards") == "70"
    bob.dead = True
    lab.run(53.0)
    assert lab.count("trunk_down") == 1
    alice.calls("bob")
    assert carol.sessions
    assert lab.count("failover") == 0
    carol.refuses(486)
    bob.dead = False
    lab.run(11.0)
    assert lab.count("trunk_up") == 1
    alice.calls("bob")
    assert bob.sessions


def test_a_probe_answered_with_an_error_is_an_answer(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"bob": trunk("bob", health=Health(options_every_s=10, down_after=1))})
    bob = lab.phone("bob")
    bob.replies["OPTIONS"] = 404
    lab.run(15.0)
    assert lab.count("trunk_down") == 0
    bob.replies["OPTIONS"] = 503
    lab.run(10.0)
    assert lab.count("trunk_down") == 1


def test_nobody_knows_the_caller(lab: Lab) -> None:
    stranger = lab.phone("mallory", at="198.51.100.9")
    stranger.calls("nobody")
    assert stranger.got("403")
