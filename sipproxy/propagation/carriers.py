"""Reading: where in a SIP request trace context can stand, and in which order we believe it.

    traceparent header (+ tracestate), or an alias of it     one value; names that disagree are duplicates
    traceparent parameter in P-Asserted-Identity             when the trunk says `read_pai`
    our names in the header part of the Request-URI or To    a user agent that never converted Refer-To's
    previous-trace-id                                        never a parent, only a link

The first that yields a valid context wins. The carriers between them that need a table of calls (transfer
marker, Replaces, Session-ID) are not read here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from .context import (
    BLANKS,
    RANDOM,
    SAMPLED,
    Previous,
    Rejected,
    TraceContext,
    parse_previous,
    parse_traceparent,
    parse_tracestate,
)
from .settings import Accept, TrunkTrace

Values = Callable[[str], list[str]]
"""Lower-case header name to its values in order, unfolded and not split at commas."""

CONTEXT_HEADERS = frozenset(
    {
        "traceparent",
        "tracestate",
        "previous-trace-id",
        "baggage",
        "otel-trace-id",
        "x-traceparent",
        "x-tracestate",
    }
)
"""Headers that belong to one hop: they never pass as they came."""

MAX_BAGGAGE_MEMBERS = 64  # W3C baggage 3.3: what everybody must at least carry, and the most that we do
MAX_BAGGAGE_BYTES = 8192

_IGNORE = Accept.IGNORE  # member access on an Enum class costs more than the comparison
_TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
BAGGAGE_OCTETS = _TOKEN + "()/:<=>?@[]{}"

_Names = tuple[tuple[str, str], ...]  # (name of traceparent, name of its tracestate or "")
_Read = tuple[TraceContext | None, str, Rejected | None]  # as the first three of Found
_TRACEPARENT_ALONE: _Names = (("traceparent", ""),)
_names_by_aliases: dict[tuple[str, ...], _Names] = {}


@dataclass(slots=True)
class Found:
    """What a request brought along."""

    context: TraceContext | None
    carrier: str  # "traceparent", an alias in lower case, "pai", "uri-header", "previous-trace-id", "none"
    rejected: Rejected | None  # the first thing that was there and could not be taken
    previous: Previous | None  # beside a context only when it names another trace
    baggage: str


def extract_sip(values: Values, settings: TrunkTrace, uri_headers: str = "", to_headers: str = "") -> Found:
    """Read a request's context; `uri_headers` and `to_headers` are what stands behind `?`, still escaped."""
    names = _names_by_aliases.get(settings.aliases) or _names(settings.aliases)
    context, carrier, rejected = _read_headers(values, names)
    if context is None and settings.read_pai:
        context, carrier, rejected = _or_else(rejected, "pai", _read_pai(values))
    previous_rows = values("previous-trace-id")
    baggage_rows = values("baggage")
    if uri_headers or to_headers:
        for text in (uri_headers, to_headers):
            in_uri = _uri_values(text)
            if context is None:
                context, carrier, rejected = _or_else(rejected, "uri-header", _read_headers(in_uri, names))
            previous_rows = previous_rows or in_uri("previous-trace-id")
            baggage_rows = baggage_rows or in_uri("baggage")
    previous = _read_previous(previous_rows) if previous_rows else None
    if settings.accept is _IGNORE:
        present = context is not None or rejected is not None or previous_rows
        return Found(None, "none", Rejected.UNTRUSTED if present else None, None, "")
    if context is None:
        if previous is not None:
            carrier = "previous-trace-id"
    elif previous is not None and previous.trace_id == context.trace_id:
        previous = None
    return Found(context, carrier, rejected, previous, parse_baggage(baggage_rows) if baggage_rows else "")


def _or_else(earlier: Rejected | None, carrier: str, read: _Read) -> _Read:
    """Take the next carrier's answer under its own name; the first reason for a rejection stands."""
    context, _, rejected = read
    return context, carrier if context is not None else "none", earlier or rejected


def _names(aliases: tuple[str, ...]) -> _Names:
    names = [("traceparent", "tracestate")]
    for alias in aliases:
        name = alias.lower()
        names.append((name, name.replace("traceparent", "tracestate") if "traceparent" in name else ""))
    return _names_by_aliases.setdefault(aliases, tuple(names))


def _read_headers(values: Values, names: _Names) -> _Read:
    """Read one context that may stand under several names. A name with a bad value counts as absent."""
    context: TraceContext | None = None
    carrier = "none"
    rejected: Rejected | None = None
    for name, state_name in names:
        rows = values(name)
        if not rows:
            continue
        read = parse_traceparent(rows[0]) if len(rows) == 1 else Rejected.DUPLICATE
        if isinstance(read, Rejected):
            if read is Rejected.DUPLICATE:
                return None, "none", read
            rejected = rejected or read
            continue
        if context is None:
            context = read
            carrier = name
        elif not _agree(context, read):
            return None, "none", Rejected.DUPLICATE
        if state_name and not context.tracestate:
            states = values(state_name)
            if states:
                context.tracestate = parse_tracestate(states)  # still ours alone
    return context, carrier, rejected


def _agree(one: TraceContext, other: TraceContext) -> bool:
    return (
        one.trace_id == other.trace_id
        and one.span_id == other.span_id
        and not (one.flags ^ other.flags) & (SAMPLED | RANDOM)
    )


def _uri_values(text: str) -> Values:
    """See the header part of a URI as headers (RFC 3261 19.1.1). Decoded once: `%2525` stays `%25`."""
    rows: dict[str, list[str]] = {}
    for field in text.split("&"):
        name, _, value = field.partition("=")
        rows.setdefault(unquote(name).lower(), []).append(unquote(value))
    return lambda name: rows.get(name, [])


def _read_previous(rows: list[str]) -> Previous | None:
    """Several rows that say different things say nothing."""
    first = parse_previous(rows[0])
    for row in rows[1:]:
        if parse_previous(row) != first:
            return None
    return first


# P-Asserted-Identity


def _read_pai(values: Values) -> _Read:
    """Two identities (sip and tel) may carry the same context; two contexts are duplicates."""
    rows = values("p-asserted-identity")
    texts = list(dict.fromkeys(text for value in rows for _, _, text in _pai_parameters(value)))
    return _read_headers(lambda _: texts, _TRACEPARENT_ALONE)


def strip_pai(value: str) -> str:
    """Take a traceparent parameter out of a P-Asserted-Identity value; all else stays byte by byte."""
    parameters = _pai_parameters(value)
    for start, stop, _ in reversed(parameters):
        value = value[:start] + value[stop:]
    return value


def _pai_parameters(value: str) -> list[tuple[int, int, str]]:
    """Find `;traceparent=...` outside quoted strings: where it starts, where it stops, its value.

    It is taken wherever it stands, in the URI, behind it, or (wrongly) in the user part.
    """
    found: list[tuple[int, int, str]] = []
    if "traceparent" not in value.lower():
        return found
    at = 0
    balanced = True
    while True:
        semicolon = value.find(";", at)
        if semicolon < 0:
            return found
        quote = value.find('"', at, semicolon) if balanced else -1
        if quote >= 0:
            closed = end_of_quoted(value, quote)
            balanced = closed > 0  # a quote that never closes hides nothing
            at = max(closed, at)
            continue
        stop = semicolon + 1
        while stop < len(value) and value[stop] not in ';>,?@"':
            stop += 1
        name, _, text = value[semicolon + 1 : stop].partition("=")
        quoted = value[stop : stop + 1] == '"' and not text.strip(BLANKS)
        closed = end_of_quoted(value, stop) if quoted and balanced else -1
        if closed > 0:
            text = value[stop:closed].strip('"')
            stop = closed
        if name.strip(BLANKS).lower() == "traceparent":
            blanks = stop - len(value[:stop].rstrip(BLANKS))
            found.append((semicolon, stop - blanks, text.strip(BLANKS)))
        at = stop


def end_of_quoted(value: str, quote: int) -> int:
    """Where the quoted string that opens at `quote` is over; -1 when it never closes."""
    at = quote + 1
    while at < len(value):
        if value[at] == '"':
            return at + 1
        at += 2 if value[at] == "\\" else 1
    return -1


# Baggage


def parse_baggage(rows: list[str]) -> str:
    """Join the members that are valid W3C baggage, as they came, and leave out what is bad or too much."""
    members: list[str] = []
    size = 0
    for row in rows:
        for part in row.split(","):
            member = part.strip(BLANKS)
            if not _is_baggage(member):
                continue
            size += len(member) + 1
            if len(members) == MAX_BAGGAGE_MEMBERS or size > MAX_BAGGAGE_BYTES + 1:
                return ",".join(members)
            members.append(member)
    return ",".join(members)


def _is_baggage(member: str) -> bool:
    """`key=value;property;property=value`, blanks allowed around every part."""
    needs_value = True
    for part in member.split(";"):
        key, equals, value = part.partition("=")
        if not is_token(key.strip(BLANKS)) or value.strip(BLANKS).strip(BAGGAGE_OCTETS):
            return False
        if needs_value and not equals:
            return False
        needs_value = False
    return True


def is_token(text: str) -> bool:
    """Whether this can be a baggage key (RFC 7230 token)."""
    return bool(text) and not text.strip(_TOKEN)


def read_baggage(baggage: str) -> dict[str, str]:
    """Keys and decoded values of baggage that `parse_baggage` let through; properties are left out."""
    members: dict[str, str] = {}
    for member in baggage.split(","):
        key, equals, value = member.partition(";")[0].partition("=")
        if equals:
            members[key.strip(BLANKS)] = unquote(value.strip(BLANKS))
    return members
