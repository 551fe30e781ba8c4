"""Connecting two legs: one makes an offer, the other one answers it (RFC 3725 section 4.1, flow I; RFC 3264).

    ASKING     2xx with an offer          re-INVITE the answerer with it                   OFFERING
    OFFERING   2xx with the answer        ACK to both, the answer in the offerer's; joined OVER
    either     491, or the leg is busy    again a little later                             unchanged
    either     any other failure          unjoined: nothing has changed for that leg       OVER
    ASKING     the offerer hangs up       unjoined                                         OVER
    OFFERING   the offerer hangs up       the answer is still awaited                      DESERTED
    DESERTED   2xx                        ACK; stranded: the answerer hears nobody         OVER
    DESERTED   failure                    unjoined                                         OVER

Whoever joins acknowledges the offerer's 2xx when it ends unjoined in OFFERING.
"""

from __future__ import annotations

from enum import IntEnum

from ..propagation.context import TraceContext
from ..sip.build import cseq_of
from ..sip.message import Response
from ..sip.timers import Timer
from ..sip.transaction import ClientTransaction, InviteClientTransaction
from .cancelling import Withdrawal
from .events import Attempted, Concluded
from .leg import Leg, Rows
from .lineage import Lineage
from .rules import ALLOW
from .transfer import Transfer

BUSY_S = 20.0  # seconds that a leg may be busy with something else
PATIENCE_S = 35.0  # seconds that a leg has for its answer; silence has ended by then (timer B)


class Phase(IntEnum):
    """Where a join is."""

    ASKING = 0
    OFFERING = 1
    DESERTED = 2
    OVER = 3


class JoinUser:
    """Whose transfer needs two legs joined, and the call that it happens in."""

    __slots__ = ("owner", "transfer")

    def __init__(self, transfer: Transfer, owner: Lineage) -> None:
        self.transfer = transfer
        self.owner = owner

    def joined(self, join: Join, now: float) -> None:
        """They hear each other."""
        raise NotImplementedError

    def unjoined(self, join: Join, leg: Leg, status: int, error: str, now: float) -> None:
        """That leg would not; for the other one nothing has changed yet."""
        raise NotImplementedError

    def stranded(self, join: Join, now: float) -> None:
        """The answerer has taken the offer of somebody who is gone."""
        raise NotImplementedError

    def late_offer(self, join: Join, offer: Response, cseq: int, now: float) -> None:
        """The offer comes when it is not waited for any more; it needs an answer all the same."""
        raise NotImplementedError


class Join:
    """Connects for `user`. Its re-INVITEs are spans under the transfer."""

    __slots__ = (
        "_began_at",
        "_cseq",
        "_owner",
        "_span",
        "_tx",
        "_withdrawal",
        "answerer",
        "context",
        "cseq",
        "lost",
        "offer",
        "offerer",
        "phase",
        "user",
    )

    def __init__(self, user: JoinUser, offerer: Leg, answerer: Leg, now: float) -> None:
        self.user = user
        self._began_at = now
        self.offerer = offerer
        self.answerer = answerer
        self.phase = Phase.ASKING
        self.lost = False  # whoever would not is gone, dialog and all (RFC 3261 section 12.2.1.2)
        self.offer: Response | None = None
        self.cseq = 0  # of the offerer's INVITE
        self.context = offerer.context  # which that INVITE carried
        self._tx: ClientTransaction | None = None  # the re-INVITE that is open
        self._cseq = 0  # its number
        self._span: TraceContext | None = None
        self._withdrawal = Withdrawal(offerer.shared.endpoint)
        offerer.join = answerer.join = self
        self._owner = user.owner
        self._owner.attempted(+1)  # its re-INVITEs are told before the last word on the call

    def ask(self, now: float) -> None:
        """Have the offerer make an offer."""
        self._invite(self.offerer, None, now)

    def take(self, offer: Response, cseq: int, context: TraceContext, now: float) -> None:
        """Go on from an offer in a 2xx that waits for its ACK."""
        self.offer, self.cseq, self.context = offer, cseq, context
        self.phase = Phase.OFFERING
        if not offer.body:
            self._unjoined(self.offerer, 488, "", now)
            return
        self._invite(self.answerer, offer, now)

    @property
    def asked(self) -> Leg:
        """Whose answer is awaited."""
        return self.offerer if self.phase is Phase.ASKING else self.answerer

    def _invite(self, leg: Leg, offer: Response | None, now: float) -> None:
        if is_busy(leg):
            self._later(now)
            return
        shared = leg.shared
        rows: Rows = (("Contact", leg.contact), ("Allow", ALLOW))
        request, hop = leg.make("INVITE", rows, payload=offer)
        self._cseq = cseq_of(request)
        self._withdrawal = Withdrawal(shared.endpoint)
        root, parent = self._owner.root, self.user.transfer.context
        self._span = parent.child(shared.ids.span_id())
        rtt_ms = None if leg.trunk is None else leg.trunk.rtt_ms
        fact = Attempted(
            *(root, parent, self._span, now, now, "re-INVITE", leg.trunk_name),
            *(leg.dialog.call_id, leg.flow, self._cseq, rtt_ms, leg.role),
        )
        shared.facts.append(fact)
        shared.endpoint.timers.start(Timer.RING, now + PATIENCE_S, self)
        leg.send(request, hop, self, now)

    def _later(self, now: float) -> None:
        """RFC 3261 section 14.1: whose Call-ID it is waits longer."""
        leg = self.asked
        if now - self._began_at > BUSY_S:
            self._failed(491, "", now)
            return
        share = int(leg.shared.ids.hex(4), 16) / 0xFFFF
        wait_s = 2.1 + 1.9 * share if leg.dialled else 2.0 * share
        leg.shared.endpoint.timers.start(Timer.GLARE, now + wait_s, self)

    def expire(self, timer: Timer, now: float) -> None:
        """Try again, or wait no longer."""
        if self.phase is Phase.OVER:
            return
        if timer is Timer.GLARE:
            if self._tx is None and self.phase is not Phase.DESERTED:
                self._invite(self.asked, self.offer, now)
        elif self._tx is not None and now - self._began_at >= PATIENCE_S:
            self._withdrawal.want(self._tx, None, now)
            self._failed(408, "timeout", now)

    # What comes back

    def sent(self, tx: ClientTransaction) -> None:
        """It has left: maybe only now, after its way was looked up, and too late."""
        if self.phase is Phase.OVER:
            self._withdrawal.want(tx, None, 0.0)  # with the first 1xx
            return
        self._tx = tx
        if isinstance(tx, InviteClientTransaction):
            self.asked.invite_out = tx

    def responded(self, tx: ClientTransaction, response: Response, now: float) -> None:
        """Take a response to a re-INVITE of ours."""
        if response.status < 200:
            self._withdrawal.try_now(tx, now)
            return
        success = response.status < 300
        if tx is not self._tx:
            if success:
                self._late(tx, response, now)
            return
        leg = self.asked
        self._tx = None
        leg.invite_out = None
        self._tell(response.status, "", now)
        if not success:
            if response.status == 491 and self.phase is not Phase.DESERTED:
                self._later(now)
            else:
                self.lost = response.status in (408, 481)
                self._failed(response.status, "", now)
            return
        leg.dialog.refresh_target(response)
        leg.learn_allow(response)
        if self.phase is Phase.ASKING:
            if not response.body:
                leg.send_ack(None, self._cseq, leg.context, now)
            self.take(response, self._cseq, leg.context, now)
            return
        leg.send_ack(None, self._cseq, leg.context, now)
        leg.call.session_refreshed(response, now)
        if self.phase is Phase.DESERTED:
            self._over(now)
            self.user.stranded(self, now)
        elif not response.body:
            self._unjoined(leg, 488, "", now)
        else:
            self.offerer.send_ack(None, self.cseq, self.context, now, payload=response)
            self._over(now)
            self.user.joined(self, now)

    def _late(self, tx: ClientTransaction, response: Response, now: float) -> None:
        """A repeated 2xx, whose ACK got lost; or one that was not waited for any more."""
        number = cseq_of(tx.request)
        for leg in (self.offerer, self.answerer):
            if leg.dialog.call_id == response.call_id and leg.dialog.remote_tag == response.to_tag:
                if leg.ack_cseq >= number:
                    leg.repeat_ack(number)
                elif self.phase is Phase.OVER and leg is self.answerer:
                    leg.send_ack(None, number, leg.context, now)
                    self.user.stranded(self, now)
                elif self.phase is Phase.OVER and leg.join is None:
                    self.user.late_offer(self, response, number, now)

    def timed_out(self, tx: ClientTransaction, now: float) -> None:
        """Silence."""
        if tx is self._tx:
            self.lost = True
            self._failed(408, "timeout", now)

    def unsent(self, tx: ClientTransaction, reason: str, now: float) -> None:
        """No way there."""
        if self.phase is not Phase.OVER:
            self._failed(503, "dns" if reason == "dns" else "transport", now)

    def _failed(self, status: int, error: str, now: float) -> None:
        leg = self.asked
        if self._tx is not None:
            self._tell(0 if error else status, error, now)
        deserted = self.phase is Phase.DESERTED and not self.lost
        self._unjoined(self.offerer if deserted else leg, status, error, now)

    # How it ends

    def left(self, leg: Leg, now: float) -> None:
        """That leg's peer has hung up."""
        if leg is self.offerer and self.phase is Phase.OFFERING:  # its 2xx needs an ACK all the same
            leg.send_ack(None, self.cseq, self.context, now)
        if leg is self.offerer and self.phase is Phase.OFFERING and self._tx is not None:
            self.phase = Phase.DESERTED
        elif self.phase is not Phase.OVER:
            self._unjoined(leg, 487, "", now)

    def turn_to(self, user: JoinUser, answerer: Leg) -> None:
        """Somebody else answers the offer that is awaited."""
        self.user = user
        self.answerer.join = None
        self.answerer = answerer
        answerer.join = self

    def takes(self, leg: Leg, call: Lineage) -> bool:
        """Whether this would take that leg out of its call."""
        return leg is self.offerer and self.answerer.call is not call

    def stop(self, now: float) -> None:
        """It is not wanted any more. Nobody is told."""
        self._over(now)

    def _unjoined(self, leg: Leg, status: int, error: str, now: float) -> None:
        self._over(now)
        self.user.unjoined(self, leg, status, error, now)

    def _over(self, now: float) -> None:
        if self.phase is Phase.OVER:
            return
        self._tell(0, "", now)  # where its answer is not waited for
        self.phase = Phase.OVER
        self._owner.attempted(-1)
        tx, self._tx = self._tx, None
        if tx is not None:
            self._withdrawal.want(tx, None, now)
        for leg in (self.offerer, self.answerer):
            if leg.join is self:
                leg.join = None
            if tx is not None and leg.invite_out is tx:
                leg.invite_out = None

    def _tell(self, status: int, error: str, now: float) -> None:
        span, self._span = self._span, None
        if span is not None:
            repeats = 0 if self._tx is None else self._tx.repeats
            self.offerer.shared.facts.append(Concluded(span.span_id, status, error, now, repeats, None, True))


def is_busy(leg: Leg) -> bool:
    """Whether an offer is open there, or a 2xx is not acknowledged."""
    for relay in leg.call.relays:
        if relay.offers and relay.concerns(leg):
            return True
    owes_ack = leg.peer is not None and leg.peer.answer is not None
    return leg.invite_in is not None or leg.invite_out is not None or leg.answer is not None or owes_ack
