"""A number in place of a Call-ID: it finds a call's messages without the Call-ID being kept."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

_CACHED = 4096
_LONGEST_KEPT = 256  # characters; a longer one would cost more to remember than to hash again
_63_BITS = (1 << 63) - 1


class CallKeys:
    """Of one key; whoever lacks it cannot try out numbers."""

    __slots__ = ("_key", "_known")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known = lru_cache(_CACHED)(self._hash)

    def __call__(self, call_id: str) -> int:
        """From 1 to 2^63 - 1, as SQLite's integers want it; 0 for no Call-ID."""
        if not call_id:
            return 0
        return self._known(call_id) if len(call_id) <= _LONGEST_KEPT else self._hash(call_id)

    def _hash(self, call_id: str) -> int:
        digest = blake2b(call_id.encode("utf-8", "surrogateescape"), key=self._key, digest_size=8).digest()
        return (int.from_bytes(digest) & _63_BITS) or 1
