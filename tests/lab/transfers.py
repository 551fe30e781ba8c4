"""What stories about transfers share: in each Bob, who talks to Alice, sends her to Carol.

lab, alice, bob, carol = cast(make_lab, "relay", by="callee")
bob.refers(alice, to=carol)
carol.answers()
assert together(alice, carol)
assert outcome(lab) == ("completed", "answered", "")
one_story(lab)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from sipproxy.b2bua.events import Counted, RequestArrived, TransferBegan
from sipproxy.telemetry.record import SpanRecord

from .core import HOSTS, trunk
from .lab import Lab
from .phone import Phone
from .seen import address

MakeLab = Callable[..., Lab]
MODES, SIDES, KINDS = ("relay", "local"), ("caller", "callee"), ("blind", "attended")


def cast(make_lab: MakeLab, mode: str | None, *, by: str, **settings: Any) -> tuple[Lab, Phone, Phone, Phone]:
    """A lab where Alice and Bob talk; Bob, who transfers, called her or was called."""
    trunks = {name: trunk(name, refer=mode) for name in HOSTS} | settings.pop("trunks", {})
    lab = make_lab(trunks=trunks, **settings)
    alice, bob = lab.cast("alice", "bob")
    carol = lab.phone("carol", at=HOSTS["carol"])
    lab.talking(*(("bob", "alice") if by == "caller" else ("alice", "bob")))
    return lab, alice, bob, carol


def consults(bob: Phone, alice: Phone, carol: Phone) -> None:
    """Bob puts Alice on hold, and asks Carol first, in a call whose trace begins with us."""
    assert bob.holds(alice).answered == 200
    bob.calls(carol.name, headers={"traceparent": ""})
    carol.answers()
    assert together(bob, carol)


def together(one: Phone, other: Phone) -> bool:
    """Whether both hear each other, and nobody else."""
    return one.hearing == {other.name} and other.hearing == {one.name}


def still_talking(one: Phone, other: Phone) -> None:
    """Two can still talk: an offer from either side is answered, and both hear each other in the end."""
    for asker, asked in ((one, other), (other, one)):
        assert asker.holds(asked).answered == 200, asker.lab.ladder()
        assert not asker.hears(asked)
        assert asker.resumes(asked).answered == 200
        assert asker.hears(asked)
        assert asked.hears(asker)


def hang_up(one: Phone, other: Phone) -> None:
    """The call of two ends, for both."""
    usage = one.call_with(other)
    usage.hang_up()
    one.lab.settle()
    assert usage.over
    assert not one.hears(other)
    assert not other.hears(one)


# What was told


def transfers(lab: Lab) -> list[SpanRecord]:
    """The transfer spans that are finished, oldest first."""
    return sorted((span for span in lab.spans if span.name == "transfer"), key=lambda span: span.start_ns)


def outcome(lab: Lab) -> tuple[str, str, str]:
    """Outcome, stage and source of the newest transfer."""
    assert transfers(lab), f"no transfer has ended\n{lab.ladder()}"
    attributes = transfers(lab)[-1].attributes
    names = ("sip.transfer.outcome", "sip.transfer.stage", "sip.transfer.outcome_source")
    found = [str(attributes.get(name, "")) for name in names]
    return found[0], found[1], found[2]


def carriers_seen(lab: Lab) -> set[str]:
    """Which of the carriers came back."""
    return {fact.which for fact in lab.facts_of(Counted) if fact.what == "refer_carriers"}


def refer_to(phone: Phone) -> tuple[str, dict[str, str]]:
    """The URI that a REFER names, and the headers behind it, as they stand there."""
    uri, _, headers = address(phone.got("REFER").header("Refer-To")).partition("?")
    pairs = [pair.partition("=") for pair in headers.split("&") if pair]
    return uri, {name: value for name, _, value in pairs}


def caused(lab: Lab) -> RequestArrived:
    """The INVITE that a transfer caused, as it came to us."""
    return lab.facts_of(RequestArrived)[-1]


def previous(lab: Lab) -> str:
    """What `previous-trace-id` says of what the newest transfer causes."""
    context = lab.facts_of(TransferBegan)[-1].context
    return f"{context.trace_id};span={context.span_id}"


def unreached(lab: Lab) -> list[SpanRecord]:
    """The spans that do not hang together with the first root, by parent or by link."""
    edges: dict[str, set[str]] = defaultdict(set)
    for span in lab.spans:
        for other in (span.parent_id, *(link[1] for link in span.links)):
            edges[span.span_id].add(other)
            edges[other].add(span.span_id)
    reached: set[str] = set()
    next_ones = {lab.facts_of(RequestArrived)[0].root.span_id}
    while next_ones:
        reached |= next_ones
        next_ones = {other for span_id in next_ones for other in edges[span_id]} - reached
    return [span for span in lab.spans if span.span_id not in reached]


def one_story(lab: Lab, *, traces: int = 0) -> None:
    """Everybody hangs up; then every span is reached from the first one, in so many traces."""
    lab.finish()
    left = unreached(lab)
    assert not left, [f"{span.name} {span.kind} {span.trace_id} {span.span_id}" for span in left]
    if traces:
        assert len({span.trace_id for span in lab.spans}) == traces


def child_of(lab: Lab, span_id: str, name: str = "INVITE") -> list[SpanRecord]:
    """The spans of a name under a span."""
    return [span for span in lab.spans if span.parent_id == span_id and span.name == name]
