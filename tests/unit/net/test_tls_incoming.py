"""Who connects to us by TLS, as user agents of another making do: whom we let in, and as whom."""

from __future__ import annotations

import ssl
from contextlib import suppress

import pytest

from sipproxy.net.limits import TcpLimits
from sipproxy.net.settings import Ask, TlsVersion
from sipproxy.sip.flow import TLS, Flow
from tests.unit.net.conftest import Certificates
from tests.unit.net.support import (
    Clock,
    Run,
    connected,
    edge,
    ended,
    message,
)
from tests.unit.net.tls_peers import (
    tls_connected,
    trusting,
    with_certificates,
)


def test_a_request_comes_in_and_its_response_goes_back(run: Run, certificates: Certificates) -> None:
    async def story() -> None:
        tls = with_certificates(certificates.proxy)
        async with (
            edge("tls 127.0.0.1", tls=tls) as (transports, inbox),
            tls_connected(transports, trusting(certificates.proxy)) as peer,
        ):
            peer.send(message("INVITE") + b"\r\n\r\n")
            await inbox.count(messages=1)
            data, flow = inbox.messages[0]
            assert data == message("INVITE")
            assert flow == Flow(TLS, *peer.address, connection=1, listener=0)
            assert flow.names == ()
            transports.send(message("200"), flow)
            size = len(message("200"))
            assert await peer.exactly(size + 2) in (b"\r\n" + message("200"), message("200") + b"\r\n")
            assert transports.counters.keep_alives == 1
            assert peer.version == "TLSv1.3"

    run(story())


@pytest.mark.parametrize(
    ("clients", "shown", "names"),
    [
        (Ask.OFF, "sbc", ()),
        (Ask.OPTIONAL, None, ()),
        (Ask.OPTIONAL, "sbc", ("sbc.example", "127.0.0.1")),
        (Ask.REQUIRED, "sbc", ("sbc.example", "127.0.0.1")),
        (Ask.REQUIRED, "wildcard", ("*.sbc.example",)),
        (Ask.REQUIRED, "for_clients", ("sbc.example",)),
    ],
)
def test_a_flow_tells_whom_the_verified_certificate_names(
    run: Run, certificates: Certificates, clients: Ask, shown: str | None, names: tuple[str, ...]
) -> None:
    async def story() -> None:
        tls = with_certificates(certificates.proxy, clients=clients)
        showing = getattr(certificates, shown) if shown else None
        async with (
            edge("tls 127.0.0.1", tls=tls) as (transports, inbox),
            tls_connected(transports, trusting(certificates.proxy, showing=showing)) as peer,
        ):
            peer.send(message())
            await inbox.count(messages=1)
            assert inbox.messages[0][1].names == names

    run(story())


@pytest.mark.parametrize(
    ("clients", "shown", "why"),
    [
        (Ask.REQUIRED, None, "the peer showed no certificate"),
        (Ask.REQUIRED, "stranger", "the peer's certificate comes from an authority that is not trusted"),
        (Ask.REQUIRED, "expired", "the peer's certificate has expired"),
        (Ask.OPTIONAL, "stranger", "the peer's certificate comes from an authority that is not trusted"),
        (Ask.OPTIONAL, "self_signed", "the peer's certificate is self-signed, and not trusted"),
        (Ask.OPTIONAL, "future", "the peer's certificate is not valid yet"),
    ],
)
def test_who_shows_none_or_a_bad_one_is_not_let_in(
    run: Run, certificates: Certificates, clients: Ask, shown: str | None, why: str
) -> None:
    async def story() -> None:
        tls = with_certificates(certificates.proxy, clients=clients)
        showing = getattr(certificates, shown) if shown else None
        async with edge("tls 127.0.0.1", tls=tls) as (transports, inbox):
            context = trusting(certificates.proxy, showing=showing)
            with suppress(ssl.SSLError, ConnectionError):  # sooner or later, by version and event loop
                async with tls_connected(transports, context) as peer:
                    peer.send(message())
                    assert await peer.arrived() == b""
            assert transports.counters.handshakes_failed == 1
            assert (inbox.messages, inbox.turned_away) == ([], [("TLS", why)])

    run(story())


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("localhost", "proxy"),
        ("second.example", "second"),
        ("SECOND.example", "second"),
        ("desk.wild.example", "second"),
        ("wild.example", "proxy"),
        ("a.desk.wild.example", "proxy"),
        ("nobody.example", "proxy"),
        ("127.0.0.1", "proxy"),
    ],
)
def test_the_certificate_is_that_of_the_host_asked_for(
    run: Run, certificates: Certificates, asked: str, shown: str
) -> None:
    async def story() -> None:
        tls = with_certificates(certificates.proxy, certificates.second, clients=Ask.REQUIRED)
        context = trusting(certificates.proxy, showing=certificates.sbc)
        context.check_hostname = False
        async with (
            edge("tls 127.0.0.1", tls=tls) as (transports, inbox),
            tls_connected(transports, context, asked) as peer,
        ):
            expected = {"proxy": "localhost", "second": "second.example"}[shown]
            assert peer.certificate["subjectAltName"][0] == ("DNS", expected)
            peer.send(message())
            await inbox.count(messages=1)
            assert inbox.messages[0][1].names == ("sbc.example", "127.0.0.1")

    run(story())


@pytest.mark.parametrize("minimum", [TlsVersion.TLS12, TlsVersion.TLS13])
def test_the_lowest_version_is_as_configured(
    run: Run, certificates: Certificates, minimum: TlsVersion
) -> None:
    async def story() -> None:
        tls = with_certificates(certificates.proxy, minimum=minimum)
        old = trusting(certificates.proxy)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        async with edge("tls 127.0.0.1", tls=tls) as (transports, inbox):
            if minimum is TlsVersion.TLS12:
                async with tls_connected(transports, old) as peer:
                    peer.send(message())
                    await inbox.count(messages=1)
            else:
                with pytest.raises(ssl.SSLError):
                    async with tls_connected(transports, old):
                        pass
                assert transports.counters.handshakes_failed == 1

    run(story())


@pytest.mark.parametrize(
    "says", [message("plain"), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 30, b"\0" * 100]
)
def test_what_is_no_tls_is_closed_at_once(run: Run, certificates: Certificates, says: bytes) -> None:
    async def story() -> None:
        tls = with_certificates(certificates.proxy)
        async with (
            edge("tls 127.0.0.1", tls=tls) as (transports, inbox),
            connected(transports) as peer,
        ):
            peer.send(says)
            await ended(peer)
            assert (transports.counters.handshakes_failed, inbox.log) == (1, [])
            assert [transport for transport, _ in inbox.turned_away] == ["TLS"]

    run(story())


def test_tls_to_a_port_without_it_is_closed_at_once(run: Run, certificates: Certificates) -> None:
    async def story() -> None:
        async with edge("tcp 127.0.0.1") as (transports, inbox):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                async with tls_connected(transports, trusting(certificates.proxy)):
                    pass
            assert (transports.counters.handshakes_failed, inbox.log) == (1, [])
            assert inbox.turned_away == [("TCP", "TLS on a port without")]

    run(story())


@pytest.mark.parametrize("says", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "half a greeting"])
def test_who_does_not_finish_the_handshake_is_closed_in_time(
    run: Run, certificates: Certificates, says: bytes
) -> None:
    async def story() -> None:
        clock, limits = Clock(), TcpLimits(per_source=2)
        tls = with_certificates(certificates.proxy)
        async with (
            edge("tls 127.0.0.1", tls=tls, clock=clock, limits=limits) as (transports, _),
            connected(transports) as slow,
            tls_connected(transports, trusting(certificates.proxy)) as other,
        ):
            for byte in says:
                slow.send(bytes([byte]))
                clock.now += 5.0
            other.send(b"\r\n\r\n")
            assert await other.arrived() == b"\r\n"
            async with connected(transports) as third:  # the slow one counts as a connection
                await ended(third)
            assert transports.counters.connections_refused == 1
            clock.now = 1000.0 + 31.0
            other.send(b"\r\n\r\n")
            assert await other.arrived() == b"\r\n"
            transports.close_idle()
            await ended(slow)
            assert transports.counters.idle_closed == 1
            assert transports.counters.handshakes_failed == bool(says)

    run(story())


def test_who_looks_whether_a_port_is_open_is_no_failed_handshake(
    run: Run, certificates: Certificates
) -> None:
    async def story() -> None:
        tls = with_certificates(certificates.proxy)
        async with edge("tls 127.0.0.1", tls=tls) as (transports, _):
            async with connected(transports):
                pass
            async with tls_connected(transports, trusting(certificates.proxy)) as peer:
                peer.send(b"\r\n\r\n")
                assert await peer.arrived() == b"\r\n"
            assert transports.counters.handshakes_failed == 0

    run(story())
