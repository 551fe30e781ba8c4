"""What must be true when a run is over, whatever happened in it."""

from __future__ import annotations

from collections.abc import Collection

from sipproxy.b2bua.events import Attempted, RequestArrived

from .core import Core
from .network import is_stream
from .phone import Phone


def remains(core: Core) -> list[str]:
    """What the core still holds."""
    shared, endpoint = core.engine.shared, core.engine.endpoint
    pending = shared.pending
    held = {
        "legs": len(shared.legs),
        "calls": len(shared.calls),
        "open INVITEs": len(shared.open_invites),
        "lookups": len(shared._waiting),
        "questions to applications": len(shared._consulting),
        "Session-IDs": len(shared.sessions),
        "transactions": endpoint.transactions,
        "their users": len(endpoint._users),
        "merge keys": len(endpoint._merged),
        "timers": len(endpoint.timers),
        "pending transfers": len(pending),
        "names of pending transfers": len(pending._by_token) + len(pending._by_span),
        "more names of them": len(pending._by_replaces) + len(pending._by_referral),
        "what came by WebSockets": len(shared.browsers) + len(endpoint._by_web),
        "subscriptions": len(pending._by_subscription),
        "spans in the book": len(core.book),
        **{f"calls on {name}": trunk.calls for name, trunk in shared.router.trunks.items()},
    }
    return [f"{count} {what} left" for what, count in held.items() if count]


def complaints(core: Core, phones: Collection[Phone]) -> list[str]:
    """What phones, the referee, the facts and the spans find wrong."""
    found = [f"referee: {fault}" for fault in core.referee.faults + core.referee.unfinished()]
    found += [f"facts: {fault}" for fault in core.tale.faults + core.tale.unfinished]
    found += [f"spans: {fault}" for fault in _spans_wrong(core, phones)]
    for phone in phones:
        found += [f"{phone.name}: {fault}" for fault in phone.faults]
        if phone.dead:
            continue
        if not phone.idle:
            found.append(f"{phone.name} thinks a call is still up")
        found += [
            f"{phone.name}: {asking.request.label} has no final response"
            for asking in phone.asking.values()
            if not asking.answered and not asking.over and not is_stream(phone.place)
        ]
    return found


def _spans_wrong(core: Core, phones: Collection[Phone]) -> list[str]:
    wrong: list[str] = []
    ids = [span.span_id for span in core.spans]
    wrong += [f"{span_id} finished twice" for span_id in set(ids) if ids.count(span_id) > 1]
    if sorted(ids) != sorted(core.tale.sampled):
        wrong.append(f"{len(ids)} finished of {len(core.tale.sampled)} that the facts began")
    roots = {fact.root.span_id for fact in core.facts_of(RequestArrived)}
    roots |= {fact.context.span_id for fact in core.facts_of(Attempted) if fact.parent is None}
    known = {span.span_id: span for span in core.spans}
    for span in core.spans:
        if span.span_id in roots:
            continue
        parent = known.get(span.parent_id)
        if parent is None or parent.trace_id != span.trace_id:
            wrong.append(f"{span.name} {span.span_id} has no parent in its trace")
    numbers = [phone.number[1:] for phone in phones]
    for span in core.spans:
        text = repr(span)
        wrong += [f"{span.name} shows a number" for number in numbers if number in text]
        if "m=audio" in text or "Digest" in text:
            wrong.append(f"{span.name} shows a body or a credential")
    return wrong
