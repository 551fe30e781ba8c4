"""A transfer that we do ourselves: the transferee's user agent needs to know neither REFER nor Replaces.

DIALLING    the target is called without an offer; ringing is told by NOTIFY (dialling.py)
JOINING     its offer goes to the transferee, the answer back (joining.py); attended: the target's leg is
            asked for an offer first
OVER        done: NOTIFY, and BYE to the transferor; or failed: NOTIFY, the old call goes on, and whoever
            lost a partner by that is joined with it again (restoring.py)

transferor hangs up     the transfer goes on; if it fails then, the transferee is told BYE
transferee hangs up     the target is not wanted any more; NOTIFY 487
target hangs up         the transfer has failed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..propagation.context import TraceContext
from ..sip.headers import EXPIRES_S
from ..sip.message import Response
from ..sip.refer import ReferTo
from ..sip.timers import Timer
from ..sip.transaction import ServerTransaction
from .attempt import Attempt
from .dialling import Dialling, Step
from .ending import Bye
from .events import Milestone, Settled
from .inviting import answer_refer
from .joining import Join, JoinUser
from .leg import Leg
from .replacing import Dialogue
from .restoring import Restore, answer_offer, rejoin
from .transfer import Transfer

if TYPE_CHECKING:
    from .referring import Referring


class Move(Dialling):
    """`transferor` asked that `transferee` talk to the target instead; `replaced` is the conversation that
    the transferor has with the target already, if it is attended.
    """

    __slots__ = (
        "_desk",
        "_join",
        "_left_over",
        "_replaced",
        "gone",
        "target",
    )

    def __init__(
        self,
        desk: Referring,
        transferor: Leg,
        transferee: Leg,
        front: Leg,
        tx: ServerTransaction,
        transfer: Transfer,
        target: ReferTo,
        replaced: Dialogue | None,
        now: float,
    ) -> None:
        super().__init__(desk.call, transferor, transferee, front, tx, transfer, target, now)
        self._desk = desk
        self._replaced = replaced
        self._join: Join | None = None
        self._left_over: Leg | None = None  # the transferor's leg to the target, once it is not needed
        self.target: Leg | None = None
        self.gone = False  # the transferor has hung up
        if replaced is None and transfer.replaces is not None:
            self.replaces = str(transfer.replaces)  # the target may know a conversation that we do not

    def start(self, now: float) -> None:
        """Take the REFER, and begin."""
        if not answer_refer(self.front, self.tx, now, silent=self.notifier.silent):
            self.transfer.refused(420, "", now)
            self.notifier.user = None
            if self.front is not self.transferor:
                self.front.forget()
            self._finish()
            return
        self.transfer.accepted(now)
        self.notifier.tell(100, now)
        self.call.hops = self.transfer.hops
        self.transfer.placed("")
        self.shared.endpoint.timers.start(Timer.RING, now + self.shared.timeouts.ring_s, self.reminder)
        if self._replaced is None:
            self.dial(now)
        else:
            self._consulted(self._replaced, now)

    def _consulted(self, replaced: Dialogue, now: float) -> None:
        target = replaced.target
        call = target.call
        moves = call.desk is not None and call.desk.move is not None  # into another call already
        if not target.confirmed:
            self.fail(481, "", now)
            return
        if moves or target.join is not None or not call.talking:
            self.fail(491, "", now)
            return
        self.step = Step.JOINING
        self.target = target
        self._join = Join(Joining(self), target, self.transferee, now)
        self._join.ask(now)

    def connected(self, attempt: Attempt, leg: Leg, response: Response, now: float) -> None:
        """The target has answered, with an offer."""
        self.over = True
        self.attempt = None
        attempt.forget_legs(leg)
        leg.confirmed = True
        leg.role = self.transferor.role
        leg.learn_allow(response)
        self.target = leg
        self.step = Step.JOINING
        if leg.hung_up:
            self._drop(leg, leg.invite_cseq, attempt.context, now)
            self.fail(487, "", now)
            return
        self.ring_ms = round((now - self._rang_at) * 1000) if self._rang_at else 0
        self._join = Join(Joining(self), leg, self.transferee, now)
        self._join.take(response, leg.invite_cseq, attempt.context, now)

    # What joins report

    def joined(self, join: Join, now: float) -> None:
        """Two legs hear each other."""
        self._join = None
        target, call, transfer = join.offerer, self.call, self.transfer
        self._tell_settled(join.context, now)
        call.chain = transfer.chain
        parent = transfer.context
        if transfer.fresh and self._replaced is None:
            parent = call.trace = join.context  # later transfers of this call are part of the new trace
            call.chain, call.chain_began_at = 0, now
        link: TraceContext | None = None
        if self._replaced is not None:
            link = target.context
            self._left_over = target.call.gives_away(target, call, now)
        call.ring_ms = self.ring_ms
        call.replaces(self.transferor, target, parent, link, now)
        transfer.concluded(200, "", now)
        call.transferred = False  # it goes on, and ends like any other
        self.notifier.tell(200, now, last=True)
        self._finish()

    def _tell_settled(self, context: TraceContext, now: float) -> None:
        """The ACK of the target's INVITE has gone."""
        if self._replaced is None:
            self.shared.facts.append(Milestone(context.span_id, "ACK", now))
            self.shared.facts.append(Settled(context.span_id))

    def unjoined(self, join: Join, leg: Leg, status: int, error: str, now: float) -> None:
        """One of them would not; for the other one nothing has changed yet."""
        self._join = None
        target = join.offerer
        if self._replaced is None:
            self._drop(join.offerer, join.cseq, join.context, now)
        elif leg is not target and join.offer is not None:
            answer_offer(self.transfer, target, join.offer, join.cseq, join, now)
        elif target.peer is None:
            target.call.hang_up("transferred", 'SIP;cause=487;text="Transfer failed"', now)
        self.fail(status, error, now)
        if join.lost and not leg.departed:
            leg.call.broken(leg, now)

    def stranded(self, now: float) -> None:
        """The transferee has taken the offer of a target that is gone: it gets the transferor back."""
        self._join = None
        if self.step is not Step.OVER:
            self.fail(487, "", now)
        if self.call.talking and not self.gone:
            rejoin(self.transfer, self.transferor, self.transferee, now)

    def _drop(self, target: Leg, cseq: int, context: TraceContext, now: float) -> None:
        """The target that was called has nobody to talk to."""
        if target.departed:
            return
        target.send_ack(None, cseq, context, now)
        self._tell_settled(context, now)
        target.departed = True
        if target.hung_up:
            target.forget()
        else:
            Bye(target, end="cancelled").start(now, 'SIP;cause=487;text="Transfer failed"')

    # Who leaves meanwhile

    def left(self, leg: Leg, now: float) -> bool:
        """That leg's peer has hung up; whether the call goes on without it."""
        if self.step is Step.OVER:
            return False
        if leg is self.transferor:
            self.gone = True
            return True
        join = self._join
        if leg is self.target and self._replaced is None:
            leg.departed = True
            leg.forget()
            if join is not None:
                self._tell_settled(join.context, now)
                join.left(leg, now)
            return True
        self.abandon(now)
        return False

    def abandon(self, now: float) -> None:
        """The call ends while the transfer is under way."""
        join, self._join = self._join, None
        if self.step is Step.OVER:
            return
        if self.step is Step.DIALLING:
            self.withdraw("", now)
        elif join is not None:
            self._give_back(join, now)
        self._fail(487, "", now, ending=True)

    def _give_back(self, join: Join, now: float) -> None:
        """The target is not wanted any more: it hears BYE, or gets its partner back."""
        target, offer = join.offerer, join.offer
        if self._replaced is None:
            join.stop(now)
            self._drop(join.offerer, join.cseq, join.context, now)
        elif offer is not None:
            join.stop(now)
            answer_offer(self.transfer, target, offer, join.cseq, join, now)
        elif target.peer is not None:
            join.turn_to(Restore(self.transfer, target.call), target.peer)
        else:
            join.stop(now)
            target.call.hang_up("transferred", 'SIP;cause=487;text="Transfer failed"', now)

    # The end

    def fail(self, status: int, error: str, now: float) -> None:
        """The transfer has failed; where the transferor is gone too, the transferee is left alone."""
        self._fail(status, error, now, ending=False)

    def _fail(self, status: int, error: str, now: float, *, ending: bool) -> None:
        """`ending`: the call is at its end, and so is not to be ended."""
        if self.step is Step.OVER:
            return
        self.unconsulted(now)
        self.over = True
        self.attempt = None
        self.give_back()
        self.transfer.failed(status, error, now)
        self.notifier.tell(status, now, last=True)
        self._finish()
        if self.gone and not ending:
            reason = f'SIP;cause={status};text="Transfer failed"'
            self.call.hang_up(f"{self.transferor.role}_bye", reason, now)

    def _finish(self) -> None:
        self.step = Step.OVER
        self.reminder.drop()
        if self._desk.move is self:
            self._desk.move = None

    # The transferor's subscription

    def subscribed(self, leg: Leg, tx: ServerTransaction, number: int | None, now: float) -> bool:
        """A SUBSCRIBE for it (RFC 3515 section 2.4.4); whether it is this one."""
        if leg is not self.front or number not in (None, self.notifier.number):
            return False
        if self.notifier.over:
            leg.refuse(tx, 481, now)
            return True
        expires_s = tx.request.headers.first(EXPIRES_S)
        self.notifier.subscribed(tx, 60 if expires_s is None else min(expires_s, 3600), now)
        return True

    def notified(self, now: float) -> None:
        """The last NOTIFY is answered: the transferor may go, if it is out of the call."""
        leg, self._left_over = self._left_over, None
        if leg is not None:
            Bye(leg, end="transferred").start(now)
        if self.front is not self.transferor:
            self.front.forget()
        if self.transferor.departed and not self.gone:
            Bye(self.transferor, end="transferred").start(now)


class Joining(JoinUser):
    """Hears for a move how its join ends."""

    __slots__ = ("_move",)

    def __init__(self, move: Move) -> None:
        super().__init__(move.transfer, move.call)
        self._move = move

    def joined(self, join: Join, now: float) -> None:
        """Pass it on."""
        self._move.joined(join, now)

    def unjoined(self, join: Join, leg: Leg, status: int, error: str, now: float) -> None:
        """Pass it on."""
        self._move.unjoined(join, leg, status, error, now)

    def stranded(self, join: Join, now: float) -> None:
        """Pass it on."""
        self._move.stranded(now)

    def late_offer(self, join: Join, offer: Response, cseq: int, now: float) -> None:
        """The transfer has failed meanwhile: the target's partner answers."""
        answer_offer(self.transfer, join.offerer, offer, cseq, join, now)
