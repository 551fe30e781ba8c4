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
from .journal import lost as lost_span
from .summary import CALLING, LOST, OVER, RINGING, TALKING, TRANSFERRING, CallSummary, copy_of
from .told import TRANSFER, finish, learn, learn_links

_MOST_LINGERING = 50_000
LINGERS_NS = 35_000_000_000  # 64*T1 and some: what is repeated that late belongs to the call


class _Call:
    """A call, and what of it is open: packed, since 10,000 calls have 20,000 of them."""

    __slots__ = ("doubted", "doubtful", "open", "summary", "transferring")

    def __init__(self, summary: CallSummary) -> None:
        self.summary = summary
        self.open: dict[str, bytes] = {}
        self.transferring = 0
        self.doubtful = False  # is it still going on?
        self.doubted: set[str] | None = None  # spans: are they still open?


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
            else:
                call.doubtful = False
                if call.doubted is not None:
                    call.doubted.discard(record.span_id)
                if record.span_id not in call.open:
                    self._learn(call, record)
                    self._open(call, record)
        ended: list[_Call] = []
        for kind, root_id, at_ns in parcel.notes:
            call = self._calls.get(root_id)
            if call is None or call.summary.state == OVER:
                continue
            if kind == OVER_NOTE:
                self._end(call, at_ns)
                ended.append(call)
                continue
            call.doubtful = False
            if kind == RINGING_NOTE and call.summary.state == CALLING:
                call.summary.state = RINGING
                self._touched[call] = None
        self._advance(parcel)
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
            call.doubted = set(call.open) or None

    def settle(self) -> Changes:
        """All openings have been told again, and what had waited behind them. What was not told of has ended,
        and nobody knows how: spans, and calls of which nothing is open.
        """
        lost: list[SpanRecord] = []
        ended: list[_Call] = []
        for call in self._calls.values():
            known = call.summary.outcome
            for span_id in sorted((call.doubted or set()) & call.open.keys()):
                record = lost_span(SpanRecord._make(marshal.loads(call.open[span_id])), self._now_ns)
                self._finish(call, record)
                lost.append(record)
            call.summary.outcome = known  # which the first span would change, ended so
            if call.doubtful and call.summary.state != OVER:
                call.summary.outcome = LOST
                self._end(call, max(self._now_ns, call.summary.began_ns))
                ended.append(call)
            call.doubtful, call.doubted = False, None
        return self._changes([], ended)._replace(lost=tuple(lost))

    def everything(self) -> tuple[Parcel, Changes]:
        """All that is known, as if it were told now: for a store that is a new one."""
        opened = [span for root_id in self._calls for span in self.open_spans(root_id)]
        calls = [copy_of(call.summary) for call in self._calls.values()]
        return Parcel(opened, [], [], []), Changes(calls, [], [], [], [])

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
        self._now_ns = max(self._now_ns, summary.began_ns, summary.answered_ns, summary.ended_ns)

    def _end(self, call: _Call, at_ns: int) -> None:
        call.summary.state = OVER
        call.summary.ended_ns = at_ns
        self._live -= 1
        self._over.append((at_ns, call))
        self._touched[call] = None

    def _advance(self, parcel: Parcel) -> None:
        """What has just ended or come tells the time. A clock that was set back is followed."""
        told = [at_ns for _, _, at_ns in parcel.notes]
        told += [record.end_ns for record in parcel.finished]
        told += [message.at_ns for message in parcel.messages[-1:]]
        if told and max(told) < self._now_ns - LINGERS_NS:
            now_ns = self._now_ns = max(told)
            self._over = deque((min(at_ns, now_ns), call) for at_ns, call in self._over)
        else:
            self._now_ns = max([self._now_ns, *told, *[record.start_ns for record in parcel.opened]])

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
        for _ in range(len(self._over)):
            if self._over[0][0] + LINGERS_NS > self._now_ns and len(self._over) <= _MOST_LINGERING:
                break
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
