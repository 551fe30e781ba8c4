"""What is counted of calls. The seconds of RFC 6076 are worked out by hand beside each story."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from sipproxy.b2bua.settings import Timeouts
from sipproxy.telemetry.families import OTHER
from sipproxy.telemetry.meter import Meter
from tests.lab.core import route, trunk
from tests.lab.soak import Soak
from tests.unit.telemetry.facts import Call
from tests.unit.telemetry.metered import MeteredLab, metered_labs

SRD, SDD, SDT = (
    "sip_session_request_delay_seconds",
    "sip_session_disconnect_delay_seconds",
    "sip_session_duration_seconds",
)
ATTEMPT = "sip_attempt_delay_seconds"
ATTEMPT = "sip_attempt_delay_seconds"
TRUNKS = {"sbc": trunk("192.0.2.1:5060"), "carrier-a": trunk("192.0.2.2:5060")}


@pytest.fixture
def make_lab() -> Iterator[Callable[..., MeteredLab]]:
    with metered_labs() as make:
        yield make


@pytest.fixture
def lab(make_lab: Callable[..., MeteredLab]) -> MeteredLab:
    return make_lab()


# RFC 6076, by hand


def test_a_call_that_rings_talks_and_ends(lab: MeteredLab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")  # at 0 s: INVITE, and our 100, which tells nobody anything
    lab.run(1.5)
    bob.rings()  # at 1.5 s: 180
    lab.run(2.5)
    bob.answers()  # at 4 s: 200
    lab.run(60.0)
    lab.network.slowness["bob"] = 0.25
    alice.hangs_up()  # at 64 s: BYE; its 200 at 64.25 s
    assert lab.counted(SRD, "alice", "success") == (1, 1.5)  # 1.5 - 0: till the ringing, not till the answer
    assert lab.counted(ATTEMPT, "bob", "success") == (1, 1.5)
    assert lab.counted(SDT, "alice", "caller") == (1, 60.0)  # 64 - 4: till BYE, not till its answer
    assert lab.counted(SDT, "bob", "callee") == (1, 60.0)
    assert lab.counted(SDD, "bob", "success") == (1, 0.25)  # 64.25 - 64
    assert lab.counted(SDD, "alice", "success") == (0, 0.0)  # it sent its BYE itself
    assert lab.values("sip_calls_total") == {("alice", "answered"): 1}
    assert lab.values("sip_attempts_total") == {("bob", "answered"): 1}


def test_an_answer_without_ringing_is_the_first_sign(lab: MeteredLab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    lab.run(0.75)
    bob.answers()
    assert lab.counted(SRD, "alice", "success") == (1, 0.75)


@pytest.mark.parametrize(("status", "waited_s"), [(180, 1.0), (183, 1.0), (199, 3.0), (100, 3.0)])
def test_the_first_response_that_tells_something_counts(
    lab: MeteredLab, status: int, waited_s: float
) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    lab.run(1.0)
    bob.progresses(status)
    lab.run(2.0)
    bob.answers()
    assert lab.counted(SRD, "alice", "success") == (1, waited_s)


def test_a_call_that_rings_and_fails_is_a_failure_of_as_long_as_it_took_to_ring(lab: MeteredLab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    lab.run(2.0)
    bob.rings()
    lab.run(3.0)
    bob.refuses(486)
    assert lab.counted(SRD, "alice", "failure") == (1, 2.0)
    assert lab.counted(SRD, "alice", "success") == (0, 0.0)
    assert lab.values("sip_calls_total") == {("alice", "user"): 1}


def test_a_caller_who_gives_up(lab: MeteredLab) -> None:
    alice, _ = lab.cast("alice", "bob")
    alice.calls("bob")
    lab.run(7.0)
    alice.cancels()
    assert lab.counted(SRD, "alice", "failure") == (1, 7.0)
    assert lab.values("sip_calls_total") == {("alice", "cancelled"): 1}
    assert lab.values("sip_attempts_total") == {("bob", "cancelled"): 1}


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((302, "redirected"), (401, "challenged"), (407, "challenged"), (480, "user"), (486, "user")),
        *((600, "user"), (603, "user"), (408, "ineffective"), (500, "ineffective"), (503, "ineffective")),
        *((504, "ineffective"), (487, "cancelled"), (404, "failed"), (488, "failed"), (606, "failed")),
    ],
)
def test_how_a_call_comes_out(lab: MeteredLab, status: int, outcome: str) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    lab.run(0.5)
    bob.refuses(status)
    assert lab.values("sip_calls_total") == {("alice", outcome): 1}
    timed = outcome not in ("redirected", "challenged")  # the INVITE that follows is timed
    assert lab.counted(SRD, "alice", "failure") == ((1, 0.5) if timed else (0, 0.0))


def test_a_challenged_call_is_timed_from_the_invite_with_the_credentials(lab: MeteredLab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.password = "secret"
    alice.calls("bob")
    lab.run(5.0)
    bob.refuses(407)  # at 5 s; the next INVITE comes at once
    lab.run(2.0)
    bob.answers()
    assert lab.counted(SRD, "alice", "success") == (1, 2.0)
    assert lab.values("sip_calls_total") == {("alice", "challenged"): 1, ("alice", "answered"): 1}


def test_who_never_answers_a_bye_has_failed_after_32_seconds(lab: MeteredLab) -> None:
    alice, bob = lab.talking("alice", "bob")
    lab.run(10.0)
    bob.replies["BYE"] = None
    lab.forgiven = ("bob",)
    alice.hangs_up()
    lab.run(40.0)
    assert lab.counted(SDD, "bob", "failure") == (1, 32.0)  # timer F: 64 * T1
    assert lab.counted(SDT, "bob", "callee") == (1, 10.0)


def test_a_call_that_we_end_is_disconnected_on_both_sides(make_lab: Callable[..., MeteredLab]) -> None:
    lab = make_lab()
    lab.talking("alice", "bob")
    lab.run(20.0)
    lab.network.slowness |= {"alice": 0.5, "bob": 0.25}
    lab.does(lab.engine.end_all)
    lab.run(1.0)
    assert lab.counted(SDD, "alice", "success") == (1, 0.5)
    assert lab.counted(SDD, "bob", "success") == (1, 0.25)
    assert lab.counted(SDT, "alice", "caller") == (1, 20.0)


def test_only_an_invite_that_begins_a_call_counts(lab: MeteredLab) -> None:
    alice, bob = lab.talking("alice", "bob")
    before = (
        lab.values("sip_calls_total"),
        lab.values("sip_attempts_total"),
        lab.counted(SRD, "alice", "success"),
    )
    alice.reinvites()
    bob.reinvites()
    alice.updates()
    alice.asks("MESSAGE", "bob", body="hello")
    assert before == (
        lab.values("sip_calls_total"),
        lab.values("sip_attempts_total"),
        lab.counted(SRD, "alice", "success"),
    )


def test_a_trunk_that_fails_and_the_one_that_takes_over(make_lab: Callable[..., MeteredLab]) -> None:
    lab = make_lab(routes=[route("bob", "carol", user="^bob$")])
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    alice.calls("bob")
    lab.run(1.0)
    bob.refuses(503)
    lab.run(2.0)
    carol.answers()
    assert lab.values("sip_calls_total") == {("alice", "answered"): 1}
    assert lab.values("sip_attempts_total") == {("bob", "ineffective"): 1, ("carol", "answered"): 1}
    assert lab.counted(SRD, "alice", "success") == (1, 3.0)  # what the caller waited in all
    assert lab.counted(ATTEMPT, "bob", "failure") == (1, 1.0)
    assert lab.counted(ATTEMPT, "carol", "success") == (1, 2.0)
    assert lab.value("sip_incidents_total", "failover", "bob") == 1


def test_a_trunk_that_stays_silent_is_ineffective(make_lab: Callable[..., MeteredLab]) -> None:
    lab = make_lab(timeouts=Timeouts(first_response_s=4.0), routes=[route("bob", "carol", user="^bob$")])
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    bob.dead = True
    alice.calls("bob")
    lab.run(5.0)
    carol.answers()
    assert lab.values("sip_attempts_total") == {("bob", "ineffective"): 1, ("carol", "answered"): 1}
    assert lab.counted(ATTEMPT, "bob", "failure") == (1, 4.0)
    assert lab.value("sip_retransmissions_total", "bob", "sent") == 3  # after 0.5, 1.5 and 3.5 s


# What goes on


def test_calls_in_progress(lab: MeteredLab) -> None:
    alice, bob = lab.ringing("alice", "bob")
    assert lab.values("sip_calls_active") == {("alice", "setup"): 1}
    assert not lab.values("sip_dialogs_active")
    bob.answers()
    assert lab.values("sip_calls_active") == {("alice", "talking"): 1}
    assert lab.values("sip_dialogs_active") == {("alice", "caller"): 1, ("bob", "callee"): 1}
    alice.hangs_up()
    assert not lab.values("sip_calls_active")
    assert not lab.values("sip_dialogs_active")


def test_our_own_share(lab: MeteredLab) -> None:
    lab.talking("alice", "bob")
    assert lab.counted("sipproxy_delay_seconds") == (1, 0.0)  # in the lab nothing takes us time


def test_a_lookup_is_our_own_share(make_lab: Callable[..., MeteredLab]) -> None:
    lab = make_lab(trunks={"bob": trunk("bob.example:5060", match=("192.0.2.2",))})
    lab.hosts["bob.example"] = [("UDP", "192.0.2.2", 5060)]
    lab.lookup_s = 0.2
    alice, bob = lab.phone("alice"), lab.phone("bob", at="192.0.2.2")
    alice.calls("bob")
    bob.answers()
    assert lab.counted("sipproxy_delay_seconds") == (1, 0.2)


def test_repeats_are_counted_by_who_repeated(lab: MeteredLab) -> None:
    alice, bob = lab.cast("alice", "bob")
    lab.loses("INVITE", receiver="bob", times=2)
    alice.calls("bob")
    lab.run(2.0)
    bob.answers()
    assert lab.values("sip_retransmissions_total") == {("bob", "sent"): 2}
    lab.loses("100", receiver="carol", times=3)
    carol, dave = lab.cast("carol", "dave")
    carol.calls("dave")
    lab.run(2.0)
    dave.answers()
    assert lab.value("sip_retransmissions_total", "carol", "received") > 0


# What is left


def test_hundreds_of_lives_leave_nothing_behind_and_nothing_uncounted() -> None:
    for seed in range(40):
        soak = Soak(seed)
        soak.run()
        meter = Meter(soak.lab.trunks)
        meter.take(soak.lab.facts, soak.lab.now)
        assert len(meter) == 0, seed
        values = meter.snapshot()["values"]
        assert not values["sip_calls_active"], seed
        assert not values["sip_dialogs_active"], seed
        assert not [labels for counter in values.values() for labels in counter if OTHER in labels], seed


def test_a_call_whose_end_is_never_told_leaves_with_its_last_fact() -> None:
    call = Call()
    meter = Meter(TRUNKS)
    meter.take([call.arrives(), call.is_tried(), call.dialog("caller", 1.0), call.dialog("callee", 1.0)], 1.0)
    assert len(meter) == 5
    meter.take([call.is_forgotten()], 2.0)
    assert len(meter) == 0
    values = meter.snapshot()["values"]
    assert not values["sip_calls_active"]
    assert not values["sip_dialogs_active"]


def test_facts_of_a_call_that_the_meter_never_saw_begin_change_nothing() -> None:
    call = Call()
    meter = Meter(TRUNKS)
    before = meter.snapshot()
    for facts in call.basic()[1:]:
        meter.take(facts, 0.0)
    meter.take([call.is_tried(), call.dialog("caller", 1.0)], 1.0)
    assert meter.snapshot() == before
    assert len(meter) == 0
