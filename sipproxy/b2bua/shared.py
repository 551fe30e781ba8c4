"""What all calls of a process share: the endpoint, the tables, the settings, and where effects and facts
gather.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ..propagation.context import TraceContext
from ..propagation.correlation import Sampler, SessionIds
from ..propagation.settings import PropagationSettings
from ..sip.endpoint import ClientUser, Endpoint
from ..sip.flow import DEFAULT_PORT, TCP, TLS, UDP, WS, WSS, Flow
from ..sip.ids import Ids
from ..sip.message import Request, Response
from ..sip.timers import TRANSACTION_TIMEOUT, Timer
from ..sip.transaction import ClientTransaction, InviteServerTransaction
from ..sip.uri import Uri
from .consulting import Consult, Webhook
from .events import Counted, Fact
from .finished import Finished
from .gone import Browsers
from .routing import Router, Trunk, is_ip
from .settings import Timeouts

if TYPE_CHECKING:
    from .call import Call
    from .leg import Leg
    from .parting import Parting
    from .pending import PendingTransfers
    from .referring import Referring

LOOKUP_S = 4.0  # seconds a name may take to resolve
# As a URI parameter; RFC 7118 section 5 has one name for both.
_CONTACT_TRANSPORT = {
    UDP: "",
    TCP: ";transport=tcp",
    TLS: ";transport=tls",
    WS: ";transport=ws",
    WSS: ";transport=ws",
}
Located = Callable[[list[Flow], float], None]
Consulting = Callable[[object, str, float], None]


class Lookup:
    """Effect: find the addresses of a host, and call `Engine.located` with `token`, at the latest at
    `give_up_at`.
    """

    __slots__ = ("give_up_at", "host", "port", "token", "transport")

    def __init__(
        self, token: int, host: str, port: int | None, transport: str | None, give_up_at: float
    ) -> None:
        self.token = token
        self.host = host
        self.port = port
        self.transport = transport
        self.give_up_at = give_up_at


class Cancellable(Protocol):
    """Who answers an INVITE that is still open."""

    def cancelled(self, cancel: Request, now: float) -> None: ...

    def abandon(self, now: float) -> None: ...


class Nobody:
    """Sends requests whose answers change nothing."""

    def responded(self, tx: ClientTransaction, response: Response, now: float) -> None:
        """Let it go."""

    def timed_out(self, tx: ClientTransaction, now: float) -> None:
        """Let it go."""

    def unsent(self, tx: ClientTransaction, reason: str, now: float) -> None:
        """Let it go."""


NOBODY: ClientUser = Nobody()


class Challenges:
    """INVITEs that got 401 or 407: the next with the same Call-ID and From tag is a retry, in their trace."""

    __slots__ = ("_endpoint", "_known", "_order")

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._known: dict[str, TraceContext] = {}
        self._order: deque[str] = deque()

    def __len__(self) -> int:
        return len(self._known)

    def remember(self, request: Request, context: TraceContext, now: float) -> None:
        """For as long as a caller may take to meet a challenge."""
        key = f"{request.call_id} {request.from_tag}"
        self._known[key] = context
        self._order.append(key)
        self._endpoint.timers.start(Timer.FORGET, now + TRANSACTION_TIMEOUT, self)

    def find(self, request: Request) -> tuple[TraceContext, str] | None:
        """The context of the challenged request, and the carrier's name."""
        if not self._known:
            return None
        context = self._known.get(f"{request.call_id} {request.from_tag}")
        return None if context is None else (context, "retry")

    def expire(self, timer: Timer, now: float) -> None:
        """The oldest is forgotten; each has its timer, and all last equally long."""
        self._known.pop(self._order.popleft(), None)


class Shared:
    """One per engine."""

    def __init__(
        self,
        endpoint: Endpoint,
        ids: Ids,
        router: Router,
        *,
        sample: Sampler,
        timeouts: Timeouts,
        propagation: PropagationSettings,
        names: frozenset[str],
    ) -> None:
        self.endpoint = endpoint
        self.ids = ids
        self.router = router
        self.sample = sample
        self.timeouts = timeouts
        self.propagation = propagation
        self.names = names  # hosts that are us
        self.web_names = frozenset(
            [
                name
                for listener in endpoint.listeners
                if listener.transport in (WS, WSS)
                for name in (listener.host, listener.sent_by.rpartition(":")[0].strip("[]").lower())
            ]
        )
        self.facts: list[Fact] = []
        self.lookups: list[Lookup] = []
        self.consults: list[Consult] = []
        self.legs: dict[str, Leg] = {}  # by both tags (Dialog.key)
        self.calls: set[Parting] = set()
        self.open_invites: dict[InviteServerTransaction, Cancellable] = {}
        self.browsers = Browsers()
        self.sessions = SessionIds()
        self.finished = Finished()
        self.awaited = 0  # transfers whose new call is still to come: a proxy that drains waits for them
        self.pending: PendingTransfers  # set by the engine, as is the next
        self.refer_desk: Callable[[Call], Referring]
        self.challenges = Challenges(endpoint)
        self.draining = False
        self.counts: dict[str, int] = {}
        self._waiting: dict[int, tuple[str, Located]] = {}  # with whom a certificate must name
        self._consulting: dict[int, Consulting] = {}
        self._tokens = 0
        self._contacts: dict[int, str] = {}

    def count(
        self,
        what: str,
        trunk: str = "",
        which: str = "",
        root: TraceContext | None = None,
        call_id: str = "",
        peer: str = "",
    ) -> None:
        """Count something that an operator should see; `which` is one of a few kinds of it, `root` and
        `call_id` are those of the call that it happened to, `peer` is the address of who is no trunk's.
        """
        self.counts[what] = self.counts.get(what, 0) + 1
        self.facts.append(Counted(what, trunk, which, root, call_id, peer))

    def contact(self, flow: Flow, *, secure: bool = False) -> str:
        """Our Contact value on that flow; `secure`: in a dialog whose INVITE went to a SIPS URI (RFC 3261
        section 12.1.1).
        """
        known = self._contacts.get(flow.listener)
        if known is None:
            listener = self.endpoint.listeners[flow.listener]
            transport = _CONTACT_TRANSPORT[listener.transport]
            known = self._contacts[flow.listener] = f"<sip:{listener.sent_by}{transport}>"
        return f"<sips{known[4:]}" if secure else known

    def is_us(self, host: str, port: int | None) -> bool:
        """Whether a URI's host and port name this proxy."""
        return f"{host}:{port or 5060}" in self.names

    def names_us(self, uri: Uri, flow: Flow | None = None) -> bool:
        """Whether a URI names this proxy. `flow` is how it came: a browser may drop the port of what it dials
        (JsSIP does), and reaches nobody but us.
        """
        if uri.port is None:
            if flow is not None and flow.web and uri.host in self.web_names:
                return True
            if uri.scheme == "sips" or (uri.parameter("transport") or "").lower() == "tls":
                return self.is_us(uri.host, DEFAULT_PORT[TLS])
        return self.is_us(uri.host, uri.port)

    def opens(self, tx: InviteServerTransaction, invite: Cancellable) -> None:
        """An INVITE waits for its answer; `invite` hears of a CANCEL."""
        self.open_invites[tx] = invite
        self.browsers.opens(tx)

    def concludes(self, tx: InviteServerTransaction) -> None:
        """It has it."""
        self.open_invites.pop(tx, None)
        self.browsers.concludes(tx)

    def locate_trunk(self, trunk: Trunk, then: Located, now: float) -> None:
        """Call `then` with the flows that lead to a trunk; none: it cannot be found or reached."""
        address = trunk.address
        if trunk.flows is not None or address is None:
            then(self.bound(trunk.flows or []), now)
            return
        self.locate(address.host, address.port, address.transport, UDP, then, now, domain=trunk.domain)

    def locate(
        self,
        host: str,
        port: int | None,
        transport: str | None,
        default: str,
        then: Located,
        now: float,
        *,
        domain: str = "",
    ) -> None:
        """Call `then` with the flows that lead to a host (RFC 3263); none: it cannot be found or reached.

        By TLS its certificate must name `domain`, or the host where that is empty.
        """
        if is_ip(host):
            used = transport or default
            then(self.bound([Flow(used, host, port or DEFAULT_PORT[used], domain=domain)]), now)
            return
        self._tokens += 1
        self._waiting[self._tokens] = (domain or host, then)
        self.lookups.append(Lookup(self._tokens, host, port, transport, now + LOOKUP_S))

    def located(self, token: int, flows: list[Flow], now: float) -> None:
        """A lookup has ended."""
        waiting = self._waiting.pop(token, None)
        if waiting is not None:
            domain, then = waiting
            for flow in flows:
                flow.domain = domain
            then(self.bound(flows), now)

    def consult(
        self,
        webhook: Webhook,
        question: dict[str, object],
        context: TraceContext,
        then: Consulting,
        now: float,
    ) -> None:
        """Call `then` with an application's answer, and with why there is none: "", `timeout` or `error`."""
        self._tokens += 1
        self._consulting[self._tokens] = then
        give_up_at = now + webhook.timeout_s
        self.consults.append(Consult(self._tokens, webhook, question, context, give_up_at))

    def consulted(self, token: int, answer: object, error: str, now: float) -> None:
        """An application has answered, or has not."""
        then = self._consulting.pop(token, None)
        if then is not None:
            then(answer, error, now)

    def bound(self, flows: list[Flow]) -> list[Flow]:
        """The flows by the sockets of ours that can reach them; others are left out."""
        found: list[Flow] = []
        for flow in flows:
            listener = self.endpoint.listener_for(flow.transport, flow.host)
            if listener is not None:
                found.append(
                    Flow(
                        *(flow.transport, flow.host, flow.port, flow.connection, listener.index),
                        *(flow.domain, flow.names),
                    )
                )
        return found
