"""Client transactions by the WebSocket that they went down: when it closes nothing can answer (RFC 7118)."""

from __future__ import annotations

from .flow import Flow
from .transaction import ClientTransaction


class ByWebSocket:
    """Open ones alone."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[int, list[ClientTransaction]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, tx: ClientTransaction, flow: Flow) -> None:
        """It goes out by that flow."""
        self._open.setdefault(flow.connection, []).append(tx)

    def remove(self, tx: ClientTransaction, flow: Flow) -> None:
        """It is over."""
        open_ones = self._open.get(flow.connection)
        if open_ones is not None and tx in open_ones:
            open_ones.remove(tx)
            if not open_ones:
                del self._open[flow.connection]

    def taken(self, flow: Flow) -> list[ClientTransaction]:
        """Those of a connection that is gone; they are not known here any more."""
        return self._open.pop(flow.connection, [])
