"""From the caller's INVITE to its final response: routing, trying trunks in order, ringing, answering,
refusing.

start        100 to the caller; limits, loops and hops are checked; the first trunk is tried
progressed   1xx crosses, with a To-tag of its own for each of the callee's (forks)
connected    2xx crosses and is repeated until the ACK; other attempts are given up
refused      408, 500, 502, 503, 504: the next trunk, unless the caller hears early media; else the response
crosses
lost         silence or no way there: the next trunk, else 408 or 503
cancelled    487 to the caller at once, CANCEL to the callee
"""

from __future__ import annotations

from zlib import crc32

from ..errors import RemoteProtocolError
from ..propagation.settings import Accept
from ..sip.build import cseq_of, respond_to
from ..sip.dialog import Dialog
from ..sip.headers import MAX_FORWARDS, VIA
from ..sip.message import Request, Response
from ..sip.timers import Timer
from ..sip.transaction import InviteServerTransaction
from ..sip.values import MAX_NUMBER, parse_number, split_commas
from .answer import Answer
from .attempt import Attempt
from .call import Call
from .consulting import Webhook
from .events import Concluded, Milestone, Progressed
from .hunting import Hunt
from .leg import Leg
from .replacing import Dialogue
from .rewrite import cross_response
from .routing import Trunk
from .rules import DEFAULT_RULES
from .transfer import Transfer


class Setup(Hunt):
    """Lives until the call is answered or refused. `transfer` is what caused the call, if one did."""

    __slots__ = ("_early_media", "_forked", "_rang_at", "_rseq", "_trunk", "_tx", "replaced", "transfer")

    def __init__(
        self, call: Call, tx: InviteServerTransaction, request: Request, trunk: Trunk | None, now: float
    ) -> None:
        super().__init__(call, request, now)
        self.transfer: Transfer | None = None
        self.replaced: Dialogue | None = None  # the conversation whose place this one takes (RFC 3891)
        self._tx = tx
        self._trunk = trunk
        self._early_media = False
        self._forked = False  # the caller knows a dialog of ours already: the next one needs another tag
        self._rang_at = 0.0
        self._rseq = 0  # the highest that the caller has heard
        call.setup = self
        self.shared.opens(tx, self)

    def caused_by(self, transfer: Transfer, who: str, now: float) -> None:
        """This call is a transfer's: `who` placed it. Its hops and its place in the chain come from there."""
        call = self.call
        transfer.placed(who)
        self.transfer = transfer
        self.previous = transfer.previous
        if transfer.hops < call.hops:
            call.hops = transfer.hops
            self.request.headers.set("Max-Forwards", str(transfer.hops + 1))
        if not transfer.fresh:
            call.chain, call.chain_began_at = transfer.chain, transfer.chain_began_at

    # Routing

    def start(self, candidates: list[Trunk] | None, webhook: Webhook | None, now: float) -> None:
        """Take the call, or say why not; None: no route takes it. `webhook` may know a better way."""
        self.candidates = list(candidates or ())
        trunk = self._trunk
        shared = self.shared
        if candidates is None:
            self._decline("no_route", 403, now)
        elif self.request.headers.first(MAX_FORWARDS) == 0:
            self._decline("max_forwards", 483, now)
        elif self._is_loop():
            self._decline("loop", 482, now)
        elif shared.draining and self.transfer is None:
            self._decline("draining", 503, now, retry_after=round(shared.timeouts.drain_s) or 1)
        elif trunk is not None and not trunk.admit(now):
            self._decline("overload", 503, now, retry_after=1)
        else:
            if trunk is not None:
                self.call.trunks.append(trunk)
            self.shared.endpoint.respond(self._tx, respond_to(self.request, 100), now)
            shared.facts.append(Progressed(self.call.root.span_id, 100, now))
            shared.endpoint.timers.start(Timer.RING, now + shared.timeouts.ring_s, self.call.reminder)
            if webhook is None:
                self.tell_routed("", now)
                self.next("overload", 0, now)
            else:
                self.consult(webhook, "" if trunk is None else trunk.name, now)

    def _is_loop(self) -> bool:
        """Whether a request with the same target and source has left us before (RFC 3261 section 16.3, RFC
        5393).
        """
        trunk = "" if self._trunk is None else self._trunk.name
        self.loop_mark = f".{crc32(f'{trunk} {self.request.uri}'.encode('utf-8', 'surrogateescape')):08x}"
        if self.request.headers.keys.count("via") == 1 and "," not in (
            self.request.headers.text("via") or ""
        ):
            return False
        for text in self.request.headers.values("via"):
            for hop in split_commas(text):
                try:
                    via = VIA.parse(hop)
                except RemoteProtocolError:
                    continue  # somebody else's hop is not ours to judge
                if via.branch.endswith(self.loop_mark) and self.shared.is_us(via.host, via.port):
                    return True
        return False

    def _decline(self, error: str, status: int, now: float, *, retry_after: int = 0) -> None:
        self.shared.count(error, "" if self._trunk is None else self._trunk.name)
        self.tell_routed(error, now)
        self._refuse(status, error if error == "overload" else "", now, retry_after=retry_after)

    def rejected(self, status: int, reason: str, now: float) -> None:
        """The application's word to the caller."""
        self.shared.count("webhook_rejected", "" if self._trunk is None else self._trunk.name)
        self.tell_routed(str(status), now)
        self._refuse(status, "", now, reason=reason)

    def exhausted(self, status: int, error: str, now: float) -> None:
        """Nobody is left to try: the caller hears it."""
        self._refuse(status, error, now)

    # What attempts report

    def progressed(self, attempt: Attempt, response: Response, now: float) -> None:
        """The callee rings, or talks before it answers."""
        if self.over or attempt is not self.attempt:
            return
        if not self._rang_at:
            self._rang_at = now
        leg = attempt.leg_for(response)
        caller = leg.peer
        if caller is None:
            return
        self._learn_session(attempt.trunk, response)
        leg.dialog.refresh_target(response)
        if response.to_tag and response.body:
            self._early_media = True
        crossed = caller.cross_back(self._tx, response, target=True)
        if "rseq" in crossed.headers:
            self._number(caller, crossed)
        self.shared.endpoint.respond(self._tx, crossed, now)
        self.shared.facts.append(Progressed(self.call.root.span_id, response.status, now))
        if self.transfer is not None:
            self.transfer.progressed(response.status, now)

    def _learn_session(self, trunk: Trunk, response: Response) -> None:
        if trunk.settings.trace.accept is Accept.ADOPT:
            self.call.known_as(response.headers.text("session-id") or "")

    def _number(self, caller: Leg, response: Response) -> None:
        """RSeq goes on over all that answer this INVITE, as the caller may count (RFC 3262 section 4)."""
        theirs = parse_number(response.headers.text("rseq") or "", "RSeq", MAX_NUMBER)
        if caller.rseq_shift is None:
            caller.rseq_shift = self._rseq + 1 - theirs if self._rseq else 0
        ours = theirs + caller.rseq_shift
        self._rseq = max(self._rseq, ours)
        if caller.rseq_shift:
            response.headers.set("RSeq", str(ours))

    def caller_leg(self) -> Leg:
        """A dialog of its own towards the caller, for one of the callee's."""
        tag = self.shared.ids.hex(16) if self._forked else self._tx.local_tag
        self._forked = True
        dialog = Dialog.of_server(self.request, tag)
        flow = self._tx.flow
        assert flow is not None
        leg = Leg(self.call, "caller", dialog, self._trunk, flow, self.call.root)
        leg.invite_cseq = cseq_of(self.request)
        leg.learn_allow(self.request)
        return leg

    def connected(self, attempt: Attempt, leg: Leg, response: Response, now: float) -> None:
        """Somebody answered."""
        caller = leg.peer
        if self.over or caller is None:
            return
        self.over = True
        self._learn_session(attempt.trunk, response)
        attempt.forget_legs(leg)
        shared, tx, root = self.shared, self._tx, self.call.root
        shared.concludes(tx)
        self.call.ring_ms = round((now - self._rang_at) * 1000) if self._rang_at else 0
        shared.endpoint.respond(tx, caller.cross_back(tx, response, target=True), now)
        sent = shared.endpoint.outbox[-1]
        setup_ms = round((now - self.arrived_at) * 1000)
        shared.facts.append(Concluded(root.span_id, response.status, "", now, tx.repeats, setup_ms, False))
        spans = (root.span_id, attempt.context.span_id)
        caller.answer = Answer(
            caller,
            sent,
            cseq=caller.invite_cseq,
            peer_cseq=leg.invite_cseq,
            peer_context=attempt.context,
            span_ids=spans,
            now=now,
        )
        leg.learn_allow(response)
        if self.replaced is not None:
            self.replaced.target.call.transferred = True
        self.call.answered(caller, leg, response, now)
        self.attempt = None  # they would hold each other for ever
        self._tell_transfer(response.status, "", now)

    def refused(self, attempt: Attempt, response: Response, now: float) -> None:
        """A final response that is no success."""
        if self.over or attempt is not self.attempt:
            return
        if not self._early_media and self.takes_next(attempt.trunk, response, now):
            self.next("", response.status, now)
            return
        if response.status in (401, 407):
            self.shared.challenges.remember(self.request, self.call.root, now)
        self._conclude(response.status, "", now)
        answer = respond_to(self.request, response.status, response.reason, to_tag=self._tx.local_tag)
        self._forward(answer, response, now)

    def _forward(self, answer: Response, response: Response, now: float) -> None:
        trunk = self._trunk
        rules = DEFAULT_RULES if trunk is None else trunk.rules
        if trunk is not None and trunk.settings.trace.respond:
            answer.headers.add("traceparent", self.call.root.traceparent())
        self.shared.endpoint.respond(self._tx, cross_response(answer, response, rules, ""), now)
        self.call.forget(now)

    # Ending

    def cancelled(self, cancel: Request, now: float) -> None:
        """The caller gives up."""
        if self.over:
            return
        self.shared.facts.append(Milestone(self.call.root.span_id, "CANCEL", now))
        self.withdraw(", ".join(cancel.headers.values("reason")), now)
        self._refuse(487, "", now)

    @property
    def forked(self) -> bool:
        """Whether the attempt under way has more than one early dialog."""
        return self.attempt is not None and len(self.attempt.legs) > 1

    def abandon(self, now: float) -> None:
        """The proxy ends it."""
        self.give_up(503, "shutdown", now)

    def give_up(self, status: int, error: str, now: float) -> None:
        """End a call that is not answered yet."""
        if not self.over:
            self.withdraw("", now)
            self._refuse(status, error, now)

    def rung_too_long(self, now: float) -> None:
        """Nobody answers, and nobody gives up."""
        if not self.over:
            self.shared.count("ring_timeout", "" if self.attempt is None else self.attempt.trunk.name)
            self.give_up(408, "timeout", now)

    def _refuse(self, status: int, error: str, now: float, *, retry_after: int = 0, reason: str = "") -> None:
        response = respond_to(self.request, status, reason, to_tag=self._tx.local_tag)
        if retry_after:
            response.headers.add("Retry-After", str(retry_after))
        if self._trunk is not None and self._trunk.settings.trace.respond:
            response.headers.add("traceparent", self.call.root.traceparent())
        self._conclude(status, error, now)
        self.shared.endpoint.respond(self._tx, response, now)
        self.call.forget(now)

    def _conclude(self, status: int, error: str, now: float) -> None:
        self.unconsulted(now)
        self.over = True
        self.attempt = None
        self.shared.concludes(self._tx)
        root = self.call.root
        setup_ms = round((now - self.arrived_at) * 1000)
        self.shared.facts.append(
            Concluded(root.span_id, status, error, now, self._tx.repeats, setup_ms, True)
        )
        self._tell_transfer(status, error, now)

    def _tell_transfer(self, status: int, error: str, now: float) -> None:
        if self.replaced is not None:
            self.replaced.target.successor = None
            self.replaced = None
        transfer, self.transfer = self.transfer, None
        if transfer is not None:
            transfer.concluded(status, error, now)
