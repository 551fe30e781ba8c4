"""Spans as plain objects, read from OTLP requests, and the tree they form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

Plain = str | bool | int | float | bytes
Value = Plain | list["Value"] | dict[str, "Value"] | None
Attributes = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Event:
    """A moment on a span."""

    name: str
    time_ns: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Link:
    """A pointer to a span elsewhere."""

    trace_id: str
    span_id: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Span:
    """One finished span. Ids are lower-case hex, `parent_id` is empty on a root."""

    name: str
    kind: str  # internal, server, client, producer, consumer
    trace_id: str
    span_id: str
    parent_id: str
    attributes: Attributes
    events: tuple[Event, ...]
    links: tuple[Link, ...]
    status: str  # unset, ok, error
    status_message: str
    start_ns: int
    end_ns: int
    trace_state: str
    resource: Attributes

    @property
    def title(self) -> str:
        """Name and kind, as scenario files write them: `INVITE server`."""
        return f"{self.name} {self.kind}"


def read_request(body: bytes) -> list[Span]:
    """All spans of one ExportTraceServiceRequest."""
    request = ExportTraceServiceRequest.FromString(body)
    return [
        _span(span, _attributes(group.resource.attributes))
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def roots(spans: Sequence[Span]) -> list[Span]:
    """Spans whose parent is not among the given ones, in order of their start."""
    known = {(span.trace_id, span.span_id) for span in spans}
    return by_start(span for span in spans if (span.trace_id, span.parent_id) not in known)


def children(spans: Sequence[Span], parent: Span) -> list[Span]:
    """The spans right below `parent`, in order of their start."""
    family = (parent.trace_id, parent.span_id)
    return by_start(span for span in spans if (span.trace_id, span.parent_id) == family)


def by_start(spans: Iterable[Span]) -> list[Span]:
    """The same spans, oldest first."""
    return sorted(spans, key=lambda span: span.start_ns)


def drawn(spans: Sequence[Span]) -> str:
    """The tree as text, for the message of a failed test."""
    lines: list[str] = []

    def draw(span: Span, depth: int) -> None:
        indent = "    " * depth
        events = [event.name for event in span.events]
        lines.append(f"{indent}{span.title}  {span.span_id} status={span.status} {span.attributes}")
        lines.append(f"{indent}  events {events} links {_short(span.links)}")
        for child in children(spans, span):
            draw(child, depth + 1)

    for root in roots(spans):
        lines.append(f"trace {root.trace_id}, parent {root.parent_id or 'none'}")
        draw(root, 1)
    return "\n".join(lines) or "(no spans)"


def _short(links: Iterable[Link]) -> list[str]:
    return [f"{link.trace_id}/{link.span_id}" for link in links]


def _span(span: WireSpan, resource: Attributes) -> Span:
    return Span(
        name=span.name,
        kind=WireSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=_attributes(span.attributes),
        events=tuple(Event(e.name, e.time_unix_nano, _attributes(e.attributes)) for e in span.events),
        links=tuple(Link(x.trace_id.hex(), x.span_id.hex(), _attributes(x.attributes)) for x in span.links),
        status=Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_").lower(),
        status_message=span.status.message,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        trace_state=span.trace_state,
        resource=resource,
    )


def _attributes(rows: Iterable[KeyValue]) -> Attributes:
    return {row.key: _value(row.value) for row in rows}


def _value(value: AnyValue) -> Value:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return dict(_attributes(value.kvlist_value.values))
    if kind is None:
        return None
    plain: Plain = getattr(value, kind)
    return plain
