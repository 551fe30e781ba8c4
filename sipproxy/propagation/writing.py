"""Writing: the header rows that carry a context on, and what gives way when a datagram gets too long.

The trunk's `trace.send` list says which names are written; an empty list writes nothing at all. A copy is
never worth a fragmented datagram, so towards a size limit the rows give way from the least to the most
useful: baggage, alias copies, long tracestate members, tracestate from the right. traceparent and
previous-trace-id stay.
"""

from __future__ import annotations

from urllib.parse import quote

from sipproxy.errors import LocalProtocolError

from .carriers import BAGGAGE_OCTETS, end_of_quoted, is_token, parse_baggage, strip_pai
from .context import TraceContext
from .settings import Carrier

Row = tuple[str, str]

# Access to a member of an Enum class is dear, and this runs for every request.
_TRACEPARENT = Carrier.TRACEPARENT
_TRACESTATE = Carrier.TRACESTATE
_X_TRACEPARENT = Carrier.X_TRACEPARENT
_OTEL_TRACE_ID = Carrier.OTEL_TRACE_ID
_BAGGAGE = Carrier.BAGGAGE

_LONG_MEMBER = 128  # W3C 3.3.1.5: longer members give way first
_UNESCAPED = BAGGAGE_OCTETS.replace("%", "")


def write_sip(
    context: TraceContext,
    send: tuple[Carrier, ...],
    *,
    previous: str = "",
    baggage: str = "",
    room: int | None = None,
) -> tuple[list[Row], list[str]]:
    """Give the header rows, and the names of what did not fit into `room` bytes (None: no limit)."""
    rows = _rows(context, context.tracestate, send, previous, baggage)
    if room is None or _size(rows) <= room:
        return rows, []
    return _shorten(context, send, previous, baggage, room)


def _rows(
    context: TraceContext, tracestate: str, send: tuple[Carrier, ...], previous: str, baggage: str
) -> list[Row]:
    rows: list[Row] = []
    if not send:
        return rows
    traceparent = context.traceparent()
    listed = tracestate if _TRACESTATE in send else ""
    if _TRACEPARENT in send:
        rows.append(("traceparent", traceparent))
        if listed:
            rows.append(("tracestate", listed))
    if _X_TRACEPARENT in send:
        rows.append(("x-traceparent", traceparent))
        if listed:
            rows.append(("x-tracestate", listed))
    if _OTEL_TRACE_ID in send:
        rows.append(("otel-trace-id", context.trace_id))
    if previous:
        rows.append(("previous-trace-id", previous))
    if baggage and _BAGGAGE in send:
        rows.append(("baggage", baggage))
    return rows


def _shorten(
    context: TraceContext, send: tuple[Carrier, ...], previous: str, baggage: str, room: int
) -> tuple[list[Row], list[str]]:
    """Take away one thing after the other until the rest fits, or nothing is left that may go."""
    tracestate = context.tracestate
    dropped: list[str] = []
    if baggage and _BAGGAGE in send:
        baggage = ""
        dropped.append("baggage")
    rows = _rows(context, tracestate, send, previous, baggage)
    excess = _size(rows) - room
    if excess > 0 and _X_TRACEPARENT in send and _TRACEPARENT in send:  # on its own it is no copy
        send = tuple(carrier for carrier in send if carrier is not _X_TRACEPARENT)
        dropped.append("aliases")
        rows = _rows(context, tracestate, send, previous, baggage)
        excess = _size(rows) - room
    if excess > 0 and len(rows) > 1 and rows[1][1] == tracestate:
        tracestate, gone = _trim_tracestate(tracestate, excess, len(rows[1][0]) + 4)
        dropped += gone
        rows = _rows(context, tracestate, send, previous, baggage)
    return rows, dropped


def _trim_tracestate(tracestate: str, excess: int, row_overhead: int) -> tuple[str, list[str]]:
    """Drop members from the right, the long ones first, until `excess` bytes are saved or none is left."""
    members = tracestate.split(",")
    dropped: list[str] = []
    for name, longer_than in (("tracestate-long", _LONG_MEMBER), ("tracestate", 0)):
        for index in range(len(members) - 1, -1, -1):
            if excess <= 0:
                break
            if len(members[index]) > longer_than:
                excess -= len(members.pop(index)) + (1 if members else row_overhead)
                if name not in dropped:
                    dropped.append(name)
    return ",".join(members), dropped


def _size(rows: list[Row]) -> int:
    """Bytes on the wire; all that we write is ASCII."""
    size = 4 * len(rows)  # ": " and CRLF
    for name, value in rows:
        size += len(name) + len(value)
    return size


def previous_value(context: TraceContext) -> str:
    """`previous-trace-id` for what a transfer causes."""
    return f"{context.trace_id};span={context.span_id}"


# P-Asserted-Identity


def pai_parameter(context: TraceContext) -> str:
    """The URI parameter that carries the context inside an identity."""
    return f";traceparent={context.traceparent()}"


def stamp_pai(value: str, context: TraceContext) -> str:
    """Put the context into the first identity's URI, in place of any that was there.

    An identity without <> gets them: behind a bare URI the parameter would not be the URI's (RFC 3261 20.10).
    """
    value = strip_pai(value)
    parameter = pai_parameter(context)
    start = len(value) - len(value.lstrip())
    closed = end_of_quoted(value, start) if value[start : start + 1] == '"' else start
    opening = value.find("<", closed) if closed >= 0 else -1
    if opening < 0:
        if closed != start or start == len(value):
            return value  # a display name without an address, or nothing at all: no identity to stamp
        uri, comma, rest = value[start:].partition(",")
        uri = uri.rstrip()
        at = _end_of_parameters(uri)
        return f"{value[:start]}<{uri[:at]}{parameter}{uri[at:]}>{comma}{rest}"
    end = value.find(">", opening)
    if end < 0:
        return value
    at = opening + _end_of_parameters(value[opening:end])
    return value[:at] + parameter + value[at:]


def _end_of_parameters(uri: str) -> int:
    """Where the header part of a URI starts, or its end. A `?` in the user part is not it."""
    mark = uri.find("?", uri.rfind("@") + 1)
    return mark if mark >= 0 else len(uri)


# Baggage


def write_baggage(members: dict[str, str]) -> str:
    """Write W3C baggage; values are escaped, and members that no longer fit are left out."""
    rows: list[str] = []
    for key, value in members.items():
        if not is_token(key):
            raise LocalProtocolError(f"baggage key {key!r} is not a token")
        rows.append(f"{key}={quote(value, safe=_UNESCAPED, errors='replace')}")
    return parse_baggage(rows)


def add_baggage(baggage: str, key: str, value: str) -> str:
    """Put one member in front of baggage that came in, in place of one of the same key."""
    kept = [m for m in baggage.split(",") if m.partition(";")[0].partition("=")[0].strip() != key]
    return parse_baggage([write_baggage({key: value}), *kept])
