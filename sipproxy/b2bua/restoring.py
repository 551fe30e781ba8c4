"""A transfer failed half way: whoever lost a partner is joined with the old one again."""

from __future__ import annotations

from ..sip.message import Response
from .joining import Join, JoinUser
from .leg import Leg
from .transfer import Transfer


class Restore(JoinUser):
    """Both legs are of one call, which ends only where one of them is found to be gone."""

    __slots__ = ()

    def joined(self, join: Join, now: float) -> None:
        """All is as it was."""

    def unjoined(self, join: Join, leg: Leg, status: int, error: str, now: float) -> None:
        """What they had before is what they have."""
        if join.offer is not None:
            join.offerer.send_ack(None, join.cseq, join.context, now)
        if join.lost:
            leg.call.broken(leg, now)

    def stranded(self, join: Join, now: float) -> None:
        """Both have gone their ways."""
        join.answerer.call.broken(join.answerer, now)

    def late_offer(self, join: Join, offer: Response, cseq: int, now: float) -> None:
        """Try once more with what has come."""
        answer_offer(self.transfer, join.offerer, offer, cseq, join, now)


def answer_offer(
    transfer: Transfer, offerer: Leg, offer: Response, cseq: int, join: Join, now: float
) -> None:
    """An offer that was meant for somebody else: the offerer's partner answers it."""
    partner = offerer.peer
    if partner is None:
        offerer.send_ack(None, cseq, join.context, now)
        offerer.call.hang_up("transferred", 'SIP;cause=487;text="Transfer failed"', now)
        return
    Join(Restore(transfer, offerer.call), offerer, partner, now).take(offer, cseq, join.context, now)


def rejoin(transfer: Transfer, offerer: Leg, answerer: Leg, now: float) -> None:
    """Two legs that were partners, and of which one has heard somebody else meanwhile."""
    Join(Restore(transfer, offerer.call), offerer, answerer, now).ask(now)
