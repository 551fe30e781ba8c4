"""Addresses without the people behind them; and a transfer's token, which is a secret."""

from __future__ import annotations

import pytest

from sipproxy.telemetry.settings import Mask
from tests.unit.telemetry.masked import TRACE, read, shown


@pytest.mark.parametrize(
    ("uri", "line"),
    [
        ("sip:h", "INVITE sip:h SIP/2.0"),
        ("tel:+4915550001234;phone-context=+49", "INVITE tel:***34;phone-context=*** SIP/2.0"),
        ("sips:jane:secret@h", "INVITE sips:***ne@h SIP/2.0"),
        ("urn:service:sos", "INVITE urn:service:sos SIP/2.0"),
        ("urn:jane", "INVITE urn:*** SIP/2.0"),
        ("jane", "INVITE [malformed] SIP/2.0"),
        ("sip:a b@h", "INVITE [malformed] SIP/2.0"),
        ("<sip:jane@h>", "INVITE [malformed] SIP/2.0"),
    ],
)
def test_request_uris(uri: str, line: str) -> None:
    assert read(f"INVITE {uri} SIP/2.0\r\n\r\n").text == line


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ('From: "Jane \\"J\\" Roe" <sip:jane@h>', "From: *** <sip:***ne@h>"),
        ('From:"Roe, Jane"<sip:jane@h>;tag=1', "From: *** <sip:***ne@h>;tag=1"),
        ("From: Jane Roe <sip:jane@h>", "From: *** <sip:***ne@h>"),
        ('From: "<img src=x onerror=alert(1)>" <sip:jane@h>', "From: *** <sip:***ne@h>"),
        ('From: "J\udce9r\x1b\u00f6me" <sip:j\udce9@h>', "From: *** <sip:***@h>"),
        ("From: <b>Jane</b> <sip:jane@h>", "From: [malformed]"),
        ('From: "Jane <sip:jane@h>', "From: [malformed]"),
        ("f: sip:jane@h;tag=1", "f: sip:***ne@h;tag=1"),
        ("To: sip:jane;ext=4711@h", "To: sip:***ne@h"),
        ("To: <sip:49.155.5000.1234>", "To: <sip:***34>"),
        ("To: <sip:+4915550001234>", "To: [malformed]"),
        ("To: <sip:jane@4.3.2.1.0.0.0.5.5.5.1.9.4.e164.arpa>", "To: <sip:***ne@***94.e164.arpa>"),
        ("To: <sip:jane@4915550001234.example.com>", "To: <sip:***ne@***34.example.com>"),
        ("To: <sip:jane@192.168.100.200:65535>", "To: <sip:***ne@192.168.100.200:65535>"),
        ("Contact: *", "Contact: *"),
        ("m: <sip:jane@[2001:DB8::1]:5070>;expires=60", "m: <sip:***ne@[2001:db8::1]:5070>;expires=60"),
        ('Contact: <sip:jane@h>;+sip.instance="<urn:uuid:1>"', "Contact: <sip:***ne@h>;+sip.instance=***"),
        ("Contact: <sip:jane@h;ob;x-key=1>;expires=60;", "Contact: <sip:***ne@h;ob;x-key=***>;expires=60"),
        ("Contact: <urn:service:sos>, <mailto:jane@h>", "Contact: <urn:service:sos>, <mailto:***>"),
        ("Contact: <jane:doe>", "Contact: <***:***>"),
        (
            "Route: <sip:192.0.2.4;lr>,<sip:p@192.0.2.5;lr>",
            "Route: <sip:192.0.2.4;lr>, <sip:***@192.0.2.5;lr>",
        ),
        ("P-Asserted-Identity: <sip:jane@h>,<tel:+49155>", "P-Asserted-Identity: <sip:***ne@h>, <tel:***55>"),
        (f"Reply-To: <sip:a@h;traceparent={TRACE}>", f"Reply-To: <sip:***@h;traceparent={TRACE}>"),
        (
            "Diversion: <tel:+4930555098765>;reason=user-busy;counter=1;x=1",
            "Diversion: <tel:***65>;reason=user-busy;counter=1;x=***",
        ),
        (
            "History-Info: <sip:bob@h?Reason=SIP%3Bcause%3D302>;index=1.1",
            "History-Info: <sip:***@h?reason=SIP%3Bcause%3D302>;index=1.1",
        ),
        ("b: <sip:jane@h>;cid=2@h", "b: <sip:***ne@h>;cid=***"),
    ],
)
def test_addresses(row: str, line: str) -> None:
    assert shown(row) == line


def test_a_refer_to_is_masked_inside_and_a_transfers_token_stays_secret() -> None:
    uri = "sip:+4915550007777@192.0.2.9;sipproxy-ref=0123456789abcdef0123456789abcdef"
    headers = f"traceparent={TRACE}&Replaces=12-4915550001234%40h%3Bto-tag%3Da%3Bfrom-tag%3Db&X-Key=secret"
    assert shown(f"Refer-To: <{uri}?{headers}>") == (
        "Refer-To: <sip:***77@192.0.2.9;sipproxy-ref=012345***"
        f"?traceparent={TRACE}&replaces=12-***34%40h%3Bto-tag%3Da%3Bfrom-tag%3Db&x-key=***>"
    )


@pytest.mark.parametrize(
    "where",
    [
        "<sip:h;sipproxy-ref={}>",
        "<sip:h;%73ipproxy-ref={}>",
        "<sip:h;SIPPROXY-REF={}>",
        "sip:carol@h;sipproxy-ref={}",
        "<sip:h?sipproxy-ref={}>",
        "<sip:h;sipproxy-ref={};sipproxy-ref={}>",
        "<sip:;sipproxy-ref={}@h>",
        "<tel:1;sipproxy-ref={}>",
    ],
)
def test_no_writing_shows_more_of_a_token(where: str) -> None:
    token = "0123456789abcdef0123456789abcdef"
    for mask in Mask:
        assert token[:8] not in shown(f"Refer-To: {where.format(token, token)}", mask).replace("/", "")
