"""Frames from the worker become what the observer acts on; what is not from our worker ends it."""

from __future__ import annotations

import asyncio
import marshal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from sipproxy.net.frames import (
    ACK,
    COMMAND,
    END,
    HELLO,
    PAGE,
    PARCEL,
    SETTLED,
    STATE,
    Frame,
    FrameReader,
    frame,
)
from sipproxy.observer.link import Link
from sipproxy.telemetry.parcel import Parcel, pack, unpack
from tests.unit.net.observing import Lines, numbers, record
from tests.unit.net.support import DEADLINE_S

HELLO_OF_OURS = frame(HELLO, 0, marshal.dumps({"boot": "b1"}))


class Worker:
    """The other end, and what the observer heard of it."""

    def __init__(self) -> None:
        ours, self._socket = socket.socketpair()
        self._socket.setblocking(False)
        self._reader = FrameReader()
        self.heard: list[object] = []
        self.log = Lines()
        self.link = Link(ours, "b1", self, self.log)

    # Listener

    def greeted(self) -> None:
        self.heard.append("greeted")

    def settled(self) -> None:
        self.heard.append("settled")

    def parcel(self, number: int, packed: bytes) -> None:
        self.heard.append((number, numbers(unpack(packed).finished)))

    # The other end

    def says(self, data: bytes) -> None:
        self._socket.send(data)

    def dies(self) -> None:
        self._socket.close()

    async def hears(self, count: int) -> list[Frame]:
        frames: list[Frame] = []
        async with asyncio.timeout(DEADLINE_S):
            while len(frames) < count:
                data = await asyncio.get_running_loop().sock_recv(self._socket, 1 << 16)
                frames += self._reader.feed(data)
        return frames

    async def until(self, enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not enough():
                await asyncio.sleep(0.001)

    async def is_gone(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self.link.gone.wait()


@asynccontextmanager
async def worker() -> AsyncIterator[Worker]:
    made = Worker()
    try:
        yield made
    finally:
        made.link.close()
        made.dies()


def test_what_it_tells_is_heard_in_its_order() -> None:
    async def story() -> None:
        async with worker() as it:
            payload = pack(Parcel([], [record(7)], [], []))
            it.says(HELLO_OF_OURS + frame(PARCEL, 0, payload) + frame(PARCEL, 4, payload) + frame(SETTLED))
            await it.until(lambda: len(it.heard) == 4)
            assert it.heard == ["greeted", (0, [7]), (4, [7]), "settled"]

    asyncio.run(story())


def test_its_state_is_kept_until_the_next() -> None:
    async def story() -> None:
        async with worker() as it:
            assert it.link.state is None
            it.says(frame(STATE, 0, marshal.dumps({"draining": False})))
            it.says(frame(STATE, 0, marshal.dumps({"draining": True})))
            await it.until(lambda: it.link.state == {"draining": True})
            assert 0 <= asyncio.get_running_loop().time() - it.link.heard_at < DEADLINE_S

    asyncio.run(story())


def test_it_hears_what_is_stored_where_the_page_is_and_what_is_asked() -> None:
    async def story() -> None:
        async with worker() as it:
            it.link.acknowledge(3)
            it.link.acknowledge(2)  # is said already
            it.link.tell_page("http://127.0.0.1:8060")
            assert it.link.command({"drain": True})
            assert await it.hears(3) == [
                Frame(ACK, 3, b""),
                Frame(PAGE, 0, b"http://127.0.0.1:8060"),
                Frame(COMMAND, 0, b'{"drain": true}'),
            ]

    asyncio.run(story())


@pytest.mark.parametrize("last", [frame(END), b""], ids=["it says so", "it dies"])
def test_the_end_comes_after_all_that_was_told(last: bytes) -> None:
    async def story() -> None:
        async with worker() as it:
            payload = pack(Parcel([], [record(7)], [], []))
            it.says(HELLO_OF_OURS + b"".join(frame(PARCEL, number, payload) for number in range(1, 101)))
            it.says(last) if last else it.dies()
            await it.is_gone()
            assert it.heard[-1] == (100, [7])
            assert it.log.events == []
            it.link.acknowledge(100)  # nobody may be there any more

    asyncio.run(story())


def test_who_has_gone_can_be_asked_nothing() -> None:
    async def story() -> None:
        async with worker() as it:
            it.dies()
            await it.is_gone()
            assert not it.link.command({"drain": True})

    asyncio.run(story())


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        frame(ACK, 1),
        frame(HELLO, 0, b"?"),
        frame(HELLO, 0, marshal.dumps({"boot": "another"})),
        frame(STATE, 0, marshal.dumps([])),
    ],
)
def test_garbage_is_the_end(garbage: bytes) -> None:
    async def story() -> None:
        async with worker() as it:
            it.says(HELLO_OF_OURS + garbage)
            await it.is_gone()
            assert it.heard == ["greeted"]
            assert it.log.events == ["worker is not understood"]

    asyncio.run(story())
