"""RFC 3263 against a DNS server on loopback, and what is remembered of its answers."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sipproxy.net.hosts import HostsFile
from sipproxy.net.questions import NEGATIVE_S, Service
from sipproxy.net.resolver import ResolveError, Resolver, Target, in_order, numeric
from sipproxy.sip.flow import TCP, TLS, UDP
from tests.unit.net.dns_server import DnsServer, also_over_tcp, dns_server
from tests.unit.net.support import DEADLINE_S, Run, turn

PLAIN = """
sbc.example 300 A 192.0.2.1
sbc.example 300 A 192.0.2.2
sbc.example 300 AAAA 2001:db8::1
"""
SERVICES = """
_sip._udp.example 300 SRV 10 0 5080 a.example
_sip._udp.example 300 SRV 20 0 5090 b.example
_sip._tcp.example 300 SRV 10 0 5070 a.example
a.example 300 A 192.0.2.1
b.example 300 A 192.0.2.2
example 300 A 192.0.2.99
"""


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def resolving(
    zone: str = "", *, clock: Clock | None = None, hosts: str = "/nonexistent"
) -> AsyncIterator[tuple[Resolver, DnsServer]]:
    async with dns_server(zone) as server:
        resolver = Resolver(
            nameservers=[server.address],
            rng=random.Random(1),
            clock=clock or Clock(),
            hosts=HostsFile(hosts),
        )
        try:
            yield resolver, server
        finally:
            await resolver.close()


async def reason(resolver: Resolver, host: str, port: int | None = None, transport: str | None = None) -> str:
    with pytest.raises(ResolveError) as caught:
        await resolver.resolve(host, port, transport)
    return str(caught.value)


@pytest.mark.parametrize(
    ("host", "port", "transport", "target"),
    [
        ("192.0.2.1", None, None, Target(UDP, "192.0.2.1", 5060)),
        ("192.0.2.1", 5070, TCP, Target(TCP, "192.0.2.1", 5070)),
        ("[2001:db8::1]", 5070, None, Target(UDP, "2001:db8::1", 5070)),
        ("2001:DB8:0::1", None, TCP, Target(TCP, "2001:db8::1", 5060)),
        ("192.0.2.1", None, TLS, Target(TLS, "192.0.2.1", 5061)),
        ("192.0.2.1", 5060, TLS, Target(TLS, "192.0.2.1", 5060)),
        ("::ffff:192.0.2.1", None, None, Target(UDP, "192.0.2.1", 5060)),
        ("1.example", None, None, None),
    ],
)
def test_an_address_needs_no_question(
    host: str, port: int | None, transport: str | None, target: Target | None
) -> None:
    assert numeric(host, port, transport) == target


def test_a_port_means_addresses_only(run: Run) -> None:
    async def story() -> None:
        async with resolving(PLAIN) as (resolver, server):
            assert await resolver.resolve("SBC.example.", 5070) == [
                Target(UDP, "192.0.2.1", 5070),
                Target(UDP, "192.0.2.2", 5070),
                Target(UDP, "2001:db8::1", 5070),
            ]
            assert sorted(server.asked) == [("sbc.example", "A"), ("sbc.example", "AAAA")]

    run(story())


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "hosts"),
    [(True, False, ["192.0.2.1", "192.0.2.2"]), (False, True, ["2001:db8::1"])],
)
def test_only_families_that_we_listen_on_are_asked_for(
    run: Run, ipv4: bool, ipv6: bool, hosts: list[str]
) -> None:
    async def story() -> None:
        async with resolving(PLAIN) as (resolver, server):
            resolver.ipv4, resolver.ipv6 = ipv4, ipv6
            assert [target.host for target in await resolver.resolve("sbc.example", 5060)] == hosts
            assert len(server.asked) == 1

    run(story())


def test_a_transport_means_its_srv_records(run: Run) -> None:
    async def story() -> None:
        async with resolving(SERVICES) as (resolver, server):
            assert await resolver.resolve("example", None, TCP) == [Target(TCP, "192.0.2.1", 5070)]
            assert ("example", "NAPTR") not in server.asked

    run(story())


def test_without_port_and_transport_udp_services_come_first(run: Run) -> None:
    async def story() -> None:
        async with resolving(SERVICES) as (resolver, _):
            assert await resolver.resolve("example") == [
                Target(UDP, "192.0.2.1", 5080),
                Target(UDP, "192.0.2.2", 5090),
            ]

    run(story())


def test_naptr_chooses_the_transport(run: Run) -> None:
    zone = (
        SERVICES
        + """
example 300 NAPTR 10 50 "s" "SIPS+D2T" "" _sips._tcp.example.
example 300 NAPTR 20 60 "s" "SIP+D2U" "" _sip._udp.example.
example 300 NAPTR 20 50 "S" "sip+d2t" "" _sip._tcp.example.
"""
    )

    async def story() -> None:
        async with resolving(zone) as (resolver, _):
            assert await resolver.resolve("example") == [Target(TCP, "192.0.2.1", 5070)]

    run(story())


@pytest.mark.parametrize(
    ("tls", "target"), [(True, Target(TLS, "192.0.2.2", 5099)), (False, Target(TCP, "192.0.2.1", 5070))]
)
def test_naptr_chooses_tls_only_for_who_can(run: Run, tls: bool, target: Target) -> None:
    zone = (
        SERVICES
        + """
_sips._tcp.example 300 SRV 10 0 5099 b.example
example 300 NAPTR 10 50 "s" "SIPS+D2T" "" _sips._tcp.example.
example 300 NAPTR 20 50 "s" "SIP+D2T" "" _sip._tcp.example.
"""
    )

    async def story() -> None:
        async with resolving(zone) as (resolver, _):
            resolver.tls = tls
            assert await resolver.resolve("example") == [target]

    run(story())


def test_tls_by_name_has_services_and_a_port_of_its_own(run: Run) -> None:
    zone = SERVICES + "_sips._tcp.example 300 SRV 10 0 5099 b.example\n" + PLAIN

    async def story() -> None:
        async with resolving(zone) as (resolver, server):
            assert await resolver.resolve("example", None, TLS) == [Target(TLS, "192.0.2.2", 5099)]
            assert (await resolver.resolve("sbc.example", None, TLS))[0] == Target(TLS, "192.0.2.1", 5061)
            assert (await resolver.resolve("sbc.example", 5070, TLS))[0] == Target(TLS, "192.0.2.1", 5070)
            server.asked.clear()
            resolver.tls = True
            assert (await resolver.resolve("example"))[0].transport == UDP  # nobody points there
            assert ("_sips._tcp.example", "SRV") not in server.asked

    run(story())


def test_a_naptr_that_leads_nowhere_gives_way_to_the_next(run: Run) -> None:
    zone = (
        SERVICES
        + """
example 300 NAPTR 10 50 "s" "SIP+D2T" "" _sip._tcp.gone.example.
example 300 NAPTR 20 50 "s" "SIP+D2U" "" _sip._udp.example.
"""
    )

    async def story() -> None:
        async with resolving(zone) as (resolver, _):
            assert [target.transport for target in await resolver.resolve("example")] == [UDP, UDP]

    run(story())


def test_without_any_service_the_host_itself_is_asked_for(run: Run) -> None:
    async def story() -> None:
        async with resolving(PLAIN) as (resolver, server):
            targets = await resolver.resolve("sbc.example", None, TCP)
            assert targets[0] == Target(TCP, "192.0.2.1", 5060)
            assert (await resolver.resolve("sbc.example"))[0] == Target(UDP, "192.0.2.1", 5060)
            assert ("sbc.example", "NAPTR") in server.asked

    run(story())


def test_aliases_are_followed(run: Run) -> None:
    async def story() -> None:
        async with resolving(PLAIN + "www.example 60 CNAME sbc.example.") as (resolver, _):
            targets = await resolver.resolve("www.example", 5060)
            assert targets[0] == Target(UDP, "192.0.2.1", 5060)

    run(story())


def test_a_truncated_answer_is_asked_for_again_over_tcp(run: Run) -> None:
    async def story() -> None:
        async with resolving(PLAIN) as (resolver, server), also_over_tcp(server):
            server.truncating = True
            assert len(await resolver.resolve("sbc.example", 5060)) == 3

    run(story())


def test_services_are_drawn_by_priority_and_weight() -> None:
    heavy, light, zero = Service(1, 90, 1, "heavy"), Service(1, 10, 1, "light"), Service(1, 0, 1, "zero")
    last = Service(2, 1000, 1, "last")
    rng = random.Random(7)
    orders = [[*in_order([last, heavy, zero, light], rng)] for _ in range(2000)]
    assert all(order[3] is last and set(order[:3]) == {heavy, light, zero} for order in orders)
    first = Counter(order[0].target for order in orders)
    assert 1700 < first["heavy"] < 1850  # 90 of 101
    assert 150 < first["light"] < 260  # 10 of 101
    assert 5 < first["zero"] < 45  # 1 of 101


@pytest.mark.parametrize(
    ("zone", "host", "port", "why"),
    [
        (PLAIN, "nobody.example", None, "no such name, or it has no address"),
        ("x.sbc.example 60 A 192.0.2.1", "sbc.example", 5060, "no such name, or it has no address"),
        ("_sip._udp.example 60 SRV 0 0 0 .\n" + PLAIN, "example", None, "the domain offers no such service"),
        ("_sip._udp.example 60 SRV 0 0 1 x.example", "example", None, "no such name, or it has no address"),
        (PLAIN, "a..b", None, "not a domain name"),
        (PLAIN, "a" * 64, 5060, "not a domain name"),
        (PLAIN, "", 5060, "not a domain name"),
    ],
)
def test_what_leads_nowhere_is_one_clear_line(
    run: Run, zone: str, host: str, port: int | None, why: str
) -> None:
    async def story() -> None:
        async with resolving(zone) as (resolver, _):
            assert await reason(resolver, host, port) == f"cannot resolve {host}: {why}"

    run(story())


def test_a_transport_that_we_do_not_have_is_no_question(run: Run) -> None:
    async def story() -> None:
        async with resolving(PLAIN) as (resolver, server):
            expected = "cannot resolve sbc.example: no such transport: WS"
            assert await reason(resolver, "sbc.example", None, "WS") == expected
            assert server.asked == []

    run(story())


def test_a_failing_server_is_named_as_the_reason(run: Run) -> None:
    async def story() -> None:
        async with resolving(PLAIN) as (resolver, server):
            server.failing = True
            assert await reason(resolver, "sbc.example") == "cannot resolve sbc.example: no answer from DNS"

    run(story())


def test_without_any_server_the_answer_is_immediate(run: Run) -> None:
    async def story() -> None:
        resolver = Resolver(nameservers=[], hosts=HostsFile("/nonexistent"))
        assert await reason(resolver, "sbc.example") == "cannot resolve sbc.example: no answer from DNS"

    run(story())


def test_the_deadline_cuts_a_lookup_off_but_not_the_question(run: Run) -> None:
    async def story() -> None:
        clock = Clock()
        async with resolving(PLAIN, clock=clock) as (resolver, server):
            server.hold()
            with pytest.raises(
                ResolveError, match=r"^cannot resolve sbc.example: no answer from DNS in time$"
            ):
                await resolver.resolve("sbc.example", 5060, deadline=clock.now + 0.1)
            second = asyncio.create_task(resolver.resolve("sbc.example", 5060))
            server.release()
            async with asyncio.timeout(DEADLINE_S):
                assert len(await second) == 3
            assert len(server.asked) == 2  # once A, once AAAA

    run(story())


def test_a_server_that_is_silent_about_naptr_costs_no_call(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipproxy.net.questions.QUESTION_S", 0.2)

    async def story() -> None:
        async with resolving(SERVICES) as (resolver, server):
            server.silent_about = {"NAPTR"}
            assert (await resolver.resolve("example"))[0] == Target(UDP, "192.0.2.1", 5080)

    run(story())


def test_the_same_question_is_asked_once_at_a_time(run: Run) -> None:
    async def story() -> None:
        async with resolving(PLAIN) as (resolver, server):
            lookups = [resolver.resolve("sbc.example", 5060) for _ in range(50)]
            results = await asyncio.gather(*lookups)
            assert all(len(targets) == 3 for targets in results)
            assert len(server.asked) == 2

    run(story())


@pytest.mark.parametrize(
    ("ttl", "after", "asked_again"),
    [(300, 299.0, False), (300, 301.0, True), (0, 0.5, False), (0, 1.5, True)],
)
def test_answers_are_remembered_for_their_ttl(run: Run, ttl: int, after: float, asked_again: bool) -> None:
    async def story() -> None:
        clock = Clock()
        async with resolving(f"sbc.example {ttl} A 192.0.2.1", clock=clock) as (resolver, server):
            resolver.ipv6 = False
            await resolver.resolve("sbc.example", 5060)
            clock.now += after
            await resolver.resolve("sbc.example", 5060)
            assert len(server.asked) == 1 + asked_again

    run(story())


def test_a_name_that_is_not_there_is_remembered_for_a_moment(run: Run) -> None:
    async def story() -> None:
        clock = Clock()
        async with resolving(PLAIN, clock=clock) as (resolver, server):
            resolver.ipv6 = False
            await reason(resolver, "new.example", 5060)
            server.load("new.example 60 A 192.0.2.7")
            await reason(resolver, "new.example", 5060)
            assert len(server.asked) == 1
            clock.now += NEGATIVE_S + 0.1
            assert await resolver.resolve("new.example", 5060) == [Target(UDP, "192.0.2.7", 5060)]

    run(story())


def test_an_old_answer_serves_while_dns_is_down(run: Run) -> None:
    async def story() -> None:
        clock = Clock()
        async with resolving("sbc.example 60 A 192.0.2.1", clock=clock) as (resolver, server):
            resolver.ipv6 = False
            old = await resolver.resolve("sbc.example", 5060)
            server.failing = True
            for _ in range(3):
                clock.now += 100
                assert await resolver.resolve("sbc.example", 5060) == old
            server.failing = False
            server.load("sbc.example 60 A 192.0.2.8")
            async with asyncio.timeout(DEADLINE_S):
                while (targets := await resolver.resolve("sbc.example", 5060)) == old:
                    clock.now += NEGATIVE_S
                    await turn()
            assert targets == [Target(UDP, "192.0.2.8", 5060)]

    run(story())


def test_the_memory_is_bounded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipproxy.net.questions.CACHED", 3)

    async def story() -> None:
        zone = "\n".join(f"{name}.example 60 A 192.0.2.1" for name in "abcde")
        async with resolving(zone) as (resolver, server):
            resolver.ipv6 = False
            for name in "abcde":
                await resolver.resolve(f"{name}.example", 5060)
            await resolver.resolve("e.example", 5060)
            assert len(server.asked) == 5
            await resolver.resolve("a.example", 5060)
            assert len(server.asked) == 6

    run(story())


def test_names_of_the_hosts_file_need_no_question(run: Run, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("::1 Gateway.local\n192.0.2.5  gateway.local gw # the SBC\nnonsense gateway.local\n")

    async def story() -> None:
        async with resolving(PLAIN, hosts=str(hosts)) as (resolver, server):
            expected = [Target(TCP, "192.0.2.5", 5060), Target(TCP, "::1", 5060)]
            assert await resolver.resolve("gateway.LOCAL", None, TCP) == expected
            resolver.ipv6 = False
            assert await resolver.resolve("gw", 5090) == [Target(UDP, "192.0.2.5", 5090)]
            hosts.write_text("192.0.2.66 gw\n")
            assert await resolver.resolve("gw") == [Target(UDP, "192.0.2.66", 5060)]
            assert server.asked == []

    run(story())


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST.", "sbc.localhost"])
def test_localhost_is_loopback_without_a_hosts_file(run: Run, name: str) -> None:
    async def story() -> None:
        async with resolving() as (resolver, server):
            assert await resolver.resolve(name) == [Target(UDP, "127.0.0.1", 5060), Target(UDP, "::1", 5060)]
            assert server.asked == []

    run(story())
