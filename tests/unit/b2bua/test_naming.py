"""Headers that name a dialog or a call: what the far side reads (RFC 4538, RFC 3261 section 20.21)."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.naming import facing, rename_dialogs, replied_to
from tests.unit.b2bua.messages import request
from tests.unit.b2bua.talking import engine_room, talking

OURS = "call-alice1;local-tag=alice1;remote-tag=us-alice1"
THEIRS = "call-bob1;local-tag=us-bob1;remote-tag=bob1"


@pytest.mark.parametrize(
    ("came", "leaves"),
    [
        (OURS, THEIRS),
        (OURS.replace("call-alice1", "another"), OURS.replace("call-alice1", "another")),
        (OURS.replace("=alice1", "=carol1"), OURS.replace("=alice1", "=carol1")),
    ],
)
def test_target_dialog(came: str, leaves: str) -> None:
    shared = engine_room()
    talking(shared)
    asked = request(f"Target-Dialog: {came}", method="REFER")
    out = request(f"Target-Dialog: {came}", method="REFER")
    rename_dialogs(shared, asked.headers, out.headers)
    assert out.headers.values("target-dialog") == [leaves]


def test_a_dialog_without_a_partner_keeps_its_name() -> None:
    shared = engine_room()
    alice, _ = talking(shared)
    alice.call.departs(alice, 1.0)
    asked, out = (request(f"Target-Dialog: {OURS}", method="REFER") for _ in range(2))
    rename_dialogs(shared, asked.headers, out.headers)
    assert out.headers.values("target-dialog") == [OURS]


@pytest.mark.parametrize(
    ("came", "leaves"),
    [
        ("call-alice1", "call-bob1"),
        (" call-alice1 ", "call-bob1"),
        ("call-alice1, elsewhere", "call-bob1, elsewhere"),
        ("elsewhere, call-alice1", "elsewhere, call-alice1"),  # the first one alone is looked for
        ("elsewhere", "elsewhere"),
        ("", ""),
    ],
)
def test_in_reply_to(came: str, leaves: str) -> None:
    shared = engine_room()
    talking(shared)
    assert replied_to(shared, came) == leaves


def test_what_does_not_cross_is_not_brought_back() -> None:
    """A trunk's rules have dropped In-Reply-To: it stays away."""
    shared = engine_room()
    talking(shared)
    out = request()
    rename_dialogs(shared, request("In-Reply-To: call-alice1").headers, out.headers)
    assert "in-reply-to" not in out.headers.keys


def test_a_dialog_as_we_name_it_ourselves() -> None:
    _, bob = talking(engine_room())
    assert str(facing(bob)) == THEIRS
