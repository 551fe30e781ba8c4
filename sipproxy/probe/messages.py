"""The requests that the probe sends, and what it plants in them.

A call says in many places whose it is (`Secrets.token`), since a path may take away most of them: Call-ID,
From, a header, the session name in SDP, and the Request-URI where its writer put `{token}`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..propagation.context import TraceContext
from ..sip.build import REASONS
from ..sip.dialog import Dialog
from ..sip.flow import TLS, UDP, Listener, join_host
from ..sip.ids import Ids
from ..sip.matching import via_line
from ..sip.message import Headers, Request
from ..sip.refer import MARKER, escape
from ..sip.uri import parse_uri
from .fates import Row

TOKEN_HERE = "{token}"
SIGN = "X-Sipproxy-Probe"
AGENT = "sipproxy probe"
ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, REFER, NOTIFY"
HOPS = 30  # Max-Forwards: less than the usual 70, so that a path that loops does so for a shorter time
SMALL, LARGE = 1200, 3000  # bytes of an INVITE: UDP still carries the one in one piece, and not the other
_BRANCH = "z9hG4bK" + 16 * "0"
_PADDING = "X-Sipproxy-Padding"
_PADDING_AT_ONCE = 200  # characters in a row


@dataclass(slots=True)
class Secrets:
    """What only this call has: nobody could have made it up."""

    token: str
    trace_id: str
    ids: Ids

    @classmethod
    def new(cls, ids: Ids) -> Secrets:
        """Draw them."""
        return cls(ids.hex(32), ids.trace_id(), ids)

    def traceparent(self) -> str:
        """This call's trace, with another parent-id each time: so it shows where one comes from."""
        return TraceContext(self.trace_id, self.ids.span_id(), 1).traceparent()


@dataclass(slots=True)
class Plant:
    """A carrier that was put into a message."""

    carrier: str
    name: str  # of the header; empty for a parameter of the Request-URI
    value: str


@dataclass(slots=True)
class Ourselves:
    """Who calls, and where answers go."""

    target: str  # the Request-URI, as the user wrote it
    caller: str | None  # From, where the path wants a known one
    listener: Listener

    @property
    def contact(self) -> str:
        """Where we are."""
        listener = self.listener
        transport = "" if listener.transport == UDP else f";transport={listener.transport.lower()}"
        return f"<sip:probe@{listener.sent_by}{transport}>"

    @property
    def host(self) -> str:
        """Our address, without a port."""
        return self.listener.sent_by.rpartition(":")[0]

    @property
    def uri(self) -> str:
        """Our own name."""
        return self.caller or f"sip:probe@{self.host}"


@dataclass(slots=True)
class Wanted:
    """An INVITE to be."""

    secrets: Secrets
    plants: list[Plant] = field(default_factory=list)
    uri: str = ""  # another Request-URI than the target
    size: int = 0  # bytes, Via included; 0: as it comes


def invite(wanted: Wanted, we: Ourselves) -> Request:
    """The INVITE of one call."""
    token = wanted.secrets.token
    uri = (wanted.uri or we.target).replace(TOKEN_HERE, token)
    uri += "".join(f";{MARKER}={plant.value}" for plant in wanted.plants if not plant.name)
    headers = Headers()
    headers.add("Max-Forwards", str(HOPS))
    headers.add("From", f'"{AGENT} {token}" <{we.uri}>;tag={wanted.secrets.ids.hex(16)}')
    headers.add("To", f"<{_plain(uri)}>")
    headers.add("Call-ID", f"{token}@{we.host.strip('[]')}")
    headers.add("CSeq", "1 INVITE")
    headers.add("Contact", we.contact)
    headers.add("Allow", ALLOW)
    headers.add("Supported", "replaces")
    headers.add("User-Agent", AGENT)
    headers.add(SIGN, token)
    for plant in wanted.plants:
        if plant.carrier == "pai":  # inside the brackets: a parameter of the URI
            headers.add(plant.name, f"<{we.uri};traceparent={plant.value}>")
        elif plant.name:
            headers.add(plant.name, plant.value)
    headers.add("Content-Type", "application/sdp")
    request = Request("INVITE", uri, headers, sdp(we, token))
    _pad(request, wanted.size, we.listener)
    return request


def sdp(we: Ourselves, token: str) -> bytes:
    """A telephone's offer, or answer. No media comes, and none is waited for: the call is over at once."""
    host = we.host.strip("[]")
    family = "IP6" if ":" in host else "IP4"
    rows = (
        "v=0",
        f"o=probe 1 1 IN {family} {host}",
        f"s=sipproxy-{token}",
        f"c=IN {family} {host}",
        "t=0 0",
        "m=audio 40000 RTP/AVP 8 0 101",
        "a=rtpmap:101 telephone-event/8000",
    )
    return ("\r\n".join(rows) + "\r\n").encode()


def in_dialog(method: str, dialog: Dialog, we: Ourselves, rows: tuple[Row, ...] = ()) -> Request:
    """A request inside a call; `next_hop` of the dialog says where it goes."""
    uri, routes, _ = dialog.addressing()
    cseq = dialog.local_cseq if method == "ACK" else dialog.next_cseq()
    headers = Headers()
    for route in routes:
        headers.add("Route", route)
    headers.add("Max-Forwards", str(HOPS))
    headers.add("From", dialog.from_value)
    headers.add("To", dialog.to_value)
    headers.add("Call-ID", dialog.call_id)
    headers.add("CSeq", f"{cseq} {method}")
    if method in ("REFER", "NOTIFY"):
        headers.add("Contact", we.contact)
    headers.add("User-Agent", AGENT)
    for row in rows:
        headers.add(row.name, row.value)
    return Request(method, uri, headers)


def refer_rows(call: Secrets, new: Secrets, we: Ourselves, inside: list[Plant]) -> tuple[Row, ...]:
    """Refer-To with its two parts, and Referred-By. It names where we call anyway: nothing else is ever
    called. `new` are the secrets of the call that comes of it.
    """
    pairs = [*((plant.name, plant.value) for plant in inside if plant.name), (SIGN, new.token)]
    headers = "&".join(f"{name}={escape(value)}" for name, value in pairs)
    target = _plain(we.target.replace(TOKEN_HERE, new.token))
    target += "".join(f";{MARKER}={plant.value}" for plant in inside if not plant.name)
    return (
        Row("Refer-To", f"<{target}?{headers}>"),
        Row("Referred-By", f"<{we.uri}>"),
        Row(SIGN, call.token),
    )


def notify(dialog: Dialog, we: Ourselves, status: int) -> Request:
    """What became of a transfer."""
    state = "active;expires=60" if status < 200 else "terminated;reason=noresource"
    rows = (Row("Event", "refer"), Row("Subscription-State", state), Row("Content-Type", "message/sipfrag"))
    request = in_dialog("NOTIFY", dialog, we, rows)
    request.body = f"SIP/2.0 {status} {REASONS.get(status, 'Unknown')}\r\n".encode()
    return request


def transport_of(uri: str) -> str:
    """What the URI itself asks for."""
    parsed = parse_uri(uri)
    if parsed.scheme == "sips":
        return TLS
    return (parsed.parameter("transport") or UDP).upper()


def _plain(uri: str) -> str:
    """Without parameters and header part: what may stand in To, and what a Refer-To begins with."""
    parsed = parse_uri(uri)
    user = "" if parsed.user is None else f"{parsed.user}@"
    return f"{parsed.scheme}:{user}{join_host(parsed.host, parsed.port)}"


def _pad(request: Request, size: int, listener: Listener) -> None:
    """Make it as long as that once its Via is on top; one that is longer already stays so."""
    via = len(via_line(listener, _BRANCH)) + 2
    while (missing := size - via - len(request.encode())) > len(_PADDING) + 4:
        request.headers.add(_PADDING, "x" * min(missing - len(_PADDING) - 4, _PADDING_AT_ONCE))
