"""What stands between the proxy and a member of the cast when the network is not at its best."""

from __future__ import annotations

import selectors
import socket
import threading
from types import TracebackType
from typing import Self

from . import wire
from .ports import family_of

Address = tuple[str, int]


class _Line:
    """A thread that waits for datagrams on its sockets until it is closed."""

    def __init__(self, host: str, sockets: int) -> None:
        self.sockets = [socket.socket(family_of(host), socket.SOCK_DGRAM) for _ in range(sockets)]
        for each in self.sockets:
            each.bind((host, 0))
        self._wake, self._stop = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        for each in [*self.sockets, self._wake]:
            self._selector.register(each, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def address(self, number: int = 0) -> Address:
        """Where one of the sockets is bound."""
        host, port, *_ = self.sockets[number].getsockname()
        return host, port

    def receive(self, number: int, datagram: bytes) -> None:
        """A datagram came on socket `number`."""
        raise NotImplementedError

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._wake:
                    return
                number = next(n for n, each in enumerate(self.sockets) if each is key.fileobj)
                self.receive(number, self.sockets[number].recv(65535))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.send(b"x")
        self._thread.join()
        self._selector.close()
        for each in [*self.sockets, self._wake, self._stop]:
            each.close()


class Silence(_Line):
    """A peer that hears everything and answers nothing."""

    def __init__(self, host: str) -> None:
        super().__init__(host, 1)
        self.heard: list[wire.Message] = []

    def receive(self, number: int, datagram: bytes) -> None:
        """Note it."""
        self.heard.append(wire.parse(datagram, received=True, transport="UDP"))


class LossyLine(_Line):
    """Loses every datagram the first time it is sent, in both directions; a repeated one gets through.

    So each message of a call must be retransmitted by whoever is responsible for it, and a test with it needs
    no luck. Socket 0 is what the proxy knows as the member, socket 1 what the member knows as the proxy.
    """

    def __init__(self, host: str) -> None:
        super().__init__(host, 2)
        self.ends: tuple[Address, Address] | None = None  # proxy, member: known once both have started
        self.lost: set[tuple[int, bytes]] = set()

    def receive(self, number: int, datagram: bytes) -> None:
        """Pass it on, unless it is new."""
        if (number, datagram) not in self.lost:
            self.lost.add((number, datagram))
        elif self.ends is not None:
            other = 1 - number
            self.sockets[other].sendto(datagram, self.ends[other])
