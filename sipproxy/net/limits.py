"""How much of connections there may be, and how long each thing may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """Bounds on connections. Times in seconds, sizes in bytes."""

    connect_s: float = 4.0  # hands shaken
    idle_s: float = 600.0
    first_message_s: float = 30.0  # also for the rest of a message that has begun, and to shake hands
    waiting_bytes: int = 256 << 10  # while connecting
    unread_bytes: int = 1 << 20  # written, not taken by the peer
    per_source: int = 1000  # incoming
    total: int = 10_000  # incoming; lower where the process may not open so many files
