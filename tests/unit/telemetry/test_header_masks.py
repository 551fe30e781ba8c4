"""Each header's value: shown by its kind, masked, or hidden; whatever is written there."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipproxy.telemetry.settings import Mask
from sipproxy.telemetry.wire import Wire
from tests.unit.telemetry.masked import HIDING, MASKERS, TRACE, read, shown


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (
            "v: SIP/2.0/UDP h;branch=z9hG4bK4915550001234;received=192.0.2.7;rport=5 , SIP/2.0/TCP [::1];i=7",
            "v: SIP/2.0/UDP h;branch=z9hG4bK***34;received=192.0.2.7;rport=5, SIP/2.0/TCP [::1];i=***",
        ),
        ("Via: SIP / 2.0 / UDP h : 5070 ;branch=z9hG4bKa", "Via: SIP/2.0/UDP h:5070;branch=z9hG4bKa"),
        (
            "Via: SIP/2.0/UDP h;branch=z9hG4bK4bf92f3577f34da6a3ce929d0e0e4736",
            "Via: SIP/2.0/UDP h;branch=z9hG4bK4bf92f3577f34da6a3ce929d0e0e4736",
        ),
        ("Via: HTTP/1.1 h", "Via: [malformed]"),
        ("Via: SIP/2.0/UDP h;received=jane roe", "Via: [malformed]"),
        ("Via: SIP/2.0/UDP h;received=[2001:db8::1]", "Via: SIP/2.0/UDP h;received=[2001:db8::1]"),
        ("Via: SIP/2.0/UDP h;received=4915:5500:01234", "Via: [malformed]"),
        ("Max-Forwards: 70", "Max-Forwards: 70"),
        ("Max-Forwards: 4915550001234", "Max-Forwards: [malformed]"),
        ("CSeq: x", "CSeq: [malformed]"),
        ("CSeq: 1 4915550001234", "CSeq: 1 ***34"),
        ("RAck: 776656 1 INVITE", "RAck: 776656 1 INVITE"),
        ("x: 1800;refresher=uac", "x: 1800;refresher=uac"),
        ("Retry-After: 120 (gone to lunch);duration=60", "Retry-After: 120;duration=60"),
        (
            "Replaces: 4915550001234@h;to-tag=1;from-tag=2;early-only",
            "Replaces: ***34@h;to-tag=1;from-tag=2;early-only",
        ),
        ("X-CID: 12-4915550001234@h", "X-CID: 12-***34@h"),
        ("In-Reply-To: 4915550001234@h, b", "In-Reply-To: ***34@h, b"),
        ("Call-ID: a b", "Call-ID: [malformed]"),
        ("Allow: INVITE,ACK , +4915550001234", "Allow: INVITE, ACK, ***"),
        ("k: 100rel, %34%39%31", "k: 100rel, ***"),
        ("Accept: application/sdp;q=0.5, */*", "Accept: application/sdp;q=0.5, */*"),
        ("o: refer;id=93809823", "o: refer;id=***23"),
        (
            "Subscription-State: terminated;reason=noresource",
            "Subscription-State: terminated;reason=noresource",
        ),
        ('Reason: Q.850;cause=16;text="for 49 155 500 01234"', 'Reason: Q.850;cause=16;text="for ***34"'),
        ('Warning: 399 h:5060 "call 4915550001234 \\"now\\""', 'Warning: 399 h:5060 "call ***34 \\"now\\""'),
        ("Date: Sat, 13 Nov 2010 23:29:00 GMT", "Date: Sat, 13 Nov 2010 23:29:00 GMT"),
        ("Date: 4915550001234", "Date: [malformed]"),
        ("User-Agent: Asterisk 20.5.1 4915550001234", "User-Agent: Asterisk 20.5.1 ***34"),
        ("tracestate: foo=1, b@r=4915550001234 ,x", "tracestate: foo=1,b@r=***34,***"),
        ("traceparent: 4915550001234", "traceparent: [malformed]"),
        (
            "previous-trace-id: 4bf92f3577f34da6a3ce929d0e0e4736;span=00f067aa0ba902b7",
            "previous-trace-id: 4bf92f3577f34da6a3ce929d0e0e4736;span=00f067aa0ba902b7",
        ),
        ("baggage: who=jane", "baggage: [hidden]"),
        (
            "Session-ID: ab30317f1a784dc48ff824d0d3715d86;remote=00000000000000000000000000000000",
            "Session-ID: ab30317f1a784dc48ff824d0d3715d86;remote=00000000000000000000000000000000",
        ),
        ("Session-ID: jane", "Session-ID: [malformed]"),
        ('c: multipart/mixed;boundary="4915550001234"', "c: multipart/mixed;boundary=***"),
        ("X-4915550001234: a", "***: [hidden]"),
        ("X <b>: a", "***: [hidden]"),
        ("jane", "[malformed line: 4 characters]"),
        (": jane", "[malformed line: 6 characters]"),
    ],
)
def test_headers(row: str, line: str) -> None:
    assert shown(row) == line


NEVER = """Authorization Proxy-Authorization WWW-Authenticate Proxy-Authenticate Authentication-Info Identity
    y Identity-Info Subject s Organization User-to-User X-Interaction-ID Call-Info Alert-Info Geolocation
    P-Access-Network-Info P-Charging-Vector Cookie X-Anything baggage"""


@pytest.mark.parametrize("name", NEVER.split())
@pytest.mark.parametrize("mask", Mask, ids=str)
def test_of_every_other_header_there_is_the_name_alone(name: str, mask: Mask) -> None:
    assert shown(f"{name}: a secret", mask) == f"{name}: [hidden]"
    assert shown(f"{name.upper()} :\r\n  a\r\n\tsecret", mask) == f"{name.upper()}: [hidden]"


def test_names_that_the_operator_chose_are_known() -> None:
    wire = Wire(MASKERS[Mask.LAST2], call_ids=["X-Leg-A"], traceparents=["X-Trace"])
    message = wire.read(f"BYE sip:h SIP/2.0\r\nx-leg-a: 4915550001234@h\r\nX-TRACE: {TRACE}\r\n\r\n".encode())
    assert message is not None
    assert message.text.split("\n")[1:] == ["x-leg-a: ***34@h", f"X-TRACE: {TRACE}"]


# Whatever comes

READABLE = """Via From To f t Contact m Route Refer-To r Referred-By P-Asserted-Identity Diversion Call-ID i
    X-CID Replaces Session-ID Allow Supported Event Reason Warning User-Agent Server tracestate traceparent
    Retry-After Content-Type Date Subject Authorization Accept History-Info Session-Expires"""
LINE_NAMES = READABLE.split()
FORMS = [
    "{}",
    "<sip:{}@h>",
    "<sip:+{}@h;user=phone>;tag={}",
    '"{}" <sip:{}:{}@h;isub={};x={}>;x="{}"',
    "{} <tel:{};ext={};phone-context=+{}>",
    "sip:{}@h?Replaces={}%40h%3Bto-tag%3D{}&{}=1",
    "<sip:h?Subject={}&traceparent={}&call-id={}>",
    "SIP/2.0/UDP {}:5060;branch=z9hG4bK{};received={};{}={}",
    "SIP/2.0/UDP h;branch={}",
    "<sip:jane@{}.example.com>",
    "<{}:x>, <sip:{}>, *",
    '399 {} "{}"',
    'SIP;cause={};text="{}"',
    "{};id={};boundary={}",
    "a={},{}=b",
    "{} INVITE",
    "1 {}",
]
DISGUISES = [
    lambda number: number,
    lambda number: "".join(f"%{ord(digit):02x}" for digit in number),
    lambda number: number[:5] + "".join(f"%{ord(digit):02X}" for digit in number[5:]),
    lambda number: f"%2B{number}",
]
DIGITS = st.text("0123456789", min_size=8, max_size=15).filter(lambda text: len(set(text)) > 3)


@HIDING
@given(st.sampled_from(LINE_NAMES), st.sampled_from(FORMS), DIGITS, st.sampled_from(DISGUISES))
def test_no_number_survives(mask: Mask, name: str, form: str, number: str, disguise: object) -> None:
    assert callable(disguise)
    written = disguise(number)
    line = shown(f"{name}: {form.replace('{}', written)}", mask)
    assert number not in line
    if "%" in written:
        assert written not in line


SEPARATED = [
    "+49-155-5000-1234",
    "+49 (155) 5000.1234",
    "0155/5000-1234",
    "49.155.5000.1234",
    "4-9-1-5-5-5-0-0-0-1-2-3-4",
]


@HIDING
@pytest.mark.parametrize("written", SEPARATED)
@pytest.mark.parametrize(
    "form",
    [
        "To: <sip:{}@h>",
        "To: <tel:{}>",
        'To: "{}" <sip:h>',
        "To: sip:{}@h",
        'Reason: SIP;text="{}"',
        "Allow: {}",
    ],
)
def test_no_separator_helps(mask: Mask, written: str, form: str) -> None:
    line = shown(form.format(written.replace(" ", "%20") if "sip:{}" in form else written), mask)
    assert not re.search(r"\d(?:\D{0,2}\d){5,}", re.sub("h:[0-9a-f]{16}", "", line))


ODD = st.text(st.sampled_from('<>"\\;,:=?&@% \t*[]{}()/aZ19.-_é\udce9\x00\x1b'), max_size=60)


@given(st.sampled_from(LINE_NAMES), ODD)
def test_no_value_makes_it_raise_or_steers_a_terminal(name: str, value: str) -> None:
    for mask in (Mask.LAST2, Mask.NONE):
        line = shown(f"{name}: {value}", mask)
        assert line.isprintable()
        assert line.startswith(f"{name}: ")
        line.encode()


def test_long_values_cost_no_time_worth_speaking_of() -> None:
    for value in (
        "<" * 30000,
        " " * 60000,
        ";" * 30000,
        '"' * 30000,
        "1 " * 20000,
        "(" * 30000,
        "\\" * 30000,
    ):
        assert shown(f"From: {value}x") == "From: [malformed]"
    read("INVITE" + " " * 60000 + "SIP/2.0\r\n\r\n")
    for form in ("{}", '"{}', ";a={}", "SIP/2.0/UDP {}", "1 {}"):
        for part in ("1 ", "a=1;", "  ", "<a", "%31", "1.", "((", '\\"'):
            for name in (
                "Via",
                "From",
                "Retry-After",
                "Warning",
                "User-Agent",
                "Reason",
                "CSeq",
                "tracestate",
            ):
                shown(f"{name}: {form.format(part * (4000 // len(part)))}")
