"""Trace context in SIP headers, usable without the proxy and without any other package.

A voice bot that takes a call reads the context from the INVITE, and makes its own requests part of the
same trace:

    >>> from sipproxy.propagation import extract, inject
    >>> invite = {
    ...     "Call-ID": "a84b4c76e66710",
    ...     "X-Traceparent": "00-4bf92f3577f34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ... }
    >>> context = extract(invite)
    >>> context.trace_id, context.sampled
    ('4bf92f3577f34da6a3ce929d0e0e4736', True)
    >>> request = {"Call-ID": "b95c5d87f77821"}
    >>> inject(request, context, span_id="53995c3f42cd8ad8")
    >>> request["traceparent"]
    '00-4bf92f3577f34da6a3ce929d0e0e4736-53995c3f42cd8ad8-01'
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from .carriers import CONTEXT_HEADERS, Found, Values, extract_sip, strip_pai
from .context import (
    Previous,
    Rejected,
    TraceContext,
    is_span_id,
    is_trace_id,
    parse_previous,
    parse_traceparent,
    parse_tracestate,
)
from .settings import Accept, Carrier, PropagationSettings, TrunkTrace
from .writing import (
    add_baggage,
    pai_parameter,
    previous_value,
    stamp_pai,
    write_baggage,
    write_sip,
)

__all__ = [
    "CONTEXT_HEADERS",
    "Accept",
    "Carrier",
    "Found",
    "Previous",
    "PropagationSettings",
    "Rejected",
    "TraceContext",
    "TrunkTrace",
    "Values",
    "add_baggage",
    "extract",
    "extract_sip",
    "inject",
    "is_span_id",
    "is_trace_id",
    "pai_parameter",
    "parse_previous",
    "parse_traceparent",
    "parse_tracestate",
    "previous_value",
    "stamp_pai",
    "strip_pai",
    "write_baggage",
    "write_sip",
]

_DEFAULTS = TrunkTrace()
_REPLACED = CONTEXT_HEADERS - {"previous-trace-id", "baggage"}


def extract(headers: Mapping[str, str | list[str]] | Iterable[tuple[str, str]]) -> TraceContext | None:
    """Read the context of a message from its headers, whatever the case of their names."""
    rows: dict[str, list[str]] = {}
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        rows.setdefault(name.lower(), []).extend([value] if isinstance(value, str) else value)
    return extract_sip(lambda name: rows.get(name, []), _DEFAULTS).context


def inject(
    headers: MutableMapping[str, Any],
    context: TraceContext,
    *,
    span_id: str = "",
    send: tuple[Carrier, ...] = _DEFAULTS.send,
) -> None:
    """Write the context into a message's headers in place of any that was there.

    `span_id` is the span that sends the message; without it the context goes on as it is.
    """
    if span_id and not is_span_id(span_id):
        raise ValueError(f"span_id {span_id!r} is not 16 lower-case hex digits")
    for name in [name for name in headers if name.lower() in _REPLACED]:
        del headers[name]
    rows, _ = write_sip(context.child(span_id) if span_id else context, send)
    headers.update(rows)
