"""One INVITE to one target of a trunk, from sending to its final response.

FLYING     1xx                     the setup hears it                          RINGING
FLYING+    2xx                     the setup connects the legs                 OVER
FLYING+    3xx-6xx, silence        the setup tries the next, or refuses        OVER
FLYING+    given up                CANCEL now, or with the first 1xx           GIVEN_UP
GIVEN_UP   2xx                     ACK, BYE (RFC 3261 section 15.1.2)          OVER
OVER       another 2xx             ours: ACK again; a fork's: ACK, BYE         OVER
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from ..propagation.settings import Carrier
from ..propagation.writing import stamp_pai
from ..sip.build import cseq_of, hops_left
from ..sip.dialog import Dialog
from ..sip.flow import Flow
from ..sip.headers import FROM, TO
from ..sip.message import Request, Response
from ..sip.timers import Timer
from ..sip.transaction import ClientTransaction, InviteClientTransaction
from .cancelling import Withdrawal
from .ending import Bye
from .events import Attempted, Concluded, Milestone, Moved, Progressed, Unsent
from .leg import Leg, stamp
from .naming import rename_dialogs
from .rewrite import Identity, cross_request, without_headers
from .routing import Trunk

if TYPE_CHECKING:
    from .placing import Placing

MOST_FORKS = 32  # early dialogs of one INVITE


class Phase(IntEnum):
    """Where an attempt is."""

    FLYING = 0
    RINGING = 1
    GIVEN_UP = 2
    OVER = 3


class Attempt:
    """`legs` holds the callee's early dialogs by their To-tag; each has a dialog of its own towards the
    caller.
    """

    __slots__ = (
        "_concluded",
        "_finished",
        "_flow",
        "_parent",
        "_sent_at",
        "_setup",
        "_tx",
        "_withdrawal",
        "context",
        "legs",
        "phase",
        "trunk",
        "winner",
    )

    def __init__(self, setup: Placing, trunk: Trunk, flow: Flow) -> None:
        self._setup = setup
        self._flow = flow
        self._tx: InviteClientTransaction | None = None
        self._withdrawal = Withdrawal(setup.shared.endpoint)
        self._concluded = False  # its span has been told the end
        self._finished = False  # nothing can come any more
        self._sent_at = 0.0
        self.trunk = trunk
        self.phase = Phase.FLYING
        self.context, self._parent = setup.attempt_context()
        self.legs: dict[str, Leg] = {}
        self.winner: Leg | None = None

    def start(self, now: float, *, patience_s: float | None) -> None:
        """Send the INVITE; `patience_s` bounds the wait for a first response, if there is a next target."""
        setup, shared = self._setup, self._setup.shared
        request = self._cross(setup.request)
        tx = shared.endpoint.send(
            request, self._flow, self, now, mark=setup.loop_mark, pinned=self.trunk.pinned
        )
        assert isinstance(tx, InviteClientTransaction)
        self._tx = tx
        self._sent_at = now
        setup.call.attempted(+1)
        if patience_s is not None:
            shared.endpoint.timers.start(Timer.FIRST_RESPONSE, now + patience_s, self)
        shared.facts.append(
            Attempted(
                setup.call.root,
                self._parent,
                self.context,
                now,
                setup.arrived_at,
                "INVITE",
                self.trunk.name,
                request.call_id,
                tx.flow or self._flow,
                1,
                self.trunk.rtt_ms,
            )
        )

    def _cross(self, request: Request) -> Request:
        setup, shared = self._setup, self._setup.shared
        sender, receiver = request.headers.first(FROM), request.headers.first(TO)
        assert sender is not None and receiver is not None
        identity = Identity(
            setup.outgoing_uri(self.trunk),
            sender.with_tag(shared.ids.hex(16)),
            f"<{setup.target_uri}>" if setup.target_uri else without_headers(receiver),
            shared.ids.hex(32),
            1,
        )
        identity.contact = shared.contact(self._flow, secure=setup.call.secure)
        identity.max_forwards = hops_left(request)
        crossed = cross_request(request, identity, self.trunk.rules)
        if Carrier.PAI in self.trunk.settings.trace.send:
            headers = crossed.headers
            value = headers.text("p-asserted-identity")
            if value is not None:  # the first; a second one (RFC 3325 section 9.1) stays as it is
                line = f"P-Asserted-Identity: {stamp_pai(value, self.context)}"
                headers.lines[headers.keys.index("p-asserted-identity")] = line
        if self.trunk.settings.call_id_header is not None:
            crossed.headers.set(self.trunk.settings.call_id_header, request.call_id)
        keys = request.headers.keys
        if "target-dialog" in keys or "in-reply-to" in keys:
            rename_dialogs(shared, request.headers, crossed.headers)
        if setup.replaces:
            crossed.headers.add("Replaces", setup.replaces)
        previous = setup.previous
        stamp(shared, crossed, self.context, self.trunk, self._flow, setup.call.baggage, previous=previous)
        return crossed

    # What comes back

    def responded(self, tx: ClientTransaction, response: Response, now: float) -> None:
        """Take a response to the INVITE."""
        # Of a repeated one nobody knows which is answered; and a handshake is no round trip.
        if self.phase is Phase.FLYING and not tx.repeats and tx.flow is not None and not tx.flow.opened:
            if response.status == 100:  # hop by hop, and at once
                self.trunk.measured(now - self._sent_at)
            else:
                self.trunk.answered_in(now - self._sent_at)
        if response.status < 200:
            self._provisional(response, now)
        elif response.status < 300:
            self._success(response, now)
        else:
            self._concluded_with(response.status, "", now)
            if self.phase < Phase.GIVEN_UP:
                self.phase = Phase.OVER
                self._setup.refused(self, response, now)
            self.forget_legs(None)
            self._finish()

    def _provisional(self, response: Response, now: float) -> None:
        self._setup.shared.facts.append(Progressed(self.context.span_id, response.status, now))
        if self.phase is Phase.GIVEN_UP:
            self._tell_cancelled(self._withdrawal.try_now(self._tx, now), now)
        elif self.phase <= Phase.RINGING:
            self.phase = Phase.RINGING
            if len(self.legs) >= MOST_FORKS and response.to_tag not in self.legs:
                self._setup.shared.count("too_many_forks", self.trunk.name)
            elif response.status > 100:
                self._setup.progressed(self, response, now)

    def _success(self, response: Response, now: float) -> None:
        winner = self.winner
        if winner is not None and response.to_tag == winner.dialog.remote_tag:
            winner.repeat_ack(winner.invite_cseq)
            return
        leg = self.leg_for(response)
        if leg.declined:
            leg.repeat_ack(leg.invite_cseq)
            return
        leg.dialog.refresh_target(response)
        leg.dialog.set_routes(response)
        if winner is None and self.phase < Phase.GIVEN_UP:
            self._concluded_with(response.status, "", now)
            self.phase = Phase.OVER
            self.winner = leg
            self._setup.connected(self, leg, response, now)
            self._finish()
        else:
            self._decline(leg, response, now)

    def _decline(self, leg: Leg, response: Response, now: float) -> None:
        """A 2xx that came too late, or a second one from a fork: it has to be acknowledged, and ended."""
        self._setup.call.declined(leg, now)
        self._concluded_with(response.status, "", now)
        self._finish()
        leg.send_ack(None, leg.invite_cseq, self.context, now)
        Bye(leg, end="cancelled").start(now)
        leg.forget()
        if self.phase is Phase.GIVEN_UP:
            self.phase = Phase.OVER

    def timed_out(self, tx: ClientTransaction, now: float) -> None:
        """Nothing came for 32 seconds, or nothing final after our CANCEL."""
        self._lost("timeout", now)

    def unsent(self, tx: ClientTransaction, reason: str, now: float) -> None:
        """The target cannot be reached."""
        self._setup.shared.facts.append(Unsent(self.context.span_id, self.trunk.name, reason, now))
        self._lost("transport", now)

    def _lost(self, error: str, now: float) -> None:
        self._concluded_with(0, error, now)
        if self.phase < Phase.GIVEN_UP:
            self.phase = Phase.OVER
            self._setup.lost(self, error, now)
        self.forget_legs(None)
        self._finish()

    def expire(self, timer: Timer, now: float) -> None:
        """The trunk has stayed silent for as long as the route gives it."""
        if self.phase is Phase.FLYING and timer is Timer.FIRST_RESPONSE:
            self.give_up("", now)
            self._concluded_with(0, "timeout", now)
            self._setup.lost(self, "timeout", now)

    # Giving up

    def give_up(self, reason: str, now: float) -> None:
        """The answer is not wanted any more: CANCEL, as soon as that is allowed."""
        if self.phase < Phase.GIVEN_UP:
            self.phase = Phase.GIVEN_UP
            self._tell_cancelled(self._withdrawal.want(self._tx, reason or None, now), now)

    def _tell_cancelled(self, sent: bool, now: float) -> None:
        if sent:
            self._setup.shared.facts.append(Milestone(self.context.span_id, "CANCEL", now))

    # Dialogs

    def leg_for(self, response: Response) -> Leg:
        """The callee's leg that a response belongs to; a new To-tag is a new one (RFC 3261 section 12.1)."""
        known = self.legs.get(response.to_tag)
        if known is not None:
            return known
        tx = self._tx
        assert tx is not None
        dialog = Dialog.of_client(tx.request, response)
        leg = Leg(self._setup.call, "callee", dialog, self.trunk, tx.flow or self._flow, self.context)
        leg.invite_cseq = cseq_of(tx.request)
        leg.pinned = leg.pinned or tx.moved
        leg.dialled = True
        if self.phase < Phase.GIVEN_UP and self.winner is None:
            caller = self._setup.caller_leg()
            if caller is not None:
                leg.peer, caller.peer = caller, leg
        self.legs[response.to_tag] = leg
        return leg

    def forget_legs(self, but: Leg | None) -> None:
        """Early dialogs end with the INVITE, except the one that is confirmed. A late 2xx may still name one:
        its CSeq goes on.
        """
        for leg in self.legs.values():
            if leg is not but:
                if leg.peer is not None:
                    leg.peer.forget()
                    leg.peer = None
                leg.forget()

    # What is told

    def _concluded_with(self, status: int, error: str, now: float) -> None:
        if self._concluded:
            return
        self._concluded = True
        if self._tx is not None and self._tx.moved and self._tx.flow is not None:
            self._setup.shared.facts.append(Moved(self.context.span_id, self._tx.flow))
        repeats = 0 if self._tx is None else self._tx.repeats
        wanted = 200 <= status < 300 and self.winner is None and self.phase < Phase.GIVEN_UP
        fact = Concluded(self.context.span_id, status, error, now, repeats, None, not wanted)
        self._setup.shared.facts.append(fact)

    def _finish(self) -> None:
        if not self._finished:
            self._finished = True
            self._setup.call.attempted(-1)
