"""Lookups: whatever becomes of one, somebody waits for its answer; and strangers must not fill the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from random import Random

import pytest

from sipproxy.b2bua.engine import Engine
from sipproxy.b2bua.routing import Router
from sipproxy.net.driver import Driver
from sipproxy.net.resolver import ResolveError, Resolver, Target
from sipproxy.net.transport import Transports
from sipproxy.sip.flow import UDP, WSS, Flow, Listener
from sipproxy.sip.ids import Ids
from tests.unit.net.support import DEADLINE_S, Run

Complain = Callable[[str, dict[str, str]], object]
MANY = 300


class Names(Resolver):
    """Knows what it was given, and nothing else."""

    def __init__(self, *known: str, error: type[Exception] = ResolveError) -> None:
        super().__init__(nameservers=[])
        self.known = set(known)
        self._error = error

    async def resolve(
        self,
        host: str,
        port: int | None = None,
        transport: str | None = None,
        *,
        deadline: float | None = None,
    ) -> list[Target]:
        if host not in self.known:
            raise self._error(f"cannot resolve {host}")
        return [Target(UDP, "192.0.2.9", 5060)]


class Office:
    """A driver with an engine that asks for hosts."""

    def __init__(self, names: Names, complain: Complain) -> None:
        self.refused: list[tuple[str, str]] = []
        self.driver = Driver(
            Transports(),
            names,
            clock=time.monotonic,
            tell=lambda facts, sent_at: None,
            complain=complain,
            refused=lambda peer, reason, now: self.refused.append((peer, reason)),
        )
        listener = Listener(0, UDP, "192.0.2.1", 5060, "192.0.2.1:5060")
        engine = Engine([listener], Ids(Random(1).randbytes), Router.of({}, ()), sample=lambda *_: False)
        self.driver.attach(engine)

    async def ask(self, *hosts: str) -> dict[str, list[Flow]]:
        """The answers, once all are there."""
        answers: dict[str, list[Flow]] = {}
        through = asyncio.Event()

        def ask(host: str) -> None:
            def answer(flows: list[Flow], _: float) -> None:
                answers[host] = flows
                if len(answers) == len(hosts):
                    through.set()

            self.driver.engine.shared.locate(host, None, None, UDP, answer, now)

        now = time.monotonic()
        for host in hosts:
            ask(host)
        self.driver.flush(now)
        async with asyncio.timeout(DEADLINE_S):
            await through.wait()
        return answers


@pytest.fixture
def lines() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def complain(lines: list[tuple[str, str]]) -> Complain:
    return lambda event, facts: lines.append((event, facts.get("host", "")))


def test_a_lookup_gives_flows_by_our_listener(run: Run, complain: Complain) -> None:
    async def story() -> None:
        office = Office(Names("sbc.example"), complain)
        assert await office.ask("sbc.example") == {"sbc.example": [Flow(UDP, "192.0.2.9", 5060)]}
        await office.driver.close()

    run(story())


@pytest.mark.parametrize("error", [ResolveError, OSError], ids=["no such name", "a bug"])
def test_a_lookup_is_answered_though_nobody_can_be_told_that_it_failed(
    run: Run, error: type[Exception]
) -> None:
    def complain(event: str, facts: dict[str, str]) -> object:
        raise BrokenPipeError(event)

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        office = Office(Names(error=error), complain)
        assert await office.ask("a.example", "b.example") == {"a.example": [], "b.example": []}
        await office.driver.close()

    run(story())


def test_a_name_is_told_once_while_it_stays_unresolved(
    run: Run, complain: Complain, lines: list[tuple[str, str]]
) -> None:
    async def story() -> None:
        names = Names()
        office = Office(names, complain)
        for known in (False, False, True, False):
            names.known = {"sbc.example"} if known else set()
            assert bool((await office.ask("sbc.example"))["sbc.example"]) == known
        assert lines == [("cannot resolve", "sbc.example")] * 2
        await office.driver.close()

    run(story())


def test_not_each_name_that_somebody_thinks_up_is_told(
    run: Run, complain: Complain, lines: list[tuple[str, str]]
) -> None:
    async def story() -> None:
        office = Office(Names(), complain)
        answers = await office.ask(*(f"h{number}.example" for number in range(MANY)))
        assert list(answers.values()) == [[]] * MANY
        assert len({host for _, host in lines}) == len(lines) == 256
        await office.driver.close()

    run(story())


def test_who_was_turned_away_is_passed_on(run: Run) -> None:
    async def story() -> None:
        office = Office(Names(), lambda event, facts: None)
        office.driver.refused(Flow(WSS, "192.0.2.77", 40000, 1), "no SIP over WebSocket", 1.0)
        assert office.refused == [("192.0.2.77", "no SIP over WebSocket")]

    run(story())
