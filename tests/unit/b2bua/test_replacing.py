"""Which conversation a Replaces names, who may replace it, and what its target is told (RFC 3891)."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.couple import Stage
from sipproxy.b2bua.replacing import Dialogue, as_seen_by, check_replaceable, may_replace, named
from sipproxy.b2bua.routing import Trunk
from sipproxy.b2bua.settings import TrunkSettings
from sipproxy.errors import RemoteProtocolError
from sipproxy.sip.refer import Replaces
from tests.unit.b2bua.talking import (
    as_heard_by,
    as_known_by,
    couple,
    engine_room,
    talking,
)


def test_the_transferor_names_its_dialog_with_us() -> None:
    shared = engine_room()
    alice, bob = talking(shared)
    found = named(shared, as_known_by(alice))
    assert found is not None
    assert (found.facing, found.target) == (alice, bob)


def test_the_target_finds_its_own_dialog() -> None:
    shared = engine_room()
    alice, bob = talking(shared)
    found = named(shared, as_heard_by(bob))
    assert found is not None
    assert (found.facing, found.target) == (alice, bob)


def test_a_dialog_that_is_none_of_ours() -> None:
    shared = engine_room()
    talking(shared)
    assert named(shared, Replaces("call-alice1", "us-alice1", "carol1")) is None
    assert named(shared, Replaces("call-alice1", "alice", "us-alice1")) is None


@pytest.mark.parametrize("name", [as_known_by, as_heard_by])
def test_a_dialog_that_is_over(name: object) -> None:
    shared = engine_room()
    alice, _ = talking(shared)
    replaces = as_known_by(alice) if name is as_known_by else as_heard_by(alice)
    alice.call.stage = Stage.ENDING
    alice.call.forget(1.0)
    with pytest.raises(RemoteProtocolError) as raised:
        named(shared, replaces)
    assert raised.value.status == 603


def test_a_dialog_whose_partner_is_gone() -> None:
    shared = engine_room()
    alice, bob = talking(shared)
    alice.call.departs(alice, 1.0)
    for replaces in (as_known_by(alice), as_heard_by(bob)):
        with pytest.raises(RemoteProtocolError) as raised:
            named(shared, replaces)
        assert raised.value.status == 603


@pytest.mark.parametrize(("trunk", "may"), [("alice", True), ("bob", True), ("carol", False), (None, False)])
def test_only_who_takes_part_may_replace(trunk: str | None, may: bool) -> None:
    alice, bob = talking(engine_room())
    asker = None if trunk is None else Trunk(trunk, TrunkSettings("192.0.2.9"))
    assert may_replace(Dialogue(alice, bob), asker) is may


@pytest.mark.parametrize(
    ("state", "early_only", "status"),
    [
        ("confirmed", False, 0),
        ("confirmed", True, 486),
        ("early, begun by the target", False, 0),
        ("early, begun by the target", True, 0),
        ("early, begun by us", False, 481),
        ("early, begun by us", True, 481),
        ("ending", False, 603),
        ("ending", True, 603),
        ("departed", False, 603),
    ],
)
def test_what_can_be_replaced(state: str, early_only: bool, status: int) -> None:
    shared = engine_room()
    caller, callee = (
        talking(shared) if state in ("confirmed", "ending", "departed") else couple(shared, "alice", "bob")
    )
    target = caller if state == "early, begun by the target" else callee
    assert target.peer is not None
    dialogue = Dialogue(target.peer, target)
    if state == "ending":
        target.call.stage = Stage.ENDING
    elif state == "departed":
        target.departed = True
    replaces = as_known_by(dialogue.facing, early_only=early_only)
    if not status:
        check_replaceable(dialogue, replaces)
        return
    with pytest.raises(RemoteProtocolError) as raised:
        check_replaceable(dialogue, replaces)
    assert raised.value.status == status


@pytest.mark.parametrize("early_only", [False, True])
def test_the_target_is_told_by_its_own_names(early_only: bool) -> None:
    shared = engine_room()
    alice, bob = talking(shared)
    seen = as_seen_by(bob, as_known_by(alice, early_only=early_only))
    early = ";early-only" if early_only else ""
    assert str(seen) == f"call-bob1;to-tag=bob1;from-tag=us-bob1{early}"
    back = named(shared, seen)
    assert back is not None
    assert back.target is bob
