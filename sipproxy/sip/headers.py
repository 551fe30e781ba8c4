"""Header fields: one row per kind, and the small classes their values are (RFC 3261 sections 7.3, 20, 25).

VIA = Kind("Via", Via.parse, compact="v")      adding a header is adding a row
request.headers.first(VIA)                     parsed now, kept; malformed raises every time
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Generic, TypeVar

from ..errors import RemoteProtocolError
from .uri import TOKEN
from .values import MAX_NUMBER, CSeq, NameAddr, RAck, Via, parse_number, split_commas

T = TypeVar("T")

# Names as we write them, by the key under which a header is found. Compact forms: RFC 3261 section 20 and the
# IANA registry.
KEYS: dict[str, str] = {}


class Kind(Generic[T]):
    """A header's name, its key (lower case) and how its value is read."""

    __slots__ = ("key", "listed", "name", "parse")

    def __init__(
        self, name: str, parse: Callable[[str], T], compact: str | None = None, *, listed: bool = False
    ) -> None:
        self.name = name
        self.listed = listed  # a line may hold several values
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


def _max_forwards(text: str) -> int:
    return min(parse_number(text, "Max-Forwards", MAX_NUMBER), 255)


def _content_length(text: str) -> int:
    return parse_number(text, "Content-Length", 2**31)


def _delta_seconds(text: str) -> int:
    """Session-Expires and its like: the number before the parameters."""
    return parse_number(text.partition(";")[0], "Session-Expires", MAX_NUMBER)


def _expires(text: str) -> int:
    return parse_number(text, "Expires", MAX_NUMBER)


def _retry_after(text: str) -> int:
    """`120 (comment);duration=60`: the number."""
    digits = text.replace("(", " ").replace(";", " ").split()
    return parse_number(digits[0] if digits else "", "Retry-After", MAX_NUMBER)


def _tokens(text: str) -> list[str]:
    return [part for part in split_commas(text) if part]


def _text(text: str) -> str:
    return text


_KEPT_LENGTH = 256  # characters; a longer value is read anew, so that no peer can fill memory with them


def _kept(parse: Callable[[str], T], size: int) -> Callable[[str], T]:
    """A call repeats its values: the same From and To in every message, the same Via in every response."""
    known = lru_cache(maxsize=size)(parse)
    return lambda text: known(text) if len(text) <= _KEPT_LENGTH else parse(text)


_via = _kept(Via.parse, 1024)
_address = _kept(NameAddr.parse, 4096)
_cseq = _kept(CSeq.parse, 256)

VIA = Kind("Via", _via, "v")
FROM = Kind("From", _address, "f")
TO = Kind("To", _address, "t")
CALL_ID = Kind("Call-ID", _text, "i")
CSEQ = Kind("CSeq", _cseq)
CONTACT = Kind("Contact", _address, "m", listed=True)
MAX_FORWARDS = Kind("Max-Forwards", _max_forwards)
CONTENT_LENGTH = Kind("Content-Length", _content_length, "l")
CONTENT_TYPE = Kind("Content-Type", _text, "c")
ROUTE = Kind("Route", NameAddr.parse, listed=True)
RECORD_ROUTE = Kind("Record-Route", NameAddr.parse, listed=True)
REQUIRE = Kind("Require", _tokens)
PROXY_REQUIRE = Kind("Proxy-Require", _tokens)
SUPPORTED = Kind("Supported", _tokens, "k")
RACK = Kind("RAck", RAck.parse)
RSEQ = Kind("RSeq", _text)
SESSION_EXPIRES = Kind("Session-Expires", _delta_seconds, "x")
RETRY_AFTER = Kind("Retry-After", _retry_after)
EXPIRES_S = Kind("Expires", _expires)
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
