"""What the calls are doing now, by what the signalling process tells: no clock, no I/O.

    a first span, or any other of a call unknown    calling
    RINGING                                         ringing, if it was calling
    a dialog begins                                 talking
    a transfer begins                               transferring, until no transfer is open any more
    OVER                                            over; kept for late messages, and while a span is open

In a parcel openings come before finished spans, and these before notes; so whichever way they were cut into
parcels, the outcome is the same.
"""

from __future__ import annotations

import marshal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from ..telemetry.parcel import OVER as OVER_NOTE
from ..telemetry.parcel import RINGING as RINGING_NOTE
from ..telemetry.parcel import Parcel
from ..telemetry.record import SpanRecord
from . import Changes
from .summary import CALLING, LOST, OVER, RINGING, TALKING, TRANSFERRING, CallSummary, copy_of
from .told import TRANSFER, finish, learn, learn_links

LINGERS_NS = 35_000_000_000  # 64*T1 and some: what is repeated that late belongs to the call


class _Call:
    """A call, and what of it is open: packed, since 10,000 calls have 20,000 of them."""

    __slots__ = ("doubtful", "open", "summary", "transferring")

    def __init__(self, summary: CallSummary) -> None:
        self.summary = summary
        self.open: dict[str, bytes] = {}
        self.transferring = 0
        self.doubtful = False


class LiveCalls:
    """Calls from their first span until about a minute after their end."""

    def __init__(
        self,
        next_number: int = 1,
        keys: Callable[[str], int] | None = None,  # CallKeys, to find calls by Call-ID
        *,
        calls: Iterable[CallSummary] = (),
        opened: Iterable[SpanRecord] = (),
    ) -> None:
        self._next_number = next_number
        self._key = keys
        self._calls: dict[str, _Call] = {}
        self._by_key: dict[int, dict[_Call, None]] = {}  # a caller may use one Call-ID for many
        self._over: deque[tuple[int, _Call]] = deque()  # and when
        self._live = 0
        self._now_ns = 0
        self._touched: dict[_Call, None] = {}
        for summary in calls:
            self._restore(summary)
        for record in opened:
            if (call := self._calls.get(record.root_id)) is not None:
                self._open(call, record)
        self._touched.clear()
        self.doubt()

    def __len__(self) -> int:
        """How many calls are not over."""
        return self._live

    def take(self, parcel: Parcel) -> Changes:
        """Note what a parcel tells. The same parcel must not be taken twice (`Beginning.last`), but openings
        can come again at any time.
        """
        added: list[_Call] = []
        for record in chain(parcel.opened, parcel.finished):
            call = self._calls.get(record.root_id)
            if call is None:
                call = self._begin(record)
                added.append(call)
            if record.end_ns:
                self._finish(call, record)
            elif record.span_id not in call.open:
                self._learn(call, record)
                self._open(call, record)
            call.doubtful = call.doubtful and record.end_ns != 0
            self._advance(record.end_ns or record.start_ns)
        ended: list[_Call] = []
        for kind, root_id, at_ns in parcel.notes:
            self._advance(at_ns)
            call = self._calls.get(root_id)
            if call is None or call.summary.state == OVER:
                continue
            if kind == OVER_NOTE:
                self._end(call, at_ns)
                ended.append(call)
            elif kind == RINGING_NOTE and call.summary.state == CALLING:
                call.summary.state = RINGING
                self._touched[call] = None
        if parcel.messages:
            self._advance(parcel.messages[-1].at_ns)
        return self._changes(added, ended)

    def calls(self) -> Iterator[CallSummary]:
        """Those that are not over, oldest first. They go on changing: do not keep them."""
        return (call.summary for call in self._calls.values() if call.summary.state != OVER)

    def by_id(self, text: str) -> list[CallSummary]:
        """Calls that are not over, by root span id, trace-id, Call-ID (as it is or masked) or interaction
        id; oldest first.
        """
        if not text:
            return []
        key = self._key(text) if self._key is not None else 0
        return [
            call
            for call in self.calls()
            if text == call.root_id
            or text in call.traces
            or text == call.interaction_id
            or text in call.call_ids
            or (key and key in call.call_keys)
        ]

    def open_spans(self, root_id: str) -> list[SpanRecord]:
        """What of a call has begun and not ended; `end_ns` is 0."""
        call = self._calls.get(root_id)
        if call is None:
            return []
        return [SpanRecord._make(marshal.loads(packed)) for packed in call.open.values()]

    def call_of_key(self, call_key: int, at_ns: int | None = None) -> CallSummary | None:
        """The call of a Call-ID, also a minute after its end. Where several had it: the last, or with
        `at_ns` the last that had begun by then.
        """
        calls = self._by_key.get(call_key)
        if not calls:
            return None
        for call in reversed(calls):
            if at_ns is None or call.summary.began_ns <= at_ns:
                return call.summary
        return next(iter(calls)).summary

    def doubt(self) -> None:
        """All that is open is going to be told again, since parcels were dropped. After a restart it is so
        anyway.
        """
        for call in self._calls.values():
            call.doubtful = call.summary.state != OVER

    def settle(self) -> Changes:
        """All openings have been told again, and what had waited before them: calls of which nothing is open
        have ended, and nobody knows how.
        """
        ended = [call for call in self._calls.values() if call.doubtful and call.summary.state != OVER]
        for call in ended:
            call.summary.outcome = LOST
            call.open.clear()
            self._end(call, max(self._now_ns, call.summary.began_ns))
        return self._changes([], ended)

    # What records say

    def _begin(self, record: SpanRecord) -> _Call:
        summary = CallSummary(self._next_number, record.root_id, record.trace_id, record.start_ns)
        self._next_number += 1
        self._live += 1
        call = self._calls[record.root_id] = _Call(summary)
        return call

    def _open(self, call: _Call, record: SpanRecord) -> None:
        """It has begun."""
        call.open[record.span_id] = marshal.dumps(tuple(record))
        if record.name == TRANSFER:
            call.transferring += 1
            if call.summary.state != OVER:
                call.summary.state = TRANSFERRING
        self._touched[call] = None

    def _finish(self, call: _Call, record: SpanRecord) -> None:
        """It has ended."""
        summary = call.summary
        was_open = call.open.pop(record.span_id, None) is not None
        if was_open:
            learn_links(summary, record)
        else:
            self._learn(call, record)
        finish(summary, record)
        if record.name == TRANSFER and was_open:
            call.transferring -= 1
            if not call.transferring and summary.state == TRANSFERRING:
                summary.state = TALKING
        self._touched[call] = None

    def _learn(self, call: _Call, record: SpanRecord) -> None:
        if learn(call.summary, record):
            self._by_key.setdefault(record.call_key, {})[call] = None

    # What becomes of calls

    def _restore(self, summary: CallSummary) -> None:
        call = self._calls[summary.root_id] = _Call(copy_of(summary))
        for key in summary.call_keys:
            self._by_key.setdefault(key, {})[call] = None
        if summary.state == OVER:
            self._over.append((summary.ended_ns, call))
        else:
            self._live += 1

    def _end(self, call: _Call, at_ns: int) -> None:
        call.summary.state = OVER
        call.summary.ended_ns = at_ns
        self._live -= 1
        self._over.append((at_ns, call))
        self._touched[call] = None

    def _advance(self, at_ns: int) -> None:
        if at_ns > self._now_ns:
            self._now_ns = at_ns

    def _changes(self, added: Iterable[_Call], ended: Iterable[_Call]) -> Changes:
        new, over = set(added), set(ended)
        changes = Changes([], [], [], [], [])
        for call in self._touched:
            if call in over:
                which = changes.ended
            elif call in new:
                which = changes.added
            else:
                which = changes.late if call.summary.state == OVER else changes.changed
            which.append(copy_of(call.summary))
        self._touched.clear()
        while self._over and self._over[0][0] + LINGERS_NS <= self._now_ns:
            call = self._over.popleft()[1]
            if call.open:  # a transfer, whose new call goes on
                self._over.append((self._now_ns, call))
            else:
                self._forget(call)
                changes.gone.append(call.summary)
        return changes

    def _forget(self, call: _Call) -> None:
        del self._calls[call.summary.root_id]
        for key in call.summary.call_keys:
            calls = self._by_key[key]
            del calls[call]
            if not calls:
                del self._by_key[key]
