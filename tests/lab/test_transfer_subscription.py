"""The subscription that a REFER makes: unwanted, ended, endless, and lied to."""

from __future__ import annotations

import pytest

from .referral import STAYS
from .styles import Style
from .transfers import (
    MODES,
    SIDES,
    MakeLab,
    cast,
    hang_up,
    one_story,
    outcome,
    still_talking,
    together,
)

ANY = pytest.mark.parametrize(("mode", "by"), [(mode, by) for mode in MODES for by in SIDES])
EITHER = pytest.mark.parametrize("by", SIDES)


@ANY
def test_nobody_is_told_who_does_not_want_to_know(make_lab: MakeLab, mode: str, by: str) -> None:
    """Refer-Sub: false (RFC 4488)."""
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    headers = {"Refer-Sub": "false", "Supported": "norefersub"}
    referral = bob.refers(alice, to=carol, headers=headers)
    assert referral.answered == 202
    assert bob.got("202").header("Refer-Sub") == "false"
    carol.rings()
    carol.answers()
    if mode == "relay":
        hang_up(bob, alice)
    lab.run(3.0)
    assert not bob.all("NOTIFY")
    assert bob.idle
    assert together(alice, carol)
    assert outcome(lab) == ("completed", "answered", "")
    one_story(lab, traces=1)


@EITHER
@pytest.mark.parametrize(("required", "status"), [("nosub", 202), ("explicitsub", 420)])
def test_what_a_refer_may_require(make_lab: MakeLab, by: str, required: str, status: int) -> None:
    """RFC 7614, in local mode."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    referral = bob.refers(alice, to=carol, headers={"Require": required})
    assert referral.answered == status
    if status == 202:
        carol.answers()
        lab.run(3.0)
        assert not bob.all("NOTIFY")
        assert together(alice, carol)
        assert bob.idle
    else:
        assert bob.got("420").header("Unsupported") == "explicitsub"
        still_talking(alice, bob)
    one_story(lab, traces=1)


@ANY
def test_a_subscription_that_its_subscriber_ends(make_lab: MakeLab, mode: str, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    referral = bob.refers(alice, to=carol, then=STAYS)
    carol.rings()
    referral.subscribes(60)
    lab.settle()
    assert bob.got("200 SUBSCRIBE").header("Expires") == "60"
    assert referral.statuses[-1] == 180
    referral.subscribes(0)
    lab.settle()
    assert referral.over
    assert bob.got("NOTIFY").header("Subscription-State").startswith("terminated")
    count = bob.count("NOTIFY")
    carol.answers()
    lab.run(3.0)
    assert bob.count("NOTIFY") == count
    if mode == "relay":
        hang_up(bob, alice)
    assert bob.idle
    assert together(alice, carol)
    one_story(lab, traces=1)


@EITHER
@pytest.mark.parametrize("keeps", ["marker", "nothing"])
def test_a_subscription_that_never_ends(make_lab: MakeLab, by: str, keeps: str) -> None:
    """Its last NOTIFY never comes: the INVITE tells the outcome, or nobody does."""
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    alice.style = Style(ends=False, keeps=frozenset((keeps,)))
    referral = bob.refers(alice, to=carol, then=STAYS)
    carol.answers()
    hang_up(bob, alice)
    assert referral.statuses == [100]
    assert together(alice, carol)
    lab.run(200.0)
    assert outcome(lab) == (
        ("completed", "answered", "") if keeps == "marker" else ("unknown", "expired", "")
    )
    assert not len(lab.engine.shared.pending)


@EITHER
def test_a_transferee_that_reports_success_before_it_dials(make_lab: MakeLab, by: str) -> None:
    """What the new call really got counts."""
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    alice.style = Style(lies=True, dials_after_s=0.5)
    referral = bob.refers(alice, to=carol, then=STAYS)
    assert referral.result == 200
    lab.run(1.0)
    carol.refuses(486)
    lab.run(10.0)
    assert outcome(lab) == ("busy", "failed", "")
    still_talking(alice, bob)
    one_story(lab, traces=1)
