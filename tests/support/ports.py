"""Ports for SIPp, which cannot say which port the kernel gave it.

They lie below the range from which the kernel hands out ports (net.ipv4.ip_local_port_range), so that no
outgoing connection of a test running beside this one can take a port between our choice and SIPp's bind.
"""

from __future__ import annotations

import random
import socket
import threading
from pathlib import Path

_FIRST = 10000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_lock = threading.Lock()
_given: set[int] = set()


def free_port(host: str) -> int:
    """A port free for UDP and TCP on `host`, given out once in this process."""
    end = int(_RANGE.read_text().split()[0])
    with _lock:
        for _ in range(1000):
            port = random.randrange(_FIRST, end)
            if port not in _given and _is_free(host, port):
                _given.add(port)
                return port
    raise RuntimeError(f"no free port on {host}")


def has_ipv6() -> bool:
    """Whether ::1 exists on this machine."""
    return _is_free("::1", 0)


def host_port(host: str, port: int) -> str:
    """`host:port`, with the brackets that IPv6 needs."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_listening(host: str, port: int, transport: str) -> bool:
    """Whether some process has bound it (for TCP: listens), as the kernel's own table says."""
    table = Path(f"/proc/net/{transport}{'6' if ':' in host else ''}")
    state = "0A" if transport == "tcp" else "07"
    rows = (line.split() for line in table.read_text().splitlines()[1:])
    return any(row[1] == _as_in_proc(host, port) and row[3] == state for row in rows)


def family_of(host: str) -> socket.AddressFamily:
    """AF_INET or AF_INET6."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _is_free(host: str, port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(family_of(host), kind) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def _as_in_proc(host: str, port: int) -> str:
    """The kernel prints addresses as host-order 32-bit words in hex."""
    raw = socket.inet_pton(family_of(host), host)
    words = (int.from_bytes(raw[at : at + 4], "little") for at in range(0, len(raw), 4))
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"
