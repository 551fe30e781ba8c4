"""Responses, ACK and CANCEL made from the messages they follow."""

from __future__ import annotations

from sipproxy.sip.build import ack_for, cancel_for, respond_to, with_to_tag
from sipproxy.sip.message import Request, parse
from tests.unit.sip.support import request, response, wire

CONTEXT = ("traceparent: 00-a-b-01", "tracestate: k=v", "previous-trace-id: c")


def test_a_response_copies_what_rfc_3261_says_and_every_via_in_order() -> None:
    came = request(
        "INVITE", "v: SIP/2.0/UDP below;branch=z", "Record-Route: <sip:p;lr>", "Timestamp: 5", "Subject: x"
    )
    busy = respond_to(came, 486, "Not now", to_tag="t")
    assert [line for line in busy.headers.lines if line[:1] in "Vv"] == [
        "Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKone",
        "v: SIP/2.0/UDP below;branch=z",
    ]
    assert sorted(line for line in busy.headers.lines if line[:1] not in "Vv") == [
        "CSeq: 1 INVITE",
        "Call-ID: c@example.com",
        "From: <sip:alice@example.com>;tag=a",
        "To: <sip:bob@example.com>;tag=t",
    ]
    assert busy.encode().startswith(b"SIP/2.0 486 Not now\r\n")


def test_trying_carries_the_timestamp_and_no_tag() -> None:
    trying = respond_to(request("INVITE", "Timestamp: 5"), 100)
    assert trying.headers.text("timestamp") == "5"
    assert trying.to_tag == ""
    assert trying.reason == "Trying"


def test_a_tag_that_is_there_stays() -> None:
    came = request("BYE", to='"Bob" <sip:bob@example.com> ; tag=theirs')
    assert respond_to(came, 200, to_tag="ours").to_tag == "theirs"


def test_a_tag_goes_behind_the_line_as_it_stands() -> None:
    assert with_to_tag(request(), "t :  sip:b@h;x=1 ", "n") == "t :  sip:b@h;x=1;tag=n"
    assert with_to_tag(request(), "To:\r\n <sip:b@h>\r\n ", "n") == "To:\r\n <sip:b@h>;tag=n"


def test_a_status_without_a_name_still_makes_a_line() -> None:
    assert respond_to(request(), 799).encode().startswith(b"SIP/2.0 799 ")


def test_an_ack_has_the_branch_and_route_of_its_invite_and_the_to_of_the_response() -> None:
    sent = request("INVITE", "Route: <sip:p;lr>", *CONTEXT, "Contact: <sip:a@h>", body="v=0")
    ack = parse(ack_for(sent, response(sent, 486, tag="busy")))
    assert isinstance(ack, Request)
    assert (ack.method, ack.uri, ack.body) == ("ACK", sent.uri, b"")
    assert ack.headers.lines[0] == sent.headers.lines[0]
    assert ack.to_tag == "busy"
    assert ack.headers.text("cseq") == "1 ACK"
    assert ack.headers.text("route") == "<sip:p;lr>"
    assert "contact" not in ack.headers
    assert [line for line in ack.headers.lines if line in CONTEXT] == list(CONTEXT)


def test_an_ack_has_one_via_and_starts_with_full_hops() -> None:
    sent = request("INVITE")
    ack = parse(ack_for(sent, response(sent, 404)))
    assert ack.headers.keys.count("via") == 1
    assert ack.headers.text("max-forwards") == "70"
    assert ack.headers.text("content-length") == "0"


def test_a_cancel_is_its_invite_in_all_that_matching_looks_at() -> None:
    sent = request("INVITE", "Route: <sip:p;lr>", "Require: 100rel", "Proxy-Require: x", *CONTEXT)
    cancel = parse(cancel_for(sent, 'SIP;cause=200;text="Call completed elsewhere"').encode())
    assert isinstance(cancel, Request)
    assert (cancel.method, cancel.uri) == ("CANCEL", sent.uri)
    for key in ("via", "from", "to", "call-id", "route", "traceparent", "tracestate", "previous-trace-id"):
        assert cancel.headers.values(key) == sent.headers.values(key)
    assert cancel.headers.text("cseq") == "1 CANCEL"
    assert cancel.headers.text("reason") == 'SIP;cause=200;text="Call completed elsewhere"'
    assert "require" not in cancel.headers
    assert "proxy-require" not in cancel.headers


def test_a_cancel_without_a_reason_has_none() -> None:
    assert "reason" not in cancel_for(request()).headers


def test_what_follows_keeps_the_spelling_of_the_invite() -> None:
    sent = parse(wire("INVITE").replace(b"From: ", b"f:\r\n  ").replace(b"Call-ID: ", b"i:"))
    assert isinstance(sent, Request)
    cancel = cancel_for(sent)
    assert "f:\r\n  <sip:alice@example.com>;tag=a" in cancel.headers.lines
    assert "i:c@example.com" in cancel.headers.lines
