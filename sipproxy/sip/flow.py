"""Where messages come from and go to: flows and listeners (RFC 3261 section 18, RFC 5626 section 3)."""

from __future__ import annotations

UDP = "UDP"
TCP = "TCP"
TLS = "TLS"
WS = "WS"  # RFC 7118: the client opens the connection, and all that goes to it goes by that one
WSS = "WSS"

DEFAULT_PORT = {
    UDP: 5060,
    TCP: 5060,
    TLS: 5061,
    WS: 80,
    WSS: 443,
}  # RFC 3261 section 19.1.2, RFC 7118 section 5


class Flow:
    """One direction of travel: a transport, the peer's address, and the connection where there is one.

    `host` is an IP literal without brackets; `connection` is 0 for datagrams and for a stream yet to be
    opened. Of TLS: `domain` is whom the certificate of a peer that we connect to must name (RFC 5922 section
    7.3; "": its address), `names` is whom the verified certificate of the connection's peer names, in lower
    case. `opened` is set by the network: what was sent had to wait until a connection was made. None of these
    makes it another flow.
    """

    __slots__ = ("connection", "domain", "host", "listener", "names", "opened", "port", "transport")

    def __init__(
        self,
        transport: str,
        host: str,
        port: int,
        connection: int = 0,
        listener: int = 0,
        domain: str = "",
        names: tuple[str, ...] = (),
    ) -> None:
        self.transport = transport
        self.host = host
        self.port = port
        self.connection = connection
        self.listener = listener
        self.domain = domain
        self.names = names
        self.opened = False

    @property
    def reliable(self) -> bool:
        """Whether the transport repeats what gets lost."""
        return self.transport != UDP

    def over(self, transport: str, listener: int) -> Flow:
        """The way to the same peer by a new connection, or datagrams."""
        return Flow(transport, self.host, self.port, 0, listener, self.domain)

    @property
    def web(self) -> bool:
        """Whether its peer is a WebSocket client, to which nobody can connect."""
        return self.transport in (WS, WSS)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Flow):
            return NotImplemented
        return (self.transport, self.host, self.port, self.connection, self.listener) == (
            other.transport,
            other.host,
            other.port,
            other.connection,
            other.listener,
        )

    def __hash__(self) -> int:
        return hash((self.transport, self.host, self.port, self.connection, self.listener))

    def __repr__(self) -> str:
        return f"{self.transport.lower()}:{join_host(self.host, self.port)}"


class Listener:
    """A socket of ours; `sent_by` is the host:port that stands in Via and Contact."""

    __slots__ = ("host", "index", "port", "sent_by", "transport")

    def __init__(self, index: int, transport: str, host: str, port: int, sent_by: str) -> None:
        self.index = index
        self.transport = transport
        self.host = host
        self.port = port
        self.sent_by = sent_by

    @property
    def ipv6(self) -> bool:
        """Whether it speaks IPv6."""
        return ":" in self.host

    def __repr__(self) -> str:
        return f"{self.transport.lower()}:{join_host(self.host, self.port)}"


def join_host(host: str, port: int | None) -> str:
    """`host:port` with brackets around an IPv6 literal; without a port just the host."""
    shown = f"[{host}]" if ":" in host and host[0] != "[" else host
    return shown if port is None else f"{shown}:{port}"
