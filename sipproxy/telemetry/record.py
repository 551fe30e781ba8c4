"""A span: as plain values when it is finished, and as what is gathered until then."""

from __future__ import annotations

import marshal
from collections.abc import Iterable
from typing import NamedTuple

from ..propagation.context import TraceContext
from ..sip.flow import UDP, Flow
from .attributes import Attributes, Place, permitted

INTERNAL, SERVER, CLIENT = "INTERNAL", "SERVER", "CLIENT"
PARENT_IS_REMOTE = 0x200  # as in OTLP's Span.flags
MOST_EVENTS = MOST_LINKS = 128  # what the SDK takes

Link = tuple[str, str, int]  # trace-id, span-id, flags
Event = tuple[str, int, Attributes | None]  # name, when in ns, attributes


class SpanRecord(NamedTuple):
    """A finished span, of plain values alone. Ids are hex; `parent_id` is "" on the first span of a trace."""

    trace_id: str
    span_id: str
    parent_id: str
    flags: int  # W3C's, and PARENT_IS_REMOTE
    tracestate: str
    name: str
    kind: str  # INTERNAL, SERVER, CLIENT
    start_ns: int  # since 1970
    end_ns: int
    failed: bool
    attributes: Attributes
    events: tuple[Event, ...]
    dropped_events: int
    links: tuple[Link, ...]


def pack(records: Iterable[SpanRecord]) -> bytes:
    """Records for a pipe to a process of the same Python."""
    return marshal.dumps([tuple(record) for record in records])


def unpack(data: bytes) -> list[SpanRecord]:
    """What `pack` packed."""
    return [SpanRecord._make(values) for values in marshal.loads(data)]


class OpenCall:
    """What the spans of a call share."""

    __slots__ = ("attempted", "common", "open")

    def __init__(self, common: Attributes | None) -> None:
        self.common = common
        self.attempted = False
        self.open: list[OpenSpan] = []


class OpenSpan:
    """A span that has not ended, or still waits for its ACK."""

    __slots__ = (
        "attributes",
        "began_at",
        "call",
        "context",
        "dropped",
        "ended_at",
        "events",
        "failed",
        "flow",
        "kind",
        "links",
        "name",
        "parent_id",
        "place",
    )

    def __init__(
        self,
        call: OpenCall,
        context: TraceContext,
        parent_id: str,
        place: Place,
        name: str,
        kind: str,
        began_at: float,
        flow: Flow | None,
        attributes: Attributes,
    ) -> None:
        self.call = call
        self.context = context
        self.parent_id = parent_id
        self.place = place
        self.name = name
        self.kind = kind
        self.began_at = began_at
        self.flow = flow
        self.attributes = attributes
        self.ended_at: float | None = None
        self.failed = False
        self.events: list[tuple[str, float, Attributes | None]] | None = None
        self.dropped = 0
        self.links: tuple[Link, ...] = ()

    def tell(self, name: str, at: float, attributes: Attributes | None = None) -> None:
        """Add an event; where there is no room, in place of the last one: how a call ended matters."""
        if self.events is None:
            self.events = [(name, at, attributes)]
        elif len(self.events) < MOST_EVENTS:
            self.events.append((name, at, attributes))
        else:
            self.events[-1] = (name, at, attributes)
            self.dropped += 1

    def link(self, context: TraceContext) -> None:
        """Add a link, unless it is there, or there is no room: the first say where the span comes from."""
        links, trace_id, span_id = self.links, context.trace_id, context.span_id
        if len(links) >= MOST_LINKS:
            return
        for known_trace_id, known_span_id, _ in links:
            if known_span_id == span_id and known_trace_id == trace_id:
                return
        self.links = (*links, (trace_id, span_id, context.flags))

    def record(self, offset_ns: int) -> SpanRecord:
        """The finished self. `offset_ns` is what the core's clock is behind 1970."""
        context, attributes, flow = self.context, self.attributes, self.flow
        if flow is not None:
            attributes["network.transport"] = "udp" if flow.transport == UDP else "tcp"
            attributes["network.peer.address"] = flow.host
            attributes["network.peer.port"] = flow.port
        if self.call.common is not None:
            attributes.update(self.call.common)
        events: tuple[Event, ...] = ()
        if self.events is not None:
            events = tuple([(name, int(at * 1e9) + offset_ns, more) for name, at, more in self.events])
        adopted = attributes.get("sip.trace.decision") == "adopted"
        start_ns = int(self.began_at * 1e9) + offset_ns
        end_ns = start_ns if self.ended_at is None else int(self.ended_at * 1e9) + offset_ns
        return SpanRecord(
            context.trace_id,
            context.span_id,
            self.parent_id,
            context.flags | PARENT_IS_REMOTE if adopted else context.flags,
            context.tracestate,
            self.name,
            self.kind,
            start_ns,
            max(start_ns, end_ns),
            self.failed,
            permitted(self.place, attributes),
            events,
            self.dropped,
            self.links,
        )
