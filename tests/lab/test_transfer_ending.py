"""Transfers, and what else happens to a call: CANCEL, limits, draining, shutdown, session timers."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.events import TransferBegan
from sipproxy.b2bua.settings import TransferSettings
from sipproxy.propagation.settings import Accept, TrunkTrace

from .core import HOSTS
from .lab import trunk
from .referral import STAYS
from .styles import Style
from .transfers import (
    KINDS,
    MODES,
    SIDES,
    MakeLab,
    cast,
    caused,
    consults,
    hang_up,
    one_story,
    outcome,
    still_talking,
    together,
    transfers,
)

ANY = pytest.mark.parametrize(("mode", "by"), [(mode, by) for mode in MODES for by in SIDES])
EITHER = pytest.mark.parametrize("by", SIDES)
OTHER = "00-11111111111111111111111111111111-2222222222222222-01"


# CANCEL


@EITHER
def test_the_transferee_takes_its_call_back(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    referral = bob.refers(alice, to=carol)
    carol.rings()
    alice.cancels()
    assert carol.got("CANCEL")
    assert referral.result == 487
    assert outcome(lab) == ("cancelled", "abandoned", "")
    assert not transfers(lab)[-1].failed
    still_talking(alice, bob)
    one_story(lab, traces=1)


@EITHER
def test_the_cancel_crosses_the_answer(make_lab: MakeLab, by: str) -> None:
    """The call was answered: whoever is told 200 hangs up, and the old two talk on."""
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    referral = bob.refers(alice, to=carol, then=STAYS)
    carol.rings()
    lab.network.slowness["carol"] = 0.002
    with lab.at_once():
        carol.answers()
        alice.cancels()
    lab.run(5.0)
    assert carol.idle
    assert referral.result in (200, 487)
    still_talking(alice, bob)
    one_story(lab, traces=1)


@ANY
def test_the_transferor_cancels_its_own_mind(make_lab: MakeLab, mode: str, by: str) -> None:
    """There is no way to take a REFER back: hanging up does not stop it (RFC 5589 section 6.1)."""
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    bob.refers(alice, to=carol, then=STAYS)
    bob.hangs_up()
    carol.rings()
    carol.answers()
    lab.run(3.0)
    assert together(alice, carol)
    one_story(lab, traces=1)


# What is counted


@ANY
@pytest.mark.parametrize("kind", KINDS)
def test_each_trunk_counts_the_calls_it_has(make_lab: MakeLab, mode: str, by: str, kind: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    if kind == "attended":
        consults(bob, alice, carol)
    bob.refers(alice, to=carol, replaces=carol if kind == "attended" else None)
    if kind == "blind":
        carol.answers()
    assert together(alice, carol)
    counts = {name: found.calls for name, found in lab.engine.shared.router.trunks.items()}
    assert counts == {"alice": 1, "bob": 0, "carol": 1, "dave": 0}
    hang_up(carol, alice)


def test_of_too_many_pending_transfers_the_oldest_goes(make_lab: MakeLab) -> None:
    settings = TransferSettings(pending=1, expires_s=10.0)
    lab, alice, bob, carol = cast(make_lab, "relay", by="callee", transfer=settings)
    dave = lab.phone("dave")
    alice.style = Style(dials_after_s=1.0, keeps=frozenset(("marker",)))
    first = bob.refers(alice, to=carol, then=STAYS)
    second = bob.refers(alice, to=dave, then=STAYS)
    assert len(lab.engine.shared.pending) == 1
    lab.run(2.0)
    assert carol.got("INVITE").trace_id not in ("", alice.trace_id)  # forgotten: a call like any other
    assert dave.got("INVITE").trace_id == alice.trace_id
    carol.refuses(486)
    dave.refuses(486)
    assert (first.result, second.result) == (486, 486)
    lab.run(20.0)
    assert not len(lab.engine.shared.pending)
    assert sorted(str(span.attributes["sip.transfer.outcome"]) for span in transfers(lab)) in (
        ["busy", "busy"],
        ["busy", "unknown"],
    )
    still_talking(alice, bob)


# The proxy's own end


@ANY
def test_a_proxy_that_drains_finishes_its_transfers(make_lab: MakeLab, mode: str, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    lab.engine.drain()
    bob.refers(alice, to=carol)
    carol.answers()
    assert together(alice, carol)
    one_story(lab, traces=1)


@ANY
@pytest.mark.parametrize("moment", ["ringing", "joining", "attended"])
def test_a_proxy_that_ends_leaves_nobody_behind(make_lab: MakeLab, mode: str, by: str, moment: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    if moment == "attended":
        consults(bob, alice, carol)
    if moment != "ringing":
        alice.replies["INVITE"] = None  # an offer of ours stays open
    bob.refers(alice, to=carol, replaces=carol if moment == "attended" else None, then=STAYS)
    if moment == "ringing":
        carol.rings()
    elif moment == "joining":
        carol.answers()
    lab.does(lab.engine.end_all)
    lab.run(5.0)
    assert carol.idle
    assert bob.idle
    assert lab.engine.calls == 0
    one_story(lab)


# Sessions


@ANY
def test_a_session_timer_does_not_outlive_the_session(make_lab: MakeLab, mode: str, by: str) -> None:
    """The old two had agreed on one; the new two have not."""
    lab = make_lab(trunks={name: trunk(name, refer=mode) for name in HOSTS})
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    caller, callee = (bob, alice) if by == "caller" else (alice, bob)
    caller.calls(callee.name, headers={"Session-Expires": "90"})
    callee.answers()
    bob.refers(alice, to=carol)
    carol.answers()
    lab.run(300.0)
    assert together(alice, carol)
    one_story(lab, traces=1)


# Whose word counts


@EITHER
def test_the_context_of_a_refer_is_linked(make_lab: MakeLab, by: str) -> None:
    """A foreign context in a dialog does not re-parent it (section 2)."""
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    bob.context = OTHER
    bob.refers(alice, to=carol)
    (began,) = lab.facts_of(TransferBegan)
    assert began.link is not None
    assert began.link.traceparent() == OTHER
    assert OTHER.encode() not in alice.got("REFER").data
    bob.context = ""
    carol.answers()
    assert (OTHER[3:35], OTHER[36:52]) in [link[:2] for link in transfers(lab)[-1].links]
    one_story(lab, traces=1)


@pytest.mark.parametrize("accept", list(Accept))
def test_a_marker_is_believed_from_every_trunk(make_lab: MakeLab, accept: Accept) -> None:
    """We made it, and nobody can guess it."""
    trunks = {"alice": trunk("alice", refer="relay", trace=TrunkTrace(accept=accept))}
    lab = make_lab(trunks={name: trunk(name, refer="relay") for name in HOSTS} | trunks)
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    bob.calls("alice")
    alice.answers()
    alice.style.keeps = frozenset(("marker",))
    bob.refers(alice, to=carol)
    carol.answers()
    assert caused(lab).transferred
    assert carol.got("INVITE").trace_id == bob.trace_id
    assert outcome(lab) == ("completed", "answered", "")
    one_story(lab, traces=1)


def test_a_traceparent_is_worth_what_its_trunk_is(make_lab: MakeLab) -> None:
    """From a trunk that is to be linked the context alone makes a link."""
    trunks = {"alice": trunk("alice", refer="relay", trace=TrunkTrace(accept=Accept.LINK))}
    lab = make_lab(trunks={name: trunk(name, refer="relay") for name in HOSTS} | trunks)
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    bob.calls("alice")
    alice.answers()
    alice.style.keeps = frozenset(("traceparent",))
    bob.refers(alice, to=carol)
    carol.answers()
    assert carol.got("INVITE").trace_id not in ("", bob.trace_id)
    one_story(lab, traces=2)
