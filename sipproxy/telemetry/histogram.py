"""A histogram as lists of fixed length: a count per bucket, the sum, and the last exemplar of each bucket."""

from __future__ import annotations

from bisect import bisect_left

from ..propagation.context import SAMPLED, TraceContext

Exemplar = tuple[str, str, float, float]  # trace-id, span-id, the value, when
Picture = tuple[list[int], float, list[Exemplar | None]]  # each bucket's count alone, the sum, exemplars


class Histogram:
    """A value belongs to the first bucket whose bound it does not exceed; behind the last one is +Inf."""

    __slots__ = ("_bounds", "_changed", "_counts", "_exemplars", "_picture", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._exemplars: list[tuple[TraceContext, float, float] | None] = [None] * (len(bounds) + 1)
        self._sum = 0.0
        self._picture: Picture | None = None  # the last one taken
        self._changed = False  # since then

    def observe(self, value: float, span: TraceContext, at: float) -> None:
        """Count a value; the span that it belongs to is the bucket's exemplar, if it can be exported."""
        bucket = bisect_left(self._bounds, value)
        self._counts[bucket] += 1
        self._sum += value
        self._changed = True
        if span.flags & SAMPLED:
            self._exemplars[bucket] = (span, value, at)

    def picture(self, offset: float) -> Picture | None:
        """Plain values; None as long as there are none. `offset` makes of the core's time that since 1970."""
        if self._changed:
            self._changed = False
            exemplars: list[Exemplar | None] = [
                None if kept is None else (kept[0].trace_id, kept[0].span_id, kept[1], kept[2] + offset)
                for kept in self._exemplars
            ]
            self._picture = self._counts[:], self._sum, exemplars
        return self._picture
