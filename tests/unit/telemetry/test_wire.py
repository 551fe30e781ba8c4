"""What an operator may see of a message: the ladder's facts, and a text without people, bodies or secrets."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sipproxy.sip.message import parse
from sipproxy.telemetry import wire as module
from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.settings import Mask, PrivacySettings
from sipproxy.telemetry.wire import Wire, WireMessage, call_id_of

KEY = "a key of the operator"
MASKERS = {mask: Masker(PrivacySettings(mask, KEY)) for mask in Mask}
WIRES = {mask: Wire(masker) for mask, masker in MASKERS.items()}
HIDING = pytest.mark.parametrize("mask", [Mask.LAST2, Mask.HASH, Mask.FULL], ids=str)
NUMBER = "4915550001234"
TRACE = "00-4bf92f3577f34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

INVITE = "\r\n".join(
    [
        "INVITE sip:+4915550001234@192.0.2.9:5060;user=phone SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bKa7;rport",
        'From: "Jane Roe" <sip:+4930555098765@192.0.2.1;isub=4711>;tag=a48s',
        "t: <tel:+49-155-5000-1234>",
        "Call-ID: 12-4915550001234@192.0.2.1",
        "CSeq: 314 INVITE",
        "Contact: <sip:jane@192.0.2.1:5070;transport=tcp>;+sip.instance=<urn:uuid:1>",
        "Authorization: Digest username=jane, response=f84f1cec41e6cbe5aea9c8e88d359",
        "Subject: dinner",
        " with Tom",
        "X-Customer: 4711",
        f"traceparent: {TRACE}",
        "Content-Type: application/sdp",
        "Content-Length: 34",
        "",
        "v=0\r\no=jane 1 1 IN IP4 192.0.2.1\r\n",
    ]
)


def read(text: str | bytes, mask: Mask = Mask.LAST2) -> WireMessage:
    found = WIRES[mask].read(text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape"))
    assert found is not None
    return found


def shown(row: str, mask: Mask = Mask.LAST2) -> str:
    """What becomes of one header line."""
    _, line = read(f"OPTIONS sip:h SIP/2.0\r\n{row}\r\n\r\n", mask).text.split("\n")
    return line


# The whole message


def test_an_invite_as_an_operator_sees_it() -> None:
    message = read(INVITE)
    assert message[:-1] == ("INVITE", "INVITE", 314, 0, "12-***34@192.0.2.1")
    assert message.text.split("\n") == [
        "INVITE sip:***34@192.0.2.9:5060;user=phone SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bKa7;rport",
        "From: *** <sip:***65@192.0.2.1;isub=***11>;tag=a48s",
        "t: <tel:***34>",
        "Call-ID: 12-***34@192.0.2.1",
        "CSeq: 314 INVITE",
        "Contact: [malformed]",  # its instance lacks quotes
        "Authorization: [hidden]",
        "Subject: [hidden]",
        "X-Customer: [hidden]",
        f"traceparent: {TRACE}",
        "Content-Type: application/sdp",
        "Content-Length: 34",
        "[body: 34 bytes, application/sdp]",
    ]


def test_without_masking_numbers_and_names_are_shown_but_no_body_and_no_credential() -> None:
    lines = read(INVITE, Mask.NONE).text.split("\n")
    assert lines[0] == "INVITE sip:+4915550001234@192.0.2.9:5060;user=phone SIP/2.0"
    assert lines[2] == 'From: "Jane Roe" <sip:+4930555098765@192.0.2.1;isub=4711>;tag=a48s'
    assert lines[4] == "Call-ID: 12-4915550001234@192.0.2.1"
    assert lines[7] == "Authorization: [hidden]"
    assert lines[-1] == "[body: 34 bytes, application/sdp]"


@pytest.mark.parametrize("mask", Mask, ids=str)
def test_a_user_looks_as_in_the_attributes_of_spans(mask: Mask) -> None:
    masker = MASKERS[mask]
    for user in ("+4915550001234", "jane", "1234", "bob", "+49-155-5000-1234;ext=5"):
        assert f"<sip:{masker.mask_user(user)}@h>" in shown(f"To: <sip:{user}@h>", mask)
    assert read(INVITE, mask).call_id == masker.mask_id("12-4915550001234@192.0.2.1")


def test_a_response() -> None:
    message = read("SIP/2.0 486 Busy Here\r\nCSeq: 2 INVITE\r\ni: one\r\n\r\n")
    assert message == (
        "486 Busy Here",
        "INVITE",
        2,
        486,
        "one",
        "SIP/2.0 486 Busy Here\nCSeq: 2 INVITE\ni: one",
    )


@pytest.mark.parametrize(
    ("line", "start"),
    [
        ("SIP/2.0 200 ", "200"),
        ("SIP/2.0 200", "200"),
        ("SIP/2.0 404 No 4915550001234 here", "404 No ***34 here"),
        ("SIP/2.0 404 No %34%39%31%35%35%35%30%30%30%31%32%33%34", "404 No ***34"),
        ("SIP/2.0 404 No 4 9 1 5 5 5 0 0 0 1 2 3 4", "404 No ***34"),
        ("SIP/2.0 480 <script>\x1b[2J", "480 <script>?[2J"),
        ("INVITE [x SIP/2.0", "INVITE"),
        ("BREW sip:pot@h SIP/2.0", "BREW"),
        ("4915550001234 sip:pot@h SIP/2.0", "***34"),
    ],
)
def test_start_lines(line: str, start: str) -> None:
    message = read(f"{line}\r\n\r\n")
    assert message.start == start
    assert NUMBER not in message.text


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
    "data", [b"", b"\r\n\r\n", b"\0\0", b"GET / HTTP/1.1\r\n\r\n", b"hello", b"\xff" * 9, b" SIP/2.0"]
)
def test_what_is_not_sip_is_nothing(data: bytes) -> None:
    assert WIRES[Mask.LAST2].read(data) is None


def test_what_precedes_a_message_does_not_matter() -> None:
    assert read("\r\n\r\nBYE sip:h SIP/2.0\r\nCSeq: 2 BYE\r\n\r\n").cseq == 2


def test_of_a_header_that_comes_twice_the_first_counts() -> None:
    message = read("BYE sip:h SIP/2.0\r\nCSeq: 2 BYE\r\nCall-ID: a\r\ni: b\r\nCSeq: 3 ACK\r\n\r\n")
    assert (message.cseq, message.method, message.call_id) == (2, "BYE", "a")


def test_at_most_so_many_lines_are_shown() -> None:
    rows = "".join(f"X-{number}: a\r\n" for number in range(300))
    lines = read(f"BYE sip:h SIP/2.0\r\n{rows}\r\n").text.split("\n")
    assert (len(lines), lines[-1]) == (258, "[44 more lines]")


# Addresses


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


# Other headers


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


# Bodies


@pytest.mark.parametrize(
    ("method", "media", "body", "line"),
    [
        ("INVITE", "application/sdp", "v=0", "[body: 3 bytes, application/sdp]"),
        ("MESSAGE", "", "hello", "[body: 5 bytes]"),
        ("MESSAGE", "text/4915550001234", "hello", "[body: 5 bytes, ***]"),
        ("NOTIFY", "message/sipfrag;version=2.0", "SIP/2.0 200 OK\r\nTo: <sip:jane@h>\r\n", "200 OK]"),
        ("NOTIFY", "message/sipfrag", "SIP/2.0 404 No +49 155 5000 1234\r\n", "404 No ***34]"),
        ("NOTIFY", "message/sipfrag", "SIP/2.0 603\r\n", "message/sipfrag: 603]"),
        ("NOTIFY", "message/sipfrag", "INVITE sip:jane@h SIP/2.0\r\n", "message/sipfrag]"),
        ("MESSAGE", "message/sipfrag", "SIP/2.0 200 jane\r\n", "message/sipfrag]"),
        ("NOTIFY", "text/plain", "SIP/2.0 200 jane\r\n", "text/plain]"),
    ],
)
def test_of_a_body_there_is_its_size_and_of_a_transfers_progress_the_status(
    method: str, media: str, body: str, line: str
) -> None:
    media = f"Content-Type: {media}\r\n" if media else ""
    last = read(f"{method} sip:h SIP/2.0\r\n{media}\r\n{body}").text.split("\n")[-1]
    assert last.startswith(f"[body: {len(body)} bytes")
    assert last.endswith(line)
    assert "jane" not in last


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_however_lines_end_a_body_is_no_header(end: str) -> None:
    text = end.join(["INVITE sip:h SIP/2.0", "CSeq: 1 INVITE", "", "v=0", "User-Agent: jane"])
    message = read(text)
    assert message.cseq == 1
    assert message.text.split("\n")[2:] == [f"[body: {len('v=0..User-Agent: jane')} bytes]"] or end == "\r\n"
    assert "jane" not in message.text


def test_a_line_cannot_smuggle_another_one() -> None:
    text = "BYE sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h\nAuthorization: Digest x\rSubject: y\r\n\r\n"
    assert read(text).text.split("\n")[1:] == [
        "Via: SIP/2.0/UDP h",
        "Authorization: [hidden]",
        "Subject: [hidden]",
    ]


# The Call-ID alone


@pytest.mark.parametrize(
    ("headers", "call_id"),
    [
        ("Call-ID: one@h", "one@h"),
        ("CALL-id :one@h ", "one@h"),
        ("i: one@h", "one@h"),
        ("I:\tone@h", "one@h"),
        ("Call-ID:\r\n one@h", "one@h"),
        ("Call-ID: one\r\n\t@h", "one @h"),
        ("i: one\r\nCall-ID: two", "one"),
        ("X-Call-ID: two\r\nCall-ID: one", "one"),
        ("Call-ID: caf\udce9", "caf\udce9"),
        ("Call-ID:", None),
        ("Subject: Call-ID: two", None),
        ("Subject: a", None),
    ],
)
def test_the_call_id_of_raw_bytes(headers: str, call_id: str | None) -> None:
    rows = "Via: SIP/2.0/UDP h\r\nCSeq: 1 BYE"
    data = f"\r\nBYE sip:h SIP/2.0\r\nTo: <sip:h>\r\n{headers}\r\n{rows}\r\n\r\nCall-ID: body".encode(
        "utf-8", "surrogateescape"
    )
    assert call_id_of(data) == call_id
    assert (parse(data).call_id or None) == call_id  # as the proxy reads it


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\ni:", b"\r\nCall-ID: \r\n ", b"\xff\xfe", b"i: x"])
def test_what_has_no_call_id(data: bytes) -> None:
    assert call_id_of(data) is None


def test_the_call_id_of_a_message_that_was_cut_off() -> None:
    assert call_id_of(b"BYE sip:h SIP/2.0\r\nCall-ID: one") == "one"


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


@given(
    st.binary(max_size=400), st.sampled_from([b"", b"INVITE sip:jane@h SIP/2.0\r\n", b"SIP/2.0 200 OK\r\n"])
)
@example(b"Contact: <sip:a@h>;;;\r\n\r\n", b"INVITE sip:jane@h SIP/2.0\r\n")
@example(b" Via: x\r\n\r\n", b"SIP/2.0 200 OK\r\n")
def test_nothing_that_comes_makes_it_raise(data: bytes, before: bytes) -> None:
    call_id_of(before + data)
    message = WIRES[Mask.LAST2].read(before + data)
    if before:
        assert message is not None
        assert all(line.isprintable() for line in message.text.split("\n"))
        message.text.encode()


ODD = st.text(st.sampled_from('<>"\\;,:=?&@% \t*[]{}()/aZ19.-_é\udce9\x00\x1b'), max_size=60)


@given(st.sampled_from(LINE_NAMES), ODD)
def test_no_value_makes_it_raise_or_steers_a_terminal(name: str, value: str) -> None:
    for mask in (Mask.LAST2, Mask.NONE):
        line = shown(f"{name}: {value}", mask)
        assert line.isprintable()
        assert line.startswith(f"{name}: ")
        line.encode()


# Speed and memory


def test_a_line_that_comes_again_is_not_read_again_but_secrets_are_not_kept() -> None:
    wire = Wire(MASKERS[Mask.LAST2])
    assert wire.read(INVITE.encode()) == wire.read(INVITE.encode())
    for row in (
        INVITE.partition("\r\n\r\n")[0].replace("Subject: dinner\r\n with Tom\r\n", "").split("\r\n")[1:]
    ):
        hidden = "[hidden]" in shown(row)
        assert (wire._lines.get(row) is None) == hidden


def test_what_is_kept_is_bounded_and_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CACHED", 10)
    wire = Wire(MASKERS[Mask.LAST2])
    for number in range(50):
        rows = f"To: <sip:{number}@h>\r\nAuthorization: Digest {number}\r\nFrom: <sip:{'x' * 300}@h>"
        wire.read(f"BYE sip:{number}@h SIP/2.0\r\n{rows}\r\n\r\n".encode())
    assert list(wire._lines) == [f"To: <sip:{number}@h>" for number in range(40, 50)]
    assert len(wire._starts) == 10


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
