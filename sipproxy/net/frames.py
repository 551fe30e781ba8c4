"""Frames between a signalling process and its observer, both ways, on one stream.

4 bytes  length of what follows, big-endian
1 byte   kind
8 bytes  number, big-endian: of a parcel, or what a kind says it is; else 0
...      payload
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import SipProxyError

HELLO = b"H"  # to the observer: who speaks (marshal); number: the last one that was acknowledged
PARCEL = b"P"  # to the observer: telemetry/parcel.py; number 0: openings told anew, never acknowledged
SETTLED = b"O"  # to the observer: all that is open was told since HELLO, and all that had waited before that
STATE = b"S"  # to the observer: how the worker fares (marshal), the newest counts
END = b"E"  # to the observer: nothing more will come
ACK = b"A"  # to the worker: all parcels up to this number are stored
PAGE = b"U"  # to the worker: the page's address
COMMAND = b"C"  # to the worker: what somebody asked for (JSON)

MOST_BYTES = 32 << 20  # of a payload; a parcel is about a thousandth of it

_KINDS = frozenset((HELLO, PARCEL, SETTLED, STATE, END, ACK, PAGE, COMMAND))
_head = struct.Struct(">IcQ")
_AFTER_LENGTH = _head.size - 4


class FrameError(SipProxyError):
    """What came is no frame: the stream cannot be understood any more."""


class Frame(NamedTuple):
    """One that came whole."""

    kind: bytes
    number: int
    payload: bytes


def frame(kind: bytes, number: int = 0, payload: bytes = b"") -> bytes:
    """The bytes of one."""
    return _head.pack(_AFTER_LENGTH + len(payload), kind, number) + payload


class FrameReader:
    """Takes the stream in whatever pieces it comes, and gives whole frames."""

    __slots__ = ("_data", "_wanted")

    def __init__(self) -> None:
        self._data = bytearray()
        self._wanted = _head.size  # so much must be there before it is worth looking

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that this piece completes; to be read to the end. Raises FrameError, after those that
        came before the garbage; nothing can be read then.
        """
        buffer = self._data
        buffer += data
        start, there = 0, len(buffer)
        try:
            while there - start >= self._wanted:
                length, kind, number = _head.unpack_from(buffer, start)
                size = length - _AFTER_LENGTH
                if kind not in _KINDS or not 0 <= size <= MOST_BYTES:
                    raise FrameError(f"no frame: kind {kind!r}, {size} bytes")
                end = start + _head.size + size
                if end > there:
                    self._wanted = end - start
                    break
                payload = bytes(memoryview(buffer)[start + _head.size : end])
                start, self._wanted = end, _head.size
                yield Frame(kind, number, payload)
        finally:
            del buffer[:start]
