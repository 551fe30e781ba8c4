"""A message as a test reads it, and messages as text. Only parsing is borrowed from the code under test."""

from __future__ import annotations

from collections.abc import Mapping

from sipproxy.sip.message import Request, Response, parse

CRLF = "\r\n"
OFFER = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
ANSWER = "v=0\r\no=- 2 1 IN IP4 192.0.2.2\r\ns=-\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n"
HOLD = OFFER + "a=sendonly\r\n"


class Seen:
    """One message that came in, and when."""

    def __init__(self, data: bytes, at: float) -> None:
        self.data = data
        self.at = at
        self.message: Request | Response = parse(data)

    @property
    def status(self) -> int:
        """A response's status, 0 for a request."""
        return self.message.status if isinstance(self.message, Response) else 0

    @property
    def uri(self) -> str:
        """The Request-URI."""
        return self.message.uri if isinstance(self.message, Request) else ""

    @property
    def method(self) -> str:
        """The method, of a response that of its CSeq."""
        return self.header("CSeq").split()[1]

    @property
    def cseq(self) -> int:
        """The sequence number."""
        return int(self.header("CSeq").split()[0])

    @property
    def label(self) -> str:
        """`INVITE`, or `200 INVITE`."""
        return f"{self.status} {self.method}" if self.status else self.method

    def header(self, name: str) -> str:
        """The first value of that name, "" for none."""
        return self.message.headers.text(name.lower()) or ""

    def headers(self, name: str) -> list[str]:
        """All lines of that name."""
        return self.message.headers.values(name.lower())

    @property
    def branch(self) -> str:
        """The top Via's branch."""
        return parameter(self.header("Via").split(",")[0], "branch")

    @property
    def sent_by(self) -> str:
        """The top Via's host and port."""
        return self.header("Via").split()[1].split(";")[0]

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        return self.header("Call-ID")

    @property
    def from_tag(self) -> str:
        """From's tag."""
        return parameter(self.header("From"), "tag")

    @property
    def to_tag(self) -> str:
        """To's tag, "" for none."""
        return parameter(self.header("To"), "tag")

    @property
    def contact(self) -> str:
        """Contact's URI."""
        return address(self.header("Contact"))

    @property
    def body(self) -> str:
        """The body as text."""
        return self.message.body.decode()

    @property
    def trace_id(self) -> str:
        """Of traceparent."""
        return ([*self.header("traceparent").split("-"), "", ""])[1]

    @property
    def span_id(self) -> str:
        """Of traceparent."""
        return ([*self.header("traceparent").split("-"), "", "", ""])[2]

    def matches(self, label: str) -> bool:
        """Whether this is an `INVITE`, a `200`, a `200 BYE`."""
        if label.isdigit():
            return self.status == int(label)
        return self.label == label

    def __repr__(self) -> str:
        return f"{self.label}@{self.at:.3f}"


def parameter(value: str, name: str) -> str:
    """A header parameter behind the address, "" for none."""
    _, _, after = value.rpartition(">")
    for piece in after.split(";")[1:]:
        key, _, text = piece.partition("=")
        if key.strip().lower() == name:
            return text.strip()
    return ""


def address(value: str) -> str:
    """The URI in a From, To, Contact or Route."""
    _, bracket, rest = value.partition("<")
    return rest.partition(">")[0] if bracket else value.partition(";")[0].strip()


def text_of(start: str, headers: list[tuple[str, str]], more: Mapping[str, str] | None, body: str) -> bytes:
    """A message's bytes; `more` comes behind the rest."""
    rows = [row for row in (*headers, *(more or {}).items()) if row[1]]  # an empty value takes a header away
    if body and not any(name == "Content-Type" for name, _ in rows):
        rows.append(("Content-Type", "application/sdp"))
    rows.append(("Content-Length", str(len(body.encode()))))
    lines = "".join(f"{name}: {value}{CRLF}" for name, value in rows)
    return f"{start}{CRLF}{lines}{CRLF}{body}".encode()
