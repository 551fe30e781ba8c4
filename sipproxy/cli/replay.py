"""`sipproxy replay`: stored spans once more to the collectors, whether the proxy runs or not."""

from __future__ import annotations

from .. import __version__
from ..config import Settings
from ..errors import SipProxyError
from ..store.place import Place
from ..store.replay import replay as send
from .terminal import Terminal


def replay(settings: Settings, since_ns: int, until_ns: int, to: str | None) -> int:
    """Send them, and tell what became of them; 1 when some did not arrive. Raises SipProxyError."""
    place = Place.find(settings.store)
    if place is None:
        raise SipProxyError("there is no store to read")
    terminal = Terminal()
    with terminal.working("sending") as progress:
        done = send(
            place,
            settings.tracing,
            since_ns,
            until_ns,
            to,
            version=__version__,
            region=settings.region,
            progress=progress,
        )
    terminal.line(f"{done.spans} spans of {done.calls} calls sent again")
    if done.refused:
        terminal.line(f"{done.refused} refused by the collector", "yellow")
    if done.failed:
        terminal.line(f"{done.failed} not sent: {done.reason}", "red")
    return 1 if done.failed or done.refused else 0
