"""How spans, messages and calls lie in the store: JSON, deflated with a dictionary that the file holds.

JSON, because a store outlives the Python that wrote it, and because what is damaged must be an error and
nothing worse. Deflated, because a ladder is long and much alike.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from typing import Any

from ..telemetry.record import SpanRecord
from .dictionary import DICTIONARY
from .summary import DEFAULTS, NAMES, CallSummary, values_of

_WINDOW, _MEMORY, _LEVEL = 12, 5, 4  # bits, level, level: 4 kB are as much as we write at a time
_MOST = 1 << 26  # bytes that anything of ours may come to

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_DEFAULTS = tuple(DEFAULTS.values())
_TUPLES = frozenset(name for name, value in DEFAULTS.items() if isinstance(value, tuple))


class Packer:
    """Packs and unpacks with the dictionary of one file. What cannot be unpacked is a ValueError."""

    def __init__(self, dictionary: bytes = DICTIONARY) -> None:
        self._dictionary = dictionary
        self._deflate = zlib.compressobj(
            _LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, dictionary
        )

    def pack(self, value: object) -> bytes:
        """Any JSON."""
        deflate = self._deflate.copy()
        return deflate.compress(_encode(value).encode()) + deflate.flush()

    def unpack(self, data: bytes) -> object:
        """What `pack` or `plain` made."""
        if data[:1] in (b"[", b"{"):
            return json.loads(data)
        inflate = zlib.decompressobj(_WINDOW, self._dictionary)
        try:
            text = inflate.decompress(data, _MOST)
        except zlib.error as error:
            raise ValueError(str(error)) from None
        if not inflate.eof:
            raise ValueError("cut off")
        return json.loads(text)

    def spans(self, data: bytes) -> list[SpanRecord]:
        """The spans of one row."""
        return [*map(_span, _list(self.unpack(data)))]

    def call(self, data: bytes) -> CallSummary:
        """The summary of one call."""
        values = self.unpack(data)
        if not isinstance(values, dict):
            raise ValueError("no call")
        known: dict[str, Any] = {
            name: tuple(value) if name in _TUPLES else value
            for name, value in values.items()
            if name in DEFAULTS
        }
        try:
            return CallSummary(**known)
        except TypeError as error:
            raise ValueError(str(error)) from None


def plain(value: object) -> bytes:
    """JSON as it is: for what is deleted again soon."""
    return _encode(value).encode()


def of_call(call: CallSummary) -> dict[str, object]:
    """What of it is not the default."""
    return {
        name: value
        for name, value, default in zip(NAMES, values_of(call), _DEFAULTS, strict=True)
        if value != default
    }


def _list(value: object) -> list[Iterable[object]]:
    if not isinstance(value, list):
        raise ValueError("no list")
    return value


def _span(values: Iterable[Any]) -> SpanRecord:
    try:
        record = SpanRecord._make(values)
        return record._replace(
            events=tuple([(name, at_ns, more) for name, at_ns, more in record.events]),
            links=tuple([(trace_id, span_id, flags) for trace_id, span_id, flags in record.links]),
        )
    except TypeError as error:
        raise ValueError(str(error)) from None
