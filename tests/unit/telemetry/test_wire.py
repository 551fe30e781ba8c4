"""What an operator may see of a message: the ladder's facts, and a text without people, bodies or secrets."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sipproxy.sip.message import parse
from sipproxy.telemetry import wire as module
from sipproxy.telemetry.settings import Mask
from sipproxy.telemetry.wire import Wire, call_id_of
from tests.unit.telemetry.masked import MASKERS, NUMBER, TRACE, WIRES, read, shown

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
