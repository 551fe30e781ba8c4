"""Buckets, and the spans that stand for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from sipproxy.propagation.context import TraceContext
from sipproxy.telemetry.histogram import Histogram
from tests.unit.telemetry.metered import SINCE_1970, MeteredLab, metered_labs

SRD, SDD, SDT = (
    "sip_session_request_delay_seconds",
    "sip_session_disconnect_delay_seconds",
    "sip_session_duration_seconds",
)
ATTEMPT = "sip_attempt_delay_seconds"


@pytest.fixture
def make_lab() -> Iterator[Callable[..., MeteredLab]]:
    with metered_labs() as make:
        yield make


@pytest.fixture
def lab(make_lab: Callable[..., MeteredLab]) -> MeteredLab:
    return make_lab()


def test_each_bucket_keeps_its_last_sampled_call(lab: MeteredLab) -> None:
    alice, bob = lab.cast("alice", "bob")
    began_at: list[float] = []
    for waits_s in (0.3, 0.4, 4.0):
        began_at.append(lab.now)
        alice.calls("bob")
        lab.run(waits_s)
        bob.refuses(486)
    roots = [span.span_id for span in lab.spans if span.kind == "SERVER"]
    kept = [
        (*ids, round(value, 6), round(at, 3)) for *ids, value, at in lab.exemplars(SRD, "alice", "failure")
    ]
    assert kept == [
        # 0.3 and 0.4 s are both in the bucket from 0.25 to 0.5 s
        (alice.trace_id, roots[1], 0.4, round(SINCE_1970 + began_at[1] + 0.4, 3)),
        (alice.trace_id, roots[2], 4.0, round(SINCE_1970 + began_at[2] + 4.0, 3)),
    ]


def test_an_unsampled_call_counts_and_is_no_exemplar(lab: MeteredLab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", headers={"traceparent": f"00-{alice.trace_id}-{alice.span_id}-00"})
    bob.answers()
    lab.run(5.0)
    alice.hangs_up()
    assert lab.values("sip_calls_total") == {("alice", "answered"): 1}
    for family, labels in ((SRD, ("alice", "success")), (SDT, ("bob", "callee")), (SDD, ("bob", "success"))):
        assert lab.counted(family, *labels)[0] == 1
        assert lab.exemplars(family, *labels) == []


def test_a_bound_belongs_to_its_bucket() -> None:
    span = TraceContext("a" * 32, "b" * 16, 0)
    histogram = Histogram((1.0, 2.0))
    assert histogram.picture(0.0) is None
    for value in (0.0, 1.0, 1.5, 2.0, 2.5, 99.0):
        histogram.observe(value, span, 0.0)
    assert histogram.picture(0.0) == ([2, 2, 2], 106.0, [None, None, None])
