"""WebSocket clients that say nothing: pinged, kept as long as they answer, dropped when they do not."""

from __future__ import annotations

from sipproxy.net.settings import WebSocketSettings
from tests.support.websocket import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    close_code,
    frame,
)
from tests.unit.net.support import Clock, Run, edge, message
from tests.unit.net.web_clients import client


def test_a_silent_client_is_pinged_and_stays_as_long_as_it_answers(run: Run) -> None:
    async def story() -> None:
        clock = Clock()
        async with edge("ws 127.0.0.1", clock=clock) as (transports, _), client(transports) as web:
            for _ in range(30):  # longer than a stream may be idle
                clock.now += 31.0
                transports.close_idle()
                transports.close_idle()
                opcode, payload = await web.frame()
                assert opcode == PING
                web.send(frame(payload, PONG) + frame(b"\r\n\r\n"))
                assert await web.frame() == (TEXT, b"\r\n")
            assert transports.counters.idle_closed == 0

    run(story())


def test_a_client_that_answers_no_ping_is_dropped(run: Run) -> None:
    async def story() -> None:
        clock = Clock()
        async with edge("ws 127.0.0.1", clock=clock) as (transports, inbox), client(transports) as web:
            web.send(frame(message("1")))
            await inbox.count(messages=1)
            for _ in range(3):
                clock.now += 31.0
                transports.close_idle()
                assert (await web.frame())[0] == PING
            clock.now += 31.0
            transports.close_idle()
            await inbox.until(lambda: bool(inbox.closed_ones))
            assert transports.counters.idle_closed == 1
            await web.ended()

    run(story())


def test_pings_can_be_switched_off(run: Run) -> None:
    async def story() -> None:
        clock, websocket = Clock(), WebSocketSettings(ping_s=0)
        quiet = edge("ws 127.0.0.1", clock=clock, websocket=websocket)
        async with quiet as (transports, inbox), client(transports) as web:
            clock.now += 500.0
            transports.close_idle()
            web.send(frame(message("1")))
            await inbox.count(messages=1)
            clock.now += 601.0
            transports.close_idle()
            opcode, payload = await web.frame()
            assert (opcode, close_code(payload)) == (CLOSE, 1001)

    run(story())
