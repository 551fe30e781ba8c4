"""The observer is started, started again, and let end; a loop that has calls never waits for any of it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from sipproxy.admin.settings import AdminSettings
from sipproxy.observer.orders import Orders
from sipproxy.store.settings import StoreSettings
from sipproxy.supervise import Supervisor
from sipproxy.telemetry.settings import HepSettings, PrivacySettings, TracingSettings
from tests.unit.net.observing import Worker, record
from tests.unit.net.support import DEADLINE_S

STUB = str(Path(__file__).parent.parent / "support" / "stub_observer.py")
SOON_S = 0.01


class Station:
    """A worker and its supervisor, whose observers are stubs."""

    def __init__(self, what: str, folder: Path, *, last_s: float = 5.0) -> None:
        self.worker = Worker()
        self.log = self.worker.log
        self.handover = self.worker.handover
        self.folder = folder
        self.pids: list[int] = []
        self.supervisor = Supervisor(
            self.handover,
            self._orders,
            self.log,
            command=(sys.executable, "-P", STUB, what),
            first_wait_s=SOON_S,
            last_s=last_s,
        )

    def _orders(self) -> Orders:
        return Orders(
            boot="b1",
            version="1",
            region=None,
            folder=self.folder,
            key=bytes(32),
            tracing=TracingSettings(),
            store=StoreSettings(),
            admin=AdminSettings(token="x" * 200_000),  # more than a pipe holds
            privacy=PrivacySettings(),
            hep=HepSettings(),
        )

    def hands_over(self, number: int) -> None:
        self.handover.put([record(number)])
        self.handover.flush()

    async def runs(self) -> int:
        """Its process id, once there is one that was not seen before."""
        await self.until(lambda: self.supervisor.pid is not None and self.supervisor.pid not in self.pids)
        assert self.supervisor.pid is not None
        self.pids.append(self.supervisor.pid)
        return self.supervisor.pid

    async def has_restarted(self, times: int) -> None:
        await self.until(lambda: self.supervisor.restarts >= times)

    async def until(self, enough: Callable[[], bool]) -> None:
        await self.worker.until(enough)


@asynccontextmanager
async def station(what: str, folder: Path, *, last_s: float = 5.0) -> AsyncIterator[Station]:
    made = Station(what, folder, last_s=last_s)
    made.supervisor.start()
    try:
        yield made
        async with asyncio.timeout(DEADLINE_S):
            await made.supervisor.finish(0.1)
    finally:
        made.handover.close()
        if made.supervisor.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(made.supervisor.pid, signal.SIGKILL)


def is_there(pid: int) -> bool:
    """Also a zombie would be."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_takes_what_is_handed_over_and_ends_when_told(tmp_path: Path) -> None:
    async def story() -> None:
        async with station("stores", tmp_path) as it:
            it.hands_over(1)
            pid = await it.runs()
            await it.until(lambda: not it.handover.owes)
            it.hands_over(2)
            await it.supervisor.finish(DEADLINE_S)
            assert (it.handover.owes, it.handover.dropped, it.supervisor.restarts) == (False, 0, 0)
            assert not is_there(pid)
            assert it.log.events == []

    asyncio.run(story())


def test_one_that_is_killed_is_followed_by_another_and_nothing_is_lost(tmp_path: Path) -> None:
    async def story() -> None:
        async with station("stores", tmp_path) as it:
            for number in range(3):
                os.kill(await it.runs(), signal.SIGKILL)
                it.hands_over(number)
                await it.has_restarted(number + 1)
            await it.runs()
            await it.until(lambda: not it.handover.owes)
            assert it.handover.figures()["restarts"] == 3
            assert it.log.events == ["observer ended"] * 3
            assert it.log.facts("observer ended")["how"] == "signal 9"
            assert it.handover.dropped == 0

    asyncio.run(story())


def test_one_that_ends_each_time_is_tried_at_growing_intervals(tmp_path: Path) -> None:
    async def story() -> None:
        async with station("ends", tmp_path) as it:
            await it.has_restarted(4)
            waits = [facts["next_in_s"] for _, event, facts in it.log.lines if event == "observer ended"]
            assert waits[:4] == [SOON_S, 2 * SOON_S, 4 * SOON_S, 8 * SOON_S]
            assert it.log.facts("observer ended")["how"] == "exit code 3"

    asyncio.run(story())


def test_one_that_cannot_be_started_is_tried_again_too(tmp_path: Path) -> None:
    async def story() -> None:
        it = Station("stores", tmp_path)
        it.supervisor = Supervisor(
            it.handover, it._orders, it.log, command=("/nowhere/python",), first_wait_s=SOON_S
        )
        it.supervisor.start()
        it.hands_over(1)
        await it.has_restarted(2)
        assert it.log.facts("observer ended")["how"] == "cannot be started: No such file or directory"
        assert it.handover.owes
        began = time.monotonic()
        await it.supervisor.finish(0.2)
        assert time.monotonic() - began < 2.0
        assert it.handover.dropped == 1  # counted, since nobody will ever have it

    asyncio.run(story())


def test_one_that_is_not_understood_ends_and_another_begins(tmp_path: Path) -> None:
    async def story() -> None:
        async with station("garbles", tmp_path) as it:
            await it.has_restarted(2)
            assert it.log.events[:2] == ["observer is not understood", "observer ended"]

    asyncio.run(story())


def test_one_that_lets_go_and_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipproxy.supervise.GIVE_UP_S", 0.05)

    async def story() -> None:
        async with station("closes", tmp_path) as it:
            await it.has_restarted(1)
            assert it.log.facts("observer ended")["how"] == "signal 9"

    asyncio.run(story())


def test_one_that_hangs_is_not_waited_for_at_the_end(tmp_path: Path) -> None:
    async def story() -> None:
        async with station("hangs", tmp_path) as it:
            pid = await it.runs()
            it.hands_over(1)
            began = time.monotonic()
            await it.supervisor.finish(0.1)
            assert time.monotonic() - began < 3.0
            assert not is_there(pid)
            assert it.log.events == ["spans were not stored", "observer does not end"]
            assert it.handover.dropped == 1

    asyncio.run(story())


def test_who_is_in_a_hurry_waits_for_no_collector(tmp_path: Path) -> None:
    """What is stored leaves after the next start."""

    async def story() -> None:
        async with station("lingers", tmp_path, last_s=30.0) as it:
            pid = await it.runs()
            it.hands_over(1)
            hurry = asyncio.Event()
            finishing = asyncio.ensure_future(it.supervisor.finish(DEADLINE_S, hurry))
            while it.handover.owes:
                await asyncio.sleep(0)
            hurry.set()
            async with asyncio.timeout(5.0):
                await finishing
            assert not is_there(pid)
            assert it.log.events == []
            assert it.handover.dropped == 0

    asyncio.run(story())


def test_one_that_dies_at_the_end_is_replaced_for_what_it_owed(tmp_path: Path) -> None:
    async def story() -> None:
        async with station("stores", tmp_path) as it:
            pid = await it.runs()
            os.kill(pid, signal.SIGSTOP)
            it.hands_over(1)
            finishing = asyncio.ensure_future(it.supervisor.finish(DEADLINE_S))
            await asyncio.sleep(0)
            os.kill(pid, signal.SIGKILL)
            await finishing
            assert (it.handover.owes, it.handover.dropped) == (False, 0)

    asyncio.run(story())


def test_at_the_end_with_nothing_owed_no_other_is_started(tmp_path: Path) -> None:
    async def story() -> None:
        async with station("ends", tmp_path) as it:
            await it.has_restarted(1)
            began = time.monotonic()
            await it.supervisor.finish(DEADLINE_S)
            assert time.monotonic() - began < 3.0
            restarts = it.supervisor.restarts
        assert it.supervisor.restarts == restarts

    asyncio.run(story())


def test_it_knows_its_orders_and_is_deaf_to_what_ends_the_group(tmp_path: Path) -> None:
    async def story() -> None:
        async with station("tells", tmp_path) as it:
            pid = await it.runs()
            await it.until((tmp_path / "told").exists)
            boot, *deaf = (tmp_path / "told").read_text().splitlines()
            assert boot == "b1"
            assert deaf == ["SIGHUP", "SIGINT", "SIGTERM"]
            assert os.getpgid(pid) == pid
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(pid, number)
            it.hands_over(1)
            await it.until(lambda: not it.handover.owes)
            assert it.supervisor.restarts == 0

    asyncio.run(story())


@pytest.mark.alone
def test_spawning_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    heap = [bytearray(os.urandom(1 << 20)) for _ in range(100)]

    async def story() -> None:
        async with station("stores", tmp_path) as it:
            longest = []
            for _ in range(5):
                pid, turns = await it.runs(), [time.perf_counter()]
                os.kill(pid, signal.SIGKILL)

                def another(pid: int = pid, turns: list[float] = turns) -> bool:
                    turns.append(time.perf_counter())
                    return it.supervisor.pid not in (None, pid)

                while not another():
                    await asyncio.sleep(0)
                longest.append(max(after - before for before, after in pairwise(turns)))
            assert sorted(longest)[2] < 0.010  # mostly; other processes may take the core for a moment

    asyncio.run(story())
    assert len(heap) == 100
