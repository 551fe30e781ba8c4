"""A story as the API tells it: spans, messages, calls as JSON; and spans and messages back from there.

Times are microseconds since 1970, ids hex. What is unmasked is not here to begin with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..store import StoredMessage, Story
from ..store.summary import row
from ..telemetry.ladder import US, Step
from ..telemetry.record import PARENT_IS_REMOTE, SpanRecord

Json = dict[str, Any]


def story_shape(ident: str, story: Story, links: Mapping[str, str], *, raw: bool) -> Json:
    """All of a story."""
    trunks = _trunks(story.spans)
    trace_id = story.traces[0] if story.traces else ""
    return {
        "id": _known(ident, story),
        "calls": [row(call) for call in story.calls],
        "traces": list(story.traces),
        "spans": [span_shape(span) for span in story.spans],
        "messages": [message_shape(message, trunks) for message in story.messages],
        "deep_links": deep_links(links, trace_id),
        "raw": raw,
        "truncated": story.truncated,
    }


def _known(ident: str, story: Story) -> str:
    """What was asked for, if it is an id that we tell; a Call-ID as it was may hold a number, and so we tell
    which call it led to.
    """
    for call in story.calls:
        if ident in (call.root_id, call.trace_id, call.interaction_id, *call.traces, *call.call_ids):
            return ident
    return story.calls[0].root_id if story.calls else ""


def deep_links(links: Mapping[str, str], trace_id: str) -> dict[str, str]:
    """Where other tools show that trace. What is no web address is no link: a page would run it."""
    return {
        name: url.replace("{trace_id}", trace_id)
        for name, url in links.items()
        if url.lower().startswith(("https://", "http://"))
    }


def span_shape(span: SpanRecord) -> Json:
    """`Span` of the API."""
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "remote": bool(span.flags & PARENT_IS_REMOTE),
        "name": span.name,
        "kind": span.kind,
        "start_us": span.start_ns // 1000,
        "end_us": span.end_ns // 1000 or None,
        "failed": span.failed,
        "attributes": span.attributes,
        "events": [
            {"name": name, "at_us": at_ns // 1000, "attributes": attributes or {}}
            for name, at_ns, attributes in span.events
        ],
        "links": [{"trace_id": trace_id, "span_id": span_id} for trace_id, span_id, _ in span.links],
        "call": span.root_id,
    }


def message_shape(message: StoredMessage, trunks: Mapping[int | str, str]) -> Json:
    """`Msg` of the API. A peer is called by its trunk."""
    name = trunks.get(message.call_key, "") if message.call_key else ""
    name = name or next((trunks[span] for span in message.spans if span in trunks), message.peer)
    from_, to = (message.ours, message.peer) if message.sent else (message.peer, message.ours)
    from_name, to_name = (US, name) if message.sent else (name, US)
    return {
        "n": message.n,
        "at_us": message.at_ns // 1000,
        "sent": message.sent,
        "transport": message.transport,
        "from": from_,
        "to": to,
        "from_name": from_name,
        "to_name": to_name,
        "start": message.start,
        "method": message.method,
        "cseq": message.cseq,
        "status": message.status or None,
        "call_id": message.call_id,
        "call": message.root_id,
        "text": message.text,
        "spans": list(message.spans),
    }


def _trunks(spans: Iterable[SpanRecord]) -> dict[int | str, str]:
    """Whose leg it is, by the hash of its Call-ID and by span id."""
    found: dict[int | str, str] = {}
    for span in spans:
        trunk = span.attributes.get("sip.trunk")
        if isinstance(trunk, str) and span.attributes.get("sip.leg"):
            found[span.span_id] = trunk
            if span.call_key:
                found[span.call_key] = trunk
    return found


# Back from JSON, for the command line


def span_of(shape: Json) -> SpanRecord:
    """The span that was told so."""
    return SpanRecord(
        shape["trace_id"],
        shape["span_id"],
        shape["parent_id"],
        PARENT_IS_REMOTE if shape["remote"] else 0,
        "",
        shape["name"],
        shape["kind"],
        shape["start_us"] * 1000,
        (shape["end_us"] or 0) * 1000,
        shape["failed"],
        shape["attributes"],
        tuple((event["name"], event["at_us"] * 1000, event["attributes"]) for event in shape["events"]),
        0,
        tuple((link["trace_id"], link["span_id"], 0) for link in shape["links"]),
        shape["call"],
    )


def step_of(shape: Json) -> Step:
    """The message as a step of a ladder. A repetition of it has the same text."""
    text: str = shape["text"]
    return Step(
        shape["at_us"] * 1000,
        shape["from_name"],
        shape["to_name"],
        shape["start"],
        shape["method"],
        "SDP" if "application/sdp]" in text else "",
        text or (shape["start"], shape["cseq"], shape["method"], shape["call_id"]),
    )
