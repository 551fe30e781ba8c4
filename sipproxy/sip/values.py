"""What header values are: comma lists, parameters, hops, addresses, sequence numbers (RFC 3261 sections
7.3.1, 20, 25.1).
"""

from __future__ import annotations

from ..errors import RemoteProtocolError
from .uri import TOKEN, parse_host_port

LWS = " \t\r\n"
MAX_NUMBER = 2**32 - 1
_BLANKS = frozenset(LWS)


def split_commas(text: str) -> list[str]:
    """The values of a comma list; commas in quotes and angle brackets do not part."""
    if "," not in text:
        return [text]
    if '"' not in text and "<" not in text:
        return [part.strip(LWS) for part in text.split(",")]
    return [part.strip(LWS) for part in _split(text, ",")]


def split_parameters(text: str) -> list[tuple[str, str | None]]:
    """`;a=1;b` as [("a", "1"), ("b", None)], names in lower case. RemoteProtocolError on an empty one."""
    pieces = text.split(";") if '"' not in text else _split(text, ";")
    if pieces[0].strip(LWS):
        raise RemoteProtocolError("malformed parameters")
    found: list[tuple[str, str | None]] = []
    for piece in pieces[1:]:
        name, equals, value = piece.partition("=")
        name = name.strip(LWS).lower()
        if not name or not TOKEN.issuperset(name):
            raise RemoteProtocolError("malformed parameter")
        if equals:
            value = value.strip(LWS)
            if not value:
                raise RemoteProtocolError("parameter without its value")
            if value[0] != '"' and not _BLANKS.isdisjoint(value):
                raise RemoteProtocolError("malformed parameter")
            found.append((name, value))
        else:
            found.append((name, None))
    return found


def _split(text: str, separator: str) -> list[str]:
    """The pieces between separators that stand neither in quotes nor, for commas, in angle brackets."""
    pieces: list[str] = []
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
            bracketed = separator == ","
        elif character == ">":
            bracketed = False
        elif character == separator and not bracketed:
            pieces.append(text[start:at])
            start = at + 1
    if quoted and separator == ";":
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

    __slots__ = ("display", "parameters", "tag", "uri")

    def __init__(self, uri: str, parameters: str = "", display: str = "") -> None:
        self.display = display  # as written, quotes and all
        self.uri = uri
        self.parameters = parameters  # raw, from the first `;` on, or empty
        self.tag = ""
        if parameters:
            if parameters[:5] == ";tag=" and TOKEN.issuperset(parameters[5:]) and len(parameters) > 5:
                self.tag = parameters[5:]
            else:
                self.tag = self.parameter("tag") or ""

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        """Read one value; raises RemoteProtocolError."""
        if text[:1] == '"':
            end = text.find('"', 1) + 1
            if not end or "\\" in text[:end]:
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

    def with_tag(self, tag: str) -> str:
        """The value with another tag; "" takes the tag away. Other parameters stay."""
        kept = ""
        if self.parameters and (not self.tag or self.parameters.count(";") > 1):
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
        return cls(parse_number(pieces[0], "CSeq", MAX_NUMBER), pieces[1])


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
        rseq = parse_number(pieces[0], "RAck", MAX_NUMBER)
        return cls(rseq, parse_number(pieces[1], "RAck", MAX_NUMBER), pieces[2])


def parse_number(text: str, header: str, most: int) -> int:
    """A run of digits of at most `most`; raises RemoteProtocolError naming the header."""
    text = text.strip(LWS)
    if not (text.isascii() and text.isdigit() and len(text) < 32) or int(text) > most:
        raise RemoteProtocolError(f"malformed {header}")
    return int(text)
