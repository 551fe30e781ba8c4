"""What a WebSocket that closes leaves unanswered."""

from __future__ import annotations

from sipproxy.sip.by_websocket import ByWebSocket
from sipproxy.sip.flow import WSS, Flow
from sipproxy.sip.message import Request, parse
from sipproxy.sip.transaction import OtherClientTransaction


def transaction(number: int) -> OtherClientTransaction:
    request = parse(f"INFO sip:a@b SIP/2.0\r\nCall-ID: {number}\r\n\r\n".encode())
    assert isinstance(request, Request)
    return OtherClientTransaction(request, b"", reliable=True)


def test_only_what_is_open_on_that_connection_is_taken_and_once() -> None:
    here, there = Flow(WSS, "192.0.2.1", 40000, 7), Flow(WSS, "192.0.2.1", 40001, 8)
    first, second, elsewhere = (transaction(number) for number in range(3))
    known = ByWebSocket()
    known.add(first, here)
    known.add(second, here)
    known.add(elsewhere, there)
    known.remove(first, here)
    known.remove(first, here)  # a late timer
    assert known.taken(here) == [second]
    assert known.taken(here) == []
    known.remove(elsewhere, there)
    assert len(known) == 0
