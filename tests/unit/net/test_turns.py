"""Whose turn it is: little at once, and a flood in rounds that leave time for others."""

from __future__ import annotations

import asyncio

from sipproxy.net.turns import AT_ONCE, MOMENT_S, Turns
from tests.unit.net.support import Clock, Run, becomes


class Worker:
    """Has some turns of two milliseconds to do."""

    def __init__(self, name: str, turns: int, clock: Clock, log: list[str]) -> None:
        self._name, self._left, self._clock, self._log = name, turns, clock, log

    def turn(self) -> bool:
        self._log.append(self._name)
        self._clock.now += 0.002
        self._left -= 1
        return self._left > 0


def test_a_little_is_taken_at_once_and_much_is_not(run: Run) -> None:
    async def story() -> None:
        clock = Clock()
        turns = Turns(asyncio.get_running_loop(), clock)
        assert turns.at_once(AT_ONCE // 2, clock.now)
        assert turns.at_once(AT_ONCE // 2, clock.now)
        assert not turns.at_once(1, clock.now)
        clock.now += MOMENT_S
        assert turns.at_once(AT_ONCE, clock.now)
        clock.now += MOMENT_S
        assert not turns.at_once(AT_ONCE + 1, clock.now)

    run(story())


def test_who_queues_up_comes_round_by_round_and_others_in_between(run: Run) -> None:
    async def story() -> None:
        clock, log = Clock(), list[str]()
        turns = Turns(asyncio.get_running_loop(), clock)
        for name in "abcd":
            turns.queue(Worker(name, 2, clock, log))
        assert not turns.at_once(1, clock.now)  # behind the others

        def others() -> None:
            log.append("|")
            if log.count("|") < 3:
                asyncio.get_running_loop().call_soon(others)

        asyncio.get_running_loop().call_soon(others)
        await becomes(lambda: len(log) == 8 + 3)
        assert "".join(log) == "abc|dab|cd|"
        clock.now += MOMENT_S
        assert turns.at_once(1, clock.now)

    run(story())
