"""RFC 8497: a call that carries `logme` is recorded, and kept, where somebody says so whose word counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sipproxy.b2bua.events import RequestArrived
from sipproxy.propagation.context import TraceContext
from sipproxy.propagation.settings import Accept, TrunkTrace
from sipproxy.telemetry.record import FORCED

from .lab import HOSTS, Lab, route, trunk
from .phone import Phone
from .seen import Seen
from .transfers import MODES, one_story, together

MakeLab = Callable[..., Lab]
UUID = "ab30317f1a784dc48ff824d0d3715d86"
LOGME = {"Session-ID": f"{UUID};remote={'0' * 32};logme"}
PLAIN = {"Session-ID": f"{UUID};remote={'0' * 32}"}


def never(trace_id: str, parent: TraceContext | None) -> bool:
    return False


def unsampled(phone: Phone) -> dict[str, str]:
    """Whoever called the phone does not want to know."""
    return {"traceparent": f"00-{phone.trace_id}-{phone.span_id}-00"}


def sampled(phone: Phone) -> bool:
    """What the phone's INVITE says."""
    return flags_of(phone.got("INVITE")) & 1 == 1


def flags_of(seen: Seen) -> int:
    return int(seen.header("traceparent")[-2:], 16)


@pytest.fixture
def quiet(make_lab: MakeLab) -> Lab:
    """A lab whose sampler wants nothing."""
    lab = make_lab(sample=never)
    lab.cast("alice", "bob")
    return lab


def test_a_call_that_nobody_marked_is_as_the_sampler_says(quiet: Lab) -> None:
    alice, bob = quiet.phones.values()
    alice.calls("bob", headers=PLAIN)
    bob.answers()
    assert not sampled(bob)
    assert quiet.spans == []


def test_a_call_that_is_marked_is_recorded_and_kept(quiet: Lab) -> None:
    alice, bob = quiet.phones.values()
    alice.calls("bob", headers=LOGME)
    bob.answers()
    alice.hangs_up()
    assert sampled(bob)
    assert len(quiet.spans) == 5
    assert all(span.flags & FORCED and span.flags & 1 for span in quiet.spans)
    assert bob.got("INVITE").header("Session-ID") == LOGME["Session-ID"]
    assert all(span.attributes["session.id"] == UUID for span in quiet.spans)


def test_also_when_it_begins_here(quiet: Lab) -> None:
    alice, bob = quiet.phones.values()
    alice.traced = False
    alice.calls("bob", headers=LOGME)
    assert sampled(bob)
    bob.refuses(486)


def test_also_when_its_parent_is_not(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", headers={**LOGME, **unsampled(alice)})
    bob.answers()
    assert (sampled(bob), bob.got("INVITE").trace_id) == (True, alice.trace_id)
    (arrived,) = lab.facts_of(RequestArrived)
    assert (arrived.logged, arrived.origin.decision) == (True, "adopted")


def test_a_call_that_is_sampled_anyway_is_kept_too(lab: Lab) -> None:
    """Tail sampling would drop it, if it does not see that."""
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", headers=LOGME)
    bob.refuses(486)
    assert lab.spans
    assert all(span.flags & FORCED for span in lab.spans)
    alice.calls("bob", headers=PLAIN)
    bob.refuses(486)
    assert any(not span.flags & FORCED for span in lab.spans)


def test_a_message_outside_a_dialog_may_be_marked(quiet: Lab) -> None:
    alice, bob = quiet.phones.values()
    alice.asks("MESSAGE", "bob", LOGME)
    assert flags_of(bob.got("MESSAGE")) & 1
    assert [span.name for span in quiet.spans].count("MESSAGE") == 2


def test_a_marker_inside_the_dialog_comes_too_late(quiet: Lab) -> None:
    alice, bob = quiet.phones.values()
    alice.calls("bob", headers=PLAIN)
    bob.answers()
    alice.reinvites(headers=LOGME)
    assert quiet.spans == []


@pytest.mark.parametrize("accept", [Accept.LINK, Accept.IGNORE])
def test_whose_context_does_not_count_has_no_say_in_this(make_lab: MakeLab, accept: Accept) -> None:
    """Else anybody could fill the trace store."""
    lab = make_lab(sample=never, trunks={"alice": trunk("alice", trace=TrunkTrace(accept=accept))})
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", headers=LOGME)
    assert not sampled(bob)
    bob.refuses(486)
    assert lab.spans == []


def test_nor_has_a_stranger(make_lab: MakeLab) -> None:
    lab = make_lab(sample=never, routes=[route("bob", user="^bob$")])
    bob, mallory = lab.phone("bob"), lab.phone("mallory", at="198.51.100.9")
    mallory.calls("bob", headers=LOGME)
    assert not sampled(bob)
    bob.refuses(486)
    assert lab.spans == []


@pytest.mark.parametrize("mode", MODES)
def test_the_call_that_a_transfer_makes_of_it_is_recorded(make_lab: MakeLab, mode: str) -> None:
    lab = make_lab(trunks={name: trunk(name, refer=mode) for name in HOSTS})
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    alice.calls("bob", headers={**LOGME, **unsampled(alice)})
    bob.answers()
    bob.refers(alice, to=carol)
    carol.answers()
    assert together(alice, carol)
    assert sampled(carol)
    one_story(lab, traces=1)
