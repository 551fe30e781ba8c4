"""What a span says about its call: when it begins, and when it ends."""

from __future__ import annotations

from ..propagation.context import SAMPLED
from ..telemetry.record import CLIENT, SpanRecord
from .summary import CALLING, RINGING, TALKING, CallSummary, outcome_of

DIALOG, TRANSFER = "dialog", "transfer"  # names of spans
_MOST = 128  # traces, links, trunks, Call-IDs of one call: as many as a span can have links


def learn(summary: CallSummary, record: SpanRecord) -> bool:
    """A span that was not known has begun. True: it brought the call another Call-ID."""
    attributes, is_root = record.attributes, record.span_id == record.root_id
    if record.trace_id not in summary.traces and len(summary.traces) < _MOST:
        summary.traces = (*summary.traces, record.trace_id)
        summary.links = tuple([link for link in summary.links if link != record.trace_id])
    learn_links(summary, record)
    if is_root:
        _learn_root(summary, record)
    if not summary.interaction_id:
        summary.interaction_id = _text(attributes.get("interaction.id"))
    if not summary.session_id:
        summary.session_id = _text(attributes.get("session.id"))
    if is_root or (record.kind == CLIENT and record.name == summary.method):  # the caller's, and each attempt
        trunk = _text(attributes.get("sip.trunk"))
        if trunk and is_root:
            summary.trunks = (trunk, *[name for name in summary.trunks if name != trunk])
        elif trunk and trunk not in summary.trunks and len(summary.trunks) < _MOST:
            summary.trunks = (*summary.trunks, trunk)
    if record.name == DIALOG:
        summary.answered_ns = min(record.start_ns, summary.answered_ns or record.start_ns)
        if summary.state in (CALLING, RINGING):
            summary.state = TALKING
    elif record.name == TRANSFER:
        summary.transfers += 1
        summary.transferred = True
    key = record.call_key
    if not key or key in summary.call_keys or len(summary.call_keys) >= _MOST:
        return False
    call_id = _text(attributes.get("sip.call_id"))
    if is_root:  # the caller's stands first
        summary.call_keys = (key, *summary.call_keys)
        summary.call_ids = (call_id, *summary.call_ids)
    else:
        summary.call_keys = (*summary.call_keys, key)
        summary.call_ids = (*summary.call_ids, call_id)
    return True


def learn_links(summary: CallSummary, record: SpanRecord) -> None:
    """A span was linked with others, of this trace or of another."""
    if not record.links:
        return
    new = {trace_id for trace_id, _, _ in record.links}.difference(summary.links, summary.traces)
    if new:
        summary.links = tuple(sorted([*summary.links, *new])[:_MOST])


def finish(summary: CallSummary, record: SpanRecord) -> None:
    """A span has ended."""
    attributes = record.attributes
    summary.spans += 1
    if record.span_id == record.root_id:
        summary.status = _number(attributes.get("sip.response.status_code")) or 0
        summary.error = _text(attributes.get("error.type"))
        summary.setup_ms = _number(attributes.get("sip.setup.duration_ms"))
        summary.outcome = outcome_of(summary.status, summary.error)
        summary.failed = summary.failed or record.failed
    elif record.name == DIALOG:
        talk_ms = _number(attributes.get("sip.talk_ms"))
        if talk_ms is not None:
            summary.talk_ms = max(talk_ms, summary.talk_ms or 0)
        summary.end = _text(attributes.get("sip.dialog.end"))
    elif record.name == TRANSFER:
        summary.failed = summary.failed or record.failed


def _learn_root(summary: CallSummary, record: SpanRecord) -> None:
    """To an observer that began later it may be told behind spans that are open still."""
    attributes = record.attributes
    summary.began_ns = record.start_ns
    summary.trace_id = record.trace_id
    summary.traces = (record.trace_id, *[trace for trace in summary.traces if trace != record.trace_id])
    summary.sampled = bool(record.flags & SAMPLED)
    summary.method = record.name
    summary.sender = _text(attributes.get("sip.from.user"))
    summary.receiver = _text(attributes.get("sip.to.user"))
    summary.transferred = summary.transferred or attributes.get("sip.transfer") is True


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
