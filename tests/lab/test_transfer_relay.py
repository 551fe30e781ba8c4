"""What a REFER looks like when it goes on, what real user agents make of it, and which mode is taken."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.events import Counted, TransferBegan
from sipproxy.b2bua.settings import TransferSettings
from sipproxy.propagation.settings import Carrier, TrunkTrace

from .core import HOSTS
from .lab import trunk
from .seen import parameter
from .styles import USER_AGENTS
from .transfers import (
    KINDS,
    SIDES,
    MakeLab,
    cast,
    caused,
    child_of,
    consults,
    hang_up,
    one_story,
    outcome,
    previous,
    refer_to,
    together,
    transfers,
)

EITHER = pytest.mark.parametrize("by", SIDES)


@EITHER
def test_the_five_carriers(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    bob.refers(alice, to=carol, headers={"Referred-By": ""})
    (began,) = lab.facts_of(TransferBegan)
    refer = alice.got("REFER")
    uri, headers = refer_to(alice)
    assert refer.header("traceparent") == began.context.traceparent()
    assert refer.header("previous-trace-id") == previous(lab)
    assert uri.startswith("sip:carol@192.0.2.100:5060;sipproxy-ref=")
    assert len(uri.rpartition("=")[2]) == 32
    assert headers["traceparent"] == began.context.traceparent()
    assert headers["previous-trace-id"] == previous(lab).replace(";", "%3B").replace("=", "%3D")
    assert (bob.number if by == "caller" else "bob") in refer.header("Referred-By")
    assert refer.contact == "sip:192.0.2.100:5060"
    carol.answers()
    assert carol.got("INVITE").uri == "sip:carol@192.0.2.3:5060"
    assert "traceparent=" not in carol.got("INVITE").header("To")
    one_story(lab, traces=1)


@EITHER
def test_what_the_transferor_says_of_itself_passes(make_lab: MakeLab, by: str) -> None:
    alice, bob, carol = cast(make_lab, "relay", by=by)[1:]
    bob.refers(alice, to=carol)
    assert alice.got("REFER").header("Referred-By") == f"<{bob.uri}>"
    assert carol.got("INVITE").header("Referred-By") == f"<{bob.uri}>"
    carol.answers()


@EITHER
def test_what_the_spans_tell(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    bob.refers(alice, to=carol)
    carol.rings()
    carol.answers()
    hang_up(alice, carol)
    one_story(lab, traces=1)
    (transfer,) = transfers(lab)
    (began,) = lab.facts_of(TransferBegan)
    assert transfer.parent_id == began.root.span_id
    assert transfer.kind == "INTERNAL"
    events = [event[0] for event in transfer.events]
    assert events[0] == "accepted"
    assert events.count("notify") == 2  # 100 and 180: the end of the INVITE is before the third
    assert not transfer.failed
    assert transfer.attributes["sip.response.status_code"] == 200
    (root,) = child_of(lab, transfer.span_id)
    assert root.kind == "SERVER"
    assert root.attributes["sip.transfer"] is True
    (attempt,) = child_of(lab, root.span_id)
    assert attempt.span_id == carol.got("INVITE").span_id


@EITHER
def test_each_leg_counts_its_own_refers(make_lab: MakeLab, by: str) -> None:
    """Event: refer;id= names the REFER by its CSeq, and that differs between the legs."""
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    for _ in range(7):
        bob.sends("INFO")
    alice.call_with(bob).ask("INFO")
    lab.settle()
    bob.call_with(alice).dialog.local_seq += 20
    referral = bob.refers(alice, to=carol)
    number = parameter(f"<>;{bob.got('NOTIFY').header('Event')}", "id")
    assert int(number) == referral.asking.request.cseq != alice.got("REFER").cseq
    carol.answers()
    assert referral.statuses == [100, 200]
    one_story(lab, traces=1)


@EITHER
def test_a_transferee_that_does_not_name_its_event(make_lab: MakeLab, by: str) -> None:
    alice, bob, carol = cast(make_lab, "relay", by=by)[1:]
    alice.style.names_event = False
    alice.style.reason = "reason=noresource"  # linphonec
    referral = bob.refers(alice, to=carol)
    carol.answers()
    assert referral.statuses == [100, 200]
    assert referral.over
    assert together(alice, carol)


@EITHER
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("agent", USER_AGENTS)
def test_real_user_agents_stay_in_the_trace(make_lab: MakeLab, by: str, kind: str, agent: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    first = alice.trace_id if by == "callee" else bob.trace_id
    for phone in (alice, carol):
        phone.style.keeps = USER_AGENTS[agent]
        phone.style.replaces = "rings" if agent == "baresip 4.9" else "answers"
        phone.style.finds = agent != "linphonec"
    if kind == "attended":
        consults(bob, alice, carol)
    bob.refers(alice, to=carol, replaces=carol if kind == "attended" else None)
    if not carol.hears(alice):
        carol.answers()
    assert together(alice, carol)
    assert carol.got("INVITE").trace_id == first
    assert outcome(lab) == ("completed", "answered", "")
    one_story(lab)


# Settings


@EITHER
def test_a_trunk_that_is_sent_no_trace_gets_the_marker_alone(make_lab: MakeLab, by: str) -> None:
    trunks = {"alice": trunk("alice", refer="relay", trace=TrunkTrace(send=()))}
    lab, alice, bob, carol = cast(make_lab, "relay", by=by, trunks=trunks)
    bob.refers(alice, to=carol, headers={"tracestate": "a=1", "previous-trace-id": "a" * 32})
    refer = alice.got("REFER")
    for name in ("traceparent", "tracestate", "previous-trace-id", "baggage"):
        assert not refer.header(name)
    assert refer_to(alice)[1] == {}
    assert ";sipproxy-ref=" in refer_to(alice)[0]
    carol.answers()
    assert caused(lab).transferred
    assert outcome(lab) == ("completed", "answered", "")
    one_story(lab, traces=1)


@EITHER
@pytest.mark.parametrize("kind", KINDS)
def test_a_trunk_without_an_anchor_is_sent_to_the_target_itself(
    make_lab: MakeLab, by: str, kind: str
) -> None:
    trunks = {"alice": trunk("alice", refer="relay", anchor=False)}
    lab, alice, bob, carol = cast(make_lab, "relay", by=by, trunks=trunks)
    if kind == "attended":
        consults(bob, alice, carol)
    bob.refers(alice, to=carol, replaces=carol if kind == "attended" else None)
    assert refer_to(alice)[0] == "sip:carol@192.0.2.100:5060"
    assert "traceparent" in refer_to(alice)[1]
    if not carol.hears(alice):
        carol.answers()
    assert together(alice, carol)
    assert caused(lab).transferred
    assert outcome(lab) == ("completed", "answered", "")
    one_story(lab)


def test_the_names_are_those_of_the_trunk(make_lab: MakeLab) -> None:
    send = (Carrier.TRACEPARENT, Carrier.TRACESTATE, Carrier.X_TRACEPARENT)
    lab = make_lab(
        trunks={
            "alice": trunk("alice", refer="relay", trace=TrunkTrace(send=send)),
            "bob": trunk("bob", refer="relay"),
        },
        transfer=TransferSettings(refer_to_octets=0),
    )
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    alice.calls("bob", headers={"tracestate": "rojo=1,congo=t61"})
    bob.answers()
    bob.refers(alice, to=carol)
    names = {name.lower(): value for name, value in refer_to(alice)[1].items()}
    assert names["tracestate"] == "rojo%3D1%2Ccongo%3Dt61"
    assert names["x-traceparent"] == names["traceparent"]
    assert alice.got("REFER").header("x-traceparent") == names["traceparent"]
    assert carol.got("INVITE").header("tracestate") == "rojo=1,congo=t61"
    carol.answers()


@EITHER
@pytest.mark.parametrize("own", [None, "relay", "local"])
@pytest.mark.parametrize("other", [None, "relay", "local"])
@pytest.mark.parametrize("knows", [True, False])
def test_who_decides_the_mode(
    make_lab: MakeLab, by: str, own: str | None, other: str | None, knows: bool
) -> None:
    """`local` of either trunk, else `relay` of either, else what the transferee's Allow says."""
    trunks = {"bob": trunk("bob", refer=own), "alice": trunk("alice", refer=other)}
    lab = make_lab(trunks=trunks)
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    if not knows:
        alice.allow = "INVITE, ACK, CANCEL, BYE, NOTIFY"
    lab.talking(*(("bob", "alice") if by == "caller" else ("alice", "bob")))
    bob.refers(alice, to=carol)
    carol.answers()
    assert together(alice, carol)
    relayed = "local" not in (own, other) and ("relay" in (own, other) or knows)
    assert bool(alice.all("REFER")) == relayed
    assert transfers(lab)[-1].attributes["sip.transfer.mode"] == ("relay" if relayed else "local")


def test_a_long_tracestate_makes_no_refer_too_long(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={name: trunk(name, refer="relay") for name in HOSTS}, streams=False)
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    state = ",".join(f"k{number}={'v' * 200}" for number in range(20))
    alice.calls("bob", headers={"tracestate": state})
    bob.answers()
    bob.refers(alice, to=carol)
    assert len(alice.got("REFER").data) <= 1300
    assert alice.got("REFER").header("traceparent")
    assert {fact.which for fact in lab.facts_of(Counted) if fact.what == "refer_carriers"}
    carol.answers()
    assert together(alice, carol)
