"""Opens the listeners and sends each message by the right socket.

    transports = Transports()
    await transports.open([("udp", "0.0.0.0", 5060)], receiver=driver, advertise=None)
    transports.send(data, flow)

`send` neither raises nor blocks: what does not arrive comes back through `Receiver.unsent`.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Final

from ..errors import ConfigurationError, StartError
from ..sip.flow import TCP, TLS, UDP, WS, WSS, Flow, Listener, join_host
from . import Counters, Edge, Receiver, error_text, tcp, udp
from .certificates import OwnCertificate
from .limits import TcpLimits
from .settings import TlsSettings, WebSocketSettings
from .tcp import Connections
from .tls import Tls
from .udp import UdpSocket

__all__ = ["Counters", "Receiver", "TcpLimits", "Transports"]

_REASONS: Final = {
    errno.EADDRNOTAVAIL: "not an address of this machine",
    errno.EACCES: "not permitted (a port below 1024 needs CAP_NET_BIND_SERVICE)",
}
_BIND: Final = {UDP: udp.bind, TCP: tcp.bind, TLS: tcp.bind, WS: tcp.bind, WSS: tcp.bind}
_LITERALS: Final = 4096  # addresses known to be such
# From documentation's address blocks (RFC 5737, RFC 3849): to find the way out, nothing is sent there.
_ELSEWHERE: Final = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
_LOOPBACK: Final = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


class Transports:
    """All sockets of one proxy."""

    __slots__ = ("_connections", "_edge", "_literals", "_sockets", "_tls", "counters", "listeners")

    def __init__(self) -> None:
        self.listeners: list[Listener] = []
        self.counters = Counters()
        self._edge: Edge | None = None
        self._connections: Connections | None = None
        self._tls: Tls | None = None
        self._sockets: list[UdpSocket | None] = []  # by listener; None where it is not UDP
        self._literals: set[str] = set()

    async def open(
        self,
        listen: Iterable[tuple[str, str, int]],
        *,
        receiver: Receiver,
        advertise: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        message_limit: int = 65535,
        tcp_limits: TcpLimits | None = None,
        tls: TlsSettings | None = None,
        websocket: WebSocketSettings | None = None,
    ) -> None:
        """Open every (transport, host, port). All of them or none: StartError names the one that fails,
        ConfigurationError the certificates that do.
        """
        listen = [*listen]
        secured = (name for each in listen if (name := _shown(*each)).startswith(("tls:", "wss:")))
        self._tls = Tls(tls or TlsSettings(), listening=next(secured, None))
        edge = self._edge = Edge(receiver, clock, self.counters, message_limit=message_limit)
        connections = self._connections = Connections(
            edge,
            self._source_for,
            limits=tcp_limits,
            tls=self._tls,
            websocket=websocket or WebSocketSettings(),
        )
        self.listeners.clear()
        bound: list[socket.socket] = []
        try:
            for transport, host, port in listen:
                bound.append(await self._bind(transport.upper(), host, port, edge, advertise))
            for sock, listener in zip(bound, self.listeners, strict=True):
                if listener.transport != UDP:
                    await connections.listen(sock, listener)
        except BaseException:
            await self.close()
            for sock in bound:
                sock.close()
            raise
        # Last, and without a pause: nothing arrives before the caller has them all.
        self._sockets = [
            UdpSocket(sock, listener, edge) if listener.transport == UDP else None
            for sock, listener in zip(bound, self.listeners, strict=True)
        ]

    def reload(self, tls: TlsSettings) -> None:
        """Shake hands by these from now on; connections that are open stay as they are. Raises
        ConfigurationError with every fault, and leaves all as it was. A certificate that has expired is one,
        unless it is in force already: then there may be no other, and the rest of the file is wanted.
        """
        secured = (repr(each) for each in self.listeners if each.transport in (TLS, WSS))
        renewed = Tls(tls, listening=next(secured, None))
        faults = renewed.faults(known=self.certificates)
        if faults:
            raise ConfigurationError(faults)
        self._tls = renewed
        if self._connections is not None:
            self._connections.tls = renewed

    @property
    def certificates(self) -> list[OwnCertificate]:
        """What we show, the default one first."""
        return self._tls.certificates if self._tls is not None else []

    @property
    def warnings(self) -> list[str]:
        """What the operator should know of `tls`; after `open`, and after each `reload`."""
        return self._tls.warnings if self._tls is not None else []

    def send(self, data: bytes, flow: Flow) -> None:
        """Send one message to where the flow leads, from its listener where that fits."""
        edge, connections = self._edge, self._connections
        if edge is None or connections is None:
            return  # not open, or closed already: nothing left to tell
        if flow.host not in self._literals and not self._is_literal(flow.host):
            edge.unsent(data, flow, "not an IP address")
        elif not 0 < flow.port < 65536:  # uvloop would connect to the remainder
            edge.unsent(data, flow, "not a port")
        elif flow.transport == UDP:
            sock = self._socket_for(flow)
            if sock is None:
                edge.unsent(data, flow, f"no UDP listener for {'IPv6' if ':' in flow.host else 'IPv4'}")
            else:
                sock.send(data, flow)
        elif flow.transport in _BIND:
            connections.send(data, flow)
        else:
            edge.unsent(data, flow, f"no such transport: {flow.transport}")

    def close_connection(self, flow: Flow) -> None:
        """Close the flow's connection, if it has one, once what was written is out."""
        if self._connections is not None:
            self._connections.end(flow)

    def close_idle(self) -> None:
        """Close connections that were silent for too long. Happens by itself every few seconds."""
        if self._connections is not None:
            self._connections.close_idle()

    async def close(self) -> None:
        """Let what was written go out, close everything."""
        connections, self._connections = self._connections, None
        sockets, self._sockets = self._sockets, []
        self._edge = None
        for sock in sockets:
            if sock is not None:
                sock.close()
        if connections is not None:
            await connections.close()

    async def _bind(
        self, transport: str, host: str, port: int, edge: Edge, advertise: str | None
    ) -> socket.socket:
        name = _shown(transport, host, port)
        if transport not in _BIND:
            raise StartError(f"cannot listen on {name}: no such transport")
        if not 0 <= port < 65536:
            raise StartError(f"cannot listen on {name}: not a port")
        try:
            family, address = await _look_up(edge, host)
            sock = _BIND[transport](family, address, port)
        except (socket.gaierror, UnicodeError) as error:
            raise StartError(f"cannot listen on {name}: no such host") from error
        except OSError as error:
            reason = _REASONS.get(error.errno or 0) or error_text(error)
            raise StartError(f"cannot listen on {name}: {reason}") from error
        address, port = sock.getsockname()[:2]
        known_as = advertise or (primary_address(family) if ip_address(address).is_unspecified else address)
        self.listeners.append(
            Listener(len(self.listeners), transport, address, port, join_host(known_as, port))
        )
        return sock

    def _socket_for(self, flow: Flow) -> UdpSocket | None:
        """Give the flow's own socket, or the first that speaks UDP and the address's family."""
        ipv6 = ":" in flow.host
        if 0 <= flow.listener < len(self._sockets):
            sock = self._sockets[flow.listener]
            if sock is not None and sock.ipv6 == ipv6:
                return sock
        return next((sock for sock in self._sockets if sock is not None and sock.ipv6 == ipv6), None)

    def _source_for(self, flow: Flow) -> str | None:
        """Give the address a new connection comes from: the listener's, so that peers know us by it."""
        if 0 <= flow.listener < len(self.listeners):
            listener = self.listeners[flow.listener]
            if listener.ipv6 == (":" in flow.host) and not ip_address(listener.host).is_unspecified:
                return listener.host
        return None

    def _is_literal(self, host: str) -> bool:
        """Tell an address from a name: the system would look a name up, and block."""
        try:
            ip_address(host)
        except ValueError:
            return False
        if len(self._literals) >= _LITERALS:
            self._literals.clear()
        self._literals.add(host)
        return True


def _shown(transport: str, host: str, port: int) -> str:
    return f"{transport.lower()}:{join_host(host, port)}"


def primary_address(family: int) -> str:
    """Find the address that packets to elsewhere leave from; loopback on a machine without a way out."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_ELSEWHERE[socket.AddressFamily(family)], 9))
        except OSError:
            return _LOOPBACK[socket.AddressFamily(family)]
        found: str = probe.getsockname()[0]
        return found


async def _look_up(edge: Edge, host: str) -> tuple[int, str]:
    """Give family and address of a host to listen on; a name such as localhost is asked of the system."""
    try:
        address = ip_address(host)
    except ValueError:
        found = await edge.loop.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
        return found[0][0], str(found[0][4][0])
    return (socket.AF_INET6 if address.version == 6 else socket.AF_INET), host
