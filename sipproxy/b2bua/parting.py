"""How a call ends: by a peer's BYE, or from here; and what of it waits until then.

BYE, NOTIFYs to that leg open      waits for their answers, 2 s at most
BYE of an early dialog             the INVITE is given up, or the other side hears it
BYE during a transfer of ours      the transfer goes on without, or is given up
BYE                                crosses; the other side's answer ends the call
hung up from here                  BYE on both legs
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..propagation.context import TraceContext
from ..sip.headers import SESSION_EXPIRES
from ..sip.message import Request, Response
from ..sip.timers import Reminder, Timer
from ..sip.transaction import ServerTransaction
from .couple import Couple, Stage
from .ending import Bye, HeldBye, ok
from .events import CallForgotten, DialogEnded, Milestone
from .leg import Leg
from .relay import Relay
from .session_watch import SessionWatch
from .shared import Shared

if TYPE_CHECKING:
    from .referring import Referring
    from .setup import Setup

MOST_NAMES = 8  # Session-IDs that one call is found by


class Parting(Couple):
    """A call, as far as its end is concerned."""

    __slots__ = (
        "_held_bye",
        "_open_attempts",
        "_peer_hung_up",
        "_watch",
        "desk",
        "reminder",
        "session_ids",
        "setup",
    )

    def __init__(
        self,
        shared: Shared,
        root: TraceContext,
        *,
        session_id: str,
        interaction: str,
        baggage: str,
        hops: int,
        now: float,
    ) -> None:
        super().__init__(shared, root, interaction=interaction, baggage=baggage, hops=hops, now=now)
        self.session_ids: list[str] = []  # Session-ID values that lead here
        self.setup: Setup | None = None
        self.desk: Referring | None = None  # its transfers, where there were any
        self._open_attempts = 0
        self._watch: SessionWatch | None = None
        self._held_bye: HeldBye | None = None
        self._peer_hung_up = False  # while our BYE was on its way to it
        self.reminder = Reminder(self)  # for timers that may outlive the call by far
        shared.calls.add(self)
        self.known_as(session_id)

    def known_as(self, session_id: str) -> None:
        """Find this call by a Session-ID from now on (RFC 7989)."""
        if session_id and session_id not in self.session_ids and len(self.session_ids) < MOST_NAMES:
            self.session_ids.append(session_id)
            self.shared.sessions.remember(session_id, self.root)

    def session_refreshed(self, response: Response, now: float) -> None:
        """A 2xx to INVITE or UPDATE: the session lives for its Session-Expires from now, or for ever without
        one.
        """
        interval = response.headers.first(SESSION_EXPIRES)
        if interval and self._watch is None:
            self._watch = SessionWatch(self, self.shared.endpoint.timers)
        if self._watch is not None:
            self._watch.refreshed(interval or 0, now)

    def session_expired(self, now: float) -> None:
        """Nobody has refreshed it."""
        if self.stage is Stage.TALKING:
            leg = self.callee or self.caller
            name, call_id = ("", "") if leg is None else (leg.trunk_name, leg.dialog.call_id)
            self.shared.count("session_expired", name, "", self.root, call_id)
            self.hang_up("session_expired", 'SIP;cause=408;text="Session timer expired"', now)

    def expire(self, timer: Timer, now: float) -> None:
        """Ringing for too long."""
        if self.setup is not None:
            self.setup.rung_too_long(now)

    def take_bye(self, leg: Leg, tx: ServerTransaction, request: Request, now: float) -> None:
        """A peer hangs up."""
        if leg.notifies and self.stage is Stage.TALKING and not leg.departed:
            self._held_bye = HeldBye(self, leg, tx, now)
            return
        self.shared.facts.append(Milestone(leg.context.span_id, "BYE", now))
        if not leg.confirmed:
            self._early_bye(leg, tx, request, now)
            return
        if self.stage >= Stage.ENDING or leg.departed:
            self._peer_hung_up = self._peer_hung_up or not leg.departed
            ok(leg, tx, request, now)  # it crossed ours
            return
        if self._leaves_a_transfer(leg, tx, now):
            return
        if leg.answer is not None:
            # Before its BYE; ours goes on until it is heard (RFC 5407 section 3.1.3).
            leg.answer.settle_peer(None, now)
        self.stage = Stage.ENDING
        self.open_legs = 1
        self.end = end = "transferred" if self.transferred or leg.successor is not None else f"{leg.role}_bye"
        self.ended_at = now
        if leg.peer is None:
            ok(leg, tx, request, now)
            self.forget(now)
        else:
            Bye(leg.peer, end=end, asker=leg, tx=tx).start(now)

    def _leaves_a_transfer(self, leg: Leg, tx: ServerTransaction, now: float) -> bool:
        """A BYE while a transfer is under way; whether there is nothing more to do about it now."""
        desk, peer = self.desk, leg.peer
        if desk is not None and desk.left(leg, now):
            ok(leg, tx, tx.request, now)
            return True
        if peer is not None and peer.join is not None and peer.join.takes(peer, self):
            # The one who consulted need not wait until its partner is joined with another.
            self.departs(leg, now)
            if leg.answer is None:
                leg.forget()
            ok(leg, tx, tx.request, now)
            return True
        if leg.join is not None:
            leg.join.left(leg, now)
        return False

    def notified(self, leg: Leg, now: float) -> None:
        """No NOTIFY to that leg is open any more: its BYE may cross."""
        held, self._held_bye = self._held_bye, None
        if held is not None:
            held.release(now)

    def bye_released(self, leg: Leg, tx: ServerTransaction, now: float) -> None:
        """A BYE has waited for the NOTIFYs that it crossed."""
        leg.notifies = 0
        self._held_bye = None
        self.take_bye(leg, tx, tx.request, now)

    def _early_bye(self, leg: Leg, tx: ServerTransaction, request: Request, now: float) -> None:
        """It ends this early dialog (RFC 3261 section 15); a 2xx may be on its way all the same."""
        leg.hung_up = True
        if self.setup is not None and not self.setup.forked:
            ok(leg, tx, request, now)
            self.setup.cancelled(request, now)
        elif leg.role == "caller":
            Relay(leg, tx).start(now)
        else:
            ok(leg, tx, request, now)  # only an answered callee may say BYE: it has overtaken its 2xx

    def hang_up(self, end: str, reason: str, now: float) -> None:
        """End the call from here, on both legs."""
        if self.setup is not None:
            self.setup.give_up(503, end, now)
        if self.stage is not Stage.TALKING:
            return
        self._leave_transfers(now)
        legs = [leg for leg in (self.callee, self.caller) if leg is not None and not leg.departed]
        self.stage = Stage.ENDING
        self.open_legs = len(legs)
        self.end = end
        self.ended_at = now
        for leg in legs:
            if leg.peer is not None and leg.peer.answer is not None:
                leg.peer.answer.settle_peer(None, now)
            Bye(leg, end=end).start(now, reason)

    def _leave_transfers(self, now: float) -> None:
        if self.desk is not None:
            self.desk.abandon(now)
        for leg in (self.caller, self.callee):
            if leg is not None and leg.join is not None:
                leg.join.left(leg, now)

    def broken(self, leg: Leg | None, now: float) -> None:
        """One leg no longer knows the dialog, or is silent: the call is over (RFC 3261 section 12.2.1.2)."""
        if leg is not None:
            self.hang_up("timeout", 'SIP;cause=481;text="Dialog lost"', now)

    def resumes(self) -> bool:
        """A BYE was challenged: whether the call goes on. Not when the other side has hung up too."""
        if self.stage is Stage.ENDING and not self._peer_hung_up:
            self.stage = Stage.TALKING
            return True
        return False

    def departs(self, leg: Leg, now: float) -> None:
        """A transfer takes that leg out of the call, and with it maybe who refreshes the session."""
        super().departs(leg, now)
        if self._watch is not None:
            self._watch.refreshed(0, now)

    def leg_ended(self, leg: Leg, now: float) -> None:
        """A BYE of ours is answered, or never will be."""
        if leg.departed:
            leg.forget()
            return
        if leg.declined:
            self.shared.facts.append(
                DialogEnded(leg.context.span_id, "cancelled", now, 0, self.root, leg.role)
            )
            self.attempted(-1)
            return
        if self.stage is not Stage.ENDING:
            return
        self.open_legs -= 1
        if self.open_legs <= 0:
            self.forget(now)

    def forget(self, now: float) -> None:
        """Nothing is left to do."""
        if self.stage is Stage.ENDED:
            return
        talked = self.stage is Stage.ENDING
        legs = [leg for leg in (self.caller, self.callee) if leg is not None]
        lingering = self.desk is not None and self.desk.lingers(legs)
        for relay in list(self.relays):
            if not (lingering and relay.lasting):
                relay.abandon(now)
        for leg in legs:
            if leg.answer is not None:
                leg.answer.settle_peer(None, now)
                self.tell_settled(leg.answer, False, now)
        self.stage = Stage.ENDED
        self.setup = None
        shared = self.shared
        for leg in legs:
            if talked and not leg.departed:
                shared.finished.add(leg.dialog.key)
                self.tell_ended(leg, self.end, now)
            if leg.answer is None and not leg.departed and not lingering:  # else it has to be found still
                leg.forget()
        if not lingering:
            self.desk = None  # it and the call would hold each other for ever
            for leg in legs:
                leg.peer = None
        self.caller = self.callee = None
        for trunk in self.trunks:
            trunk.release()
        self.trunks = []
        for session_id in self.session_ids:
            shared.sessions.forget(session_id, self.root)
        shared.calls.discard(self)
        self.reminder.drop()
        if self._watch is not None:
            self._watch.drop()
            self._watch = None
        self._tell_forgotten()

    def attempted(self, change: int) -> None:
        """One more attempt (+1) whose end is still to be told, or one less."""
        self._open_attempts += change
        self._tell_forgotten()

    def _tell_forgotten(self) -> None:
        """The last word on this call: behind the end of a cancelled attempt, which may come late."""
        if self.stage is Stage.ENDED and not self._open_attempts:
            self.shared.facts.append(CallForgotten(self.root))
