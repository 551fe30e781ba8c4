"""Asks applications over HTTP where calls may go: one POST a call, JSON both ways, never longer than it may.

An application that is slow, broken or absent costs a call its time-out at most; when several in a row were in
vain, the next ones are not asked for a moment, so that a dead application does not slow every call.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import aiohttp

from ..b2bua.consulting import Consult

TIMEOUT, ERROR = "timeout", "error"
LONGEST_ANSWER = 65536  # bytes
MOST_AT_ONCE = 1024  # questions under way
IN_VAIN = 20  # in a row, and the application is left alone
LEFT_ALONE_S = 2.0


class WebhookError(Exception):
    """No answer that could be read; the text is `timeout` or `error`."""


class Webhooks:
    """Keeps connections to the applications of all routes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._in_vain: dict[str, int] = {}  # by URL
        self._left_alone_until: dict[str, float] = {}
        self._asking = 0

    async def ask(self, consult: Consult) -> object:
        """The decoded answer. Raises WebhookError."""
        url, now = consult.webhook.url, self._clock()
        if self._left_alone_until.get(url, 0.0) > now or self._asking >= MOST_AT_ONCE:
            raise WebhookError(ERROR)
        self._asking += 1
        try:
            answer = await asyncio.wait_for(self._post(consult), max(consult.give_up_at - now, 0.001))
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            self._failed(url)
            raise WebhookError(TIMEOUT if isinstance(error, TimeoutError) else ERROR) from None
        finally:
            self._asking -= 1
        self._in_vain.pop(url, None)
        return answer

    async def close(self) -> None:
        """Let go of the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post(self, consult: Consult) -> object:
        if self._session is None:
            # An application is named by the operator: no proxy, no cookies, no redirects elsewhere.
            connector = aiohttp.TCPConnector(limit=MOST_AT_ONCE, ttl_dns_cache=30)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        headers = {"Content-Type": "application/json", "traceparent": consult.context.traceparent()}
        if consult.context.tracestate:
            headers["tracestate"] = consult.context.tracestate
        if consult.webhook.token is not None:
            headers["Authorization"] = f"Bearer {consult.webhook.token}"
        body = json.dumps(consult.question).encode("utf-8", "backslashreplace")
        async with self._session.post(
            consult.webhook.url, data=body, headers=headers, allow_redirects=False
        ) as response:
            if response.status != 200:
                raise ValueError(f"HTTP {response.status}")
            data = await response.content.read(LONGEST_ANSWER + 1)
            while not response.content.at_eof() and len(data) <= LONGEST_ANSWER:
                data += await response.content.read(LONGEST_ANSWER + 1 - len(data))
        if len(data) > LONGEST_ANSWER:
            raise ValueError("an answer without end")
        decoded: object = json.loads(data)
        return decoded

    def _failed(self, url: str) -> None:
        count = self._in_vain[url] = self._in_vain.get(url, 0) + 1
        if count >= IN_VAIN:
            self._left_alone_until[url] = self._clock() + LEFT_ALONE_S
