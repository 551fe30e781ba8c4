"""The core's front door: bytes, expired timers and looked-up addresses go in; effects and facts come out.

request to us                          here
INVITE outside a dialog                a new Call and its Setup
request inside one of our dialogs      the Call of that leg
anything else                          Forward
"""

from __future__ import annotations

from ..errors import RemoteProtocolError
from ..propagation.correlation import Origin, Sampler
from ..propagation.settings import Accept, PropagationSettings
from ..sip.build import hops_left, respond_to
from ..sip.endpoint import Endpoint, Transmit
from ..sip.flow import TLS, WSS, Flow, Listener
from ..sip.headers import CSEQ, MAX_FORWARDS, PROXY_REQUIRE, REQUIRE
from ..sip.ids import Ids
from ..sip.message import Request
from ..sip.timers import Timer
from ..sip.transaction import InviteServerTransaction, ServerTransaction
from ..sip.uri import parse_uri
from .arrival import Arrival, arrive, originate
from .call import Call
from .consulting import Consult
from .events import Fact, RequestArrived, Routed
from .forward import Forward, between
from .health import Probe
from .outside import about_a_call, errand_for, noted, target_leg
from .pending import PendingTransfers, who_sent
from .referring import Referring
from .routing import Router, Trunk
from .rules import ALLOW, OUR_SUPPORTED, TRANSPARENT_TAGS
from .settings import Refer, Timeouts, TransferSettings
from .setup import Setup
from .shared import Lookup, Shared
from .way import is_from

# They make sense inside a dialog only; outside of ours there is none.
IN_DIALOG_ONLY = frozenset(("BYE", "PRACK", "UPDATE"))
# With a To-tag they belong to a dialog of a call, and that would be ours.
DIALOG_METHODS = IN_DIALOG_ONLY | {"INVITE", "INFO", "REFER"}


class Engine:
    """One per signalling process."""

    def __init__(
        self,
        listeners: list[Listener],
        ids: Ids,
        router: Router,
        *,
        sample: Sampler,
        timeouts: Timeouts | None = None,
        propagation: PropagationSettings | None = None,
        transfer: TransferSettings | None = None,
        names: frozenset[str] = frozenset(),
        max_headers: int = 256,
    ) -> None:
        self.endpoint = Endpoint(listeners, ids, self, max_headers=max_headers)
        self.shared = Shared(
            self.endpoint,
            ids,
            router,
            sample=sample,
            timeouts=timeouts or Timeouts(),
            propagation=propagation or PropagationSettings(),
            names=names.union(*(_names_of(listener) for listener in listeners)),
        )
        self.shared.pending = PendingTransfers(self.endpoint, transfer or TransferSettings())
        self.shared.refer_desk = Referring
        self._probes: list[Probe] = []

    # For the driver

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """One message has arrived."""
        self.endpoint.receive(data, flow, now)

    def expire(self, now: float) -> None:
        """Time has passed."""
        self.endpoint.expire(now)

    @property
    def next_at(self) -> float | None:
        """When `expire` has to be called, at the latest."""
        return self.endpoint.timers.next_at

    def located(self, token: int, flows: list[Flow], now: float) -> None:
        """A lookup has ended; no flows: the name does not resolve."""
        self.shared.located(token, flows, now)

    def consulted(self, token: int, answer: object, error: str, now: float) -> None:
        """A routing webhook has answered (decoded JSON), or has not: `timeout` or `error`."""
        self.shared.consulted(token, answer, error, now)

    def consults(self) -> list[Consult]:
        """The applications to be asked since the last time."""
        taken, self.shared.consults = self.shared.consults, []
        return taken

    def unsent(self, data: bytes, flow: Flow, reason: str, now: float) -> None:
        """Bytes of ours did not reach their flow."""
        self.endpoint.unsent(data, flow, reason, now)

    def closed(self, flow: Flow, now: float) -> None:
        """A connection is gone."""
        if flow.web:
            self.shared.browsers.closed(self.shared, flow, now)
            self.endpoint.closed(flow, now)

    def take(self) -> tuple[list[Transmit], list[Lookup], list[Fact]]:
        """What has gathered since the last time."""
        shared = self.shared
        taken = (self.endpoint.outbox, shared.lookups, shared.facts)
        self.endpoint.outbox, shared.lookups, shared.facts = [], [], []
        return taken

    def start(self, now: float) -> None:
        """Begin to probe the trunks that want it."""
        self._start_probes(now)

    def reload(self, router: Router, now: float) -> None:
        """New calls go by the new table; calls in progress keep what they have."""
        for probe in self._probes:
            probe.stopped = True
        self._probes = []
        for name, trunk in router.trunks.items():
            if (known := self.shared.router.trunks.get(name)) is not None:
                trunk.take_over(known)
        self.shared.router = router
        self._start_probes(now)

    def drain(self) -> None:
        """Take no more calls."""
        self.shared.draining = True

    def end_all(self, now: float) -> None:
        """End every call."""
        for call in list(self.shared.calls):
            call.hang_up("shutdown", 'SIP;cause=503;text="Shutdown"', now)
        self.shared.pending.end(now)

    @property
    def calls(self) -> int:
        """How many are in progress."""
        return len(self.shared.calls)

    @property
    def busy(self) -> bool:
        """Whether there are calls, or transfers whose new call is still to come."""
        return bool(self.shared.calls) or self.shared.awaited > 0

    def _start_probes(self, now: float) -> None:
        for trunk in self.shared.router.trunks.values():
            if trunk.settings.health.options_every_s > 0 and trunk.address is not None:
                probe = Probe(self.shared, trunk)
                self._probes.append(probe)
                self.endpoint.timers.start(Timer.PROBE, now, probe)

    # For the endpoint

    def count(self, what: str, flow: Flow | None = None) -> None:
        """Count what never became a request; `flow` is where it came from."""
        trunk = None if flow is None else self.shared.router.trunk_of(flow)
        if trunk is not None:
            self.shared.count(what, trunk.name)
        else:
            self.shared.count(what, peer=flow.host if flow is not None and what == "malformed" else "")

    def requested(self, tx: ServerTransaction, request: Request, now: float) -> None:
        """A new request."""
        shared = self.shared
        tag = request.to_tag
        if tag:
            leg = shared.legs.get(f"{tag} {request.from_tag}")
            if leg is not None and leg.dialog.call_id == request.call_id:
                unknown = _unknown_tags(request)
                if tx.source is not None and not is_from(leg, tx.source):
                    self.count("foreign_request", tx.source)
                    self._refuse(tx, request, 481, now)
                elif unknown:
                    self._bad_extension(tx, request, unknown, now)
                else:
                    leg.call.requested(leg, tx, request, now)
                return
            if request.method in DIALOG_METHODS or f"{tag} {request.from_tag}" in shared.finished:
                self._refuse(tx, request, 481, now)
                return
        flow = tx.source
        assert flow is not None
        source = shared.router.trunk_of(flow)
        uri = request.parsed_uri
        if request.method == "OPTIONS" and uri.user is None and shared.names_us(uri, flow):
            self._options(tx, request, now)
            return
        unknown = _unknown_tags(request)
        is_refer = request.method == "REFER"
        if is_refer and not unknown and about_a_call(shared, tx, request, source, flow, now):
            return
        arrival = arrive(shared, request, source, flow)
        candidates = self._candidates(arrival, request)
        if candidates is None and (source is None or not isinstance(tx, InviteServerTransaction)):
            # A stranger gets no span: whoever scans the network must not fill the trace store.
            name, peer = ("", flow.host) if source is None else (source.name, "")
            shared.count("no_route", name, peer=peer)
            if source is None:
                self.endpoint.refuse_once(tx, 403, now)
            else:
                self._refuse(tx, request, 481 if tag else 403, now)
            return
        if unknown:
            self._bad_extension(tx, request, unknown, now)
        elif uri.scheme == "sips" and flow.transport not in (TLS, WSS):  # RFC 5630 section 3.1.3
            self._refuse(tx, request, 416, now)
        elif request.method in IN_DIALOG_ONLY:
            self._refuse(tx, request, 481, now)
        elif isinstance(tx, InviteServerTransaction):
            self._invite(tx, request, arrival, flow, candidates, now)
        elif candidates is not None:
            self._forward(tx, request, arrival, flow, candidates, now)

    def _candidates(self, arrival: Arrival, request: Request) -> list[Trunk] | None:
        """Where the request may go; None when no route takes it."""
        shared, replaced = self.shared, arrival.replaced
        if replaced is not None and replaced.target.trunk is not None:
            return [replaced.target.trunk]
        if request.method == "REFER":
            leg = target_leg(shared, request, arrival.source)
            if leg is not None and leg.peer is not None and leg.peer.trunk is not None:
                return [leg.peer.trunk]
        uri = parse_uri(arrival.target_uri) if arrival.target_uri else request.parsed_uri
        known = between(request, arrival.source, shared)
        if known is not None:
            return known
        route = shared.router.route(arrival.source, uri)
        if route is None:
            return None
        arrival.webhook = route.webhook
        return shared.router.targets(route.to)

    def _invite(
        self,
        tx: InviteServerTransaction,
        request: Request,
        arrival: Arrival,
        flow: Flow,
        candidates: list[Trunk] | None,
        now: float,
    ) -> None:
        origin = originate(arrival, self.shared)
        self._tell_arrived(origin, arrival, request, flow, now)
        source, transfer = arrival.source, arrival.transfer
        # A Session-ID leads to a call only where it was learned from somebody whose word counts.
        trusted = source is not None and source.settings.trace.accept is Accept.ADOPT
        call = Call(
            self.shared,
            origin.root,
            session_id=arrival.session_id if trusted else "",
            interaction=arrival.interaction,
            baggage=arrival.baggage,
            hops=hops_left(request),
            now=now,
        )
        call.secure = request.parsed_uri.scheme == "sips" or arrival.target_uri.startswith("sips:")
        setup = Setup(call, tx, request, source, now)
        setup.web = flow.web
        if transfer is not None:
            setup.caused_by(transfer, who_sent(request), now)
        if arrival.replaced is not None:
            setup.replaced = arrival.replaced
            arrival.replaced.target.successor = setup
            setup.direct = arrival.replaced.target.flow if arrival.replaced.target.flow.web else None
        setup.replaces, setup.target_uri = arrival.replaces, arrival.target_uri
        try:
            if arrival.refusal:
                setup.give_up(arrival.refusal, "", now)
            else:
                setup.start(candidates, arrival.webhook, now)
        except RemoteProtocolError as error:  # found only when the request was written anew
            self.shared.count("malformed")
            setup.give_up(error.status, "bad_message", now)

    def _forward(
        self,
        tx: ServerTransaction,
        request: Request,
        arrival: Arrival,
        flow: Flow,
        candidates: list[Trunk],
        now: float,
    ) -> None:
        shared = self.shared
        if request.headers.first(MAX_FORWARDS) == 0:
            self._refuse(tx, request, 483, now)
            return
        origin = originate(arrival, shared)
        errand = errand_for(shared, request, arrival, origin, now) if request.method == "REFER" else None
        if errand is not None:
            candidates = [trunk for trunk in candidates if trunk.settings.refer is not Refer.REJECT]
            errand.status = errand.status or (0 if candidates else 603)
        if errand is not None and errand.status:
            self._refuse(tx, request, errand.status, now)
            return
        self._tell_arrived(origin, arrival, request, flow, now)
        names = tuple(trunk.name for trunk in candidates)
        shared.facts.append(Routed(origin.root, shared.ids.span_id(), now, now, names, ""))
        forward = Forward(
            shared,
            tx,
            arrival.source,
            origin.root,
            candidates,
            baggage=arrival.baggage,
            now=now,
            errand=errand,
        )
        if errand is not None:
            errand.begin(now)
        elif request.method == "NOTIFY":
            noted(shared, request, now)
        forward.next(503, "transport", now)

    def _tell_arrived(
        self, origin: Origin, arrival: Arrival, request: Request, flow: Flow, now: float
    ) -> None:
        rtt_ms = None if arrival.source is None else arrival.source.rtt_ms
        self.shared.facts.append(
            RequestArrived(
                origin.root,
                origin,
                now,
                arrival.source_name,
                request,
                flow,
                arrival.interaction,
                arrival.session_id,
                rtt_ms,
                arrival.transfer is not None,
                arrival.logged,
            )
        )

    def acknowledged(self, ack: Request, flow: Flow, now: float) -> None:
        """An ACK for a 2xx of ours; any other is a stray one."""
        leg = self.shared.legs.get(f"{ack.to_tag} {ack.from_tag}")
        if leg is None or leg.dialog.call_id != ack.call_id:
            if self.shared.router.trunk_of(flow) is not None:  # a stranger's is for the 403 that it got
                self.count("stray_ack", flow)
            return
        answer = leg.answer
        cseq = ack.headers.first(CSEQ)
        if answer is not None and cseq is not None and answer.cseq == cseq.number:
            answer.acknowledged(ack, now)

    def cancelled(self, tx: InviteServerTransaction, cancel: Request, now: float) -> None:
        """A CANCEL for an INVITE that is still open; the CANCEL itself has its 200."""
        invite = self.shared.open_invites.get(tx)
        if invite is not None:
            invite.cancelled(cancel, now)

    def _refuse(self, tx: ServerTransaction, request: Request, status: int, now: float) -> None:
        response = respond_to(request, status, to_tag=tx.local_tag)
        if status == 405:
            response.headers.add("Allow", ALLOW)
        self.endpoint.respond(tx, response, now)

    def _bad_extension(self, tx: ServerTransaction, request: Request, unknown: list[str], now: float) -> None:
        response = respond_to(request, 420, to_tag=tx.local_tag)
        response.headers.add("Unsupported", ", ".join(unknown))
        self.endpoint.respond(tx, response, now)

    def _options(self, tx: ServerTransaction, request: Request, now: float) -> None:
        """What we can do (RFC 3261 section 11.2); 503 while we drain, so that a dispatcher goes elsewhere."""
        unknown = _unknown_tags(request)
        if unknown:
            self._bad_extension(tx, request, unknown, now)
            return
        response = respond_to(request, 503 if self.shared.draining else 200, to_tag=tx.local_tag)
        response.headers.add("Allow", ALLOW)
        response.headers.add("Accept", "*/*")
        response.headers.add("Supported", OUR_SUPPORTED)
        self.endpoint.respond(tx, response, now)


def _names_of(listener: Listener) -> frozenset[str]:
    """host:port as a parsed URI gives them, IPv6 without brackets."""
    known_as = listener.sent_by.replace("[", "").replace("]", "").lower()
    return frozenset((known_as, f"{listener.host}:{listener.port}"))


def _unknown_tags(request: Request) -> list[str]:
    """Option tags that the request requires and we would break (RFC 3261 section 8.2.2.3)."""
    headers = request.headers
    if "require" not in headers.keys and "proxy-require" not in headers.keys:
        return []
    wanted = headers.tokens(REQUIRE) + headers.tokens(PROXY_REQUIRE)
    return [tag for tag in wanted if tag not in TRANSPARENT_TAGS]
