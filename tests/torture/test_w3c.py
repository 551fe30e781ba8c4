"""The W3C trace-context cases through the whole core, as INVITEs over UDP and over TCP."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.settings import TrunkSettings
from sipproxy.propagation.context import TraceContext
from sipproxy.propagation.settings import TrunkTrace
from sipproxy.sip.flow import TCP, UDP
from tests.torture.hop import TRUNK, Hop
from tests.unit.propagation.test_w3c import CASES, THREE_CALLS, Case, P, Rows, T, context_of

# The sender is matched as the same trunk, so that its context is adopted; a stranger's would become a link.
EVERYBODY = TrunkSettings(address=f"{TRUNK}:5060", match=("192.0.2.0/24",), trace=TrunkTrace())


def invite(rows: Rows, call: int, transport: str) -> bytes:
    lines = [
        "INVITE sip:bob@example.com SIP/2.0",
        f"Via: SIP/2.0/{transport} 192.0.2.99:5060;branch=z9hG4bKw3c{call}",
        f"From: <sip:alice@example.com>;tag=w3c{call}",
        "To: <sip:bob@example.com>",
        f"Call-ID: w3c-{call}@192.0.2.99",
        "CSeq: 1 INVITE",
        "Contact: <sip:alice@192.0.2.99>",
        *(f"{name}: {value}" for name, value in rows),
        "Content-Length: 0",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def goes_out(hop: Hop, rows: Rows, call: int, transport: str) -> Rows:
    """The trace headers of the INVITE that reaches the trunk."""
    (request, *_) = hop.send(invite(rows, call, transport), transport).forwarded
    names = ("traceparent", "tracestate")
    return [(name, value) for name in names for value in request.headers.values(name)]


@pytest.mark.parametrize("transport", [UDP, TCP])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_holds_on_the_wire(case: Case, transport: str) -> None:
    rows = goes_out(Hop(trunk=EVERYBODY), case.rows, 1, transport)
    context: TraceContext = context_of(rows)
    assert (context.trace_id == T) is (case.trace == "keep")
    assert context.span_id != P
    assert dict(rows).get("tracestate") == case.tracestate


@pytest.mark.parametrize("transport", [UDP, TCP])
@pytest.mark.parametrize(("rows", "trace"), THREE_CALLS.values(), ids=THREE_CALLS)
def test_three_calls_on_the_wire(rows: Rows, trace: str, transport: str) -> None:
    hop = Hop(trunk=EVERYBODY)
    contexts = [context_of(goes_out(hop, rows, call, transport)) for call in range(3)]
    assert len({context.span_id for context in contexts} - {P}) == 3
    trace_ids = {context.trace_id for context in contexts}
    assert trace_ids == {T} if trace == "keep" else T not in trace_ids and len(trace_ids) == 3


@pytest.mark.parametrize("transport", [UDP, TCP])
def test_a_folded_traceparent_is_read(transport: str) -> None:
    folded: Rows = [("traceparent", f"\r\n 00-{T}-{P}-01")]
    assert context_of(goes_out(Hop(trunk=EVERYBODY), folded, 1, transport)).trace_id == T
