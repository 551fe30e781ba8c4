"""One connection, used both ways: TCP, TLS, and WebSocket over either.

RFC 3261 section 18, RFC 5626 section 3.5.1, RFC 7118:

    connecting   connected         TLS, WebSocket: shake hands first       opening
    opening      hands shaken      send what waits                         open
    both         send              wait (bounded)
    both         refused, late     everything that waits is unsent         gone
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
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from ..errors import RemoteProtocolError
from ..sip.flow import TCP, Flow
from ..sip.framing import StreamFramer
from . import error_text
from .layer import Closed, Layer, Refused, TlsError
from .outbox import Outbox
from .secured import Secured
from .turns import SHARE_S, TURN

if TYPE_CHECKING:
    from .tcp import Connections

AT_ONCE: Final = 64  # messages of one read; the rest waits for its turn, and nothing more is read
LINGER_S: Final = 1.0  # for the peer to read our last answer; an RST at once would destroy it
_TLS_HELLO: Final = b"\x16"  # no SIP begins with it


class Connection(asyncio.Protocol):
    """One connection; `flow` is what every message from it carries."""

    __slots__ = (
        "_all", "_backlog", "_deaf", "_framer", "_layer", "_outbox", "_pinged_at", "_proven", "_queued",
        "_reason", "_rest", "_transport",
        "active_at", "flow", "heard", "incoming", "opened", "partial_at", "ready",
    )  # fmt: skip

    def __init__(self, everyone: Connections, *, flow: Flow, incoming: bool = False) -> None:
        self._all = everyone
        self._framer: StreamFramer | Layer = StreamFramer(everyone.edge.message_limit)
        self._layer: Layer | None = None  # of TLS and WebSocket: the framer, which then has more to say
        self._transport: asyncio.Transport | None = None
        self._outbox = Outbox(everyone.edge)
        self._reason: str | None = None  # why we ended it
        self._deaf = False
        self._rest = b""  # read, and not taken yet
        self._backlog: deque[bytes] = deque()  # messages
        self._queued = False
        # By TLS 1.3 a server refuses our certificate after hands are shaken: until it speaks, nothing counts.
        self._proven = incoming or flow.transport == TCP
        self._pinged_at = 0.0
        self.flow = flow  # of an incoming one filled in when it is made
        self.incoming = incoming
        self.ready = False  # hands are shaken
        self.heard = not incoming
        self.opened = asyncio.Event()  # it is ready, or gone
        self.active_at = everyone.edge.clock()
        self.partial_at: float | None = None  # since when the rest of a message or handshake is missing

    @property
    def made(self) -> bool:
        """Whether the socket is a transport's, which closes it."""
        return self._transport is not None

    @property
    def usable(self) -> bool:
        """Whether a message may still go out here."""
        return not self._deaf and (self._transport is None or not self._transport.is_closing())

    def send(self, data: bytes, flow: Flow) -> None:
        """Write now, or wait for the connection. Messages that do not leave are reported with `flow`."""
        transport, limits, edge, outbox = self._transport, self._all.limits, self._all.edge, self._outbox
        if transport is None or not self.ready:
            flow.opened = True
            if outbox.bytes + len(data) > limits.waiting_bytes:
                edge.unsent(data, flow, "too much waits for the connection")
            else:
                outbox.add(data, flow, len(data))
            return
        wire = data
        if self._layer is not None and not (wire := self._layer.wrap(data)):
            edge.unsent(data, flow, "the connection is closing")
            return
        transport.write(wire)
        edge.counters.sent += 1
        unread = transport.get_write_buffer_size()
        if self._proven or outbox.bytes > limits.waiting_bytes:
            outbox.sent(data, flow, len(wire), unread)
        else:
            outbox.add(data, flow, len(wire))
        if unread > limits.unread_bytes:
            self._give_up_reader()

    def keep_alive(self, now: float, ping_s: float) -> None:
        """Ping a peer that is silent, and drop one that answers none of three."""
        layer, silent_s = self._layer, now - self.active_at
        if layer is None or not self.ready or self._deaf or not ping_s or silent_s < ping_s:
            return
        if silent_s >= 4 * ping_s:
            self._all.edge.counters.idle_closed += 1
            self.end("the peer answers no ping")
        elif now - self._pinged_at >= ping_s:
            self._pinged_at = now
            self._put(layer.ping())

    def end(self, reason: str | None = None) -> None:
        """Close; with a reason at once, and what was not taken is reported as unsent."""
        self._reason = self._reason or reason
        transport, layer = self._transport, self._layer
        if transport is None:
            return
        self._proven = True  # it is our end
        if reason is not None:
            transport.abort()
        elif self.flow.web and self.ready and not self._deaf:  # its client answers that we close
            self._turn_deaf(transport)
        else:
            if layer is not None and not self._deaf:
                self._put(layer.close())
            transport.close()

    def _give_up_reader(self) -> None:
        self._all.edge.counters.slow_readers += 1
        self.end("the peer does not read")

    def fail(self, reason: str) -> None:
        """Report everything that waits: nothing of it left."""
        self._outbox.fail(reason)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; an incoming connection above the limits is aborted."""
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        flow, everyone = self.flow, self._all
        if self.incoming:
            peer = transport.get_extra_info("peername")
            if not peer or not everyone.admit(peer[0]):  # no peer: gone before we looked
                self._deaf = True
                transport.abort()
                return
            flow.host, flow.port = peer[:2]
        everyone.add(self)
        if flow.transport == TCP:
            self._open_up()
            return
        self._framer = self._layer = everyone.layer(flow, incoming=self.incoming)
        self.partial_at = self.active_at = everyone.edge.clock()
        self._put(self._layer.begin())

    def data_received(self, data: bytes) -> None:
        """Take what was read, or let others go first."""
        if self._deaf or self._transport is None:
            return
        everyone = self._all
        self.active_at = now = everyone.edge.clock()
        if not self._queued and everyone.turns.at_once(len(data), now):
            self._take(data, now)
        else:
            self._rest += data
            self._queue()

    def turn(self) -> bool:
        """Take a piece of what waits; True: there is more."""
        transport, layer = self._transport, self._layer
        self._queued = transport is not None and not transport.is_closing()
        if transport is None or not self._queued:
            return False
        if not self._deaf:
            now = self._all.edge.clock()
            if self._backlog:
                self._hand_over(now)
            if not self._backlog:
                piece, self._rest = self._rest[:TURN], self._rest[TURN:]
                self._take(piece, now)
        if not self._deaf and (self._backlog or self._rest or (layer is not None and layer.more)):
            return True
        self._queued = False
        transport.resume_reading()
        return False

    def _queue(self) -> None:
        if not self._queued and self._transport is not None:
            self._queued = True
            self._transport.pause_reading()
            self._all.turns.queue(self)

    def _take(self, data: bytes, now: float) -> None:
        """Hand over the whole messages in there, then flush."""
        transport, edge, framer = self._transport, self._all.edge, self._framer
        assert transport is not None
        if not self.heard and data[:1] == _TLS_HELLO and self._layer is None and not framer.pending:
            self._lose(TlsError("TLS on a port without"), now)
            return
        try:
            messages = framer.feed(data)
        except RemoteProtocolError as error:
            if self._layer is not None:
                self._tend(self._layer)
            self._lose(error, now)
            return
        layer = self._layer
        if layer is not None:
            self._tend(layer)
        elif framer.pongs:
            edge.counters.keep_alives += framer.pongs
            transport.write(b"\r\n" * framer.pongs)
            framer.pongs = 0
        if self._outbox.bytes and self._proven and not transport.get_write_buffer_size():
            self._outbox.take()
        if messages:
            self.heard, self.partial_at = True, None
            self._backlog.extend(messages)
            self._hand_over(now)
        if self._backlog or (layer is not None and layer.more):
            self._queue()
        elif framer.lost is not None:
            self._take(b"", now)
        elif not framer.pending.strip():  # nothing, or half a ping
            self.partial_at = None
        elif self.partial_at is None:
            self.partial_at = now

    def _hand_over(self, now: float) -> None:
        edge, backlog = self._all.edge, self._backlog
        for _ in range(min(AT_ONCE, len(backlog))):
            edge.counters.received += 1
            edge.receiver.received(backlog.popleft(), self.flow, now)
            if backlog and edge.clock() - now > SHARE_S:
                break
        edge.receiver.flush(now)

    def connection_lost(self, exc: Exception | None) -> None:
        """End; what the peer did not take is unsent."""
        self._all.remove(self)
        reason = self._reason or (error_text(exc) if exc is not None else None)
        if reason is None and not self._proven:
            moment = "right after" if self.ready else "during"
            reason = f"cannot connect: the peer closed {moment} the TLS handshake"
        if isinstance(self._layer, Secured) and self._layer.shaking and not self._deaf:
            self._all.edge.counters.handshakes_failed += 1
        if reason is not None:
            self.fail(reason)
        self.opened.set()
        if self.ready and self.flow.web:
            receiver, now = self._all.edge.receiver, self._all.edge.clock()
            receiver.closed(self.flow, now)
            receiver.flush(now)
        if self._layer is not None:
            self._layer.forget()

    def _open_up(self) -> None:
        """Now messages may go out."""
        self.ready = True
        self.partial_at = None
        for data, flow, _ in self._outbox.take():
            self.send(data, flow)
        self.opened.set()

    def _tend(self, layer: Layer) -> None:
        """Let a layer say what it has to, and hear what it has learnt."""
        self._put(layer.output())
        if layer.open and not self.ready:
            self.flow.names = layer.names
            self._all.verified(self)
            self.heard = self.heard or self.flow.web  # that client may wait for calls
            self._open_up()
        self._proven = self._proven or layer.heard
        self._all.edge.counters.keep_alives += layer.pongs
        layer.pongs = 0

    def _put(self, data: bytes) -> None:
        """Write what is no message."""
        transport = self._transport
        if not data or transport is None or transport.is_closing():
            return
        transport.write(data)
        if transport.get_write_buffer_size() > self._all.limits.unread_bytes:
            self._give_up_reader()

    def _lose(self, error: RemoteProtocolError, now: float) -> None:
        """Nothing more can be read: tell whom it concerns, and close."""
        edge, transport = self._all.edge, self._transport
        assert transport is not None
        if isinstance(error, TlsError):
            early = not self.ready or not self._proven or self._layer is None
            edge.counters.handshakes_failed += early
            if early and self.incoming:
                edge.receiver.refused(self.flow, error.reason, now)
            prefix = "cannot connect: " if early and not self.incoming else ""
            self._reason, self._deaf = self._reason or prefix + error.reason, True
            if self._layer is not None:
                transport.write(self._layer.output() + self._layer.close())  # an alert
            transport.close()
            return
        if isinstance(error, Refused):
            edge.counters.websockets_refused += 1
            edge.receiver.refused(self.flow, error.reason, now)
        elif not isinstance(error, Closed):
            edge.counters.framing_lost += 1
            if not self.flow.web:  # there the close frame is the answer
                edge.receiver.broken(self._framer.pending, self.flow, error.reason, now)
                edge.receiver.flush(now)
        self._turn_deaf(transport)

    def _turn_deaf(self, transport: asyncio.Transport) -> None:
        self._deaf = True
        if not transport.is_closing():
            self._all.edge.loop.call_later(LINGER_S, transport.abort)
            if self._layer is not None:
                transport.write(self._layer.output() + self._layer.close())
            with suppress(OSError):  # the peer has gone in this moment
                transport.write_eof()
