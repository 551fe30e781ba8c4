"""TCP over loopback: segments, reuse of connections both ways, and all the ways a connection ends."""

from __future__ import annotations

import socket
import struct

import pytest

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
    ended,
    listening,
    message,
    place,
    turn,
    unused,
)


def reset(sock: socket.socket) -> None:
    """Close with an RST instead of a FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_request_comes_in_and_its_response_goes_back_on_the_connection(run: Run, host: str) -> None:
    async def story() -> None:
        async with edge(f"tcp {host}") as (transports, inbox), connected(transports, host) as peer:
            peer.send(message("INVITE"))
            await inbox.count(messages=1)
            data, flow = inbox.messages[0]
            assert data == message("INVITE")
            assert flow == Flow(TCP, *place(peer), connection=1, listener=0)
            transports.send(message("200"), flow)
            assert await arrived(peer) == message("200")
            assert transports.counters.connections_open == 1

    run(story())


def test_joined_segments_are_taken_apart_and_flushed_once(run: Run) -> None:
    async def story() -> None:
        async with edge("tcp 127.0.0.1") as (transports, inbox), connected(transports) as peer:
            peer.send(message("1") + message("2") + message("3"))
            await inbox.count(messages=3)
            assert inbox.bodies == [message("1"), message("2"), message("3")]
            assert inbox.log == ["received"] * 3 + ["flush"]

    run(story())


def test_split_segments_are_joined(run: Run) -> None:
    async def story() -> None:
        async with edge("tcp 127.0.0.1") as (transports, inbox), connected(transports) as peer:
            whole = message("split anywhere")
            for cut in (1, 20, len(whole) - 1):
                # The first message makes sure that the cut is where a read ends.
                before = len(inbox.messages)
                peer.send(message("before") + whole[:cut])
                await inbox.count(messages=before + 1)
                peer.send(whole[cut:])
                await inbox.count(messages=before + 2)
                assert inbox.bodies[-1] == whole

    run(story())


def test_one_connection_serves_both_ways(run: Run) -> None:
    async def story() -> None:
        async with edge("tcp 127.0.0.1") as (transports, inbox), listening() as server:
            there = Flow(TCP, *place(server))
            transports.send(message("1"), there)
            transports.send(message("2"), there)
            with await accepted(server) as peer:
                got = b""
                while len(got) < len(message("1")) * 2:
                    got += await arrived(peer)
                assert got == message("1") + message("2")
                peer.setblocking(False)
                peer.send(message("3"))
                await inbox.count(messages=1)
                assert inbox.messages == [(message("3"), Flow(TCP, *place(server), connection=1))]
                transports.send(message("4"), inbox.messages[0][1])
                assert await arrived(peer) == message("4")
                assert transports.counters.connections_opened == 1
                # What had to wait for the connection measures no round trip.
                assert (there.opened, inbox.messages[0][1].opened) == (True, False)

    run(story())


def test_we_connect_from_the_address_that_we_listen_on(run: Run) -> None:
    async def story() -> None:
        async with edge("tcp 127.0.0.2") as (transports, _), listening() as server:
            transports.send(message(), Flow(TCP, *place(server)))
            with await accepted(server) as peer:
                assert peer.getpeername()[0] == "127.0.0.2"

    run(story())


def test_ids_count_up_and_a_flow_whose_connection_is_gone_gets_a_new_one(run: Run) -> None:
    async def story() -> None:
        async with edge("tcp 127.0.0.1") as (transports, inbox), listening() as server:
            transports.send(message("1"), Flow(TCP, *place(server)))
            with await accepted(server) as peer:
                peer.send(message("hello"))
                await inbox.count(messages=1)
                flow = inbox.messages[0][1]
                transports.close_connection(flow)
                await ended(peer)
            transports.send(message("2"), flow)
            with await accepted(server) as peer:
                assert await arrived(peer) == message("2")
                peer.send(message("hello again"))
                await inbox.count(messages=2)
                assert inbox.messages[1][1].connection == flow.connection + 1
            assert transports.counters.connections_opened == 2

    run(story())


def test_a_refused_connection_reports_every_message_that_waited(run: Run) -> None:
    async def story() -> None:
        async with edge("tcp 127.0.0.1") as (transports, inbox):
            nobody = Flow(TCP, *unused(socket.SOCK_STREAM))
            transports.send(b"1", nobody)
            transports.send(b"2", nobody)
            await inbox.count(unsent=2)
            reason = "cannot connect: connection refused"
            assert inbox.unsent_ones == [(b"1", nobody, reason), (b"2", nobody, reason)]
            assert (transports.counters.connections_failed, transports.counters.connections_open) == (1, 0)

    run(story())


def test_a_connection_that_does_not_come_about_in_time_is_given_up(run: Run) -> None:
    async def story() -> None:
        async with edge("udp 127.0.0.1", limits=TcpLimits(connect_s=0.2)) as (transports, inbox):
            with socket.socket() as deaf:
                deaf.bind(("127.0.0.1", 0))
                deaf.listen(0)  # and nobody accepts: the second SYN gets no answer
                with socket.create_connection(place(deaf)):
                    there = Flow(TCP, *place(deaf))
                    transports.send(b"1", there)
                    await inbox.count(unsent=1)
                    assert inbox.unsent_ones == [(b"1", there, "cannot connect: timed out")]

    run(story())


def test_what_waits_for_a_connection_is_bounded(run: Run) -> None:
    async def story() -> None:
        limits = TcpLimits(waiting_bytes=300)
        async with edge("tcp 127.0.0.1", limits=limits) as (transports, inbox), listening() as server:
            there = Flow(TCP, *place(server))
            transports.send(message("fits", size=200), there)
            transports.send(message("does not", size=200), there)
            await inbox.count(unsent=1)
            assert inbox.unsent_ones == [
                (message("does not", size=200), there, "too much waits for the connection")
            ]
            with await accepted(server) as peer:
                assert await arrived(peer) == message("fits", size=200)

    run(story())


@pytest.mark.parametrize(
    ("flow", "reason"),
    [
        (Flow(TCP, "127.0.0.1", 70_000), "not a port"),
        (Flow(TCP, "sbc.example", 5060), "not an IP address"),
    ],
)
def test_an_address_that_is_none_comes_back(run: Run, flow: Flow, reason: str) -> None:
    async def story() -> None:
        async with edge("tcp 127.0.0.1") as (transports, inbox):
            transports.send(b"1", flow)
            await inbox.count(unsent=1)
            assert inbox.unsent_ones == [(b"1", flow, reason)]

    run(story())


def test_a_peer_that_does_not_read_is_closed_and_its_messages_come_back(run: Run) -> None:
    async def story() -> None:
        limits = TcpLimits(unread_bytes=100_000)
        async with edge("tcp 127.0.0.1", limits=limits) as (transports, inbox), connected(transports) as peer:
            peer.send(message("hello"))
            await inbox.count(messages=1)
            flow = inbox.messages[0][1]
            sent = 0
            while not transports.counters.slow_readers:
                transports.send(message(size=20_000), flow)
                sent += 1
                assert sent < 10_000
                await turn()
            await inbox.until(lambda: transports.counters.connections_open == 0)
            assert {reason for _, _, reason in inbox.unsent_ones} == {"the peer does not read"}
            assert 5 <= len(inbox.unsent_ones) <= 7  # what the kernel took before is on its way

    run(story())


def test_a_peer_that_resets_does_not_stay_in_the_books(run: Run) -> None:
    async def story() -> None:
        async with edge("tcp 127.0.0.1") as (transports, inbox), connected(transports) as peer:
            peer.send(message("hello"))
            await inbox.count(messages=1)
            reset(peer)
            async with connected(transports) as other:
                other.send(message("next"))
                await inbox.count(messages=2)
                assert transports.counters.connections_open == 1
                assert inbox.messages[1][1].connection == 2

    run(story())


@pytest.mark.parametrize(("pings", "pongs"), [(1, b"\r\n"), (3, b"\r\n\r\n\r\n")])
def test_a_ping_is_answered(run: Run, pings: int, pongs: bytes) -> None:
    async def story() -> None:
        async with edge("tcp 127.0.0.1") as (transports, inbox), connected(transports) as peer:
            peer.send(b"\r\n\r\n" * pings)
            assert await arrived(peer) == pongs
            assert transports.counters.keep_alives == pings
            assert inbox.log == []

    run(story())


def test_lost_framing_is_told_answered_and_ends_the_connection(run: Run) -> None:
    async def story() -> None:
        async with edge("tcp 127.0.0.1") as (transports, inbox), connected(transports) as peer:
            inbox.on_broken = lambda flow: transports.send(message("400"), flow)
            nonsense = b"OPTIONS sip:x SIP/2.0\r\nContent-Length: many\r\n\r\n"
            peer.send(nonsense)
            assert await arrived(peer) == message("400")
            assert await arrived(peer) == b""
            assert [(data, flow.connection) for data, flow, _ in inbox.broken_ones] == [(nonsense, 1)]
            assert inbox.log == ["broken", "flush"]
            assert transports.counters.framing_lost == 1

    run(story())


def test_a_message_over_the_limit_loses_the_framing(run: Run) -> None:
    async def story() -> None:
        small = edge("tcp 127.0.0.1", message_limit=500)
        async with small as (transports, inbox), connected(transports) as peer:
            peer.send(message(size=600))
            await inbox.until(lambda: bool(inbox.broken_ones))
            assert inbox.broken_ones[0][2] == "message too large"
            await ended(peer)

    run(story())


@pytest.mark.parametrize("limits", [TcpLimits(per_source=2), TcpLimits(total=2)])
def test_connections_above_a_limit_are_refused(run: Run, limits: TcpLimits) -> None:
    async def story() -> None:
        few = edge("tcp 127.0.0.1", limits=limits)
        async with (
            few as (transports, inbox),
            connected(transports) as first,
            connected(transports) as second,
        ):
            for number, peer in enumerate((first, second), start=1):
                peer.send(message())
                await inbox.count(messages=number)
            async with connected(transports) as third:
                await ended(third)
            assert transports.counters.connections_refused == 1
            transports.close_connection(inbox.messages[0][1])
            await ended(first)
            async with connected(transports) as fourth:
                fourth.send(message())
                await inbox.count(messages=3)

    run(story())


def test_closing_lets_out_what_was_written(run: Run) -> None:
    async def story() -> None:
        async with edge("tcp 127.0.0.1") as (transports, inbox), connected(transports) as peer:
            peer.send(message("hello"))
            await inbox.count(messages=1)
            transports.send(message("BYE"), inbox.messages[0][1])
            await transports.close()
            assert await arrived(peer) == message("BYE")
            assert await arrived(peer) == b""

    run(story())


def test_closing_does_not_wait_for_connections_that_never_come_about(run: Run) -> None:
    async def story() -> None:
        async with edge("udp 127.0.0.1") as (transports, inbox):
            with socket.socket() as deaf:
                deaf.bind(("127.0.0.1", 0))
                deaf.listen(0)
                with socket.create_connection(place(deaf)):
                    transports.send(b"1", Flow(TCP, *place(deaf)))
                    await turn()
                    await transports.close()
            assert inbox.unsent_ones == []

    run(story())


class Idle:
    """Connections under a clock that the test turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("says", "after", "closed"),
    [
        (b"", 29.0, False),
        (b"", 31.0, True),
        (message("whole"), 31.0, False),
        (message("whole"), 599.0, False),
        (message("whole"), 601.0, True),
        (message("whole") + b"OPTIONS", 29.0, False),
        (message("whole") + b"OPTIONS", 31.0, True),
    ],
    ids=["new", "silent", "heard", "long", "idle", "partial", "partial for too long"],
)
def test_idle_connections_are_closed(run: Run, says: bytes, after: float, closed: bool) -> None:
    async def story() -> None:
        idle, inbox, transports = Idle(), Inbox(), Transports()
        await transports.open([("tcp", "127.0.0.1", 0)], receiver=inbox, clock=idle.clock)
        async with connected(transports) as peer:
            # Its answered ping tells that the connection is known here.
            peer.send(b"\r\n\r\n" + says)
            assert await arrived(peer) == b"\r\n"
            idle.now = after
            transports.close_idle()
            assert transports.counters.idle_closed == closed
            if closed:
                await ended(peer)
        await transports.close()

    run(story())
