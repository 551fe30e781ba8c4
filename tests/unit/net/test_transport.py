"""Opening listeners: real ports, the name that stands in Via, and one clear line when it fails."""

from __future__ import annotations

import socket

import pytest

from sipproxy.errors import StartError
from sipproxy.net.transport import Transports, primary_address
from sipproxy.sip.flow import UDP, Flow
from tests.unit.net.support import Inbox, Run, edge, place, unused


async def failure(*entries: tuple[str, str, int]) -> str:
    with pytest.raises(StartError) as caught:
        await Transports().open(entries, receiver=Inbox())
    return str(caught.value)


def test_each_entry_with_port_zero_gets_its_own(run: Run) -> None:
    async def story() -> None:
        async with edge("udp 127.0.0.1", "tcp 127.0.0.1", "udp ::1", "tcp ::1") as (transports, _):
            found = [(each.index, each.transport, each.host) for each in transports.listeners]
            assert found == [
                (0, "UDP", "127.0.0.1"),
                (1, "TCP", "127.0.0.1"),
                (2, "UDP", "::1"),
                (3, "TCP", "::1"),
            ]
            assert all(each.port for each in transports.listeners)
            assert transports.listeners[3].sent_by == f"[::1]:{transports.listeners[3].port}"

    run(story())


@pytest.mark.parametrize(("transport", "kind"), [("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM)])
def test_a_port_in_use_is_one_clear_line(run: Run, transport: str, kind: socket.SocketKind) -> None:
    async def story() -> None:
        with socket.socket(socket.AF_INET, kind) as taken:
            taken.bind(("127.0.0.1", 0))
            if kind is socket.SOCK_STREAM:
                taken.listen()
            port = place(taken)[1]
            line = await failure((transport, "127.0.0.1", port))
            assert line == f"cannot listen on {transport}:127.0.0.1:{port}: address already in use"

    run(story())


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (("udp", "192.0.2.1", 5060), "udp:192.0.2.1:5060: not an address of this machine"),
        (("tcp", "2001:db8::1", 5060), "tcp:[2001:db8::1]:5060: not an address of this machine"),
        (("udp", "127.0.0.1", 70_000), "udp:127.0.0.1:70000: not a port"),
        (("sctp", "127.0.0.1", 5060), "sctp:127.0.0.1:5060: no such transport"),
        (("udp", "a" * 64, 5060), f"udp:{'a' * 64}:5060: no such host"),
    ],
)
def test_an_entry_that_cannot_be_opened_is_one_clear_line(
    run: Run, entry: tuple[str, str, int], reason: str
) -> None:
    async def story() -> None:
        assert await failure(entry) == f"cannot listen on {reason}"

    run(story())


def test_all_are_open_or_none(run: Run) -> None:
    async def story() -> None:
        _, port = unused(socket.SOCK_DGRAM)
        await failure(("udp", "127.0.0.1", port), ("tcp", "127.0.0.1", 0), ("udp", "192.0.2.1", 5060))
        transports = Transports()
        await transports.open([("udp", "127.0.0.1", port)], receiver=Inbox())
        await transports.close()

    run(story())


@pytest.mark.parametrize(
    ("name", "shown"), [("sbc.example", "sbc.example"), ("2001:db8::5", "[2001:db8::5]")]
)
def test_the_advertised_host_stands_in_via(run: Run, name: str, shown: str) -> None:
    async def story() -> None:
        async with edge("udp 0.0.0.0", advertise=name) as (transports, _):
            listener = transports.listeners[0]
            assert listener.sent_by == f"{shown}:{listener.port}"

    run(story())


@pytest.mark.parametrize(("host", "family"), [("0.0.0.0", socket.AF_INET), ("::", socket.AF_INET6)])
def test_a_wildcard_is_known_by_the_primary_address(run: Run, host: str, family: int) -> None:
    async def story() -> None:
        async with edge(f"udp {host}") as (transports, _):
            known_as = transports.listeners[0].sent_by.rpartition(":")[0].strip("[]")
            assert known_as == primary_address(family)
            assert known_as not in ("0.0.0.0", "::", "")

    run(story())


def test_a_name_to_listen_on_becomes_its_address(run: Run) -> None:
    async def story() -> None:
        async with edge("udp localhost") as (transports, _):
            assert transports.listeners[0].host in ("127.0.0.1", "::1")

    run(story())


def test_after_closing_sending_is_quiet(run: Run) -> None:
    async def story() -> None:
        async with edge("udp 127.0.0.1", "tcp 127.0.0.1") as (transports, inbox):
            await transports.close()
            transports.send(b"late", Flow(UDP, "127.0.0.1", 9))
            transports.close_connection(Flow("TCP", "127.0.0.1", 9, 1))
            assert inbox.log == []

    run(story())
