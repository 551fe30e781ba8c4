"""To whom we connect by TLS: whom we trust, and why not."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from sipproxy.net.limits import TcpLimits
from sipproxy.net.settings import TlsSettings
from sipproxy.sip.flow import TLS, Flow
from tests.unit.net.conftest import Certificates
from tests.unit.net.support import (
    Run,
    accepted,
    arrived,
    becomes,
    edge,
    ended,
    listening,
    message,
    place,
)
from tests.unit.net.tls_peers import (
    serving,
    tls_listening,
    to,
    with_certificates,
)


def test_one_connection_serves_both_ways(run: Run, certificates: Certificates) -> None:
    async def story() -> None:
        tls = with_certificates(certificates.proxy)
        async with (
            edge("tcp 127.0.0.1", tls=tls) as (transports, inbox),
            tls_listening(serving(certificates.sbc)) as (server, there),
        ):
            transports.send(message("1"), to(there))
            transports.send(message("2"), to(there))
            peer = await server.accepted()
            assert await peer.exactly(2 * len(message("1"))) == message("1") + message("2")
            assert server.asked_for == ["sbc.example"]
            peer.send(message("3"))
            await inbox.count(messages=1)
            data, flow = inbox.messages[0]
            assert (data, flow) == (message("3"), Flow(TLS, *there, connection=1))
            assert (flow.domain, flow.names) == ("sbc.example", ("sbc.example", "127.0.0.1"))
            transports.send(message("4"), flow)
            assert await peer.exactly(len(message("4"))) == message("4")
            assert transports.counters.connections_opened == 1

    run(story())


def test_an_address_is_looked_for_in_the_certificate_and_not_by_sni(
    run: Run, certificates: Certificates
) -> None:
    async def story() -> None:
        tls = with_certificates(certificates.proxy)
        async with (
            edge("tcp 127.0.0.1", tls=tls) as (transports, _),
            tls_listening(serving(certificates.sbc)) as (server, there),
        ):
            transports.send(message(), to(there, ""))
            assert await (await server.accepted()).exactly(len(message())) == message()
            assert server.asked_for == [None]

    run(story())


@pytest.mark.parametrize(
    ("shown", "domain", "why"),
    [
        ("expired", "sbc.example", "the peer's certificate has expired"),
        ("future", "sbc.example", "the peer's certificate is not valid yet"),
        ("stranger", "sbc.example", "the peer's certificate comes from an authority that is not trusted"),
        ("self_signed", "sbc.example", "the peer's certificate is self-signed, and not trusted"),
        ("for_clients", "sbc.example", "the peer's certificate is not for this purpose"),
        (
            "sbc",
            "host.example",
            "the peer's certificate is for sbc.example, 127.0.0.1, not for host.example",
        ),
        ("wildcard", "a.sbc.example", "the peer's certificate is for *.sbc.example, not for a.sbc.example"),
        ("both", "", "the peer's certificate is for a.example, b.example, not for 127.0.0.1"),
    ],
)
def test_a_peer_that_we_cannot_trust_gets_nothing(
    run: Run, certificates: Certificates, shown: str, domain: str, why: str
) -> None:
    async def story() -> None:
        tls = with_certificates(certificates.proxy)
        context = serving(getattr(certificates, shown))
        async with (
            edge("tcp 127.0.0.1", tls=tls) as (transports, inbox),
            tls_listening(context) as (server, there),
        ):
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server tells it so
            transports.send(message("1"), to(there, domain))
            transports.send(message("2"), to(there, domain))
            await inbox.count(unsent=2)
            assert [data for data, _, _ in inbox.unsent_ones] == [message("1"), message("2")]
            assert {reason for _, _, reason in inbox.unsent_ones} == {f"cannot connect: {why}"}
            assert transports.counters.handshakes_failed == 1
            await becomes(lambda: transports.counters.connections_failed == 1)
            if not server.peers.empty():  # it believes that all is well: by TLS 1.3 we judge last
                assert await (await server.accepted()).arrived() == b""

    run(story())


@pytest.mark.parametrize("shown", ["expired", "stranger", "self_signed", "wildcard"])
def test_without_verification_everybody_is_trusted(run: Run, certificates: Certificates, shown: str) -> None:
    async def story() -> None:
        tls = with_certificates(certificates.proxy, verify=False)
        async with (
            edge("tcp 127.0.0.1", tls=tls) as (transports, inbox),
            tls_listening(serving(getattr(certificates, shown))) as (server, there),
        ):
            transports.send(message("1"), to(there))
            peer = await server.accepted()
            assert await peer.exactly(len(message("1"))) == message("1")
            peer.send(message("2"))
            await inbox.count(messages=1)
            assert inbox.messages[0][1].names == ()
            assert transports.warnings == [
                "tls.verify is off: whoever answers at a trunk's address is taken for the trunk"
            ]

    run(story())


def test_a_peer_that_asks_for_our_certificate_gets_the_first(run: Run, certificates: Certificates) -> None:
    async def story() -> None:
        tls = with_certificates(certificates.both, certificates.proxy)
        context = serving(certificates.sbc, asking=certificates.proxy)
        async with (
            edge("tcp 127.0.0.1", tls=tls) as (transports, _),
            tls_listening(context) as (server, there),
        ):
            transports.send(message(), to(there))
            peer = await server.accepted()
            assert peer.certificate["subjectAltName"] == (("DNS", "a.example"), ("DNS", "b.example"))

    run(story())


@pytest.mark.parametrize(
    ("version", "alert"),
    [(ssl.TLSVersion.TLSv1_3, "certificate required"), (ssl.TLSVersion.TLSv1_2, "handshake failure")],
)
def test_a_peer_that_refuses_our_certificate_gives_the_messages_back(
    run: Run, certificates: Certificates, version: ssl.TLSVersion, alert: str
) -> None:
    """By TLS 1.3 it does so when we believe that hands are shaken, and have sent."""

    async def story() -> None:
        context = serving(certificates.sbc, asking=certificates.proxy)
        context.maximum_version = version
        async with (
            edge("tcp 127.0.0.1", tls=TlsSettings(ca=str(certificates.proxy.authority))) as (
                transports,
                inbox,
            ),
            listening() as there,
        ):
            transports.send(message("1"), to(place(there)))
            with await accepted(there) as peer:
                await asyncio.to_thread(refuse, peer, context)
                await inbox.count(unsent=1)
            why = f"cannot connect: the peer refuses our TLS: {alert}"
            assert [(data, reason) for data, _, reason in inbox.unsent_ones] == [(message("1"), why)]
            assert transports.counters.handshakes_failed == 1

    run(story())


def refuse(peer: socket.socket, context: ssl.SSLContext) -> None:
    """Shake hands as far as it goes. What is written stays: `peer` is open as long as the test holds it."""
    other = peer.dup()
    other.setblocking(True)
    with pytest.raises(ssl.SSLError, match="certificate"):
        context.wrap_socket(other, server_side=True)


def test_a_peer_that_closes_before_it_has_said_anything_gives_the_messages_back(
    run: Run, certificates: Certificates
) -> None:
    """Some do that who want a certificate of ours and get none."""

    async def story() -> None:
        async with (
            edge("tcp 127.0.0.1", tls=TlsSettings(ca=str(certificates.proxy.authority))) as (
                transports,
                inbox,
            ),
            tls_listening(serving(certificates.sbc)) as (server, there),
        ):
            transports.send(message("1"), to(there))
            peer = await server.accepted()
            assert await peer.exactly(len(message("1"))) == message("1")
            peer.abort()
            await inbox.count(unsent=1)
            assert inbox.unsent_ones[0][2] in (
                "cannot connect: the peer closed right after the TLS handshake",
                "connection reset by peer",
            )

    run(story())


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (b"SIP/2.0 400 Bad Request\r\n\r\n", "the peer does not speak TLS"),
        (b"", "the peer closed during the TLS handshake"),
    ],
)
def test_a_peer_without_tls_is_named_as_such(
    run: Run, certificates: Certificates, says: bytes, why: str
) -> None:
    async def story() -> None:
        async with (
            edge("tcp 127.0.0.1", tls=with_certificates(certificates.proxy)) as (transports, inbox),
            listening() as server,
        ):
            transports.send(message(), to(place(server)))
            with await accepted(server) as peer:
                assert (await arrived(peer))[:1] == b"\x16"
                peer.send(says)
            await inbox.count(unsent=1)
            assert inbox.unsent_ones[0][2] == f"cannot connect: {why}"

    run(story())


def test_a_peer_that_answers_no_handshake_is_given_up_in_time(run: Run, certificates: Certificates) -> None:
    async def story() -> None:
        tls, limits = with_certificates(certificates.proxy), TcpLimits(connect_s=0.1)
        async with (
            edge("tcp 127.0.0.1", tls=tls, limits=limits) as (transports, inbox),
            listening() as server,
        ):
            transports.send(message(), to(place(server)))
            with await accepted(server) as peer:
                await inbox.count(unsent=1)
                assert inbox.unsent_ones[0][2] == "cannot connect: timed out"
                await ended(peer)
            assert transports.counters.connections_failed == 1
            assert transports.counters.connections_open == 0

    run(story())


def test_what_waits_for_the_handshake_is_bounded(run: Run, certificates: Certificates) -> None:
    async def story() -> None:
        tls, limits = with_certificates(certificates.proxy), TcpLimits(waiting_bytes=300)
        async with (
            edge("tcp 127.0.0.1", tls=tls, limits=limits) as (transports, inbox),
            listening() as server,
        ):
            transports.send(message("1", size=200), to(place(server)))
            with await accepted(server) as peer:
                await arrived(peer)
                transports.send(message("2", size=200), to(place(server)))
                await inbox.count(unsent=1)
                assert inbox.unsent_ones[0][::2] == (
                    message("2", size=200),
                    "too much waits for the connection",
                )

    run(story())
