"""Asks applications over HTTP where calls may go: one POST a call, JSON both ways, never longer than it may.

asked        an answer of whatever kind                 the application is there
asked        no answer in time, or no connection        in vain
in vain      20 times in a row                          left alone: nobody asks it, calls go on at once
left alone   for 2 s                                    one question is let through, and 2 s later another
left alone   an answer, be it to an older question      asked

So a slow, broken or absent application costs a call its time-out at most, and a dead one soon costs nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from urllib.parse import urlsplit

import aiohttp

from ..b2bua.consulting import Consult
from ..propagation.writing import write_baggage

TIMEOUT, ERROR, NOT_ASKED = "timeout", "error", "not_asked"
LONGEST_ANSWER = 65536  # bytes
MOST_AT_ONCE = 1024  # questions to one application, those that wait for a connection included
# SIP's streams may take three quarters of 1024 files, which is what a process has by default.
CONNECTIONS, CONNECTIONS_EACH = 192, 96
KEPT_S = 4.0  # many servers close a connection that has been idle for 5 s: better we do, and first
IN_VAIN = 20  # in a row, and the application is left alone
LEFT_ALONE_S = 2.0
_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "sipproxy"}

Complain = Callable[[str, dict[str, str]], object]


class WebhookError(Exception):
    """No answer that could be read; the text is `timeout`, `error` or `not_asked`."""


class _NoAnswer(Exception):
    """There was an answer over HTTP, but none to the question."""


class _Application:
    """How one does."""

    __slots__ = ("asking", "host", "in_vain", "next_at")

    def __init__(self, url: str) -> None:
        self.host = urlsplit(url).netloc  # credentials are not allowed there
        self.asking = 0
        self.in_vain = 0  # in a row
        self.next_at = 0.0  # while it is left alone: when one question is let through

    def asked(self, now: float) -> bool:
        """Whether a question may go to it."""
        if self.asking >= MOST_AT_ONCE:
            return False
        if self.in_vain >= IN_VAIN:
            if now < self.next_at:
                return False
            self.next_at = now + LEFT_ALONE_S
        return True


class Webhooks:
    """Keeps connections to the applications of all routes. `complain` takes an event for the log."""

    def __init__(self, clock: Callable[[], float], complain: Complain | None = None) -> None:
        self._clock = clock
        self._complain = complain
        self._session: aiohttp.ClientSession | None = None
        self._applications: dict[str, _Application] = {}  # by URL

    async def ask(self, consult: Consult) -> object:
        """The decoded answer. Raises WebhookError."""
        url, now = consult.webhook.url, self._clock()
        application = self._applications.get(url)
        if application is None:
            application = self._applications[url] = _Application(url)
        if not application.asked(now):
            raise WebhookError(NOT_ASKED)
        application.asking += 1
        try:
            async with asyncio.timeout(max(consult.give_up_at - now, 0.001)):
                answer = await self._post(consult)
        except _NoAnswer:
            self._heard(application)
            raise WebhookError(ERROR) from None
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            self._in_vain(application)
            raise WebhookError(TIMEOUT if isinstance(error, TimeoutError) else ERROR) from None
        finally:
            application.asking -= 1
        self._heard(application)
        return answer

    async def close(self) -> None:
        """Let go of the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _heard(self, application: _Application) -> None:
        if application.in_vain >= IN_VAIN:
            self._tell("application answers again", application)
        application.in_vain = 0

    def _in_vain(self, application: _Application) -> None:
        application.in_vain += 1
        if application.in_vain == IN_VAIN:
            application.next_at = self._clock() + LEFT_ALONE_S
            self._tell("application left alone", application)

    def _tell(self, event: str, application: _Application) -> None:
        if self._complain is not None:
            self._complain(event, {"host": application.host})

    async def _post(self, consult: Consult) -> object:
        if self._session is None:
            # An application is named by the operator: no proxy, no cookies, no redirects elsewhere.
            connector = aiohttp.TCPConnector(
                limit=CONNECTIONS, limit_per_host=CONNECTIONS_EACH, ttl_dns_cache=30, keepalive_timeout=KEPT_S
            )
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            )
        headers = {**_HEADERS, "traceparent": consult.context.traceparent()}
        if consult.context.tracestate:
            headers["tracestate"] = consult.context.tracestate
        interaction = consult.question.get("interaction_id")
        if isinstance(interaction, str) and interaction:
            headers["baggage"] = write_baggage({"interaction.id": interaction})
        if consult.webhook.token is not None:
            headers["Authorization"] = f"Bearer {consult.webhook.token}"
        # What a peer wrote that is no UTF-8 becomes `?`: no JSON reader may stumble over it.
        body = json.dumps(consult.question, ensure_ascii=False).encode("utf-8", "replace")
        try:
            return await _exchange(self._session, consult.webhook.url, headers, body)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if isinstance(error, aiohttp.ClientConnectorError):
                raise
            # Likely a connection from before, which the application closed while the question was on its way.
            return await _exchange(self._session, consult.webhook.url, headers, body)


async def _exchange(session: aiohttp.ClientSession, url: str, headers: dict[str, str], body: bytes) -> object:
    async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
        if not 200 <= response.status < 300:
            raise _NoAnswer
        data = bytearray()
        async for chunk in response.content.iter_any():
            data += chunk
            if len(data) > LONGEST_ANSWER:
                raise _NoAnswer
    try:
        decoded: object = json.loads(data)
    except (ValueError, RecursionError):  # no JSON, or lists in lists without end
        raise _NoAnswer from None
    return decoded
