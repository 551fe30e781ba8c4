"""`sip.peer.rtt_ms` is the way to a peer and back: not the time that it thinks, nor what a loss costs."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.settings import Health, TrunkSettings

from .core import HOSTS
from .lab import Lab, trunk
from .transfers import MakeLab

WAY_MS = 20.0  # there and back in fair weather


def rtt(lab: Lab) -> float | None:
    return lab.engine.shared.router.trunks["bob"].rtt_ms


def test_a_trying_measures_it(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    bob.progresses(100)
    lab.run(12.0)
    bob.answers()
    assert rtt(lab) == pytest.approx(WAY_MS)
    bob.hangs_up()


def test_an_answer_without_one_is_a_bound_that_a_quicker_one_lowers(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    bob.withholds.add("100")
    for thinks_s, bound_ms in ((0.4, None), (0.15, 170.0), (0.0, WAY_MS), (0.4, WAY_MS)):
        alice.calls("bob")
        lab.run(thinks_s)
        bob.answers()
        assert rtt(lab) == (bound_ms if bound_ms is None else pytest.approx(bound_ms, abs=30.0))
        bob.hangs_up()


def test_a_repeated_request_does_not(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    lab.loses("INVITE", receiver="bob", times=1)
    alice.calls("bob")
    lab.run(1.0)
    bob.rings()
    bob.answers()
    assert rtt(lab) is None
    bob.hangs_up()


def test_a_handshake_does_not(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    bob.withholds.add("100")
    alice.calls("bob")
    (tx,) = lab.engine.endpoint._clients.values()
    assert tx.flow is not None
    tx.flow.opened = True  # what the network says where a connection had to be made first
    bob.answers()
    assert rtt(lab) is None
    bob.hangs_up()


def test_a_trunk_at_another_address_is_measured_anew(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"bob": trunk(f"{HOSTS['bob']}:5060", health=Health(options_every_s=5))})
    lab.cast("bob")
    lab.run(6.0)
    known = lab.engine.shared.router.trunks["bob"]
    assert known.rtt_ms == pytest.approx(WAY_MS)
    moved = type(known)("bob", TrunkSettings("192.0.2.77:5060"))
    moved.take_over(known)
    assert moved.rtt_ms is None
