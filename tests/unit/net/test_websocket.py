"""The framing of SIP over WebSocket, without a socket: upgrades, frames, and the ways it ends."""

from __future__ import annotations

import random

import pytest

from sipproxy.errors import RemoteProtocolError
from sipproxy.net.layer import Closed, Refused
from sipproxy.net.websocket import LONGEST_REQUEST, SLICE, WebSocketFramer
from tests.support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frames,
    accepted,
    close_code,
    frame,
    upgrade,
)
from tests.unit.net.support import message

HELLO = message("hello")


def opened(limit: int = 65535) -> WebSocketFramer:
    """A connection whose upgrade is done."""
    framer = WebSocketFramer(limit)
    assert framer.feed(upgrade()) == []
    assert accepted(framer.output())
    return framer


def answers(framer: WebSocketFramer) -> list[tuple[int, bytes]]:
    return Frames().feed(framer.output())


def fed(framer: WebSocketFramer, data: bytes) -> list[bytes]:
    """Feed, and take all the turns that are due."""
    messages = framer.feed(data)
    while framer.more:
        messages += framer.feed(b"")
    return messages


def lost(framer: WebSocketFramer, data: bytes) -> RemoteProtocolError:
    """Feed what ends the connection."""
    with pytest.raises(RemoteProtocolError) as caught:
        fed(framer, data)
    assert framer.lost is caught.value
    return caught.value


# The upgrade


@pytest.mark.parametrize(
    "request_",
    [
        upgrade(),
        upgrade(subprotocol="xmpp, sip"),
        upgrade(path="/ws?token=x", origin="https://desk.example"),
        upgrade(Connection="keep-alive, Upgrade", Upgrade="WebSocket"),
        upgrade(Cookie="x" * 6000),
    ],
    ids=["plain", "one of several", "from a page", "as Firefox says it", "with a cookie"],
)
def test_a_client_that_speaks_sip_is_let_in(request_: bytes) -> None:
    framer = WebSocketFramer(65535)
    assert fed(framer, request_) == []
    assert framer.open
    assert accepted(framer.output())
    assert framer.feed(frame(HELLO)) == [HELLO]


def test_compression_is_not_agreed() -> None:
    framer = WebSocketFramer(65535)
    framer.feed(upgrade(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"))
    response = framer.output()
    assert accepted(response)
    assert b"extensions" not in response.lower()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (upgrade(subprotocol=None), 400),
        (upgrade(subprotocol="xmpp"), 400),
        (upgrade(subprotocol="SIP"), 400),
        (upgrade(Upgrade=None), 426),
        (upgrade(Connection="close"), 426),
        (upgrade(Upgrade="h2c"), 426),
        (upgrade(Sec_WebSocket_Version="8"), 400),
        (upgrade(Sec_WebSocket_Key="short"), 400),
        (upgrade(Sec_WebSocket_Key=None), 400),
        (upgrade().replace(b"GET", b"POST"), 405),
        (upgrade().replace(b"HTTP/1.1", b"HTTP/1.0"), 505),
        (upgrade(path="/" + "x" * 9000), 414),
        (upgrade(Cookie="x" * 9000), 431),
        (upgrade(**{f"X_{number}": "y" for number in range(200)}), 431),
        (upgrade(**{f"X_{number}": "y" * 4000 for number in range(5)}), 431),
        (b"G" * (LONGEST_REQUEST + 1) + b"\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * LONGEST_REQUEST, 431),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (upgrade(X="folded\r\n line"), 400),
        (upgrade(Content_Length="10"), 400),
        (upgrade(Transfer_Encoding="chunked"), 400),
        (b"OPTIONS sip:proxy.example SIP/2.0\r\nContent-Length: 0\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", None),
        (b"\r\n\r\n", None),
    ],
)  # fmt: skip
def test_others_are_refused_and_told_why(request_: bytes, status: int | None) -> None:
    framer = WebSocketFramer(65535)
    error = lost(framer, request_)
    assert isinstance(error, Refused)
    assert not framer.open
    response = framer.output()
    if status is None:
        assert response == b""  # no HTTP, no answer
    else:
        assert response.startswith(f"HTTP/1.1 {status} ".encode())
        assert b"Connection: close\r\n" in response
        assert response.partition(b"\r\n\r\n")[2]  # words


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://desk.example", 101),
        ("https://desk.example:8443", 403),
        ("http://desk.example", 403),
        ("https://desk.example.evil.example", 403),
        ("null", 403),
        (None, 403),
    ],
)
def test_only_pages_of_the_listed_origins_come_in(origin: str | None, status: int) -> None:
    framer = WebSocketFramer(65535, ["https://Desk.example/", "https://other.example"])
    if status == 101:
        framer.feed(upgrade(origin=origin))
    else:
        assert isinstance(lost(framer, upgrade(origin=origin)), Refused)
    assert framer.output().startswith(f"HTTP/1.1 {status} ".encode())


def test_an_upgrade_may_come_byte_by_byte_and_with_the_first_message_behind_it() -> None:
    framer = WebSocketFramer(65535)
    request = upgrade()
    for at in range(len(request) - 1):
        assert framer.feed(request[at : at + 1]) == []
        assert framer.pending
        assert framer.output() == b""
    assert framer.feed(request[-1:] + frame(b"ping", PING) + frame(HELLO)) == [HELLO]
    response = framer.output()
    head, rest = response[: response.index(b"\r\n\r\n") + 4], response[response.index(b"\r\n\r\n") + 4 :]
    assert accepted(head)
    assert Frames().feed(rest) == [(PONG, b"ping")]
    assert framer.pending == b""


# Frames


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [1, 125, 126, 4000, 65000])
def test_each_message_is_one_sip_message(opcode: int, size: int) -> None:
    framer, big = opened(), message(size=size)
    assert fed(framer, frame(big, opcode)) == [big]
    assert framer.pending == b""


def test_a_message_may_come_in_fragments_with_a_ping_between() -> None:
    framer = opened()
    assert framer.feed(frame(HELLO[:9], fin=False)) == []
    assert framer.pending
    assert framer.feed(frame(b"still here?", PING)) == []
    assert answers(framer) == [(PONG, b"still here?")]
    assert framer.feed(frame(HELLO[9:20], CONTINUATION, fin=False)) == []
    assert framer.feed(frame(HELLO[20:], CONTINUATION)) == [HELLO]
    assert framer.pending == b""


def test_a_character_may_be_cut_by_fragments() -> None:
    framer, text = opened(), "OPTIONS sip:zoë SIP/2.0\r\n\r\n".encode()
    cut = text.index("ë".encode()) + 1
    assert framer.feed(frame(text[:cut], fin=False)) == []
    assert framer.feed(frame(text[cut:], CONTINUATION)) == [text]


@pytest.mark.parametrize(
    ("payload", "messages", "pongs"),
    [
        (b"\r\n\r\n", [], 1),
        (b"\r\n", [], 0),
        (b"", [], 0),
        (b"\r\n\r\n" + HELLO, [HELLO], 0),
    ],
)
def test_keep_alives_of_streams_are_understood(payload: bytes, messages: list[bytes], pongs: int) -> None:
    framer = opened()
    assert framer.feed(frame(payload)) == messages
    assert framer.pongs == pongs
    assert answers(framer) == [(TEXT, b"\r\n")] * pongs


def test_our_messages_are_text_unless_a_body_is_none() -> None:
    framer = opened()
    assert Frames().feed(framer.wrap(HELLO)) == [(TEXT, HELLO)]
    assert Frames().feed(framer.wrap("zoë".encode())) == [(TEXT, "zoë".encode())]
    assert Frames().feed(framer.wrap(b"\xff\x00")) == [(BINARY, b"\xff\x00")]
    assert Frames().feed(framer.wrap(message(size=70_000))) == [(TEXT, message(size=70_000))]
    assert Frames().feed(framer.ping()) == [(PING, b"sipproxy")]


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (frame(HELLO, masked=False), 1002),
        (frame(b"x" * 126, PING), 1002),
        (frame(b"x", PING, fin=False), 1002),
        (frame(b"x", CONTINUATION), 1002),
        (frame(b"x", fin=False) + frame(b"y", TEXT), 1002),
        (frame(b"x", 3), 1002),
        (bytes([0xC1]) + frame(b"x")[1:], 1002),  # a compressed one
        (frame(b"x", CLOSE), 1002),
        (frame((999).to_bytes(2, "big"), CLOSE), 1002),
        (frame(b"\xff\xfe", TEXT), 1007),
        (frame(b"\xc3", TEXT, fin=False) + frame(b"\x28", CONTINUATION), 1007),
        (frame(b"x" * 501), 1009),
        (frame(b"", length=1 << 40)[:14], 1009),
        (frame(b"x" * 300, fin=False) + frame(b"x" * 201, CONTINUATION), 1009),
        (frame(b"hello\r\nSIP/2.0"), 1008),
        (frame(b"", PING) * 60, 1008),
        (frame(b"x", fin=False) + frame(b"", CONTINUATION, fin=False) * 60, 1008),
    ],
    ids=[
        "not masked", "long ping", "ping in fragments", "continues nothing", "begins anew", "unknown opcode",
        "compressed", "close of one byte", "close without a reason to", "text that is none",
        "text that is none, in fragments", "too large", "far too large", "too large, in fragments",
        "no SIP", "pings alone", "fragments without end",
    ],
)  # fmt: skip
def test_what_breaks_the_protocol_is_answered_by_a_close(wire: bytes, code: int) -> None:
    framer = opened(limit=500)
    error = lost(framer, wire)
    assert not isinstance(error, Closed | Refused)
    answered = [answer for answer in answers(framer) if answer[0] != PONG]
    assert [(opcode, close_code(payload)) for opcode, payload in answered] == [(CLOSE, code)]
    assert framer.wrap(HELLO) == b""
    assert framer.close() == b""


@pytest.mark.parametrize("payload", [b"", (1000).to_bytes(2, "big") + b"bye", (1001).to_bytes(2, "big")])
def test_a_client_that_closes_is_answered_behind_its_last_message(payload: bytes) -> None:
    framer = opened()
    assert framer.feed(frame(HELLO) + frame(b"\r\n\r\n") + frame(payload, CLOSE)) == [HELLO]
    assert answers(framer) == [(CLOSE, payload)]
    assert isinstance(lost(framer, b""), Closed)
    assert framer.wrap(HELLO) == framer.ping() == framer.close() == b""


def test_we_close_by_saying_that_we_go_away() -> None:
    framer = opened()
    assert [(opcode, close_code(payload)) for opcode, payload in Frames().feed(framer.close())] == [
        (CLOSE, 1001)
    ]
    assert framer.close() == b""


def test_frames_without_end_take_a_slice_a_turn() -> None:
    framer, flood = opened(), frame(b"x" * 20, PING) * 200
    assert framer.feed(flood) == []
    turns = 1
    while framer.more:
        assert len(framer.output()) <= SLICE
        assert framer.feed(b"") == []
        turns += 1
    assert turns == -(-len(flood) // SLICE)


def test_no_bytes_make_it_fail_otherwise() -> None:
    """Mutated conversations: messages come out, or the connection is lost; nothing else is raised."""
    rng = random.Random(5922)
    whole = upgrade() + frame(HELLO) + frame(b"x", PING) + frame(HELLO[:5], fin=False) + frame(b"y", 0)
    whole += frame(b"", CLOSE)
    outcomes: set[type] = set()
    for _ in range(2000):
        wire = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            wire[rng.randrange(len(wire))] = rng.randrange(256)
        framer = WebSocketFramer(500)
        try:
            while wire:
                size = rng.randrange(1, len(wire) + 1)
                framer.feed(bytes(wire[:size]))
                framer.output()
                del wire[:size]
        except RemoteProtocolError as error:
            outcomes.add(type(error))
        else:
            outcomes.add(type(None))
    assert outcomes == {type(None), RemoteProtocolError, Refused, Closed}
