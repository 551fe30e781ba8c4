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
from ..sip.build import respond_to
from ..sip.dialog import Dialog
from ..sip.flow import UDP, Flow
from ..sip.headers import MAX_FORWARDS, RETRY_AFTER, VIA
from ..sip.message import Request, Response
from ..sip.timers import Timer
from ..sip.transaction import InviteServerTransaction
from ..sip.values import MAX_NUMBER, parse_number, split_commas
from .answer import Answer
from .attempt import Attempt
from .call import Call
from .events import Concluded, LookedUp, Milestone, Progressed, Routed
from .leg import Leg, cseq_of
from .rewrite import DEFAULT_RULES, cross_response
from .routing import Trunk

LONGEST_PAUSE_S = 300  # a trunk that asks for more is asked again all the same
FAILOVER = frozenset((408, 500, 502, 503, 504))


class Setup:
    """Lives until the call is answered or refused."""

    __slots__ = (
        "_admitted",
        "_attempt",
        "_candidates",
        "_early_media",
        "_forked",
        "_over",
        "_rang_at",
        "_route_id",
        "_rseq",
        "_spare",
        "_trunk",
        "_tx",
        "arrived_at",
        "call",
        "loop_mark",
        "request",
        "shared",
    )

    def __init__(
        self, call: Call, tx: InviteServerTransaction, request: Request, trunk: Trunk | None, now: float
    ) -> None:
        self.call = call
        self.shared = call.shared
        self.request = request
        self.arrived_at = now
        self.loop_mark = ""
        self._tx = tx
        self._trunk = trunk
        self._candidates: list[Trunk] = []
        self._spare: list[tuple[Trunk, Flow]] = []  # further targets of the trunk that is being tried
        self._admitted: Trunk | None = None  # that counts the call while it is tried
        self._attempt: Attempt | None = None
        self._early_media = False
        self._forked = False  # the caller knows a dialog of ours already: the next one needs another tag
        self._over = False
        self._rang_at = 0.0
        self._route_id = ""  # the route's span, under which look-ups stand
        self._rseq = 0  # the highest that the caller has heard
        call.setup = self
        self.shared.open_invites[tx] = self

    # Routing

    def start(self, candidates: list[Trunk] | None, now: float) -> None:
        """Take the call, or say why not; None: no route takes it."""
        self._candidates = list(candidates or ())
        trunk = self._trunk
        shared = self.shared
        if candidates is None:
            self._decline("no_route", 403, now)
        elif self.request.headers.first(MAX_FORWARDS) == 0:
            self._decline("max_forwards", 483, now)
        elif self._is_loop():
            self._decline("loop", 482, now)
        elif shared.draining:
            self._decline("draining", 503, now, retry_after=round(shared.timeouts.drain_s) or 1)
        elif trunk is not None and not trunk.admit(now):
            self._decline("overload", 503, now, retry_after=1)
        else:
            if trunk is not None:
                self.call.trunks.append(trunk)
            self.shared.endpoint.respond(self._tx, respond_to(self.request, 100), now)
            if self.call.root.sampled:
                shared.facts.append(Progressed(self.call.root.span_id, 100, now))
            self._tell_routed("", now)
            shared.endpoint.timers.start(Timer.RING, now + shared.timeouts.ring_s, self.call.reminder)
            self._next("overload", 0, now)

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
        self._tell_routed(error, now)
        self._refuse(status, error if error == "overload" else "", now, retry_after=retry_after)

    def outgoing_uri(self, trunk: Trunk) -> str:
        """The Request-URI towards a trunk: where it named us it names the trunk now; a header part never
        passes.
        """
        uri = self.request.parsed_uri
        if uri.is_sip and self.shared.is_us(uri.host, uri.port):
            return uri.with_host(trunk.address.shown)
        return self.request.uri[: -len(uri.headers) - 1] if uri.headers else self.request.uri

    # Trying

    def _next(self, error: str, status: int, now: float) -> None:
        """Try the next target, or tell the caller that there is none."""
        if self._spare:
            trunk, flow = self._spare.pop(0)
            self._try(trunk, flow, now)
            return
        if self._admitted is not None:
            self.call.trunks.remove(self._admitted)
            self._admitted.release()
            self._admitted = None
        while self._candidates:
            trunk = self._candidates.pop(0)
            if not trunk.usable(now):
                error, status = "transport", 503
            elif not trunk.admit(now):
                error, status = "overload", 503
            else:
                self._admitted = trunk
                self.call.trunks.append(trunk)
                self._locate(trunk, now)
                return
        self._refuse(status or 503, error, now)

    def _locate(self, trunk: Trunk, now: float) -> None:
        if trunk.flows is not None:
            self._targets(trunk, self.shared.bound(trunk.flows), now)
            return
        address = trunk.address

        def then(flows: list[Flow], at: float) -> None:
            if self._over:
                return
            root, shared = self.call.root, self.shared
            if root.sampled:
                span_id = shared.ids.span_id()
                fact = LookedUp(root, self._route_id, span_id, now, at, trunk.name, len(flows))
                shared.facts.append(fact)
            self._targets(trunk, flows, at)

        self.shared.locate(address.host, address.port, address.transport, UDP, then, now)

    def _targets(self, trunk: Trunk, flows: list[Flow], now: float) -> None:
        if not flows:
            named = trunk.flows is None
            self.shared.count("unresolved" if named else "unreachable", trunk.name)
            self._next("dns" if named else "transport", 503, now)
            return
        self._spare = [(trunk, flow) for flow in flows[1:]]
        self._try(trunk, flows[0], now)

    def _try(self, trunk: Trunk, flow: Flow, now: float) -> None:
        self._attempt = attempt = Attempt(self, trunk, flow)
        more = bool(self._spare or self._candidates)
        attempt.start(now, patience_s=self.shared.timeouts.first_response_s if more else None)

    # What attempts report

    def progressed(self, attempt: Attempt, response: Response, now: float) -> None:
        """The callee rings, or talks before it answers."""
        if self._over or attempt is not self._attempt:
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
        if self.call.root.sampled:
            self.shared.facts.append(Progressed(self.call.root.span_id, response.status, now))

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
        return leg

    def connected(self, attempt: Attempt, leg: Leg, response: Response, now: float) -> None:
        """Somebody answered."""
        caller = leg.peer
        if self._over or caller is None:
            return
        self._over = True
        self._learn_session(attempt.trunk, response)
        attempt.forget_legs(leg)
        shared, tx, root = self.shared, self._tx, self.call.root
        shared.open_invites.pop(tx, None)
        self.call.ring_ms = round((now - self._rang_at) * 1000) if self._rang_at else 0
        shared.endpoint.respond(tx, caller.cross_back(tx, response, target=True), now)
        sent = shared.endpoint.outbox[-1]
        if root.sampled:
            setup_ms = round((now - self.arrived_at) * 1000)
            shared.facts.append(
                Concluded(root.span_id, response.status, "", now, tx.repeats, setup_ms, False)
            )
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
        self.call.answered(caller, leg, response, now)
        self._attempt = None  # they would hold each other for ever

    def refused(self, attempt: Attempt, response: Response, now: float) -> None:
        """A final response that is no success."""
        if self._over or attempt is not self._attempt:
            return
        retry_after = response.headers.first(RETRY_AFTER) if "retry-after" in response.headers else None
        if response.status == 503 and retry_after:
            attempt.trunk.closed_until = now + min(retry_after, LONGEST_PAUSE_S)
            self._spare = []
        if response.status in FAILOVER and not self._early_media and (self._spare or self._candidates):
            self.shared.count("failover", attempt.trunk.name)
            self._next("", response.status, now)
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

    def lost(self, attempt: Attempt, error: str, now: float) -> None:
        """Silence, or no way there."""
        if self._over or attempt is not self._attempt:
            return
        if self._spare or self._candidates:
            self.shared.count("failover", attempt.trunk.name)
        self._next(error, 408 if error == "timeout" else 503, now)

    # Ending

    def cancelled(self, cancel: Request, now: float) -> None:
        """The caller gives up."""
        if self._over:
            return
        if self.call.root.sampled:
            self.shared.facts.append(Milestone(self.call.root.span_id, "CANCEL", now))
        self._withdraw(", ".join(cancel.headers.values("reason")), now)
        self._refuse(487, "", now)

    @property
    def forked(self) -> bool:
        """Whether the attempt under way has more than one early dialog."""
        return self._attempt is not None and len(self._attempt.legs) > 1

    def abandon(self, now: float) -> None:
        """The proxy ends it."""
        self.give_up(503, "shutdown", now)

    def give_up(self, status: int, error: str, now: float) -> None:
        """End a call that is not answered yet."""
        if not self._over:
            self._withdraw("", now)
            self._refuse(status, error, now)

    def rung_too_long(self, now: float) -> None:
        """Nobody answers, and nobody gives up."""
        if not self._over:
            self.shared.count("ring_timeout", "" if self._attempt is None else self._attempt.trunk.name)
            self.give_up(408, "timeout", now)

    def _withdraw(self, reason: str, now: float) -> None:
        if self._attempt is not None:
            attempt = self._attempt
            attempt.give_up(reason, now)
            attempt.forget_legs(None)

    def _refuse(self, status: int, error: str, now: float, *, retry_after: int = 0) -> None:
        response = respond_to(self.request, status, to_tag=self._tx.local_tag)
        if retry_after:
            response.headers.add("Retry-After", str(retry_after))
        if self._trunk is not None and self._trunk.settings.trace.respond:
            response.headers.add("traceparent", self.call.root.traceparent())
        self._conclude(status, error, now)
        self.shared.endpoint.respond(self._tx, response, now)
        self.call.forget(now)

    def _conclude(self, status: int, error: str, now: float) -> None:
        self._over = True
        self._attempt = None
        self.shared.open_invites.pop(self._tx, None)
        root = self.call.root
        if root.sampled:
            setup_ms = round((now - self.arrived_at) * 1000)
            self.shared.facts.append(
                Concluded(root.span_id, status, error, now, self._tx.repeats, setup_ms, True)
            )

    def _tell_routed(self, error: str, now: float) -> None:
        root = self.call.root
        if root.sampled:
            names = tuple([trunk.name for trunk in self._candidates])
            self._route_id = self.shared.ids.span_id()
            self.shared.facts.append(Routed(root, self._route_id, self.arrived_at, now, names, error))
