"""Trying trunks in order until somebody takes the call: what a caller's INVITE and a transfer's have in
common.

start       the first trunk that is up and has room
lost        silence or no way there: the next target, else `exhausted`
refused     the one who hunts decides whether the next is tried
"""

from __future__ import annotations

from ..errors import RemoteProtocolError
from ..propagation.context import TraceContext
from ..sip.flow import Flow
from ..sip.headers import RETRY_AFTER
from ..sip.message import Request, Response
from .attempt import Attempt
from .call import Call
from .consulting import Advice, Webhook, advice, question
from .events import Consulted, LookedUp, Routed
from .placing import Placing
from .routing import Trunk

LONGEST_PAUSE_S = 300  # a trunk that asks for more is asked again all the same
FAILOVER = frozenset((408, 500, 502, 503, 504))


class Hunt(Placing):
    """`candidates` are left to try; `attempt` is under way."""

    __slots__ = (
        "_admitted",
        "_consulted_at",
        "_route_id",
        "_spare",
        "attempt",
        "candidates",
        "direct",
        "over",
    )

    def __init__(self, call: Call, request: Request, now: float) -> None:
        super().__init__(call, request, now)
        self.candidates: list[Trunk] = []
        self.attempt: Attempt | None = None
        self.over = False
        self.direct: Flow | None = None  # to somebody who cannot be connected to: his WebSocket
        self._spare: list[tuple[Trunk, Flow]] = []  # further targets of the trunk that is being tried
        self._admitted: Trunk | None = None  # that counts the call while it is tried
        self._consulted_at: float | None = None  # an application thinks
        self._route_id = ""  # the route's span, under which look-ups stand

    def exhausted(self, status: int, error: str, now: float) -> None:
        """Nobody is left to try."""
        raise NotImplementedError

    @property
    def more(self) -> bool:
        """Whether there is another target."""
        return bool(self._spare or self.candidates)

    def next(self, error: str, status: int, now: float) -> None:
        """Try the next target; `error` and `status` are the last one's."""
        if self._spare:
            trunk, flow = self._spare.pop(0)
            self.try_target(Attempt(self, trunk, flow), now)
            return
        if self._admitted is not None:
            self.call.release(self._admitted)
            self._admitted = None
        while self.candidates:
            trunk = self.candidates.pop(0)
            if self.call.secure and not trunk.secure:  # RFC 5630 section 5.3
                self.shared.count("passed_over", trunk.name)
                error, status = "transport", 480
            elif not trunk.usable(now):
                self.shared.count("passed_over", trunk.name)
                error, status = "transport", 503
            elif not trunk.admit(now):
                self.shared.count("passed_over", trunk.name)
                error, status = "overload", 503
            else:
                self._admitted = trunk
                self.call.trunks.append(trunk)
                self._locate(trunk, now)
                return
        self.exhausted(status or 503, error, now)

    def give_back(self) -> None:
        """The trunk that was tried has not got the call, which goes on without."""
        if self._admitted is not None:
            self.call.release(self._admitted)
            self._admitted = None

    def _locate(self, trunk: Trunk, now: float) -> None:
        if self.direct is not None:
            self._targets(trunk, [self.direct], now)
            return
        if trunk.flows is not None:
            self._targets(trunk, self.shared.bound(trunk.flows), now)
            return

        def then(flows: list[Flow], at: float) -> None:
            if self.over:
                return
            root, shared, route_id = self.call.root, self.shared, self._route_id
            span_id, parent = shared.ids.span_id(), self._not_the_root()
            fact = LookedUp(root, route_id, span_id, now, at, trunk.name, len(flows), parent)
            shared.facts.append(fact)
            self._targets(trunk, flows, at)

        self.shared.locate_trunk(trunk, then, now)

    def _targets(self, trunk: Trunk, flows: list[Flow], now: float) -> None:
        if not flows:
            named = trunk.flows is None
            self.shared.count("unresolved" if named else "unreachable", trunk.name)
            self.next("dns" if named else "transport", 503, now)
            return
        self._spare = [(trunk, flow) for flow in flows[1:]]
        self.try_target(Attempt(self, trunk, flows[0]), now)

    def try_target(self, attempt: Attempt, now: float) -> None:
        """Send the INVITE to one target."""
        self.attempt = attempt
        try:
            attempt.start(now, patience_s=self.shared.timeouts.first_response_s if self.more else None)
        except RemoteProtocolError as error:  # found only when the request was written anew
            self.attempt = None
            self.shared.count("malformed")
            self.exhausted(error.status, "bad_message", now)

    def takes_next(self, trunk: Trunk, response: Response, now: float) -> bool:
        """Whether a refusal is one that another target may not share, and there is another."""
        retry_after = response.headers.first(RETRY_AFTER) if "retry-after" in response.headers else None
        if response.status == 503 and retry_after:
            trunk.closed_until = now + min(retry_after, LONGEST_PAUSE_S)
            self._spare = []
        if response.status in FAILOVER and self.more:
            self.shared.count("failover", trunk.name)
            return True
        return False

    def lost(self, attempt: Attempt, error: str, now: float) -> None:
        """Silence, or no way there."""
        if self.over or attempt is not self.attempt:
            return
        if self.more:
            self.shared.count("failover", attempt.trunk.name)
        self.next(error, 408 if error == "timeout" else 503, now)

    def withdraw(self, reason: str, now: float) -> None:
        """The one who is being tried need not answer any more; `reason` goes into the CANCEL."""
        if self.attempt is not None:
            attempt = self.attempt
            attempt.give_up(reason, now)
            attempt.forget_legs(None)

    # The routing decision

    def consult(self, webhook: Webhook, trunk: str, now: float) -> None:
        """Ask the route's application; `routed` or `rejected` comes then."""
        call, shared = self.call, self.shared
        self._route_id = shared.ids.span_id()
        context = self.parent.child(self._route_id)
        asked = question(self.request, webhook, trunk, call.interaction, self.target_uri)
        self._consulted_at = now

        def then(answer: object, error: str, at: float) -> None:
            if not self.over:
                self._take_advice(answer, error, at)

        shared.consult(webhook, asked, context, then, now)

    def unconsulted(self, now: float) -> None:
        """Nobody waits any more for an application's answer, but its spans may hang on the route's."""
        if self._consulted_at is not None:
            self._tell_consulted("abandoned", now)
            self.candidates = []
            self.tell_routed("", now)

    def _tell_consulted(self, result: str, now: float) -> None:
        began_at, self._consulted_at = self._consulted_at, None
        assert began_at is not None
        shared, root, span_id = self.shared, self.call.root, self.shared.ids.span_id()
        fact = Consulted(root, self._route_id, span_id, began_at, now, result, self._not_the_root())
        shared.facts.append(fact)

    def _take_advice(self, answer: object, error: str, now: float) -> None:
        shared = self.shared
        result, advised = error, Advice()
        if not error:
            try:
                advised = advice(answer)
                if advised.to:
                    self.candidates = shared.router.targets(advised.to)
                result = "rejected" if advised.reject else "ok"
            except (RemoteProtocolError, KeyError):  # of a trunk that is not there
                result = "bad_answer"
        self._tell_consulted(result, now)
        if result == "rejected":
            self.candidates = []
            self.rejected(advised.reject, advised.reason, now)
            return
        if result == "ok":
            self.advised_uri = advised.uri
            for name, value in advised.headers:
                self.request.headers.set(name, value)
        self.tell_routed("", now, fallback=result != "ok")
        self.next("overload", 0, now)

    def rejected(self, status: int, reason: str, now: float) -> None:
        """An application will not have the call."""
        raise NotImplementedError

    def tell_routed(self, error: str, now: float, *, fallback: bool = False) -> None:
        """The routing decision, as a fact."""
        usable = [trunk.name for trunk in self.candidates if trunk.usable(now)]
        passed_over = len(usable) < len(self.candidates)
        names = tuple(usable or [trunk.name for trunk in self.candidates])
        self._route_id = self._route_id or self.shared.ids.span_id()
        root, route_id = self.call.root, self._route_id
        fact = Routed(
            *(root, route_id, self.arrived_at, now, names, error, fallback),
            *(self._not_the_root(), passed_over),
        )
        self.shared.facts.append(fact)

    def _not_the_root(self) -> TraceContext | None:
        return None if self.parent is self.call.root else self.parent
