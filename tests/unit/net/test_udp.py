"""UDP over loopback: batches, keep-alives, what ICMP says, and a socket that is full."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from sipproxy.net import Counters, Edge
from sipproxy.net import udp as module
from sipproxy.net.udp import BATCH, QUEUE, UdpSocket
from sipproxy.sip.flow import UDP, Flow, Listener
from tests.unit.net.support import Inbox, Run, arrived, datagram_socket, edge, place, unused


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_datagram_arrives_and_is_answered(run: Run, host: str) -> None:
    async def story() -> None:
        async with edge(f"udp {host}") as (transports, inbox):
            with datagram_socket(host) as peer:
                peer.sendto(b"INVITE", (host, transports.listeners[0].port))
                await inbox.count(messages=1)
                data, flow = inbox.messages[0]
                assert (data, flow) == (b"INVITE", Flow(UDP, *place(peer), 0, 0))
                transports.send(b"200", flow)
                assert await arrived(peer) == b"200"
                assert (transports.counters.received, transports.counters.sent) == (1, 1)

    run(story())


def test_datagrams_are_taken_in_batches_with_one_flush_each(run: Run) -> None:
    async def story() -> None:
        async with edge("udp 127.0.0.1") as (transports, inbox):
            with datagram_socket() as peer:
                sent = [b"datagram %d" % number for number in range(BATCH + 36)]
                for data in sent:
                    peer.sendto(data, ("127.0.0.1", transports.listeners[0].port))
                await inbox.count(messages=len(sent))
                assert inbox.bodies == sent
                assert inbox.log == ["received"] * BATCH + ["flush"] + ["received"] * 36 + ["flush"]

    run(story())


@pytest.mark.parametrize("keep_alive", [b"", b"\r\n", b"\r\n\r\n", b"\0\0\0\0"])
def test_a_keep_alive_is_counted_and_goes_no_further(run: Run, keep_alive: bytes) -> None:
    async def story() -> None:
        async with edge("udp 127.0.0.1") as (transports, inbox):
            with datagram_socket() as peer:
                peer.sendto(keep_alive, ("127.0.0.1", transports.listeners[0].port))
                peer.sendto(b"after", ("127.0.0.1", transports.listeners[0].port))
                await inbox.count(messages=1)
                assert inbox.bodies == [b"after"]
                assert transports.counters.keep_alives == 1

    run(story())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_icmp_port_unreachable_reports_the_message(run: Run, host: str) -> None:
    async def story() -> None:
        async with edge(f"udp {host}") as (transports, inbox):
            dead = Flow(UDP, *unused(socket.SOCK_DGRAM, host))
            transports.send(b"INVITE to nobody", dead)
            await inbox.count(unsent=1)
            assert inbox.unsent_ones == [(b"INVITE to nobody", dead, "unreachable: connection refused")]
            assert inbox.log == ["unsent", "flush"]
            assert transports.counters.unreachable == 1

    run(story())


def test_the_socket_hears_on_after_icmp_errors(run: Run) -> None:
    async def story() -> None:
        async with edge("udp 127.0.0.1") as (transports, inbox):
            dead = Flow(UDP, *unused(socket.SOCK_DGRAM))
            with datagram_socket() as peer:
                for number in range(1, 4):
                    transports.send(b"to nobody", dead)
                    await inbox.count(unsent=number)
                    peer.sendto(b"hello", ("127.0.0.1", transports.listeners[0].port))
                    await inbox.count(messages=number)

    run(story())


def test_an_error_of_one_peer_does_not_touch_messages_to_another(run: Run) -> None:
    async def story() -> None:
        async with edge("udp 127.0.0.1") as (transports, inbox):
            dead = Flow(UDP, *unused(socket.SOCK_DGRAM))
            with datagram_socket() as peer:
                alive = Flow(UDP, *place(peer))
                for number in range(20):
                    transports.send(b"dead %d" % number, dead)
                    transports.send(b"alive %d" % number, alive)
                assert [await arrived(peer) for _ in range(20)] == [b"alive %d" % n for n in range(20)]
                await inbox.count(unsent=20)
                assert {data for data, _, _ in inbox.unsent_ones} == {b"dead %d" % n for n in range(20)}
                assert all(flow == dead for _, flow, _ in inbox.unsent_ones)

    run(story())


@pytest.mark.parametrize(
    ("data", "flow", "reason"),
    [
        (b"x" * 65_510, Flow(UDP, "127.0.0.1", 9), "cannot send: message too long"),
        (b"x", Flow(UDP, "127.0.0.1", 70_000), "not a port"),
        (b"x", Flow(UDP, "127.0.0.1", 0), "not a port"),
        (b"x", Flow(UDP, "localhost", 9), "not an IP address"),
        (b"x", Flow(UDP, "::1", 9), "no UDP listener for IPv6"),
        (b"x", Flow("SCTP", "127.0.0.1", 9), "no such transport: SCTP"),
    ],
)
def test_what_cannot_be_sent_comes_back_later(run: Run, data: bytes, flow: Flow, reason: str) -> None:
    async def story() -> None:
        async with edge("udp 127.0.0.1") as (transports, inbox):
            transports.send(data, flow)
            assert inbox.unsent_ones == []  # the receiver may be in the middle of something
            await inbox.count(unsent=1)
            assert inbox.unsent_ones == [(data, flow, reason)]

    run(story())


def test_a_message_leaves_by_a_socket_of_its_family_when_the_flow_names_another(run: Run) -> None:
    async def story() -> None:
        async with edge("tcp 127.0.0.1", "udp 127.0.0.1", "udp ::1") as (transports, _):
            with datagram_socket("::1") as peer, datagram_socket() as other:
                transports.send(b"six", Flow(UDP, *place(peer), 0, listener=1))
                transports.send(b"four", Flow(UDP, *place(other), 0, listener=99))
                assert [await arrived(peer), await arrived(other)] == [b"six", b"four"]

    run(story())


class FullSocket(socket.socket):
    """A socket that says EWOULDBLOCK so many times."""

    full_for = 0

    def sendto(self, *arguments: Any) -> int:
        if self.full_for:
            self.full_for -= 1
            raise BlockingIOError
        return super().sendto(*arguments)


def full_socket(inbox: Inbox, times: int) -> tuple[UdpSocket, Counters]:
    plain = module.bind(socket.AF_INET, "127.0.0.1", 0)
    sock = FullSocket(fileno=plain.detach())
    sock.full_for = times
    counters = Counters()
    shared = Edge(inbox, asyncio.get_running_loop().time, counters, message_limit=65535)
    return UdpSocket(sock, Listener(0, UDP, *place(sock), "127.0.0.1"), shared), counters


def test_what_a_full_socket_refuses_is_sent_later_and_in_order(run: Run) -> None:
    async def story() -> None:
        sender, counters = full_socket(Inbox(), times=3)
        with datagram_socket() as peer:
            flow = Flow(UDP, *place(peer))
            for data in (b"1", b"2", b"3"):
                sender.send(data, flow)
            assert counters.sent == 0
            assert [await arrived(peer) for _ in range(3)] == [b"1", b"2", b"3"]
            assert (counters.sent, counters.dropped_sends) == (3, 0)
            sender.close()

    run(story())


def test_the_queue_of_a_full_socket_is_bounded(run: Run) -> None:
    async def story() -> None:
        sender, counters = full_socket(Inbox(), times=10)
        with datagram_socket() as peer:
            for _ in range(QUEUE + 5):
                sender.send(b"x", Flow(UDP, *place(peer)))
            assert counters.dropped_sends == 5
            sender.close()  # still full: the rest is lost with it
            assert counters.sent == 0

    run(story())
