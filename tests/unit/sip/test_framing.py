"""Messages cut from a stream: the cuts of the network must not matter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipproxy.errors import RemoteProtocolError
from sipproxy.sip.framing import StreamFramer
from tests.unit.sip.support import wire

LIMIT = 4096
INVITE, OPTIONS = wire("INVITE", body="v=0\r\n\r\nm=audio"), wire("OPTIONS")
PING = b"\r\n\r\n"


def framed(pieces: list[bytes]) -> tuple[list[bytes], int, bool]:
    """Messages, pings, and whether the framing was lost."""
    framer = StreamFramer(LIMIT)
    messages: list[bytes] = []
    for piece in pieces:
        try:
            messages += framer.feed(piece)
        except RemoteProtocolError:
            return messages, framer.pongs, True
    return messages, framer.pongs, False


def test_two_messages_in_one_piece() -> None:
    assert framed([INVITE + OPTIONS]) == ([INVITE, OPTIONS], 0, False)


def test_a_message_in_two_pieces_waits_for_its_end() -> None:
    framer = StreamFramer(LIMIT)
    assert framer.feed(INVITE[:-3]) == []
    assert framer.pending == INVITE[:-3]
    assert framer.feed(INVITE[-3:]) == [INVITE]
    assert framer.pending == b""


def test_a_ping_is_counted_and_a_lone_line_end_dropped() -> None:
    assert framed([PING]) == ([], 1, False)
    assert framed([PING + INVITE]) == ([INVITE], 1, False)
    assert framed([b"\r\n" + INVITE + PING + OPTIONS]) == ([INVITE, OPTIONS], 1, False)
    assert framed([b"\r\n", b"\r\n"]) == ([], 1, False)


@pytest.mark.parametrize(
    "line",
    [
        "Content-Length: 4",
        "content-length:4",
        "l: 4",
        "L  :\t4",
        "Content-Length:\r\n  4",
        "CONTENT-LENGTH:  \r\n\t4  ",
    ],
)
def test_the_length_in_every_spelling(line: str) -> None:
    message = f"INVITE sip:x SIP/2.0\r\nX: l: 9\r\n{line}\r\nY: z\r\n\r\nabcd".encode()
    assert framed([message + OPTIONS]) == ([message, OPTIONS], 0, False)


@pytest.mark.parametrize(
    "line",
    [
        "X: y", "Content-Length:", "Content-Length: -4", "Content-Length: 4x", "Content-Length: 4\r\nl: 5",
        "Content-Length: 99999999999", "Content-Length: 0\r\n 4", "X: y\r\n l: 4",
    ],
)  # fmt: skip
def test_without_a_length_nothing_that_follows_can_be_trusted(line: str) -> None:
    message = f"INVITE sip:x SIP/2.0\r\n{line}\r\n\r\nabcd".encode()
    assert framed([message]) == ([], 0, True)


def test_a_message_over_the_limit_is_refused_before_it_is_collected() -> None:
    framer = StreamFramer(LIMIT)
    with pytest.raises(RemoteProtocolError) as caught:
        framer.feed(f"INVITE sip:x SIP/2.0\r\nl: {LIMIT}\r\n\r\n".encode())
    assert caught.value.status == 513
    with pytest.raises(RemoteProtocolError):
        StreamFramer(LIMIT).feed(b"INVITE " + b"x" * LIMIT)


def test_a_message_of_exactly_the_limit_passes() -> None:
    head = b"INVITE sip:x SIP/2.0\r\nl: %d\r\n\r\n"
    size = LIMIT - len(head % 1000)
    message = head % size + b"x" * size
    assert len(message) == LIMIT
    assert framed([message]) == ([message], 0, False)


def test_what_came_before_the_framing_was_lost_is_not_lost_with_it() -> None:
    broken = b"INVITE sip:x SIP/2.0\r\n\r\n"
    assert framed([OPTIONS, broken]) == ([OPTIONS], 0, True)
    framer = StreamFramer(LIMIT)
    assert framer.feed(OPTIONS + broken) == [OPTIONS]
    with pytest.raises(RemoteProtocolError):
        framer.feed(b"")  # or whatever comes next


PARTS = st.sampled_from(
    [INVITE, OPTIONS, PING, b"\r\n", wire("MESSAGE", body="\0\r\n\r\nSIP/2.0 200 OK\r\n")]
)


@given(st.lists(PARTS, max_size=6), st.data())
def test_cuts_do_not_matter(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = framed([stream])
    assert framed(pieces) == whole
    assert framed([bytes([octet]) for octet in stream]) == whole
    assert whole[0] == [part for part in parts if part.strip()]


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_feeding_anything_raises_nothing_else(pieces: list[bytes]) -> None:
    framed(pieces)
