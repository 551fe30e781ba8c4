"""Two regions on one machine: two network namespaces, and a long way between them.

    with two_regions(one_way_s=0.060) as (eu, us, way):
        with eu.inside():
            ...                # sockets and processes that are made here are in that region, and stay there

Each region has its own loopback, and one address towards the other. The way is a veth with `tc netem` where
the kernel has it. Where it has not, each region gets a TUN device instead, and a thread carries the packets
from one to the other, as late as netem would. In both it is the kernel's IP that is delayed, UDP and TCP.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import select
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count

import pytest

from tests.support.namespaces import inside, namespace, require_namespaces, run

ADDRESSES = ("192.0.2.1", "198.51.100.1")  # of eu and us, for documentation (RFC 5737)
_CARDS = ("02:00:00:00:00:01", "02:00:00:00:00:02")  # of the veth in either: nobody has to ask for them
_TUN = "/dev/net/tun"
_TUN_SET = 0x400454CA  # TUNSETIFF
_TUN_PLAIN = 0x0001 | 0x1000  # IFF_TUN, IFF_NO_PI: whole IP packets and nothing before them
_LINK = "wan"
_MTU = 65535
_NO_NETEM = "qdisc kind is unknown"


@dataclass(frozen=True, slots=True)
class Region:
    """One namespace; `address` is what the other region reaches it at."""

    address: str
    namespace: int

    def inside(self) -> AbstractContextManager[None]:
        """This thread, and what it starts, is in that region meanwhile."""
        return inside(self.namespace)


@contextmanager
def two_regions(one_way_s: float) -> Iterator[tuple[Region, Region, str]]:
    """The regions, and what delays: `netem` or `tun`. Skips, with the reason, where this cannot be had."""
    require_namespaces("ip", "tc", packages="iproute2")
    with ExitStack() as stack:
        eu, us = (Region(address, namespace(stack)) for address in ADDRESSES)
        for region in (eu, us):
            with region.inside():
                run("ip", "link", "set", "lo", "up")
        way, devices = "netem", list[int]()
        if not _join_by_veth(eu, us, one_way_s):
            way, devices = "tun", [_tun(stack, region) for region in (eu, us)]
        for region, other, card in ((eu, us, _CARDS[1]), (us, eu, _CARDS[0])):
            with region.inside():
                run("ip", "address", "add", region.address, "peer", other.address, "dev", _LINK)
                run("ip", "link", "set", _LINK, "up")
                if way == "netem":  # else the first packet would wait for ARP, which goes the long way too
                    run("ip", "neighbour", "add", other.address, "lladdr", card, "dev", _LINK)
        if devices:
            stack.enter_context(_Carrier(devices, one_way_s))  # now that both are up and take packets
        yield eu, us, way


def _join_by_veth(eu: Region, us: Region, one_way_s: float) -> bool:
    """Whether the kernel could delay; where it cannot, nothing is left of the attempt."""
    other = f"/proc/{os.getpid()}/fd/{us.namespace}"
    delay = ["tc", "qdisc", "add", "dev", _LINK, "root", "netem", "delay", f"{one_way_s * 1000:g}ms"]
    ours, theirs = (["name", _LINK, "address", card] for card in _CARDS)
    with eu.inside():
        run("ip", "link", "add", *ours, "type", "veth", "peer", *theirs, "netns", other)
        done = subprocess.run(delay, capture_output=True, text=True, check=False)
        if done.returncode:
            assert _NO_NETEM in done.stderr, done.stderr
            run("ip", "link", "delete", _LINK)
            return False
    with us.inside():
        run(*delay)
    return True


def _tun(stack: ExitStack, region: Region) -> int:
    """A device in the region whose packets come to us."""
    if not os.path.exists(_TUN):
        pytest.skip(f"no netem in this kernel, and no {_TUN}: nothing here can delay a path")
    with region.inside():
        device = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK)
        stack.callback(os.close, device)
        fcntl.ioctl(device, _TUN_SET, struct.pack("16sH14x", _LINK.encode(), _TUN_PLAIN))
    return device


class _Carrier:
    """A thread that takes packets from each device to the other one, `one_way_s` later, in their order."""

    def __init__(self, devices: Sequence[int], one_way_s: float) -> None:
        self._devices = devices
        self._one_way_s = one_way_s
        self._stop = os.eventfd(0)
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def _carry(self) -> None:
        first, second = self._devices
        to = {first: second, second: first}
        under_way: list[tuple[float, int, int, bytes]] = []
        numbers = count()
        while True:
            due_in = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
            ready, _, _ = select.select([*self._devices, self._stop], [], [], due_in)
            if self._stop in ready:
                return
            for device in ready:
                packet = os.read(device, _MTU)
                due = time.monotonic() + self._one_way_s
                heapq.heappush(under_way, (due, next(numbers), to[device], packet))
            while under_way and under_way[0][0] <= time.monotonic():
                _, _, device, packet = heapq.heappop(under_way)
                os.write(device, packet)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        os.close(self._stop)
