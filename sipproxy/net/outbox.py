"""What was given to a connection and may not have left: it is reported when the connection ends badly."""

from __future__ import annotations

from collections import deque

from ..sip.flow import Flow
from . import Edge


class Outbox:
    """Messages in order, with the bytes that each takes on the wire."""

    __slots__ = ("_edge", "_held", "bytes")

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._held: deque[tuple[bytes, Flow, int]] = deque()
        self.bytes = 0

    def add(self, data: bytes, flow: Flow, size: int) -> None:
        """One more."""
        self._held.append((data, flow, size))
        self.bytes += size

    def sent(self, data: bytes, flow: Flow, size: int, unread: int) -> None:
        """One more was written; all but the last so many bytes have left."""
        held = self._held
        held.append((data, flow, size))
        held_bytes = self.bytes + size
        while held and held_bytes - held[0][2] >= unread:
            held_bytes -= held.popleft()[2]
        self.bytes = held_bytes

    def take(self) -> deque[tuple[bytes, Flow, int]]:
        """All of them, for another try."""
        held, self._held, self.bytes = self._held, deque(), 0
        return held

    def fail(self, reason: str) -> None:
        """None of it has left."""
        for data, flow, _ in self.take():
            self._edge.unsent(data, flow, reason)
