"""The admin listener: HTTP, its limits, and which part of us answers what. The one module that knows aiohttp.

Whoever is slow, greedy or malformed is bounded here: a request's line, headers, body and the time that they
take; connections; clients of the event stream; the time that anybody takes to read an answer.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import unquote

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from ..errors import StartError
from ..store import Changes
from .answers import Answer, Asked, Refused
from .api import Api
from .auth import Guard, is_loopback
from .events import Hub
from .files import Page
from .query import Parameters
from .settings import AdminSettings
from .sources import Sources, WorkerState

__all__ = ["Site", "Sources", "WorkerState", "start"]

MOST_CONNECTIONS = 200
READ_S = 15.0  # for a request's line and headers to come, and for the next request on the same connection
BODY_S = 5.0
WRITE_S = 20.0  # for a client to read what we wrote
QUIET_S = 15.0  # then a comment goes into the event stream, which keeps it open and finds out who has gone
CLOSE_S = 2.0
LINE, HEADERS, BODY = 8190, 64, 4096  # characters of a line, count of headers, bytes of a body

_SAFE: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "sipproxy",
}
_EVENTS = "/api/events"
# What fails in a handler is in our log. aiohttp's own says at length what strangers send that is no HTTP.
_UNHEARD = logging.getLogger("sipproxy.admin.http")
_UNHEARD.addHandler(logging.NullHandler())
_UNHEARD.propagate = False

Handler = Callable[[Asked], Awaitable[Answer]]


async def start(settings: AdminSettings, sources: Sources) -> Site:
    """Listen where the settings say. Raises StartError."""
    site = Site(settings, sources)
    await site.open()
    return site


class Site:
    """The listener while it is open."""

    def __init__(self, settings: AdminSettings, sources: Sources) -> None:
        self.address = ""  # http://HOST:PORT
        self._host, self._port = _place(settings)
        self._sources = sources
        self._guard = Guard(settings)
        self._page = Page(sources.page)
        self._api = Api(settings, sources, seq=lambda: self.hub.seq)
        self.hub = Hub(self._api.state)
        api = self._api
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = [
            (method, re.compile(pattern), handler)
            for method, pattern, handler in (
                ("GET", "/healthz", api.healthz),
                ("GET", "/readyz", api.readyz),
                ("GET", "/metrics", api.metrics),
                ("GET", "/api/calls", api.calls),
                ("GET", "/api/calls/([^/]+)/context", api.context),
                ("GET", "/api/traces", api.traces),
                ("GET", "/api/traces/([^/]+)", api.story),
                ("GET", "/api/traces/([^/]+)/raw/([^/]+)", api.raw),
                ("GET", "/api/propagation", api.propagation),
                ("POST", "/api/drain", api.drain),
                ("PUT", "/api/log-level", api.log_level),
            )
        ]
        self._runner: web.ServerRunner | None = None

    async def open(self) -> None:
        """Listen."""
        server = _Server(self._handle)
        self._runner = web.ServerRunner(server, shutdown_timeout=CLOSE_S)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            reason = error.strerror or str(error)
            raise StartError(f"admin.listen: cannot listen on {self._host}:{self._port}: {reason}") from None
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.address = f"http://{host}:{site.port}"

    @property
    def connections(self) -> int:
        """How many are open."""
        server = self._runner and self._runner.server
        return len(server.connections) if server else 0

    @property
    def events(self) -> int:
        """The number of the last event that was told."""
        return self.hub.seq

    def changed(self, changes: Changes) -> None:
        """Tell whoever follows the calls."""
        self.hub.changed(changes)

    async def close(self) -> None:
        """End all connections, and close the readers."""
        if self._runner is not None:
            for site in self._runner.sites:
                await site.stop()  # first: who follows the calls comes back at once
        self.hub.close()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._sources.readers.close()

    # One request

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            asked = await self._asked(request)
            if asked.path == _EVENTS and asked.method == "GET":
                self._guard.check(asked, open_to_all=False)
                return await self._events(request)
            answer = await self._answer(asked)
        except Refused as refused:
            answer = refused.answer()
        except Exception as error:
            self._sources.log.error("admin request failed", path=request.path, error=repr(error))
            answer = Refused(500, "this failed; the log says why").answer()
        return await _send(request, answer)

    async def _asked(self, request: web.BaseRequest) -> Asked:
        path = request.raw_path.partition("?")[0]
        if not path.startswith("/"):
            raise Refused(400, "the request's target is no path")
        body = b""
        if request.method in ("POST", "PUT"):
            try:
                async with asyncio.timeout(BODY_S):
                    body = await request.read()
            except web.HTTPRequestEntityTooLarge:
                raise Refused(413, f"a body has at most {BODY} bytes") from None
            except TimeoutError:
                raise Refused(408, "the body did not come") from None
            except (web.RequestPayloadError, ConnectionError):
                raise Refused(400, "the body is broken off") from None
        query = tuple(request.query.items())
        return Asked(request.method, path, request.headers, query, (), body, request.remote or "")

    async def _answer(self, asked: Asked) -> Answer:
        method = "GET" if asked.method == "HEAD" else asked.method
        others = []
        for wanted, pattern, handler in self._routes:
            found = pattern.fullmatch(asked.path)
            if found is None:
                continue
            if wanted != method:
                others.append(wanted)
                continue
            self._guard.check(asked, open_to_all=asked.path in ("/healthz", "/readyz"))
            ids = tuple(unquote(part, errors="surrogateescape") for part in found.groups())
            return await handler(
                Asked(asked.method, asked.path, asked.headers, asked.query, ids, asked.body, asked.peer)
            )
        if asked.path in self._page:
            self._guard.check(asked, open_to_all=True)
            if method == "GET":
                return self._page.answer(asked)
            others.append("GET")
        else:
            self._guard.check(asked, open_to_all=False)
        if asked.path == _EVENTS:
            others.append("GET")
        if others:
            raise Refused(405, f"only {', '.join(others)}", headers={"Allow": ", ".join(others)})
        raise Refused(404, "there is no such thing")

    async def _events(self, request: web.BaseRequest) -> web.StreamResponse:
        Parameters(tuple(request.query.items()), ())
        transport = request.transport
        listener = self.hub.join(cut=transport.abort if transport is not None else lambda: None)
        if listener is None:
            raise Refused(503, "too many follow the calls already", headers={"Retry-After": "5"})
        response = web.StreamResponse(headers={**_SAFE, "Cache-Control": "no-store"})
        response.content_type = "text/event-stream"
        try:
            await response.prepare(request)
            while not listener.ended:
                events = await listener.next(QUIET_S)
                async with asyncio.timeout(WRITE_S):
                    await response.write(events or b":\n\n")
        except TimeoutError:
            if transport is not None:
                transport.abort()
        finally:
            self.hub.leave(listener)
        return response


async def _send(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    response = _response(answer)
    try:
        async with asyncio.timeout(WRITE_S):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    return response


def _response(answer: Answer) -> web.Response:
    caching = "no-cache" if "ETag" in answer.headers else "no-store"
    headers = {**_SAFE, "Cache-Control": caching, **answer.headers, "Content-Type": answer.type}
    return web.Response(body=answer.body, status=answer.status, headers=headers)


class _Server(web.Server):
    """Bounds connections, and gives each the limits."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        super().__init__(
            handler,
            request_factory=self._bounded_request,
            handler_cancellation=True,  # who has gone needs no answer
            keepalive_timeout=READ_S,
            max_line_size=LINE,
            max_field_size=LINE,
            max_headers=HEADERS,
            lingering_time=1.0,
            access_log=None,
            auto_decompress=False,  # nobody has reason to pack what is so short
            logger=_UNHEARD,
        )

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        # Who does not read what we wrote is cut off by the kernel, also when we have nothing more to say.
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(WRITE_S * 1000))

    def _bounded_request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, self._loop, client_max_size=BODY)


class _Connection(web.RequestHandler):
    """Answers in JSON also what is no HTTP."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        told = "not HTTP as we understand it" if status < 500 else "this failed"
        response = _response(Refused(status, told).answer())
        response.force_close()
        return response


def _place(settings: AdminSettings) -> tuple[str, int]:
    """Host, without brackets, and port. Raises StartError."""
    host, _, port = (settings.address or "").rpartition(":")
    host = host.strip("[]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise StartError(f"admin.listen: {settings.listen!r} is not HOST:PORT")
    if not settings.token and not is_loopback(host):
        raise StartError(f"admin.listen: {settings.listen} is not loopback and needs admin.token")
    return host, int(port)
