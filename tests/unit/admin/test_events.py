"""The event stream: a page that follows it knows the calls as they are, at every moment."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sipproxy.admin import events, http
from sipproxy.admin.http import Site, WorkerState
from sipproxy.store.summary import OVER, RINGING
from tests.unit.admin.support import Run, World, address, ask, call, changes, connected, opened, until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "JOINED_S", 0.02)
    monkeypatch.setattr(events, "STATE_S", 0.02)


class Follower:
    """A client of the stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._left = b""

    async def block(self) -> str:
        """All up to the next empty line; of the transfer coding only what it carries."""
        async with asyncio.timeout(5):
            while b"\n\n" not in self._left:
                size = int(await self._reader.readline(), 16)
                assert size, "the stream ended"
                self._left += (await self._reader.readexactly(size + 2))[:-2]
        block, _, self._left = self._left.partition(b"\n\n")
        return block.decode()

    async def event(self, name: str = "calls") -> tuple[int, Any]:
        """The id and the data of the next event of that name."""
        while True:
            rows = dict(line.partition(": ")[::2] for line in (await self.block()).splitlines())
            if rows.get("event") == name:
                return int(rows["id"]), json.loads(rows["data"])


@asynccontextmanager
async def following(site: Site) -> AsyncIterator[Follower]:
    reader, writer = await connected(site)
    writer.write(b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Type: text/event-stream\r\n" in head
    assert b"Cache-Control: no-store\r\n" in head
    try:
        yield Follower(reader, writer)
    finally:
        writer.close()


def ids(calls: list[dict[str, Any]]) -> list[int]:
    return [int(one["id"], 16) for one in calls]


def test_a_follower_hears_the_state_first_and_then_what_changes(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world) as site, following(site) as page:
            assert await page.event("state") == (
                0,
                {"draining": False, "calls": 0, "status": "ready", "reasons": []},
            )
            site.changed(changes(added=[call(1, state=RINGING)]))
            seq, told = await page.event()
            assert (seq, ids(told["added"]), told["changed"], told["ended"]) == (1, [1], [], [])
            assert told["added"][0]["state"] == "ringing"
            site.changed(changes(changed=[call(1)]))
            seq, told = await page.event()
            assert (seq, told["changed"][0]["state"]) == (2, "talking")
            site.changed(changes(ended=[call(1, state=OVER, outcome="answered", ended_ns=5000)]))
            seq, told = await page.event()
            assert (seq, told["ended"][0]["outcome"], told["ended"][0]["ended_us"]) == (3, "answered", 5)

    run(story())


def test_what_comes_close_together_is_told_once_as_it_is_then(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world) as site, following(site) as page:
            site.changed(changes(added=[call(1, state=RINGING), call(2), call(3)]))
            site.changed(changes(changed=[call(1), call(4)]))
            site.changed(changes(ended=[call(2, state=OVER)], changed=[call(4, transfers=1)]))
            _, told = await page.event()
            assert (ids(told["added"]), ids(told["changed"]), ids(told["ended"])) == ([1, 3], [4], [2])
            assert told["added"][0]["state"] == "talking"
            assert told["changed"][0]["transfers"] == 1

    run(story())


def test_the_list_and_the_events_join_without_a_gap(run: Run, world: World) -> None:
    """First listen, then ask for the list; forget events up to its number, apply the others."""

    async def story() -> None:
        async with opened(world) as site, following(site) as page:
            await page.event("state")
            world.live.now = [call(1)]
            site.changed(changes(added=[call(1)]))
            await until(lambda: site.events > 0)
            world.live.now = [call(2)]  # told with the next event, and in the list already
            site.changed(changes(added=[call(2)], ended=[call(1, state=OVER)]))
            listed = (await ask(site, "/api/calls")).json
            known = {one["id"]: one for one in listed["calls"]}
            world.live.now = [call(2), call(3)]
            site.changed(changes(added=[call(3)]))
            while set(ids([*known.values()])) != {2, 3}:
                seq, told = await page.event()
                if seq > listed["seq"]:
                    known |= {one["id"]: one for one in (*told["added"], *told["changed"])}
                    for one in told["ended"]:
                        known.pop(one["id"], None)
            now = (await ask(site, "/api/calls")).json
            assert {one["id"]: one for one in now["calls"]} == known

    run(story())


def test_a_flood_comes_in_pieces(run: Run, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_MOST_CALLS", 100)

    async def story() -> None:
        async with opened(world) as site, following(site) as page:
            site.changed(changes(added=[call(number) for number in range(1, 251)]))
            sizes: list[int] = []
            seen: set[int] = set()
            while len(seen) < 250:
                _, told = await page.event()
                sizes.append(len(told["added"]))
                seen.update(ids(told["added"]))
            assert sizes == [100, 100, 50]

    run(story())


def test_a_drain_is_told_though_no_call_changes(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world) as site, following(site) as page:
            await page.event("state")
            world.state = WorkerState(age_s=0.1, listening=True, draining=True)
            _, told = await page.event("state")
            assert (told["draining"], told["status"]) == (True, "draining")
            world.state = WorkerState(age_s=0.1, listening=True, degraded=("collector: refused",))
            _, told = await page.event("state")
            assert (told["status"], told["reasons"]) == ("degraded", ["collector: refused"])

    run(story())


def test_silence_is_broken_by_a_comment(run: Run, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "QUIET_S", 0.02)

    async def story() -> None:
        async with opened(world) as site, following(site) as page:
            assert "event: state" in await page.block()
            assert await page.block() == ":"
            assert await page.block() == ":"

    run(story())


def test_only_so_many_may_follow_and_a_place_that_is_left_is_free(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_LISTENERS", 2)

    async def story() -> None:
        async with opened(world) as site, following(site) as first:
            await first.event("state")
            async with following(site) as second:
                await second.event("state")
                reply = await ask(site, "/api/events")
                assert (reply.status, reply.headers["retry-after"]) == (503, "5")
                assert reply.json == {"error": "too many follow the calls already"}
            await until(lambda: site.connections == 1)
            async with following(site) as third:
                await third.event("state")

    run(story())


def test_who_does_not_read_is_cut_off_and_the_others_go_on(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_MOST_WAITING", 3)

    async def story() -> None:
        async with opened(world) as site, following(site) as page:
            await page.event("state")
            with socket.socket() as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.connect(address(site))
                deaf.sendall(b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                await until(lambda: site.connections == 2)
                rounds = 0
                while site.connections == 2:
                    rounds += 1
                    assert rounds < 100
                    site.changed(changes(added=[call(number) for number in range(1, 2000)]))
                    _, told = await page.event()
                    assert len(told["added"]) == 1999

    run(story())


def test_it_takes_no_parameter(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world) as site:
            reply = await ask(site, "/api/events?since=1")
            assert (reply.status, reply.json["parameter"]) == (400, "since")

    run(story())
