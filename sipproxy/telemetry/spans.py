"""Facts of the core become finished spans: the book of what is open, and the records that leave it.

    RequestArrived   opens    INVITE SERVER, the root               Concluded, Settled end it
    Routed           is       route INTERNAL
    LookedUp         is       dns INTERNAL, under the route
    Consulted        is       webhook CLIENT, under the route
    Attempted        opens    INVITE or re-INVITE CLIENT            Concluded, Settled end it
    Established      opens    dialog SERVER, dialog CLIENT          DialogEnded ends it
    Transacted       opens    re-INVITE or UPDATE SERVER            Concluded, Settled end it
    TransferBegan    opens    transfer INTERNAL                     TransferEnded ends it

Each hangs on what its fact names. An attempt that names nothing begins a trace of its own, so the spans of
one call may have several trace-ids. An INVITE ends with its final response and leaves the book when its ACK
has come: so that is among its events, and links can still be added. What is not sampled leaves nothing here,
unless the book keeps a journal: then all calls are in it, and each span is told of when it begins as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
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
    Linked,
    LookedUp,
    Milestone,
    Moved,
    Progressed,
    RequestArrived,
    Routed,
    Settled,
    Transacted,
    TransferBegan,
    TransferEnded,
    Unsent,
)
from ..propagation.context import SAMPLED
from .attributes import Place
from .describe import (
    OTHER,
    STATUS_NAMES,
    of_attempt,
    of_call,
    of_consultation,
    of_dialog,
    of_in_dialog,
    of_lookup,
    of_request,
    of_route,
    of_transfer,
    plain_name,
    span_name,
)
from .ending import conclude, end_dialog, end_transfer, give_up
from .masking import Masker
from .parcel import GOING, OVER, RINGING, Note
from .record import CLIENT, INTERNAL, SERVER, OpenCall, OpenSpan, SpanRecord

_PATIENCE_S = 40.0  # how long a forgotten call's open span may still be told of: 64*T1 and some
_LONGEST_TRANSFER_S = 3600.0 + _PATIENCE_S  # `transfer.expires_s` is at most an hour
_AT_ONCE = 256  # of those that nobody told of: more could be felt by the calls
_REQUEST, _ATTEMPT, _ROUTE = Place.REQUEST, Place.ATTEMPT, Place.ROUTE
_DIALOG, _IN_DIALOG, _TRANSFER = Place.DIALOG, Place.IN_DIALOG, Place.TRANSFER


class SpanBook:
    """The open spans of all calls. `wall_offset` and the core's `now` together are the seconds since 1970."""

    def __init__(
        self,
        masker: Masker,
        wall_offset: float | Callable[[], float],
        *,
        keys: Callable[[str], int] | None = None,
        journal: bool = False,
    ) -> None:
        self._masker = masker
        self._wall_offset = wall_offset
        self._key = keys or _no_key
        self._journal = journal
        self._opened: list[SpanRecord] = []
        self._notes: list[Note] = []
        self._calls: dict[str, OpenCall] = {}  # by the root's span id
        self._open: dict[str, OpenSpan] = {}
        self._orphans: deque[tuple[float, OpenSpan]] = deque()  # of forgotten calls, and when to give them up
        self._finished: list[SpanRecord] = []
        self._sent_at = 0.0
        self._offset_ns = 0
        self._takers: dict[type, Callable[[Any], None]] = {
            RequestArrived: self._request_arrived,
            Routed: self._routed,
            LookedUp: self._looked_up,
            Consulted: self._consulted,
            Attempted: self._attempted,
            Moved: self._moved,
            Unsent: self._unsent,
            Progressed: self._progressed,
            Milestone: self._milestone,
            Concluded: self._concluded,
            Settled: self._settled,
            Established: self._established,
            DialogEnded: self._dialog_ended,
            Disconnected: _nothing,
            Transacted: self._transacted,
            TransferBegan: self._transfer_began,
            TransferEnded: self._transfer_ended,
            Linked: self._linked,
            CallForgotten: self._call_forgotten,
            Counted: _nothing,
        }

    def __len__(self) -> int:
        """How many calls and spans are in the book."""
        return len(self._calls) + len(self._open)

    def take(self, facts: list[Fact], sent_at: float) -> list[SpanRecord]:
        """Note what happened, and give what that finished; `sent_at` is when all that it caused had left."""
        self._begin(sent_at)
        takers = self._takers
        for fact in facts:
            takers[type(fact)](fact)
        if self._orphans and self._orphans[0][0] <= sent_at:
            self._lose_patience(sent_at)
        return self._finished

    def gathered(self) -> tuple[list[SpanRecord], list[Note]]:
        """What began and what else is to be told since the last time; nothing without a journal."""
        gathered = self._opened, self._notes
        self._opened, self._notes = [], []
        return gathered

    def openings(self) -> Iterator[SpanRecord]:
        """All that is open, for an observer that has just begun. What changes meanwhile it hears anyway."""
        for span_id in [*self._open]:
            span = self._open.get(span_id)
            if span is not None:
                yield span.opening()

    def going(self) -> list[Note]:
        """Calls that go on although none of their spans is open just now."""
        at = self._sent_at
        return [(GOING, root_id, call.ns(at)) for root_id, call in self._calls.items() if not call.open]

    def close_all(self, now: float, end: str = "shutdown") -> list[SpanRecord]:
        """End everything that is open: dialogs say why, of a transfer nobody knows the outcome."""
        self._begin(now)
        for span in list(self._open.values()):
            self._give_up(span, now, end)
        if self._journal:
            self._notes += [(OVER, root_id, call.ns(now)) for root_id, call in self._calls.items()]
        self._calls.clear()
        self._orphans.clear()
        return self._finished

    def _begin(self, now: float) -> None:
        offset = self._wall_offset
        self._offset_ns = int((offset() if callable(offset) else offset) * 1e9)
        self._sent_at = now
        self._finished = []

    # What begins

    def _request_arrived(self, fact: RequestArrived) -> None:
        root = fact.root
        if not root.flags & SAMPLED and not self._journal:
            return
        masker, origin = self._masker, fact.origin
        call = self._calls[root.span_id] = OpenCall(
            *(of_call(masker, fact), root.span_id, self._offset_ns, masker.mask_id), forced=fact.logged
        )
        name = span_name(fact.request.method)
        parent_id = "" if origin.parent is None else origin.parent.span_id
        attributes = of_request(masker, fact)
        key = self._key(fact.request.call_id)
        span = OpenSpan(call, root, parent_id, _REQUEST, name, SERVER, fact.at, fact.flow, attributes, key)
        if origin.links:
            span.links = tuple([(link.trace_id, link.span_id, link.flags) for link in origin.links])
        self._add(span)

    def _attempted(self, fact: Attempted) -> None:
        call = self._calls.get(fact.root.span_id)
        if call is None:
            return
        delay_us = None
        if not call.attempted:  # of a later one the greatest share would be the silence of the trunk before
            call.attempted = True
            delay_us = max(0, round((self._sent_at - fact.arrived_at) * 1e6))
        name, attributes = span_name(fact.method), of_attempt(self._masker, fact, delay_us)
        context, flow = fact.context, fact.flow
        parent_id = "" if fact.parent is None else fact.parent.span_id
        key = self._key(fact.call_id)
        self._add(OpenSpan(call, context, parent_id, _ATTEMPT, name, CLIENT, fact.at, flow, attributes, key))

    def _established(self, fact: Established) -> None:
        call = self._calls.get(fact.root.span_id)
        if call is None:
            return
        kind, attributes = CLIENT if fact.dialled else SERVER, of_dialog(self._masker, fact)
        context, flow, parent_id = fact.context, fact.flow, fact.parent.span_id
        key = self._key(fact.call_id)
        self._add(OpenSpan(call, context, parent_id, _DIALOG, "dialog", kind, fact.at, flow, attributes, key))

    def _transacted(self, fact: Transacted) -> None:
        call = self._calls.get(fact.root.span_id)
        if call is None:
            return
        name, attributes = span_name(fact.method), of_in_dialog(self._masker, fact)
        parent_id = fact.parent.span_id
        span = OpenSpan(call, fact.context, parent_id, _IN_DIALOG, name, SERVER, fact.at, None, attributes)
        span.call_key = self._key(fact.call_id)
        if fact.link is not None:
            span.link(fact.link)
        self._add(span)

    def _transfer_began(self, fact: TransferBegan) -> None:
        call = self._calls.get(fact.root.span_id)
        if call is None:
            return
        context, parent_id, began_at = fact.context, fact.parent.span_id, fact.began_at
        attributes = of_transfer(fact)
        span = OpenSpan(call, context, parent_id, _TRANSFER, "transfer", INTERNAL, began_at, None, attributes)
        if fact.link is not None:
            span.link(fact.link)
        self._add(span)

    def _routed(self, fact: Routed) -> None:
        call = self._calls.get(fact.root.span_id)
        if call is None:
            return
        parent, attributes = fact.parent or fact.root, of_route(fact)
        context, parent_id = parent.child(fact.span_id), parent.span_id
        span = OpenSpan(call, context, parent_id, _ROUTE, "route", INTERNAL, fact.began_at, None, attributes)
        span.failed = fact.error != ""
        if fact.fallback:
            span.tell("fallback", fact.at)
        if fact.passed_over:
            span.tell("passed_over", fact.at)
        span.ended_at = fact.at
        self._finished.append(span.record())

    def _looked_up(self, fact: LookedUp) -> None:
        call = self._calls.get(fact.root.span_id)
        if call is None:
            return
        context, attributes = (fact.parent or fact.root).child(fact.span_id), of_lookup(fact)
        route_id = fact.route_id
        span = OpenSpan(call, context, route_id, _ROUTE, "dns", INTERNAL, fact.began_at, None, attributes)
        span.failed = not fact.found
        span.ended_at = fact.at
        self._finished.append(span.record())

    def _consulted(self, fact: Consulted) -> None:
        call = self._calls.get(fact.root.span_id)
        if call is None:
            return
        context, attributes = (fact.parent or fact.root).child(fact.span_id), of_consultation(fact)
        route_id = fact.route_id
        span = OpenSpan(call, context, route_id, _ROUTE, "webhook", CLIENT, fact.began_at, None, attributes)
        span.failed = bool(attributes)
        span.ended_at = fact.at
        self._finished.append(span.record())

    # What happens meanwhile

    def _moved(self, fact: Moved) -> None:
        span = self._open.get(fact.span_id)
        if span is not None:
            span.flow = fact.flow

    def _progressed(self, fact: Progressed) -> None:
        span = self._open.get(fact.span_id)
        if span is not None:
            span.tell(STATUS_NAMES.get(fact.status, OTHER), fact.at)
            if self._journal and span.place is _REQUEST and fact.status > 100:
                self._notes.append((RINGING, span.context.span_id, span.call.ns(fact.at)))

    def _unsent(self, fact: Unsent) -> None:
        span = self._open.get(fact.span_id)
        if span is not None:
            span.attributes["error.message"] = self._masker.mask_text(fact.reason)

    def _milestone(self, fact: Milestone) -> None:
        span = self._open.get(fact.span_id)
        if span is not None:
            span.tell(plain_name(self._masker, fact.name), fact.at)

    def _linked(self, fact: Linked) -> None:
        span = self._open.get(fact.span_id)
        if span is not None:
            span.link(fact.context)

    # What ends

    def _concluded(self, fact: Concluded) -> None:
        span = self._open.get(fact.span_id)
        if span is not None:
            conclude(span, fact)
            if fact.settled:
                self._finish(span)

    def _settled(self, fact: Settled) -> None:
        span = self._open.get(fact.span_id)
        if span is not None and span.ended_at is not None:
            self._finish(span)

    def _dialog_ended(self, fact: DialogEnded) -> None:
        span = self._open.get(fact.span_id)
        if span is not None:
            end_dialog(span, fact)
            self._finish(span)

    def _transfer_ended(self, fact: TransferEnded) -> None:
        span = self._open.get(fact.span_id)
        if span is not None:
            end_transfer(span, fact)
            self._finish(span)

    def _call_forgotten(self, fact: CallForgotten) -> None:
        call = self._calls.pop(fact.root.span_id, None)
        if call is None:
            return
        if self._journal:
            self._notes.append((OVER, fact.root.span_id, call.ns(self._sent_at)))
        for span in list(call.open):
            if span.ended_at is not None or span.place is _DIALOG:
                self._give_up(span, self._sent_at)
            else:  # an attempt that was cancelled: its 487 is still to come; a transfer: its new call goes on
                self._orphans.append((self._sent_at + _PATIENCE_S, span))

    def _lose_patience(self, now: float) -> None:
        """A transfer waits for as long as one can be pending, everything else its time."""
        orphans = self._orphans
        for _ in range(min(_AT_ONCE, len(orphans))):
            due, span = orphans[0]
            if due > now:
                break
            orphans.popleft()
            if span.place is not _TRANSFER or now >= span.began_at + _LONGEST_TRANSFER_S:
                self._give_up(span, now)
            elif span.ended_at is None:
                orphans.append((now + _PATIENCE_S, span))

    def _give_up(self, span: OpenSpan, now: float, end: str = "lost") -> None:
        if self._open.get(span.context.span_id) is span:
            give_up(span, now, end)
            self._finish(span)

    # The book itself

    def _add(self, span: OpenSpan) -> None:
        journal = self._journal
        if not span.context.flags & SAMPLED and not journal:  # a trace of its own is sampled for itself
            return
        self._open[span.context.span_id] = span
        span.call.open.append(span)
        if journal:
            self._opened.append(span.opening())

    def _finish(self, span: OpenSpan) -> None:
        del self._open[span.context.span_id]
        span.call.open.remove(span)
        self._finished.append(span.record())


def _nothing(_: object) -> None:
    """Counters are told elsewhere."""


def _no_key(_: str) -> int:
    """Nobody asks by Call-ID."""
    return 0
