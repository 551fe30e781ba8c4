"""One customer, many transfers: how long they stay one trace, and what they hand on."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.events import TransferEnded
from sipproxy.propagation.settings import PropagationSettings

from .lab import Lab, trunk
from .phone import Phone
from .transfers import (
    MODES,
    MakeLab,
    hang_up,
    one_story,
    previous,
    together,
    transfers,
)


def office(make_lab: MakeLab, modes: list[str], **limits: float) -> tuple[Lab, Phone, list[Phone]]:
    """Alice, who talks to the first of three agents."""
    names = ("alice", "bob", "carol", "dave")
    settings = PropagationSettings(**limits)  # type: ignore[arg-type]
    trunks = {name: trunk(name, refer=mode) for name, mode in zip(names, modes, strict=True)}
    lab = make_lab(trunks=trunks, propagation=settings)
    alice, *agents = lab.cast(*names)
    alice.calls("bob", headers={"X-Interaction-ID": "case-7"})
    agents[0].answers()
    return lab, alice, agents


def passes_on(alice: Phone, here: Phone, there: Phone, *, attended: bool = False) -> None:
    """One more transfer."""
    if attended:
        here.holds(alice)
        here.calls(there.name, headers={"X-Interaction-ID": "case-7"})
        there.answers()
    here.refers(alice, to=there, replaces=there if attended else None)
    if not attended:
        there.answers()
    assert together(alice, there), alice.lab.ladder()


@pytest.mark.parametrize("mode", [*MODES, "mixed"])
@pytest.mark.parametrize("attended", [False, True], ids=["blind", "attended"])
def test_five_transfers_of_one_customer(make_lab: MakeLab, mode: str, attended: bool) -> None:
    """They stay one trace: a consultation has its own, and is linked."""
    modes = ["relay", "local", "relay", "local"] if mode == "mixed" else [mode] * 4
    lab, alice, agents = office(make_lab, modes)
    if mode == "mixed":
        alice.allow = "INVITE, ACK, CANCEL, BYE, NOTIFY"
    for number in range(5):
        here, there = agents[number % 3], agents[(number + 1) % 3]
        passes_on(alice, here, there, attended=attended)
        assert {agent.name for agent in agents if agent.hearing} == {there.name}
        assert lab.engine.calls == 1
    last = agents[5 % 3]
    hang_up(alice, last)
    assert last.got("BYE").trace_id == alice.trace_id
    done = transfers(lab)
    assert [span.attributes["sip.transfer.outcome"] for span in done] == ["completed"] * 5
    assert {span.trace_id for span in done} == {alice.trace_id}
    one_story(lab, traces=0 if attended else 1)
    for span in lab.spans:
        assert span.attributes["interaction.id"] == "case-7", span


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("limit", ["number", "time"])
def test_a_long_chain_begins_a_new_trace(make_lab: MakeLab, mode: str, limit: str) -> None:
    limits = {"max_transfers": 2} if limit == "number" else {"max_duration_s": 100.0}
    lab, alice, agents = office(make_lab, [mode] * 4, **limits)
    bob, carol, dave = agents
    passes_on(alice, bob, carol)
    assert carol.got("INVITE").trace_id == alice.trace_id
    if limit == "number":
        passes_on(alice, carol, dave)
        assert dave.got("INVITE").trace_id == alice.trace_id
        here, there = dave, bob
    else:
        lab.run(101.0)
        here, there = carol, dave
    passes_on(alice, here, there)
    invite = there.got("INVITE")
    assert invite.trace_id not in ("", alice.trace_id)
    assert invite.header("previous-trace-id") == previous(lab)
    assert there.got("ACK").trace_id == invite.trace_id
    passes_on(alice, there, agents[(agents.index(there) + 1) % 3])  # and goes on in the new one
    one_story(lab, traces=2)
    last = sorted(lab.spans, key=lambda span: span.start_ns)
    old = {span.span_id for span in last if span.trace_id == alice.trace_id}
    new = {span.span_id for span in last if span.trace_id == invite.trace_id}
    assert any(link[1] in new for span in last if span.span_id in old for link in span.links)
    assert any(link[1] in old for span in last if span.span_id in new for link in span.links)
    assert {span.trace_id for span in transfers(lab)} == {alice.trace_id, invite.trace_id}
    assert len([span for span in last if span.span_id in new and not span.parent_id]) == 1
    for span in lab.spans:
        assert span.attributes["interaction.id"] == "case-7", span


@pytest.mark.parametrize("mode", MODES)
def test_the_interaction_and_its_baggage_travel_on(make_lab: MakeLab, mode: str) -> None:
    lab, alice, (bob, carol, dave) = office(make_lab, [mode] * 4)
    passes_on(alice, bob, carol)
    passes_on(alice, carol, dave)
    for phone in (bob, carol, dave):
        assert phone.got("INVITE").header("X-Interaction-ID") == "case-7"
    for span in lab.spans:
        assert span.attributes["interaction.id"] == "case-7", span
    one_story(lab, traces=1)


@pytest.mark.parametrize("mode", MODES)
def test_an_unsampled_call_is_transferred_and_leaves_no_span(make_lab: MakeLab, mode: str) -> None:
    trunks = {name: trunk(name, refer=mode) for name in ("alice", "bob", "carol")}
    lab = make_lab(trunks=trunks)
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    alice.calls("bob", headers={"traceparent": f"00-{alice.trace_id}-{alice.span_id}-00"})
    bob.answers()
    bob.refers(alice, to=carol)
    carol.answers()
    assert together(alice, carol)
    assert carol.got("INVITE").trace_id == alice.trace_id
    assert carol.got("INVITE").header("traceparent").endswith("-00")
    lab.finish()
    assert not lab.spans
    assert [fact.outcome for fact in lab.facts_of(TransferEnded)] == ["completed"]  # for whoever counts


@pytest.mark.parametrize("mode", MODES)
def test_a_customers_transfers_do_not_mix_with_anothers(make_lab: MakeLab, mode: str) -> None:
    """Two calls between the same two trunks, transferred at the same moment."""
    trunks = {name: trunk(name, refer=mode) for name in ("alice", "bob", "carol", "dave")}
    lab = make_lab(trunks=trunks)
    alice, bob, carol, dave = lab.cast("alice", "bob", "carol", "dave")
    twin = lab.phone("twin", at="192.0.2.1", port=5070)
    twin.traced = alice.traced = True
    alice.calls("bob", headers={"X-Interaction-ID": "first"})
    bob.answers()
    twin.calls("bob", headers={"X-Interaction-ID": "second"})
    bob.answers()
    with lab.at_once():
        bob.refers(alice, to=carol)
        bob.refers(twin, to=dave)
    carol.answers()
    dave.answers()
    assert together(alice, carol)
    assert together(twin, dave)
    assert carol.got("INVITE").trace_id == alice.trace_id
    assert dave.got("INVITE").trace_id == twin.trace_id
    lab.finish()
    names = {alice.trace_id: "first", twin.trace_id: "second"}
    for span in lab.spans:
        assert span.attributes["interaction.id"] == names[span.trace_id], span
