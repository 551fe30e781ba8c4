"""Tail sampling: why a call is kept. Pure; `held.py` has the spans of calls that nothing has spoken for.

A reason comes from one span: it failed, it was slow to be answered, it belongs to a transfer, somebody asked
for it (`logme`, RFC 8497), or chance, which is the same for one trace-id in every proxy. The first reason
keeps the whole call at once. A call without any is dropped when it is over, when it has lasted too long, or
when it has too many spans. What a kept call shares a trace with, or is linked with, is kept as well; by
chance alone nothing else is kept.
"""

from __future__ import annotations

from hashlib import blake2b

from ..telemetry.record import FORCED, SpanRecord
from ..telemetry.settings import KeepSettings

ERROR, SLOW, TRANSFER, ASKED, CHANCE, LINKED = 1, 2, 4, 8, 16, 32
STRONG = ERROR | SLOW | TRANSFER | ASKED  # keep also what is linked with the call
MOST_HELD = 512  # spans of one call
_64_BITS = 1 << 64


class Tail:
    """The rules of `tracing.keep`."""

    def __init__(self, keep: KeepSettings) -> None:
        self._slower_than_ms = keep.slower_than_ms
        self._errors = keep.errors
        self._transfers = keep.transfers
        self._bound = round(keep.ratio * _64_BITS)

    def reasons(self, record: SpanRecord) -> int:
        """Why the call of this span is kept; 0: not for its sake."""
        attributes = record.attributes
        reasons = ERROR if self._errors and record.failed else 0
        if self._transfers and (record.name == "transfer" or attributes.get("sip.transfer")):
            reasons |= TRANSFER
        if record.flags & FORCED:
            reasons |= ASKED
        if self._slower_than_ms is not None:
            setup_ms = attributes.get("sip.setup.duration_ms")
            if isinstance(setup_ms, int) and setup_ms > self._slower_than_ms:
                reasons |= SLOW
        if self._bound and record.span_id == record.root_id and chance(record.trace_id) < self._bound:
            reasons |= CHANCE
        return reasons


def chance(trace_id: str) -> int:
    """From 0 to 2^64 - 1. Not the bits that head sampling looks at: those it has chosen from already."""
    return int.from_bytes(blake2b(trace_id.encode(), digest_size=8).digest())


def touched(record: SpanRecord) -> set[str]:
    """The traces that a span is of, or points to."""
    return {record.trace_id, *[trace_id for trace_id, _, _ in record.links]}
