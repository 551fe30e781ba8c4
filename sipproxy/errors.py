"""Errors that say whose fault it is."""

from __future__ import annotations


class SipProxyError(Exception):
    """Anything that sipproxy raises on purpose."""


class RemoteProtocolError(SipProxyError):
    """The peer broke the protocol; `status` is the SIP response it earns (RFC 3261 section 21)."""

    def __init__(self, reason: str, *, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class LocalProtocolError(SipProxyError):
    """Our own code asked for what the state forbids: always a bug here."""


class ConfigurationError(SipProxyError):
    """The configuration cannot be used; `faults` lists all of them, each with its place."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class StartError(SipProxyError):
    """The proxy cannot start: a port in use, an address that is not ours."""
