"""A question to an application over HTTP and its answer, both JSON: all that is asked of aiohttp's client."""

from __future__ import annotations

import json

import aiohttp

from ..b2bua.consulting import Consult
from ..propagation.writing import write_baggage
from .webhook import LONGEST_ANSWER, NoAnswerError

# SIP's streams may take three quarters of 1024 files, which is what a process has by default.
CONNECTIONS, CONNECTIONS_EACH = 192, 96
KEPT_S = 4.0  # many servers close a connection that has been idle for 5 s: better we do, and first
_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "sipproxy"}


class Exchange:
    """Keeps connections to all applications."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def post(self, consult: Consult) -> object:
        """The decoded answer. Raises NoAnswerError where there is one, but none of use; OSError, TimeoutError
        or ValueError where there is none.
        """
        body = json.dumps(consult.question, ensure_ascii=False).encode("utf-8", "replace")
        # What a peer wrote that is no UTF-8 becomes `?`: no JSON reader may stumble over it.
        headers = headers_of(consult)
        try:
            try:
                return await self._asked(consult.webhook.url, headers, body)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if isinstance(error, aiohttp.ClientConnectorError):
                    raise
                # Likely a connection from before, which the application closed while the question was on its
                # way.
                return await self._asked(consult.webhook.url, headers, body)
        except (OSError, ValueError):
            raise  # TimeoutError is one; of aiohttp's errors those are, too, that name the system's
        except aiohttp.ClientError as error:
            raise ConnectionError(str(error)) from error

    async def close(self) -> None:
        """Let go of the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _asked(self, url: str, headers: dict[str, str], body: bytes) -> object:
        if self._session is None:
            # An application is named by the operator: no proxy, no cookies, no redirects elsewhere.
            connector = aiohttp.TCPConnector(
                limit=CONNECTIONS, limit_per_host=CONNECTIONS_EACH, ttl_dns_cache=30, keepalive_timeout=KEPT_S
            )
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            )
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            if not 200 <= response.status < 300:
                raise NoAnswerError
            data = bytearray()
            async for chunk in response.content.iter_any():
                data += chunk
                if len(data) > LONGEST_ANSWER:
                    raise NoAnswerError
        try:
            decoded: object = json.loads(data)
        except (ValueError, RecursionError):  # no JSON, or lists in lists without end
            raise NoAnswerError from None
        return decoded


def headers_of(consult: Consult) -> dict[str, str]:
    """The trace that the application continues, the interaction, and our token."""
    headers = {**_HEADERS, "traceparent": consult.context.traceparent()}
    if consult.context.tracestate:
        headers["tracestate"] = consult.context.tracestate
    interaction = consult.question.get("interaction_id")
    if isinstance(interaction, str) and interaction:
        headers["baggage"] = write_baggage({"interaction.id": interaction})
    if consult.webhook.token is not None:
        headers["Authorization"] = f"Bearer {consult.webhook.token}"
    return headers
