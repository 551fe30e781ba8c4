"""The W3C cases once more, for the INVITE that a REFER causes: the values come escaped, in Refer-To.

    rows -> Refer-To `<sip:carol@h?name=value&...>` -> transferee -> INVITE -> what the proxy reads

User agents differ in what they make of the header part (RFC 3261 section 19.1.5): some turn it into header
fields, others leave it in the Request-URI, some in To as well. The values are decoded once, there or here.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from sipproxy.propagation.carriers import extract_sip
from sipproxy.propagation.context import RANDOM, SAMPLED, TraceContext
from sipproxy.propagation.writing import write_sip
from sipproxy.sip.headers import TO
from sipproxy.sip.message import Request, parse
from sipproxy.sip.refer import REFER_TO, ReferTo, escape, uri_headers
from sipproxy.sip.uri import parse_uri
from tests.unit.propagation.test_w3c import CASES, OURS, THREE_CALLS, TP, Case, P, Proxy, Rows, T, context_of

TARGET = "sip:carol@example.com"


class Transferor(Proxy):
    """Relays a REFER that carries the rows, and takes the INVITE in that comes of it."""

    def receive(self, request: Request) -> tuple[Rows, str]:
        """The trace headers that go out, and the carrier that the context came by."""
        to = request.headers.first(TO)
        assert to is not None
        found = extract_sip(
            request.headers.values, self.trunk, request.parsed_uri.headers, parse_uri(to.uri).headers
        )
        span_id = f"{next(self.ids):016x}"
        context = found.context or TraceContext(f"{next(self.ids):032x}", span_id, RANDOM | SAMPLED)
        outgoing, dropped = write_sip(context.child(span_id), self.trunk.send)
        assert not dropped
        return outgoing, found.carrier


def refer_to(rows: Rows) -> str:
    """The rows as a Refer-To; with one value, and that value is read back as it was."""
    header_part = "&".join(f"{escape(name)}={escape(value)}" for name, value in rows)
    text = f"<{TARGET}?{header_part}>" if rows else f"<{TARGET}>"
    assert ReferTo(TARGET, rows, None).written(TARGET, [], None) == text
    (target,) = refer(text).headers.every(REFER_TO)
    assert (target.uri, target.headers) == (TARGET, rows)
    return text


def refer(text: str) -> Request:
    return message("REFER", "sip:bob@example.com", "<sip:bob@example.com>", [("Refer-To", text)])


def message(method: str, uri: str, to: str, rows: Rows) -> Request:
    lines = [
        f"{method} {uri} SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.99:5060;branch=z9hG4bKw3c",
        "From: <sip:alice@example.com>;tag=w3c",
        f"To: {to}",
        "Call-ID: w3c@192.0.2.99",
        f"CSeq: 1 {method}",
        *(f"{name}: {value}" for name, value in rows),
        "Content-Length: 0",
    ]
    request = parse(("\r\n".join(lines) + "\r\n\r\n").encode())
    assert isinstance(request, Request)
    return request


# What transferees make of a Refer-To


def header_fields(text: str) -> Request:
    target, _, header_part = text.strip("<>").partition("?")
    return message("INVITE", target, f"<{target}>", uri_headers(header_part))


def left_in_the_request_uri(text: str) -> Request:
    uri = text.strip("<>")
    return message("INVITE", uri, f"<{uri.partition('?')[0]}>", [])


def left_in_both(text: str) -> Request:
    return message("INVITE", text.strip("<>"), text, [])


def left_in_to(text: str) -> Request:
    return message("INVITE", text.strip("<>").partition("?")[0], text, [])


TRANSFEREES = [header_fields, left_in_the_request_uri, left_in_both, left_in_to]


# How the same Refer-To can be spelled


def as_written(text: str) -> str:
    return text


def in_lower_case(text: str) -> str:
    return re.sub("%..", lambda escaped: escaped[0].lower(), text)


def with_more_escapes(text: str) -> str:
    target, question, header_part = text.partition("?")
    return target + question + re.sub("(?<![%0-9A-F])[a-z.-]", lambda c: f"%{ord(c[0]):02x}", header_part)


SPELLINGS = [as_written, in_lower_case, with_more_escapes]

Transferee = Callable[[str], Request]
Spelling = Callable[[str], str]
every_transferee = pytest.mark.parametrize("transferee", TRANSFEREES, ids=lambda way: way.__name__)


@every_transferee
@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_holds_after_a_refer(case: Case, spelling: Spelling, transferee: Transferee) -> None:
    outgoing, carrier = Transferor().receive(transferee(spelling(refer_to(case.rows))))
    context = context_of(outgoing)
    assert context.trace_id == T if case.trace == "keep" else int(context.trace_id, 16) in OURS
    assert context.span_id != P
    assert dict(outgoing).get("tracestate") == case.tracestate
    taken = "traceparent" if transferee is header_fields else "uri-header"
    assert carrier == (taken if case.trace == "keep" else "none")


@every_transferee
@pytest.mark.parametrize(("rows", "trace"), THREE_CALLS.values(), ids=THREE_CALLS)
def test_three_transfers(rows: Rows, trace: str, transferee: Transferee) -> None:
    proxy = Transferor()
    contexts = [context_of(proxy.receive(transferee(refer_to(rows)))[0]) for _ in range(3)]
    assert len({context.span_id for context in contexts} - {P}) == 3
    trace_ids = {context.trace_id for context in contexts}
    assert trace_ids == {T} if trace == "keep" else {int(trace_id, 16) for trace_id in trace_ids} < {*OURS}


@every_transferee
def test_a_value_is_decoded_once_and_not_twice(transferee: Transferee) -> None:
    def after(rows: Rows) -> Rows:
        return Transferor().receive(transferee(refer_to(rows)))[0]

    assert context_of(after([("traceparent", TP.replace("-", "%2D"))])).trace_id != T
    state = "foo=%31%2C%252"
    assert dict(after([("traceparent", TP), ("tracestate", state)]))["tracestate"] == state


@every_transferee
def test_a_plus_is_a_plus(transferee: Transferee) -> None:
    outgoing, _ = Transferor().receive(transferee(refer_to([("traceparent", TP), ("tracestate", "foo=a+b")])))
    assert dict(outgoing)["tracestate"] == "foo=a+b"


def test_a_header_field_goes_before_what_was_left_in_the_uri() -> None:
    other = TP.replace(T, "f" * 32)
    left = refer_to([("traceparent", other)]).strip("<>")
    outgoing, carrier = Transferor().receive(
        message("INVITE", left, f"<{left}>", uri_headers(f"traceparent={escape(TP)}"))
    )
    assert (context_of(outgoing).trace_id, carrier) == (T, "traceparent")
