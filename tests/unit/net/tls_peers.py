"""User agents that speak TLS by the event loop's own, and what they trust."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from sipproxy.net.settings import CertificateSettings, TlsSettings
from sipproxy.net.transport import Transports
from sipproxy.sip.flow import TLS, Flow
from tests.support.collectors import Identity
from tests.unit.net.support import DEADLINE_S, place


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

    def abort(self) -> None:
        self._writer.transport.abort()

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


def to(server: tuple[str, int], domain: str = "sbc.example") -> Flow:
    """Where a message goes that is for somebody who can prove to be `domain`."""
    return Flow(TLS, *server, domain=domain)


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
