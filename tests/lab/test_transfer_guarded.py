"""What a transfer gives nobody a right to: the call of others, the place of a stranger, a header that a trunk
is not to see.
"""

from __future__ import annotations

import pytest

from sipproxy.b2bua.routing import Router
from sipproxy.b2bua.settings import HeaderPolicy

from .core import HOSTS
from .lab import Lab, trunk
from .phone import Phone
from .referral import STAYS
from .session import Calling
from .styles import Style
from .test_transfer_replaces import named
from .test_transfer_target_dialog import about
from .transfers import (
    MODES,
    SIDES,
    MakeLab,
    cast,
    caused,
    consults,
    hang_up,
    one_story,
    outcome,
    refer_to,
    still_talking,
    together,
)

EITHER = pytest.mark.parametrize("by", SIDES)
NOBODY = "198.51.100.7", "198.51.100.9"  # no trunk's


# A token vouches for the dialog that its own Refer-To names (RFC 3891 section 3)


def dials(phone: Phone, replaces: str) -> Calling:
    """A phone calls where the REFER that it got leads, in a call's place of its own choice."""
    headers = {"Replaces": replaces, "traceparent": ""}
    return phone.calls("", uri=refer_to(phone)[0], headers=headers)


@EITHER
def test_a_token_opens_no_other_call(make_lab: MakeLab, by: str) -> None:
    """Alice is sent to Carol, and knows the tags of a call between Dave and Carol."""
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    dave = lab.phone("dave")
    dave.calls("carol")
    carol.answers()
    alice.style = Style(dials_after_s=60.0)
    bob.refers(alice, to=carol, then=STAYS)
    assert dials(alice, named(dave.call_with(carol).dialog)).failed == 403
    assert carol.count("INVITE") == 1
    assert dave.hears(carol)
    still_talking(dave, carol)
    still_talking(alice, bob)


@EITHER
def test_the_token_of_a_consultation_opens_that_one_alone(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    dave = lab.phone("dave")
    dave.calls("carol")
    carol.answers()
    others = dave.call_with(carol)
    bob.calls("carol", headers={"traceparent": ""})
    carol.answers()
    alice.style = Style(dials_after_s=60.0)
    bob.refers(alice, to=carol, replaces=carol, then=STAYS)
    assert dials(alice, named(others.dialog)).failed == 403
    assert others.live
    assert bob.hears(carol)


# Strangers are all alike


def strangers(make_lab: MakeLab) -> tuple[Lab, Phone, Phone, Phone, Phone]:
    """Eve has called Bob, who has asked Carol; Mallory knows of it. No trunk is Eve's or Mallory's."""
    lab = make_lab(trunks={name: trunk(name, refer="relay") for name in HOSTS})
    bob, carol = lab.cast("bob", "carol")
    eve, mallory = (lab.phone(name, at=host) for name, host in zip(("eve", "mallory"), NOBODY, strict=True))
    eve.calls("bob")
    bob.answers()
    consults(bob, eve, carol)
    return lab, eve, bob, carol, mallory


def test_a_stranger_takes_over_no_consultation(make_lab: MakeLab) -> None:
    """Who refers and whom he called can be guessed: Mallory rings like anybody, and Eve comes as she was
    told.
    """
    lab, eve, bob, carol, mallory = strangers(make_lab)
    eve.style.dials_after_s = 5.0
    referral = bob.refers(eve, to=carol, replaces=carol, then=STAYS)
    mallory.calls("carol", headers={"Referred-By": f"<{bob.uri}>", "traceparent": ""})
    assert not carol.got("INVITE").header("Replaces")
    assert not caused(lab).transferred
    assert not mallory.hearing
    assert bob.hears(carol)
    carol.refuses(486)
    lab.run(6.0)
    assert lab.count("token_replayed") == 0
    assert eve.hears(carol)
    assert carol.hearing == {"eve"}
    assert referral.result == 200
    assert outcome(lab) == ("completed", "answered", "")


def test_referred_by_alone_names_no_dialog_of_a_trunk(make_lab: MakeLab) -> None:
    """From the transferee's own trunk it does: that is whom the REFER was for."""
    lab, alice, bob, carol = cast(make_lab, "relay", by="callee")
    consults(bob, alice, carol)
    alice.style = Style(dials_after_s=60.0)
    bob.refers(alice, to=carol, replaces=carol, then=STAYS)
    lab.phone("dave").calls("carol", headers={"Referred-By": f"<{bob.uri}>", "traceparent": ""})
    assert not carol.got("INVITE").header("Replaces")
    assert bob.hears(carol)
    carol.refuses(486)
    alice.calls("carol", headers={"Referred-By": f"<{bob.uri}>", "traceparent": ""})
    assert alice.hears(carol)
    assert carol.hearing == {"alice"}


@pytest.mark.parametrize("mode", MODES)
def test_a_stranger_speaks_of_no_call_of_a_stranger(make_lab: MakeLab, mode: str) -> None:
    """Target-Dialog (RFC 4538): Mallory knows the tags of Eve's call, and is not Eve."""
    lab = make_lab(trunks={name: trunk(name, refer=mode) for name in HOSTS})
    bob, carol = lab.cast("bob", "carol")
    eve, mallory = (lab.phone(name, at=host) for name, host in zip(("eve", "mallory"), NOBODY, strict=True))
    eve.calls("bob")
    bob.answers()
    headers = {"Target-Dialog": about(eve, bob), "traceparent": ""}
    mallory.refers(bob, to=carol, outside=True, then=STAYS, headers=headers)
    theirs = bob.call_with(eve).dialog
    assert bob.got("REFER").call_id != theirs.call_id
    assert theirs.call_id not in bob.got("REFER").header("Target-Dialog")
    assert bob.got("REFER").trace_id != bob.called.invite.trace_id
    carol.refuses(486)
    still_talking(eve, bob)


# A REFER about a call, after the configuration was read anew


@EITHER
@pytest.mark.parametrize("mode", MODES)
def test_target_dialog_finds_a_call_from_before_a_reload(make_lab: MakeLab, mode: str, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    lab.does(lambda now: lab.engine.reload(Router.of(lab.trunks, tuple(lab.routes)), now))
    headers = {"Target-Dialog": about(bob, alice)}
    referral = bob.refers(alice, to=carol, outside=True, then=STAYS, headers=headers)
    carol.answers()
    assert referral.result == 200
    if mode == "relay":
        assert alice.got("REFER").header("Target-Dialog").startswith(alice.call_with(bob).dialog.call_id)
        hang_up(bob, alice)
    assert together(alice, carol)
    assert carol.got("INVITE").trace_id == (alice if by == "callee" else bob).trace_id
    one_story(lab)


# Trunks that take no REFER, and headers that a trunk is not to see


@pytest.mark.parametrize("who", ["bob", "alice"])
def test_a_refer_outside_a_dialog_where_none_is_wanted(make_lab: MakeLab, who: str) -> None:
    """`refer: reject` of the trunk that it comes from, or of the one that it would go to."""
    lab = make_lab(trunks={who: trunk(who, refer="reject")})
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    assert bob.refers(alice, to=carol, outside=True).answered == 603
    assert not alice.heard
    lab.finish()


@EITHER
@pytest.mark.parametrize("own", [True, False], ids=["his own", "ours"])
@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize(
    ("policy", "passes"),
    [
        (HeaderPolicy(strip=("Referred-By",)), False),
        (HeaderPolicy(allow=("Subject",)), False),
        (HeaderPolicy(allow=("Referred-By",)), True),
        (HeaderPolicy(), True),
    ],
    ids=["stripped", "not listed", "listed", "all"],
)
def test_referred_by_obeys_the_trunk(
    make_lab: MakeLab, by: str, own: bool, outside: bool, policy: HeaderPolicy, passes: bool
) -> None:
    """Whether the transferor wrote it, or we would have."""
    trunks = {"alice": trunk("alice", refer="relay", headers=policy)}
    _, alice, bob, carol = cast(make_lab, "relay", by=by, trunks=trunks)
    headers = {} if own else {"Referred-By": ""}
    bob.refers(alice, to=carol, outside=outside, then=STAYS, headers=headers)
    assert bool(alice.got("REFER").header("Referred-By")) is passes
    carol.refuses(486)
    still_talking(alice, bob)
