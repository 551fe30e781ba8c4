"""A REFER outside of any call, or about one (RFC 3515, RFC 4538)."""

from __future__ import annotations

import pytest

from .core import HOSTS
from .lab import Lab, trunk
from .phone import Phone
from .referral import STAYS
from .seen import parameter
from .transfers import (
    SIDES,
    MakeLab,
    cast,
    hang_up,
    one_story,
    outcome,
    refer_to,
    together,
)

EITHER = pytest.mark.parametrize("by", SIDES)


def two(make_lab: MakeLab) -> tuple[Lab, Phone, Phone, Phone]:
    lab = make_lab(trunks={name: trunk(name, refer="relay") for name in HOSTS})
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    return lab, alice, bob, carol


def test_a_refer_outside_of_any_call(make_lab: MakeLab) -> None:
    """It goes on by the routes, and the call that it causes is in its trace."""
    lab, alice, bob, carol = two(make_lab)
    referral = bob.refers(alice, to=carol, outside=True)
    assert referral.answered == 202
    assert ";sipproxy-ref=" in refer_to(alice)[0]
    assert alice.got("REFER").trace_id == bob.trace_id
    carol.answers()
    assert referral.result == 200
    assert together(alice, carol)
    assert carol.got("INVITE").trace_id == bob.trace_id
    assert outcome(lab) == ("completed", "answered", "")
    one_story(lab, traces=1)


@pytest.mark.parametrize("status", [405, 486, 603])
def test_a_refer_outside_of_any_call_is_refused(make_lab: MakeLab, status: int) -> None:
    lab, alice, bob, carol = two(make_lab)
    alice.style.answer = status
    assert bob.refers(alice, to=carol, outside=True).answered == status
    assert outcome(lab)[:2] == ("refused", "refused")
    one_story(lab, traces=1)


@pytest.mark.parametrize("headers", [{"Refer-To": ""}, {"Refer-To": "<sip:a@h>\r\nRefer-To: <sip:b@h>"}])
def test_a_refer_outside_of_any_call_that_cannot_be_read(make_lab: MakeLab, headers: dict[str, str]) -> None:
    _, alice, bob, carol = two(make_lab)
    assert bob.refers(alice, to=carol, outside=True, headers=headers).answered == 400
    assert not alice.heard


@EITHER
def test_a_refer_outside_of_a_call_that_is_about_it(make_lab: MakeLab, by: str) -> None:
    """Target-Dialog (RFC 4538): it goes to the other leg of that call, and is part of its trace."""
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    dialog = bob.call_with(alice).dialog
    about = f"{dialog.call_id};local-tag={dialog.local_tag};remote-tag={dialog.remote_tag}"
    referral = bob.refers(
        alice, to=carol, outside=True, then=STAYS, headers={"Target-Dialog": about, "Require": "tdialog"}
    )
    assert referral.answered == 202
    theirs = alice.call_with(bob).dialog
    seen = alice.got("REFER").header("Target-Dialog")
    assert seen.startswith(theirs.call_id)
    assert {parameter(f"<>;{seen.partition(';')[2]}", name) for name in ("local-tag", "remote-tag")} == {
        theirs.local_tag,
        theirs.remote_tag,
    }
    carol.answers()
    hang_up(bob, alice)
    assert together(alice, carol)
    first = alice.trace_id if by == "callee" else bob.trace_id
    assert carol.got("INVITE").trace_id == first
    one_story(lab)
