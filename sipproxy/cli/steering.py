"""`sipproxy drain` and `sipproxy log-level`: what changes a running proxy."""

from __future__ import annotations

from ..config import Settings
from .calls import Calls, asked, events
from .terminal import Terminal


def drain(settings: Settings, *, url: str | None) -> None:
    """Let the proxy drain as on SIGTERM, and watch until it has gone. Raises SipProxyError."""
    client, terminal = asked(settings, url), Terminal()
    client.send("POST", "drain", body={})
    terminal.line("new calls are refused; Ctrl-C stops watching, not the drain")
    known = Calls()
    left = None
    try:
        for what, _ in events(client, known, draining=True):
            if not what and len(known.known) != left:
                left = len(known.known)
                terminal.line(f"{left} calls left")
    except KeyboardInterrupt:
        terminal.line("the drain goes on")
        return
    terminal.line("the proxy has ended")


def log_level(level: str, settings: Settings, *, url: str | None) -> None:
    """Change how much the proxy logs. Raises SipProxyError."""
    asked(settings, url).send("PUT", "log-level", body={"level": level})
    Terminal().line(f"the log level is {level}")
