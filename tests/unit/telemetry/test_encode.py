"""Our encoding of spans says exactly what the official encoder says of the same spans."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from sipproxy.telemetry.attributes import Value
from sipproxy.telemetry.encode import encode_span
from sipproxy.telemetry.record import CLIENT, INTERNAL, MOST_EVENTS, PARENT_IS_REMOTE, SERVER, SpanRecord
from sipproxy.telemetry.resource import envelope_of, resource_of
from sipproxy.telemetry.settings import TracingSettings
from tests.unit.telemetry.facts import SENDER
from tests.unit.telemetry.official import readable
from tests.unit.telemetry.sinks import a_call
from tests.unit.telemetry.telling import Telling
from tests.unit.telemetry.transfers import talking

RESOURCE = Resource({"service.name": "sipproxy", "list": ["a", "b"]}, "https://opentelemetry.io/schemas/1.0")
SCOPE = InstrumentationScope("sipproxy", "0.1.0")

TEXT = st.text(st.characters(codec="utf-8"))
IDS = st.integers(1, 2**64 - 1).map("{:016x}".format)
TRACE_IDS = st.integers(1, 2**128 - 1).map("{:032x}".format)
NANOSECONDS = st.integers(0, 2**64 - 1)
VALUES: st.SearchStrategy[Value] = (
    TEXT | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.integers(-200, 70000) | st.floats()
)
ATTRIBUTES = st.dictionaries(st.sampled_from(["", "sip.trunk", "sip.cseq"]) | TEXT, VALUES, max_size=8)
TRACESTATES = st.dictionaries(
    st.from_regex(r"\A[a-z][a-z0-9_*/-]{0,9}\Z"), st.from_regex(r"\A[!-+\--<>-~]{1,9}\Z"), max_size=32
).map(lambda members: ",".join(f"{key}={value}" for key, value in members.items()))

RECORDS = st.builds(
    SpanRecord,
    trace_id=TRACE_IDS,
    span_id=IDS,
    parent_id=st.just("") | IDS,
    flags=st.integers(0, 0xFF) | st.integers(0, 0xFF).map(lambda flags: flags | PARENT_IS_REMOTE),
    tracestate=TRACESTATES,
    name=TEXT,
    kind=st.sampled_from([INTERNAL, SERVER, CLIENT]),
    start_ns=NANOSECONDS,
    end_ns=NANOSECONDS,
    failed=st.booleans(),
    attributes=ATTRIBUTES,
    events=st.lists(st.tuples(TEXT, NANOSECONDS, st.none() | ATTRIBUTES), max_size=4).map(tuple),
    dropped_events=st.integers(0, 2**32 - 1),
    links=st.lists(st.tuples(TRACE_IDS, IDS, st.integers(0, 0xFF)), max_size=3).map(tuple),
)


def ours(records: Sequence[SpanRecord], resource: Resource = RESOURCE) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    request.ParseFromString(envelope_of(resource, SCOPE).around(map(encode_span, records)))
    return request


def theirs(records: Sequence[SpanRecord], resource: Resource = RESOURCE) -> ExportTraceServiceRequest:
    return encode_spans([readable(record, resource, SCOPE) for record in records])


def only_span(records: Sequence[SpanRecord]) -> Span:
    span: Span
    (span,) = ours(records).resource_spans[0].scope_spans[0].spans
    return span


def assert_same(records: Sequence[SpanRecord], resource: Resource = RESOURCE) -> None:
    """As messages, to see what differs; then as bytes, where NaN equals itself and -0.0 is not 0.0."""
    mine, official = ours(records, resource), theirs(records, resource)
    if mine.SerializeToString(deterministic=True) != official.SerializeToString(deterministic=True):
        assert str(mine) == str(official)
        pytest.fail("the bytes differ in what the text does not show")


@given(st.lists(RECORDS, min_size=1, max_size=3))
def test_it_equals_the_official_encoding(records: list[SpanRecord]) -> None:
    assert_same(records)


def test_a_call_equals_the_official_encoding() -> None:
    assert_same(a_call())
    assert_same(a_call(), resource_of(TracingSettings(), "0.1.0", "eu-west-2", "boot-1"))


def test_a_transferred_call_equals_the_official_encoding() -> None:
    tell = Telling()
    transfer = talking(tell)
    tell(transfer.begins(link=SENDER), *transfer.tells("accepted"), transfer.calls_target())
    tell(transfer.ends("failed", status=488), *transfer.reaches_target(), *transfer.call.hangs_up())
    assert_same(tell.spans)


def span_with(**changes: object) -> SpanRecord:
    return a_call()[0]._replace(**changes)  # type: ignore[arg-type]  # each test names its own


def test_as_many_events_as_fit() -> None:
    events = tuple((f"event {n}", n, {"sip.retransmissions": n}) for n in range(MOST_EVENTS))
    assert_same([span_with(events=events, dropped_events=73)])


def test_more_spans_than_a_batch_has() -> None:
    assert_same([span_with(span_id=f"{n:016x}", attributes={"sip.cseq": n}) for n in range(1, 3000)])


@pytest.mark.parametrize("size", [0, 1, 127, 128, 4095, 4096, 70_000, 3_000_000])
def test_lengths_of_all_sizes(size: int) -> None:
    assert_same([span_with(attributes={"sip.trunk": "x" * size})])


@pytest.mark.parametrize("values", [(1, True, 1.0), (True, 1.0, 1), (0.0, -0.0, False, 0), ("1", 1)])
def test_equal_values_of_different_types_are_not_confused(values: tuple[Value, ...]) -> None:
    assert_same([span_with(attributes={"sip.cseq": value}) for value in values])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2**63 - 1, -(2**63), -1])
def test_numbers_at_the_edge(value: float) -> None:
    assert_same([span_with(attributes={"sip.cseq": value})])


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**200])
def test_an_integer_that_does_not_fit_is_left_out(value: int) -> None:
    records = [span_with(attributes={"sip.cseq": value, "sip.leg": "caller"})]
    (attribute,) = only_span(records).attributes
    assert attribute.key == "sip.leg"


def test_text_that_is_no_unicode_costs_no_batch() -> None:
    records = [span_with(name="\udce9", attributes={"sip.trunk": "caf\udce9"})]
    span = only_span(records)
    assert (span.name, span.attributes[0].value.string_value) == ("?", "caf?")
