"""A collector of HEP packets that is there, slow, refusing, or gone."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from sipproxy.errors import SipProxyError
from sipproxy.net import hep as module
from sipproxy.net.hep import Collector, HepEmitter
from sipproxy.telemetry.settings import HepSettings
from tests.support.hep import NAME, packets, parse
from tests.unit.net.hep_messages import message, read
from tests.unit.net.support import (
    DEADLINE_S,
    Run,
    accepted,
    arrived,
    datagram_socket,
    listening,
    place,
    turn,
)


class Log:
    def __init__(self) -> None:
        self.events: list[str] = []
        self.changed = asyncio.Event()

    def info(self, event: str, **facts: object) -> None:
        self.events.append(event)
        self.changed.set()

    def warning(self, event: str, **facts: object) -> None:
        self.events.append(f"{event}: {facts['reason']}")
        self.changed.set()

    def error(self, event: str, **facts: object) -> None:
        raise AssertionError(event)

    async def until(self, count: int) -> list[str]:
        async with asyncio.timeout(DEADLINE_S):
            while len(self.events) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.events


# Where to


@pytest.mark.parametrize(
    ("text", "collector"),
    [
        ("192.0.2.1", Collector("192.0.2.1", 9060, False)),
        ("homer.example:9061;transport=tcp", Collector("homer.example", 9061, True)),
        ("[2001:db8::1]:9060;transport=UDP", Collector("2001:db8::1", 9060, False)),
    ],
)
def test_an_address(text: str, collector: Collector) -> None:
    assert Collector.parse(text) == collector


@pytest.mark.parametrize("text", ["", "h;transport=tls", "h;x=1", "h:99999", "ho st"])
def test_no_address(text: str) -> None:
    with pytest.raises(SipProxyError):
        Collector.parse(text)


# Sending


@contextlib.asynccontextmanager
async def emitting(address: str, log: Log, **settings: Any) -> AsyncIterator[HepEmitter]:
    emitter = HepEmitter(HepSettings(address=address, **settings), log, first_pause_s=0.02)
    await emitter.start()
    try:
        yield emitter
    finally:
        async with asyncio.timeout(DEADLINE_S):
            await emitter.close()


def datagrams(peer: socket.socket) -> str:
    host, port = place(peer)
    return f"{host}:{port}"


def stream(peer: socket.socket) -> str:
    return f"{datagrams(peer)};transport=tcp"


async def until(emitter: HepEmitter, enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The figures, once they are as the test wants them."""
    async with asyncio.timeout(DEADLINE_S):
        while not enough(emitter.figures()):
            await turn()
    return emitter.figures()


async def received(connection: socket.socket, count: int) -> list[bytes]:
    data = b""
    while len(packets(data)) < count:
        data += await arrived(connection)
    return packets(data)


def test_over_udp(run: Run) -> None:
    async def story() -> None:
        log = Log()
        with datagram_socket() as peer:
            async with emitting(datagrams(peer), log, agent_id=7, name="edge") as emitter:
                for _leg in ("caller", "callee"):
                    emitter.put(message(), read(), "one")
                for _ in range(2):
                    packet = parse(await arrived(peer))
                    assert (packet.correlation, packet.agent, packet.chunks[NAME]) == ("one", 7, b"edge")
                    assert packet.payload.startswith("BYE sip:***34@192.0.2.9 SIP/2.0\r\n")
                assert emitter.figures() == {
                    "sent": 2,
                    "dropped": 0,
                    "refused": 0,
                    "queued": 0,
                    "connected": 1,
                    "last_reason": "",
                }
        assert log.events == []

    run(story())


def test_over_tcp_by_name(run: Run) -> None:
    async def story() -> None:
        async with listening() as peer:
            port = place(peer)[1]
            async with emitting(f"localhost:{port};transport=tcp", Log()) as emitter:
                for number in range(100):
                    emitter.put(message(), read(), f"call-{number}")
                with await accepted(peer) as connection:
                    found = [parse(each).correlation for each in await received(connection, 100)]
                    assert found == [f"call-{number}" for number in range(100)]
                assert emitter.figures()["sent"] == 100

    run(story())


def test_udp_that_is_refused_is_counted_and_goes_on(run: Run) -> None:
    async def story() -> None:
        log = Log()
        with datagram_socket() as peer:
            host, port = place(peer)
        async with emitting(f"{host}:{port}", log) as emitter:

            async def put_until(enough: Callable[[], bool]) -> None:
                async with asyncio.timeout(DEADLINE_S):
                    while not enough():
                        emitter.put(message(), read(), "one")
                        await turn()

            await put_until(lambda: int(emitter.figures()["refused"]) >= 3)
            assert emitter.figures()["last_reason"] == "connection refused"
            assert log.events == ["HEP collector away: connection refused"]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
                back.bind((host, port))
                back.setblocking(False)
                # A last refusal may still be under way, and cost the first of them.
                await put_until(lambda: bool(select.select([back], [], [], 0)[0]))
                assert parse(await arrived(back)).correlation == "one"

    run(story())


def test_udp_that_is_no_longer_refused_is_said_to_be_back(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_S", 0.05)

    async def story() -> None:
        log = Log()
        with datagram_socket() as peer:
            host, port = place(peer)
        async with emitting(f"{host}:{port}", log) as emitter:
            while not log.events:
                emitter.put(message(), read(), "one")
                await turn()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
                back.bind((host, port))
                while len(log.events) < 2:
                    emitter.put(message(), read(), "one")
                    await turn()
            assert log.events == ["HEP collector away: connection refused", "HEP collector back"]

    run(story())


def test_a_tcp_collector_that_comes_later_gets_all_that_waited(run: Run) -> None:
    async def story() -> None:
        log = Log()
        with socket.socket() as peer:
            peer.bind(("127.0.0.1", 0))  # not listening: refused
            host, port = place(peer)
            async with emitting(f"{host}:{port};transport=tcp", log) as emitter:
                for number in range(10):
                    emitter.put(message(), read(), f"call-{number}")
                figures = await until(emitter, lambda figures: figures["refused"] >= 2)
                assert (figures["queued"], figures["sent"], figures["connected"]) == (10, 0, 0)
                peer.listen()
                peer.setblocking(False)
                with await accepted(peer) as connection:
                    found = [parse(each).correlation for each in await received(connection, 10)]
                assert found == [f"call-{number}" for number in range(10)]
                assert await log.until(2) == [
                    "HEP collector away: connection refused",
                    "HEP collector back",
                ]

    run(story())


def test_a_tcp_collector_that_closes_is_connected_to_again(run: Run) -> None:
    async def story() -> None:
        log = Log()
        async with listening() as peer, emitting(stream(peer), log) as emitter:
            emitter.put(message(), read(), "first")
            with await accepted(peer) as connection:
                assert parse((await received(connection, 1))[0]).correlation == "first"
            assert (await log.until(1))[0].startswith("HEP collector away: connection reset")
            emitter.put(message(), read(), "second")
            with await accepted(peer) as connection:
                assert parse((await received(connection, 1))[0]).correlation == "second"
            assert emitter.figures()["dropped"] == 0

    run(story())


def test_a_tcp_collector_that_does_not_read_is_left(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)

    async def story() -> None:
        log = Log()
        async with listening() as peer, emitting(stream(peer), log) as emitter:
            with await accepted(peer):
                while not log.events:
                    for _ in range(50):
                        emitter.put(message(), read(), "x" * 20_000)
                    await turn()
            assert log.events[0] == "HEP collector away: no answer"
            with await accepted(peer) as connection:  # and it begins with a whole packet
                assert parse((await received(connection, 1))[0]).correlation == "x" * 20_000

    run(story())


def test_what_waits_is_bounded_and_the_oldest_goes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PACKETS", 3)

    async def story() -> None:
        async with listening() as peer, emitting(stream(peer), Log()) as emitter:
            for number in range(5):  # before the loop had a turn
                emitter.put(message(), read(), f"call-{number}")
            assert (emitter.figures()["queued"], emitter.figures()["dropped"]) == (3, 2)
            with await accepted(peer) as connection:
                found = [parse(each).correlation for each in await received(connection, 3)]
            assert found == ["call-2", "call-3", "call-4"]

    run(story())


def test_what_waits_is_bounded_in_bytes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 100_000)

    async def story() -> None:
        async with emitting("192.0.2.1:9;transport=tcp", Log()) as emitter:
            for _ in range(10):
                emitter.put(message(), read(), "x" * 30_000)
            assert (emitter.figures()["queued"], emitter.figures()["dropped"]) == (3, 7)

    run(story())


def test_a_message_too_long_for_a_datagram_is_dropped(run: Run) -> None:
    async def story() -> None:
        with datagram_socket() as peer:
            async with emitting(datagrams(peer), Log()) as emitter:
                emitter.put(message(), read()._replace(text="x" * 65_410), "")
                emitter.put(message(), read(), "short")
                assert parse(await arrived(peer)).correlation == "short"
                assert emitter.figures()["dropped"] == 1

    run(story())


def test_a_name_that_is_not_known_stops_nobody(run: Run) -> None:
    async def story() -> None:
        log = Log()
        async with emitting("no-such-host.invalid", log) as emitter:
            emitter.put(message(), read(), "one")
            assert await log.until(1) == ["HEP collector away: its name is not known"]
            assert emitter.figures()["queued"] == 1
        assert emitter.figures() | {"last_reason": ""} == {
            "sent": 0,
            "dropped": 1,
            "refused": emitter.figures()["refused"],
            "queued": 0,
            "connected": 0,
            "last_reason": "",
        }

    run(story())


def test_what_was_said_last_is_sent_before_it_closes(run: Run) -> None:
    async def story() -> None:
        with datagram_socket() as peer:
            async with emitting(datagrams(peer), Log()) as emitter:
                emitter.put(message(), read(), "last words")
            assert parse(await arrived(peer)).correlation == "last words"
            emitter.put(message(), read(), "too late")
            assert emitter.figures()["dropped"] == 1

    run(story())
