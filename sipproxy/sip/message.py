"""Messages: lazy, and byte for byte what came (RFC 3261 section 7).

A header line that nobody set leaves with the characters it came with, name, folding and blanks included. A
value is parsed when it is read. `parse` looks only at the start line, at the names, and at Content-Length;
`checking.py` at what every request needs.
"""

from __future__ import annotations

from typing import TypeVar

from ..errors import RemoteProtocolError
from .headers import (
    CALL_ID,
    CONTENT_LENGTH,
    FROM,
    KEYS,
    TO,
    Kind,
    key_of,
)
from .uri import TOKEN, Uri, parse_uri
from .values import split_commas

T = TypeVar("T")
NEEDED = ("via", "from", "to", "call-id", "cseq")
_MISSING: object = object()


class Headers:
    """Header lines in order; `keys` and `lines` run side by side."""

    __slots__ = ("_values", "keys", "lines")

    def __init__(self, keys: list[str] | None = None, lines: list[str] | None = None) -> None:
        self.keys: list[str] = [] if keys is None else keys
        self.lines: list[str] = [] if lines is None else lines  # without the final CRLF, folds inside
        self._values: dict[str, object] = {}

    def __contains__(self, key: str) -> bool:
        return key in self.keys

    def text(self, key: str) -> str | None:
        """The first line's value, unfolded; None where there is none."""
        if key not in self.keys:
            return None
        return unfold(self.lines[self.keys.index(key)].partition(":")[2])

    def values(self, key: str) -> list[str]:
        """The value of each line of that name, unfolded, comma lists as they are."""
        keys = self.keys
        if key not in keys:
            return []
        if keys.count(key) == 1:
            return [unfold(self.lines[keys.index(key)].partition(":")[2])]
        return [
            unfold(line.partition(":")[2]) for name, line in zip(keys, self.lines, strict=True) if name == key
        ]

    def first(self, kind: Kind[T]) -> T | None:
        """The first value, parsed; None where there is none; RemoteProtocolError where it is malformed."""
        value = self._values.get(kind.key, _MISSING)
        if value is _MISSING:
            text = self.text(kind.key)
            if kind.listed and text is not None and "," in text:
                text = split_commas(text)[0]
            value = None if text is None else kind.parse(text)
            self._values[kind.key] = value
        return value  # type: ignore[return-value]  # what kind.parse gave, or None

    def every(self, kind: Kind[T]) -> list[T]:
        """All values over all lines, comma lists taken apart; not kept."""
        return [kind.parse(part) for text in self.values(kind.key) for part in split_commas(text)]

    def tokens(self, kind: Kind[list[str]]) -> list[str]:
        """All members of a list of tokens, over all lines, in lower case."""
        return [token.lower() for text in self.values(kind.key) for token in kind.parse(text)]

    def add(self, name: str, value: str) -> None:
        """Append a line."""
        key = KEYS.get(name) or key_of(name)
        self._values.pop(key, None)
        self.keys.append(key)
        self.lines.append(f"{name}: {value}")

    def add_line(self, key: str, line: str) -> None:
        """Append a line as it stands."""
        self._values.pop(key, None)
        self.keys.append(key)
        self.lines.append(line)

    def set(self, name: str, value: str) -> None:
        """Put a value where the first line of that name stands, else at the end; further lines of the name
        go.
        """
        key = key_of(name)
        if key not in self.keys:
            self.add(name, value)
            return
        self._values.pop(key, None)
        at = self.keys.index(key)
        self.lines[at] = f"{name}: {value}"
        for index in range(len(self.keys) - 1, at, -1):
            if self.keys[index] == key:
                del self.keys[index], self.lines[index]

    def forget_values(self) -> None:
        """Let go of what was parsed; it is parsed again when it is read."""
        self._values = {}

    def remove(self, key: str) -> None:
        """Take away all lines of that name."""
        self._values.pop(key, None)
        if key in self.keys:
            kept = [pair for pair in zip(self.keys, self.lines, strict=True) if pair[0] != key]
            self.keys = [pair[0] for pair in kept]
            self.lines = [pair[1] for pair in kept]


class Message:
    """What requests and responses share."""

    __slots__ = ("body", "headers")

    def __init__(self, headers: Headers, body: bytes) -> None:
        self.headers = headers
        self.body = body

    @property
    def call_id(self) -> str:
        """The Call-ID, or ""."""
        return self.headers.first(CALL_ID) or ""

    @property
    def from_tag(self) -> str:
        """The tag in From, or ""."""
        address = self.headers.first(FROM)
        return address.tag if address else ""

    @property
    def to_tag(self) -> str:
        """The tag in To, or ""."""
        address = self.headers.first(TO)
        return address.tag if address else ""

    def slim(self) -> None:
        """Let go of all but what names the message: for one that is kept only to be recognised."""
        headers = self.headers
        kept = [pair for pair in zip(headers.keys, headers.lines, strict=True) if pair[0] in NEEDED]
        headers.keys = [pair[0] for pair in kept]
        headers.lines = [pair[1] for pair in kept]
        headers.forget_values()
        self.body = b""

    def _encode(self, start: str) -> bytes:
        lines = self.headers.lines
        text = start + "\r\n" + "\r\n".join(lines)
        if "content-length" not in self.headers.keys:
            text = f"{text}\r\nContent-Length: {len(self.body)}"
        return (text + "\r\n\r\n").encode("utf-8", "surrogateescape") + self.body


class Request(Message):
    """A request; `uri` is the Request-URI as written."""

    __slots__ = ("_uri", "method", "uri")

    def __init__(self, method: str, uri: str, headers: Headers, body: bytes = b"") -> None:
        super().__init__(headers, body)
        self.method = method
        self.uri = uri
        self._uri: Uri | None = None

    @property
    def parsed_uri(self) -> Uri:
        """The Request-URI in its parts; raises RemoteProtocolError."""
        if self._uri is None:
            self._uri = parse_uri(self.uri)
        return self._uri

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return self._encode(f"{self.method} {self.uri} SIP/2.0")

    def __repr__(self) -> str:
        return f"Request({self.method})"


class Response(Message):
    """A response."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, headers: Headers, body: bytes = b"") -> None:
        super().__init__(headers, body)
        self.status = status
        self.reason = reason

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return self._encode(f"SIP/2.0 {self.status} {self.reason}")

    def __repr__(self) -> str:
        return f"Response({self.status})"


class BadMessage(RemoteProtocolError):
    """A message that cannot be used; `request` is what could be read of it, where it can be answered."""

    def __init__(self, reason: str, *, status: int = 400, request: Request | None = None) -> None:
        super().__init__(reason, status=status)
        self.request = request


def unfold(value: str) -> str:
    """A header's value without outer blanks, and each fold as one blank (RFC 3261 section 7.3.1)."""
    if "\r" not in value:
        return value.strip(" \t")
    return " ".join(part.strip(" \t") for part in value.split("\r\n")).strip(" \t")


def parse(data: bytes, *, max_headers: int = 256) -> Request | Response:
    """Read one message; what follows Content-Length is dropped. Raises BadMessage."""
    skipped = 0
    while data.startswith(b"\r\n", skipped):  # RFC 3261 section 7.5
        skipped += 2
    data = data[skipped:]
    end = data.find(b"\r\n\r\n")
    text = (data if end < 0 else data[:end]).decode("utf-8", "surrogateescape")
    rows = text.split("\r\n")
    start = rows[0]
    fault = ""
    newlines = len(rows) - 1
    if text.count("\n") != newlines or text.count("\r") != newlines:
        fault = "bare CR or LF in the headers"
    if end < 0:
        rows = rows[:-1]
        fault = fault or "no empty line behind the headers"
    if len(rows) > max_headers + 1:
        fault, rows = "too many headers", rows[: max_headers + 1]
    keys: list[str] = []
    lines: list[str] = []
    known = KEYS
    for row in rows[1:]:
        name, colon, _ = row.partition(":")
        key = known.get(name)
        if key is None or not colon:
            if row[:1] in (" ", "\t") and lines:
                lines[-1] = f"{lines[-1]}\r\n{row}"
                continue
            try:
                key = key_of(name)
            except RemoteProtocolError as error:
                fault = fault or error.reason
                continue
            if not colon:
                fault = fault or "header line without a colon"
                continue
        keys.append(key)
        lines.append(row)
    headers = Headers(keys, lines)
    message = _start_line(start, headers)
    body = b"" if end < 0 else data[end + 4 :]
    if not fault:
        try:
            body = _cut(body, headers)
        except RemoteProtocolError as error:
            fault = error.reason
    if fault:
        raise BadMessage(fault, request=message if isinstance(message, Request) else None)
    message.body = body
    return message


def _start_line(start: str, headers: Headers) -> Request | Response:
    words = start.split(" ")
    if words[0].upper() == "SIP/2.0":
        if len(words) < 2 or not (len(words[1]) == 3 and words[1].isascii() and words[1].isdigit()):
            raise BadMessage("malformed status line")
        status = int(words[1])
        if not 100 <= status <= 699:
            raise BadMessage("malformed status line")
        return Response(status, " ".join(words[2:]), headers)
    method = words[0]
    request = Request(method, words[1] if len(words) > 1 else "", headers)
    if not method or not TOKEN.issuperset(method):
        raise BadMessage("malformed request line")
    version = words[-1].upper()
    if len(words) == 3 and version.startswith("SIP/") and version != "SIP/2.0":
        raise BadMessage("unknown SIP version", status=505, request=request)
    if len(words) != 3 or version != "SIP/2.0":
        raise BadMessage("malformed request line", request=request)
    return request


def _cut(body: bytes, headers: Headers) -> bytes:
    """The body by its Content-Length; without one all that came (RFC 3261 section 18.3)."""
    if "content-length" not in headers.keys:
        return body
    length = headers.first(CONTENT_LENGTH) or 0
    if headers.keys.count("content-length") > 1:
        raise RemoteProtocolError("more than one Content-Length")
    if length > len(body):
        raise RemoteProtocolError("shorter than its Content-Length")
    return body[:length] if length < len(body) else body
