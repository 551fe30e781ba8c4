"""The driver takes the core's questions to applications, and their answers back: whatever happens, a call
waits for one.
"""

from __future__ import annotations

import asyncio
import time
from random import Random

import pytest

from sipproxy.b2bua.consulting import Consult, Webhook
from sipproxy.b2bua.engine import Engine
from sipproxy.b2bua.routing import Router
from sipproxy.b2bua.settings import RouteSettings
from sipproxy.net.driver import Driver
from sipproxy.net.resolver import Resolver
from sipproxy.net.transport import Transports
from sipproxy.net.webhook import ERROR, IN_VAIN, NOT_ASKED, TIMEOUT, Webhooks
from sipproxy.propagation.context import TraceContext
from sipproxy.sip.flow import UDP, Listener
from sipproxy.sip.ids import Ids
from tests.unit.net.application import application, hangs, http
from tests.unit.net.support import DEADLINE_S, Run

CONTEXT = TraceContext("4bf92f3577f34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1)
Result = tuple[object, str]


class Desk:
    """A driver whose engine asks applications."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []
        self.results: dict[int, Result] = {}
        self._through = asyncio.Event()
        self.driver = Driver(
            Transports(),
            Resolver(nameservers=[]),
            clock=time.monotonic,
            tell=lambda facts, sent_at: None,
            complain=lambda event, facts: self.log.append((event, facts.get("error", ""))),
            refused=lambda peer, reason, now: None,
        )
        listener = Listener(0, UDP, "192.0.2.1", 5060, "192.0.2.1:5060")
        engine = Engine([listener], Ids(Random(1).randbytes), Router.of({}, ()), sample=lambda *_: False)
        self.driver.attach(engine)

    def asks(self, url: str, number: int = 0, *, timeout_ms: int = 10_000) -> None:
        """One question."""
        webhook = Webhook(url, RouteSettings(("own",), webhook=url, timeout_ms=timeout_ms))
        now = time.monotonic()

        def then(answer: object, error: str, at: float) -> None:
            assert at >= now
            self.results[number] = (answer, error)
            self._through.set()

        self.driver.engine.shared.consult(webhook, {"call_id": str(number)}, CONTEXT, then, now)
        self.driver.flush(now)

    async def until(self, count: int) -> None:
        """So many have their answer."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.results) < count:
                self._through.clear()
                await self._through.wait()


def test_an_answer_comes_back_to_its_question(run: Run) -> None:
    async def story() -> None:
        desk = Desk()
        async with application() as app:
            for number in range(20):
                desk.asks(app.url, number)
            await desk.until(20)
            assert set(desk.results) == set(range(20))
            assert all(result == ({"to": ["carrier"]}, "") for result in desk.results.values())
            await desk.driver.close()

    run(story())


def test_why_there_is_no_answer_comes_back_too(run: Run) -> None:
    async def story() -> None:
        desk = Desk()
        async with application(http(status="500 Oops")) as app:
            desk.asks(app.url, 1)
            await desk.until(1)
            app.answer = hangs()
            desk.asks(app.url, 2, timeout_ms=20)
            await desk.until(2)
            assert desk.results == {1: (None, ERROR), 2: (None, TIMEOUT)}
            await desk.driver.close()

    run(story())


def test_the_log_says_once_that_an_application_is_left_alone(run: Run) -> None:
    async def story() -> None:
        desk = Desk()
        async with application(hangs()) as app:
            for number in range(IN_VAIN):
                desk.asks(app.url, number, timeout_ms=20)
            await desk.until(IN_VAIN)
            for number in range(IN_VAIN, 3 * IN_VAIN):
                desk.asks(app.url, number)
            await desk.until(3 * IN_VAIN)
            assert desk.results[3 * IN_VAIN - 1] == (None, NOT_ASKED)
            assert [event for event, _ in desk.log] == ["application left alone"]
            await desk.driver.close()

    run(story())


def test_the_end_answers_what_is_open_and_leaves_nothing(run: Run) -> None:
    async def story() -> None:
        desk = Desk()
        async with application(hangs()) as app:
            desk.asks(app.url, 1)
            await app.until(lambda: len(app.questions) == 1)
            await desk.driver.close()
            assert desk.results == {1: (None, ERROR)}
            await app.until(lambda: not app.open)
            ours = asyncio.current_task()
            assert [task for task in asyncio.all_tasks() if "Driver" in repr(task) and task is not ours] == []

    run(story())


def test_a_fault_of_ours_is_no_answer_either(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What flew is the loop's to tell; the call goes on."""

    async def broken(self: Webhooks, consult: Consult) -> object:
        raise KeyError("a bug")

    monkeypatch.setattr(Webhooks, "ask", broken)

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        desk = Desk()
        desk.asks("http://127.0.0.1:1/", 1)
        await desk.until(1)
        await desk.driver.close()
        assert desk.results == {1: (None, ERROR)}

    run(story())
