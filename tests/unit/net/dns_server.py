"""A small DNS server on loopback, told by the test what it knows and when to be silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.support.ports import free_port
from tests.unit.net.support import place


class DnsServer(asyncio.DatagramProtocol):
    """Answers from a zone given as lines of a zone file; a name outside of it is NXDOMAIN."""

    def __init__(self, zone: str) -> None:
        self.asked: list[tuple[str, str]] = []
        self.silent_about: set[str] = set()  # types
        self.failing = False
        self.truncating = False
        self.address = ("", 0)
        self._sets: dict[tuple[str, str], dns.rrset.RRset] = {}
        self._held: list[tuple[bytes, tuple[str, int]]] | None = None
        self.load(zone)

    def load(self, zone: str) -> None:
        """Know these records and no others."""
        found: dict[tuple[str, str, int], list[str]] = {}
        for line in filter(None, zone.splitlines()):
            name, ttl, kind, data = line.split(maxsplit=3)
            found.setdefault((name.lower(), kind, int(ttl)), []).append(data)
        self._sets = {
            (name, kind): dns.rrset.from_text_list(
                f"{name}.", ttl, "IN", kind, data, origin=dns.name.root, relativize=False
            )
            for (name, kind, ttl), data in found.items()
        }

    def hold(self) -> None:
        """Keep answers back until `release`."""
        self._held = []

    def release(self) -> None:
        held, self._held = self._held or [], None
        for data, address in held:
            self._transport.sendto(data, address)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.address = place(transport.get_extra_info("socket"))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self.answer(data)
        if answer is None:
            return
        if self._held is not None:
            self._held.append((answer, addr))
        else:
            self._transport.sendto(answer, addr)

    def answer(self, data: bytes, *, stream: bool = False) -> bytes | None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = (
            question.name.to_text(omit_final_dot=True).lower(),
            dns.rdatatype.to_text(question.rdtype),
        )
        self.asked.append((name, kind))
        if kind in self.silent_about:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif self.truncating and not stream:
            response.flags |= dns.flags.TC
        else:
            self._fill(response, name, kind)
        return response.to_wire(want_shuffle=False)

    def _fill(self, response: dns.message.Message, name: str, kind: str) -> None:
        alias = self._sets.get((name, "CNAME"))
        if alias is not None:
            response.answer.append(alias)
            name = alias[0].target.to_text(omit_final_dot=True)
        if (name, kind) in self._sets:
            response.answer.append(self._sets[name, kind])
        elif all(known != name and not known.endswith("." + name) for known, _ in self._sets):
            response.set_rcode(dns.rcode.NXDOMAIN)

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one question over TCP, as after a truncated answer."""
        length = int.from_bytes(await reader.readexactly(2), "big")
        answer = self.answer(await reader.readexactly(length), stream=True) or b""
        writer.write(len(answer).to_bytes(2, "big") + answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def dns_server(zone: str = "") -> AsyncIterator[DnsServer]:
    """Serve over UDP."""
    loop = asyncio.get_running_loop()
    server = DnsServer(zone)
    transport, _ = await loop.create_datagram_endpoint(
        lambda: server, local_addr=("127.0.0.1", free_port("127.0.0.1"))
    )
    try:
        yield server
    finally:
        transport.close()


@asynccontextmanager
async def also_over_tcp(server: DnsServer) -> AsyncIterator[None]:
    """Serve at the same address over TCP."""
    streams = await asyncio.start_server(server.stream, *server.address)
    try:
        yield
    finally:
        streams.close()
        await streams.wait_closed()
