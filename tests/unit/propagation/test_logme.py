"""RFC 8497: who marks a call with `logme` wants it recorded, whatever the sampler says of it."""

from __future__ import annotations

from random import Random

import pytest

from sipproxy.propagation.carriers import Found
from sipproxy.propagation.context import TraceContext
from sipproxy.propagation.correlation import Origin, Sampler, begin, is_logged, uuids
from sipproxy.propagation.settings import Accept
from sipproxy.sip.ids import Ids

UUID, OTHER = "ab30317f1a784dc48ff824d0d3715d86", "47755a9de7794ba387653f2099600ef2"
UNSAMPLED = TraceContext("4bf92f3577f34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 0, "vendor=1")
NOTHING = Found(None, "none", None, None, "")


def never(trace_id: str, parent: TraceContext | None) -> bool:
    return False


def always(trace_id: str, parent: TraceContext | None) -> bool:
    return True


@pytest.mark.parametrize(
    "value",
    [
        f"{UUID};logme",
        f"{UUID};remote={OTHER};logme",
        f"{UUID};logme;remote={OTHER}",
        f"{UUID} ; remote={OTHER} ; LogMe ",
        f"{UUID};remote={OTHER};other=1;logme",
    ],
)
def test_the_marker(value: str) -> None:
    assert is_logged(value)
    assert UUID in uuids(value)  # it does not hide whose Session-ID it is


@pytest.mark.parametrize(
    "value",
    [
        *("", "logme", "logme;", UUID, f"{UUID};remote={OTHER}", f"{UUID};remote=logme", f"{UUID};xlogme"),
        *(f"{UUID};logme=no", f"{UUID};logmenot", f"{UUID} logme", f"{UUID};remote={OTHER}logme"),
    ],
)
def test_what_is_no_marker(value: str) -> None:
    assert not is_logged(value)


def begun(found: Found, *, sample: Sampler, forced: bool, known: TraceContext | None = None) -> Origin:
    recovered = None if known is None else (known, "session-id")
    ids = Ids(Random(1).randbytes)
    return begin(found, Accept.ADOPT, ids=ids, sample=sample, known=recovered, forced=forced)


@pytest.mark.parametrize("sample", [always, never])
@pytest.mark.parametrize("forced", [True, False])
def test_a_new_trace(sample: Sampler, forced: bool) -> None:
    origin = begun(NOTHING, sample=sample, forced=forced)
    assert origin.root.sampled == (forced or sample is always)


@pytest.mark.parametrize("sample", [always, never])
@pytest.mark.parametrize("forced", [True, False])
@pytest.mark.parametrize("decision", ["adopted", "recovered"])
def test_a_trace_that_goes_on(sample: Sampler, forced: bool, decision: str) -> None:
    """Whoever began it did not want it; nothing but the flag differs from what it would be else."""
    adopts = decision == "adopted"
    found = Found(UNSAMPLED, "traceparent", None, None, "") if adopts else NOTHING
    origin = begun(found, sample=sample, forced=forced, known=None if adopts else UNSAMPLED)
    assert origin.root.sampled == (forced or sample is always)
    assert (origin.root.trace_id, origin.root.tracestate) == (UNSAMPLED.trace_id, UNSAMPLED.tracestate)
    assert (origin.decision, origin.parent) == (decision, UNSAMPLED)


def test_a_linked_trace_is_a_new_one() -> None:
    ids = Ids(Random(1).randbytes)
    found = Found(UNSAMPLED, "traceparent", None, None, "")
    origin = begin(found, Accept.LINK, ids=ids, sample=never, forced=True)
    assert (origin.root.sampled, origin.decision, origin.links) == (True, "linked", [UNSAMPLED])
