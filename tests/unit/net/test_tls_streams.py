"""What a stream does by TLS as it does without: sizes, faults, readers that are none, and the end."""

from __future__ import annotations

import asyncio
import socket

from sipproxy.net.connection import AT_ONCE
from sipproxy.net.limits import TcpLimits
from tests.unit.net.conftest import Certificates
from tests.unit.net.support import (
    Run,
    becomes,
    edge,
    message,
    turn,
)
from tests.unit.net.tls_peers import (
    tls_connected,
    trusting,
    with_certificates,
)


def test_messages_of_any_size_and_number_come_whole_and_in_order(
    run: Run, certificates: Certificates
) -> None:
    async def story() -> None:
        tls = with_certificates(certificates.proxy)
        async with edge("tls 127.0.0.1", tls=tls) as (transports, inbox):
            sizes = [*range(1, 5 * AT_ONCE), 20_000, 60_000]
            async with tls_connected(transports, trusting(certificates.proxy)) as peer:
                peer.send(b"".join(message(size=size) for size in sizes))  # and says by TLS that it is done
            await inbox.count(messages=len(sizes))
            assert inbox.bodies == [message(size=size) for size in sizes]
            await becomes(lambda: transports.counters.connections_open == 0)
            assert transports.counters.handshakes_failed == 0

    run(story())


def test_lost_framing_is_told_answered_and_ends_the_connection(run: Run, certificates: Certificates) -> None:
    async def story() -> None:
        tls = with_certificates(certificates.proxy)
        async with (
            edge("tls 127.0.0.1", tls=tls) as (transports, inbox),
            tls_connected(transports, trusting(certificates.proxy)) as peer,
        ):
            inbox.on_broken = lambda flow: transports.send(message("400"), flow)
            peer.send(b"OPTIONS sip:x SIP/2.0\r\nContent-Length: many\r\n\r\n")
            assert await peer.exactly(len(message("400"))) == message("400")
            assert await peer.arrived() == b""
            assert transports.counters.framing_lost == 1

    run(story())


def test_a_peer_that_does_not_read_is_closed_and_its_messages_come_back(
    run: Run, certificates: Certificates
) -> None:
    async def story() -> None:
        tls, limits = with_certificates(certificates.proxy), TcpLimits(unread_bytes=100_000)
        async with edge("tls 127.0.0.1", tls=tls, limits=limits) as (transports, inbox):
            context = trusting(certificates.proxy)
            with socket.create_connection(
                (transports.listeners[0].host, transports.listeners[0].port)
            ) as raw:
                loop = asyncio.get_running_loop()
                peer = await loop.run_in_executor(
                    None, lambda: context.wrap_socket(raw, server_hostname="localhost")
                )
                with peer:
                    await loop.run_in_executor(None, peer.sendall, message("hello"))
                    await inbox.count(messages=1)
                    sent = 0
                    while not transports.counters.slow_readers:
                        transports.send(message(size=20_000), inbox.messages[0][1])
                        sent += 1
                        assert sent < 10_000
                        await turn()
                    await becomes(lambda: len(inbox.unsent_ones) > 0)
            assert {reason for _, _, reason in inbox.unsent_ones} == {"the peer does not read"}
            assert 5 <= len(inbox.unsent_ones) <= 7  # what the kernel took before is on its way

    run(story())


def test_closing_lets_out_what_was_written(run: Run, certificates: Certificates) -> None:
    async def story() -> None:
        tls = with_certificates(certificates.proxy)
        async with (
            edge("tls 127.0.0.1", tls=tls) as (transports, inbox),
            tls_connected(transports, trusting(certificates.proxy)) as peer,
        ):
            peer.send(message("hello"))
            await inbox.count(messages=1)
            transports.send(message("BYE"), inbox.messages[0][1])
            await transports.close()
            assert await peer.exactly(len(message("BYE"))) == message("BYE")
            assert await peer.arrived() == b""

    run(story())
