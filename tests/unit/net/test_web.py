"""WebSocket clients over loopback, in the clear and by TLS: how they come, stay, and go."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest

from sipproxy.net.limits import TcpLimits
from sipproxy.net.settings import Ask, WebSocketSettings
from sipproxy.sip.flow import WS, WSS, Flow
from tests.support.websocket import (
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_code,
    frame,
    upgrade,
)
from tests.unit.net.conftest import Certificates
from tests.unit.net.support import DEADLINE_S, Clock, Run, becomes, edge, message, turn
from tests.unit.net.tls_peers import trusting, with_certificates
from tests.unit.net.web_clients import client


@pytest.mark.parametrize("transport", [WS, WSS])
def test_messages_go_both_ways_one_in_each(run: Run, certificates: Certificates, transport: str) -> None:
    async def story() -> None:
        # A browser would not come in if it were asked for a certificate.
        tls = with_certificates(certificates.proxy, clients=Ask.REQUIRED)
        context = trusting(certificates.proxy) if transport == WSS else None
        async with (
            edge(f"{transport.lower()} 127.0.0.1", tls=tls) as (transports, inbox),
            client(transports, context) as web,
        ):
            web.send(frame(message("1")) + frame(message("2")[:5], fin=False))
            web.send(frame(b"\r\n\r\n", PING) + frame(message("2")[5:], CONTINUATION))
            await inbox.count(messages=2)
            assert inbox.bodies == [message("1"), message("2")]
            flow = inbox.messages[0][1]
            host, port = web.writer.get_extra_info("sockname")[:2]
            assert flow == Flow(transport, host, port, connection=1)
            assert (flow.web, flow.names) == (True, ())
            transports.send(message("3"), flow)
            web.send(frame(b"\r\n\r\n"))
            assert [await web.frame() for _ in range(3)] == [
                (PONG, b"\r\n\r\n"),
                (TEXT, message("3")),
                (TEXT, b"\r\n"),
            ]
            assert transports.counters.keep_alives == 1

    run(story())


def test_who_is_gone_is_told_and_cannot_be_reached(run: Run) -> None:
    async def story() -> None:
        async with edge("ws 127.0.0.1") as (transports, inbox):
            async with client(transports) as web:
                web.send(frame(message("1")) + frame((1001).to_bytes(2, "big"), CLOSE))
                assert await web.frame() == (CLOSE, (1001).to_bytes(2, "big"))
                await web.ended()
            await inbox.until(lambda: bool(inbox.closed_ones))
            flow = inbox.messages[0][1]
            assert inbox.closed_ones == [flow]
            assert inbox.bodies == [message("1")]
            transports.send(message("2"), flow)
            transports.send(message("3"), Flow(WS, flow.host, flow.port))
            await inbox.count(unsent=2)
            why = "the WebSocket is closed, and nobody can connect to its client"
            assert {reason for _, _, reason in inbox.unsent_ones} == {why}
            assert (transports.counters.framing_lost, transports.counters.websockets_refused) == (0, 0)

    run(story())


def test_another_connection_of_the_same_client_is_not_the_same(run: Run) -> None:
    async def story() -> None:
        async with edge("ws 127.0.0.1") as (transports, inbox), client(transports) as web:
            web.send(frame(message("1")))
            await inbox.count(messages=1)
            flow = inbox.messages[0][1]
            transports.send(message("2"), Flow(WS, flow.host, flow.port, flow.connection + 1))
            await inbox.count(unsent=1)

    run(story())


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (upgrade(subprotocol=None, origin="https://desk.example"), b"400"),
        (upgrade(origin="https://evil.example"), b"403"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"426"),
    ],
)
def test_who_is_not_let_in_is_told_why_and_closed(run: Run, request_: bytes, status: bytes) -> None:
    async def story() -> None:
        websocket = WebSocketSettings(origins=("https://desk.example",))
        async with (
            edge("ws 127.0.0.1", websocket=websocket) as (transports, inbox),
            client(transports, request=request_) as web,
        ):
            assert (await web.response()).startswith(b"HTTP/1.1 " + status)
            await web.ended()
            assert transports.counters.websockets_refused == 1
            assert (inbox.log, inbox.turned_away) == ([], [("WS", f"upgrade refused: {status.decode()}")])

    run(story())


@pytest.mark.parametrize("says", [b"\x16\x03\x01\x02\x00\x01\x00\x01", message("plain SIP")])
def test_what_is_no_http_is_closed_at_once(run: Run, says: bytes) -> None:
    async def story() -> None:
        async with edge("ws 127.0.0.1") as (transports, inbox), client(transports, request=says) as web:
            await web.ended()
            assert transports.counters.websockets_refused == 1
            assert inbox.log == []

    run(story())


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (frame(b"x" * 501), 1009),
        (frame(b"x", masked=False), 1002),
        (frame(b"\xff"), 1007),
    ],
    ids=["too large", "not masked", "no text"],
)
def test_what_breaks_the_protocol_ends_the_connection(run: Run, wire: bytes, code: int) -> None:
    async def story() -> None:
        async with edge("ws 127.0.0.1", message_limit=500) as (transports, inbox), client(transports) as web:
            web.send(frame(message("1")) + wire)
            opcode, payload = await web.frame()
            assert (opcode, close_code(payload)) == (CLOSE, code)
            await web.ended()
            assert inbox.bodies == [message("1")]
            assert inbox.broken_ones == []
            assert transports.counters.framing_lost == 1

    run(story())


@pytest.mark.parametrize(
    "says", [b"", upgrade()[:-2], b"GET / HTTP/1.1\r\n"], ids=["nothing", "almost all", "a line"]
)
def test_who_does_not_finish_the_upgrade_is_closed_in_time(run: Run, says: bytes) -> None:
    async def story() -> None:
        clock, limits = Clock(), TcpLimits(per_source=2)
        async with (
            edge("ws 127.0.0.1", clock=clock, limits=limits) as (transports, inbox),
            client(transports, request=says[:1]) as slow,
            client(transports) as other,
        ):
            clock.now += 29.0
            slow.send(says[1:])
            async with client(transports, request=b"") as third:  # the slow one counts as a connection
                await third.ended()
            assert transports.counters.connections_refused == 1
            other.send(frame(message("whatever it said is taken")))
            await inbox.count(messages=1)
            clock.now += 2.0
            transports.close_idle()
            await slow.ended()
            assert transports.counters.idle_closed == 1
            assert inbox.closed_ones == []  # it never was there

    run(story())


def test_a_message_in_fragments_has_to_end_in_time(run: Run) -> None:
    async def story() -> None:
        clock = Clock()
        async with edge("ws 127.0.0.1", clock=clock) as (transports, _), client(transports) as web:
            web.send(frame(b"OPTIONS", fin=False))
            for _ in range(3):
                web.send(frame(b"x", CONTINUATION, fin=False) + frame(b"", PING))
                assert await web.frame() == (PONG, b"")
                transports.close_idle()
                assert transports.counters.idle_closed == 0
                clock.now += 15.0
            transports.close_idle()
            assert transports.counters.idle_closed == 1
            assert (await web.frame())[0] == CLOSE
            await web.ended()

    run(story())


@pytest.mark.parametrize("transport", [WS, WSS])
def test_at_the_end_clients_are_told_that_we_go_away(
    run: Run, certificates: Certificates, transport: str
) -> None:
    async def story() -> None:
        tls = with_certificates(certificates.proxy)
        context = trusting(certificates.proxy) if transport == WSS else None
        async with (
            edge(f"{transport.lower()} 127.0.0.1", tls=tls) as (transports, inbox),
            client(transports, context) as web,
        ):
            web.send(frame(message("1")))
            await inbox.count(messages=1)
            transports.send(message("BYE"), inbox.messages[0][1])
            closing = asyncio.ensure_future(transports.close())
            assert await web.frame() == (TEXT, message("BYE"))
            opcode, payload = await web.frame()
            assert (opcode, close_code(payload)) == (CLOSE, 1001)
            await web.ended()
            web.writer.close()
            async with asyncio.timeout(DEADLINE_S):
                await closing

    run(story())


def test_others_get_their_turn_while_one_sends_frames_without_end(run: Run) -> None:
    async def story() -> None:
        async with (
            edge("ws 127.0.0.1") as (transports, inbox),
            client(transports) as flooding,
            client(transports) as other,
        ):
            flooding.send(frame(b"x" * 20, PING) * 5_000 + frame(message("last")))
            other.send(frame(message("other")))
            reading = asyncio.ensure_future(flooding.ended())
            await inbox.count(messages=2)
            assert inbox.bodies == [message("other"), message("last")]
            flooding.writer.transport.abort()
            await reading

    run(story())


def test_a_client_that_reads_no_pongs_is_closed(run: Run) -> None:
    async def story() -> None:
        limits = TcpLimits(unread_bytes=50_000)
        async with edge("ws 127.0.0.1", limits=limits) as (transports, _):
            there = transports.listeners[0]
            with socket.create_connection((there.host, there.port)) as deaf:
                deaf.setblocking(False)
                rest, flood = upgrade(), frame(b"x" * 125, PING) * 100
                async with asyncio.timeout(DEADLINE_S):
                    while not transports.counters.slow_readers:
                        with suppress(BlockingIOError):
                            rest = rest[deaf.send(rest) :] or flood
                        await turn()
                await becomes(lambda: transports.counters.connections_open == 0)
                assert transports.counters.framing_lost == 0

    run(story())
