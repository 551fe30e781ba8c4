"""Facts of the core become finished spans: the book of what is open, and the records that leave it.

    RequestArrived   opens    INVITE SERVER, the root               Concluded, Settled end it
    Routed           is       route INTERNAL
LookedUp         is       dns INTERNAL, under the route
    Attempted        opens    INVITE CLIENT                         Concluded, Settled end it
    Established      opens    dialog SERVER, dialog CLIENT          DialogEnded ends it
    Transacted       opens    re-INVITE or UPDATE SERVER            Concluded, Settled end it

All hang on the root, re-INVITE and UPDATE on their dialog. A call that is not sampled leaves nothing here. An
INVITE ends with its final response and leaves the book when its ACK has come: so that is among its events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from ..b2bua.events import (
    Attempted,
    CallForgotten,
    Concluded,
    Counted,
    DialogEnded,
    Established,
    Fact,
    LookedUp,
    Milestone,
    Moved,
    Progressed,
    RequestArrived,
    Routed,
    Settled,
    Transacted,
)
from ..propagation.context import SAMPLED
from .attributes import Attributes, Place
from .describe import (
    OTHER,
    STATUS_NAMES,
    failed,
    of_attempt,
    of_call,
    of_dialog,
    of_in_dialog,
    of_request,
    plain_name,
    span_name,
)
from .masking import Masker
from .record import CLIENT, INTERNAL, SERVER, OpenCall, OpenSpan, SpanRecord

_PATIENCE_S = 40.0  # how long a forgotten call's open span may still be told of: 64*T1 and some
_REQUEST, _ATTEMPT, _ROUTE = Place.REQUEST, Place.ATTEMPT, Place.ROUTE
_DIALOG, _IN_DIALOG = Place.DIALOG, Place.IN_DIALOG


# What a route can fail of besides the contract's words is told by the status it earns.
_ROUTE_ERRORS = {"no_route": "403", "max_forwards": "483", "loop": "482", "draining": "overload"}


class SpanBook:
    """The open spans of all calls. `wall_offset` and the core's `now` together are the seconds since 1970."""

    def __init__(self, masker: Masker, wall_offset: float | Callable[[], float]) -> None:
        self._masker = masker
        self._wall_offset = wall_offset
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
            Attempted: self._attempted,
            Moved: self._moved,
            Progressed: self._progressed,
            Milestone: self._milestone,
            Concluded: self._concluded,
            Settled: self._settled,
            Established: self._established,
            DialogEnded: self._dialog_ended,
            Transacted: self._transacted,
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
        while self._orphans and self._orphans[0][0] <= sent_at:
            self._give_up(self._orphans.popleft()[1], sent_at)
        return self._finished

    def close_all(self, now: float, end: str = "shutdown") -> list[SpanRecord]:
        """End everything that is open: dialogs say why."""
        self._begin(now)
        for span in list(self._open.values()):
            self._give_up(span, now, end)
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
        if not root.flags & SAMPLED:
            return
        masker, origin = self._masker, fact.origin
        call = self._calls[root.span_id] = OpenCall(of_call(masker, fact))
        name = span_name(fact.request.method)
        parent_id = "" if origin.parent is None else origin.parent.span_id
        attributes = of_request(masker, fact)
        span = OpenSpan(call, root, parent_id, _REQUEST, name, SERVER, fact.at, fact.flow, attributes)
        if origin.links:
            span.links = tuple([(link.trace_id, link.span_id, link.flags) for link in origin.links])
        self._add(span)

    def _attempted(self, fact: Attempted) -> None:
        root_id = fact.root.span_id
        call = self._calls.get(root_id)
        if call is None:
            return
        delay_us = None
        if not call.attempted:  # of a later one the greatest share would be the silence of the trunk before
            call.attempted = True
            delay_us = max(0, round((self._sent_at - fact.arrived_at) * 1e6))
        name, attributes = span_name(fact.method), of_attempt(self._masker, fact, delay_us)
        context, flow = fact.context, fact.flow
        self._add(OpenSpan(call, context, root_id, _ATTEMPT, name, CLIENT, fact.at, flow, attributes))

    def _established(self, fact: Established) -> None:
        root_id = fact.root.span_id
        call = self._calls.get(root_id)
        if call is None:
            return
        kind, attributes = SERVER if fact.leg == "caller" else CLIENT, of_dialog(self._masker, fact)
        context, flow = fact.context, fact.flow
        self._add(OpenSpan(call, context, root_id, _DIALOG, "dialog", kind, fact.at, flow, attributes))

    def _transacted(self, fact: Transacted) -> None:
        call = self._calls.get(fact.root.span_id)
        if call is None:
            return
        name, attributes = span_name(fact.method), of_in_dialog(self._masker, fact)
        parent_id = fact.parent.span_id
        span = OpenSpan(call, fact.context, parent_id, _IN_DIALOG, name, SERVER, fact.at, None, attributes)
        if fact.link is not None:
            span.links = ((fact.link.trace_id, fact.link.span_id, fact.link.flags),)
        self._add(span)

    def _routed(self, fact: Routed) -> None:
        call = self._calls.get(fact.root.span_id)
        if call is None:
            return
        attributes: Attributes = {}
        if fact.trunks:
            attributes["sip.trunk"] = fact.trunks[0]
        context, root_id = fact.root.child(fact.span_id), fact.root.span_id
        span = OpenSpan(call, context, root_id, _ROUTE, "route", INTERNAL, fact.began_at, None, attributes)
        if fact.error:
            span.failed = True
            attributes["error.type"] = _ROUTE_ERRORS.get(fact.error, fact.error)
        span.ended_at = fact.at
        self._finished.append(span.record(self._offset_ns))

    def _looked_up(self, fact: LookedUp) -> None:
        call = self._calls.get(fact.root.span_id)
        if call is None:
            return
        attributes: Attributes = {"sip.trunk": fact.trunk}
        context = fact.root.child(fact.span_id)
        span = OpenSpan(
            call, context, fact.route_id, _ROUTE, "dns", INTERNAL, fact.began_at, None, attributes
        )
        if not fact.found:
            span.failed = True
            attributes["error.type"] = "dns"
        span.ended_at = fact.at
        self._finished.append(span.record(self._offset_ns))

    # What happens meanwhile

    def _moved(self, fact: Moved) -> None:
        span = self._open.get(fact.span_id)
        if span is not None:
            span.flow = fact.flow

    def _progressed(self, fact: Progressed) -> None:
        span = self._open.get(fact.span_id)
        if span is not None:
            span.tell(STATUS_NAMES.get(fact.status, OTHER), fact.at)

    def _milestone(self, fact: Milestone) -> None:
        span = self._open.get(fact.span_id)
        if span is not None:
            span.tell(plain_name(self._masker, fact.name), fact.at)

    # What ends

    def _concluded(self, fact: Concluded) -> None:
        span = self._open.get(fact.span_id)
        if span is None:
            return
        status = fact.status
        if fact.repeats:
            span.tell("retransmission", fact.at, {"sip.retransmissions": fact.repeats})
        if status:
            span.attributes["sip.response.status_code"] = status
            span.tell(STATUS_NAMES.get(status, OTHER), fact.at)
        if fact.setup_ms is not None and span.place is _REQUEST:
            span.attributes["sip.setup.duration_ms"] = fact.setup_ms
        if failed(span.kind, fact):
            span.failed = True
            span.attributes["error.type"] = fact.error or STATUS_NAMES.get(status, OTHER)
        span.ended_at = fact.at
        if fact.settled:
            self._finish(span)

    def _settled(self, fact: Settled) -> None:
        span = self._open.get(fact.span_id)
        if span is not None and span.ended_at is not None:
            self._finish(span)

    def _dialog_ended(self, fact: DialogEnded) -> None:
        span = self._open.get(fact.span_id)
        if span is not None:
            span.attributes["sip.dialog.end"] = fact.end
            span.attributes["sip.talk_ms"] = fact.talk_ms
            span.ended_at = fact.at
            self._finish(span)

    def _call_forgotten(self, fact: CallForgotten) -> None:
        call = self._calls.pop(fact.root.span_id, None)
        if call is None or not call.open:
            return
        for span in list(call.open):
            if span.ended_at is not None or span.place is _DIALOG:
                self._give_up(span, self._sent_at)
            else:  # an attempt that was cancelled: its 487 is still to come
                self._orphans.append((self._sent_at + _PATIENCE_S, span))

    def _give_up(self, span: OpenSpan, now: float, end: str = "lost") -> None:
        if self._open.get(span.context.span_id) is not span:
            return
        if span.ended_at is None:
            span.ended_at = now
            if span.place is _DIALOG:
                span.attributes["sip.dialog.end"] = end
                span.attributes["sip.talk_ms"] = round((now - span.began_at) * 1000)
        self._finish(span)

    # The book itself

    def _add(self, span: OpenSpan) -> None:
        self._open[span.context.span_id] = span
        span.call.open.append(span)

    def _finish(self, span: OpenSpan) -> None:
        del self._open[span.context.span_id]
        span.call.open.remove(span)
        self._finished.append(span.record(self._offset_ns))


def _nothing(_: object) -> None:
    """Counters are told elsewhere."""
