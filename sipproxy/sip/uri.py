"""SIP, SIPS and tel URIs (RFC 3261 section 19.1, RFC 3966), parsed without changing a character.

sip:user:password@host:port;parameter=value?header=value
"""

from __future__ import annotations

from functools import lru_cache

from ..errors import RemoteProtocolError

TOKEN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~")
_SCHEME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.")
_HOST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")
_IPV6 = frozenset("0123456789abcdefABCDEF:.")
_HEX = frozenset(b"0123456789abcdefABCDEF")
_NOT_IN_URI = frozenset(' \t\r\n<>"')


class Uri:
    """A URI in its parts. `opaque` holds what follows the scheme where that is neither sip, sips nor tel."""

    __slots__ = ("headers", "host", "opaque", "parameters", "password", "port", "scheme", "user")

    def __init__(self) -> None:
        self.scheme = "sip"
        self.user: str | None = None  # as written, escapes and all; for tel the number
        self.password: str | None = None
        self.host = ""  # lower case, without brackets
        self.port: int | None = None
        self.parameters = ""  # raw, from the first `;` on, or empty
        self.headers = ""  # raw, behind `?`
        self.opaque = ""

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Read a URI; raises RemoteProtocolError (400) when it is none."""
        uri = cls()
        scheme, colon, rest = text.partition(":")
        if not colon or not scheme or not _SCHEME.issuperset(scheme) or not scheme[0].isalpha():
            raise RemoteProtocolError("malformed URI: no scheme")
        uri.scheme = scheme.lower()
        if not _NOT_IN_URI.isdisjoint(rest):
            raise RemoteProtocolError("malformed URI: blank or bracket inside")
        if uri.scheme == "tel":
            uri.user, semicolon, parameters = rest.partition(";")
            uri.parameters = semicolon + parameters
        elif uri.scheme in ("sip", "sips"):
            uri._parse_sip(rest)
        else:
            uri.opaque = rest
        return uri

    def _parse_sip(self, rest: str) -> None:
        # The user may hold ; and ? (RFC 3261 section 25.1), so the first thing to find is the @.
        user, at, host = rest.rpartition("@") if rest.count("@") == 1 else rest.partition("@")
        if at:
            if not user:
                raise RemoteProtocolError("malformed URI: empty user")
            self.user, colon, password = user.partition(":")
            if colon:
                self.password = password
        else:
            host = rest
        host, question, headers = host.partition("?")
        if question:
            self.headers = headers
        host, semicolon, parameters = host.partition(";")
        if semicolon:
            if not parameters:
                raise RemoteProtocolError("malformed URI: empty parameter")
            self.parameters = semicolon + parameters
        self.host, self.port = parse_host_port(host)

    @property
    def is_sip(self) -> bool:
        """sip or sips."""
        return self.scheme == "sip" or self.scheme == "sips"

    def parameter(self, name: str) -> str | None:
        """A URI parameter's value, "" for one without, None for none."""
        if not self.parameters:
            return None
        for pair in self.parameters.split(";"):
            key, _, value = pair.partition("=")
            if key.lower() == name:
                return value
        return None

    def with_host(self, host: str) -> str:
        """This URI towards another `host[:port]`: user and parameters stay, header part and addressing go."""
        user = ""
        if self.user is not None:
            user = self.user if self.password is None else f"{self.user}:{self.password}"
            user += "@"
        return f"{self.scheme}:{user}{host}{self._parameters_without_addressing()}"

    def _parameters_without_addressing(self) -> str:
        if not self.parameters:
            return ""
        kept = [
            pair
            for pair in self.parameters[1:].split(";")
            if pair.partition("=")[0].lower() not in ("transport", "maddr", "ttl", "lr")
        ]
        return "".join(";" + pair for pair in kept)

    def __str__(self) -> str:
        if not self.is_sip:
            return f"{self.scheme}:{self.user or ''}{self.opaque}{self.parameters}"
        user = ""
        if self.user is not None:
            user = (self.user if self.password is None else f"{self.user}:{self.password}") + "@"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{user}{host}{port}{self.parameters}{headers}"


# The same few texts come again and again: our own Contact, a trunk's, a peer's for as long as its calls last.
_known = lru_cache(maxsize=2048)(Uri.parse)


def parse_uri(text: str) -> Uri:
    """Read a URI, or know it from before; long ones are not kept: no peer can fill memory with them."""
    return _known(text) if len(text) <= 256 else Uri.parse(text)


def parse_host_port(text: str) -> tuple[str, int | None]:
    """Split `host[:port]`; IPv6 needs brackets. Raises RemoteProtocolError."""
    if text[:1] == "[":
        host, bracket, after = text[1:].partition("]")
        if not bracket or ":" not in host or not _IPV6.issuperset(host) or (after and after[0] != ":"):
            raise RemoteProtocolError("malformed IPv6 reference")
        return host.lower(), _port(after[1:]) if after else None
    host, colon, port = text.partition(":")
    if not host or not _HOST.issuperset(host):
        raise RemoteProtocolError("malformed host")
    return host.lower(), _port(port) if colon else None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5) or int(text) > 65535:
        raise RemoteProtocolError("malformed port")
    return int(text)


def unescape(text: str) -> str:
    """Decode %HH once; a % that starts no escape stays (RFC 3261 section 19.1.2)."""
    if "%" not in text:
        return text
    head, *pieces = text.encode("utf-8", "surrogateescape").split(b"%")
    out = bytearray(head)
    for piece in pieces:
        digits = piece[:2]
        if len(digits) == 2 and _HEX.issuperset(digits):
            out.append(int(digits, 16))
            out += piece[2:]
        else:
            out += b"%" + piece
    return out.decode("utf-8", "surrogateescape")
