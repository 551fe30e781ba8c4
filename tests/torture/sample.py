"""A sound INVITE whose parts can be exchanged, and what a message may earn."""

from __future__ import annotations

from dataclasses import dataclass

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.99\r\ns=-\r\nc=IN IP4 192.0.2.99\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"

SOUND = {
    "start": "INVITE sip:bob@example.com SIP/2.0",
    "Via": "Via: SIP/2.0/UDP 192.0.2.99:5060;branch=z9hG4bKown",
    "Max-Forwards": "Max-Forwards: 70",
    "From": "From: Alice <sip:alice@example.com>;tag=a1",
    "To": "To: <sip:bob@example.com>",
    "Call-ID": "Call-ID: own@192.0.2.99",
    "CSeq": "CSeq: 1 INVITE",
    "Contact": "Contact: <sip:alice@192.0.2.99>",
    "Content-Type": "Content-Type: application/sdp",
    "Content-Length": f"Content-Length: {len(SDP)}",
}


def invite(*more: str, body: bytes = SDP, **exchanged: str | None) -> bytes:
    """The sound INVITE with lines exchanged (`Call_ID` for Call-ID; None leaves one out) and more lines."""
    lines = dict[str, str | None](SOUND)
    for name, line in exchanged.items():
        assert name.replace("_", "-") in lines
        lines[name.replace("_", "-")] = line
    text = "\r\n".join([line for line in lines.values() if line is not None] + list(more))
    return text.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def other(method: str, *more: str, uri: str = "sip:bob@example.com", **exchanged: str | None) -> bytes:
    """Another request, without a body."""
    exchanged = {
        "start": f"{method} {uri} SIP/2.0",
        "CSeq": f"CSeq: 1 {method}",
        "Content_Type": None,
        "Content_Length": "Content-Length: 0",
        **exchanged,
    }
    return invite(*more, body=b"", **exchanged)


@dataclass(frozen=True, slots=True)
class Own:
    """`outcomes` as in the index of RFC 4475."""

    name: str
    data: bytes
    outcomes: tuple[str, ...]
