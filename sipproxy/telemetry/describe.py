"""What facts say when a span begins, as its name and attributes; masked here, once."""

from __future__ import annotations

from ..b2bua.events import (
    Attempted,
    Consulted,
    Established,
    LookedUp,
    RequestArrived,
    Routed,
    Transacted,
    TransferBegan,
)
from ..propagation.correlation import uuids
from ..sip.headers import CSEQ, FROM, TO
from .attributes import Attributes
from .masking import Masker

OTHER = "_OTHER"  # OpenTelemetry's word for what is in no closed set
RE_INVITE = "re-INVITE"
STATUS_NAMES = {status: str(status) for status in range(100, 700)}

_METHODS = frozenset(
    {"INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS", "PRACK", "SUBSCRIBE", "NOTIFY", "PUBLISH"}
    | {"INFO", "REFER", "MESSAGE", "UPDATE", RE_INVITE}
)
# What a route can fail of besides the contract's words is told by the status it earns.
_ROUTE_ERRORS = {"no_route": "403", "max_forwards": "483", "loop": "482", "draining": "overload"}
_LONGEST_NAME = 32
_LONGEST_USER_AGENT = 64


def span_name(method: str) -> str:
    """A method that SIP knows; what a peer makes up shall not become a span's name."""
    return method if method in _METHODS else OTHER


def plain_name(masker: Masker, text: str) -> str:
    """A method or the name of an event; one that SIP does not know is the peer's text."""
    return text if text in _METHODS else masker.mask_text(text)[:_LONGEST_NAME]


def of_call(masker: Masker, fact: RequestArrived) -> Attributes | None:
    """What stands on every span of the call."""
    if not fact.interaction_id and not fact.session_id:
        return None
    common: Attributes = {}
    if fact.interaction_id:
        common["interaction.id"] = masker.mask_reference(fact.interaction_id)
    if fact.session_id and (found := uuids(fact.session_id)):
        common["session.id"] = ";".join(found)
    return common


def of_request(masker: Masker, fact: RequestArrived) -> Attributes:
    """The caller's request."""
    origin, request = fact.origin, fact.request
    headers = request.headers
    attributes: Attributes = {
        "sip.request.method": plain_name(masker, request.method),
        "sip.call_id": masker.mask_id(request.call_id),
        "sip.leg": "caller",
        "sip.trunk": fact.trunk,
        "sip.trace.carrier": origin.carrier,
        "sip.trace.decision": origin.decision,
    }
    cseq, sender, receiver = headers.first(CSEQ), headers.first(FROM), headers.first(TO)
    if cseq is not None:
        attributes["sip.cseq"] = cseq.number
    if sender is not None and (user := masker.mask_uri(sender.uri)):
        attributes["sip.from.user"] = user
    if receiver is not None and (user := masker.mask_uri(receiver.uri)):
        attributes["sip.to.user"] = user
    if user := masker.mask_uri(request.uri):
        attributes["sip.request_uri.user"] = user
    if host := request.parsed_uri.host:
        attributes["server.address"] = masker.mask_text(host)
    if user_agent := headers.text("user-agent"):
        attributes["user_agent.original"] = masker.mask_text(user_agent)[:_LONGEST_USER_AGENT]
    if fact.transferred:
        attributes["sip.transfer"] = True
    if origin.rejected:
        attributes["sip.trace.rejected"] = origin.rejected
    if origin.previous_id:
        attributes["sip.trace.previous_id"] = origin.previous_id
    if fact.rtt_ms is not None:
        attributes["sip.peer.rtt_ms"] = round(fact.rtt_ms, 3)
    return attributes


def of_attempt(masker: Masker, fact: Attempted, delay_us: int | None) -> Attributes:
    """The request on its way to one trunk, or a transfer's re-INVITE on its way to a leg."""
    attributes: Attributes = {
        "sip.request.method": _on_the_wire(masker, fact.method),
        "sip.call_id": masker.mask_id(fact.call_id),
        "sip.cseq": fact.cseq,
        "sip.leg": fact.leg,
        "sip.trunk": fact.trunk,
        "server.address": fact.flow.host,
    }
    if delay_us is not None:
        attributes["sip.proxy.delay_us"] = delay_us
    if fact.rtt_ms is not None:
        attributes["sip.peer.rtt_ms"] = round(fact.rtt_ms, 3)
    return attributes


def of_dialog(masker: Masker, fact: Established) -> Attributes:
    """A confirmed dialog. Few attributes: two of these wait in memory for as long as a call lasts."""
    attributes: Attributes = {
        "sip.call_id": masker.mask_id(fact.call_id),
        "sip.leg": fact.leg,
        "sip.trunk": fact.trunk,
        "sip.ring_ms": fact.ring_ms,
    }
    if fact.rtt_ms is not None:
        attributes["sip.peer.rtt_ms"] = round(fact.rtt_ms, 3)
    return attributes


def of_in_dialog(masker: Masker, fact: Transacted) -> Attributes:
    """A re-INVITE or UPDATE."""
    return {
        "sip.request.method": _on_the_wire(masker, fact.method),
        "sip.call_id": masker.mask_id(fact.call_id),
        "sip.cseq": fact.cseq,
        "sip.leg": fact.leg,
        "sip.trunk": fact.trunk,
    }


def of_transfer(fact: TransferBegan) -> Attributes:
    """A REFER: words of ours and of the configuration alone, so there is nothing to mask."""
    return {
        "sip.transfer": True,
        "sip.transfer.kind": fact.kind,
        "sip.transfer.mode": fact.mode,
        "sip.trunk": fact.trunk,
    }


def of_route(fact: Routed) -> Attributes:
    """A routing decision."""
    attributes: Attributes = {}
    if fact.trunks:
        attributes["sip.trunk"] = fact.trunks[0]
    if fact.error:
        attributes["error.type"] = _ROUTE_ERRORS.get(fact.error, fact.error)
    return attributes


def of_lookup(fact: LookedUp) -> Attributes:
    """The name of a trunk, asked for."""
    attributes: Attributes = {"sip.trunk": fact.trunk}
    if not fact.found:
        attributes["error.type"] = "dns"
    return attributes


def of_consultation(fact: Consulted) -> Attributes:
    """The routing webhook: nothing of what was asked and answered, which is the application's."""
    return {} if fact.result in ("ok", "rejected", "abandoned") else {"error.type": "webhook"}


def _on_the_wire(masker: Masker, method: str) -> str:
    return "INVITE" if method == RE_INVITE else plain_name(masker, method)
