"""Header fields: one row per kind, and the small classes their values are (RFC 3261 sections 7.3, 20, 25).

VIA = Kind("Via", Via.parse, compact="v")      adding a header is adding a row
request.headers.first(VIA)                     parsed now, kept; malformed raises every time
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ..errors import RemoteProtocolError
from .uri import TOKEN, parse_host_port

T = TypeVar("T")
LWS = " \t\r\n"
MAGIC_COOKIE = "z9hG4bK"
MAX_CSEQ = 2**32 - 1

# Names as we write them, by the key under which a header is found. Compact forms: RFC 3261 section 20 and the
# IANA registry.
KEYS: dict[str, str] = {}


class Kind(Generic[T]):
    """A header's name, its key (lower case) and how its value is read."""

    __slots__ = ("key", "name", "parse")

    def __init__(self, name: str, parse: Callable[[str], T], compact: str | None = None) -> None:
        self.name = name
        self.key = learn(name, compact)
        self.parse = parse

    def __repr__(self) -> str:
        return f"Kind({self.name})"


def learn(name: str, compact: str | None = None) -> str:
    """Make a name's usual spellings known, so that finding its key is one look-up; returns the key."""
    key = name.lower()
    for spelling in (name, key, name.upper(), compact, compact.upper() if compact else None):
        if spelling is not None:
            KEYS[spelling] = key
    return key


def key_of(name: str) -> str:
    """The key of a header's name, in any spelling; raises RemoteProtocolError when it is no name."""
    key = KEYS.get(name)
    if key is None:
        name = name.rstrip(" \t")
        if not name or not TOKEN.issuperset(name):
            raise RemoteProtocolError("malformed header name")
        key = name.lower()
        key = KEYS.get(key, key)
    return key


def split_commas(text: str) -> list[str]:
    """The values of a comma list; commas in quotes and angle brackets do not part."""
    if "," not in text:
        return [text]
    if '"' not in text and "<" not in text:
        return [part.strip(LWS) for part in text.split(",")]
    parts: list[str] = []
    start = 0
    quoted = bracketed = escaped = False
    for at, character in enumerate(text):
        if quoted:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = True
        elif character == "<":
            bracketed = True
        elif character == ">":
            bracketed = False
        elif character == "," and not bracketed:
            parts.append(text[start:at].strip(LWS))
            start = at + 1
    parts.append(text[start:].strip(LWS))
    return parts


def split_parameters(text: str) -> list[tuple[str, str | None]]:
    """`;a=1;b` as [("a", "1"), ("b", None)], names in lower case. RemoteProtocolError on an empty one."""
    pieces = text.split(";") if '"' not in text else _split_quoted(text)
    if pieces[0].strip(LWS):
        raise RemoteProtocolError("malformed parameters")
    found: list[tuple[str, str | None]] = []
    for piece in pieces[1:]:
        name, equals, value = piece.partition("=")
        name = name.strip(LWS).lower()
        if not name:
            raise RemoteProtocolError("empty parameter")
        if equals:
            value = value.strip(LWS)
            if not value:
                raise RemoteProtocolError("parameter without its value")
            found.append((name, value))
        else:
            found.append((name, None))
    return found


def _split_quoted(text: str) -> list[str]:
    pieces: list[str] = []
    start = 0
    quoted = escaped = False
    for at, character in enumerate(text):
        if quoted:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = True
        elif character == ";":
            pieces.append(text[start:at])
            start = at + 1
    if quoted:
        raise RemoteProtocolError("unterminated quoted string")
    pieces.append(text[start:])
    return pieces


class Via:
    """One hop (RFC 3261 section 20.42): `SIP/2.0/UDP host:port;branch=...`."""

    __slots__ = ("branch", "host", "parameters", "port", "transport")

    def __init__(
        self, transport: str, host: str, port: int | None, parameters: dict[str, str | None]
    ) -> None:
        self.transport = transport  # upper case
        self.host = host
        self.port = port
        self.parameters = parameters
        self.branch = parameters.get("branch") or ""

    @classmethod
    def parse(cls, text: str) -> Via:
        """Read the first value; the hops below it are not ours to judge."""
        if "," in text:
            text = split_commas(text)[0]
        pieces = text.split("/", 2)
        if len(pieces) != 3 or pieces[0].strip(LWS).upper() != "SIP":
            raise RemoteProtocolError("malformed Via")
        transport, _, rest = pieces[2].strip(LWS).replace("\t", " ").partition(" ")
        sent_by, semicolon, parameters = rest.partition(";")
        sent_by = sent_by.strip(LWS)
        if " " in sent_by:  # blanks are allowed around the colon
            host, _, port = sent_by.rpartition(":")
            sent_by = f"{host.strip(LWS)}:{port.strip(LWS)}"
        if not transport or not TOKEN.issuperset(transport):
            raise RemoteProtocolError("malformed Via transport")
        host, number = parse_host_port(sent_by)
        found = dict(split_parameters(semicolon + parameters)) if semicolon else {}
        return cls(transport.upper(), host, number, found)

    @property
    def has_cookie(self) -> bool:
        """Whether the branch is unique by RFC 3261; a bare cookie is not."""
        return len(self.branch) > 7 and self.branch[:7].lower() == "z9hg4bk"


class NameAddr:
    """A display name, a URI and parameters: From, To, Contact, Route (RFC 3261 section 20.10)."""

    __slots__ = ("display", "parameters", "uri")

    def __init__(self, uri: str, parameters: str = "", display: str = "") -> None:
        self.display = display  # as written, quotes and all
        self.uri = uri
        self.parameters = parameters  # raw, from the first `;` on, or empty

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        """Read one value; raises RemoteProtocolError."""
        if text[:1] == '"':
            end = _end_of_quoted(text)
            display, rest = text[:end], text[end:].lstrip(LWS)
            if rest[:1] != "<":
                raise RemoteProtocolError("quoted name without an address in brackets")
        else:
            display, bracket, rest = text.partition("<")
            if not bracket:
                uri, semicolon, parameters = text.partition(";")
                if "?" in uri or '"' in uri or "," in uri:
                    raise RemoteProtocolError("address needs angle brackets")
                return cls(uri.strip(LWS), semicolon + parameters)
            display = display.strip(LWS)
            if display and not _is_words(display):
                raise RemoteProtocolError("display name needs quotes")
            rest = bracket + rest
        uri, bracket, parameters = rest[1:].partition(">")
        if not bracket:
            raise RemoteProtocolError("unterminated angle bracket")
        parameters = parameters.strip(LWS)
        if parameters and parameters[0] != ";":
            raise RemoteProtocolError("malformed address parameters")
        return cls(uri, parameters, display)

    def parameter(self, name: str) -> str | None:
        """A header parameter's value, "" for one without, None for none; raises RemoteProtocolError."""
        if not self.parameters:
            return None
        for key, value in split_parameters(self.parameters):
            if key == name:
                return "" if value is None else value
        return None

    @property
    def tag(self) -> str:
        """The tag, or "" where there is none."""
        parameters = self.parameters
        if parameters[:5] == ";tag=" and parameters.count(";") == 1:
            return parameters[5:].strip(LWS)
        return self.parameter("tag") or ""

    def with_tag(self, tag: str) -> str:
        """The value with another tag; "" takes the tag away. Other parameters stay."""
        kept = ""
        if self.parameters:
            for name, value in split_parameters(self.parameters):
                if name != "tag":
                    kept += f";{name}" if value is None else f";{name}={value}"
        display = f"{self.display} " if self.display else ""
        return f"{display}<{self.uri}>{kept}{';tag=' + tag if tag else ''}"


def _end_of_quoted(text: str) -> int:
    escaped = False
    for at in range(1, len(text)):
        character = text[at]
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            return at + 1
    raise RemoteProtocolError("unterminated quoted string")


def _is_words(text: str) -> bool:
    """Tokens and blanks; letters beyond ASCII are let through, since they are common and harm nobody."""
    return all(character in TOKEN or character in LWS or character > "\x7f" for character in text)


class CSeq:
    """A sequence number and a method (RFC 3261 section 20.16)."""

    __slots__ = ("method", "number")

    def __init__(self, number: int, method: str) -> None:
        self.number = number
        self.method = method

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Read `314159 INVITE`; raises RemoteProtocolError."""
        pieces = text.split()
        if len(pieces) != 2:
            raise RemoteProtocolError("malformed CSeq")
        return cls(parse_number(pieces[0], "CSeq", MAX_CSEQ), pieces[1])


class RAck:
    """Which reliable provisional response a PRACK is for (RFC 3262 section 7.2)."""

    __slots__ = ("cseq", "method", "rseq")

    def __init__(self, rseq: int, cseq: int, method: str) -> None:
        self.rseq = rseq
        self.cseq = cseq
        self.method = method

    @classmethod
    def parse(cls, text: str) -> RAck:
        """Read `776656 1 INVITE`; raises RemoteProtocolError."""
        pieces = text.split()
        if len(pieces) != 3:
            raise RemoteProtocolError("malformed RAck")
        return cls(
            parse_number(pieces[0], "RAck", MAX_CSEQ), parse_number(pieces[1], "RAck", MAX_CSEQ), pieces[2]
        )


def parse_number(text: str, header: str, most: int) -> int:
    """A run of digits of at most `most`; raises RemoteProtocolError naming the header."""
    text = text.strip(LWS)
    if not (text.isascii() and text.isdigit() and len(text) < 32) or int(text) > most:
        raise RemoteProtocolError(f"malformed {header}")
    return int(text)


def _max_forwards(text: str) -> int:
    return min(parse_number(text, "Max-Forwards", MAX_CSEQ), 255)


def _content_length(text: str) -> int:
    return parse_number(text, "Content-Length", 2**31)


def _delta_seconds(text: str) -> int:
    """Session-Expires and its like: the number before the parameters."""
    return parse_number(text.partition(";")[0], "Session-Expires", MAX_CSEQ)


def _retry_after(text: str) -> int:
    """`120 (comment);duration=60`: the number."""
    digits = text.replace("(", " ").replace(";", " ").split()
    return parse_number(digits[0] if digits else "", "Retry-After", MAX_CSEQ)


def _tokens(text: str) -> list[str]:
    return [part for part in split_commas(text) if part]


def _text(text: str) -> str:
    return text


VIA = Kind("Via", Via.parse, "v")
FROM = Kind("From", NameAddr.parse, "f")
TO = Kind("To", NameAddr.parse, "t")
CALL_ID = Kind("Call-ID", _text, "i")
CSEQ = Kind("CSeq", CSeq.parse)
CONTACT = Kind("Contact", NameAddr.parse, "m")
MAX_FORWARDS = Kind("Max-Forwards", _max_forwards)
CONTENT_LENGTH = Kind("Content-Length", _content_length, "l")
CONTENT_TYPE = Kind("Content-Type", _text, "c")
ROUTE = Kind("Route", NameAddr.parse)
RECORD_ROUTE = Kind("Record-Route", NameAddr.parse)
REQUIRE = Kind("Require", _tokens)
PROXY_REQUIRE = Kind("Proxy-Require", _tokens)
SUPPORTED = Kind("Supported", _tokens, "k")
RACK = Kind("RAck", RAck.parse)
RSEQ = Kind("RSeq", _text)
SESSION_EXPIRES = Kind("Session-Expires", _delta_seconds, "x")
RETRY_AFTER = Kind("Retry-After", _retry_after)
USER_AGENT = Kind("User-Agent", _text)
PAI = Kind("P-Asserted-Identity", _text)

for _name, _compact in (
    ("Content-Encoding", "e"),
    ("Subject", "s"),
    ("Event", "o"),
    ("Allow-Events", "u"),
    ("Refer-To", "r"),
    ("Referred-By", "b"),
    ("Accept-Contact", "a"),
    ("Reject-Contact", "j"),
    ("Request-Disposition", "d"),
    ("Identity", "y"),
    ("Allow", None),
    ("Date", None),
    ("Accept", None),
    ("Reason", None),
    ("Expires", None),
    ("Min-SE", None),
    ("Server", None),
    ("Session-ID", None),
    ("Authorization", None),
    ("Proxy-Authorization", None),
    ("WWW-Authenticate", None),
    ("Proxy-Authenticate", None),
    ("traceparent", None),
    ("tracestate", None),
    ("baggage", None),
    ("previous-trace-id", None),
    ("X-Traceparent", None),
    ("User-to-User", None),
):
    learn(_name, _compact)
