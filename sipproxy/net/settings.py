"""Settings of the wire: where we listen, and under which name we are known."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class NetSettings:
    """`listen` entries are `udp:HOST:PORT` or `tcp:HOST:PORT`, IPv6 in brackets."""

    listen: tuple[str, ...] = ("udp:127.0.0.1:5060", "tcp:127.0.0.1:5060")
    advertise: str | None = None  # host for Via and Contact, when it is not the listening one
    workers: int = field(default=1, metadata={"ge": 1, "le": 1})
    region: str | None = None
