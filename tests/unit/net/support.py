"""What the tests of the network edge share: an inbox that can be waited for, and messages to send."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from sipproxy.net.settings import CertificateSettings, TlsSettings, WebSocketSettings
from sipproxy.net.transport import TcpLimits, Transports
from sipproxy.sip.flow import Flow
from tests.support.collectors import Identity

DEADLINE_S = 10.0

Run = Callable[[Coroutine[Any, Any, None]], None]


class Inbox:
    """A receiver that keeps everything, in order."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, Flow]] = []
        self.unsent_ones: list[tuple[bytes, Flow, str]] = []
        self.broken_ones: list[tuple[bytes, Flow, str]] = []
        self.flushes = 0
        self.log: list[str] = []
        self.on_broken: Callable[[Flow], None] | None = None
        self._changed = asyncio.Event()

    def received(self, data: bytes, flow: Flow, now: float) -> None:
        self.messages.append((data, flow))
        self.log.append("received")

    def unsent(self, data: bytes, flow: Flow, reason: str, now: float) -> None:
        self.unsent_ones.append((data, flow, reason))
        self.log.append("unsent")

    def broken(self, data: bytes, flow: Flow, reason: str, now: float) -> None:
        self.broken_ones.append((data, flow, reason))
        self.log.append("broken")
        if self.on_broken is not None:
            self.on_broken(flow)

    def flush(self, now: float) -> None:
        self.flushes += 1
        self.log.append("flush")
        self._changed.set()

    @property
    def bodies(self) -> list[bytes]:
        return [data for data, _ in self.messages]

    async def until(self, enough: Callable[[], bool]) -> None:
        """Wait until the inbox is as the test wants it."""
        async with asyncio.timeout(DEADLINE_S):
            while not enough():
                self._changed.clear()
                await self._changed.wait()

    async def count(self, messages: int = 0, unsent: int = 0) -> None:
        await self.until(lambda: len(self.messages) >= messages and len(self.unsent_ones) >= unsent)


@asynccontextmanager
async def edge(
    *listen: str,
    limits: TcpLimits | None = None,
    message_limit: int = 65535,
    advertise: str | None = None,
    tls: TlsSettings | None = None,
    websocket: WebSocketSettings | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[tuple[Transports, Inbox]]:
    """Open listeners such as "udp 127.0.0.1", on ports that the kernel picks."""
    inbox, transports = Inbox(), Transports()
    entries = [(transport, host, 0) for transport, host in (each.split() for each in listen)]
    await transports.open(
        entries,
        receiver=inbox,
        advertise=advertise,
        clock=clock,
        message_limit=message_limit,
        tcp_limits=limits,
        tls=tls,
        websocket=websocket,
    )
    try:
        yield transports, inbox
    finally:
        async with asyncio.timeout(DEADLINE_S):
            await transports.close()


@asynccontextmanager
async def connected(transports: Transports, source: str = "127.0.0.1") -> AsyncIterator[socket.socket]:
    """A peer that has connected to the first listener."""
    listener = transports.listeners[0]
    with socket.socket(socket.AF_INET6 if listener.ipv6 else socket.AF_INET) as peer:
        peer.bind((source, 0))
        peer.setblocking(False)
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.get_running_loop().sock_connect(peer, (listener.host, listener.port))
        yield peer


@asynccontextmanager
async def listening(host: str = "127.0.0.1") -> AsyncIterator[socket.socket]:
    """A peer that waits for our connections."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as peer:
        peer.bind((host, 0))
        peer.listen()
        peer.setblocking(False)
        yield peer


async def accepted(peer: socket.socket) -> socket.socket:
    async with asyncio.timeout(DEADLINE_S):
        connection, _ = await asyncio.get_running_loop().sock_accept(peer)
    return connection


def message(text: str = "", *, size: int = 0) -> bytes:
    """Make something that frames as a SIP message, with `text` as its body, at least `size` bytes long."""
    body = text.encode().ljust(size, b".")
    return b"OPTIONS sip:x SIP/2.0\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def datagram_socket(host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.setblocking(False)
    return sock


def place(sock: socket.socket) -> tuple[str, int]:
    host, port = sock.getsockname()[:2]
    return host, port


def unused(kind: socket.SocketKind, host: str = "127.0.0.1") -> tuple[str, int]:
    """Give an address where nobody listens."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as sock:
        sock.bind((host, 0))
        return place(sock)


async def arrived(sock: socket.socket) -> bytes:
    """Give the next datagram, or the next bytes."""
    async with asyncio.timeout(DEADLINE_S):
        return await asyncio.get_running_loop().sock_recv(sock, 65535)


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class TlsPeer:
    """A user agent that speaks TLS, by the event loop's own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.certificate = writer.get_extra_info("peercert")
        self.version = writer.get_extra_info("ssl_object").version()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._writer.get_extra_info("sockname")[:2]
        return host, port

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def arrived(self) -> bytes:
        """What comes next; nothing at the end."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._reader.read(65536)

    async def exactly(self, size: int) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self._reader.readexactly(size)

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError, ssl.SSLError):
            async with asyncio.timeout(DEADLINE_S):
                await self._writer.wait_closed()


def trusting(identity: Identity, *, showing: Identity | None = None) -> ssl.SSLContext:
    """What a client has that trusts the authority of `identity`."""
    context = ssl.create_default_context(cafile=str(identity.authority))
    if showing is not None:
        context.load_cert_chain(showing.certificate, showing.key)
    return context


def serving(identity: Identity, *, asking: Identity | None = None) -> ssl.SSLContext:
    """What a server has that shows `identity`, and asks for certificates of the authority of `asking`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    if asking is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(asking.authority)
    return context


def with_certificates(*identities: Identity, **others: Any) -> TlsSettings:
    """Settings of a proxy that has these certificates, and trusts who vouches for the first."""
    ours = tuple(CertificateSettings(str(each.certificate), str(each.key)) for each in identities)
    return TlsSettings(certificates=ours, **{"ca": str(identities[0].authority), **others})


@asynccontextmanager
async def tls_connected(
    transports: Transports, context: ssl.SSLContext, name: str = "localhost", *, listener: int = 0
) -> AsyncIterator[TlsPeer]:
    """A peer that has connected by TLS, looking for `name`."""
    there = transports.listeners[listener]
    async with asyncio.timeout(DEADLINE_S):
        streams = await asyncio.open_connection(there.host, there.port, ssl=context, server_hostname=name)
    peer = TlsPeer(*streams)
    try:
        yield peer
    finally:
        await peer.close()


class TlsServer:
    """A user agent that waits for our connections."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.asked_for: list[str | None] = []  # by SNI
        self.peers: asyncio.Queue[TlsPeer] = asyncio.Queue()
        self._context = context
        context.sni_callback = lambda _, name, __: self.asked_for.append(name)

    async def start(self) -> tuple[str, int]:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0, ssl=self._context)
        return place(self._server.sockets[0])

    async def accepted(self) -> TlsPeer:
        async with asyncio.timeout(DEADLINE_S):
            return await self.peers.get()

    async def stop(self) -> None:
        self._server.close()
        while not self.peers.empty():
            await self.peers.get_nowait().close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.put_nowait(TlsPeer(reader, writer))


@asynccontextmanager
async def tls_listening(context: ssl.SSLContext) -> AsyncIterator[tuple[TlsServer, tuple[str, int]]]:
    """A server that speaks TLS, and where it is."""
    server = TlsServer(context)
    there = await server.start()
    try:
        yield server, there
    finally:
        await server.stop()


async def turn() -> None:
    """Let the loop go round once."""
    turned = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(turned.set_result, None)
    await turned
