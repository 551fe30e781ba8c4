"""What the tests of the network edge share: an inbox that can be waited for, and messages to send."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from sipproxy.net.settings import TlsSettings, WebSocketSettings
from sipproxy.net.transport import TcpLimits, Transports
from sipproxy.sip.flow import Flow

DEADLINE_S = 10.0

Run = Callable[[Coroutine[Any, Any, None]], None]


class Inbox:
    """A receiver that keeps everything, in order."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, Flow]] = []
        self.unsent_ones: list[tuple[bytes, Flow, str]] = []
        self.broken_ones: list[tuple[bytes, Flow, str]] = []
        self.closed_ones: list[Flow] = []
        self.turned_away: list[tuple[str, str]] = []
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

    def refused(self, flow: Flow, reason: str, now: float) -> None:
        self.turned_away.append((flow.transport, reason))

    def closed(self, flow: Flow, now: float) -> None:
        self.closed_ones.append(flow)
        self.log.append("closed")

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


async def turn() -> None:
    """Let the loop go round once."""
    turned = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(turned.set_result, None)
    await turned


async def becomes(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not so():
            await turn()


async def ended(sock: socket.socket) -> None:
    try:
        while await arrived(sock):
            pass
    except ConnectionResetError:
        pass
