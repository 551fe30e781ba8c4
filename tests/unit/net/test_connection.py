"""What one connection must not do to the others: a stream that brings a lot, and no file left to open."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from sipproxy.net.connection import AT_ONCE
from sipproxy.net.limits import TcpLimits
from sipproxy.net.transport import Transports
from sipproxy.sip.flow import TCP, Flow
from tests.unit.net.support import (
    Inbox,
    Run,
    accepted,
    arrived,
    connected,
    edge,
    listening,
    message,
    place,
    turn,
)

MANY = [message(str(number)) for number in range(10 * AT_ONCE)]


@asynccontextmanager
async def opened(
    inbox: Inbox, *, clock: Callable[[], float] = time.monotonic, limits: TcpLimits | None = None
) -> AsyncIterator[Transports]:
    """One listener, and an inbox of the test's own making."""
    transports = Transports()
    await transports.open([("tcp", "127.0.0.1", 0)], receiver=inbox, clock=clock, tcp_limits=limits)
    try:
        yield transports
    finally:
        await transports.close()


class Interrupted(Inbox):
    """While the first message is handed over, somebody else's arrives at another connection."""

    def __init__(self) -> None:
        super().__init__()
        self.other: socket.socket | None = None

    def received(self, data: bytes, flow: Flow, now: float) -> None:
        super().received(data, flow, now)
        if self.other is not None:
            self.other.send(message("other"))
            self.other = None


def test_others_get_their_turn_while_a_stream_brings_many_messages(run: Run) -> None:
    async def story() -> None:
        inbox = Interrupted()
        async with opened(inbox) as transports, connected(transports) as peer, connected(transports) as other:
            other.send(b"\r\n\r\n")
            assert await arrived(other) == b"\r\n"  # its connection is open
            inbox.other = other
            peer.send(b"".join(MANY))
            await inbox.count(messages=len(MANY) + 1)
            assert transports.counters.received == len(MANY) + 1
        at = inbox.bodies.index(message("other"))
        assert AT_ONCE <= at < len(MANY) // 2
        assert [body for body in inbox.bodies if body != message("other")] == MANY
        runs = "".join("." if entry == "received" else "|" for entry in inbox.log).split("|")
        assert max(map(len, runs)) <= AT_ONCE

    run(story())


def test_nothing_is_lost_though_the_peer_closes_behind_it(run: Run) -> None:
    async def story() -> None:
        async with edge("tcp 127.0.0.1") as (transports, inbox):
            async with connected(transports) as peer:
                peer.send(b"".join(MANY))
            await inbox.until(lambda: len(inbox.messages) == len(MANY))
            assert inbox.bodies == MANY

    run(story())


def test_lost_framing_is_told_behind_all_that_came_before(run: Run) -> None:
    async def story() -> None:
        async with edge("tcp 127.0.0.1") as (transports, inbox), connected(transports) as peer:
            nonsense = b"OPTIONS sip:x SIP/2.0\r\nContent-Length: many\r\n\r\n"
            peer.send(b"".join(MANY) + nonsense)
            await inbox.until(lambda: bool(inbox.broken_ones))
            assert inbox.bodies == MANY
            assert [data for data, _, _ in inbox.broken_ones] == [nonsense]
            assert await arrived(peer) == b""

    run(story())


def test_a_message_that_is_not_whole_waits_behind_many(run: Run) -> None:
    async def story() -> None:
        async with edge("tcp 127.0.0.1") as (transports, inbox), connected(transports) as peer:
            peer.send(b"".join(MANY) + message("last")[:-2])
            await inbox.count(messages=len(MANY))
            peer.send(message("last")[-2:])
            await inbox.count(messages=len(MANY) + 1)
            assert inbox.bodies == [*MANY, message("last")]

    run(story())


def test_the_patience_with_half_a_message_begins_anew_with_each(run: Run) -> None:
    async def story() -> None:
        now, inbox, whole = [0.0], Inbox(), message("split")
        async with opened(inbox, clock=lambda: now[0]) as transports, connected(transports) as peer:
            peer.send(message("first") + whole[:9])
            await inbox.count(messages=1)
            now[0] = 29.0
            peer.send(whole[9:] + b"".join(MANY) + whole[:9])
            await inbox.count(messages=len(MANY) + 2)
            await turn()
            now[0] = 31.0
            transports.close_idle()
            assert transports.counters.idle_closed == 0

    run(story())


class Answering(Inbox):
    """Each message gets an answer, of which a peer may leave one unread and not three."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Callable[[bytes, Flow], None] | None = None

    def received(self, data: bytes, flow: Flow, now: float) -> None:
        super().received(data, flow, now)
        if self.answer is not None:
            self.answer(message(size=200_000), flow)


def test_a_peer_that_asks_much_and_reads_nothing_is_closed_without_a_fault(run: Run) -> None:
    async def story() -> None:
        faults: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        inbox = Answering()
        async with opened(inbox, limits=TcpLimits(unread_bytes=300_000)) as transports:
            inbox.answer = transports.send
            async with connected(transports) as peer:
                peer.send(b"".join(MANY))
                await inbox.until(lambda: transports.counters.slow_readers > 0)
                await inbox.until(lambda: transports.counters.connections_open == 0)
            assert faults == []
            assert "the peer does not read" in {reason for _, _, reason in inbox.unsent_ones}

    run(story())


@contextmanager
def no_file_left() -> Iterator[None]:
    """The process cannot open anything, as if strangers held all it may have."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_without_a_file_to_open_a_message_comes_back_and_the_next_one_leaves(run: Run, host: str) -> None:
    async def story() -> None:
        async with edge(f"tcp {host}") as (transports, inbox), listening(host) as server:
            there = Flow(TCP, *place(server))
            with no_file_left():
                transports.send(message("1"), there)
                await inbox.count(unsent=1)
            reason = "cannot connect: too many open files"
            assert inbox.unsent_ones == [(message("1"), there, reason)]
            assert transports.counters.connections_failed == 1
            transports.send(message("2"), there)
            with await accepted(server) as peer:
                assert await arrived(peer) == message("2")

    run(story())
