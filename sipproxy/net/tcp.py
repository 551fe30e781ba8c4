"""All connections of the proxy: one per peer, opened when needed, closed when idle.

A message for a connection that is gone goes to the one that the same peer has now, or opens one; one for a
WebSocket client is unsent then. By TLS the same peer is not the same address alone: its certificate names
whom we look for. One sweep every few seconds looks for idle connections: no timer per connection, and none
per message.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Callable, Iterable
from typing import Final

from ..sip.flow import TCP, TLS, WS, Flow, Listener
from ..sip.framing import StreamFramer
from . import Edge, error_text
from .connection import Connection
from .layer import Layer
from .limits import TcpLimits
from .settings import WebSocketSettings
from .tls import Tls
from .turns import Turns
from .websocket import WebSocketFramer

BACKLOG: Final = 1024
SWEEP_S: Final = 5.0

_Peer = tuple[str, str, int, str]  # transport, address, whom its certificate must name


def bind(family: int, host: str, port: int) -> socket.socket:
    """Open and bind a socket to listen on. Accepted ones inherit its options."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _tune(sock)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


class Connections:
    """All connections of the proxy: by id, and by the peer's address."""

    __slots__ = (
        "_by_id", "_by_peer", "_closed", "_connecting", "_last_id", "_per_source", "_servers", "_source_for",
        "_sweeper", "_websocket", "edge", "limits", "tls", "turns",
    )  # fmt: skip

    def __init__(
        self,
        edge: Edge,
        source_for: Callable[[Flow], str | None],
        *,
        limits: TcpLimits | None,
        tls: Tls,
        websocket: WebSocketSettings,
    ) -> None:
        self.edge = edge
        self.turns = Turns(edge.loop, edge.clock)
        self.tls = tls  # for connections from now on
        self._websocket = websocket
        self._source_for = source_for
        self.limits = limits or TcpLimits()
        self._by_id: dict[int, Connection] = {}  # the open ones
        self._by_peer: dict[_Peer, Connection] = {}  # these, and those being opened
        self._per_source: dict[str, int] = {}  # incoming ones
        self._connecting: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._last_id = 0
        self._closed: asyncio.Event | None = None  # set when, while closing, the last one is gone

    async def listen(self, sock: socket.socket, listener: Listener) -> None:
        """Accept on a bound socket."""
        transport, index = listener.transport, listener.index
        server = await self.edge.loop.create_server(
            lambda: Connection(self, flow=Flow(transport, "", 0, 0, index), incoming=True),
            sock=sock,
            backlog=BACKLOG,
        )
        self._servers.append(server)

    def send(self, data: bytes, flow: Flow) -> None:
        """Send on the flow's connection, else on one to the same peer, else on a new one."""
        connection = self._by_id.get(flow.connection)
        if connection is None or not connection.usable:
            if flow.web:
                self.edge.unsent(data, flow, "the WebSocket is closed, and nobody can connect to its client")
                return
            connection = self._by_peer.get(_peer(flow))
            if connection is None or not connection.usable:
                connection = self._open(flow)
        connection.send(data, flow)

    def end(self, flow: Flow) -> None:
        """Close the flow's connection once what was written is out."""
        connection = self._by_id.get(flow.connection)
        if connection is not None:
            connection.end()

    def admit(self, source: str) -> bool:
        """Whether one more incoming connection from this address is within the limits."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        total = min(self.limits.total, files * 3 // 4)
        if len(self._by_id) < total and self._per_source.get(source, 0) < self.limits.per_source:
            return True
        self.edge.counters.connections_refused += 1
        return False

    def add(self, connection: Connection) -> None:
        """Take in a connection that is open now."""
        flow = connection.flow
        self._last_id += 1
        flow.connection = self._last_id
        self._by_id[flow.connection] = connection
        if flow.transport == TCP or not connection.incoming:
            self._by_peer[_peer(flow)] = connection
        if connection.incoming:
            self._per_source[flow.host] = self._per_source.get(flow.host, 0) + 1
        counters = self.edge.counters
        counters.connections_opened += 1
        counters.connections_open = len(self._by_id)
        if self._sweeper is None:
            self._sweeper = self.edge.loop.call_later(SWEEP_S, self._sweep)

    def layer(self, flow: Flow, *, incoming: bool) -> Layer:
        """What stands between the wire and the messages of a new connection."""
        limit = self.edge.message_limit
        if flow.web:
            websocket = WebSocketFramer(limit, self._websocket.origins)
            return websocket if flow.transport == WS else self.tls.accept(flow, websocket)
        framer = StreamFramer(limit)
        return self.tls.accept(flow, framer) if incoming else self.tls.connect(flow, framer)

    def verified(self, connection: Connection) -> None:
        """Whoever connected to us by TLS is reached by that, as each domain that its certificate names."""
        flow = connection.flow
        if connection.incoming and flow.transport == TLS:
            for name in flow.names:
                self._by_peer[TLS, flow.host, flow.port, name] = connection

    def remove(self, connection: Connection) -> None:
        """Forget a connection, if it was ever taken in."""
        flow = connection.flow
        if self._by_id.pop(flow.connection, None) is None:
            return
        self._forget_peer(connection)
        if connection.incoming:
            self._per_source[flow.host] -= 1
            if not self._per_source[flow.host]:
                del self._per_source[flow.host]
        self.edge.counters.connections_open = len(self._by_id)
        if self._closed is not None and not self._by_id:
            self._closed.set()

    def close_idle(self) -> None:
        """Close what has been silent, or has sent half a message, for too long."""
        limits, now, ping_s = self.limits, self.edge.clock(), self._websocket.ping_s
        for connection in [*self._by_id.values()]:
            patience = limits.idle_s if connection.heard else limits.first_message_s
            partial_at = connection.partial_at
            if now - connection.active_at > patience or (
                partial_at is not None and now - partial_at > limits.first_message_s
            ):
                self.edge.counters.idle_closed += 1
                connection.end()
            elif connection.flow.web:
                connection.keep_alive(now, ping_s)

    async def close(self, within_s: float = 1.0) -> None:
        """Stop listening, let what was written go out, close everything."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for server in self._servers:
            server.close()
        tasks = [*self._connecting]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._by_id:
            self._closed = asyncio.Event()
            _end_all(self._by_id.values(), None)
            try:
                async with asyncio.timeout(within_s):
                    await self._closed.wait()
            except TimeoutError:
                _end_all(self._by_id.values(), "closing")
                await self._closed.wait()
        for server in self._servers:
            await server.wait_closed()

    def _open(self, flow: Flow) -> Connection:
        ours = Flow(flow.transport, flow.host, flow.port, 0, flow.listener, flow.domain)
        connection = self._by_peer[_peer(ours)] = Connection(self, flow=ours)
        task = self.edge.loop.create_task(self._connect(connection))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return connection

    async def _connect(self, connection: Connection) -> None:
        host, port = connection.flow.host, connection.flow.port
        sock: socket.socket | None = None
        try:
            sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            _tune(sock)
            source = self._source_for(connection.flow)
            if source is not None:
                sock.bind((source, 0))
            async with asyncio.timeout(self.limits.connect_s):
                await self.edge.loop.sock_connect(sock, (host, port))
                await self.edge.loop.create_connection(lambda: connection, sock=sock)
                await connection.opened.wait()
            if not connection.ready:  # it has told why
                self.edge.counters.connections_failed += 1
        except OSError as error:
            if sock is not None and not connection.made:
                sock.close()
            self._forget_peer(connection)
            self.edge.counters.connections_failed += 1
            reason = "timed out" if isinstance(error, TimeoutError) else error_text(error)
            connection.end(f"cannot connect: {reason}")
            connection.fail(f"cannot connect: {reason}")
        except asyncio.CancelledError:
            if sock is not None and not connection.made:
                sock.close()
            raise

    def _forget_peer(self, connection: Connection) -> None:
        flow = connection.flow
        for key in (_peer(flow), *((TLS, flow.host, flow.port, name) for name in flow.names)):
            if self._by_peer.get(key) is connection:
                del self._by_peer[key]

    def _sweep(self) -> None:
        self.close_idle()
        self._sweeper = self.edge.loop.call_later(SWEEP_S, self._sweep) if self._by_id else None


def _peer(flow: Flow) -> _Peer:
    return flow.transport, flow.host, flow.port, flow.domain if flow.transport == TLS else ""


def _end_all(connections: Iterable[Connection], reason: str | None) -> None:
    for connection in [*connections]:
        connection.end(reason)
