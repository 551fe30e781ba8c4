"""Where spans go that stay in the process: to be kept, or forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .record import SpanRecord


class SpanSink(Protocol):
    """The seam between calls and whoever keeps or sends spans."""

    @property
    def dropped(self) -> int:
        """Spans that were lost since the start."""

    def put(self, records: Sequence[SpanRecord]) -> None:
        """Hand over; never blocks."""

    def close(self, timeout_s: float) -> None:
        """Deliver what is left, for at most so long. Nothing is taken any more."""


class NullSink:
    """Keeps nothing."""

    dropped = 0

    def put(self, records: Sequence[SpanRecord]) -> None:
        """Forget them."""

    def close(self, timeout_s: float) -> None:
        """Nothing is left."""


class MemorySink:
    """Keeps all of them in `records`, for the demo and for tests."""

    dropped = 0

    def __init__(self) -> None:
        self.records: list[SpanRecord] = []

    def put(self, records: Sequence[SpanRecord]) -> None:
        """Keep them."""
        self.records += records

    def close(self, timeout_s: float) -> None:
        """They stay."""
