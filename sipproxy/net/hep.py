"""Copies of SIP messages for HOMER, over UDP or TCP. It may be away, slow or gone: nothing waits for it.

put ──► queue, bounded: the oldest goes ──► socket ──► the collector
                                              │ it fails: the rest of the queue stays, and after a pause,
                                              └ each time a longer one, the name is looked up again
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import socket
from collections import deque
from dataclasses import dataclass
from typing import Final, Self

from ..errors import SipProxyError
from ..sip.flow import join_host
from ..sip.uri import parse_host_port
from ..telemetry.logs import Log
from ..telemetry.parcel import Message
from ..telemetry.settings import HepSettings
from ..telemetry.wire import WireMessage
from . import error_text
from .hep_encode import LARGEST, Agent, Encoder

PORT: Final = 9060
MOST_PACKETS: Final = 10_000
MOST_BYTES: Final = 8 << 20
LARGEST_DATAGRAM: Final = 65507
AT_ONCE: Final = 32  # packets, then the loop's others have their turn
PATIENCE_S: Final = 10.0  # with a connection that does not come about, or takes nothing
LONGEST_PAUSE_S: Final = 30.0
LAST_WORDS_S: Final = 1.0
SILENCE_S: Final = 30.0  # without an ICMP error, then a datagram's collector is taken to be there again


@dataclass(frozen=True, slots=True)
class Collector:
    """Where the packets go."""

    host: str
    port: int
    tcp: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `HOST[:PORT][;transport=udp|tcp]`; raises SipProxyError."""
        place, _, parameter = text.strip().partition(";")
        name, _, transport = parameter.strip().lower().partition("=")
        if parameter and (name != "transport" or transport not in ("udp", "tcp")):
            raise SipProxyError(f"hep.address: only ;transport=udp or tcp may follow, not {parameter!r}")
        host, port = parse_host_port(place)
        return cls(host, port or PORT, transport == "tcp")

    def __str__(self) -> str:
        return f"{'tcp' if self.tcp else 'udp'}:{join_host(self.host, self.port)}"


class HepEmitter:
    """Sends to one collector; everything on the loop that `start` was called on."""

    def __init__(self, settings: HepSettings, log: Log, *, first_pause_s: float = 1.0) -> None:
        self._collector = Collector.parse(settings.address or "127.0.0.1")
        self._encoder = Encoder(Agent(settings.agent_id, settings.password, settings.name))
        self._log = log
        self._first_pause_s = first_pause_s
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._sent = self._dropped = self._refused = 0
        self._turns = 0
        self._connected = False
        self._reason = ""  # why the collector is away

    async def start(self) -> None:
        """Begin; whether the collector is there does not matter."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="hep")

    def put(self, message: Message, wire: WireMessage, correlation: str) -> None:
        """Send a copy of what may be shown of a message. `correlation` is the same for all legs of a call."""
        packet = self._encoder.packet(message, wire.text, correlation)
        most = LARGEST if self._collector.tcp else LARGEST_DATAGRAM
        if packet is None or len(packet) > most or self._task is None:
            self._dropped += 1
            return
        self._queue.append(packet)
        self._queued_bytes += len(packet)
        while len(self._queue) > MOST_PACKETS or self._queued_bytes > MOST_BYTES:
            self._queued_bytes -= len(self._queue.popleft())
            self._dropped += 1
        self._idle.clear()
        self._wake.set()

    def figures(self) -> dict[str, int | str]:
        """`sent`: taken by the system; `dropped`: too many waited, or it was too long; `refused`: how often
        nobody was there, by ICMP for a datagram, else for a connection.
        """
        return {
            "sent": self._sent,
            "dropped": self._dropped,
            "refused": self._refused,
            "queued": len(self._queue),
            "connected": int(self._connected),
            "last_reason": self._reason,
        }

    async def close(self) -> None:
        """Send what waits, if that goes fast, and end."""
        task, self._task = self._task, None
        if task is None:
            return
        if not self._reason:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), LAST_WORDS_S)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        self._dropped += len(self._queue)
        self._queue.clear()
        self._queued_bytes = 0

    async def _run(self) -> None:
        loop, pause_s = asyncio.get_running_loop(), self._first_pause_s
        while True:
            began = loop.time()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    sock = await self._connect()
            except (OSError, TimeoutError) as error:
                self._refused += 1
                self._away(error)
            else:
                await self._converse(sock)
                if loop.time() - began > pause_s:  # it held for a while
                    pause_s = self._first_pause_s
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _connect(self) -> socket.socket:
        loop, collector = asyncio.get_running_loop(), self._collector
        kind = socket.SOCK_STREAM if collector.tcp else socket.SOCK_DGRAM
        failure = OSError("the name leads nowhere")
        for family, _, protocol, _, address in await loop.getaddrinfo(
            collector.host, collector.port, type=kind
        ):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setblocking(False)
                await loop.sock_connect(sock, address)
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failure

    async def _converse(self, sock: socket.socket) -> None:
        """Send until something breaks."""
        self._connected = True
        try:
            if self._collector.tcp:
                await self._stream(sock)
            else:
                await self._send_datagrams(sock)
        except (OSError, TimeoutError) as error:
            self._away(error)
        finally:
            self._connected = False
            sock.close()

    async def _stream(self, sock: socket.socket) -> None:
        self._back()
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self._send_stream(sock)), loop.create_task(_until_closed(sock))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_stream(self, sock: socket.socket) -> None:
        while True:
            packet = await self._next()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await _send(sock, packet)
            except BaseException:  # what arrived of it is no packet, and goes with the connection
                self._queue.appendleft(packet)
                self._queued_bytes += len(packet)
                raise
            self._sent += 1

    async def _send_datagrams(self, sock: socket.socket) -> None:
        clock = asyncio.get_running_loop().time
        began = refused_at = clock()
        while True:
            packet = await self._next()
            for _ in range(2):
                try:
                    await _send(sock, packet)
                except OSError as error:  # mostly what ICMP said of the one before: this one can still go
                    self._refused += 1
                    self._away(error)
                    refused_at = clock()
                else:
                    self._sent += 1
                    break
            else:
                self._dropped += 1
            if self._reason and clock() - refused_at > SILENCE_S:
                self._back()
            if self._reason and clock() - began > SILENCE_S:
                return  # its name may lead elsewhere by now

    async def _next(self) -> bytes:
        self._turns += 1
        if self._turns % AT_ONCE == 0:
            await asyncio.sleep(0)
        while not self._queue:
            self._idle.set()
            self._wake.clear()
            await self._wake.wait()
        packet = self._queue.popleft()
        self._queued_bytes -= len(packet)
        return packet

    def _away(self, error: Exception) -> None:
        reason = "its name is not known" if isinstance(error, socket.gaierror) else error_text(error)
        reason = reason or "no answer"
        if not self._reason:
            self._log.warning("HEP collector away", collector=str(self._collector), reason=reason)
        self._reason = reason

    def _back(self) -> None:
        if self._reason:
            self._log.info("HEP collector back", collector=str(self._collector))
        self._reason = ""


async def _send(sock: socket.socket, packet: bytes) -> None:
    try:
        sent = sock.send(packet)
    except BlockingIOError:
        sent = 0
    if sent < len(packet):
        await asyncio.get_running_loop().sock_sendall(sock, packet[sent:])


async def _until_closed(sock: socket.socket) -> None:
    """A collector says nothing, except that it goes."""
    while await asyncio.get_running_loop().sock_recv(sock, 4096):
        pass
    raise ConnectionResetError(errno.ECONNRESET, "closed by the collector")
