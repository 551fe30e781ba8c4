"""Trace context in SIP headers, usable without the proxy and without any other package.

A voice bot that takes a call reads the context from the INVITE, and makes its own requests part of the
same trace:

    >>> from sipproxy.propagation import extract, extract_call, inject
    >>> invite = {
    ...     "Call-ID": "a84b4c76e66710",
    ...     "X-Traceparent": "00-4bf92f3577f34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ...     "X-Interaction-ID": "visit-7f3a-2",
    ... }
    >>> context = extract(invite)
    >>> context.trace_id, context.sampled
    ('4bf92f3577f34da6a3ce929d0e0e4736', True)
    >>> request = {"Call-ID": "b95c5d87f77821"}
    >>> inject(request, context, span_id="53995c3f42cd8ad8")
    >>> request["traceparent"]
    '00-4bf92f3577f34da6a3ce929d0e0e4736-53995c3f42cd8ad8-01'

`extract_call` also reads what travels beside it: baggage, the customer interaction, and the trace that a
transfer came from. What it found goes on in a request of one's own:

    >>> call = extract_call(invite)
    >>> call.interaction_id, call.carrier
    ('visit-7f3a-2', 'x-traceparent')
    >>> inject(request, call.parent, interaction_id=call.interaction_id, baggage=call.baggage)
    >>> request["X-Interaction-ID"], request["baggage"]
    ('visit-7f3a-2', 'interaction.id=visit-7f3a-2')
"""

from __future__ import annotations

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
from .library import CallContext, extract, extract_call, inject
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
    "CallContext",
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
    "extract_call",
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
