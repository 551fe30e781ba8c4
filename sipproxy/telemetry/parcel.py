"""What the signalling process hands to the observer at a time: spans, what is told of calls, SIP messages.

Plain values alone, packed by marshal: both ends are the same Python.
"""

from __future__ import annotations

import marshal
from typing import Any, NamedTuple

from .record import SpanRecord

RINGING, GOING, OVER = "ringing", "going", "over"

Note = tuple[str, str, int]  # one of these, the root's span id, when in ns since 1970


class Message(NamedTuple):
    """One SIP message as it was on the wire: not masked yet."""

    at_ns: int  # since 1970
    sent: bool  # by us
    transport: str  # UDP or TCP
    peer: str  # host:port
    ours: str  # host:port of the listener
    data: bytes


class Parcel(NamedTuple):
    """An opening is a record whose `end_ns` is 0."""

    opened: list[SpanRecord]
    finished: list[SpanRecord]
    notes: list[Note]
    messages: list[Message]


def pack(parcel: Parcel) -> bytes:
    """For a pipe to a process of the same Python."""
    opened, finished, notes, messages = parcel
    return marshal.dumps((_plain(opened), _plain(finished), notes, _plain(messages)))


def unpack(data: bytes) -> Parcel:
    """What `pack` packed."""
    opened, finished, notes, messages = marshal.loads(data)
    make = SpanRecord._make
    return Parcel([*map(make, opened)], [*map(make, finished)], notes, [*map(Message._make, messages)])


def _plain(rows: list[Any]) -> list[tuple[object, ...]]:
    return [tuple(row) for row in rows]
