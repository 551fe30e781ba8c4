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

from enum import IntEnum
from typing import TYPE_CHECKING

from ..propagation.context import TraceContext
from ..sip.headers import SESSION_EXPIRES
from ..sip.message import Request, Response
from ..sip.timers import Reminder, Timer
from ..sip.transaction import ServerTransaction
from .answer import Answer
from .ending import Bye, ok
from .events import CallForgotten, DialogEnded, Established, Milestone, Settled
from .leg import Leg, cseq_of
from .relay import Relay
from .routing import Trunk
from .shared import Shared

if TYPE_CHECKING:
    from .setup import Setup


MOST_NAMES = 8  # Session-IDs that one call is found by
LONGEST_SESSION_S = 86400  # seconds; a Session-Expires beyond a day promises nothing


class Stage(IntEnum):
    """Where a call is."""

    SETUP = 0
    TALKING = 1
    ENDING = 2
    ENDED = 3


class Call:
    """What both legs share once they talk; how they got there is `Setup`'s."""

    __slots__ = (
        "_end",
        "_ended_at",
        "_open_attempts",
        "_open_legs",
        "_peer_hung_up",
        "_session_ends_at",
        "_session_timer_at",
        "answered_at",
        "baggage",
        "callee",
        "caller",
        "relays",
        "reminder",
        "ring_ms",
        "root",
        "session_ids",
        "setup",
        "shared",
        "stage",
        "trunks",
    )

    def __init__(self, shared: Shared, root: TraceContext, *, session_id: str, baggage: str) -> None:
        self.shared = shared
        self.root = root
        self.session_ids: list[str] = []  # Session-ID values that lead here
        self.relays: list[Relay] = []  # requests under way between the legs
        self.baggage = baggage
        self.stage = Stage.SETUP
        self.setup: Setup | None = None
        self.caller: Leg | None = None
        self.callee: Leg | None = None
        self.trunks: list[Trunk] = []  # that count this call
        self.answered_at = 0.0
        self.ring_ms = 0
        self._end = ""
        self._ended_at = 0.0
        self._open_attempts = 0
        self._open_legs = 0
        self._session_ends_at = 0.0
        self._session_timer_at = 0.0
        self._peer_hung_up = False  # while our BYE was on its way to it
        self.reminder = Reminder(self)  # for timers that may outlive the call by far
        shared.calls.add(self)
        self.known_as(session_id)

    def known_as(self, session_id: str) -> None:
        """Find this call by a Session-ID from now on (RFC 7989)."""
        if session_id and session_id not in self.session_ids and len(self.session_ids) < MOST_NAMES:
            self.session_ids.append(session_id)
            self.shared.sessions.remember(session_id, self.root)

    # Talking

    def answered(self, caller: Leg, callee: Leg, response: Response, now: float) -> None:
        """Both legs are confirmed, and nobody else rings any more."""
        self.stage = Stage.TALKING
        self.setup = None
        self.answered_at = now
        self.caller, self.callee = caller, callee
        for leg in (caller, callee):
            leg.confirmed = True
            leg.context = leg.context.child(self.shared.ids.span_id())
            self._tell_established(leg, now)
        self.session_refreshed(response, now)
        for leg in (caller, callee):
            if leg.hung_up:
                self.hang_up(f"{leg.role}_bye", "SIP;cause=487", now)

    def _tell_established(self, leg: Leg, now: float) -> None:
        if self.root.sampled:
            rtt_ms = None if leg.trunk is None else leg.trunk.rtt_ms
            self.shared.facts.append(
                Established(
                    self.root,
                    leg.context,
                    now,
                    leg.role,
                    leg.trunk_name,
                    leg.dialog.call_id,
                    leg.flow,
                    self.ring_ms,
                    rtt_ms,
                )
            )

    def declined(self, leg: Leg, now: float) -> None:
        """Somebody answered whom nobody waits for any more; its dialog lasts until our BYE is answered."""
        self.attempted(+1)
        leg.declined = True
        leg.context = leg.context.child(self.shared.ids.span_id())
        self._tell_established(leg, now)

    def requested(self, leg: Leg, tx: ServerTransaction, request: Request, now: float) -> None:
        """A request arrived in a dialog of ours."""
        number = cseq_of(request)
        if not leg.dialog.accept_cseq(number):
            leg.refuse(tx, 500, now)
            return
        if tx.flow is not None and tx.flow.connection:
            leg.flow = tx.flow  # the peer's newest connection
        method = request.method
        if method == "BYE":
            self._bye(leg, tx, request, now)
        elif self.stage >= Stage.ENDING:
            leg.refuse(tx, 481, now)
        elif method == "INVITE" and (status := self._not_now(leg)):
            Relay(leg, tx).refuse(status, now, retry_after=2 if status == 500 else 0)
        else:
            Relay(leg, tx).start(now)

    def _not_now(self, leg: Leg) -> int:
        """Why a re-INVITE cannot be taken: one at a time (RFC 3261 section 14.2), none before the ACK has
        crossed (RFC 5407 section 3.1). 0: it can.
        """
        peer = leg.peer
        if not leg.confirmed and leg.role == "callee":
            return 491  # our own INVITE is still open there
        if peer is None or not leg.confirmed or leg.invite_in is not None or leg.answer is not None:
            return 500
        if leg.invite_out is not None or peer.answer is not None or peer.invite_in is not None:
            return 491
        return 0

    def acknowledged(self, leg: Leg, answer: Answer, heard: bool, now: float) -> None:
        """The ACK has crossed. A BYE that waited for it may go."""
        self._tell_settled(answer, heard, now)
        bye, leg.deferred_bye = leg.deferred_bye, None
        if bye is not None:
            bye.resume(now)
        if self.stage is Stage.ENDED:
            leg.forget()

    def _tell_settled(self, answer: Answer, heard: bool, now: float) -> None:
        if self.root.sampled:
            for span_id in answer.span_ids:
                if heard:
                    self.shared.facts.append(Milestone(span_id, "ACK", now))
                self.shared.facts.append(Settled(span_id))
        answer.span_ids = ()

    def unacknowledged(self, leg: Leg, answer: Answer, now: float) -> None:
        """Nobody acknowledged our 2xx: the call ends (RFC 3261 section 13.3.1.4)."""
        self.shared.count("no_ack", leg.trunk_name)
        answer.acknowledged(None, now)
        self.hang_up("timeout", 'SIP;cause=408;text="No ACK"', now)

    # Session timers (RFC 4028): the peers agree, we watch

    def session_refreshed(self, response: Response, now: float) -> None:
        """A 2xx to INVITE or UPDATE: the session lives for its Session-Expires from now, or for ever without
        one.
        """
        interval = response.headers.first(SESSION_EXPIRES)
        if not interval:
            self._session_ends_at = 0.0
            return
        self._session_ends_at = now + min(interval, LONGEST_SESSION_S)
        if self._session_timer_at <= now or self._session_ends_at < self._session_timer_at:
            self._session_timer_at = self._session_ends_at
            self.shared.endpoint.timers.start(Timer.SESSION, self._session_timer_at, self.reminder)

    def expire(self, timer: Timer, now: float) -> None:
        """Ringing for too long, or a session that should have been refreshed by now."""
        if timer is Timer.RING:
            if self.setup is not None:
                self.setup.rung_too_long(now)
        elif self.stage is not Stage.TALKING or not self._session_ends_at:
            self._session_timer_at = 0.0
        elif self._session_ends_at <= now:
            self.shared.count("session_expired", "" if self.callee is None else self.callee.trunk_name)
            self.hang_up("session_expired", 'SIP;cause=408;text="Session timer expired"', now)
        else:
            self._session_timer_at = self._session_ends_at
            self.shared.endpoint.timers.start(Timer.SESSION, self._session_timer_at, self.reminder)

    # Ending

    def _bye(self, leg: Leg, tx: ServerTransaction, request: Request, now: float) -> None:
        if self.root.sampled:
            self.shared.facts.append(Milestone(leg.context.span_id, "BYE", now))
        if not leg.confirmed:
            self._early_bye(leg, tx, request, now)
            return
        if self.stage >= Stage.ENDING or leg.peer is None:
            self._peer_hung_up = True
            ok(leg, tx, request, now)  # it crossed ours
            return
        if leg.answer is not None:
            leg.answer.settle_peer(
                None, now
            )  # before its BYE; ours goes on until it is heard (RFC 5407 3.1.3)
        self.stage = Stage.ENDING
        self._open_legs = 1
        self._end = end = f"{leg.role}_bye"
        self._ended_at = now
        Bye(leg.peer, end=end, asker=leg, tx=tx).start(now)

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
        if self.stage is not Stage.TALKING or self.caller is None or self.callee is None:
            return
        self.stage = Stage.ENDING
        self._open_legs = 2
        self._end = end
        self._ended_at = now
        for leg in (self.callee, self.caller):
            if leg.peer is not None and leg.peer.answer is not None:
                leg.peer.answer.settle_peer(None, now)
            Bye(leg, end=end).start(now, reason)

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

    def leg_ended(self, leg: Leg, now: float) -> None:
        """A BYE of ours is answered, or never will be."""
        if leg.declined:
            if self.root.sampled:
                self.shared.facts.append(DialogEnded(leg.context.span_id, "cancelled", now, 0))
            self.attempted(-1)
            return
        if self.stage is not Stage.ENDING:
            return
        self._open_legs -= 1
        if self._open_legs <= 0:
            self.forget(now)

    def forget(self, now: float) -> None:
        """Nothing is left to do."""
        if self.stage is Stage.ENDED:
            return
        talked = self.stage is Stage.ENDING
        for relay in list(self.relays):
            relay.abandon(now)
        legs = [leg for leg in (self.caller, self.callee) if leg is not None]
        for leg in legs:
            if leg.answer is not None:
                leg.answer.settle_peer(None, now)
                self._tell_settled(leg.answer, False, now)
        self.stage = Stage.ENDED
        self.setup = None
        shared = self.shared
        for leg in legs:
            if leg.answer is None:  # else its ACK has to find it still
                leg.forget()
            if talked and self.root.sampled:
                talk_ms = round((self._ended_at - self.answered_at) * 1000)
                shared.facts.append(DialogEnded(leg.context.span_id, self._end, now, talk_ms))
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
        self._tell_forgotten()

    def attempted(self, change: int) -> None:
        """One more attempt (+1) whose end is still to be told, or one less."""
        self._open_attempts += change
        self._tell_forgotten()

    def _tell_forgotten(self) -> None:
        """The last word on this call: behind the end of a cancelled attempt, which may come late."""
        if self.stage is Stage.ENDED and not self._open_attempts and self.root.sampled:
            self.shared.facts.append(CallForgotten(self.root))
