"""A book of spans, and what it is told, for tests."""

from __future__ import annotations

from sipproxy.b2bua.events import Fact
from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.record import SpanRecord
from sipproxy.telemetry.settings import Mask, PrivacySettings
from sipproxy.telemetry.spans import SpanBook

WALL = 1_700_000_000  # what 0 on the core's clock is in seconds since 1970


class Telling:
    """A book that is told one list of facts after the other."""

    def __init__(self, mask: Mask = Mask.LAST2) -> None:
        self.book = SpanBook(Masker(PrivacySettings(mask, "a key of the operator")), float(WALL))
        self.spans: list[SpanRecord] = []

    def __call__(self, *facts: Fact, sent_at: float = 0.0) -> list[SpanRecord]:
        """What these facts finish."""
        finished = self.book.take(list(facts), sent_at)
        self.spans += finished
        return finished

    def all(self, lists: list[list[Fact]]) -> list[SpanRecord]:
        return [span for facts in lists for span in self(*facts)]

    def one(self, name: str, kind: str) -> SpanRecord:
        (span,) = (span for span in self.spans if (span.name, span.kind) == (name, kind))
        return span


def names(span: SpanRecord) -> list[str]:
    return [name for name, _, _ in span.events]


def ms(at_ns: int) -> float:
    """Since the core's 0."""
    return (at_ns - WALL * 10**9) / 1e6
