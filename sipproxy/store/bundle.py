"""Encoded spans in one row: so many octets each, behind a checksum of the whole.

A damaged row is a row without spans, and nothing worse: SQLite does not notice octets that rot in a value.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from zlib import crc32

_HEAD = struct.Struct(">II")  # checksum of what follows it and of the number of spans, which is next
_SIZE = struct.Struct(">I")


def bundle(spans: Sequence[bytes]) -> bytes:
    """One row of them."""
    sizes = b"".join([_SIZE.pack(len(span)) for span in spans])
    rest = sizes + b"".join(spans)
    return _HEAD.pack(crc32(rest, len(spans)), len(spans)) + rest


def unbundle(data: object) -> list[bytes]:
    """The spans of a row; none where it is damaged."""
    if not isinstance(data, bytes) or len(data) < _HEAD.size:
        return []
    checksum, count = _HEAD.unpack_from(data)
    at = _HEAD.size + count * _SIZE.size
    if at > len(data) or crc32(data[_HEAD.size :], count) != checksum:
        return []
    spans: list[bytes] = []
    for (size,) in _SIZE.iter_unpack(data[_HEAD.size : at]):
        spans.append(data[at : at + size])
        at += size
    return spans
