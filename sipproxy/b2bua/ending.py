"""How calls end: a peer's BYE, or our own on both legs.

BYE from one leg       sent on by the other; its 2xx goes back, 401 and 407 too (then the call goes on)
no answer within 2 s   the asker gets 200 from us; the BYE goes on
BYE before the ACK     the leg that waits for its ACK is told later (RFC 3261 section 15)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..sip.build import cseq_of, respond_to
from ..sip.message import Request, Response
from ..sip.timers import Timer
from ..sip.transaction import ClientTransaction, ServerTransaction
from .events import Disconnected

if TYPE_CHECKING:
    from .leg import Leg
    from .parting import Parting

ANSWER_WITHIN_S = 2.0  # seconds the asker waits for the other side's answer to its BYE


class Bye:
    """A BYE towards `leg`. `asker` is the leg that said it first, with its open transaction; neither when it
    is our own.
    """

    __slots__ = ("_answered", "_asker", "_leg", "_reason", "_repeated", "_sent_at", "_tx", "end")

    def __init__(
        self, leg: Leg, *, end: str, asker: Leg | None = None, tx: ServerTransaction | None = None
    ) -> None:
        self._leg = leg
        self._asker = asker
        self._tx = tx
        self._answered = tx is None
        self._reason = ""
        self._repeated = False
        self._sent_at = 0.0
        self.end = end  # `sip.dialog.end`

    def start(self, now: float, reason: str = "") -> None:
        """Send it, or let it wait for the ACK that this leg still owes us."""
        self._reason = reason
        leg = self._leg
        if leg.answer is not None:
            leg.deferred_bye = self
            self._answer(200, now)
            return
        self._send(now)
        if self._tx is not None:
            leg.shared.endpoint.timers.start(Timer.BYE, now + ANSWER_WITHIN_S, self)

    def resume(self, now: float) -> None:
        """The ACK is here."""
        self._send(now)

    def _send(self, now: float) -> None:
        leg = self._leg
        self._sent_at = self._sent_at or now
        if self._tx is not None:
            request, hop = leg.cross(self._tx.request)
        else:
            request, hop = leg.make("BYE")
            if self._reason:
                request.headers.add("Reason", self._reason)
        leg.send(request, hop, self, now)

    def sent(self, tx: ClientTransaction) -> None:
        """It has left."""

    def responded(self, tx: ClientTransaction, response: Response, now: float) -> None:
        """Its answer ends the dialog, except a challenge that the asker can meet."""
        if response.status < 200:
            return
        if response.status in (401, 407) and self._challenged(response, now):
            return
        if (
            response.status == 500
            and not self._repeated
            and cseq_of(tx.request) < self._leg.dialog.local_cseq
        ):
            self._repeated = True  # a later request of ours overtook it (RFC 3261 section 12.2.2)
            self._send(now)
            return
        if response.status < 300 and self._asker is not None and self._tx is not None and not self._answered:
            self._answered = True
            back = self._asker.cross_back(self._tx, response, target=False)
            self._leg.shared.endpoint.respond(self._tx, back, now)
        self._over(response.status, now)

    def _challenged(self, response: Response, now: float) -> bool:
        if self._answered or self._asker is None or self._tx is None or not self._leg.call.resumes():
            return False
        self._answered = True
        back = self._asker.cross_back(self._tx, response, target=False)
        self._leg.shared.endpoint.respond(self._tx, back, now)
        return True

    def timed_out(self, tx: ClientTransaction, now: float) -> None:
        """The other side is gone: so the dialog is over all the same."""
        self._over(0, now)

    def unsent(self, tx: ClientTransaction, reason: str, now: float) -> None:
        """Likewise."""
        self._over(0, now)

    def expire(self, timer: Timer, now: float) -> None:
        """The asker has waited long enough."""
        self._answer(200, now)

    def _over(self, status: int, now: float) -> None:
        self._answer(200, now)
        leg = self._leg
        root, delay_s = leg.call.root, now - self._sent_at
        leg.shared.facts.append(Disconnected(root, leg.trunk_name, delay_s, status, now))
        leg.call.leg_ended(leg, now)

    def _answer(self, status: int, now: float) -> None:
        if self._answered or self._asker is None or self._tx is None:
            return
        self._answered = True
        self._leg.shared.endpoint.respond(self._tx, respond_to(self._tx.request, status), now)


class HeldBye:
    """A transferor's BYE that came while a NOTIFY to it is open: the transferee, who sent that, must not lose
    the dialog before it has its answer. It waits for as long as any asker waits.
    """

    __slots__ = ("_call", "_leg", "_tx")

    def __init__(self, call: Parting, leg: Leg, tx: ServerTransaction, now: float) -> None:
        self._call: Parting | None = call
        self._leg = leg
        self._tx = tx
        call.shared.endpoint.timers.start(Timer.BYE, now + ANSWER_WITHIN_S, self)

    def expire(self, timer: Timer, now: float) -> None:
        """It has waited long enough."""
        self.release(now)

    def release(self, now: float) -> None:
        """Go on."""
        call, self._call = self._call, None
        if call is not None:
            call.bye_released(self._leg, self._tx, now)


def ok(leg: Leg, tx: ServerTransaction, request: Request, now: float) -> None:
    """200 to a BYE that crossed ours."""
    leg.shared.endpoint.respond(tx, respond_to(request, 200), now)
