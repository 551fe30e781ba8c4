"""Each kind of transfer, in each mode, from each side, with whatever the transferee sends back."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.events import TransferBegan
from sipproxy.b2bua.settings import TransferSettings

from .referral import LEAVES, WAITS
from .styles import CARRIERS
from .transfers import (
    KINDS,
    SIDES,
    MakeLab,
    carriers_seen,
    cast,
    caused,
    consults,
    hang_up,
    one_story,
    outcome,
    previous,
    together,
    transfers,
)

# What is counted as come back, where the INVITE has more of them.
NO_LIMIT = TransferSettings(refer_to_octets=0)
SEEN = {"all": {"traceparent", "marker", "referred-by", "previous-trace-id"}, "none": set[str]()}
DECISIONS = {"all": "adopted", "traceparent": "adopted", "previous-trace-id": "linked", "none": "new"}


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("carriers", CARRIERS)
def test_relay(make_lab: MakeLab, kind: str, by: str, carriers: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by=by, transfer=NO_LIMIT)
    first = alice.trace_id if by == "callee" else bob.trace_id
    alice.style.keeps = CARRIERS[carriers]
    if kind == "attended":
        consults(bob, alice, carol)
    referral = bob.refers(alice, to=carol, replaces=carol if kind == "attended" else None)
    assert referral.answered == 202
    if not carol.hears(alice):  # nothing told her that this call takes the place of another
        carol.rings()
        carol.answers()
    if kind == "attended" and carol.hears(bob):
        hang_up(bob, carol)
    assert together(alice, carol), lab.ladder()
    assert bob.idle
    assert referral.statuses[0] == 100
    assert referral.result == 200
    assert lab.engine.calls == 1
    blank = carriers == "none" or (carriers == "replaces" and kind == "blind")
    arrived = caused(lab)
    seen = SEEN.get(carriers, {"uri-header"} if carriers == "uri" else {carriers})
    if kind == "attended" and carriers in ("all", "uri"):
        seen = seen | {"replaces"}
    if carriers != "uri":
        assert carriers_seen(lab) == (set() if blank else seen)
    assert "uri-header" in carriers_seen(lab) or carriers != "uri"
    decision = "new" if blank else DECISIONS.get(carriers, arrived.origin.decision)
    assert arrived.origin.decision == decision
    if not blank and carriers != "previous-trace-id":
        assert arrived.transferred
        assert arrived.origin.parent is not None
        assert arrived.origin.parent.span_id == lab.facts_of(TransferBegan)[-1].context.span_id
        assert carol.got("INVITE").trace_id == alice.got("BYE").trace_id == first
        assert carol.got("INVITE").header("previous-trace-id") == previous(lab)
        assert outcome(lab) == ("completed", "answered", "")
    elif blank:
        lab.run(6.0)
        assert carol.got("INVITE").trace_id not in (first, "")
        assert outcome(lab) == ("completed", "answered", "reported")
    else:
        lab.run(6.0)
        assert carol.got("INVITE").trace_id not in (first, "")
        assert outcome(lab)[:2] == ("completed", "answered")
    (transfer,) = transfers(lab)
    assert transfer.attributes["sip.transfer.kind"] == kind
    assert transfer.attributes["sip.transfer.mode"] == "relay"
    hang_up(alice, carol)
    if not blank:
        one_story(lab)


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("knows", [True, False], ids=["any phone", "knows no REFER and no Replaces"])
def test_local(make_lab: MakeLab, kind: str, by: str, knows: bool) -> None:
    """The context never leaves us: what the transferee keeps of a REFER changes nothing."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    first = alice.trace_id if by == "callee" else bob.trace_id
    if not knows:
        for phone in (alice, carol):
            phone.style.answer, phone.style.replaces = 405, "ignores"
            phone.allow, phone.supported = phone.allow.replace(", REFER", ""), "100rel"
    if kind == "attended":
        consults(bob, alice, carol)
    referral = bob.refers(alice, to=carol, replaces=carol if kind == "attended" else None)
    if kind == "blind":
        assert carol.got("INVITE").body == ""
        assert carol.got("INVITE").trace_id == first
        assert carol.got("INVITE").header("previous-trace-id") == previous(lab)
        assert carol.got("INVITE").header("Referred-By")
        assert alice.hears(bob)  # until there is somebody else
        carol.rings()
        carol.answers()
    assert (referral.answered, referral.result) == (202, 200)
    assert together(alice, carol), lab.ladder()
    assert bob.idle
    assert not alice.all("REFER")
    assert lab.engine.calls == 1
    assert outcome(lab) == ("completed", "answered", "")
    (transfer,) = transfers(lab)
    assert transfer.attributes["sip.transfer.kind"] == kind
    assert transfer.attributes["sip.transfer.mode"] == "local"
    assert transfer.trace_id == first
    hang_up(carol, alice)
    assert lab.engine.calls == 0
    one_story(lab, traces=1 if kind == "blind" else 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("carriers", CARRIERS)
@pytest.mark.parametrize("by", SIDES)
def test_local_whatever_the_transferee_would_keep(
    make_lab: MakeLab, kind: str, by: str, carriers: str
) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    alice.style.keeps = carol.style.keeps = CARRIERS[carriers]
    if kind == "attended":
        consults(bob, alice, carol)
    bob.refers(alice, to=carol, replaces=carol if kind == "attended" else None)
    if kind == "blind":
        carol.answers()
    assert together(alice, carol), lab.ladder()
    assert not carriers_seen(lab)
    one_story(lab)


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "race", ["NOTIFY first", "202 last", "BYE behind the 202", "everything twice", "lost"]
)
@pytest.mark.parametrize("carriers", CARRIERS)
def test_relay_in_a_race(make_lab: MakeLab, kind: str, by: str, race: str, carriers: str) -> None:
    """Whatever comes back, and in whatever order: the two end up together, and nothing is left."""
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    alice.style.keeps = CARRIERS[carriers]
    alice.style.early_notify = race == "NOTIFY first"
    if kind == "attended":
        consults(bob, alice, carol)
    if race == "202 last":
        lab.holds("202", receiver="bob", times=9)
    for label in ("REFER", "202", "NOTIFY", "INVITE", "200 INVITE", "ACK", "BYE"):
        if race in ("everything twice", "lost"):
            lab.loses(label, times=2, fate="twice" if race == "everything twice" else "lost")
    then = LEAVES if race == "BYE behind the 202" else WAITS
    referral = bob.refers(alice, to=carol, replaces=carol if kind == "attended" else None, then=then)
    lab.run(4.0)
    if not carol.hears(alice):
        carol.rings()
        carol.answers()
    lab.run(4.0)
    if kind == "attended" and carol.hears(bob):
        hang_up(bob, carol)
    lab.lets_go()
    lab.run(4.0)
    assert together(alice, carol)
    assert bob.idle
    assert (referral.answered, referral.result) == (202, 200)
    assert outcome(lab)[:2] == ("completed", "answered")
    if not (carriers == "none" or (carriers == "replaces" and kind == "blind")):
        one_story(lab)
