"""SIPp processes of the system tests: a cast that agrees ends well, another says who was disappointed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support import wire
from tests.support.ports import free_port
from tests.support.sipp import Cast, CastError, Role
from tests.support.story import SCENARIOS

pytestmark = pytest.mark.skipif(
    shutil.which("sipp") is None and os.environ.get("CI") != "true",
    reason="SIPp is not installed (Debian: apt-get install sip-tester)",
)
CALLER = SCENARIOS / "42-unknown-method/caller.xml"
CALLEE = SCENARIOS / "42-unknown-method/callee.xml"


def perform(cast: Cast, folder: Path, caller: Path, callee: Path) -> None:
    """Caller and callee face to face, without a proxy."""
    here, there = "127.0.0.2", "127.0.0.3"
    bob = Role("bob", callee, there, free_port(there), keys={"contact": there})
    cast.enter(bob, folder)
    keys = {"headers": "Subject: x", "contact": here}
    at = f"{there}:{bob.port}"
    cast.enter(Role("alice", caller, here, free_port(here), calls_at=at, dials="bob", keys=keys), folder)
    cast.finish()


def test_a_cast_that_agrees_ends_well_and_can_be_asked_what_it_saw(tmp_path: Path) -> None:
    with Cast() as cast:
        perform(cast, tmp_path, CALLER, CALLEE)
        seen = {actor.role.name: actor.messages for actor in cast.actors}
    (jump,) = wire.pick(seen, "bob JUMP")
    (answer,) = wire.pick(seen, "alice 200 JUMP")
    assert jump.body == "The code word is rhododendron.\r\n"
    assert jump.transport == "UDP"
    assert answer.values("X-Answer") == ["as high as you like"]


def test_a_disappointed_member_shows_its_logs_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    with Cast() as cast, pytest.raises(CastError) as failure:
        perform(cast, tmp_path, CALLER, SCENARIOS / "34-message/callee.xml")
    report = str(failure.value)
    assert "bob: errors.log" in report
    assert "while expecting 'MESSAGE'" in report
    assert "JUMP sip:bob@127.0.0.3" in report


def test_a_scenario_that_sipp_refuses_is_told_at_once(tmp_path: Path) -> None:
    broken = tmp_path / "broken.xml"
    broken.write_text('<scenario name="broken"><recv request="INVITE"><nonsense/></recv></scenario>')
    with Cast() as cast, pytest.raises(CastError, match="bob does not listen"):
        perform(cast, tmp_path / "logs", CALLER, broken)
