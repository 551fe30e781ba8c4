"""Finds where the host of a `sip:` URI is (RFC 3263).

    host is an address           that address, UDP, 5060              no question is asked
    host is in /etc/hosts        its addresses there, UDP, 5060       no question is asked
    port given                   A and AAAA
    transport given              SRV of that transport, else A and AAAA
    neither                      NAPTR, else SRV of UDP, then of TCP, else A and AAAA

By TLS the port is 5061, and without a named transport NAPTR alone leads there, if we can (`Resolver.tls`).
The first transport that has a target is taken; its targets come in the order of RFC 2782. A server that does
not answer counts as one that knows nothing, so that a lost NAPTR costs no call. Search domains are not used.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

from ..errors import SipProxyError
from ..sip.flow import DEFAULT_PORT, TCP, TLS, UDP
from .hosts import HostsFile
from .questions import Pointer, Questions, Record, Service, canonical

LOOKUP_S: Final = 5.0  # for all questions of one lookup, unless the caller has a deadline
TARGETS: Final = 16  # of one SRV set that are looked up

_LABEL: Final = {UDP: "_sip._udp", TCP: "_sip._tcp", TLS: "_sips._tcp"}
_UNNAMED: Final = (UDP, TCP)  # what a `sip:` URI means that names none, in this order
_SERVICE: Final = {"SIP+D2U": UDP, "SIP+D2T": TCP, "SIPS+D2T": TLS}


class ResolveError(SipProxyError):
    """A host leads nowhere; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class Target:
    """A place to send a request to; `host` is an IP literal without brackets."""

    transport: str
    host: str
    port: int


class Resolver:
    """Looks hosts up. `ipv4` and `ipv6` say which addresses are of use: those that we have a listener for.
    `tls` says whether a domain may choose TLS for us; who asks for TLS by name gets it anyway.
    """

    def __init__(
        self,
        *,
        nameservers: Iterable[tuple[str, int]] | None = None,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        hosts: HostsFile | None = None,
    ) -> None:
        self.ipv4 = True
        self.ipv6 = True
        self.tls = False
        self.rng = rng or random.Random()
        self.hosts = hosts or HostsFile()
        self.questions = Questions(clock)
        self._clock = clock
        if nameservers is not None:
            self.questions.use(nameservers)

    async def resolve(
        self,
        host: str,
        port: int | None = None,
        transport: str | None = None,
        *,
        deadline: float | None = None,
    ) -> list[Target]:
        """Give the targets of a host in the order to try them, at least one. Raises ResolveError.

        `deadline` is a time of the resolver's clock. A question that it cuts off goes on, for others.
        """
        if transport is not None and transport not in _LABEL:
            raise ResolveError(f"cannot resolve {host}: no such transport: {transport}")
        known = numeric(host, port, transport)
        if known is not None:
            return [known]
        name = canonical(host)
        if name is None:
            raise ResolveError(f"cannot resolve {host}: not a domain name")
        lookup = _Lookup(self, name, transport)
        try:
            async with asyncio.timeout(LOOKUP_S if deadline is None else deadline - self._clock()):
                targets = await lookup.run(port)
        except TimeoutError:
            raise ResolveError(f"cannot resolve {host}: no answer from DNS in time") from None
        if not targets:
            raise ResolveError(f"cannot resolve {host}: {lookup.why}")
        return targets

    async def close(self) -> None:
        """Give up the questions under way."""
        await self.questions.close()


class _Lookup:
    """One walk through RFC 3263 section 4; `why` says why it found nothing."""

    def __init__(self, resolver: Resolver, name: str, transport: str | None) -> None:
        self.why = "no such name, or it has no address"
        self._resolver = resolver
        self._name = name
        self._transport = transport
        self._withdrawn = False

    async def run(self, port: int | None) -> list[Target]:
        if port is None and not self._local(self._name):
            async for transport, service in self._services():
                targets = await self._service(transport, service)
                if targets:
                    return targets
            if self._withdrawn:
                self.why = "the domain offers no such service"
                return []
        transport = self._transport or UDP
        return await self._addresses(self._name, transport, DEFAULT_PORT[transport] if port is None else port)

    async def _services(self) -> AsyncIterator[tuple[str, str]]:
        """Yield transports and the names of their SRV records, the preferred one first (section 4.1)."""
        if self._transport is not None:
            yield self._transport, f"{_LABEL[self._transport]}.{self._name}"
            return
        names = {transport: f"{_LABEL[transport]}.{self._name}" for transport in _UNNAMED}
        # All at once: one round trip instead of three, and one wait for a server that does not know NAPTR.
        pointers, *_ = await asyncio.gather(
            self._ask(self._name, "NAPTR"), *(self._ask(name, "SRV") for name in names.values())
        )
        for pointer in sorted(each for each in pointers if isinstance(each, Pointer)):
            transport = _SERVICE.get(pointer.service)
            if pointer.flags == "S" and transport is not None and (transport != TLS or self._resolver.tls):
                yield transport, pointer.replacement
        for transport, name in names.items():
            yield transport, name

    async def _service(self, transport: str, name: str) -> list[Target]:
        services = [each for each in await self._ask(name, "SRV") if isinstance(each, Service)]
        offered = [each for each in services if each.target]
        self._withdrawn = self._withdrawn or len(offered) < len(services)
        chosen = [*in_order(offered, self._resolver.rng)][:TARGETS]
        found = await asyncio.gather(*(self._addresses(each.target, transport, each.port) for each in chosen))
        return [*dict.fromkeys(target for targets in found for target in targets)]

    async def _addresses(self, name: str, transport: str, port: int) -> list[Target]:
        hosts: list[Record] = [*self._local(name)]
        if not hosts:
            kinds = ["A"] * self._resolver.ipv4 + ["AAAA"] * self._resolver.ipv6
            for found in await asyncio.gather(*(self._ask(name, kind) for kind in kinds)):
                hosts.extend(found)
        return [Target(transport, host, port) for host in hosts if isinstance(host, str)]

    def _local(self, name: str) -> list[str]:
        resolver = self._resolver
        return [
            host
            for host in resolver.hosts.addresses(name)
            if (resolver.ipv6 if ":" in host else resolver.ipv4)
        ]

    async def _ask(self, name: str, kind: str) -> tuple[Record, ...]:
        answer = await self._resolver.questions.ask(name, kind)
        if answer.silent:
            self.why = "no answer from DNS"
        return answer.records


def numeric(host: str, port: int | None, transport: str | None) -> Target | None:
    """Give the target when the host is an address, with or without brackets; None when it is a name."""
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    transport = transport or UDP
    return Target(transport, str(address), DEFAULT_PORT[transport] if port is None else port)


def in_order(services: Iterable[Service], rng: random.Random) -> Iterator[Service]:
    """Put SRV records in the order to try them: by priority, then drawn by weight (RFC 2782)."""
    left = sorted(services, key=lambda service: (service.priority, service.weight))
    while left:
        group = [service for service in left if service.priority == left[0].priority]
        drawn = rng.randint(0, sum(service.weight for service in group))
        for service in group:
            drawn -= service.weight
            if drawn <= 0:
                break
        left.remove(service)
        yield service
