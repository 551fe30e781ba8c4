"""The trace context that an application goes on with: for desktops and bots that cannot see SIP headers.

    a leg's Call-ID                       that leg's dialog; while it rings, its INVITE
    trace-id, interaction id, root id     the callee's dialog, of several the latest; while it rings the
                                          INVITE to the trunk that is tried; before that the caller's INVITE

Nothing is told of a call that is over: there is nothing left to go on with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..propagation.context import TraceContext
from ..store.live import LiveCalls
from ..store.summary import CallSummary
from ..telemetry.record import CLIENT, SpanRecord
from .shapes import Json

_CALLEE = "callee"
_DIALOG, _INVITE = "dialog", "INVITE"


def context_of(live: LiveCalls, keys: Callable[[str], int], ident: str) -> Json | None:
    """The context as JSON; None where nothing of that id is open."""
    key = keys(ident)
    for call in reversed(live.by_id(ident)):  # the latest first
        spans = live.open_spans(call.root_id)
        legs = [span for span in spans if key == span.call_key or span.attributes.get("sip.call_id") == ident]
        span = _latest(legs, _DIALOG) or _latest(legs, _INVITE) if legs else _callee(spans)
        if span is not None:
            return _shape(call, span)
    return None


def _callee(spans: Sequence[SpanRecord]) -> SpanRecord | None:
    theirs = [span for span in spans if span.attributes.get("sip.leg") == _CALLEE]
    attempts = [span for span in spans if span.kind == CLIENT]
    return _latest(theirs, _DIALOG) or _latest(attempts, _INVITE) or _latest(spans, _INVITE)


def _latest(spans: Sequence[SpanRecord], name: str) -> SpanRecord | None:
    named = [span for span in spans if span.name == name]
    return max(named, key=lambda span: span.start_ns, default=None)


def _shape(call: CallSummary, span: SpanRecord) -> Json:
    context = TraceContext(span.trace_id, span.span_id, span.flags & 0xFF, span.tracestate)
    return {
        "traceparent": context.traceparent(),
        "tracestate": context.tracestate,
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "interaction_id": call.interaction_id,
        "call_id": str(span.attributes.get("sip.call_id", "")),
        "leg": str(span.attributes.get("sip.leg", "")),
    }
