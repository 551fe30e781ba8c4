"""One side of a call: a dialog with a peer, early or confirmed, and what is under way in it.

Only the leg knows dialogs and addresses; the call and its parts say what is to be sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..propagation.context import TraceContext
from ..propagation.writing import write_sip
from ..sip.build import hops_left, respond_to
from ..sip.dialog import Dialog
from ..sip.endpoint import UDP_LIMIT, ClientUser, Transmit
from ..sip.flow import UDP, Flow
from ..sip.headers import RECORD_ROUTE
from ..sip.message import Headers, Message, Request, Response
from ..sip.transaction import (
    ClientTransaction,
    InviteClientTransaction,
    InviteServerTransaction,
    ServerTransaction,
)
from .answer import Answer
from .rewrite import Identity, cross_request, cross_response, size_of
from .routing import Trunk
from .rules import DEFAULT_RULES, HeaderRules
from .shared import Shared
from .way import Way

if TYPE_CHECKING:
    from .call import Call
    from .ending import Bye
    from .joining import Join
    from .setup import Setup

NO_TRUNK = "unknown"
Rows = tuple[tuple[str, str], ...]
_OF_BODY = frozenset(("content-type", "content-disposition", "content-encoding", "mime-version"))


class LegUser(ClientUser, Protocol):
    """Who sends a request in a dialog; it may leave later, once its next hop is known."""

    def sent(self, tx: ClientTransaction) -> None: ...


class Leg:
    """`role` is `caller` or `callee`: whose place it has in the call; `peer` is the leg on the other side."""

    __slots__ = (
        "ack",
        "ack_cseq",
        "answer",
        "answered_at",
        "call",
        "confirmed",
        "context",
        "declined",
        "deferred_bye",
        "departed",
        "deserted",
        "dialled",
        "dialog",
        "flow",
        "hung_up",
        "invite_cseq",
        "invite_in",
        "invite_out",
        "join",
        "knows_refer",
        "notifies",
        "peer",
        "pinned",
        "refers",
        "role",
        "rseq_shift",
        "shared",
        "successor",
        "trunk",
        "way",
    )

    def __init__(
        self, call: Call, role: str, dialog: Dialog, trunk: Trunk | None, flow: Flow, context: TraceContext
    ) -> None:
        self.call = call
        self.shared: Shared = call.shared
        self.role = role
        self.dialog = dialog
        self.trunk = trunk
        self.flow = flow
        self.context = context
        self.peer: Leg | None = None
        self.confirmed = False
        self.answered_at = 0.0
        self.hung_up = False  # its BYE came while the dialog was early
        self.declined = False  # answered when nobody waited any more: only its BYE is left
        self.departed = False  # a transfer has taken it out of the call: only its BYE is left, if that
        self.dialled = False  # our INVITE made it, with a Call-ID of ours
        self.knows_refer = False  # its Allow lists REFER
        self.join: Join | None = None  # a transfer is connecting it with another leg
        self.successor: Setup | None = None  # the INVITE with Replaces that is on its way to the peer
        self.refers = 0  # REFERs that came in this dialog
        self.notifies = 0  # NOTIFYs to it that are not answered yet
        self.invite_in: InviteServerTransaction | None = None  # the peer's open re-INVITE
        self.invite_out: InviteClientTransaction | None = None  # ours
        self.invite_cseq = 0  # of the INVITE that PRACK on this leg names
        self.rseq_shift: int | None = None  # how much higher RSeq is here than on the peer's leg
        self.answer: Answer | None = None  # a 2xx of ours that waits for its ACK
        self.ack: Transmit | None = None  # our last ACK for a 2xx
        self.ack_cseq = 0
        self.deferred_bye: Bye | None = None  # waits for the ACK (RFC 3261 section 15)
        self.pinned = trunk is not None and trunk.pinned  # to UDP, whatever the size
        self.deserted = False  # its WebSocket has closed, and it has not come back
        self.way = Way()
        self.shared.legs[dialog.key] = self
        if flow.web:
            self.shared.browsers.joins(self)

    @property
    def trunk_name(self) -> str:
        """For spans and counters."""
        return NO_TRUNK if self.trunk is None else self.trunk.name

    @property
    def rules(self) -> HeaderRules:
        """What passes towards this leg."""
        return DEFAULT_RULES if self.trunk is None else self.trunk.rules

    @property
    def contact(self) -> str:
        """Our Contact in this dialog."""
        return self.shared.contact(self.flow, secure=self.call.secure)

    def forget(self) -> None:
        """Nothing that comes for this dialog is ours any more."""
        self.shared.legs.pop(self.dialog.key, None)
        if self.flow.web:
            self.shared.browsers.leaves(self)

    def comes_by(self, flow: Flow) -> None:
        """A request in its dialog: the peer's newest connection is the way to it."""
        if flow.connection == self.flow.connection:
            return
        browsers = self.shared.browsers
        if self.flow.web:
            browsers.leaves(self)
        self.flow = flow
        self.deserted = False
        if flow.web:
            browsers.joins(self)

    def learn_allow(self, message: Message) -> None:
        """Note what the peer says that it can do."""
        headers = message.headers
        if "allow" in headers.keys:
            self.knows_refer = any("REFER" in line.upper() for line in headers.values("allow"))

    # Requests towards the peer

    def identity(self, cseq: int) -> tuple[Identity, str]:
        """What forms our next request, and the URI of its next hop."""
        dialog = self.dialog
        uri, routes, hop = dialog.addressing()
        identity = Identity(uri, dialog.from_value, dialog.to_value, dialog.call_id, cseq)
        identity.contact = self.contact
        identity.routes = routes
        identity.invite_cseq = self.invite_cseq
        if self.peer is not None:
            identity.rseq_shift = self.peer.rseq_shift or 0
        return identity, hop

    def cross(self, request: Request) -> tuple[Request, str]:
        """The other leg's request as it leaves here, with the dialog's trace context; and its next hop."""
        crossed, hop = self.cross_bare(request)
        self.stamp(crossed, self.context)
        return crossed, hop

    def cross_bare(self, request: Request) -> tuple[Request, str]:
        """As `cross`, without trace context."""
        identity, hop = self.identity(self.dialog.next_cseq())
        identity.max_forwards = hops_left(request)
        return cross_request(request, identity, self.rules), hop

    def make(
        self, method: str, rows: Rows = (), payload: Message | None = None, body: bytes = b""
    ) -> tuple[Request, str]:
        """A request of our own with these headers, and with the body of `payload` or `body`."""
        identity, hop = self.identity(self.dialog.next_cseq())
        return self._made(method, identity, self.context, rows, payload, body), hop

    def _made(
        self,
        method: str,
        identity: Identity,
        context: TraceContext,
        rows: Rows = (),
        payload: Message | None = None,
        body: bytes = b"",
    ) -> Request:
        headers = Headers()
        headers.add("Max-Forwards", "70")
        headers.add("From", identity.from_value)
        headers.add("To", identity.to_value)
        headers.add("Call-ID", identity.call_id)
        headers.add("CSeq", f"{identity.cseq} {method}")
        for route in identity.routes:
            headers.add("Route", route)
        for name, value in rows:
            headers.add(name, value)
        request = Request(method, identity.uri, headers, body)
        if payload is not None and payload.body:
            request.body = payload.body
            source = payload.headers
            for key, line in zip(source.keys, source.lines, strict=True):
                if key in _OF_BODY:
                    headers.add_line(key, line)
        self.stamp(request, context)
        headers.add("Content-Length", str(len(request.body)))
        return request

    def stamp(self, request: Request, context: TraceContext, previous: str = "") -> None:
        """Write a trace context the way this leg's trunk wants it."""
        if self.trunk is not None:
            baggage = self.call.baggage
            stamp(self.shared, request, context, self.trunk, self.flow, baggage, previous=previous)

    def send(self, request: Request, hop: str, user: LegUser, now: float) -> None:
        """Send in a transaction of its own; `user` hears what comes of it."""
        endpoint, pinned = self.shared.endpoint, self.pinned
        known = self.way.known(self, hop)
        if known is not None:
            user.sent(endpoint.send(request, known, user, now, pinned=pinned))
            return

        def then(flows: list[Flow], at: float) -> None:
            if not flows:
                user.unsent(ClientTransaction(request, b"", reliable=False), "dns", at)
                return
            otherwise = flows[1] if len(flows) > 1 else None
            user.sent(endpoint.send(request, flows[0], user, at, pinned=pinned, otherwise=otherwise))

        self.way.reach(self, hop, then, now)

    def send_ack(
        self,
        ack: Request | None,
        cseq: int,
        context: TraceContext,
        now: float,
        payload: Message | None = None,
    ) -> None:
        """Acknowledge the 2xx of our INVITE `cseq` with its `context`; `ack` is the other side's, if any, and
        `payload` what else holds the answer to its offer.
        """
        identity, hop = self.identity(cseq)
        if ack is None:
            request = self._made("ACK", identity, context, payload=payload)
        else:
            identity.max_forwards = hops_left(ack)
            request = cross_request(ack, identity, self.rules)
            self.stamp(request, context)
        self.ack_cseq = cseq
        known = self.way.known(self, hop)
        if known is not None:
            self.ack = self.shared.endpoint.send_once(request, known, pinned=self.pinned)
            return

        def then(flows: list[Flow], at: float) -> None:
            if flows:
                self.ack = self.shared.endpoint.send_once(request, flows[0], pinned=self.pinned)

        self.way.reach(self, hop, then, now)

    def repeat_ack(self, cseq: int) -> None:
        """The peer repeats its 2xx: so our ACK got lost."""
        if self.ack is not None and self.ack_cseq == cseq:
            self.shared.endpoint.outbox.append(self.ack)

    # Responses towards the peer

    def cross_back(self, tx: ServerTransaction, response: Response, *, target: bool) -> Response:
        """The other leg's response as it leaves here; `target`: with our Contact and the route set."""
        base = respond_to(tx.request, response.status, response.reason, to_tag=self.dialog.local_tag)
        if target:
            for line in _lines_of(tx.request, RECORD_ROUTE.key):
                base.headers.add_line(RECORD_ROUTE.key, line)
        if self.trunk is not None and self.trunk.settings.trace.respond:
            base.headers.add("traceparent", self.call.root.traceparent())
        contact = self.contact if target else ""
        return cross_response(base, response, self.rules, contact)

    def refuse(self, tx: ServerTransaction, status: int, now: float, *, retry_after: int = 0) -> None:
        """Answer a request ourselves, unless it has its answer."""
        if tx.answered:
            return
        response = respond_to(tx.request, status, to_tag=self.dialog.local_tag)
        if retry_after:
            response.headers.add("Retry-After", str(retry_after))
        self.shared.endpoint.respond(tx, response, now)


def stamp(
    shared: Shared,
    request: Request,
    context: TraceContext,
    trunk: Trunk,
    flow: Flow,
    baggage: str,
    *,
    previous: str = "",
) -> None:
    """Write a context the way a trunk wants it (`trace.send`), within what fits a datagram."""
    send = trunk.settings.trace.send
    if not send:
        return
    room: int | None = None
    if flow.transport == UDP:
        size = size_of(request)
        if size + 2 * len(context.tracestate) + len(baggage) > UDP_LIMIT - 400:  # what the names take is less
            room = max(UDP_LIMIT - size, 0) if size < UDP_LIMIT else None
    rows, dropped = write_sip(context, send, previous=previous, baggage=baggage, room=room)
    if dropped:
        shared.count("trace_dropped", trunk.name)
    for name, value in rows:
        request.headers.add(name, value)


def _lines_of(request: Request, key: str) -> list[str]:
    headers = request.headers
    if key not in headers.keys:
        return []
    return [line for name, line in zip(headers.keys, headers.lines, strict=True) if name == key]
