"""The network edge: sockets, connections and name lookups, for Linux.

Here stands what the sockets of one proxy share: who takes what arrives (`Receiver`), what is counted
(`Counters`), and the way back for what could not be sent (`Edge.unsent`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..sip.flow import Flow


class Receiver(Protocol):
    """Takes what the network brings. `now` is the time of the batch."""

    def received(self, data: bytes, flow: Flow, now: float) -> None:
        """Take one whole message."""

    def unsent(self, data: bytes, flow: Flow, reason: str, now: float) -> None:
        """Learn that a message did not arrive. ICMP may give back only its beginning."""

    def broken(self, data: bytes, flow: Flow, reason: str, now: float) -> None:
        """Take what a stream held when its framing was lost; the connection closes after the next flush."""

    def refused(self, flow: Flow, reason: str, now: float) -> None:
        """Learn that somebody who connected was turned away: no TLS, or no WebSocket of ours."""

    def closed(self, flow: Flow, now: float) -> None:
        """Learn that an open connection is gone."""

    def flush(self, now: float) -> None:
        """Let the effects of a batch out."""


@dataclass(slots=True)
class Counters:
    """What happened at the edge since the start; `connections_open` is a level."""

    received: int = 0
    sent: int = 0
    dropped_sends: int = 0  # datagrams given up because the socket stayed full
    unreachable: int = 0  # datagrams that came back by ICMP
    unsent: int = 0  # messages reported back, for whatever reason
    keep_alives: int = 0
    connections_open: int = 0
    connections_opened: int = 0
    connections_refused: int = 0  # incoming ones above a limit
    connections_failed: int = 0  # outgoing ones that did not come about
    idle_closed: int = 0
    slow_readers: int = 0  # closed because they did not read
    framing_lost: int = 0
    handshakes_failed: int = 0  # of TLS, both ways; TLS to a port without it, too
    websockets_refused: int = 0  # requests for an upgrade that were not granted


class Edge:
    """What all sockets of one proxy share."""

    __slots__ = ("_failed", "clock", "counters", "loop", "message_limit", "receiver")

    def __init__(
        self, receiver: Receiver, clock: Callable[[], float], counters: Counters, *, message_limit: int
    ) -> None:
        self.receiver = receiver
        self.clock = clock
        self.counters = counters
        self.message_limit = message_limit
        self.loop = asyncio.get_running_loop()
        self._failed: list[tuple[bytes, Flow, str]] = []

    def unsent(self, data: bytes, flow: Flow, reason: str) -> None:
        """Report back in the loop's next round: the receiver may be in the middle of sending."""
        if not self._failed:
            self.loop.call_soon(self._report)
        self._failed.append((data, flow, reason))
        self.counters.unsent += 1

    def _report(self) -> None:
        failed, self._failed = self._failed, []
        now = self.clock()
        for data, flow, reason in failed:
            self.receiver.unsent(data, flow, reason, now)
        self.receiver.flush(now)


def error_text(error: Exception) -> str:
    """Say what the system said, in lower case and without numbers."""
    code = error.errno if isinstance(error, OSError) else None
    return os.strerror(code).lower() if code else str(error)
