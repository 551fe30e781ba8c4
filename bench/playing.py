"""Parties at their sockets, who play so many calls at one rate."""

import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from .parties import HOST, Party

BUFFER = 4_000_000
DATAGRAM = 65535


@dataclass(slots=True)
class Play:
    """What became of one run of calls."""

    calls: int
    good: int = 0
    resent: int = 0
    stray: int = 0
    sent: int = 0
    received: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Whether so few calls went wrong that a cost per call still means something."""
        return self.good >= 0.99 * self.calls and self.resent <= 0.01 * self.calls

    @property
    def fault(self) -> str | None:
        if self.good == self.calls and not self.resent and not self.stray:
            return None
        failed = f"{self.calls - self.good} of {self.calls} calls failed"
        return "; ".join(
            [failed, f"{self.resent} repeated and {self.stray} stray messages", *self.faults[:3]]
        )


def play(parties: list[Party], system: int, calls: int, rate: float, grace_s: float) -> Play:
    """Let the first of the parties place so many calls; all must come to the end of their scripts."""
    with ExitStack() as stack:
        poll = stack.enter_context(select.epoll())
        readers: dict[int, Callable[[], None]] = {}
        for party in parties:
            wire = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            wire.setblocking(False)
            wire.bind((HOST, party.port))
            wire.connect((HOST, system))
            party.transmit = wire.send
            readers[wire.fileno()] = partial(_drain, wire, party)
            poll.register(wire.fileno(), select.EPOLLIN)
        _play(parties, poll, readers, calls, rate, grace_s)
    faults = [f"{what} ({count})" for party in parties for what, count in party.faults.items()]
    return Play(
        calls,
        good=min(party.done for party in parties),
        resent=sum(party.resent for party in parties),
        stray=sum(party.stray for party in parties),
        sent=sum(party.sent for party in parties),
        received=sum(party.received for party in parties),
        faults=faults,
    )


def _play(
    parties: list[Party],
    poll: select.epoll,
    readers: dict[int, Callable[[], None]],
    calls: int,
    rate: float,
    grace_s: float,
) -> None:
    began_at = time.monotonic()
    deadline = began_at + calls / rate + grace_s
    placed = 0
    while placed < calls or any(party.done + party.failed < calls for party in parties):
        now = time.monotonic()
        if now > deadline:
            break
        while placed < calls and began_at + placed / rate <= now:
            placed += 1
            parties[0].call()
        wait_s = began_at + placed / rate - now if placed < calls else deadline - now
        for file, _ in poll.poll(max(0.0, wait_s)):
            readers[file]()


def _drain(wire: socket.socket, party: Party) -> None:
    """Take all that has come."""
    while True:
        try:
            data = wire.recv(DATAGRAM)
        except BlockingIOError:
            return
        party.receive(data)
