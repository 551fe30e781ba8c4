"""A small HTTP server on loopback in the place of an application, told by the test how it behaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.unit.net.support import DEADLINE_S


class Question:
    """One request as it came."""

    def __init__(self, head: str, body: bytes) -> None:
        self.line, *rows = head.split("\r\n")
        pairs = [row.partition(":") for row in rows if row]
        self.headers = {name.lower(): value.strip() for name, _, value in pairs}
        self.body = body

    @property
    def decoded(self) -> object:
        decoded: object = json.loads(self.body)
        return decoded


Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
GOOD = b'{"to": ["carrier"]}'


def http(body: bytes = GOOD, *, status: str = "200 OK", rows: str = "") -> Answer:
    """A whole answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{rows}\r\n"
    return raw(head.encode() + body)


def raw(data: bytes, *, close: bool = False) -> Answer:
    """These bytes; then, if so, the end of the connection."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if close:
            writer.close()

    return answer


def hangs() -> Answer:
    """Nothing, for ever."""
    return raw(b"")


def closes() -> Answer:
    """Nothing, and the end of the connection."""
    return raw(b"", close=True)


def drips(data: bytes) -> Answer:
    """A byte now and then, and never the last one: each is in time, all are not."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        for at in range(len(data) - 1):
            writer.write(data[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0.001)

    return answer


def endless() -> Answer:
    """A body that never ends."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"1000\r\n" + b" " * 0x1000 + b"\r\n")
            await writer.drain()

    return answer


class Application:
    """Answers all alike, or the first ones by `next`. It keeps connections, as long as its clients do."""

    def __init__(self) -> None:
        self.answer: Answer = http()
        self.next: list[Answer] = []
        self.questions: list[Question] = []
        self.connections = 0  # so far
        self.open = 0
        self.most_open = 0
        self.port = 0
        self._changed = asyncio.Condition()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/route"

    async def until(self, enough: Callable[[], bool]) -> None:
        """Wait until it has seen what the test wants."""
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(enough)

    async def hang_up(self) -> None:
        """Close what is idle, as servers do after a while; returns once it is closed."""
        for writer in list(self._writers):
            writer.close()
        await self.until(lambda: not self.open)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self._writers.add(writer)
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                question = Question(head, b"")
                question.body = await reader.readexactly(int(question.headers.get("content-length", "0")))
                self.questions.append(question)
                await self._tell()
                answer = self.next.pop(0) if self.next else self.answer
                await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has closed it
        finally:
            self.open -= 1
            self._writers.discard(writer)
            writer.close()
            await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@asynccontextmanager
async def application(answer: Answer | None = None) -> AsyncIterator[Application]:
    """One that listens on a port that the kernel picks."""
    app = Application()
    app.answer = answer or http()
    server = await asyncio.start_server(app.serve, "127.0.0.1", 0, backlog=1024)
    app.port = server.sockets[0].getsockname()[1]
    try:
        yield app
    finally:
        server.close()
        await app.hang_up()
