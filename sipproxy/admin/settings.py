"""Settings of the admin listener: the page, the API, metrics and health."""

from __future__ import annotations

from dataclasses import dataclass, field

OFF = "off"


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """The `admin:` section. An address other than loopback needs a token."""

    listen: str | None = "127.0.0.1:8060"  # HOST:PORT, IPv6 in brackets; off: no listener
    token: str | None = field(default=None, metadata={"secret": True})  # asked for as a bearer token
    raw: bool = False  # keep messages as they were on the wire too, and show them to whoever has the token
    links: dict[str, str] = field(default_factory=dict)  # name -> URL of another tool, with {trace_id}

    @property
    def address(self) -> str | None:
        """HOST:PORT; None where there is to be no listener."""
        return None if self.listen in (None, OFF) else self.listen
