"""Settings of the wire: where we listen, and under which name we are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Ask(StrEnum):
    """Whether those who connect by TLS are asked for a certificate (`tls.clients`)."""

    OFF = "off"
    OPTIONAL = "optional"  # one that is shown must be good
    REQUIRED = "required"


class TlsVersion(StrEnum):
    """The lowest that is spoken."""

    TLS12 = "1.2"
    TLS13 = "1.3"


@dataclass(frozen=True, slots=True)
class CertificateSettings:
    """One certificate of ours, with the chain behind it; PEM files."""

    certificate: str  # file, PEM: its own first, then the chain
    key: str  # file, PEM


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """The `tls:` section: for tls: and wss: listeners, and for connections to trunks by TLS."""

    # The first is what a client gets that names no host of another one (SNI); also shown to servers that ask.
    certificates: tuple[CertificateSettings, ...] = ()
    ca: str | None = None  # PEM file of whom we trust; none: the system's store
    verify: bool = True  # the certificate of a trunk that we connect to, and the name in it (RFC 5922)
    clients: Ask = Ask.OFF
    minimum: TlsVersion = TlsVersion.TLS12


@dataclass(frozen=True, slots=True)
class WebSocketSettings:
    """The `websocket:` section (RFC 7118)."""

    origins: tuple[str, ...] = ()  # whose pages may connect, such as https://desk.example; none: any
    ping_s: float = field(default=30.0, metadata={"ge": 0})  # to keep the way open through NAT; 0: never


@dataclass(frozen=True, slots=True)
class NetSettings:
    """`listen` entries are `udp:HOST:PORT`, or tcp:, tls:, ws:, wss:; IPv6 in brackets."""

    listen: tuple[str, ...] = ("udp:127.0.0.1:5060", "tcp:127.0.0.1:5060")
    advertise: str | None = None  # host for Via and Contact, when it is not the listening one
    workers: int = field(default=1, metadata={"ge": 1, "le": 1})
    region: str | None = None
    tls: TlsSettings = TlsSettings()
    websocket: WebSocketSettings = WebSocketSettings()
