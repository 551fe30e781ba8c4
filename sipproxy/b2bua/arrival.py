"""A request that begins something: whose trace it belongs to, which transfer caused it, what it replaces.

The order is that of `propagation.md` section 1: what the request carries, then what we know of it. What we
know was learned from a trunk whose word counts, except the marker: nobody can guess that.
"""

from __future__ import annotations

from ..errors import RemoteProtocolError
from ..propagation.carriers import Found, extract_sip
from ..propagation.context import Previous, TraceContext, parse_previous
from ..propagation.correlation import Origin, begin, is_logged
from ..propagation.settings import Accept, TrunkTrace
from ..propagation.writing import add_baggage
from ..sip.flow import Flow
from ..sip.headers import TO
from ..sip.message import Headers, Request
from ..sip.refer import MARKER, REPLACES, Replaces
from ..sip.uri import TOKEN, parse_uri
from .consulting import Webhook
from .events import Linked
from .pending import Token, replaces_key, who_sent
from .replacing import Dialogue, as_seen_by, check_replaceable, may_replace, named
from .routing import Trunk
from .shared import Shared
from .transfer import Transfer

STRANGER = TrunkTrace(accept=Accept.LINK)
INTERACTION_LENGTH = 128  # characters of an interaction id that are kept
_PLAIN = TOKEN | frozenset("/:=")


class Arrival:
    """What is known of a request. `refusal` is a status where Replaces asks for what cannot be, else 0;
    `target_uri` and `replaces` are where it goes and what it carries there, where that is not as it came.
    """

    __slots__ = (
        "baggage",
        "carriers",
        "foreign",
        "found",
        "interaction",
        "known",
        "refusal",
        "replaced",
        "replaces",
        "session_id",
        "source",
        "target_uri",
        "transfer",
        "webhook",
    )

    def __init__(self, found: Found, source: Trunk | None) -> None:
        self.found = found
        self.source = source
        self.foreign: TraceContext | None = None  # carried beside the marker, which is worth more
        self.interaction = ""
        self.session_id = ""
        self.baggage = ""
        self.known: tuple[TraceContext, str] | None = None
        self.transfer: Transfer | None = None
        self.webhook: Webhook | None = None  # of the route that takes it
        self.carriers: list[str] = []
        self.replaced: Dialogue | None = None
        self.replaces = ""
        self.target_uri = ""
        self.refusal = 0

    @property
    def settings(self) -> TrunkTrace:
        """How its source is believed."""
        return STRANGER if self.source is None else self.source.settings.trace

    @property
    def logged(self) -> bool:
        """Whether somebody whose word counts wants this call recorded (RFC 8497)."""
        return bool(self.session_id) and self.settings.accept is Accept.ADOPT and is_logged(self.session_id)

    @property
    def source_name(self) -> str:
        """For spans and counters."""
        return "unknown" if self.source is None else self.source.name


def arrive(shared: Shared, request: Request, source: Trunk | None, flow: Flow) -> Arrival:
    """Read a request."""
    headers, uri = request.headers, request.parsed_uri
    settings = STRANGER if source is None else source.settings.trace
    to = headers.first(TO)
    to_headers = ""
    if to is not None and "?" in to.uri:
        to_headers = parse_uri(to.uri).headers
    arrival = Arrival(extract_sip(headers.values, settings, uri.headers, to_headers), source)
    arrival.session_id = headers.text("session-id") or ""
    arrival.interaction = interaction_id(headers, shared.propagation.interaction_header)
    if request.method == "INVITE":
        token = Token.NONE
        if len(shared.pending) or (uri.parameters and MARKER in uri.parameters):
            token = _find_transfer(arrival, shared, request, flow)
        if "replaces" in headers.keys or (arrival.transfer and arrival.transfer.replaces):
            _find_replaced(arrival, shared, request, token)
        if arrival.transfer is not None:
            _come_back(arrival, shared, request, flow)
    _recognise(arrival, shared, request)
    baggage = arrival.found.baggage
    if not baggage and arrival.transfer is not None:
        baggage = arrival.transfer.baggage
    arrival.baggage = (
        add_baggage(baggage, "interaction.id", arrival.interaction) if arrival.interaction else baggage
    )
    return arrival


def _find_transfer(arrival: Arrival, shared: Shared, request: Request, flow: Flow) -> Token:
    """The transfer that caused this call, and by which of its carriers that shows."""
    pending, found = shared.pending, arrival.found
    who = who_sent(request)
    uri = request.parsed_uri
    transfer, token = None, Token.NONE
    if shared.names_us(uri, flow):  # another proxy's marker is for that proxy
        transfer, token = pending.by_token(uri, who)
    if token in (Token.UNKNOWN, Token.REPLAYED):
        shared.count(token, arrival.source_name)
    value = _one_replaces(request)
    witnesses: list[tuple[str, Transfer | None]] = [
        ("uri-header" if found.carrier == "uri-header" else "traceparent", pending.by_context(found.context)),
        ("marker", transfer),
        ("replaces", None if value is None else pending.by_replaces(value)),
        (
            "referred-by",
            None if arrival.source is None else pending.by_referral(request, arrival.source.name),
        ),
        ("connection", pending.by_connection(request, arrival.source_name, flow)),
        ("previous-trace-id", pending.by_previous(found.previous or _previous(arrival, request))),
    ]
    for _, witness in witnesses:
        # All but the token can be guessed or seen: they count from where the REFER went.
        near = (
            arrival.source is not None and witness is not None and witness.transferee == arrival.source.name
        )
        if transfer is None and witness is not None and near and witness.placed_by in ("", who):
            transfer = witness
    if transfer is not None:
        arrival.transfer = transfer
        arrival.carriers = [name for name, witness in witnesses if witness is transfer]
    return token


def _previous(arrival: Arrival, request: Request) -> Previous | None:
    """What the header says also where it names the trace that was found another way."""
    text = request.headers.text("previous-trace-id")
    if text is None or arrival.settings.accept is Accept.IGNORE:
        return None
    return parse_previous(text)


def _one_replaces(request: Request) -> Replaces | None:
    if "replaces" not in request.headers.keys:
        return None
    values = request.headers.every(REPLACES)
    if len(values) != 1:
        raise RemoteProtocolError("more than one Replaces")
    return values[0]


def _find_replaced(arrival: Arrival, shared: Shared, request: Request, token: Token) -> None:
    """What Replaces names, as it stands in the request or as Refer-To had it."""
    value = _one_replaces(request)
    transfer = arrival.transfer
    if value is None and transfer is not None:
        value = transfer.replaces
    if value is None:
        return
    try:
        replaced = named(shared, value)
        if replaced is None and transfer is None:
            raise RemoteProtocolError("no such dialog", status=481)
        if replaced is None:
            arrival.replaces = str(value)  # the target may know it: a REFER vouches for that
            return
        if not _vouched(arrival, value, token) and not may_replace(replaced, arrival.source):
            raise RemoteProtocolError("a conversation of others", status=403)
        check_replaceable(replaced, value)
    except RemoteProtocolError as error:
        arrival.refusal = error.status
        shared.count("replaces_refused", arrival.source_name, str(error.status))
        return
    arrival.replaced = replaced
    arrival.replaces = str(as_seen_by(replaced.target, value))
    arrival.target_uri = replaced.target.dialog.remote_target


def _vouched(arrival: Arrival, value: Replaces, token: Token) -> bool:
    """A REFER vouches for whoever holds its token, and for the trunk that we sent it to, as far as its own
    Replaces goes.
    """
    transfer = arrival.transfer
    if transfer is None or replaces_key(value) not in transfer.replaces_keys:
        return False
    return token is Token.GOOD or (arrival.source is not None and transfer.transferee == arrival.source.name)


def _come_back(arrival: Arrival, shared: Shared, request: Request, flow: Flow) -> None:
    """The new call takes on what its transfer was told."""
    transfer, headers = arrival.transfer, request.headers
    assert transfer is not None
    for carrier in arrival.carriers:
        shared.count("refer_carriers", arrival.source_name, carrier)
    carried = arrival.found.context
    if carried is not None and carried.span_id == transfer.context.span_id and not carried.tracestate:
        carried.tracestate = transfer.context.tracestate  # Refer-To had no room for it
    uri = request.parsed_uri
    # Of the URI that it was given a browser may keep no more than user and host; it reaches nobody but us. A
    # call to somebody else that only carries the transfer's context goes where it was dialled to.
    named = "marker" in arrival.carriers or uri.user == transfer.user
    if not arrival.target_uri and named and (flow.web or shared.names_us(uri)):
        arrival.target_uri = transfer.uri
    if not arrival.interaction and transfer.interaction:
        arrival.interaction = transfer.interaction
        headers.add(shared.propagation.interaction_header, transfer.interaction)


def _recognise(arrival: Arrival, shared: Shared, request: Request) -> None:
    """What the request's trace is known by where it carries none, or none that counts."""
    found, transfer, accept = arrival.found, arrival.transfer, arrival.settings.accept
    if transfer is not None and transfer.fresh:
        found.context = None
        found.carrier = "marker" if "marker" in arrival.carriers else arrival.carriers[0]
        return
    if transfer is not None and "marker" in arrival.carriers:
        if found.context is None or found.carrier == "uri-header" or accept is not Accept.ADOPT:
            if accept is Accept.LINK and found.context is not None:
                arrival.foreign = found.context
            found.context = None
            arrival.known = (transfer.context, "marker")
        return
    if found.context is not None:
        return
    arrival.known = shared.challenges.find(request)
    if arrival.known is None and accept is not Accept.IGNORE:
        known = _known(arrival, shared, request.method, request.call_id)
        if accept is Accept.ADOPT:
            arrival.known = known
        elif known is not None:
            found.context, found.carrier = known  # whose trace it names is not proved: a link


def _known(arrival: Arrival, shared: Shared, method: str, call_id: str) -> tuple[TraceContext, str] | None:
    transfer = arrival.transfer
    if method == "NOTIFY":
        told = shared.pending.by_subscription(call_id)
        if told is not None:
            return told.context, "subscription"
    if transfer is not None and "replaces" in arrival.carriers:
        return transfer.context, "replaces"
    if transfer is None and arrival.replaced is not None:
        return arrival.replaced.target.call.trace, "replaces"
    if arrival.session_id:
        call = shared.sessions.find(arrival.session_id)
        if call is not None:
            return call, "session-id"
    for carrier in ("referred-by", "connection"):
        if transfer is not None and carrier in arrival.carriers:
            return transfer.context, carrier
    return None


def originate(arrival: Arrival, shared: Shared) -> Origin:
    """Begin the request's span, with links to whatever other trace it has to do with."""
    accept, transfer, replaced = arrival.settings.accept, arrival.transfer, arrival.replaced
    forced = arrival.logged
    origin = begin(
        arrival.found, accept, ids=shared.ids, sample=shared.sample, known=arrival.known, forced=forced
    )
    if arrival.foreign is not None and arrival.foreign.trace_id != origin.root.trace_id:
        origin.links.append(arrival.foreign)
    if transfer is not None and transfer.context.trace_id != origin.root.trace_id:
        if all(link.span_id != transfer.context.span_id for link in origin.links):
            origin.links.append(transfer.context)
        if origin.decision == "new":
            origin.decision = "linked"
        transfer.links(origin.root)
    if replaced is not None:
        target = replaced.target
        origin.links.append(target.context)
        shared.facts.append(Linked(target.context.span_id, origin.root))
    return origin


def interaction_id(headers: Headers, header: str) -> str:
    """The customer interaction: the configured header, else User-to-User (RFC 7433) unless that is a mere
    number.
    """
    value = (headers.text(header.lower()) or "").partition(";")[0].strip()
    if not value:
        value = (headers.text("user-to-user") or "").partition(";")[0].strip()
        if not _PLAIN.issuperset(value) or not value.strip("+0123456789-"):
            return ""
    return value[:INTERACTION_LENGTH]
