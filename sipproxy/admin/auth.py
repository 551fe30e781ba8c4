"""Who may ask the admin listener.

    loopback, no token     anybody on this machine; the Host header must name loopback, or else a web page
                           elsewhere, whose name was made to point here, could read all (DNS rebinding)
    otherwise              whoever has the token, as `Authorization: Bearer TOKEN`
    health and the page    anybody: nothing of a call is in them

A foreign site's page gets nothing, token or not, and cannot make us do anything: what changes something takes
JSON alone, which a browser sends to another site only after asking, and we say nothing that allows it.
"""

from __future__ import annotations

import hmac
from ipaddress import ip_address

from .answers import JSON, Asked, Refused
from .settings import AdminSettings

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="sipproxy"'}
_OWN = ("same-origin", "none")  # Sec-Fetch-Site: our own page, or the operator's address bar


class Guard:
    """Lets a request in, or raises Refused."""

    def __init__(self, settings: AdminSettings) -> None:
        self._token = settings.token.encode() if settings.token else b""

    def check(self, asked: Asked, *, open_to_all: bool) -> None:
        """`open_to_all`: it tells nothing of a call."""
        if not self._token and not _names_loopback(asked.headers.get("Host", "")):
            raise Refused(403, "the Host header names no loopback address; without a token it must")
        if open_to_all:
            return
        if _is_foreign(asked):
            raise Refused(403, "asked by the page of another site")
        if self._token:
            self._check_token(asked.headers.get("Authorization", ""))
        if asked.method in ("POST", "PUT") and _media_type(asked) != JSON:
            raise Refused(415, f"Content-Type must be {JSON}")

    def _check_token(self, authorization: str) -> None:
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise Refused(401, "a bearer token is needed", headers=_CHALLENGE)
        if not hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), self._token):
            raise Refused(401, "the token is wrong", headers=_CHALLENGE)


def is_loopback(host: str) -> bool:
    """Whether this name or address, without a port, can only be this machine."""
    name = host.strip("[]").lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _names_loopback(host: str) -> bool:
    """Of a Host header. One that is absent comes from no browser."""
    if not host:
        return True
    if host.startswith("["):
        return is_loopback(host.partition("]")[0])
    return is_loopback(host.partition(":")[0])


def _is_foreign(asked: Asked) -> bool:
    """Whether a browser asks on behalf of another site's page. A link that is followed is no such thing."""
    site = asked.headers.get("Sec-Fetch-Site", "none")
    return site not in _OWN and asked.headers.get("Sec-Fetch-Mode") != "navigate"


def _media_type(asked: Asked) -> str:
    return asked.headers.get("Content-Type", "").partition(";")[0].strip().lower()
