"""What crosses to the other leg, byte for byte, and what does not."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.rewrite import cross_request, cross_response, size_of, without_opaque_tags
from sipproxy.b2bua.rules import DEFAULT_RULES
from sipproxy.b2bua.settings import HeaderPolicy
from sipproxy.sip.build import respond_to
from tests.unit.b2bua.messages import DIALOG, TP, back, crossed, identity, request, response

# Requests


def test_what_forms_the_dialog_is_ours() -> None:
    out = cross_request(
        request("Max-Forwards: 9"), identity(max_forwards=8, contact="<sip:us>"), DEFAULT_RULES
    )
    assert out.uri == "sip:b@target"
    assert out.headers.lines == [*DIALOG, "Max-Forwards: 8", "Contact: <sip:us>"]


@pytest.mark.parametrize(
    "row",
    [
        "Subject: Tea?",
        "subject :   Tea?  ",
        "s: Tea?",
        "X-Own:\tas  it ; is",
        "X-Folded: one,\r\n two",
        "Organization: K\u00f6ln",
        "Identity: abc==;info=<https://x>;alg=ES256",
        'Authorization: Digest username="a", response="b"',
        "Reason: SIP;cause=200",
        "Geolocation: <cid:x>",
        "Allow: INVITE, ACK, BYE",
        "Content-Type: multipart/mixed;boundary=x",
        "Expires: 60",
        "Privacy: id",
        'P-Asserted-Identity: "A" <sip:a@x>, <tel:+1>',
        "Session-ID: ab30317f1a784dc48ff824d0d3715d86;remote=00000000000000000000000000000000",
        "X-Interaction-ID: case-7",
        "Require: 100rel",
        "Supported: 100rel,timer",
    ],
)
def test_a_line_passes_with_its_characters(row: str) -> None:
    assert crossed(row) == [row]


def test_bytes_that_are_no_utf8_pass() -> None:
    out = cross_request(request("X-Bytes: \udcff\udcfe"), identity(), DEFAULT_RULES)
    assert b"X-Bytes: \xff\xfe\r\n" in out.encode()


def test_lines_keep_their_order_and_their_number() -> None:
    rows = ["X-B: 1", "X-A: 2", "X-B: 3", "Subject: x", "X-A: 4"]
    assert crossed(*rows) == rows


def test_the_body_passes() -> None:
    out = cross_request(request("Content-Length: 4", body="abcd"), identity(), DEFAULT_RULES)
    assert out.body == b"abcd"
    assert out.encode().endswith(b"\r\n\r\nabcd")


@pytest.mark.parametrize(
    "row",
    [
        "Route: <sip:proxy;lr>",
        "Record-Route: <sip:sbc;lr>",
        "Proxy-Require: timer",
        "Timestamp: 1",
        "Path: <sip:x>",
        "Service-Route: <sip:x>",
        "Replaces: x;to-tag=1;from-tag=2",
        f"traceparent: {TP}",
        f"Traceparent: {TP}",
        f"X-Traceparent: {TP}",
        "tracestate: a=1",
        "X-Tracestate: a=1",
        "baggage: a=1",
        "otel-trace-id: 4bf92f3577f34da6a3ce929d0e0e4736",
        "previous-trace-id: 4bf92f3577f34da6a3ce929d0e0e4736",
    ],
)
def test_what_belongs_to_the_hop_stays_behind(row: str) -> None:
    assert crossed(row) == []


def test_contact_becomes_ours_once() -> None:
    assert crossed("Contact: <sip:a@1>", "X-A: 1", "m: <sip:a@2>", contact="<sip:us>") == [
        "Contact: <sip:us>",
        "X-A: 1",
    ]


def test_an_invite_without_contact_gets_ours_and_others_do_not() -> None:
    assert crossed(contact="<sip:us>") == ["Contact: <sip:us>"]
    assert crossed(contact="<sip:us>", method="BYE") == []
    assert crossed("Contact: <sip:a>", contact="<sip:us>", method="UPDATE") == ["Contact: <sip:us>"]


def test_routes_are_those_of_the_leg() -> None:
    assert crossed("Route: <sip:old>", routes=("<sip:p1;lr>", "<sip:p2;lr>")) == [
        "Route: <sip:p1;lr>",
        "Route: <sip:p2;lr>",
    ]


def test_rack_names_the_cseq_of_the_leg() -> None:
    assert crossed("RAck: 17 4 INVITE", method="PRACK", invite_cseq=2) == ["RAck: 17 2 INVITE"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("Supported: 100rel, timer", "Supported: 100rel, timer"),
        ("Supported: outbound, 100rel", "Supported: 100rel"),
        ("k: outbound,  timer ,gruu", "k: timer"),
        ("Supported: TIMER, Outbound", "Supported: TIMER"),
        ("Supported: outbound", ""),
        ("Supported:", "Supported:"),
    ],
)
def test_supported_tells_what_works(row: str, expected: str) -> None:
    assert without_opaque_tags(row) == expected
    assert crossed(row) == ([expected] if expected else [])


def test_an_identity_loses_the_context_that_stood_in_it() -> None:
    row = f'P-Asserted-Identity: "A;traceparent=x" <sip:a@x;traceparent={TP};user=phone>'
    assert crossed(row) == ['P-Asserted-Identity: "A;traceparent=x" <sip:a@x;user=phone>']


# Responses


def test_a_response_is_an_answer_to_the_other_legs_request() -> None:
    base = respond_to(request(), 183, to_tag="ours")
    out = cross_response(base, response("Server: x", status=183, body="v=0"), DEFAULT_RULES, "")
    assert (out.status, out.reason, out.body) == (183, "Fine", b"v=0")
    assert out.headers.lines == [
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1",
        "From: <sip:a@theirs>;tag=theirs",
        "To: <sip:b@theirs>;tag=ours",
        "Call-ID: theirs",
        "CSeq: 1 INVITE",
        "Server: x",
    ]


def test_contact_in_a_response_is_ours_where_it_makes_a_dialog() -> None:
    assert back("Contact: <sip:b>", contact="<sip:us>") == ["Contact: <sip:us>"]
    assert back("m: <sip:b>", "Contact: <sip:c>", contact="<sip:us>") == ["Contact: <sip:us>"]
    assert back(contact="<sip:us>") == ["Contact: <sip:us>"]
    assert back("Contact: <sip:x>;q=1, <sip:y>", status=302) == ["Contact: <sip:x>;q=1, <sip:y>"]


def test_routes_and_context_of_a_response_stay_behind() -> None:
    assert back(
        "Record-Route: <sip:p>", f"traceparent: {TP}", "tracestate: a=1", "RSeq: 7", "Warning: 399 x"
    ) == [
        "RSeq: 7",
        "Warning: 399 x",
    ]


def test_a_policy_holds_for_responses_too() -> None:
    assert back("X-Secret: 1", "Supported: outbound", "X: 2", policy=HeaderPolicy(strip=("X-Secret",))) == [
        "X: 2"
    ]
    assert back("X-Secret: 1", "X: 2", policy=HeaderPolicy(allow=("X",))) == ["X: 2"]


def test_an_identity_in_a_response_loses_its_context() -> None:
    row = f"P-Asserted-Identity: <sip:b@x;traceparent={TP}>"
    assert back(row) == ["P-Asserted-Identity: <sip:b@x>"]


def test_the_size_is_near_what_goes_out() -> None:
    out = cross_request(request("X-A: " + "x" * 300, body="b" * 100), identity(), DEFAULT_RULES)
    out.headers.keys.insert(0, "via")
    out.headers.lines.insert(
        0, "Via: SIP/2.0/UDP 192.0.2.100:5060;branch=z9hG4bK0123456789abcdef.01234567;rport"
    )
    estimate = size_of(cross_request(request("X-A: " + "x" * 300, body="b" * 100), identity(), DEFAULT_RULES))
    assert len(out.encode()) <= estimate <= len(out.encode()) + 60
