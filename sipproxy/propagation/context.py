"""Trace context as values: W3C traceparent and tracestate (level 2), and our `previous-trace-id`.

Reading is strict, because a context that two elements understand differently splits a trace: a value that is
not exactly right is an absent one, and the reason is kept for the record. Nothing here raises.

    traceparent        00-<trace-id: 32 hex>-<span-id: 16 hex>-<flags: 2 hex>
    tracestate         key=value,key=value        at most 32 members
    previous-trace-id  <trace-id>;span=<span-id>  or a bare trace-id, or a traceparent
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

BLANKS = " \t"
SAMPLED = 0x01
RANDOM = 0x02

# `not text.strip(ALPHABET)` asks in one C call whether every character of `text` is in the alphabet.
_HEX = "0123456789abcdef"
_HEX_AND_DASH = _HEX + "-"
_KEY_START = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_KEY = "abcdefghijklmnopqrstuvwxyz0123456789_-*/@"

_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16
_TRACEPARENT_SIZE = 55
_KNOWN_FLAGS = ("00", "01", "02", "03")
_MAX_MEMBERS = 32
_MAX_KEY = 256
_MAX_VALUE = 256


class Rejected(StrEnum):
    """Why a trace context that was there is treated as absent."""

    DUPLICATE = "duplicate"  # several values, or names that disagree
    BAD_VERSION = "bad_version"
    BAD_FORMAT = "bad_format"
    ZERO_ID = "zero_id"
    TOO_LONG = "too_long"  # something stands behind a version-00 value
    UNTRUSTED = "untrusted"  # the trunk says `accept: ignore`


@dataclass(slots=True, unsafe_hash=True)
class TraceContext:
    """One place in one trace. Nobody changes it; `child` makes the next one."""

    trace_id: str
    span_id: str
    flags: int
    tracestate: str = ""

    @property
    def sampled(self) -> bool:
        """Whether the sender says that it records this trace."""
        return bool(self.flags & SAMPLED)

    def traceparent(self) -> str:
        """The header value: version 00, flags that we do not know are zero."""
        return f"00-{self.trace_id}-{self.span_id}-{_KNOWN_FLAGS[self.flags & (SAMPLED | RANDOM)]}"

    def child(self, span_id: str) -> TraceContext:
        """The same trace, seen from another span."""
        return TraceContext(self.trace_id, span_id, self.flags, self.tracestate)


@dataclass(slots=True, unsafe_hash=True)
class Previous:
    """The trace that a transfer came from; without a span-id if the sender gave none."""

    trace_id: str
    span_id: str | None


def is_trace_id(text: str) -> bool:
    """Whether this is a trace-id: 32 lower-case hex digits, not all zero."""
    return len(text) == 32 and not text.strip(_HEX) and text != _NO_TRACE


def is_span_id(text: str) -> bool:
    """Whether this is a span-id: 16 lower-case hex digits, not all zero."""
    return len(text) == 16 and not text.strip(_HEX) and text != _NO_SPAN


def parse_traceparent(text: str) -> TraceContext | Rejected:
    """Read one traceparent value, or say why not.

    Of a later version we read what version 00 defines, if that part ends where it must (W3C 3.2.4).
    """
    text = text.strip(BLANKS)
    head = text[:_TRACEPARENT_SIZE]
    # Three dashes in their places leave no other, so hex digits and dashes are all there is to check.
    if (
        len(head) != _TRACEPARENT_SIZE
        or head[2] != "-"
        or head[35] != "-"
        or head[52] != "-"
        or head.count("-") != 3
        or head.strip(_HEX_AND_DASH)
        or head.startswith("ff")
    ):
        return _fault(text)
    if len(text) != _TRACEPARENT_SIZE:
        if head.startswith("00"):
            return Rejected.TOO_LONG
        if text[_TRACEPARENT_SIZE] != "-":
            return Rejected.BAD_FORMAT
    trace_id = head[3:35]
    span_id = head[36:52]
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return Rejected.ZERO_ID
    return TraceContext(trace_id, span_id, int(head[53:], 16))


def _fault(text: str) -> Rejected:
    """Tell a version that is none from everything else that can be wrong."""
    version, dash, _ = text.partition("-")
    if dash and (len(version) != 2 or version.strip(_HEX) or version == "ff"):
        return Rejected.BAD_VERSION
    return Rejected.BAD_FORMAT


def parse_tracestate(rows: list[str]) -> str:
    """Join the members of all rows in their order; one bad member, or a 33rd, and there is no tracestate.

    Of a key that comes twice the first member stays: on the left stands the newest.
    """
    members: dict[str, str] = {}
    count = 0
    for row in rows:
        for part in row.split(","):
            member = part.strip(BLANKS)
            if not member:
                continue
            count += 1
            key, _, value = member.partition("=")
            if (
                count > _MAX_MEMBERS
                or not key
                or key[0] not in _KEY_START
                or len(key) > _MAX_KEY
                or key.strip(_KEY)
                or not value
                or len(value) > _MAX_VALUE
                or "=" in value
                or not value.isascii()
                or not value.isprintable()
            ):
                return ""
            if key not in members:
                members[key] = member
    return ",".join(members.values())


def parse_previous(text: str) -> Previous | None:
    """Read a `previous-trace-id` in any of its three forms."""
    text = text.strip(BLANKS)
    trace_id, semicolon, parameter = text.partition(";")
    trace_id = trace_id.rstrip(BLANKS)
    if is_trace_id(trace_id):
        if not semicolon:
            return Previous(trace_id, None)
        name, _, span_id = parameter.partition("=")
        span_id = span_id.strip(BLANKS)
        if name.strip(BLANKS).lower() == "span" and is_span_id(span_id):
            return Previous(trace_id, span_id)
        return None
    context = parse_traceparent(text)
    if isinstance(context, TraceContext):
        return Previous(context.trace_id, context.span_id)
    return None
