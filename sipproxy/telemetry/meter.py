"""Facts of the core become figures, in the signalling process: so this is cheap before all else.

    RequestArrived   its trace context; a call in setup      Concluded     its outcome, SRD
    Attempted        our own share                           Concluded     its outcome, SRD of the trunk
    Established      a dialog                                DialogEnded   SDT
    Disconnected     SDD
    TransferEnded, Consulted, Counted                        as they say

SRD, SDD and SDT are those of RFC 6076 sections 4.3 to 4.5. Every call counts, sampled or not, from the start
on; `families.py` has the table of all metrics. The observer gets a picture of the figures once a second, so
they outlive it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..b2bua.events import (
    Attempted,
    CallForgotten,
    Concluded,
    Consulted,
    Counted,
    DialogEnded,
    Disconnected,
    Established,
    Fact,
    Progressed,
    RequestArrived,
    Transacted,
    TransferEnded,
)
from ..b2bua.settings import TrunkSettings
from ..propagation.context import TraceContext
from .families import LEGS, REJECTIONS, STATES
from .figures import Figures, Snapshot
from .tally import ANSWERED, FAILED, OUTCOME, Asked, Counting, Tally

_SETUP, _TALKING = STATES
_EARLY_DIALOG_TERMINATED = 199  # RFC 6228: the one provisional response that tells the caller nothing


class Meter:
    """The figures of one process. `wall_offset` and the core's `now` together are the seconds since 1970.

    Who sees messages on the wire adds to `messages`, by (one of METHODS or CLASSES, whether it was sent, the
    trunk's name or "").
    """

    def __init__(
        self, trunks: Mapping[str, TrunkSettings], wall_offset: float | Callable[[], float] = 0.0
    ) -> None:
        self._wall_offset = wall_offset
        self._figures = Figures()
        self.messages = self._figures.messages
        self._calls: dict[str, Counting] = {}  # by the root's span id
        self._asked: dict[str, Asked] = {}  # by their spans' ids
        self._dialogs: dict[str, tuple[Tally, str, TraceContext]] = {}
        self._sent_at = 0.0
        self._takers: dict[type, Callable[[Any], None]] = {
            RequestArrived: self._request_arrived,
            Attempted: self._attempted,
            Transacted: self._transacted,
            Progressed: self._progressed,
            Concluded: self._concluded,
            Established: self._established,
            DialogEnded: self._dialog_ended,
            Disconnected: self._disconnected,
            TransferEnded: self._transfer_ended,
            Consulted: self._consulted,
            CallForgotten: self._call_forgotten,
            Counted: self._counted,
        }
        self.know(trunks)

    def __len__(self) -> int:
        """How much is kept of calls in progress."""
        return len(self._calls) + len(self._asked) + len(self._dialogs)

    def know(self, trunks: Mapping[str, TrunkSettings]) -> None:
        """The configuration's trunks, from now on."""
        self._figures.know(trunks)

    def take(self, facts: list[Fact], sent_at: float) -> None:
        """Count what happened; `sent_at` is when all that it caused had left."""
        self._sent_at = sent_at
        takers = self._takers
        for fact in facts:
            taker = takers.get(type(fact))
            if taker is not None:
                taker(fact)

    def snapshot(self) -> Snapshot:
        """All figures as plain values."""
        offset = self._wall_offset
        return self._figures.snapshot(offset() if callable(offset) else offset)

    # What begins

    def _request_arrived(self, fact: RequestArrived) -> None:
        origin, root, figures = fact.origin, fact.root, self._figures
        figures.context(fact.trunk, origin.carrier, origin.decision, origin.rejected)
        tally = figures.tally(fact.trunk)
        call = self._calls[root.span_id] = Counting(tally)
        invite = fact.request.method == "INVITE"
        if invite:
            call.state = _SETUP
            tally.active[_SETUP] += 1
        self._asked[root.span_id] = Asked(call, tally, root, fact.at, sent=False, invite=invite)

    def _attempted(self, fact: Attempted) -> None:
        root, span = fact.root, fact.context
        call = self._calls.get(root.span_id)
        if call is None:
            return
        invite = fact.method == "INVITE"
        if invite and not call.attempted:
            # Of a later one the greatest share would be the silence of the trunk before.
            self._figures.delay.observe(max(0.0, self._sent_at - fact.arrived_at), span, fact.at)
        call.attempted = True
        call.open.add(span.span_id)
        tally = self._figures.tally(fact.trunk)
        self._asked[span.span_id] = Asked(call, tally, span, fact.at, sent=True, invite=invite)

    def _transacted(self, fact: Transacted) -> None:
        span = fact.context
        call = self._calls.get(fact.root.span_id)
        if call is not None:
            call.open.add(span.span_id)
            tally = self._figures.tally(fact.trunk)
            self._asked[span.span_id] = Asked(call, tally, span, fact.at, sent=False, invite=False)

    def _established(self, fact: Established) -> None:
        span, leg = fact.context, fact.leg
        call = self._calls.get(fact.root.span_id)
        if call is not None and leg in LEGS:
            call.open.add(span.span_id)
            tally = self._figures.tally(fact.trunk)
            tally.dialogs[leg] += 1
            self._dialogs[span.span_id] = (tally, leg, span)

    # What happens meanwhile

    def _progressed(self, fact: Progressed) -> None:
        asked, status = self._asked.get(fact.span_id), fact.status
        if asked is not None and status > 100 and not asked.told_at and status != _EARLY_DIALOG_TERMINATED:
            asked.told_at = fact.at

    def _consulted(self, fact: Consulted) -> None:
        self._figures.consulted(fact.result)

    def _counted(self, fact: Counted) -> None:
        what, figures = fact.what, self._figures
        if what in REJECTIONS:
            figures.rejected(what)
        elif what == "malformed":
            figures.parse_errors += 1
        elif what == "refer_carriers":
            figures.returned(fact.trunk, fact.which)
        elif what == "trunk_down":
            figures.down.add(fact.trunk)
        elif what == "trunk_up":
            figures.down.discard(fact.trunk)
        elif what != "transfers":  # TransferEnded says more
            figures.incident(what, fact.trunk)

    # What ends

    def _concluded(self, fact: Concluded) -> None:
        span_id, at = fact.span_id, fact.at
        asked = self._asked.pop(span_id, None)
        if asked is None:
            return
        call, tally = asked.call, asked.tally
        call.open.discard(span_id)
        if fact.repeats:
            tally.retransmissions[asked.sent] += fact.repeats
        if not asked.invite:
            return
        outcome = OUTCOME.get(fact.status, FAILED)
        waited_s = (asked.told_at or at) - asked.began_at
        if asked.sent:
            tally.attempts[outcome] += 1
            tally.attempt_delay.note(outcome, waited_s, asked.span, at)
            return
        tally.calls[outcome] += 1
        tally.request_delay.note(outcome, waited_s, asked.span, at)
        self._move(call, _TALKING if outcome is ANSWERED else "")

    @staticmethod
    def _move(call: Counting, state: str) -> None:
        active = call.tally.active
        if call.state:
            active[call.state] -= 1
        if state:
            active[state] += 1
        call.state = state

    def _dialog_ended(self, fact: DialogEnded) -> None:
        span_id = fact.span_id
        known = self._dialogs.pop(span_id, None)
        if known is None:
            return
        tally, leg, span = known
        tally.dialogs[leg] -= 1
        call = self._calls.get(fact.root.span_id)
        if call is not None:
            call.open.discard(span_id)
        if fact.end != "cancelled":  # answered too late: there was nobody to talk to
            tally.durations[leg].observe(fact.talk_ms / 1000, span, fact.at)

    def _disconnected(self, fact: Disconnected) -> None:
        delay = self._figures.tally(fact.trunk).disconnect_delay
        histogram = delay.success if 200 <= fact.status < 300 else delay.failure
        histogram.observe(fact.delay_s, fact.root, fact.at)

    def _transfer_ended(self, fact: TransferEnded) -> None:
        self._figures.transferred(fact.kind, fact.mode, fact.outcome, fact.stage)

    def _call_forgotten(self, fact: CallForgotten) -> None:
        root_id = fact.root.span_id
        call = self._calls.pop(root_id, None)
        if call is None:
            return
        self._move(call, "")
        self._asked.pop(root_id, None)
        for span_id in call.open:  # what was never told the end of
            self._asked.pop(span_id, None)
            known = self._dialogs.pop(span_id, None)
            if known is not None:
                known[0].dialogs[known[1]] -= 1
