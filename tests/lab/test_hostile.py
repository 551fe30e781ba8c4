"""What strangers and hostile peers may try: each story was an attack that worked once."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from sipproxy.b2bua.attempt import MOST_FORKS
from sipproxy.b2bua.events import RequestArrived
from sipproxy.b2bua.hunting import LONGEST_PAUSE_S
from sipproxy.b2bua.parting import MOST_NAMES
from sipproxy.propagation.settings import Accept, Carrier, TrunkTrace

from .agent import Agent
from .lab import Lab, route, trunk
from .seen import OFFER

MakeLab = Callable[..., Lab]
LINKED, EVERYTHING = TrunkTrace(accept=Accept.LINK), TrunkTrace(send=tuple(Carrier))
UUID = "a" * 32
BOMB = ",".join(f"k{number}={'v' * 250}" for number in range(32))


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_a_stranger_is_refused_each_time_and_nothing_is_kept(lab: Lab, method: str) -> None:
    stranger = lab.phone("mallory", at="198.51.100.9")
    asking = stranger.calls("nobody").asking if method == "INVITE" else stranger.asks(method, "nobody")
    assert lab.engine.endpoint.transactions == 0
    for _ in range(3):
        asking._send(asking.request.data)
        lab.settle()
    refusals = stranger.all("403")
    assert len(refusals) == 4
    assert len({refusal.to_tag for refusal in refusals}) == 1
    assert lab.engine.endpoint.transactions == len(lab.engine.endpoint._merged) == 0
    assert not lab.spans
    lab.run(40.0)
    assert len(stranger.all("403")) == 4  # nothing repeats by itself


def test_two_strangers_get_two_tags(lab: Lab) -> None:
    stranger = lab.phone("mallory", at="198.51.100.9")
    stranger.calls("nobody")
    stranger.calls("nobody")
    assert len({refusal.to_tag for refusal in stranger.all("403")}) == 2


# Memory


@contextmanager
def garbage() -> Iterator[list[str]]:
    """Kinds of ours that, of what happens inside, only the collector finds: filled at the end."""
    found: list[str] = []
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kinds = {f"{type(each).__module__}.{type(each).__name__}" for each in gc.garbage}
        found += sorted(kind for kind in kinds if kind.startswith("sipproxy."))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def answered(lab: Lab) -> None:
    alice, _ = lab.talking("alice", "bob")
    alice.hangs_up()


def ended_by_the_callee(lab: Lab) -> None:
    _, bob = lab.talking("alice", "bob")
    bob.reinvites()
    bob.hangs_up()


def cancelled(lab: Lab) -> None:
    alice, _ = lab.ringing("alice", "bob")
    alice.cancels()


def refused(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    bob.refuses(486)


def unreachable(lab: Lab) -> None:
    lab.network.unreachable.add(("192.0.2.2", 5060))
    lab.phone("alice").calls("bob")


def failed_over(lab: Lab) -> None:
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    alice.calls("carol")
    carol.refuses(503)
    bob.answers()
    alice.hangs_up()


def forked(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    bob.rings(fork="-desk")
    bob.rings(fork="-mobile", reliable=True)
    bob.answers(fork="-mobile")
    alice.hangs_up()


def relayed(lab: Lab) -> None:
    lab.cast("alice", "bob")
    lab.phones["alice"].asks("MESSAGE", "bob")


def of_a_stranger(lab: Lab) -> None:
    lab.phone("mallory", at="198.51.100.9").calls("nobody")


@pytest.mark.parametrize(
    "story",
    [
        answered,
        ended_by_the_callee,
        cancelled,
        refused,
        unreachable,
        failed_over,
        forked,
        relayed,
        of_a_stranger,
    ],
)
def test_what_is_over_goes_without_the_collector(story: Callable[[Lab], None], make_lab: MakeLab) -> None:
    lab = make_lab(routes=[route("carol", "bob", user="^carol$")])
    with garbage() as found:
        story(lab)
        lab.run(260.0)
        assert not len(lab.engine.endpoint.timers)
    assert found == []


# Size and time


@pytest.mark.parametrize("streams", [False, True], ids=["udp", "udp and tcp"])
@pytest.mark.parametrize("trace", [TrunkTrace(), EVERYTHING], ids=["usual", "everything"])
def test_a_tracestate_bomb_does_not_make_a_datagram_too_long(
    make_lab: MakeLab, trace: TrunkTrace, streams: bool
) -> None:
    lab = make_lab(trunks={"bob": trunk("bob", trace=trace)}, streams=streams)
    alice, bob = lab.cast("alice", "bob")
    baggage = ",".join(f"k{number}={'v' * 100}" for number in range(20))
    for body in ("", OFFER, OFFER * 4):
        alice.calls("bob", body=body, headers={"tracestate": BOMB, "baggage": baggage})
        invite = bob.got("INVITE")
        assert invite.trace_id == alice.trace_id
        assert len(invite.data) <= 1300
        assert "UDP" in invite.header("Via")
        bob.refuses(486)


def test_a_trunk_cannot_close_itself_for_years(make_lab: MakeLab) -> None:
    lab = make_lab(routes=[route("bob", "carol", source="alice")])
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    alice.calls("bob")
    bob.refuses(503, {"Retry-After": "4294967295"})
    carol.refuses(486)
    assert LONGEST_PAUSE_S == 300
    lab.run(299.0)
    alice.calls("bob")
    carol.refuses(486)
    assert bob.count("INVITE") == 1
    lab.run(1.0)
    alice.calls("bob")
    assert bob.count("INVITE") == 2


# Whose word counts


def caught(lab: Lab, caller: Agent, callee: str, session_id: str) -> str:
    """How a call without context that names this Session-ID begins."""
    caller.traced = False
    lab.phones[caller.name].calls(callee, headers={"Session-ID": f"{'d' * 32};remote={session_id}"})
    return lab.facts_of(RequestArrived)[-1].origin.decision


@pytest.mark.parametrize("squatter", ["alice", "mallory"], ids=["a linked trunk", "no trunk"])
def test_a_strangers_session_id_does_not_catch_a_trusted_call(make_lab: MakeLab, squatter: str) -> None:
    lab = make_lab(trunks={"alice": trunk("alice", trace=LINKED)}, routes=[route("bob", user="^bob$")])
    lab.cast("bob", "carol", "dave")
    stranger = lab.phone("mallory", at="198.51.100.9") if squatter == "mallory" else lab.phone("alice")
    stranger.calls("bob", headers={"Session-ID": f"{UUID};remote={'0' * 32}"})
    lab.phones["bob"].answers()
    trace_id = lab.facts_of(RequestArrived)[-1].root.trace_id
    assert caught(lab, lab.phones["carol"], "dave", UUID) == "new"
    assert lab.phones["dave"].got("INVITE").trace_id not in ("", trace_id)


@pytest.mark.parametrize("moment", ["180", "200"])
def test_a_callee_that_is_not_trusted_names_no_call(make_lab: MakeLab, moment: str) -> None:
    lab = make_lab(trunks={"bob": trunk("bob", trace=LINKED)})
    alice, bob, carol, dave = lab.cast("alice", "bob", "carol", "dave")
    alice.calls("bob")
    if moment == "180":
        bob.rings(headers={"Session-ID": f"{UUID};remote={'0' * 32}"})
    else:
        bob.answer_headers["Session-ID"] = f"{UUID};remote={'0' * 32}"
        bob.answers()
    assert caught(lab, carol, "dave", UUID) == "new"
    assert dave.got("INVITE").trace_id not in ("", alice.trace_id)


def test_a_stranger_does_not_enter_a_call_whose_session_id_it_knows(make_lab: MakeLab) -> None:
    lab = make_lab(routes=[route("dave", user="^dave$")])
    alice, bob, dave = lab.cast("alice", "bob", "dave")
    alice.calls("bob", headers={"Session-ID": f"{UUID};remote={'0' * 32}"})
    bob.answers()
    assert caught(lab, lab.phone("mallory", at="198.51.100.9"), "dave", UUID) != "recovered"
    assert dave.got("INVITE").trace_id not in ("", alice.trace_id)


# One callee, as many dialogs as it can think up


def test_no_more_forks_are_followed_than_anybody_has(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    for number in range(MOST_FORKS + 8):
        bob.rings(fork=f"-{number}")
    bob.rings(fork="-0")
    assert len({ringing.to_tag for ringing in alice.all("180")}) == MOST_FORKS == 32
    assert len(alice.all("180")) == MOST_FORKS + 1
    assert lab.count("too_many_forks") == 8
    bob.answers(fork=f"-{MOST_FORKS + 7}")  # although its ringing was not heard
    assert alice.talking


def test_no_more_session_ids_are_kept_than_a_call_has_parties(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    for number in range(3 * MOST_NAMES):
        bob.rings(headers={"Session-ID": f"{number + 1:032x};remote={'0' * 32}"})
    assert len(lab.engine.shared.sessions) == MOST_NAMES
