"""A request outside our dialogs, relayed as a transaction of two sides (MESSAGE, SUBSCRIBE, NOTIFY, PUBLISH,
REGISTER, INFO, others).

Call-ID, tags and CSeq stay as they are, so that what the peers build on them (a subscription, say) is theirs;
a SUBSCRIBE gets our Record-Route, so that its NOTIFY comes back this way.

    final response      crosses
    503, no way there   the next trunk; after the last 503 crosses, or 503 is ours
    silence             nothing: the asker times out too (RFC 4320)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..propagation.context import TraceContext
from ..sip.build import cseq_of, hops_left, respond_to
from ..sip.flow import Flow
from ..sip.headers import ROUTE
from ..sip.message import Request, Response
from ..sip.transaction import ClientTransaction, ServerTransaction
from ..sip.uri import parse_uri
from .events import Attempted, CallForgotten, Concluded
from .leg import stamp
from .rewrite import forward_request, forward_response, plain_uri
from .routing import Trunk
from .rules import DEFAULT_RULES
from .shared import Shared

if TYPE_CHECKING:
    from .outside import Errand

_ADDS_ROUTE = ("SUBSCRIBE", "REFER")
_BETWEEN = "sipproxy-between"
_AND = "!"  # between two trunks' names, which are plain words


def between(request: Request, source: Trunk | None, shared: Shared) -> list[Trunk] | None:
    """The other of the two trunks that our Record-Route stands between, for what follows it; else None."""
    if source is None or "route" not in request.headers.keys:
        return None
    uri = parse_uri(request.headers.every(ROUTE)[0].uri)
    names = (uri.parameter(_BETWEEN) or "").split(_AND)
    if len(names) != 2 or source.name not in names or not shared.names_us(uri):
        return None
    other = shared.router.trunks.get(names[1] if names[0] == source.name else names[0])
    return None if other is None else [other]


class Forward:
    """From a request's arrival to its final response."""

    __slots__ = (
        "_arrived_at",
        "_baggage",
        "_candidates",
        "_context",
        "_done",
        "_errand",
        "_root",
        "_source",
        "_trunk",
        "_tx",
        "shared",
    )

    def __init__(
        self,
        shared: Shared,
        tx: ServerTransaction,
        source: Trunk | None,
        root: TraceContext,
        candidates: list[Trunk],
        *,
        baggage: str,
        now: float,
        errand: Errand | None = None,
    ) -> None:
        self._errand = errand  # what it causes, where it is a REFER
        self.shared = shared
        self._tx = tx
        self._source = source
        self._root = root
        leg = None if errand is None else errand.leg
        self._candidates = list(candidates) if leg is None or leg.trunk is None else [leg.trunk]
        self._baggage = baggage
        self._arrived_at = now
        self._trunk: Trunk | None = None
        self._context = root
        self._done = False

    def next(self, status: int, error: str, now: float) -> None:
        """Try the next trunk; with none left, `status` is the answer."""
        while self._candidates:
            trunk = self._candidates.pop(0)
            if not trunk.usable(now):
                self.shared.count("passed_over", trunk.name)
                status, error = 503, "transport"
                continue
            self._trunk = trunk

            def then(flows: list[Flow], at: float, trunk: Trunk = trunk) -> None:
                if flows:
                    self._send(trunk, flows[0], at)
                else:
                    named = trunk.flows is None
                    self.shared.count("unresolved" if named else "unreachable", trunk.name)
                    self.next(503, "dns" if named else "transport", at)

            self.shared.locate_trunk(trunk, then, now)
            return
        self._answer(respond_to(self._tx.request, status, to_tag=self._tx.local_tag), error, now)

    def _send(self, trunk: Trunk, flow: Flow, now: float) -> None:
        self._context = self._root.child(self.shared.ids.span_id())
        request = self._cross(trunk, flow, now)
        tx = self.shared.endpoint.send(request, flow, self, now, pinned=trunk.pinned)
        self.shared.facts.append(
            Attempted(
                self._root,
                self._root,
                self._context,
                now,
                self._arrived_at,
                request.method,
                trunk.name,
                request.call_id,
                tx.flow or flow,
                cseq_of(request),
                trunk.rtt_ms,
            )
        )

    def _cross(self, trunk: Trunk, flow: Flow, now: float) -> Request:
        request, errand = self._tx.request, self._errand
        uri = request.parsed_uri
        if errand is not None and errand.leg is not None:
            target = errand.leg.dialog.remote_target
        elif uri.is_sip and self.shared.names_us(uri):
            target = plain_uri(uri.with_host(trunk.shown))
        else:
            target = request.uri[: -len(uri.headers) - 1] if uri.headers else request.uri
        routes = [
            route.with_tag("")
            for route in request.headers.every(ROUTE)
            if not self.shared.names_us(parse_uri(route.uri))
        ]
        crossed = forward_request(request, target, routes, hops_left(request), trunk.rules)
        if request.method in _ADDS_ROUTE and self._source is not None:
            value = self.shared.contact(flow)
            between = f"{_BETWEEN}={self._source.name}{_AND}{trunk.name}"
            line = f"Record-Route: {value[:-1]};lr;{between}>"
            keys = crossed.headers.keys
            at = keys.index("record-route") if "record-route" in keys else len(keys)
            keys.insert(at, "record-route")
            crossed.headers.lines.insert(at, line)
        context, previous = self._context, ""
        if errand is not None and errand.transfer is not None:
            context, previous = errand.transfer.context, errand.transfer.previous
            errand.stamp(crossed, trunk, self.shared.contact(flow), now)
        stamp(self.shared, crossed, context, trunk, flow, self._baggage, previous=previous)
        return crossed

    def responded(self, tx: ClientTransaction, response: Response, now: float) -> None:
        """Pass the final response on."""
        if response.status < 200 or self._done:
            return
        self._tell(response.status, "", now)
        if response.status == 503 and self._candidates:
            self.next(503, "", now)
            return
        base = respond_to(self._tx.request, response.status, response.reason)
        rules = DEFAULT_RULES if self._source is None else self._source.rules
        self._answer(forward_response(base, response, rules), "", now)

    def timed_out(self, tx: ClientTransaction, now: float) -> None:
        """Silence: so be it."""
        self._tell(0, "timeout", now)
        if not self._done:
            self._answer(respond_to(self._tx.request, 408), "timeout", now)

    def unsent(self, tx: ClientTransaction, reason: str, now: float) -> None:
        """No way there."""
        self._tell(0, "transport", now)
        self.next(503, "transport", now)

    def _answer(self, response: Response, error: str, now: float) -> None:
        self._done = True
        if not self._tx.answered:
            self.shared.endpoint.respond(self._tx, response, now)
        status = 0 if error == "timeout" else response.status
        fact = Concluded(self._root.span_id, status, error, now, self._tx.repeats, None, True)
        self.shared.facts.append(fact)
        if self._errand is None:
            self.shared.facts.append(CallForgotten(self._root))
        if self._errand is not None:
            self._errand.concluded(response if status else None, error, now)

    def _tell(self, status: int, error: str, now: float) -> None:
        if self._context is not self._root:
            self.shared.facts.append(Concluded(self._context.span_id, status, error, now, 0, None, True))
