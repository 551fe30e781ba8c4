"""Questions to DNS: each is asked once at a time, and its answer is kept for as long as DNS allows.

An answer that has expired still serves while the servers are silent (RFC 8767): the first one who needs it
waits for them in vain, all after that get the old answer at once, and the question goes out again beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdata
import dns.rdtypes.IN.NAPTR
import dns.rdtypes.IN.SRV
import dns.resolver

QUESTION_S: Final = 2.0  # for one question, over all servers
SERVER_S: Final = 1.0  # for one server
SHORTEST_S: Final = 1.0
LONGEST_S: Final = 86_400.0
NEGATIVE_S: Final = 5.0
CACHED: Final = 4096  # answers


@dataclass(frozen=True, slots=True)
class Service:
    """An SRV record (RFC 2782); an empty target says that there is no such service."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True, order=True)
class Pointer:
    """A NAPTR record (RFC 3403) without its regular expression, which SIP does not use."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


Record = str | Service | Pointer  # a string is the address of an A or AAAA record


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known about one question. `silent` means that no server answered it."""

    records: tuple[Record, ...]
    expires_at: float
    silent: bool = False


class Questions:
    """A DNS client with a memory."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._memory: dict[tuple[str, str], Answer] = {}
        self._asking: dict[tuple[str, str], asyncio.Task[Answer]] = {}
        try:
            self._dns = dns.asyncresolver.Resolver()
        except dns.resolver.NoResolverConfiguration:
            self._dns = dns.asyncresolver.Resolver(configure=False)
        self._dns.timeout = SERVER_S

    def use(self, servers: Iterable[tuple[str, int]]) -> None:
        """Ask these servers (address, port) instead of those in /etc/resolv.conf."""
        self._dns.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in servers]
        self._memory.clear()

    async def ask(self, name: str, kind: str) -> Answer:
        """Answer from memory or from DNS. `name` is as `canonical` gives it."""
        key = (name, kind)
        answer = self._memory.get(key)
        if answer is not None and answer.expires_at > self._clock():
            return answer
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._query(name, kind))
            task.add_done_callback(lambda _: self._asking.pop(key))
        if answer is not None and answer.silent and (answer.records or kind == "NAPTR"):
            return answer
        return await asyncio.shield(task)  # whoever gives up does not spoil it for the others

    async def close(self) -> None:
        """Give up the questions under way."""
        tasks = [*self._asking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _query(self, name: str, kind: str) -> Answer:
        records: tuple[Record, ...] = ()
        ttl, silent = NEGATIVE_S, False
        try:
            found = await self._dns.resolve(
                name + ".", kind, search=False, lifetime=QUESTION_S, raise_on_no_answer=False
            )
        except dns.resolver.NXDOMAIN:
            pass  # an answer too
        except (dns.exception.DNSException, OSError):
            silent = True
            old = self._memory.get((name, kind))
            records = old.records if old is not None else ()
        else:
            if found.rrset is not None:
                records = tuple(_record(data) for data in found.rrset)
                ttl = min(max(SHORTEST_S, found.chaining_result.minimum_ttl), LONGEST_S)
        return self._remember((name, kind), Answer(records, self._clock() + ttl, silent))

    def _remember(self, key: tuple[str, str], answer: Answer) -> Answer:
        self._memory.pop(key, None)
        if len(self._memory) >= CACHED:
            del self._memory[next(iter(self._memory))]
        self._memory[key] = answer
        return answer


def canonical(host: str) -> str | None:
    """Give a domain name in lower case, in ASCII and without its last dot; None when it is none."""
    try:
        name = dns.name.from_text(host)
        name.to_wire()
    except (dns.exception.DNSException, UnicodeError):
        return None
    return name.to_text(omit_final_dot=True).lower() if len(name) > 1 else None


def _record(data: dns.rdata.Rdata) -> Record:
    if isinstance(data, dns.rdtypes.IN.SRV.SRV):
        return Service(data.priority, data.weight, data.port, _text(data.target))
    if isinstance(data, dns.rdtypes.IN.NAPTR.NAPTR):
        flags, service = (part.decode("ascii", "replace").upper() for part in (data.flags, data.service))
        return Pointer(data.order, data.preference, flags, service, _text(data.replacement))
    return data.to_text()  # an address, canonical


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if len(name) > 1 else ""
