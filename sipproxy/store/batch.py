"""What several parcels told, gathered for one transaction."""

from __future__ import annotations

from itertools import chain

from ..telemetry.parcel import Message, Parcel
from ..telemetry.record import SpanRecord
from . import Changes
from .journal import key_of
from .summary import CallSummary


class Batch:
    """`last`: the number of the last parcel that is in the store or in here."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.empty = True
        self.heard_ns = 0  # the latest moment that anything tells of
        self.calls: dict[int, CallSummary] = {}  # by number, as they are after the last parcel
        self.lost = 0  # records that nobody but us has ended
        self.records: list[SpanRecord] = []  # that finished, in order
        self.finished: dict[int, list[SpanRecord]] = {}  # the same by the number of their call
        self.opened: dict[str, tuple[int, SpanRecord]] = {}  # by span id, with the number of the call
        self.again: list[tuple[int, SpanRecord]] = []  # openings told again
        self.closed: list[tuple[int, int]] = []  # numbers of calls, keys of spans: to leave the journal
        self.ended: list[CallSummary] = []
        self.gone: list[CallSummary] = []
        self.messages: list[Message] = []

    def add(self, number: int, parcel: Parcel, changes: Changes) -> None:
        """`number` 0: openings told again."""
        self.empty = False
        self.last = max(self.last, number)
        numbers: dict[str, int] = {}
        for call in chain(changes.added, changes.changed, changes.ended, changes.late):
            self.calls[call.number] = call
            numbers[call.root_id] = call.number
            self._hear(call.ended_ns)
        self.ended += changes.ended
        self.gone += changes.gone
        self.lost += len(changes.lost)
        for record in parcel.opened:
            self._hear(record.start_ns)
            owner = numbers.get(record.root_id)
            if owner is None:  # nothing of that call has changed: it is known to be open
                continue
            if number:
                self.opened[record.span_id] = owner, record
            else:
                self.again.append((owner, record))
        for record in chain(parcel.finished, changes.lost):
            self._hear(record.end_ns)
            owner = numbers[record.root_id]
            self.opened.pop(record.span_id, None)
            self.closed.append((owner, key_of(record.span_id)))  # it may be there all the same: told again
            self.finished.setdefault(owner, []).append(record)
            self.records.append(record)
        if parcel.messages:
            self._hear(parcel.messages[-1].at_ns)
            self.messages += parcel.messages

    def _hear(self, at_ns: int) -> None:
        if at_ns > self.heard_ns:
            self.heard_ns = at_ns
