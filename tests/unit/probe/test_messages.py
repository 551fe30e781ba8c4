"""What the probe sends: nothing that costs, nothing that leads elsewhere, and its sign in many places."""

from __future__ import annotations

import pytest

from sipproxy.probe.messages import (
    SIGN,
    Ourselves,
    Plant,
    Secrets,
    Wanted,
    invite,
    refer_rows,
    sdp,
    transport_of,
)
from sipproxy.sip.flow import Listener
from sipproxy.sip.headers import CONTACT, FROM, MAX_FORWARDS
from sipproxy.sip.message import Request, parse
from sipproxy.sip.refer import ReferTo

from .support import TARGET, drawn

HERE = Listener(0, "UDP", "192.0.2.10", 5099, "192.0.2.10:5099")
WE = Ourselves(TARGET, None, HERE)


def test_the_token_stands_where_some_path_will_leave_it() -> None:
    secrets = Secrets.new(drawn())
    request = invite(Wanted(secrets), WE)
    headers = request.headers
    places = [headers.text(name) or "" for name in ("call-id", "from", SIGN.lower())]
    assert all(secrets.token in place for place in [*places, request.body.decode()])
    assert request.uri == TARGET, "it is called as it was written"
    assert isinstance(parse(request.encode()), Request)
    assert headers.first(MAX_FORWARDS) == 30


@pytest.mark.parametrize("size", [1200, 3000, 1201, 1217])
def test_an_invite_has_the_length_that_is_wanted(size: int) -> None:
    request = invite(Wanted(Secrets.new(drawn()), size=size), WE)
    via = len(f"Via: SIP/2.0/UDP {HERE.sent_by};branch=z9hG4bK{16 * '0'};rport\r\n")
    assert size - 24 <= len(request.encode()) + via <= size


def test_one_that_is_longer_already_stays_so() -> None:
    request = invite(
        Wanted(Secrets.new(drawn()), [Plant("baggage", "baggage", "a=" + 2000 * "x")], size=1200), WE
    )
    assert "x-sipproxy-padding" not in request.headers


@pytest.mark.parametrize(
    ("listener", "contact"),
    [
        (HERE, "sip:probe@192.0.2.10:5099"),
        (
            Listener(0, "TCP", "192.0.2.10", 5099, "192.0.2.10:5099"),
            "sip:probe@192.0.2.10:5099;transport=tcp",
        ),
        (Listener(0, "UDP", "::1", 5099, "[::1]:5099"), "sip:probe@[::1]:5099"),
        (Listener(0, "UDP", "10.0.0.1", 5099, "sbc.example:5099"), "sip:probe@sbc.example:5099"),
    ],
)
def test_where_answers_go(listener: Listener, contact: str) -> None:
    request = invite(Wanted(Secrets.new(drawn())), Ourselves(TARGET, None, listener))
    found = request.headers.first(CONTACT)
    assert found is not None
    assert found.uri == contact
    family = b"IP6 ::1" if listener.ipv6 else b"IP4 " + listener.sent_by.rpartition(":")[0].encode()
    assert b"c=IN " + family + b"\r\n" in sdp(Ourselves(TARGET, None, listener), "t")


def test_a_caller_that_the_path_knows() -> None:
    request = invite(Wanted(Secrets.new(drawn())), Ourselves(TARGET, "sip:alice@pbx.example", HERE))
    found = request.headers.first(FROM)
    assert found is not None
    assert found.uri == "sip:alice@pbx.example"


def test_a_refer_leads_where_the_probe_calls_anyway() -> None:
    call, new = Secrets.new(drawn()), Secrets.new(drawn())
    inside = [Plant("refer-to", "traceparent", call.traceparent()), Plant("refer-to-marker", "", "m" * 32)]
    we = Ourselves("sip:probe-{token}@192.0.2.20:5060;transport=tcp", None, HERE)
    rows = {row.name: row.value for row in refer_rows(call, new, we, inside)}
    refer_to = ReferTo.parse(rows["Refer-To"])
    assert refer_to.uri == f"sip:probe-{new.token}@192.0.2.20:5060;sipproxy-ref={'m' * 32}"
    assert refer_to.headers == [("traceparent", inside[0].value), (SIGN, new.token)]
    assert rows[SIGN] == call.token


@pytest.mark.parametrize(
    ("uri", "transport"),
    [
        ("sip:a@h", "UDP"),
        ("sip:a@h;transport=TCP", "TCP"),
        ("sip:a@h;transport=tls", "TLS"),
        ("sips:a@h", "TLS"),
    ],
)
def test_the_transport_that_a_uri_asks_for(uri: str, transport: str) -> None:
    assert transport_of(uri) == transport
