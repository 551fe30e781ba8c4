"""One request inside a dialog, taken from one leg and sent on by the other (RFC 3261 section 12.2, RFC 3311,
3262, 6086).

1xx to INVITE           passed on
1xx to others           dropped (RFC 4320)
2xx to INVITE           passed on, repeated until its ACK crosses
other finals            passed on; 481 and 408 to INVITE or UPDATE end the call (12.2.1.2)
silence                 INVITE: 408 and the call ends; others: nothing, the asker times out too (RFC 4320)
"""

from __future__ import annotations

from ..propagation.carriers import extract_sip
from ..propagation.context import TraceContext
from ..propagation.settings import TrunkTrace
from ..sip.build import cseq_of, respond_to
from ..sip.endpoint import Transmit
from ..sip.headers import MAX_FORWARDS
from ..sip.message import Request, Response
from ..sip.timers import Reminder, Timer
from ..sip.transaction import (
    ClientTransaction,
    InviteClientTransaction,
    InviteServerTransaction,
    ServerTransaction,
)
from .answer import Answer
from .cancelling import Withdrawal
from .events import Concluded, Milestone, Progressed, Transacted
from .leg import Leg

_TARGET_REFRESH = ("INVITE", "UPDATE")
_WITH_CONTACT = (*_TARGET_REFRESH, "REFER", "SUBSCRIBE")  # in their 2xx (RFC 3515, RFC 6665)
_DEFAULT_TRACE = TrunkTrace()


class Relay:
    """From the arrival of a request on `leg` to its final response."""

    __slots__ = (
        "_context",
        "_leg",
        "_peer",
        "_peer_cseq",
        "_reminder",
        "_tx",
        "_withdrawal",
        "client",
        "done",
    )

    def __init__(self, leg: Leg, tx: ServerTransaction) -> None:
        self._leg = leg
        self._tx = tx
        self._context: TraceContext | None = None  # of the span, where the request has one
        self._peer: Leg | None = None
        self._peer_cseq = 0
        self._reminder = Reminder(self)
        self._withdrawal = Withdrawal(leg.shared.endpoint)
        self.client: ClientTransaction | None = None
        self.done = False

    def start(self, now: float) -> None:
        """Send the request on. The call has checked that the dialog can take it."""
        leg, request = self._leg, self._tx.request
        peer = leg.peer
        hops = request.headers.first(MAX_FORWARDS)
        if peer is None or hops == 0:
            self.refuse(481 if peer is None else 483, now)
            return
        self._tell_begun(request, now)
        leg.call.relays.append(self)
        self._peer = peer
        crossed, hop = self.crossed(peer, request, now)
        self._peer_cseq = peer.dialog.local_cseq
        if request.method == "INVITE":
            assert isinstance(self._tx, InviteServerTransaction)
            leg.invite_in = self._tx
            peer.invite_cseq = self._peer_cseq
            leg.rseq_shift = None  # RSeq of its 1xx passes as it is
            leg.shared.endpoint.respond(self._tx, respond_to(request, 100), now)
            leg.shared.endpoint.timers.start(Timer.RING, now + leg.shared.timeouts.ring_s, self._reminder)
            leg.shared.opens(self._tx, self)
        peer.send(crossed, hop, self, now)

    def crossed(self, peer: Leg, request: Request, now: float) -> tuple[Request, str]:
        """The request as the peer's leg sends it, and its next hop."""
        return peer.cross(request)

    def refuse(self, status: int, now: float, *, retry_after: int = 0) -> None:
        """Answer it ourselves."""
        self._tell_begun(self._tx.request, now)
        self._reminder.drop()
        self.done = True
        if self._context is not None:
            self._tell(Concluded(self._context.span_id, status, "", now, self._tx.repeats, None, True))
        self._leg.refuse(self._tx, status, now, retry_after=retry_after)

    def sent(self, tx: ClientTransaction) -> None:
        """It has left."""
        self.client = tx
        if isinstance(tx, InviteClientTransaction) and self._leg.peer is not None and not self.done:
            self._leg.peer.invite_out = tx

    def cancelled(self, cancel: Request, now: float) -> None:
        """The asker takes its re-INVITE back; what the other side makes of it passes as usual."""
        self._withdrawal.want(self.client, ", ".join(cancel.headers.values("reason")) or None, now)

    def expire(self, timer: Timer, now: float) -> None:
        """A re-INVITE that was answered provisionally and then no more."""
        if not self.done:
            self._withdrawal.want(self.client, None, now)
            self._fail(408, "timeout", now)

    @property
    def lasting(self) -> bool:
        """Whether it goes on when the call is over (RFC 5057)."""
        return False

    @property
    def offers(self) -> bool:
        """Whether it may hold an offer (RFC 3264)."""
        return self._tx.request.method in _TARGET_REFRESH

    def concerns(self, leg: Leg) -> bool:
        """Whether that leg has asked, or is asked."""
        return leg is self._leg or leg is self._peer

    def abandon(self, now: float, status: int = 0) -> None:
        """The call is over while this is open, or its partners part: then with a `status` that ends no
        dialog.
        """
        if self.done:
            return
        self._withdrawal.want(self.client, None, now)
        if not status:
            status = 487 if self._tx.request.method == "INVITE" else 481
        self._finish(status, "", now)
        self._leg.refuse(self._tx, status, now)
        self.finished(status, "", now)

    # What comes back

    def responded(self, tx: ClientTransaction, response: Response, now: float) -> None:
        """Pass a response on."""
        leg, peer = self._leg, self._leg.peer
        if response.status < 200:
            self._withdrawal.try_now(tx, now)
        if response.status == 100 or peer is None:
            if 200 <= response.status < 300:
                self._acknowledge_late(now)
            return
        method = self._tx.request.method
        if self.done:
            if method == "INVITE" and 200 <= response.status < 300:
                self._acknowledge_late(now)
            return
        if response.status < 200:
            if method == "INVITE":
                self._tell(Progressed(self._context.span_id, response.status, now) if self._context else None)
                leg.shared.endpoint.respond(self._tx, leg.cross_back(self._tx, response, target=True), now)
            return
        success = response.status < 300
        refresh = method in _TARGET_REFRESH
        if success and refresh:
            peer.dialog.refresh_target(response)
            leg.dialog.refresh_target(self._tx.request)
            leg.call.session_refreshed(response, now)
        self._finish(response.status, "", now)
        leg.shared.endpoint.respond(
            self._tx, leg.cross_back(self._tx, response, target=success and method in _WITH_CONTACT), now
        )
        if method == "INVITE" and success:
            self._await_ack(now)
        elif refresh and response.status in (408, 481) and leg.confirmed:
            leg.call.broken(leg.peer, now)
        self.finished(response.status, "", now)

    def _acknowledge_late(self, now: float) -> None:
        """A 2xx to a re-INVITE whose call is over: the other side needs its ACK all the same."""
        peer = self._peer
        if peer is not None and self._tx.request.method == "INVITE":
            if peer.ack_cseq == self._peer_cseq and peer.ack is not None:
                peer.repeat_ack(self._peer_cseq)
            else:
                peer.send_ack(None, self._peer_cseq, peer.context, now)

    def _await_ack(self, now: float) -> None:
        leg = self._leg
        sent: Transmit = leg.shared.endpoint.outbox[-1]
        spans = (self._context.span_id,) if self._context else ()
        assert leg.peer is not None
        leg.answer = Answer(
            leg,
            sent,
            cseq=cseq_of(self._tx.request),
            peer_cseq=self._peer_cseq,
            peer_context=leg.peer.context,
            span_ids=spans,
            now=now,
        )

    def timed_out(self, tx: ClientTransaction, now: float) -> None:
        """The other side stayed silent."""
        self._fail(408, "timeout", now)

    def unsent(self, tx: ClientTransaction, reason: str, now: float) -> None:
        """The other side cannot be reached."""
        self._fail(503, "dns" if reason == "dns" else "transport", now)

    def _fail(self, status: int, error: str, now: float) -> None:
        if self.done:
            return
        self._finish(0, error, now)
        self._leg.refuse(self._tx, status, now)
        self.finished(0, error, now)
        if self._tx.request.method in _TARGET_REFRESH and self._leg.confirmed:
            self._leg.call.broken(self._leg.peer, now)

    def _finish(self, status: int, error: str, now: float) -> None:
        self.done = True
        self._reminder.drop()
        leg = self._leg
        if self in leg.call.relays:
            leg.call.relays.remove(self)
        if isinstance(self._tx, InviteServerTransaction):
            leg.invite_in = None
            leg.shared.concludes(self._tx)
            if leg.peer is not None:
                leg.peer.invite_out = None
        if self._context is not None:
            settled = not (self._tx.request.method == "INVITE" and 200 <= status < 300)
            self._tell(Concluded(self._context.span_id, status, error, now, self._tx.repeats, None, settled))

    def finished(self, status: int, error: str, now: float) -> None:
        """The request has its final response, or (0) will not get one; the asker has been told."""

    # What is told

    def _tell_begun(self, request: Request, now: float) -> None:
        leg = self._leg
        if request.method not in _TARGET_REFRESH:
            self._tell(Milestone(leg.context.span_id, request.method, now))
            return
        self._context = leg.context.child(leg.shared.ids.span_id())
        trace = _DEFAULT_TRACE if leg.trunk is None else leg.trunk.settings.trace
        foreign = extract_sip(request.headers.values, trace).context
        if foreign is not None and foreign.trace_id == leg.context.trace_id:
            foreign = None
        self._tell(
            Transacted(
                leg.call.root,
                leg.context,
                self._context,
                foreign,
                now,
                "re-INVITE" if request.method == "INVITE" else request.method,
                leg.role,
                leg.trunk_name,
                leg.dialog.call_id,
                cseq_of(request),
            )
        )

    def _tell(self, fact: Progressed | Milestone | Concluded | Transacted | None) -> None:
        if fact is not None:
            self._leg.shared.facts.append(fact)
