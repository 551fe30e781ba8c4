"""A span: as plain values when it is finished, and as what is gathered until then."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..propagation.context import TraceContext
from ..sip.flow import UDP, Flow
from .attributes import Attributes, Place, permitted

INTERNAL, SERVER, CLIENT = "INTERNAL", "SERVER", "CLIENT"
PARENT_IS_REMOTE = 0x200  # as in OTLP's Span.flags
FORCED = 0x400  # ours: whatever tail sampling says, the call is kept (RFC 8497's logme)
MOST_EVENTS = MOST_LINKS = 128  # what the SDK takes

Link = tuple[str, str, int]  # trace-id, span-id, flags
Event = tuple[str, int, Attributes | None]  # name, when in ns, attributes


class SpanRecord(NamedTuple):
    """A span, of plain values alone. Ids are hex; `parent_id` is "" on the first span of a trace.

    `root_id` and `call_key` are for us alone: they tell whose call it is, and by which messages.
    """

    trace_id: str
    span_id: str
    parent_id: str
    flags: int  # W3C's, PARENT_IS_REMOTE, FORCED
    tracestate: str
    name: str
    kind: str  # INTERNAL, SERVER, CLIENT
    start_ns: int  # since 1970
    end_ns: int  # 0: it has not ended yet
    failed: bool
    attributes: Attributes
    events: tuple[Event, ...]
    dropped_events: int
    links: tuple[Link, ...]
    root_id: str = ""  # span id of the first span of the call
    call_key: int = 0  # of the leg's Call-ID (CallKeys); 0 where it has none


class OpenCall:
    """What the spans of a call share."""

    __slots__ = ("_offset_ns", "attempted", "common", "forced", "mask", "open", "root_id")

    def __init__(
        self,
        common: Attributes | None,
        root_id: str,
        offset_ns: int,
        mask: Callable[[str], str],
        *,
        forced: bool = False,
    ) -> None:
        self.common = common
        self.forced = forced
        self.mask = mask  # for what others wrote into tracestate
        # Of one call, so that its spans keep their order when the clock is set meanwhile.
        self._offset_ns = offset_ns
        self.root_id = root_id
        self.attempted = False
        self.open: list[OpenSpan] = []

    def ns(self, at: float) -> int:
        """A moment on the core's clock, as nanoseconds since 1970."""
        return int(at * 1e9) + self._offset_ns


class OpenSpan:
    """A span that has not ended, or still waits for its ACK."""

    __slots__ = (
        "attributes",
        "began_at",
        "call",
        "call_key",
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
        call_key: int = 0,
    ) -> None:
        self.call = call
        self.call_key = call_key
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

    def record(self) -> SpanRecord:
        """The finished self."""
        ns = self.call.ns
        events: tuple[Event, ...] = ()
        if self.events is not None:
            events = tuple([(name, ns(at), more) for name, at, more in self.events])
        start_ns = ns(self.began_at)
        end_ns = start_ns if self.ended_at is None else ns(self.ended_at)
        return self._row(start_ns, max(start_ns, end_ns), self.attributes, events)

    def opening(self) -> SpanRecord:
        """What is known while it lasts: no events, no end."""
        return self._row(self.call.ns(self.began_at), 0, self.attributes.copy(), ())

    def _row(
        self, start_ns: int, end_ns: int, attributes: Attributes, events: tuple[Event, ...]
    ) -> SpanRecord:
        context, flow, call = self.context, self.flow, self.call
        if flow is not None:
            attributes["network.transport"] = "udp" if flow.transport == UDP else "tcp"
            attributes["network.peer.address"] = flow.host
            attributes["network.peer.port"] = flow.port
        if call.common is not None:
            attributes.update(call.common)
        flags = context.flags | (FORCED if call.forced else 0)
        if attributes.get("sip.trace.decision") == "adopted":
            flags |= PARENT_IS_REMOTE
        return SpanRecord(
            context.trace_id,
            context.span_id,
            self.parent_id,
            flags,
            call.mask(context.tracestate) if context.tracestate else "",
            self.name,
            self.kind,
            start_ns,
            end_ns,
            self.failed,
            permitted(self.place, attributes),
            events,
            self.dropped,
            self.links,
            call.root_id,
            self.call_key,
        )
