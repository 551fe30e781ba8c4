"""OTLP over HTTP: the official exporter resolves the settings and makes the request, our session fills it.

The exporter takes a session of ours. It is given one empty span to export; the session puts the real body
in the place of that one's, sees the answer, and ends a request in which the time is used up: a collector
that hands out its answer byte by byte would otherwise get that time for every byte.
"""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http import Compression as Packing
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import INVALID_SPAN_CONTEXT
from requests.adapters import HTTPAdapter

from .answers import Fault, Outcome, Refusal, of_http
from .otlp import Target
from .settings import Compression

_LONGEST_ANSWER = 65536  # bytes
_PIECE = 4096
_ANSWER_S = 10.0  # seconds, where the exporter names none
_GZIP_LEVEL = 6  # nine takes twice the time for one per cent
_PACKINGS = {
    Compression.NONE: Packing.NoCompression,
    Compression.GZIP: Packing.Gzip,
    Compression.DEFLATE: Packing.Deflate,
}
_THE_EXPORTERS = frozenset({"user-agent", "content-type", "content-encoding"})
_SET_UP = (requests.exceptions.SSLError, requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)
_ANY_SPAN = ReadableSpan("", context=INVALID_SPAN_CONTEXT)


class HttpWay:
    """One exporter, over HTTP."""

    def __init__(self, target: Target) -> None:
        self._session = _Session(target)
        base = target.endpoint
        self._exporter = OTLPSpanExporter(
            endpoint=None if base is None else base.rstrip("/") + "/v1/traces",
            certificate_file=target.certificate,
            client_key_file=target.client_key,
            client_certificate_file=target.client_certificate,
            headers=target.headers or None,
            timeout=target.timeout_s,
            compression=None if target.compression is None else _PACKINGS[target.compression],
            session=self._session,
        )
        if not target.is_main:
            self._session.be_told_alone(target)

    def send(self, body: bytes) -> Outcome:
        """Try once."""
        return self._session.send_instead(body, lambda: self._exporter.export([_ANY_SPAN]))

    def close(self) -> None:
        """Let go of connections; what is being sent fails."""
        self._session.line.cut()
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK forgot its type


class _Line:
    """The connection in use, so that somebody else can cut it."""

    def __init__(self) -> None:
        self.connection: Any = None
        self.listening: Any = (
            None  # its socket, which it may have forgotten when the answer's end is the line's
        )
        self.was_cut = False

    def cut(self) -> None:
        """Whoever waits on the connection sees its end."""
        self.was_cut = True
        used = getattr(self.connection, "sock", None) or self.listening
        if isinstance(used, socket.socket):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(used, socket.SHUT_RDWR)  # TLS's own would only forget its state

    @contextlib.contextmanager
    def cut_after(self, seconds: float) -> Iterator[None]:
        """Cut unless all is done by then."""
        self.was_cut, self.listening = False, None
        timer = threading.Timer(seconds, self.cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


class _Adapter(HTTPAdapter):
    """Tells the line which connection is in use."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **more: Any) -> Any:  # noqa: ANN401  the base's own
        pool: Any = super().get_connection_with_tls_context(*args, **more)
        if not issubclass(pool.ConnectionCls, _Noted):
            pool.ConnectionCls = type("Noted", (_Noted, pool.ConnectionCls), {"line": self._line})
        return pool


class _Noted:
    """In front of the connection classes that the adapter uses."""

    line: _Line

    def connect(self) -> None:
        self.line.connection = self
        super().connect()  # type: ignore[misc]  # of the class behind

    def request(self, *args: Any, **more: Any) -> None:  # noqa: ANN401  the base class's own
        self.line.connection = self
        if self.line.was_cut:
            raise TimeoutError
        super().request(*args, **more)  # type: ignore[misc]  # of the class behind

    def getresponse(self) -> Any:  # noqa: ANN401  the base class's own
        self.line.listening = getattr(self, "sock", None)
        return super().getresponse()  # type: ignore[misc]  # of the class behind


class _Session(requests.Session):
    """Sends the body that it was given in place of the exporter's, and keeps the outcome."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.line = _Line()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(self.line))
        self._headers: dict[str, str] | None = None
        self._body = b""
        self._outcome: Outcome = None

    def be_told_alone(self, target: Target) -> None:
        """What the exporter read in OTEL_* variables was meant for another destination."""
        self._headers = {name.lower(): value for name, value in target.headers.items()}
        self.verify = target.certificate or True
        certificate, key = target.client_certificate, target.client_key
        self.cert = (certificate, key) if certificate and key else certificate

    def send_instead(self, body: bytes, export: Any) -> Outcome:  # noqa: ANN401  what it returns is nothing new
        """Let the exporter export, and say what became of `body`."""
        self._body = body
        self._outcome = Refusal("the exporter sent nothing", Fault.SETUP)
        export()
        return self._outcome

    def request(self, *args: Any, **more: Any) -> requests.Response:  # noqa: ANN401  the base class's own
        """One attempt. A refusal is raised: the exporter repeats nothing that it does not know."""
        headers: dict[str, str] = dict(more.get("headers") or {})
        if self._headers is not None:
            headers = {name: value for name, value in headers.items() if name.lower() in _THE_EXPORTERS}
            headers.update(self._headers)
        if isinstance(self.verify, str):  # else REQUESTS_CA_BUNDLE would win over the settings
            more["verify"] = self.verify
        if any(name.lower() == "authorization" for name in headers):  # else ~/.netrc would win
            more["auth"] = _as_it_is
        headers.setdefault("Accept-Encoding", "identity")
        more.update(headers=headers, data=_packed(self._body, headers), stream=True, allow_redirects=False)
        try:
            with self.line.cut_after(more.get("timeout") or _ANSWER_S):
                response = super().request(*args, **more)
                answer = _read(response)
            if self.line.was_cut:  # which looks like the end of an answer without a length
                raise TimeoutError
        except (requests.RequestException, OSError) as error:
            set_up = isinstance(error, _SET_UP) and not self.line.was_cut
            reason = "timeout" if self.line.was_cut else _cause(error)
            self._outcome = Refusal(reason, Fault.SETUP if set_up else Fault.AWAY)
            raise self._outcome from None
        self._outcome = of_http(response.status_code, response.headers, answer, time.time())
        if isinstance(self._outcome, Refusal):
            raise self._outcome
        return response


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _packed(body: bytes, headers: dict[str, str]) -> bytes:
    """As the exporter says in its headers."""
    packing = next((value for name, value in headers.items() if name.lower() == "content-encoding"), "")
    if packing == "gzip":
        return gzip.compress(body, _GZIP_LEVEL, mtime=0)
    return zlib.compress(body) if packing == "deflate" else body


def _read(response: requests.Response) -> bytes:
    """A collector's answer, of which a few bytes matter: not without bound."""
    body = bytearray()
    with contextlib.suppress(requests.exceptions.ContentDecodingError):  # then its status has to be enough
        for piece in response.iter_content(_PIECE):
            body += piece
            if len(body) > _LONGEST_ANSWER:
                break
    response._content = bytes(body)  # what `stream` leaves to its caller
    response.close()
    return response._content


def _cause(error: BaseException) -> str:
    """`Connection refused` instead of the three exceptions around it."""
    if isinstance(error, requests.Timeout):
        return "timeout"
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        wrapped = inner.args[0] if inner.args and isinstance(inner.args[0], BaseException) else None
        inner = inner.__cause__ or inner.__context__ or wrapped
    return f"{type(error).__name__}: {error}"
