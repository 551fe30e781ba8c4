"""The HTTP API from outside: what the commands ask a running proxy."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from ..admin.auth import is_loopback
from ..admin.settings import AdminSettings
from ..admin.shapes import Json
from ..errors import ConfigurationError, SipProxyError
from ..telemetry.masking import clean
from .address import web_address

TOKEN = "SIPPROXY_TOKEN"
PATIENCE_S = 15.0
SILENCE_S = 40.0  # an event stream says something at least every 15 s
_MOST_BYTES = 2**28
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}


class NoProxyError(SipProxyError):
    """Nobody answers there."""


class UnknownIdError(SipProxyError):
    """The proxy knows nothing of that id."""


class Client:
    """One proxy's API."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        self._token = token
        handlers: list[Any] = [_NoRedirects()]
        if is_loopback(urlsplit(url).hostname or ""):
            handlers.append(ProxyHandler({}))  # what is said of proxies in the environment is for elsewhere
        self._opener: OpenerDirector = build_opener(*handlers)

    def get(self, *path: str, **parameters: str | int) -> Json:
        """What stands at `/api/...`, each part of the path as it is."""
        query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in parameters.items())
        return self._asked("GET", self._path(path) + (f"?{query}" if query else ""), None)

    def send(self, method: str, *path: str, body: Mapping[str, object]) -> Json:
        """Ask for a change."""
        return self._asked(method, self._path(path), json.dumps(body).encode())

    def events(self) -> Iterator[tuple[str, int, Json]]:
        """Name, number and data of each event, until the proxy ends the stream; a comment is one without a
        name. Raises NoProxyError when it breaks.
        """
        with self._open("GET", "/api/events", None, SILENCE_S) as response:
            fields: dict[str, str] = {}
            try:
                for row in response:
                    line = row.decode("utf-8", "replace").rstrip("\r\n")
                    if line.startswith(":"):
                        yield "", 0, {}
                    elif line:
                        name, _, value = line.partition(":")
                        fields[name] = value.removeprefix(" ")
                    elif fields:
                        yield fields.get("event", ""), int(fields.get("id", "0")), json.loads(fields["data"])
                        fields = {}
            except (OSError, http.client.HTTPException) as error:
                raise NoProxyError(f"{self.url} answers no longer: {_reason(error)}") from None
            except (ValueError, KeyError):
                raise SipProxyError(f"{self.url}/api/events tells what is no event of ours") from None

    def _path(self, parts: tuple[str, ...]) -> str:
        return "/api/" + "/".join(quote(part, safe="", errors="surrogateescape") for part in parts)

    def _asked(self, method: str, path: str, body: bytes | None) -> Json:
        with self._open(method, path, body, PATIENCE_S) as response:
            try:
                told = json.loads(response.read(_MOST_BYTES))
            except (OSError, http.client.HTTPException) as error:
                raise NoProxyError(f"{self.url} answers no longer: {_reason(error)}") from None
            except (ValueError, RecursionError):  # no JSON, or lists in lists without end
                told = None
        if not isinstance(told, dict):
            raise SipProxyError(f"what answers at {self.url} is no sipproxy")
        return told

    def _open(
        self, method: str, path: str, body: bytes | None, patience_s: float
    ) -> http.client.HTTPResponse:
        request = Request(self.url + path, body, method=method)
        if body is not None:
            request.add_header("Content-Type", "application/json")
        if self._token:
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        try:
            return cast(http.client.HTTPResponse, self._opener.open(request, timeout=patience_s))
        except HTTPError as error:
            with error:
                raise self._refusal(error, path) from None
        except (URLError, OSError, http.client.HTTPException) as error:
            cause = error.reason if isinstance(error, URLError) else error
            raise NoProxyError(f"no proxy answers at {self.url}: {_reason(cause)}") from None

    def _refusal(self, error: HTTPError, path: str) -> SipProxyError:
        if error.code == 401:
            where = f"admin.token of the file (-c), or ${TOKEN}"
            return SipProxyError(f"{self.url} wants {'another' if self._token else 'a'} token: {where}")
        try:
            told = json.loads(error.read(_MOST_BYTES))
            text = clean(str(told["error"]))
            parameter = clean(str(told.get("parameter", "")))
        except (OSError, ValueError, TypeError, KeyError, http.client.HTTPException):
            return SipProxyError(
                f"what answers at {self.url} is no sipproxy (status {error.code} for {path})"
            )
        kind = UnknownIdError if error.code == 404 and parameter == "id" else SipProxyError
        return kind(f"{parameter}: {text}" if parameter and parameter != "id" else text)


def client_of(
    settings: AdminSettings, url: str | None, environment: Mapping[str, str] = os.environ
) -> Client | None:
    """For `--url`, else for `admin.listen`; None where there is neither. Raises ConfigurationError."""
    token = environment.get(TOKEN) or settings.token
    if token and not (token.isascii() and token.isprintable()):
        raise ConfigurationError([f"${TOKEN}: a token is made of printable ASCII characters"])
    if url is None:
        if settings.address is None:
            return None
        host, _, port = settings.address.rpartition(":")
        url = f"http://{_WILDCARDS.get(host, host)}:{port}"
    parts = web_address(url)
    if parts is None:
        raise ConfigurationError([f"{clean(url)!r} is no address of a proxy, such as http://127.0.0.1:8060"])
    return Client(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", token)


@contextmanager
def understood(url: str) -> Iterator[None]:
    """Whatever is made of an answer: one of another shape is somebody else's, or of another version."""
    try:
        yield
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, ArithmeticError, RecursionError):
        raise SipProxyError(f"what answers at {url} is no sipproxy of this version") from None


class _NoRedirects(HTTPRedirectHandler):
    """The API redirects nobody, and the token is for it alone."""

    def redirect_request(self, *_: object) -> None:
        """Take it as the error that it is."""


def _reason(error: object) -> str:
    if isinstance(error, socket.timeout | TimeoutError):
        return "it says nothing"
    return clean(
        (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    )
