"""One end of a stream of frames: asks for the next frame when there is room, and gives those that come.

It neither blocks nor waits. What it does at a time is bounded, so whoever shares the loop has a turn.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

from .frames import Frame, FrameError, FrameReader

_TURN_S = 0.001
_READ_BYTES = 1 << 18
_SOCKET_BYTES = 1 << 20  # what is asked of the kernel, which gives what it likes


class Channel:
    """`more` gives the next frame's bytes, or nothing. `lost` is told once; what for, if it was garbage."""

    def __init__(
        self,
        connected: socket.socket,
        *,
        more: Callable[[], bytes],
        received: Callable[[Frame], None],
        lost: Callable[[str], None],
    ) -> None:
        connected.setblocking(False)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        self._more = more
        self._received = received
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader()
        self._blocked = False  # the loop says when to go on
        self._rest = memoryview(b"")  # of the frame that is under way
        self._socket: socket.socket | None = connected
        self._loop.add_reader(connected, self.read)

    @property
    def is_open(self) -> bool:
        """There is another end, as far as we know."""
        return self._socket is not None

    # To the other end

    def send(self) -> None:
        """Write until there is nothing more, the socket is full, or others should have their turn."""
        connected = self._socket
        if connected is None or self._blocked:
            return
        until = time.monotonic() + _TURN_S
        try:
            while self._rest or self._load():
                self._rest = self._rest[connected.send(self._rest) :]
                if time.monotonic() > until:
                    break
            else:
                return
        except BlockingIOError:
            pass
        except OSError:
            return  # it may have said something before it went: whoever reads sees the end
        self._blocked = True
        self._loop.add_writer(connected, self._writable)

    def _load(self) -> bool:
        self._rest = memoryview(self._more())
        return bool(self._rest)

    def _writable(self) -> None:
        if self._socket is not None:
            self._loop.remove_writer(self._socket)
            self._blocked = False
            self.send()

    # From the other end

    def read(self) -> bool:
        """Once; False: there was nothing."""
        connected = self._socket
        if connected is None:
            return False
        reason = ""
        try:
            data = connected.recv(_READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        try:
            for each in self._reader.feed(data):
                self._received(each)
        except FrameError as error:
            data, reason = b"", str(error)
        if not data:
            self.close(reason)
        return True

    def drain(self) -> None:
        """Hear the last words of an end that has gone, and close."""
        while self.read():
            pass
        self.close()

    def close(self, reason: str = "") -> None:
        """Let go."""
        connected, self._socket = self._socket, None
        if connected is None:
            return
        self._loop.remove_reader(connected)
        if self._blocked:
            self._loop.remove_writer(connected)
        connected.close()
        self._lost(reason)
