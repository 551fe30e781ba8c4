"""A 2xx to INVITE, sent again until the ACK comes (RFC 3261 section 13.3.1.4); on streams too, since a hop
behind may be UDP.

WAITING   timer REPEAT     send again, start REPEAT longer    WAITING
WAITING   ACK              pass it on                         DONE
WAITING   the call ends    ACK on the other leg; goes on      WAITING
WAITING   timer UNHEARD    the call ends                      DONE
DONE      timer UNHEARD    our ACK on the other leg is forgotten
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..propagation.context import TraceContext
from ..sip.endpoint import Transmit
from ..sip.message import Request
from ..sip.timers import T1, T2, TRANSACTION_TIMEOUT, Timer

if TYPE_CHECKING:
    from .leg import Leg


class Answer:
    """`cseq` is the INVITE's on this leg, `peer_cseq` that of the INVITE we sent on the other."""

    __slots__ = (
        "_interval",
        "_leg",
        "_peer_context",
        "_sent",
        "_settled",
        "cseq",
        "peer_cseq",
        "span_ids",
        "waiting",
    )

    def __init__(
        self,
        leg: Leg,
        sent: Transmit,
        *,
        cseq: int,
        peer_cseq: int,
        peer_context: TraceContext,
        span_ids: tuple[str, ...],
        now: float,
    ) -> None:
        self._leg = leg
        self._sent: Transmit | None = sent
        self._interval = T1
        self.cseq = cseq
        self.peer_cseq = peer_cseq
        self._peer_context = peer_context  # what that INVITE carried, and its ACK carries
        self.span_ids = span_ids  # INVITE spans that hear of the ACK
        self.waiting = True
        self._settled = False
        timers = leg.shared.endpoint.timers
        timers.start(Timer.REPEAT, now + T1, self)
        timers.start(Timer.UNHEARD, now + TRANSACTION_TIMEOUT, self)

    def settle_peer(self, ack: Request | None, now: float) -> None:
        """Acknowledge the other side's 2xx, with what the ACK that came carries; once."""
        leg = self._leg
        if not self._settled and leg.peer is not None:
            self._settled = True
            leg.peer.send_ack(ack, self.peer_cseq, self._peer_context, now)

    def acknowledged(self, ack: Request | None, now: float) -> None:
        """The ACK is here, or stands in for one that will not come; only the first counts."""
        if not self.waiting:
            return
        self.waiting = False
        self._sent = None
        self._leg.answer = None
        self.settle_peer(ack, now)
        self._leg.call.acknowledged(self._leg, self, ack is not None, now)

    def expire(self, timer: Timer, now: float) -> None:
        """Act on a timer."""
        leg = self._leg
        if timer is Timer.UNHEARD:
            if self.waiting:
                leg.call.unacknowledged(leg, self, now)
            elif leg.peer is not None and leg.peer.ack_cseq == self.peer_cseq:
                leg.peer.ack = None
        elif self.waiting and self._sent is not None:
            leg.shared.endpoint.outbox.append(self._sent)
            self._interval = min(2 * self._interval, T2)
            leg.shared.endpoint.timers.start(Timer.REPEAT, now + self._interval, self)
