"""Span records as the bytes of an OTLP ExportTraceServiceRequest, without an object per span in between.

Protobuf is tag, length, content, and fields may come in any order. So resource and scope, encoded once by
whoever has the official classes, stand in front; a span is its fields one after the other. The numbers are
those of opentelemetry/proto/trace/v1/trace.proto; the tests compare with the official encoder.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache

from .attributes import Attributes, Value
from .record import CLIENT, INTERNAL, PARENT_IS_REMOTE, SERVER, Event, Link, SpanRecord

# Tag bytes: field number << 3 | wire type
_RESOURCE_SPANS = b"\x0a"  # of the request
_SCOPE_SPANS = b"\x12"  # of ResourceSpans
_SPAN = b"\x12"  # of ScopeSpans
_STATE, _NAME, _ATTRIBUTE = b"\x1a", b"\x2a", b"\x4a"  # of Span
_EVENT, _DROPPED_EVENTS, _LINK = b"\x5a", b"\x60", b"\x6a"
_EVENT_NAME, _EVENT_ATTRIBUTE = b"\x12", b"\x1a"
_KEY, _VALUE = b"\x0a", b"\x12"  # of KeyValue
_STRING, _TRUE, _FALSE, _INTEGER, _DOUBLE = b"\x0a", b"\x10\x01", b"\x10\x00", b"\x18", b"\x21"  # of AnyValue

_KINDS = {INTERNAL: b"\x30\x01", SERVER: b"\x30\x02", CLIENT: b"\x30\x03"}
_UNSET, _ERROR = b"\x7a\x00", b"\x7a\x02\x18\x02"  # status
_HERE = b"\x85\x01\x00\x01\x00\x00"  # flags: it is known whether the parent is remote, and it is not
_REMOTE = b"\x85\x01\x00\x03\x00\x00"  # it is
_REMOTE_LINK = b"\x35\x00\x03\x00\x00"

_times = struct.Struct("<BQBQ").pack  # tag and nanoseconds, of the start and of the end
_time = struct.Struct("<BQ").pack
_double = struct.Struct("<d").pack

# What comes with every call stays; what is one call's own is soon pushed out. All of it is masked.
_CACHED = 2048


class Envelope:
    """What stands around the spans of every request: `resource` is a ResourceSpans without its ScopeSpans,
    `scope` a ScopeSpans without its spans."""

    __slots__ = ("resource", "scope")

    def __init__(self, resource: bytes, scope: bytes) -> None:
        self.resource = resource
        self.scope = scope

    def around(self, spans: Iterable[bytes]) -> bytes:
        """The request with these spans, each from `encode_span`."""
        scope_spans = b"".join((self.scope, *spans))
        return _field(_RESOURCE_SPANS, self.resource + _field(_SCOPE_SPANS, scope_spans))


def encode_span(record: SpanRecord) -> bytes:
    """One span, as a field of ScopeSpans."""
    parent_id = record.parent_id
    ids = f"0a10{record.trace_id}1208{record.span_id}"  # hex already, so their tags and lengths are too
    parts = [
        bytes.fromhex(f"{ids}2208{parent_id}" if parent_id else ids),
        _REMOTE if parent_id and record.flags & PARENT_IS_REMOTE else _HERE,
        _text(_NAME, record.name),
        _KINDS[record.kind],
        _times(0x39, record.start_ns, 0x41, record.end_ns),
        _ERROR if record.failed else _UNSET,
    ]
    if record.tracestate:
        parts.append(_field(_STATE, _utf8(record.tracestate)))
    parts += _attributes(_ATTRIBUTE, record.attributes)
    parts += [_event(event) for event in record.events]
    if record.dropped_events:
        parts.append(_DROPPED_EVENTS + _varint(record.dropped_events))
    parts += [_link(link) for link in record.links]
    return _field(_SPAN, b"".join(parts))


def _event(event: Event) -> bytes:
    name, at_ns, attributes = event
    body = _time(0x09, at_ns) + _text(_EVENT_NAME, name)
    if attributes:
        body += b"".join(_attributes(_EVENT_ATTRIBUTE, attributes))
    return _field(_EVENT, body)


def _link(link: Link) -> bytes:
    trace_id, span_id, _ = link
    return _field(_LINK, bytes.fromhex(f"0a10{trace_id}1208{span_id}") + _REMOTE_LINK)


def _attributes(tag: bytes, attributes: Attributes) -> list[bytes]:
    return [
        _attribute(tag, name, value) if isinstance(value, float) else _kept_attribute(tag, name, value)
        for name, value in attributes.items()
    ]


def _attribute(tag: bytes, name: str, value: Value) -> bytes:
    """Nothing for an integer that OTLP has no room for: the official encoder leaves it out as well."""
    if isinstance(value, str):
        content = _field(_STRING, _utf8(value))
    elif isinstance(value, bool):
        content = _TRUE if value else _FALSE
    elif isinstance(value, float):
        content = _DOUBLE + _double(value)
    elif -_TOO_BIG <= value < _TOO_BIG:
        content = _INTEGER + _varint(value & _64_BITS)
    else:
        return b""
    return _field(tag, _text(_KEY, name) + _field(_VALUE, content))


_kept_attribute = lru_cache(_CACHED, typed=True)(_attribute)  # typed: 1 is not True


# The wire

_64_BITS, _TOO_BIG = (1 << 64) - 1, 1 << 63


@lru_cache(_CACHED)
def _text(tag: bytes, text: str) -> bytes:
    return _field(tag, _utf8(text))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Seven bits to the byte, the lowest first."""
    if number < len(_VARINTS):
        return _VARINTS[number]
    return bytes((number & 0x7F | 0x80,)) + _varint(number >> 7)


_VARINTS: list[bytes] = [bytes((number,)) for number in range(0x80)]
_VARINTS += [bytes((number & 0x7F | 0x80, number >> 7)) for number in range(0x80, 0x1000)]
