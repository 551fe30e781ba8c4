"""Headers that name a dialog or a call cross with the name that the far side knows (RFC 4538, RFC 3261
20.21).
"""

from __future__ import annotations

import pytest

from .lab import Lab
from .phone import Phone
from .transfers import SIDES, MakeLab, cast, refer_to

EITHER = pytest.mark.parametrize("by", SIDES)


def known_to(phone: Phone, other: Phone) -> str:
    """The Call-ID of its call with another."""
    return phone.call_with(other).dialog.call_id


@EITHER
def test_target_dialog_in_a_refer(make_lab: MakeLab, by: str) -> None:
    _, alice, bob, carol = cast(make_lab, "relay", by=by)
    mine, theirs = bob.call_with(alice).dialog, alice.call_with(bob).dialog
    value = f"{mine.call_id};local-tag={mine.local_tag};remote-tag={mine.remote_tag}"
    bob.refers(alice, to=carol, headers={"Target-Dialog": value})
    call_id, *tags = alice.got("REFER").header("Target-Dialog").split(";")
    assert call_id == theirs.call_id
    assert set(tags) == {f"local-tag={theirs.remote_tag}", f"remote-tag={theirs.local_tag}"}


@EITHER
def test_a_dialog_that_is_none_of_ours_keeps_its_name(make_lab: MakeLab, by: str) -> None:
    _, alice, bob, carol = cast(make_lab, "relay", by=by)
    bob.refers(alice, to=carol, headers={"Target-Dialog": "else@where;local-tag=a;remote-tag=b"})
    assert alice.got("REFER").header("Target-Dialog") == "else@where;local-tag=a;remote-tag=b"


@EITHER
def test_in_reply_to_in_a_refer_and_in_its_refer_to(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    mine = known_to(bob, alice)
    target = f"<sip:carol@{lab.proxy_host(bob.proxy)}?In-Reply-To={mine}>"
    bob.refers(alice, to=carol, headers={"Refer-To": target, "In-Reply-To": f"{mine}, other@call"})
    assert alice.got("REFER").header("In-Reply-To") == f"{known_to(alice, bob)}, other@call"
    assert refer_to(alice)[1]["In-Reply-To"] == known_to(alice, bob)


def test_in_reply_to_in_a_call(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    carol = lab.phone("carol")
    alice.calls("carol", headers={"In-Reply-To": known_to(alice, bob)})
    assert carol.got("INVITE").header("In-Reply-To") == known_to(bob, alice)
    carol.refuses(486)
