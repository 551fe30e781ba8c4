"""A REFER outside a dialog that is about one of our calls, where we do the transfer ourselves (RFC 4538)."""

from __future__ import annotations

import pytest

from .phone import Phone
from .referral import STAYS
from .transfers import SIDES, MakeLab, cast, hang_up, one_story, outcome, still_talking, together

EITHER = pytest.mark.parametrize("by", SIDES)


def about(phone: Phone, other: Phone) -> str:
    """Target-Dialog as this phone knows its call with another."""
    dialog = phone.call_with(other).dialog
    return f"{dialog.call_id};local-tag={dialog.local_tag};remote-tag={dialog.remote_tag}"


@EITHER
def test_the_call_it_is_about_is_transferred(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    headers = {"Target-Dialog": about(bob, alice), "Require": "tdialog"}
    referral = bob.refers(alice, to=carol, outside=True, then=STAYS, headers=headers)
    carol.answers()
    assert (referral.answered, referral.result) == (202, 200)
    assert together(alice, carol)
    assert bob.idle
    assert outcome(lab) == ("completed", "answered", "")
    hang_up(alice, carol)
    one_story(lab, traces=1)


@EITHER
def test_the_target_is_busy(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    referral = bob.refers(
        alice, to=carol, outside=True, then=STAYS, headers={"Target-Dialog": about(bob, alice)}
    )
    carol.refuses(486)
    assert referral.result == 486
    still_talking(alice, bob)
    one_story(lab)


@pytest.mark.parametrize("who", ["dave", "bob"])
def test_only_whose_dialog_it_is_may_speak_of_it(make_lab: MakeLab, who: str) -> None:
    """Dave knows the dialog's tags, and has no part in it: his REFER is about no call of ours."""
    lab, alice, bob, carol = cast(make_lab, "local", by="callee")
    headers = {"Target-Dialog": about(bob, alice) if who == "dave" else "a;local-tag=b;remote-tag=c"}
    referral = lab.phone(who).refers(alice, to=carol, outside=True, then=STAYS, headers=headers)
    assert referral.answered == 202  # the phone he asks takes it: it is no transfer of that call
    carol.refuses(486)
    still_talking(alice, bob)
    lab.finish()
