"""The web server of examples/webrtc for tests: its files, JsSIP from npm, and the way to the collector."""

from __future__ import annotations

import base64
import ssl
import threading
import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from google.protobuf import json_format  # type: ignore[import-untyped]  # it ships no types
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.collectors import Identity
from tests.support.proxy import ROOT

EXAMPLE = ROOT / "examples/webrtc"


class WebServer:
    """Files of the page, its packages from `library`; with an identity by https.

    What the page POSTs to v1/traces goes to `collector`.
    """

    def __init__(self, library: Path, collector: str, identity: Identity | None = None) -> None:
        handler = partial(_Handler, library=library, collector=collector)
        self._server = _Server(("127.0.0.1", 0), handler)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        if identity is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(identity.certificate, identity.key)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
            self.origin = f"https://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser closes connections that it opened to have them ready."""


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: Any, library: Path, collector: str) -> None:
        self._library, self._collector = library, collector
        super().__init__(*arguments, directory=str(EXAMPLE))

    def translate_path(self, path: str) -> str:
        """`node_modules` is where npm has put it for the tests."""
        found = super().translate_path(path)
        own = str(EXAMPLE / "node_modules")
        return found.replace(own, str(self._library), 1)

    def do_POST(self) -> None:
        """Spans in OTLP's JSON, which a collector takes as they are; the tests' one wants protobuf."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/traces", self.path
        request = urllib.request.Request(
            f"{self._collector}/v1/traces", _protobuf(body), {"Content-Type": "application/x-protobuf"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            self.send_response(answer.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Keep test output quiet."""


def _protobuf(body: bytes) -> bytes:
    """OTLP's JSON has ids in hex where protobuf's has base64; what OTLP does not know is a fault."""
    request = json_format.Parse(body, ExportTraceServiceRequest())
    for group in request.resource_spans:
        for scope in group.scope_spans:
            for span in scope.spans:
                for name in ("trace_id", "span_id", "parent_span_id"):
                    setattr(span, name, bytes.fromhex(base64.b64encode(getattr(span, name)).decode()))
    encoded: bytes = request.SerializeToString()
    return encoded
