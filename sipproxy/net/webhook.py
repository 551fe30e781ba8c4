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
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..b2bua.consulting import Consult

if TYPE_CHECKING:
    from .exchange import Exchange

TIMEOUT, ERROR, NOT_ASKED = "timeout", "error", "not_asked"
LONGEST_ANSWER = 65536  # bytes
MOST_AT_ONCE = 1024  # questions to one application, those that wait for a connection included
IN_VAIN = 20  # in a row, and the application is left alone
LEFT_ALONE_S = 2.0
Complain = Callable[[str, dict[str, str]], object]


class WebhookError(Exception):
    """No answer that could be read; the text is `timeout`, `error` or `not_asked`."""


def load_client() -> None:
    """Load what asks, in whatever thread."""
    importlib.import_module("sipproxy.net.exchange")


class NoAnswerError(Exception):
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
        self._exchange: Exchange | None = None
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
                answer = await self.prepared().post(consult)
        except NoAnswerError:
            self._heard(application)
            raise WebhookError(ERROR) from None
        except (TimeoutError, OSError, ValueError) as error:
            self._in_vain(application)
            raise WebhookError(TIMEOUT if isinstance(error, TimeoutError) else ERROR) from None
        finally:
            application.asking -= 1
        self._heard(application)
        return answer

    async def close(self) -> None:
        """Let go of the connections."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            await exchange.close()

    def prepared(self) -> Exchange:
        """Ready to ask. The HTTP client takes a tenth of a second to load, and most proxies need none: it is
        loaded before the first call where a route has an application.
        """
        if self._exchange is None:
            from .exchange import Exchange

            self._exchange = Exchange()
        return self._exchange

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
