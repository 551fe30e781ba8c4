"""Telephones that speak by TLS and by WebSocket: those of tests/interop on another line, carried by asyncio.

with TlsPhone("alice", trusting, outbound="127.0.0.1:5061", name="proxy.example") as alice: ...
with TlsPhone("bob", serving) as bob: ...                # waits for calls at bob.at
with WebPhone("carol", outbound="127.0.0.1:8080") as carol: ...
"""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Self

from tests.interop.phone import PATIENCE_S, Phone
from tests.support.otlp import Receiver
from tests.support.spans import roots
from tests.support.websocket import CLOSE, PING, PONG, TEXT, Frames, accepted, frame, upgrade
from tests.support.wire import Message, parse

SPAN_ID = "00f067aa0ba902b7"  # of who calls, above the proxy
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01")
_BY_ITSELF = ("BYE", "NOTIFY", "INFO", "MESSAGE")
_LENGTH = re.compile(rb"\r\nContent-Length: *(\d+)", re.IGNORECASE)


class StreamPhone(Phone):
    """What both have in common: an event loop of their own, and the last connection, by which they speak."""

    transport = "TLS"

    def __init__(
        self, who: str, context: ssl.SSLContext | None, *, outbound: str = "", name: str = "127.0.0.1"
    ) -> None:
        self.who = who
        self.heard = []
        self.outbound = outbound
        self.host = "127.0.0.1"
        self.at = ""
        self.connections = 0  # that were made to it, or by it
        self.certificate: dict[str, Any] = {}  # the other side's
        self._context = context
        self._name = name
        self._waiting = []
        self._news = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._listener = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._writer: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None
        self._reading: set[asyncio.Task[None]] = set()

    def connects(self) -> None:
        """To where it sends everything."""
        self._run(self._connect())

    def hangs_up_the_line(self) -> None:
        """Its connection is gone, with no word."""
        writer = self._writer
        assert writer is not None
        self._loop.call_soon_threadsafe(writer.transport.abort)

    def says(self, rows: Sequence[str], body: str = "") -> None:
        """These lines, as the transport wants them."""
        typed = not body or any(row.startswith("Content-Type:") for row in rows)
        lines = [self._own(row) for row in rows] + ([] if typed else ["Content-Type: application/sdp"])
        lines.append(f"Content-Length: {len(body)}")
        self._loop.call_soon_threadsafe(self._write, ("\r\n".join(lines) + f"\r\n\r\n{body}").encode())

    def _own(self, row: str) -> str:
        row = row.replace(f"Via: SIP/2.0/UDP {self.at}", f"Via: SIP/2.0/{self.transport} {self.at}")
        if row.startswith("Contact:"):
            return row.replace(">", f";transport={self.transport.lower()}>")
        return row

    def _write(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)

    def _take(self, raw: bytes) -> None:
        message = parse(raw, received=True, transport=self.transport)
        if message.kind in _BY_ITSELF:
            self.responds(message, "200 OK")
        with self._news:
            self.heard.append(message)
            self._waiting.append(message)
            self._news.notify_all()

    async def _connect(self) -> None:
        host, _, port = self.outbound.rpartition(":")
        name = self._name if self._context is not None else None
        reader, writer = await asyncio.open_connection(
            host, int(port), ssl=self._context, server_hostname=name
        )
        await self._begin(reader, writer)

    async def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.connections += 1
        self.certificate = writer.get_extra_info("peercert") or {}
        if not self.at:
            self.at = "{}:{}".format(*writer.get_extra_info("sockname")[:2])
        task = asyncio.ensure_future(self._read(reader))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Messages by their Content-Length, until the line is gone."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                assert length is not None, head
                self._take(head.lstrip(b"\r\n") + await reader.readexactly(int(length[1])))
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            return

    async def _wait(self) -> None:
        self._server = await asyncio.start_server(self._begin, self.host, 0, ssl=self._context)
        self.at = "{}:{}".format(*self._server.sockets[0].getsockname()[:2])

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._writer is not None:
            self._writer.transport.abort()
        for task in [*self._reading]:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    def __enter__(self) -> Self:
        self._listener.start()
        self._run(self._connect() if self.outbound else self._wait())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._listener.join()
        self._loop.close()


class TlsPhone(StreamPhone):
    """One that speaks by TLS. Without an `outbound` it waits for connections."""


class WebPhone(StreamPhone):
    """One in a browser, as far as the wire shows: nobody can connect to it, and its address says so."""

    transport = "WS"

    def __init__(
        self,
        who: str,
        context: ssl.SSLContext | None = None,
        *,
        outbound: str,
        name: str = "127.0.0.1",
        path: str = "/",
        origin: str | None = None,
        subprotocol: str | None = "sip",
    ) -> None:
        super().__init__(who, context, outbound=outbound, name=name)
        self.transport = "WS" if context is None else "WSS"
        self.at = f"{who}.invalid"  # RFC 7118 section 5
        self.refusal = b""
        self._frames = Frames()
        self._request = upgrade(path=path, origin=origin, subprotocol=subprotocol)

    def _write(self, data: bytes) -> None:
        super()._write(frame(data, TEXT))

    async def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._request)
        response = await reader.readuntil(b"\r\n\r\n")
        if accepted(response):
            self._frames = Frames()
            await super()._begin(reader, writer)
        else:
            self.refusal = response
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(65536):
                for opcode, payload in self._frames.feed(data):
                    self._frame(opcode, payload)
        except (ConnectionError, ssl.SSLError):
            return

    def _frame(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            super()._write(frame(payload, PONG))
        elif opcode == CLOSE:
            super()._write(frame(payload, CLOSE))
        elif payload.strip():
            self._take(payload)


def assert_one_trace(receiver: Receiver, trace_id: str, invite: Message) -> None:
    """What went to the callee is of a span of the proxy's, in the tree below the caller's."""
    match = _TRACEPARENT.fullmatch(invite.values("traceparent")[0])
    assert match is not None
    assert match[1] == trace_id
    spans = receiver.wait_for(
        lambda spans: any(span.trace_id == trace_id and span.parent_id == SPAN_ID for span in spans)
    )
    own = [span for span in spans if span.trace_id == trace_id]
    assert match[2] in {span.span_id for span in own}
    assert [span.parent_id for span in roots(own)] == [SPAN_ID]
