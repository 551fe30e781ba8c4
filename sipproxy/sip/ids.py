"""Identifiers: tags, branches, Call-IDs, trace and span ids. Randomness is an argument."""

from __future__ import annotations

from collections.abc import Callable

_BATCH = 2048  # bytes drawn at a time: one system call serves hundreds of ids


class Ids:
    """Cuts ids from a stream of random bytes. `draw(n)` gives n of them, cryptographically strong outside of
    tests.
    """

    __slots__ = ("_at", "_digits", "_draw")

    def __init__(self, draw: Callable[[int], bytes]) -> None:
        self._draw = draw
        self._digits = ""
        self._at = 0

    def hex(self, digits: int) -> str:
        """A run of lower-case hex digits that nobody has seen before."""
        end = self._at + digits
        if end > len(self._digits):
            self._digits = self._draw(max(_BATCH, digits)).hex()
            self._at, end = 0, digits
        taken = self._digits[self._at : end]
        self._at = end
        return taken

    def span_id(self) -> str:
        """16 digits, never all zero (W3C Trace Context 2.2.2.4)."""
        drawn = self.hex(16)
        return drawn if drawn != "0000000000000000" else self.span_id()

    def trace_id(self) -> str:
        """32 digits, never all zero."""
        drawn = self.hex(32)
        return drawn if drawn != "0" * 32 else self.trace_id()
