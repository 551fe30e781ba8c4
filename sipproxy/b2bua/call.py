"""A call: two legs that are answered, and what happens between them until both are over.

SETUP      2xx from a callee       both legs confirmed                TALKING    (setup.py)
SETUP      refused, cancelled      the caller hears it                ENDED
TALKING    request from a leg      sent on by the other (relay.py)    TALKING
TALKING    BYE, session expired,   BYE on the other leg, or both      ENDING     (ending.py)
           no ACK, leg broken
ENDING     401/407 to the BYE      the asker tries again              TALKING
ENDING     last BYE answered       forgotten                          ENDED
"""

from __future__ import annotations

from ..sip.build import cseq_of
from ..sip.message import Request, Response
from ..sip.transaction import ServerTransaction
from .answer import Answer
from .couple import Stage
from .leg import Leg
from .parting import Parting
from .relay import Relay

_EVENTS = ("NOTIFY", "SUBSCRIBE")


class Call(Parting):
    """What both legs share once they talk; how they got there is `Setup`'s, where a transfer takes them is
    `Referring`'s, and how they part is `Parting`'s.
    """

    __slots__ = ()

    # Talking

    def answered(self, caller: Leg, callee: Leg, response: Response, now: float) -> None:
        """Both legs are confirmed, and nobody else rings any more."""
        self.stage = Stage.TALKING
        self.setup = None
        self.caller, self.callee = caller, callee
        for leg in (caller, callee):
            leg.confirmed = True
            self.establish(leg, self.root, now)
        self.session_refreshed(response, now)
        for leg in (caller, callee):
            if leg.hung_up:
                self.hang_up(f"{leg.role}_bye", "SIP;cause=487", now)

    def declined(self, leg: Leg, now: float) -> None:
        """Somebody answered whom nobody waits for any more; its dialog lasts until our BYE is answered."""
        self.attempted(+1)
        leg.declined = True
        self.establish(leg, self.root, now)

    def requested(self, leg: Leg, tx: ServerTransaction, request: Request, now: float) -> None:
        """A request arrived in a dialog of ours."""
        number = cseq_of(request)
        # A BYE may come behind what was sent after it (RFC 5057): its peer is gone all the same.
        if not leg.dialog.accept_cseq(number) and request.method != "BYE":
            leg.refuse(tx, 500, now)
            return
        if tx.flow is not None and tx.flow.connection:
            leg.comes_by(tx.flow)
        method = request.method
        desk = self.desk
        if method == "BYE":
            self.take_bye(leg, tx, request, now)
        elif desk is not None and method in _EVENTS and desk.event(leg, tx, request, now):
            pass
        elif self.stage >= Stage.ENDING or leg.departed:
            leg.refuse(tx, 481, now)
        elif leg.peer is None and desk is not None:  # between two partners
            leg.refuse(tx, 500, now, retry_after=1)
        elif method == "REFER":
            if desk is None:
                desk = self.desk = self.shared.refer_desk(self)
            desk.refer(leg, tx, request, now)
        elif method == "UPDATE" and (
            leg.join is not None or (leg.peer is not None and leg.peer.join is not None)
        ):
            leg.refuse(tx, 491, now)
        elif method == "INVITE" and (status := self._not_now(leg)):
            Relay(leg, tx).refuse(status, now, retry_after=2 if status == 500 else 0)
        else:
            Relay(leg, tx).start(now)

    def _not_now(self, leg: Leg) -> int:
        """Why a re-INVITE cannot be taken: one at a time (RFC 3261 section 14.2), none before the ACK has
        crossed (RFC 5407 section 3.1). 0: it can.
        """
        peer = leg.peer
        if not leg.confirmed and leg.dialled:
            return 491  # our own INVITE is still open there
        if peer is None or not leg.confirmed or leg.invite_in is not None or leg.answer is not None:
            return 500
        if leg.join is not None or peer.join is not None:
            return 491
        if leg.invite_out is not None or peer.answer is not None or peer.invite_in is not None:
            return 491
        return 0

    def acknowledged(self, leg: Leg, answer: Answer, heard: bool, now: float) -> None:
        """The ACK has crossed. A BYE that waited for it may go."""
        self.tell_settled(answer, heard, now)
        bye, leg.deferred_bye = leg.deferred_bye, None
        if bye is not None:
            bye.resume(now)
        if self.stage is Stage.ENDED or leg.departed:
            leg.forget()

    def unacknowledged(self, leg: Leg, answer: Answer, now: float) -> None:
        """Nobody acknowledged our 2xx: the call ends (RFC 3261 section 13.3.1.4), unless it has gone on
        without.
        """
        self.shared.count("no_ack", leg.trunk_name, "", self.root, leg.dialog.call_id)
        answer.acknowledged(None, now)
        if not leg.departed:
            self.hang_up("timeout", 'SIP;cause=408;text="No ACK"', now)
