"""Messages leave with the characters they came with; what is broken is refused, nothing else is raised."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipproxy.errors import RemoteProtocolError
from sipproxy.sip.checking import check_request
from sipproxy.sip.headers import CONTACT, CSEQ, FROM, MAX_FORWARDS, SESSION_EXPIRES, SUPPORTED, VIA, Kind
from sipproxy.sip.message import BadMessage, Headers, Request, Response, parse, unfold
from tests.unit.sip.support import request, text, wire

KINDS: list[Kind[Any]] = [VIA, FROM, CSEQ, CONTACT, MAX_FORWARDS, SESSION_EXPIRES, SUPPORTED]
NAMES = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=12).filter(
    lambda name: name.lower() not in ("content-length", "l")
)
WORDS = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=30)
RAW = st.binary(max_size=20).map(
    lambda octets: octets.translate(None, b"\r\n").decode("utf-8", "surrogateescape")
)
FOLDS = st.lists(st.one_of(WORDS, RAW), min_size=1, max_size=3).map("\r\n ".join)


def fault(data: bytes) -> tuple[int, str]:
    """What a message is refused for."""
    with pytest.raises(BadMessage) as caught:
        parse(data)
    return caught.value.status, caught.value.reason


@given(
    st.lists(st.tuples(NAMES, st.sampled_from(["", " ", "\t "]), FOLDS), max_size=8), st.binary(max_size=50)
)
def test_any_lines_that_can_be_read_leave_as_they_came(rows: list[tuple[str, str, str]], body: bytes) -> None:
    lines = "".join(f"{name}{blank}:{value}\r\n" for name, blank, value in rows)
    head = f"INVITE sip:b@h SIP/2.0\r\n{lines}L: {len(body)}\r\n\r\n"
    data = head.encode("utf-8", "surrogateescape") + body
    assert parse(data).encode() == data


@given(st.lists(st.tuples(NAMES, FOLDS), max_size=8))
def test_setting_one_header_leaves_the_others_alone(rows: list[tuple[str, str]]) -> None:
    lines = [f"{name}: {value}" for name, value in rows]
    data = "\r\n".join(["OPTIONS sip:h SIP/2.0", *lines, "l: 0", "", ""]).encode("utf-8", "surrogateescape")
    message = parse(data)
    message.headers.set("X-Ours-Alone", "1")
    assert message.headers.lines == [*lines, "l: 0", "X-Ours-Alone: 1"]


@given(st.binary(max_size=400))
def test_arbitrary_octets_raise_nothing_else(data: bytes) -> None:
    for candidate in (data, b"INVITE sip:b@h SIP/2.0\r\n" + data, b"SIP/2.0 200 OK\r\n" + data + b"\r\n\r\n"):
        with suppress(RemoteProtocolError):
            parse(candidate)


@given(st.integers(0, 400), st.integers(0, 20), st.binary(max_size=6))
def test_a_mutated_message_raises_nothing_else_however_it_is_read(
    at: int, length: int, octets: bytes
) -> None:
    data = wire("INVITE", "Contact: <sip:a@h>, <sip:b@h>", "Supported: 100rel", "Session-Expires: 90")
    with suppress(RemoteProtocolError):
        message = parse(data[:at] + octets + data[at + length :])
        if isinstance(message, Request):
            check_request(message)
            assert message.parsed_uri is not None
        for kind in KINDS:
            message.headers.first(kind)
            message.headers.every(kind)


def test_a_response_with_and_without_a_reason() -> None:
    for start, reason in (("SIP/2.0 200 OK then", "OK then"), ("SIP/2.0 200 ", ""), ("SIP/2.0 200", "")):
        message = parse(text(start))
        assert isinstance(message, Response)
        assert (message.status, message.reason) == (200, reason)
        assert message.encode().startswith(f"SIP/2.0 200 {reason}\r\n".encode())


@pytest.mark.parametrize(
    ("start", "status"),
    [
        ("INVITE sip:b@h SIP/3.0", 505),
        ("INVITE sip:b@h", 400),
        ("INVITE sip:b h SIP/2.0", 400),
        ("INVITE  sip:b@h SIP/2.0", 400),
        ("INVITE sip:b@h SIP/2.0 ", 400),
        ("INVITE sip:b@h HTTP/1.1", 400),
        ("IN(VITE sip:b@h SIP/2.0", 400),
        ("SIP/2.0 99 Small", 400),
        ("SIP/2.0 700 Big", 400),
        ("SIP/2.0 4294967496 Wraps", 400),
        ("SIP/2.0 2OO O for zero", 400),
        ("", 400),
    ],
)
def test_a_start_line_that_is_none(start: str, status: int) -> None:
    assert fault(text(start))[0] == status


def test_the_case_of_the_version_does_not_matter_and_that_of_the_method_does() -> None:
    message = parse(text("invite sip:b@h sip/2.0"))
    assert isinstance(message, Request)
    assert message.method == "invite"


def test_line_ends_before_the_start_line_are_skipped() -> None:
    assert parse(b"\r\n\r\n\r\n" + wire("OPTIONS")).encode() == wire("OPTIONS")


def test_the_body_ends_where_content_length_says() -> None:
    assert parse(b"OPTIONS sip:h SIP/2.0\r\nl: 3\r\n\r\nabcdef").body == b"abc"
    assert parse(b"OPTIONS sip:h SIP/2.0\r\n\r\nabcdef").body == b"abcdef"
    assert parse(b"OPTIONS sip:h SIP/2.0\r\n\r\nabcdef").encode().endswith(b"Content-Length: 6\r\n\r\nabcdef")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (b"l: 9\r\n", "shorter than its Content-Length"),
        (b"l: 1\r\nContent-Length: 1\r\n", "more than one Content-Length"),
        (b"l: -1\r\n", "malformed Content-Length"),
        (b"Nonsense\r\n", "header line without a colon"),
        (b"X Y: z\r\n", "malformed header name"),
        (b": z\r\n", "malformed header name"),
        (b"X: a\nY: b\r\n", "bare CR or LF in the headers"),
        (b"X: a\rY: b\r\n", "bare CR or LF in the headers"),
    ],
)
def test_what_is_broken_in_the_headers_is_named(lines: bytes, reason: str) -> None:
    assert fault(b"OPTIONS sip:h SIP/2.0\r\n" + lines + b"\r\nabc") == (400, reason)


def test_a_refused_request_still_shows_what_an_answer_needs() -> None:
    with pytest.raises(BadMessage) as caught:
        parse(wire("OPTIONS", "Nonsense"))
    refused = caught.value.request
    assert refused is not None
    assert (refused.method, refused.call_id, refused.from_tag) == ("OPTIONS", "c@example.com", "a")


def test_a_message_without_the_empty_line_is_refused() -> None:
    assert fault(b"OPTIONS sip:h SIP/2.0\r\nX: y\r\n") == (400, "no empty line behind the headers")


def test_as_many_headers_as_allowed_pass_and_one_more_does_not() -> None:
    lines = "".join(f"X: {n}\r\n" for n in range(10))
    data = f"OPTIONS sip:h SIP/2.0\r\n{lines}\r\n".encode()
    assert len(parse(data, max_headers=10).headers.lines) == 10
    with pytest.raises(BadMessage, match="too many headers"):
        parse(data, max_headers=9)


def test_a_fold_is_one_blank_when_read_and_itself_when_written() -> None:
    message = parse(text("OPTIONS sip:h SIP/2.0", "Subject: a\r\n \t b\r\n\tc", "Empty:\r\n "))
    assert message.headers.text("subject") == "a b c"
    assert message.headers.text("empty") == ""
    assert "Subject: a\r\n \t b\r\n\tc" in message.headers.lines
    assert unfold(" x \r\n y ") == "x y"


def test_values_of_many_lines_are_one_list() -> None:
    message = parse(text("OPTIONS sip:h SIP/2.0", "k: A, b", "Supported: c", "SUPPORTED:"))
    assert message.headers.tokens(SUPPORTED) == ["a", "b", "c"]
    assert message.headers.values("supported") == ["A, b", "c", ""]


def test_the_first_of_a_list_is_read_whatever_stands_behind_it() -> None:
    headers = Headers()
    headers.add("Contact", '"A, B" <sip:a@h>;x=1, <sip:b@h>')
    first = headers.first(CONTACT)
    assert first is not None
    assert first.uri == "sip:a@h"
    assert [address.uri for address in headers.every(CONTACT)] == ["sip:a@h", "sip:b@h"]


def test_a_malformed_value_raises_every_time_it_is_read() -> None:
    headers = Headers()
    headers.add("CSeq", "nonsense")
    for _ in range(2):
        with pytest.raises(RemoteProtocolError):
            headers.first(CSEQ)


def test_what_was_read_does_not_hide_what_is_written_later() -> None:
    headers = Headers()
    assert headers.first(MAX_FORWARDS) is None
    headers.set("Max-Forwards", "70")
    assert headers.first(MAX_FORWARDS) == 70
    headers.set("max-forwards", "69")
    assert headers.first(MAX_FORWARDS) == 69
    headers.remove("max-forwards")
    assert headers.first(MAX_FORWARDS) is None
    headers.add("Max-Forwards", "68")
    assert headers.first(MAX_FORWARDS) == 68


def test_setting_a_header_keeps_its_place_and_takes_the_other_lines_of_the_name() -> None:
    headers = Headers()
    for name, value in (("k", "a"), ("X", "1"), ("Supported", "b"), ("SUPPORTED", "c")):
        headers.add(name, value)
    headers.set("Supported", "d")
    assert headers.lines == ["Supported: d", "X: 1"]
    assert "supported" in headers


def test_a_sound_request_passes_the_check() -> None:
    check_request(request("INVITE", "Contact: <sip:alice@192.0.2.9>"))
    check_request(request("OPTIONS", uri="tel:+49301234"))
    check_request(request("REGISTER", "Contact: *"))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (wire("OPTIONS", uri="isbn:123"), 416),
        (wire("OPTIONS", uri="sip:"), 400),
        (wire("OPTIONS", sender="nobody"), 400),
        (wire("OPTIONS", to="<>"), 400),
        (wire("OPTIONS", to="<sip:b@h>;;"), 400),
        (wire("OPTIONS", sender="<sip:a@h>;tag="), 400),
        (wire("OPTIONS", sender='<sip:a@h>;tag="x'), 400),
        (wire("OPTIONS", call_id=""), 400),
        (wire("OPTIONS", "t: <sip:again@h>"), 400),
        (wire("OPTIONS", "Max-Forwards: 3"), 400),
        (wire("OPTIONS").replace(b"1 OPTIONS", b"1 INVITE"), 400),
        (wire("OPTIONS").replace(b"1 OPTIONS", b"x OPTIONS"), 400),
        (wire("OPTIONS").replace(b"Max-Forwards: 70", b"Max-Forwards: x"), 400),
        (wire("INVITE", "Contact: <broken"), 400),
        (wire("INVITE", "Contact: <sip:[broken>"), 400),
        (wire("INVITE", "Contact: *"), 400),
        (wire("INVITE", "Record-Route: <broken"), 400),
        (wire("INVITE", "Record-Route: <sip:[broken>"), 400),
        *[
            (wire("OPTIONS").replace(name + b":", b"X-" + name + b":"), 400)
            for name in (b"Via", b"From", b"To", b"Call-ID", b"CSeq")
        ],
    ],
)
def test_a_request_that_cannot_be_handled_is_refused_at_the_door(data: bytes, status: int) -> None:
    message = parse(data)
    assert isinstance(message, Request)
    with pytest.raises(RemoteProtocolError) as caught:
        check_request(message)
    assert caught.value.status == status
