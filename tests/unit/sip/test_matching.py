"""Which way answers go, and which messages are one transaction."""

from __future__ import annotations

import pytest

from sipproxy.sip.flow import TCP, UDP, Flow, Listener
from sipproxy.sip.headers import VIA
from sipproxy.sip.matching import client_key, reply_flow, server_key, stamp_via, via_line
from sipproxy.sip.message import Request, parse
from sipproxy.sip.values import Via
from tests.unit.sip.support import request, wire

SOURCE = Flow(UDP, "198.51.100.7", 6000, 0, 3)
SAME = Flow(UDP, "192.0.2.9", 6000, 0, 3)


def top(message: Request) -> Via:
    via = message.headers.first(VIA)
    assert via is not None
    return via


def stamped(via: str, flow: Flow, *more: str) -> list[str]:
    message = request("OPTIONS", *more, via=via)
    stamp_via(message, top(message), flow)
    return [
        line for key, line in zip(message.headers.keys, message.headers.lines, strict=True) if key == "via"
    ]


@pytest.mark.parametrize(
    ("via", "flow", "line"),
    [
        # It is where it says: nothing is touched, not even blanks
        ("SIP / 2.0/UDP 192.0.2.9 ;branch=z", SAME, "Via: SIP / 2.0/UDP 192.0.2.9 ;branch=z"),
        # It is elsewhere, or behind a name (RFC 3261 section 18.2.1)
        ("SIP/2.0/UDP h:5070;branch=z", SOURCE, "Via: SIP/2.0/UDP h:5070;branch=z;received=198.51.100.7"),
        # It asks (RFC 3581 section 4), then received is there even when it is where it says
        (
            "SIP/2.0/UDP 192.0.2.9;rport;branch=z",
            SAME,
            "Via: SIP/2.0/UDP 192.0.2.9;rport=6000;branch=z;received=192.0.2.9",
        ),
        (
            "SIP/2.0/UDP [2001:db8::1]:5070;branch=z;rport",
            Flow(UDP, "2001:db8::2", 9),
            "Via: SIP/2.0/UDP [2001:db8::1]:5070;branch=z;rport=9;received=2001:db8::2",
        ),
        # A received that is there already is not believed
        (
            "SIP/2.0/UDP h;received=203.0.113.1;branch=z;rport",
            SOURCE,
            "Via: SIP/2.0/UDP h;branch=z;rport=6000;received=198.51.100.7",
        ),
        (
            "SIP/2.0/UDP h;received=203.0.113.1;branch=z",
            SOURCE,
            "Via: SIP/2.0/UDP h;branch=z;received=198.51.100.7",
        ),
    ],
)
def test_the_top_via_tells_where_the_request_came_from(via: str, flow: Flow, line: str) -> None:
    assert stamped(via, flow) == [line]


def test_the_hops_below_stay_as_they_are() -> None:
    below = 'SIP/2.0/UDP  below;branch="a,b" , SIP/2.0/TCP l;x'
    lines = stamped(f"SIP/2.0/UDP h;branch=z, {below}", SOURCE, "v: SIP/2.0/UDP another , y")
    assert lines == [
        'Via: SIP/2.0/UDP h;branch=z;received=198.51.100.7, SIP/2.0/UDP  below;branch="a,b", SIP/2.0/TCP l;x',
        "v: SIP/2.0/UDP another , y",
    ]


@pytest.mark.parametrize(
    ("via", "port"),
    [
        ("SIP/2.0/UDP h;rport", 6000),
        ("SIP/2.0/UDP h:5070;rport", 6000),
        ("SIP/2.0/UDP h:5070", 5070),
        ("SIP/2.0/UDP h", 5060),
        ("SIP/2.0/UDP h:5070;maddr=203.0.113.9;received=203.0.113.8", 5070),
    ],
)
def test_answers_by_datagram_go_to_the_source(via: str, port: int) -> None:
    assert reply_flow(Via.parse(via), SOURCE) == Flow(UDP, "198.51.100.7", port, 0, 3)


def test_answers_by_stream_go_back_by_it_or_to_the_port_of_sent_by() -> None:
    flow = Flow(TCP, "198.51.100.7", 40000, 12, 1)
    assert reply_flow(Via.parse("SIP/2.0/TCP h:5070"), flow) == Flow(TCP, "198.51.100.7", 5070, 12, 1)


def key(data: bytes, method: str) -> str:
    message = parse(data)
    assert isinstance(message, Request)
    return server_key(top(message), message, method)


def test_branch_sender_and_method_make_a_transaction() -> None:
    invite = key(wire("INVITE"), "INVITE")
    assert key(wire("INVITE", call_id="another", sender="<sip:x@h>;tag=y"), "INVITE") == invite
    assert key(wire("ACK"), "INVITE") == invite
    assert key(wire("CANCEL"), "CANCEL") != invite
    assert key(wire("INVITE", via="SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKtwo"), "INVITE") != invite
    assert key(wire("INVITE", via="SIP/2.0/UDP 192.0.2.9:5061;branch=z9hG4bKone"), "INVITE") != invite
    assert key(wire("INVITE", via="SIP/2.0/UDP 192.0.2.8:5060;branch=z9hG4bKone"), "INVITE") != invite


@pytest.mark.parametrize("branch", ["", ";branch=1", ";branch=z9hG4bK"])
def test_without_the_cookie_the_older_rules_make_a_transaction(branch: str) -> None:
    via = f"SIP/2.0/UDP 192.0.2.9{branch}"
    invite = key(wire("INVITE", via=via), "INVITE")
    assert key(wire("INVITE", "X: repeated", via=via), "INVITE") == invite
    assert key(wire("ACK", via=via, to="<sip:bob@example.com>;tag=b"), "INVITE") == invite
    assert key(wire("INVITE", via=via, call_id="another"), "INVITE") != invite
    assert key(wire("INVITE", via=via, cseq=2), "INVITE") != invite
    assert key(wire("INVITE", via=via, sender="<sip:a@h>;tag=other"), "INVITE") != invite
    assert key(wire("INVITE", via="SIP/2.0/UDP 192.0.2.8"), "INVITE") != invite


def test_our_own_via_names_the_socket_and_asks_for_the_port() -> None:
    listener = Listener(0, UDP, "::1", 5070, "[::1]:5070")
    assert via_line(listener, "z9hG4bKx") == "Via: SIP/2.0/UDP [::1]:5070;branch=z9hG4bKx;rport"


def test_bytes_of_ours_lead_back_to_their_transaction() -> None:
    ours = "SIP/2.0/UDP us:5060;branch=z9hG4bKours.0a;rport"
    assert client_key(wire("INVITE", via=ours)) == "z9hG4bKours.0a INVITE"
    assert client_key(wire("OPTIONS", via="SIP/2.0/UDP us;branch=z9hG4bKlast")) == "z9hG4bKlast OPTIONS"
    assert client_key(wire("INVITE", via=ours, uri="sip:bob;branch=x@h;branch=y")) == "z9hG4bKours.0a INVITE"
