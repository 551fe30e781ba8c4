"""WebSocket clients on a real connection, for whom a test says each frame."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sipproxy.net.transport import Transports
from tests.support.websocket import Frames, accepted, upgrade
from tests.unit.net.support import DEADLINE_S


class WebClient:
    """One WebSocket client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._frames = Frames()
        self._found: list[tuple[int, bytes]] = []

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def response(self) -> bytes:
        """What the upgrade is answered."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._reader.readuntil(b"\r\n\r\n")

    async def frame(self) -> tuple[int, bytes]:
        """The next frame."""
        async with asyncio.timeout(DEADLINE_S):
            while not self._found:
                data = await self._reader.read(65536)
                assert data, "the connection ended"
                self._found = self._frames.feed(data)
        return self._found.pop(0)

    async def ended(self) -> None:
        """Wait until the proxy has closed."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while await self._reader.read(65536):
                    pass
        except ConnectionResetError:
            pass


@asynccontextmanager
async def client(
    transports: Transports, context: ssl.SSLContext | None = None, *, request: bytes | None = None
) -> AsyncIterator[WebClient]:
    """Connected to the first listener, and let in unless it asks in its own way."""
    there = transports.listeners[0]
    async with asyncio.timeout(DEADLINE_S):
        name = "localhost" if context else None
        streams = await asyncio.open_connection(there.host, there.port, ssl=context, server_hostname=name)
    web = WebClient(*streams)
    try:
        web.send(upgrade() if request is None else request)
        if request is None:
            assert accepted(await web.response())
        yield web
    finally:
        web.writer.close()
