"""One TCP connection, used both ways.

RFC 3261 section 18, RFC 5626 section 3.5.1:

    connecting   send              wait (bounded)                          connecting
    connecting   connected         send what waits                         open
    connecting   refused, late     everything that waits is unsent         gone
    open         bytes             hand whole messages over, one flush     open
    open         framing lost      tell, flush, half-close                 deaf
    open         peer reads not    abort, what it did not take is unsent   gone
    open         idle              close                                   gone
    deaf         bytes             nothing                                 deaf
    deaf         LINGER_S, EOF     close                                   gone
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from ..errors import RemoteProtocolError
from ..sip.flow import TCP, Flow
from ..sip.framing import StreamFramer
from . import error_text

if TYPE_CHECKING:
    from .tcp import Connections

AT_ONCE: Final = 64  # messages of one read; the rest waits for its turn, and nothing more is read
LINGER_S: Final = 1.0  # for the peer to read our last answer; an RST at once would destroy it


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """Bounds on connections. Times in seconds, sizes in bytes."""

    connect_s: float = 4.0
    idle_s: float = 600.0
    first_message_s: float = 30.0  # also for the rest of a message that has begun
    waiting_bytes: int = 256 << 10  # while connecting
    unread_bytes: int = 1 << 20  # written, not taken by the peer
    per_source: int = 1000  # incoming
    total: int = 10_000  # incoming; lower where the process may not open so many files


class Connection(asyncio.Protocol):
    """One connection; `flow` is what every message from it carries."""

    __slots__ = (
        "_all", "_backlog", "_deaf", "_framer", "_held", "_held_bytes", "_reason", "_transport",
        "active_at", "flow", "heard", "incoming", "partial_at",
    )  # fmt: skip

    def __init__(self, everyone: Connections, *, flow: Flow | None, listener: int = 0) -> None:
        self._all = everyone
        self._framer = StreamFramer(everyone.edge.message_limit)
        self._transport: asyncio.Transport | None = None
        self._held: deque[tuple[bytes, Flow]] = deque()  # not taken by the kernel yet, as far as we know
        self._held_bytes = 0
        self._reason: str | None = None  # why we ended it
        self._deaf = False
        self._backlog: deque[bytes] = deque()
        self.incoming = flow is None
        self.flow = flow or Flow(TCP, "", 0, 0, listener)  # of an incoming one filled in when it is made
        self.heard = not self.incoming
        self.active_at = everyone.edge.clock()
        self.partial_at: float | None = None  # since when the rest of a message is missing

    @property
    def usable(self) -> bool:
        """Whether a message may still go out here."""
        return not self._deaf and (self._transport is None or not self._transport.is_closing())

    def send(self, data: bytes, flow: Flow) -> None:
        """Write now, or wait for the connection. Messages that do not leave are reported with `flow`."""
        transport, limits, edge = self._transport, self._all.limits, self._all.edge
        if transport is None:
            if self._held_bytes + len(data) > limits.waiting_bytes:
                edge.unsent(data, flow, "too much waits for the connection")
                return
            self._held.append((data, flow))
            self._held_bytes += len(data)
            return
        transport.write(data)
        edge.counters.sent += 1
        held = self._held
        held.append((data, flow))
        self._held_bytes += len(data)
        unread = transport.get_write_buffer_size()
        while held and self._held_bytes - len(held[0][0]) >= unread:
            self._held_bytes -= len(held.popleft()[0])
        if unread > limits.unread_bytes:
            edge.counters.slow_readers += 1
            self.end("the peer does not read")

    def end(self, reason: str | None = None) -> None:
        """Close; with a reason at once, and what was not taken is reported as unsent."""
        self._reason = self._reason or reason
        if self._transport is None:
            return
        if reason is None:
            self._transport.close()
        else:
            self._transport.abort()

    def fail(self, reason: str) -> None:
        """Report everything that waits: nothing of it left."""
        for data, flow in self._held:
            self._all.edge.unsent(data, flow, reason)
        self._held.clear()
        self._held_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; an incoming connection above the limits is aborted."""
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        if self.incoming:
            peer = transport.get_extra_info("peername")
            if not peer or not self._all.admit(peer[0]):  # no peer: gone before we looked
                self._deaf = True
                transport.abort()
                return
            self.flow.host, self.flow.port = peer[:2]
        self._all.add(self)
        held, self._held, self._held_bytes = self._held, deque(), 0
        for data, flow in held:
            self.send(data, flow)

    def data_received(self, data: bytes) -> None:
        """Hand over the whole messages of one read, then flush."""
        transport = self._transport
        if self._deaf or transport is None:
            return
        edge, flow, framer = self._all.edge, self.flow, self._framer
        self.active_at = now = edge.clock()
        if self._held and not transport.get_write_buffer_size():
            self._held.clear()
            self._held_bytes = 0
        try:
            messages = framer.feed(data)
        except RemoteProtocolError as error:
            edge.counters.framing_lost += 1
            edge.receiver.broken(framer.pending, flow, error.reason, now)
            edge.receiver.flush(now)
            self._turn_deaf(transport)
            return
        if framer.pongs:
            edge.counters.keep_alives += framer.pongs
            transport.write(b"\r\n" * framer.pongs)
            framer.pongs = 0
        if messages:
            self.heard = True
            self._backlog.extend(messages)
            self._hand_over(now)
            if self._backlog:
                transport.pause_reading()
                edge.loop.call_soon(self._go_on)
                return
        if framer.lost is not None:
            self.data_received(b"")
            return
        if not framer.pending.strip():  # nothing, or half a ping
            self.partial_at = None
        elif messages or self.partial_at is None:
            self.partial_at = now

    def _hand_over(self, now: float) -> None:
        edge, backlog = self._all.edge, self._backlog
        for _ in range(min(AT_ONCE, len(backlog))):
            edge.counters.received += 1
            edge.receiver.received(backlog.popleft(), self.flow, now)
        edge.receiver.flush(now)

    def _go_on(self) -> None:
        transport, loop = self._transport, self._all.edge.loop
        if self._deaf or transport is None or transport.is_closing():
            return
        self._hand_over(self._all.edge.clock())
        if self._backlog:
            loop.call_soon(self._go_on)
        else:
            transport.resume_reading()
            self.partial_at = None  # what is left began with this read
            self.data_received(b"")  # framing lost, or half a message

    def connection_lost(self, exc: Exception | None) -> None:
        """End; what the peer did not take is unsent."""
        self._all.remove(self)
        reason = self._reason or (error_text(exc) if exc is not None else None)
        if reason is not None:
            self.fail(reason)

    def _turn_deaf(self, transport: asyncio.Transport) -> None:
        self._deaf = True
        if not transport.is_closing():
            transport.write_eof()
            self._all.edge.loop.call_later(LINGER_S, transport.abort)
