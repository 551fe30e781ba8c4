"""While an application thinks about a call, everything else goes on: the caller gives up, the proxy drains,
its configuration changes. An answer that comes too late is nobody's.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sipproxy.b2bua.events import Consulted, Routed
from sipproxy.b2bua.routing import Router
from sipproxy.b2bua.settings import Timeouts

from .lab import Lab, asks, route, trunk
from .network import Place
from .phone import Phone

MakeLab = Callable[..., Lab]
THINKS_S, PATIENCE_MS = 2.0, 3000


@pytest.fixture
def slow(make_lab: MakeLab) -> Lab:
    """An application that thinks for two seconds, and may; then it sends Alice's calls to Carol."""
    return thinking(make_lab)


def thinking(make_lab: MakeLab, *, timeout_ms: int = PATIENCE_MS, timeouts: Timeouts | None = None) -> Lab:
    lab = make_lab(
        routes=[asks("bob", source="alice", timeout_ms=timeout_ms)], timeouts=timeouts or Timeouts()
    )
    lab.application = lambda question: {"to": ["carol"]}
    lab.thinks_s = THINKS_S
    lab.cast("alice", "bob", "carol")
    return lab


def results(lab: Lab) -> list[str]:
    return [fact.result for fact in lab.facts_of(Consulted)]


def nobody_rings(lab: Lab) -> None:
    """Also when the answer is there."""
    lab.run(2 * THINKS_S)
    assert not lab.phones["bob"].heard
    assert not lab.phones["carol"].heard


def abandoned(lab: Lab) -> None:
    """What the application did for nothing has its place in the trace all the same."""
    (consult,) = lab.asked
    (routed,) = [span for span in lab.spans if span.name == "route"]
    (asked,) = [span for span in lab.spans if span.name == "webhook"]
    assert routed.span_id == consult.context.span_id == asked.parent_id
    assert results(lab) == ["abandoned"]
    assert not asked.failed
    assert "sip.trunk" not in routed.attributes


def test_the_caller_hears_that_somebody_works_on_it(slow: Lab) -> None:
    alice, _, carol = slow.phones.values()
    alice.calls("bob")
    assert alice.got("100")
    slow.run(THINKS_S - 0.1)
    assert not carol.heard
    slow.run(0.2)
    carol.answers()
    assert alice.talking


def test_a_repeated_invite_asks_nobody_again(slow: Lab) -> None:
    alice, _, carol = slow.phones.values()
    slow.loses("100", receiver="alice", times=3)
    alice.calls("bob")
    slow.run(THINKS_S + 0.1)
    carol.answers()
    assert alice.talking
    assert len(slow.asked) == 1
    assert carol.count("INVITE") == 1
    (root,) = [span for span in slow.spans if (span.name, span.kind) == ("INVITE", "SERVER")]
    assert "retransmission" in [name for name, _, _ in root.events]


def test_the_caller_gives_up(slow: Lab) -> None:
    alice = slow.phones["alice"]
    alice.calls("bob")
    alice.cancels()
    assert alice.got("487")
    assert slow.engine.calls == 0
    nobody_rings(slow)
    abandoned(slow)


def test_nobody_has_answered_in_time_for_a_call(make_lab: MakeLab) -> None:
    lab = thinking(make_lab, timeouts=Timeouts(ring_s=1.0))
    alice = lab.phones["alice"]
    alice.calls("bob")
    lab.run(1.1)
    assert alice.got("408")
    nobody_rings(lab)
    abandoned(lab)


def test_the_answer_comes_too_late(make_lab: MakeLab) -> None:
    lab = thinking(make_lab, timeout_ms=500)
    alice, bob, carol = lab.phones.values()
    alice.calls("bob")
    lab.run(0.6)
    bob.rings()
    lab.run(THINKS_S)  # now it says Carol
    assert not carol.heard
    bob.answers()
    assert alice.talking
    assert results(lab) == ["timeout"]


def test_a_call_that_is_asked_about_is_a_call_when_the_proxy_drains(slow: Lab) -> None:
    alice, _, carol = slow.phones.values()
    alice.calls("bob")
    slow.engine.drain()
    assert slow.engine.busy
    alice.calls("bob")
    assert alice.got("503").header("Retry-After")
    slow.run(THINKS_S + 0.1)
    carol.answers()
    assert slow.engine.calls == 1
    assert len(slow.asked) == 1
    alice.sessions.reverse()
    alice.hangs_up()
    assert not slow.engine.busy


def test_the_proxy_ends(slow: Lab) -> None:
    alice = slow.phones["alice"]
    alice.calls("bob")
    slow.engine.drain()
    slow.does(slow.engine.end_all)
    assert alice.got("503")
    assert not slow.engine.busy
    nobody_rings(slow)
    abandoned(slow)


def reload(lab: Lab, *without: str) -> None:
    trunks = {name: settings for name, settings in lab.trunks.items() if name not in without}
    routes = [settings for settings in lab.routes if not set(without) & set(settings.to)]
    lab.does(lambda now: lab.engine.reload(Router.of(trunks, tuple(routes)), now))


def test_an_answer_means_the_trunks_that_are_there_when_it_comes(slow: Lab) -> None:
    alice, _, carol = slow.phones.values()
    del slow.trunks["carol"], slow.routes[slow.routes.index(route("carol", user="^carol$"))]
    reload(slow)
    alice.calls("bob")
    slow.trunks["carol"] = trunk("carol")
    reload(slow)
    slow.run(THINKS_S + 0.1)
    carol.answers()
    assert alice.talking
    assert results(slow) == ["ok"]


def test_a_trunk_that_has_gone_meanwhile_is_a_bad_answer(slow: Lab) -> None:
    alice, bob, carol = slow.phones.values()
    alice.calls("bob")
    reload(slow, "carol")
    slow.run(THINKS_S + 0.1)
    bob.answers()
    assert alice.talking
    assert not carol.heard
    assert results(slow) == ["bad_answer"]


def test_the_routes_own_trunks_are_those_of_the_call(make_lab: MakeLab) -> None:
    """They were taken with it: a new configuration is for new calls."""
    lab = thinking(make_lab, timeout_ms=500)
    alice, bob, _ = lab.phones.values()
    alice.calls("bob")
    reload(lab, "bob")
    lab.run(0.6)
    bob.answers()
    assert alice.talking
    alice.hangs_up()


def test_what_cannot_be_written_anew_is_refused_then(slow: Lab) -> None:
    alice = slow.phones["alice"]
    alice.calls("bob", headers={"Target-Dialog": "nonsense;;;="})
    slow.run(THINKS_S + 0.1)
    assert alice.got("400")
    assert (slow.engine.calls, slow.count("malformed")) == (0, 1)


def test_two_calls_have_each_their_answer(slow: Lab) -> None:
    """The first question is answered last."""
    alice, bob, carol = slow.phones.values()
    slow.application = lambda question: {"to": ["bob" if "first" in question["uri"] else "carol"]}
    alice.calls("first")
    slow.run(0.5)
    slow.thinks_s = 0.1
    alice.calls("second")
    slow.run(0.2)
    assert (len(carol.sessions), len(bob.sessions)) == (1, 0)
    slow.run(THINKS_S)
    assert (len(carol.sessions), len(bob.sessions)) == (1, 1)
    carol.refuses(486)
    bob.refuses(486)


def test_the_name_of_a_trunk_is_looked_up_under_the_same_route(make_lab: MakeLab) -> None:
    far = trunk("far.example:5060", match=("192.0.2.3",))
    lab = make_lab(routes=[asks("bob", source="alice")], trunks={"carol": far})
    lab.application = lambda question: {"to": ["carol"]}
    lab.hosts["far.example"] = [_place("192.0.2.3")]
    alice, carol = lab.phone("alice"), lab.phone("carol", at="192.0.2.3")
    alice.calls("bob")
    carol.answers()
    (routed,) = lab.facts_of(Routed)
    (looked_up,) = [span for span in lab.spans if span.name == "dns"]
    assert looked_up.parent_id == routed.span_id == lab.asked[0].context.span_id
    assert _talks(alice)


def _place(host: str) -> Place:
    return "UDP", host, 5060


def _talks(phone: Phone) -> bool:
    return phone.talking
