"""Settings of trunks, routes and call timing: what an operator writes, checked and frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ..propagation.settings import TrunkTrace


@dataclass(frozen=True, slots=True)
class Health:
    """OPTIONS probes that take a dead trunk out and back in; 0 seconds means none."""

    options_every_s: float = field(default=0.0, metadata={"ge": 0})
    down_after: int = field(default=2, metadata={"ge": 1})


@dataclass(frozen=True, slots=True)
class TrunkLimits:
    """At most so many calls at a time, and so many new ones a second; 0 means no limit."""

    calls: int = field(default=0, metadata={"ge": 0})
    cps: float = field(default=0.0, metadata={"ge": 0})


@dataclass(frozen=True, slots=True)
class HeaderPolicy:
    """What passes towards a trunk besides what the dialog needs."""

    strip: tuple[str, ...] = ()
    allow: tuple[str, ...] | None = field(default=None, metadata={"key": "pass"})  # None: everything
    set: dict[str, str] = field(default_factory=dict)


class Refer(StrEnum):
    """What is done with a REFER (`refer`)."""

    RELAY = "relay"  # it goes on to the other leg, whose user agent places the new call
    LOCAL = "local"  # we answer it, and place the new call ourselves
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class TransferSettings:
    """The `transfer:` section."""

    # How long the new call may take to come back to us.
    expires_s: float = field(default=120.0, metadata={"gt": 0, "le": 3600})
    # Of a Refer-To; 0 for no limit. Every baresip so far has room for 255, and else dials nobody at all.
    refer_to_octets: int = field(default=255, metadata={"ge": 0})
    # At a time; one more, and the oldest is forgotten.
    pending: int = field(default=10_000, metadata={"ge": 1, "le": 1_000_000})


@dataclass(frozen=True, slots=True)
class TrunkSettings:
    """One trunk: where its peer is, and how it is treated."""

    # host[:port][;transport=udp|tcp|tls]; no port and no transport: RFC 3263. None: its peers are WebSocket
    # clients, to which nobody can connect; no route leads there.
    address: str | None = None
    # Address, CIDR or address:port of its requests, TRANSPORT or TRANSPORT:CIDR, or a name in its TLS
    # certificate; none: nobody calls from it.
    match: tuple[str, ...] = ()
    tls_name: str | None = None  # in the certificate of who answers at `address`; None: the host there
    trace: TrunkTrace = TrunkTrace()
    health: Health = Health()
    limits: TrunkLimits = TrunkLimits()
    headers: HeaderPolicy = HeaderPolicy()
    refer: Refer | None = None  # None: relay where the other side's Allow lists REFER, else local
    # A header of INVITEs to it that names the caller's Call-ID, by which HOMER and sngrep join legs: X-CID.
    call_id_header: str | None = None
    transfer_anchor: bool = True  # Refer-To towards this trunk points to us: the new call comes back this way


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """Who may call where. First match wins."""

    to: tuple[str, ...]
    source: str | None = field(default=None, metadata={"key": "from"})
    user: str | None = None  # regular expression on the Request-URI's user
    # An application that is asked (POST, JSON) for each call; `to` holds where it does not answer well.
    webhook: str | None = None
    timeout_ms: int = field(default=300, metadata={"ge": 1, "le": 30_000})
    webhook_headers: tuple[str, ...] = ()  # of the INVITE, that it is told
    webhook_token: str | None = field(default=None, metadata={"secret": True})  # sent as a bearer token


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds."""

    ring_s: float = field(default=180.0, metadata={"gt": 0, "le": 3600})
    first_response_s: float = field(default=5.0, metadata={"gt": 0, "le": 32})
    drain_s: float = field(default=30.0, metadata={"ge": 0, "le": 86400})
    gone_s: float = field(default=60.0, metadata={"ge": 0, "le": 3600})


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one message."""

    message_bytes: int = field(default=65535, metadata={"ge": 1300})
    headers: int = field(default=256, metadata={"ge": 32})
