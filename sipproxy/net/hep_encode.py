"""HEP3, the packets in which HOMER, sngrep and Kamailio take copies of SIP messages.

"HEP3", the length of all (2 bytes), chunks: vendor (2, always 0), type (2), length with these 6 (2), value

     1 family      4, 6 target        9 seconds         12 agent           17 correlation id
     2 protocol       7 source port  10 microseconds    14 password        19 agent's name
  3, 5 source         8 target port  11 payload's kind  15 the message

The message is what may be shown of it, in a form that is valid SIP: its body is gone, so its length is 0.
It comes last: some receivers take the zero byte behind a correlation id for its end.
"""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import dataclass
from functools import lru_cache

from ..telemetry.parcel import Message

LARGEST = 65535  # what the length can say
_CHUNK = struct.Struct("!HHH")
_BYTE, _SHORT, _LONG = struct.Struct("!HHHB"), struct.Struct("!HHHH"), struct.Struct("!HHHI")
_TCP, _UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP
_SIP = 1
_ADDRESSES = 4096

_LENGTHS = frozenset({"content-length", "l"})
# The colon of a hash would begin a password in a user part, and ends a tag or branch; a Call-ID may have it.
_HASH = re.compile(r"(sips?:|tel:|;[\w-]+=[^;,>\s:]*)h:(?=[0-9a-f]{16})")


@dataclass(frozen=True, slots=True)
class Agent:
    """Who captures."""

    number: int
    password: str | None = None
    name: str | None = None


class Encoder:
    """Makes packets for one agent."""

    __slots__ = ("_agent", "_ends", "_tail")

    def __init__(self, agent: Agent) -> None:
        tail = _BYTE.pack(0, 11, 7, _SIP) + _LONG.pack(0, 12, 10, agent.number)
        if agent.password:
            tail += _chunk(14, agent.password.encode())
        if agent.name:
            tail += _chunk(19, agent.name.encode())
        self._tail = tail
        self._ends = lru_cache(_ADDRESSES)(_ends)

    def packet(self, message: Message, text: str, correlation: str) -> bytes | None:
        """One message; None where there is no room for it. `text` is masked, its lines end with LF."""
        source, target = (message.ours, message.peer) if message.sent else (message.peer, message.ours)
        seconds, rest_ns = divmod(message.at_ns, 1_000_000_000)
        chunks = [
            self._ends(source, target, message.transport),
            _LONG.pack(0, 9, 10, seconds & 0xFFFFFFFF),
            _LONG.pack(0, 10, 10, rest_ns // 1000),
            self._tail,
        ]
        if correlation:
            chunks.append(_chunk(17, correlation.encode("utf-8", "replace")))
        payload = sip(text)
        size = 6 + sum(map(len, chunks)) + _CHUNK.size + len(payload)
        if size > LARGEST:
            return None
        return b"".join(
            [b"HEP3", size.to_bytes(2), *chunks, _CHUNK.pack(0, 15, _CHUNK.size + len(payload)), payload]
        )


def sip(text: str) -> bytes:
    """The masked text as a message without a body. Remarks of ours, in square brackets, are left out."""
    start, *rows = text.split("\n")
    lines = [start]
    for row in rows:
        name = row.partition(":")[0]
        if row[:1] != "[" and name.lower() not in _LENGTHS:
            lines.append(row)
    lines.append("Content-Length: 0\r\n\r\n")
    shown = "\r\n".join(lines)
    return (_HASH.sub(r"\1h-", shown) if "h:" in shown else shown).encode("utf-8", "replace")


def _ends(source: str, target: str, transport: str) -> bytes:
    """Addresses, ports, protocol. An end that is no address is shown as the unspecified one."""
    (host, port), (other, other_port) = _host_port(source), _host_port(target)
    family = socket.AF_INET6 if ":" in host or ":" in other else socket.AF_INET
    types = (5, 6) if family == socket.AF_INET6 else (3, 4)
    return b"".join(
        [
            _BYTE.pack(0, 1, 7, family),
            _BYTE.pack(0, 2, 7, _UDP if transport.upper() == "UDP" else _TCP),
            *(_chunk(kind, _packed(family, each)) for kind, each in zip(types, (host, other), strict=True)),
            _SHORT.pack(0, 7, 8, port),
            _SHORT.pack(0, 8, 8, other_port),
        ]
    )


def _host_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    number = int(port) if port.isascii() and port.isdigit() else 0
    return host.removeprefix("[").removesuffix("]").partition("%")[0], number & 0xFFFF


def _packed(family: int, host: str) -> bytes:
    try:
        return socket.inet_pton(family, host)
    except OSError:
        if family == socket.AF_INET6:
            try:  # the other end is IPv6: this one as seen from there
                return b"\0" * 10 + b"\xff\xff" + socket.inet_pton(socket.AF_INET, host)
            except OSError:
                return b"\0" * 16
        return b"\0" * 4


def _chunk(kind: int, value: bytes) -> bytes:
    return _CHUNK.pack(0, kind, _CHUNK.size + len(value)) + value
