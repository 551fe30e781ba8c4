"""Every attribute that may leave the process, on which spans, and how it is masked: a public contract.

A span lets nothing out that has no row here. The names `sip.call_id`, `sip.request.method`, `sip.cseq` and
`sip.response.status_code` are those of OpenSIPS' opentelemetry module; the others with `sip.` are ours, the
rest are OpenTelemetry's. The reference in `docs/` is made from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Value = str | int | float | bool
Attributes = dict[str, Value]


class Place(StrEnum):
    """What an attribute stands on."""

    REQUEST = (
        "request"  # SERVER: the caller's INVITE, the root of a call; or another request outside a dialog
    )
    ATTEMPT = "attempt"  # CLIENT: that request on its way to one trunk; or a re-INVITE that a transfer needs
    ROUTE = "route"  # INTERNAL
    DIALOG = "dialog"  # SERVER where the INVITE came in, CLIENT where it went out
    IN_DIALOG = "in-dialog request"  # SERVER: re-INVITE, UPDATE
    TRANSFER = "transfer"  # INTERNAL
    EVENT = "event"


class Masking(StrEnum):
    """What keeps personal data out of a value."""

    NONE = "none"  # a number, an address, or a word from a closed set of ours
    USER = "user"  # Masker.mask_user
    ID = "id"  # Masker.mask_id
    TEXT = "text"  # Masker.mask_text
    REFERENCE = "reference"  # Masker.mask_reference


@dataclass(frozen=True, slots=True)
class Row:
    """One attribute."""

    name: str
    type: type
    places: frozenset[Place]
    masking: Masking
    text: str


_REQUESTS = (Place.REQUEST, Place.ATTEMPT, Place.IN_DIALOG)
_PEERS = (Place.REQUEST, Place.ATTEMPT, Place.DIALOG)
_LEGS = (*_REQUESTS, Place.DIALOG)
_SPANS = (*_LEGS, Place.ROUTE, Place.TRANSFER)


def _row(
    name: str, type_: type, places: tuple[Place, ...], text: str, masking: Masking = Masking.NONE
) -> Row:
    return Row(name, type_, frozenset(places), masking, text)


_R, _D, _T = (Place.REQUEST,), (Place.DIALOG,), (Place.TRANSFER,)

ROWS = (
    _row("sip.request.method", str, _REQUESTS, "The method, as on the wire.", Masking.TEXT),
    _row(
        "sip.response.status_code",
        int,
        (*_REQUESTS, Place.TRANSFER),
        "The final response; on `transfer` the one that decided it; absent when none came.",
    ),
    _row("sip.call_id", str, _LEGS, "The Call-ID of this leg.", Masking.ID),
    _row("sip.cseq", int, _REQUESTS, "The request's sequence number."),
    _row("sip.leg", str, _LEGS, "`caller` or `callee`."),
    _row(
        "sip.trunk",
        str,
        (*_LEGS, Place.ROUTE, Place.TRANSFER),
        "The trunk's name in the configuration; on `route` the first choice, on `transfer` the transferor's.",
    ),
    _row("sip.from.user", str, _R, "The user part of From.", Masking.USER),
    _row("sip.to.user", str, _R, "The user part of To.", Masking.USER),
    _row("sip.request_uri.user", str, _R, "The user part of the Request-URI.", Masking.USER),
    _row(
        "sip.setup.duration_ms",
        int,
        _R,
        "From the INVITE to its final response; what a tail sampler can decide on.",
    ),
    _row(
        "sip.transfer",
        bool,
        (*_R, Place.TRANSFER),
        "True on a transfer and on the root of a call that it caused.",
    ),
    _row(
        "sip.dialog.end",
        str,
        _D,
        "`caller_bye`, `callee_bye`, `cancelled`, `timeout`, `transferred`, `session_expired`, `shutdown` or "
        "`lost`.",
    ),
    _row("sip.ring_ms", int, _D, "From the first ringing to the answer."),
    _row("sip.talk_ms", int, _D, "From the answer to the end."),
    _row("sip.trace.carrier", str, _R, "Which part of the request gave the trace context, or `none`."),
    _row("sip.trace.decision", str, _R, "`adopted`, `recovered`, `linked` or `new`."),
    _row("sip.trace.rejected", str, _R, "Why a trace context that was there was not taken."),
    _row("sip.trace.previous_id", str, _R, "A `previous-trace-id` that names no span and so became no link."),
    _row("sip.transfer.kind", str, _T, "`blind` or `attended`."),
    _row("sip.transfer.mode", str, _T, "`relay` or `local`."),
    _row(
        "sip.transfer.outcome",
        str,
        _T,
        "`completed`, `refused`, `busy`, `declined`, `timeout`, `unreachable`, `cancelled`, `failed` or "
        "`unknown`.",
    ),
    _row("sip.transfer.outcome_source", str, _T, "`reported` when only NOTIFY told the outcome."),
    _row(
        "sip.transfer.stage",
        str,
        _T,
        "How far it came: `refused`, `accepted`, `trying`, `ringing`, `answered`, `failed`, `abandoned` or "
        "`expired`; absent when the proxy stopped before the REFER was answered.",
    ),
    _row(
        "sip.proxy.delay_us",
        int,
        (Place.ATTEMPT,),
        "Our own share: INVITE in to INVITE out; on the first attempt.",
    ),
    _row("sip.peer.rtt_ms", float, _PEERS, "The round trip to this peer: the network's share."),
    _row("sip.retransmissions", int, (Place.EVENT,), "How often the request was repeated."),
    _row(
        "interaction.id",
        str,
        _SPANS,
        "The customer interaction, from the configured header.",
        Masking.REFERENCE,
    ),
    _row("session.id", str, _SPANS, "The UUIDs of Session-ID (RFC 7989)."),
    _row(
        "error.type",
        str,
        (*_REQUESTS, Place.ROUTE, Place.TRANSFER),
        "The status code, or a word such as `timeout`.",
    ),
    _row("error.message", str, (Place.ATTEMPT,), "Why the request could not leave, in words.", Masking.TEXT),
    _row("network.transport", str, _PEERS, "`udp` or `tcp`."),
    _row("network.peer.address", str, _PEERS, "The peer's address."),
    _row("network.peer.port", int, _PEERS, "The peer's port."),
    _row("server.address", str, _PEERS, "The host that was asked for.", Masking.TEXT),
    _row("user_agent.original", str, _R, "User-Agent, its first 64 characters.", Masking.TEXT),
)

ALLOWED: dict[Place, frozenset[str]] = {
    place: frozenset(row.name for row in ROWS if place in row.places) for place in Place
}


def permitted(place: Place, attributes: Attributes) -> Attributes:
    """What of these may stand there: all of it, unless there is a mistake in our code."""
    allowed = ALLOWED[place]
    if attributes.keys() <= allowed:
        return attributes
    return {name: value for name, value in attributes.items() if name in allowed}
