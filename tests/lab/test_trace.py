"""Trace context on the wire, and the facts and spans that tell of it (propagation.md sections 1, 2, 3, 5)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sipproxy.b2bua.events import RequestArrived, Transacted
from sipproxy.propagation.settings import Accept, Carrier, TrunkTrace
from sipproxy.telemetry.record import SpanRecord

from .lab import Lab, trunk
from .phone import Phone
from .seen import ANSWER, OFFER

MakeLab = Callable[..., Lab]
OTHER = "00-11111111111111111111111111111111-2222222222222222-01"
UUID_A, UUID_B = "a" * 32, "b" * 32
NIL = "0" * 32


def spans(lab: Lab, name: str, kind: str = "") -> list[SpanRecord]:
    return [span for span in lab.spans if span.name == name and kind in ("", span.kind)]


def test_our_span_is_the_parent_of_what_the_callee_does(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    (root,) = spans(lab, "INVITE", "SERVER")
    (attempt,) = spans(lab, "INVITE", "CLIENT")
    assert (root.trace_id, root.parent_id) == (alice.trace_id, alice.span_id)
    assert attempt.parent_id == root.span_id
    assert bob.got("INVITE").span_id == attempt.span_id


def test_ack_and_cancel_carry_their_invites_context(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    assert bob.got("ACK").header("traceparent") == bob.got("INVITE").header("traceparent")
    bob.hangs_up()
    lab.ringing("alice", "bob")
    alice.cancels()
    assert bob.got("CANCEL").header("traceparent") == bob.got("INVITE").header("traceparent")
    assert bob.got("ACK").header("traceparent") == bob.got("INVITE").header("traceparent")


def test_requests_in_a_dialog_carry_its_context(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", headers={"tracestate": "rojo=1"})
    bob.rings(reliable=True)
    assert bob.got("PRACK").header("traceparent") == bob.got("INVITE").header("traceparent")
    bob.answers()
    for method in ("INFO", "MESSAGE", "NOTIFY", "UPDATE", "INVITE"):
        alice.sends(method, OFFER if method in ("UPDATE", "INVITE") else "")
        bob.sends(method, OFFER if method in ("UPDATE", "INVITE") else "")
    to_bob = {
        bob.got(method).header("traceparent") for method in ("INFO", "MESSAGE", "NOTIFY", "UPDATE", "INVITE")
    }
    to_alice = {
        alice.got(method).header("traceparent")
        for method in ("INFO", "MESSAGE", "NOTIFY", "UPDATE", "INVITE")
    }
    assert bob.got("ACK").header("traceparent") in to_bob
    assert bob.got("INFO").header("tracestate") == "rojo=1"
    alice.hangs_up()
    to_bob.add(bob.got("BYE").header("traceparent"))
    assert len(to_bob) == len(to_alice) == 1
    dialogs = {span.kind: span.span_id for span in spans(lab, "dialog")}
    assert bob.got("BYE").span_id == dialogs["CLIENT"]
    assert alice.got("INFO").span_id == dialogs["SERVER"]


def test_a_foreign_context_in_a_dialog_is_linked_and_changes_nothing(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    alice.context = OTHER
    alice.reinvites()
    alice.sends("INFO")
    assert bob.got("INVITE").trace_id == bob.got("INFO").trace_id == alice.trace_id
    (transacted,) = lab.facts_of(Transacted)
    assert transacted.link is not None
    assert transacted.link.traceparent() == OTHER
    (span,) = [span for span in lab.spans if span.span_id == transacted.context.span_id]
    assert [link[:2] for link in span.links] == [(OTHER[3:35], OTHER[36:52])]
    assert span.trace_id == alice.trace_id


def test_a_repeat_is_the_same_bytes(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    lab.loses("INVITE", receiver="bob", times=3)
    alice.calls("bob")
    lab.run(4.0)
    sent = [packet.data for packet in lab.network.log if packet.receiver == "bob"]
    assert len(sent) >= 4
    assert len(set(sent)) == 1
    bob.answers()


def test_a_call_without_context_starts_a_trace(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.traced = False
    alice.calls("bob")
    (arrived,) = lab.facts_of(RequestArrived)
    assert (arrived.origin.decision, arrived.origin.carrier) == ("new", "none")
    assert bob.got("INVITE").trace_id == arrived.root.trace_id


def test_a_trunk_that_is_not_to_be_adopted_is_linked(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"alice": trunk("alice", trace=TrunkTrace(accept=Accept.LINK))})
    alice, bob = lab.talking("alice", "bob")
    assert bob.got("INVITE").trace_id != alice.trace_id
    (root,) = spans(lab, "INVITE", "SERVER")
    assert [link[0] for link in root.links] == [alice.trace_id]


def test_an_ignored_trunk_leaves_no_trace(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"alice": trunk("alice", trace=TrunkTrace(accept=Accept.IGNORE))})
    alice, bob = lab.talking("alice", "bob")
    assert bob.got("INVITE").trace_id not in ("", alice.trace_id)
    (root,) = spans(lab, "INVITE", "SERVER")
    assert root.links == ()


def test_a_trunk_that_is_sent_nothing_gets_nothing(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"bob": trunk("bob", trace=TrunkTrace(send=()))})
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", headers={"tracestate": "a=1", "baggage": "k=v", "X-Traceparent": OTHER[:-1] + "1"})
    bob.refuses(486)
    alice.calls("bob", headers={"tracestate": "a=1", "baggage": "k=v", "previous-trace-id": UUID_B})
    bob.answers()
    alice.hangs_up()
    for seen in bob.heard:
        for name in (
            "traceparent",
            "tracestate",
            "x-traceparent",
            "x-tracestate",
            "baggage",
            "previous-trace-id",
        ):
            assert not seen.header(name), seen


def test_responses_tell_the_caller_its_trace_where_asked(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"alice": trunk("alice", trace=TrunkTrace(respond=True))})
    alice, bob = lab.phone("alice"), lab.phone("bob")
    alice.traced = False
    alice.calls("bob")
    bob.rings()
    bob.answers()
    (arrived,) = lab.facts_of(RequestArrived)
    assert alice.got("200 INVITE").header("traceparent") == arrived.root.traceparent()
    assert alice.got("180").header("traceparent") == arrived.root.traceparent()


def test_previous_trace_id_becomes_a_link(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.traced = False
    alice.calls("bob", headers={"previous-trace-id": f"{UUID_A};span={'c' * 16}"})
    (arrived,) = lab.facts_of(RequestArrived)
    assert arrived.origin.decision == "linked"
    assert arrived.root.trace_id != UUID_A
    assert [(link.trace_id, link.span_id) for link in arrived.origin.links] == [(UUID_A, "c" * 16)]
    bob.refuses(486)
    (root,) = spans(lab, "INVITE", "SERVER")
    assert [link[:2] for link in root.links] == [(UUID_A, "c" * 16)]


def test_a_bare_previous_trace_id_is_an_attribute(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.traced = False
    alice.calls("bob", headers={"previous-trace-id": UUID_A})
    bob.refuses(486)
    (root,) = spans(lab, "INVITE", "SERVER")
    assert root.attributes["sip.trace.previous_id"] == UUID_A
    assert root.links == ()


@pytest.mark.parametrize("named", [UUID_A, UUID_B], ids=["the caller's", "the callee's"])
def test_a_session_id_leads_back_to_its_call(lab: Lab, named: str) -> None:
    alice, bob, carol, dave = lab.cast("alice", "bob", "carol", "dave")
    alice.calls("bob", headers={"Session-ID": f"{UUID_A};remote={NIL}"})
    bob.rings(headers={"Session-ID": f"{UUID_B};remote={UUID_A}"})
    bob.answers()
    carol.traced = False
    carol.calls("dave", headers={"Session-ID": f"{'d' * 32};remote={named}"})
    assert dave.got("INVITE").trace_id == alice.trace_id
    arrived = lab.facts_of(RequestArrived)[-1]
    assert (arrived.origin.decision, arrived.origin.carrier) == ("recovered", "session-id")


def test_a_session_id_of_a_call_that_is_over_leads_nowhere(lab: Lab) -> None:
    alice, bob, carol, dave = lab.cast("alice", "bob", "carol", "dave")
    alice.calls("bob", headers={"Session-ID": f"{UUID_A};remote={NIL}"})
    bob.answers()
    alice.hangs_up()
    carol.traced = False
    carol.calls("dave", headers={"Session-ID": f"{UUID_A};remote={NIL}"})
    assert dave.got("INVITE").trace_id not in ("", alice.trace_id)


def test_context_in_the_header_part_of_a_uri_is_taken_and_never_passed_on(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.traced = False
    alice.calls("bob", uri=f"sip:bob@192.0.2.100:5060?traceparent={OTHER}")
    assert bob.got("INVITE").trace_id == OTHER[3:35]
    assert "?" not in bob.got("INVITE").uri
    assert OTHER.encode() not in bob.got("INVITE").data
    bob.refuses(486)
    alice.calls("bob", headers={"To": f"<sip:bob@192.0.2.100:5060?traceparent={OTHER}>"})
    assert bob.got("INVITE").trace_id == OTHER[3:35]
    assert OTHER.encode() not in bob.got("INVITE").data


def test_context_in_an_identity_is_taken_and_never_passed_on(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"alice": trunk("alice", trace=TrunkTrace(read_pai=True))})
    alice, bob = lab.cast("alice", "bob")
    alice.traced = False
    alice.calls("bob", headers={"P-Asserted-Identity": f"<sip:alice@example.com;traceparent={OTHER}>"})
    assert bob.got("INVITE").trace_id == OTHER[3:35]
    assert bob.got("INVITE").header("P-Asserted-Identity") == "<sip:alice@example.com>"


def test_two_calls_at_once_never_mix_their_interactions(make_lab: MakeLab) -> None:
    sends = TrunkTrace(send=(Carrier.TRACEPARENT, Carrier.BAGGAGE))
    lab = make_lab(trunks={"bob": trunk("bob", trace=sends), "dave": trunk("dave", trace=sends)})
    alice, bob, carol, dave = lab.cast("alice", "bob", "carol", "dave")
    with lab.at_once():
        alice.calls("bob", headers={"X-Interaction-ID": "first"})
        carol.calls("dave", headers={"X-Interaction-ID": "second"})
    with lab.at_once():
        bob.answers()
        dave.answers()
    with lab.at_once():
        alice.reinvites()
        carol.sends("INFO")
    with lab.at_once():
        alice.hangs_up()
        dave.hangs_up()
    for phone, own in ((bob, "first"), (dave, "second")):
        assert phone.got("INVITE").header("baggage") == f"interaction.id={own}"
    assert carol.got("BYE").trace_id == carol.trace_id
    traces = {alice.trace_id: "first", carol.trace_id: "second"}
    assert len(lab.spans) >= 10
    for span in lab.spans:
        assert span.attributes["interaction.id"] == traces[span.trace_id], span


def interaction_of(phone: Phone) -> str:
    return phone.got("INVITE").header("X-Interaction-ID")


def test_the_interaction_travels_to_the_other_leg(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", headers={"X-Interaction-ID": "case-7"})
    assert interaction_of(bob) == "case-7"
    bob.refuses(486)


def test_what_is_too_long_for_a_datagram_gives_way(make_lab: MakeLab) -> None:
    send = (Carrier.TRACEPARENT, Carrier.TRACESTATE, Carrier.X_TRACEPARENT, Carrier.BAGGAGE)
    lab = make_lab(trunks={"bob": trunk("bob", trace=TrunkTrace(send=send))}, streams=False)
    alice, bob = lab.cast("alice", "bob")
    state = f"long={'x' * 150},short=1"
    sizes: list[int] = []
    for padding in range(300, 1000, 10):
        alice.calls("bob", headers={"tracestate": state, "baggage": "k=v", "X-Pad": "p" * padding})
        invite = bob.got("INVITE")
        sizes.append(len(invite.data))
        assert invite.trace_id == alice.trace_id
        if not invite.header("tracestate"):
            assert not invite.header("x-traceparent")
        if not invite.header("x-traceparent"):
            assert not invite.header("baggage")
        bob.refuses(486)
        lab.run(40.0)
    bare = len(invite.data) - len(f"traceparent: {OTHER}\r\n")
    assert max(size for size in sizes if size - 70 < 1300 - 70) <= 1300
    assert max(size for size in sizes if size <= 1300) > 1250
    assert bare > 1000
    assert lab.count("trace_dropped") > 0


def test_early_requests_carry_the_attempts_context(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    bob.progresses(183, body=ANSWER, reliable=True)
    alice.updates(OFFER)
    bob.updates(OFFER)
    assert bob.got("UPDATE").header("traceparent") == bob.got("INVITE").header("traceparent")
    assert alice.got("UPDATE").trace_id == alice.trace_id
    bob.answers()


def test_an_unsampled_call_is_carried_and_leaves_no_span(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", headers={"traceparent": f"00-{alice.trace_id}-{alice.span_id}-00"})
    bob.answers()
    alice.hangs_up()
    assert bob.got("INVITE").trace_id == bob.got("BYE").trace_id == alice.trace_id
    assert bob.got("INVITE").header("traceparent").endswith("-00")
    assert not lab.spans
