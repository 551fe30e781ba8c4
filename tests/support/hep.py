"""HEP3 packets taken apart, by the specification alone, and a collector that keeps them."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Self

CORRELATION, PASSWORD, PAYLOAD, NAME = 17, 14, 15, 19


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet; `chunks` by type."""

    chunks: dict[int, bytes]

    @property
    def source(self) -> tuple[str, int]:
        """Address and port."""
        return self._end(3, 5, 7)

    @property
    def target(self) -> tuple[str, int]:
        """Address and port."""
        return self._end(4, 6, 8)

    @property
    def protocol(self) -> int:
        """17 is UDP, 6 TCP."""
        return self.chunks[2][0]

    @property
    def at(self) -> tuple[int, int]:
        """Seconds and microseconds."""
        return int.from_bytes(self.chunks[9]), int.from_bytes(self.chunks[10])

    @property
    def agent(self) -> int:
        """The capture agent's number."""
        return int.from_bytes(self.chunks[12])

    @property
    def correlation(self) -> str:
        """The correlation id."""
        return self.chunks.get(CORRELATION, b"").decode()

    @property
    def payload(self) -> str:
        """The SIP message."""
        return self.chunks[PAYLOAD].decode()

    def _end(self, v4: int, v6: int, port: int) -> tuple[str, int]:
        packed = self.chunks[v6 if self.chunks[1][0] == socket.AF_INET6 else v4]
        return str(ip_address(packed)), int.from_bytes(self.chunks[port])


def parse(data: bytes) -> Packet:
    """Read one whole packet; every length must be right, no chunk may come twice."""
    assert data[:4] == b"HEP3"
    assert int.from_bytes(data[4:6]) == len(data)
    chunks: dict[int, bytes] = {}
    at = 6
    while at < len(data):
        vendor, kind, length = (int.from_bytes(data[at + i : at + i + 2]) for i in (0, 2, 4))
        assert vendor == 0
        assert kind not in chunks
        assert 6 <= length <= len(data) - at
        chunks[kind] = data[at + 6 : at + length]
        at += length
    return Packet(chunks)


def packets(stream: bytes) -> list[bytes]:
    """The whole packets at the beginning of a stream."""
    found = []
    while len(stream) >= 6 and len(stream) >= (length := int.from_bytes(stream[4:6])):
        found.append(stream[:length])
        stream = stream[length:]
    return found


class Collector:
    """Listens on UDP and keeps every packet; a thread of its own."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.raw: list[bytes] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """host:port"""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    @property
    def packets(self) -> list[Packet]:
        """What has come, taken apart."""
        return [parse(data) for data in list(self.raw)]

    def wait_for(self, count: int, timeout_s: float = 10.0) -> list[Packet]:
        """At least so many packets."""
        with self._changed:
            enough = self._changed.wait_for(lambda: len(self.raw) >= count, timeout_s)
        assert enough, f"{len(self.raw)} packets instead of {count} within {timeout_s} s"
        return self.packets

    def _run(self) -> None:
        while data := self._socket.recv(65535):
            with self._changed:
                self.raw.append(data)
                self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())  # ends the thread
        self._thread.join()
        self._socket.close()
