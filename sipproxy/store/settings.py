"""Settings of the embedded store: where it is, and how much it may hold."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """The `store:` section."""

    path: str | None = None  # a folder; None: $STATE_DIRECTORY, else $XDG_STATE_HOME/sipproxy
    keep_days: float = field(default=7.0, metadata={"gt": 0, "le": 3650})
    max_mb: int = field(default=2048, metadata={"ge": 16})  # calls, spans, messages; the oldest go first
    unsent_mb: int = field(default=1024, metadata={"ge": 16})  # of spans that no collector has taken yet
    messages: bool = True  # keep the SIP messages of calls, masked, for the ladder
