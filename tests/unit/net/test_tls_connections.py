"""Which of the connections by TLS a message takes; and other certificates, which change none that is open."""

from __future__ import annotations

import asyncio

import pytest

from sipproxy.errors import ConfigurationError
from sipproxy.net.settings import Ask, TlsSettings
from sipproxy.net.transport import Transports
from sipproxy.sip.flow import TLS, Flow
from tests.unit.net.conftest import Certificates
from tests.unit.net.support import (
    Inbox,
    Run,
    edge,
    message,
)
from tests.unit.net.tls_peers import (
    TlsPeer,
    TlsServer,
    serving,
    tls_connected,
    tls_listening,
    to,
    trusting,
    with_certificates,
)


async def reached(server: TlsServer) -> bytes:
    """What the server's next connection brings."""
    return await (await server.accepted()).exactly(len(message("1")))


def test_a_connection_verified_for_one_domain_is_not_used_for_another(
    run: Run, certificates: Certificates
) -> None:
    async def story() -> None:
        tls = with_certificates(certificates.proxy)
        async with (
            edge("tcp 127.0.0.1", tls=tls) as (transports, _),
            tls_listening(serving(certificates.both)) as (server, there),
        ):
            transports.send(message("1"), to(there, "a.example"))
            assert await reached(server) == message("1")
            transports.send(message("2"), to(there, "b.example"))
            assert await reached(server) == message("2")
            assert server.asked_for == ["a.example", "b.example"]
            assert transports.counters.connections_opened == 2

    run(story())


@pytest.mark.parametrize(
    ("clients", "domain", "used"),
    [
        (Ask.OPTIONAL, "sbc.example", True),
        (Ask.OPTIONAL, "host.example", False),
        (Ask.OPTIONAL, "", False),
        (Ask.OFF, "sbc.example", False),
    ],
)
def test_who_connected_to_us_is_reached_by_that_only_as_whom_it_has_proved_to_be(
    run: Run, certificates: Certificates, clients: Ask, domain: str, used: bool
) -> None:
    async def story() -> None:
        tls = with_certificates(certificates.proxy, clients=clients)
        context = trusting(certificates.proxy, showing=certificates.sbc)
        async with (
            edge("tls 127.0.0.1", tls=tls) as (transports, inbox),
            tls_connected(transports, context) as peer,
        ):
            peer.send(message("hello"))
            await inbox.count(messages=1)
            transports.send(message("1"), Flow(TLS, *peer.address, domain=domain))
            if used:
                assert await peer.exactly(len(message("1"))) == message("1")
            else:  # nobody listens there
                await inbox.count(unsent=1)
                assert inbox.unsent_ones[0][2] == "cannot connect: connection refused"
            transports.send(message("2"), inbox.messages[0][1])
            assert await peer.exactly(len(message("2"))) == message("2")

    run(story())


# Other certificates


def named(peer: TlsPeer) -> list[str]:
    return [value for _, value in peer.certificate["subjectAltName"]]


def test_new_certificates_are_for_who_comes_next(run: Run, certificates: Certificates) -> None:
    async def story() -> None:
        context = trusting(certificates.proxy)
        context.check_hostname = False
        tls = with_certificates(certificates.proxy)
        async with (
            edge("tls 127.0.0.1", tls=tls) as (transports, inbox),
            tls_connected(transports, context) as before,
        ):
            before.send(message("1"))
            await inbox.count(messages=1)
            transports.reload(with_certificates(certificates.second, clients=Ask.REQUIRED))
            assert [each.names for each in transports.certificates] == [("second.example", "*.wild.example")]
            context.load_cert_chain(certificates.sbc.certificate, certificates.sbc.key)
            async with tls_connected(transports, context) as after:
                assert named(before) == ["localhost", "127.0.0.1"]
                assert named(after) == ["second.example", "*.wild.example"]
                after.send(message("2"))
                await inbox.count(messages=2)
                assert inbox.messages[1][1].names == ("sbc.example", "127.0.0.1")
            before.send(message("3"))
            await inbox.count(messages=3)
            transports.send(message("4"), inbox.messages[0][1])
            assert await before.exactly(len(message("4"))) == message("4")
            assert inbox.messages[2][1].connection == inbox.messages[0][1].connection

    run(story())


def test_new_authorities_are_for_whom_we_connect_to_next(run: Run, certificates: Certificates) -> None:
    async def story() -> None:
        async with (
            edge("tcp 127.0.0.1", tls=with_certificates(certificates.proxy)) as (transports, inbox),
            tls_listening(serving(certificates.stranger)) as (server, there),
        ):
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server tells it so
            transports.send(message("1"), to(there))
            await inbox.count(unsent=1)
            transports.reload(TlsSettings(ca=str(certificates.stranger.authority)))
            transports.send(message("2"), to(there))
            assert await reached(server) == message("2")

    run(story())


@pytest.mark.parametrize(
    ("shown", "fault"),
    [
        ("expired", "tls.certificates[0].certificate: {} has expired on 2002-01-01"),
        ("future", "tls.certificates[0].certificate: {} is not valid before 2040-01-01"),
        ("for_clients", "tls.certificates[0].certificate: unsuitable certificate purpose: {}"),
        (None, "tls.certificates: tls:127.0.0.1:{} needs one"),
    ],
)
def test_bad_ones_leave_all_as_it_was(
    run: Run, certificates: Certificates, shown: str | None, fault: str
) -> None:
    async def story() -> None:
        async with edge("tls 127.0.0.1", tls=with_certificates(certificates.proxy)) as (transports, _):
            there = transports.listeners[0].port
            changed = TlsSettings()
            if shown is not None:
                there = getattr(certificates, shown).certificate
                changed = with_certificates(getattr(certificates, shown))
            with pytest.raises(ConfigurationError) as caught:
                transports.reload(changed)
            assert caught.value.faults == [fault.format(there)]
            async with tls_connected(transports, trusting(certificates.proxy)) as peer:
                assert named(peer) == ["localhost", "127.0.0.1"]

    run(story())


@pytest.mark.parametrize("transport", ["tls", "wss"])
def test_without_a_certificate_nobody_listens_by_tls(run: Run, transport: str) -> None:
    async def story() -> None:
        transports = Transports()
        with pytest.raises(ConfigurationError) as caught:
            await transports.open([(transport, "127.0.0.1", 5061)], receiver=Inbox())
        assert caught.value.faults == [f"tls.certificates: {transport}:127.0.0.1:5061 needs one"]
        assert transports.listeners == []

    run(story())


def test_who_starts_with_an_old_certificate_is_told(run: Run, certificates: Certificates) -> None:
    """It may be the only one, and not everybody looks at it."""

    async def story() -> None:
        tls = with_certificates(certificates.expired)
        async with edge("tls 127.0.0.1", tls=tls) as (transports, _):
            file = certificates.expired.certificate
            expected = f"tls.certificates[0].certificate: {file} has expired on 2002-01-01"
            assert transports.warnings == [expected]
            transports.reload(tls)  # there may be no other yet, and the rest of the file is wanted
            assert transports.warnings == [expected]
            with pytest.raises(ConfigurationError, match="is not valid before 2040-01-01"):
                transports.reload(with_certificates(certificates.future))

    run(story())
