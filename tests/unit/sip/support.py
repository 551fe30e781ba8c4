"""Messages that the tests of this folder speak with."""

from __future__ import annotations

import random

from sipproxy.sip.build import respond_to
from sipproxy.sip.ids import Ids
from sipproxy.sip.message import Request, Response, parse


def text(start: str, *lines: str, body: str = "") -> bytes:
    """A message from its lines; Content-Length is added."""
    return "\r\n".join((start, *lines, f"Content-Length: {len(body)}", "", body)).encode()


def wire(
    method: str = "INVITE",
    *more: str,
    uri: str = "sip:bob@example.com",
    via: str = "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKone",
    sender: str = "<sip:alice@example.com>;tag=a",
    to: str = "<sip:bob@example.com>",
    call_id: str = "c@example.com",
    cseq: int = 1,
    body: str = "",
) -> bytes:
    """A sound request as it arrives."""
    return text(
        f"{method} {uri} SIP/2.0",
        f"Via: {via}",
        "Max-Forwards: 70",
        f"From: {sender}",
        f"To: {to}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
        *more,
        body=body,
    )


def request(method: str = "INVITE", *more: str, **parts: str) -> Request:
    """The same, read."""
    message = parse(wire(method, *more, **parts))  # type: ignore[arg-type]  # cseq stays 1 here
    assert isinstance(message, Request)
    return message


def response(to: Request, status: int, tag: str = "b") -> Response:
    """An answer with a To-tag, save for 100."""
    return respond_to(to, status, to_tag="" if status == 100 else tag)


def read(data: bytes) -> Request | Response:
    """What we sent, as its receiver reads it."""
    return parse(data)


def ids(seed: int = 1) -> Ids:
    """Ids that are the same in every run."""
    return Ids(random.Random(seed).randbytes)
