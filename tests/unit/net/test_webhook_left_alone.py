"""An application that is dead is left alone, so that it does not slow every call, until it is back."""

from __future__ import annotations

import asyncio
import socket
import time

from sipproxy.net.exchange import CONNECTIONS_EACH
from sipproxy.net.webhook import (
    ERROR,
    IN_VAIN,
    LEFT_ALONE_S,
    MOST_AT_ONCE,
    NOT_ASKED,
    TIMEOUT,
)
from tests.unit.net.application import application, hangs, http
from tests.unit.net.asking import SLACK_S, Office, asking
from tests.unit.net.support import Run, unused


def test_an_application_that_is_dead_soon_costs_nothing(run: Run) -> None:
    async def story() -> None:
        async with application(hangs()) as app, asking() as office:
            began_at = time.monotonic()
            results = await office.results(1000, app.url, timeout_s=0.3)
            assert time.monotonic() - began_at < 0.3 + SLACK_S
            assert results == [TIMEOUT] * 1000
            assert len(app.questions) < 500  # the others waited as long for a connection
            assert await office.results(1000, app.url) == [NOT_ASKED] * 1000
            assert office.log == [("application left alone", f"127.0.0.1:{app.port}")]

    run(story())


def test_so_does_one_that_is_not_there(run: Run) -> None:
    async def story() -> None:
        host, port = unused(socket.SOCK_STREAM)
        async with asking() as office:
            began_at = time.monotonic()
            results = await office.results(1000, f"http://{host}:{port}/")
            assert time.monotonic() - began_at < SLACK_S
            assert set(results) == {ERROR}
            assert await office.result(f"http://{host}:{port}/") == NOT_ASKED

    run(story())


async def left_alone(office: Office, url: str) -> None:
    """Make it so."""
    assert await office.results(IN_VAIN, url, timeout_s=0.05) == [TIMEOUT] * IN_VAIN
    assert await office.result(url) == NOT_ASKED


def test_one_question_finds_out_whether_it_is_back(run: Run) -> None:
    async def story() -> None:
        async with application(hangs()) as app, asking() as office:
            await left_alone(office, app.url)
            office.ahead_s = LEFT_ALONE_S
            results = await office.results(100, app.url, timeout_s=0.05)
            assert sorted(results) == [NOT_ASKED] * 99 + [TIMEOUT]
            assert await office.result(app.url) == NOT_ASKED
            office.ahead_s = 2 * LEFT_ALONE_S
            app.answer = http()
            assert await office.result(app.url) == "ok"
            assert await office.results(100, app.url) == ["ok"] * 100
            assert [event for event, _ in office.log] == [
                "application left alone",
                "application answers again",
            ]

    run(story())


def test_an_answer_to_an_older_question_says_that_it_is_back(run: Run) -> None:
    """It had paused for a moment: no need to wait for two seconds."""

    async def story() -> None:
        async with application() as app, asking() as office:
            resume = asyncio.Event()

            async def late(writer: asyncio.StreamWriter) -> None:
                await resume.wait()
                await http()(writer)

            app.answer = late
            older = asyncio.ensure_future(office.result(app.url))
            await app.until(lambda: len(app.questions) == 1)
            await left_alone(office, app.url)
            resume.set()
            assert await older == "ok"
            assert await office.result(app.url) == "ok"

    run(story())


def test_an_application_that_says_no_is_there(run: Run) -> None:
    """What it says at once costs no call anything, however often it says it."""

    async def story() -> None:
        async with application(http(status="500 Oops")) as app, asking() as office:
            assert await office.results(3 * IN_VAIN, app.url) == [ERROR] * 3 * IN_VAIN
            assert len(app.questions) == 3 * IN_VAIN
            app.answer = http()
            assert await office.result(app.url) == "ok"
            assert office.log == []

    run(story())


def test_only_failures_in_a_row_count(run: Run) -> None:
    async def story() -> None:
        async with application() as app, asking() as office:
            for _ in range(3):
                app.next = [hangs()] * (IN_VAIN - 1)
                await office.results(IN_VAIN - 1, app.url, timeout_s=0.05)
                assert await office.result(app.url) == "ok"

    run(story())


def test_one_application_does_not_suffer_for_another(run: Run) -> None:
    """While so many wait for one that hangs that there is no room for more, another is asked at once."""

    async def story() -> None:
        async with application(hangs()) as dead, application() as app, asking() as office:
            waiting = [asyncio.ensure_future(office.result(dead.url)) for _ in range(MOST_AT_ONCE)]
            await dead.until(lambda: len(dead.questions) == CONNECTIONS_EACH)
            assert await office.result(dead.url) == NOT_ASKED
            assert await office.results(100, app.url) == ["ok"] * 100
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            dead.answer = http()
            assert await office.result(dead.url) == "ok"

    run(story())
