"""What OpenTelemetry's own classes make of a span record, for tests that compare."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from sipproxy.telemetry.record import MOST_EVENTS, PARENT_IS_REMOTE, SpanRecord

_KINDS = {kind.name: kind for kind in SpanKind}
_FINE, _FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)


def readable(record: SpanRecord, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    """A record as the SDK's span, for the official encoder."""
    trace_id, flags = int(record.trace_id, 16), TraceFlags(record.flags & 0xFF)
    state = TraceState.from_header([record.tracestate]) if record.tracestate else None
    parent = None
    if record.parent_id:
        remote = bool(record.flags & PARENT_IS_REMOTE)
        parent = SpanContext(trace_id, int(record.parent_id, 16), remote, flags, state)
    events: Sequence[Event] = [Event(name, more, at) for name, at, more in record.events]
    if record.dropped_events:
        events = BoundedList.from_seq(MOST_EVENTS, events)
        events.dropped = record.dropped_events
    return ReadableSpan(
        name=record.name,
        context=SpanContext(trace_id, int(record.span_id, 16), False, flags, state),
        parent=parent,
        resource=resource,
        attributes=record.attributes,
        events=events,
        links=[_link(*link) for link in record.links],
        kind=_KINDS[record.kind],
        status=_FAILED if record.failed else _FINE,
        start_time=record.start_ns,
        end_time=record.end_ns,
        instrumentation_scope=scope,
    )


def _link(trace_id: str, span_id: str, flags: int) -> Link:
    return Link(SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(flags)))
