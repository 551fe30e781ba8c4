"""Who asks applications, for tests: with a clock that goes on by itself and may be set forward."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sipproxy.b2bua.consulting import Consult, Webhook
from sipproxy.b2bua.settings import RouteSettings
from sipproxy.net.webhook import WebhookError, Webhooks
from sipproxy.propagation.context import TraceContext
from tests.unit.net.support import DEADLINE_S

SLACK_S = 2.0  # on a machine that has other things to do
CONTEXT = TraceContext("4bf92f3577f34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1, "rojo=1")
QUESTION: dict[str, object] = {"call_id": "1", "from": "sip:a@h", "headers": {"X-Tenant": "acme"}}


class Office:
    """Asks, and keeps what it would log."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.log: list[tuple[str, str]] = []
        self.webhooks = Webhooks(self.clock, lambda event, facts: self.log.append((event, facts["host"])))

    def clock(self) -> float:
        return time.monotonic() + self.ahead_s

    def about(self, url: str, *, timeout_s: float = DEADLINE_S, token: str | None = None) -> Consult:
        settings = RouteSettings(("own",), webhook=url, webhook_token=token)
        webhook = Webhook(url, settings)
        return Consult(1, webhook, QUESTION, CONTEXT, self.clock() + timeout_s)

    async def ask(self, url: str, *, timeout_s: float = DEADLINE_S, token: str | None = None) -> object:
        return await self.webhooks.ask(self.about(url, timeout_s=timeout_s, token=token))

    async def result(self, url: str, *, timeout_s: float = DEADLINE_S) -> str:
        """`ok`, or why not."""
        try:
            await self.ask(url, timeout_s=timeout_s)
        except WebhookError as error:
            return str(error)
        return "ok"

    async def results(self, count: int, url: str, *, timeout_s: float = DEADLINE_S) -> list[str]:
        """Of so many questions at once."""
        return await asyncio.gather(*(self.result(url, timeout_s=timeout_s) for _ in range(count)))


@asynccontextmanager
async def asking() -> AsyncIterator[Office]:
    office = Office()
    try:
        yield office
    finally:
        await office.webhooks.close()
