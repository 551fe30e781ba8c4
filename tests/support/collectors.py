"""OTLP collectors that answer as they are told, over HTTP and gRPC, in the clear and with TLS.

    def judge(ask: Ask) -> Answer | None: ...      # None: take the spans
    with collector_of(Protocol.HTTP, judge) as collector:
        ... collector.endpoint, collector.spans, collector.asked ...

One answer means the same over both protocols, where both can say it.
"""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Mapping
from concurrent import futures
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import grpc  # type: ignore[import-untyped]  # grpcio ships no types
from google.protobuf.duration_pb2 import Duration  # type: ignore[import-untyped]  # it ships no types
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # nor does this
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from sipproxy.telemetry.settings import Protocol

from . import spans as tree
from .otlp import Receiver
from .spans import Span

_EXPORT = "opentelemetry.proto.collector.trace.v1.TraceService"
_CODES = {  # what the OTLP specification calls the same
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.UNIMPLEMENTED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Ask:
    """A request: its spans, its headers (lower case), and how many bytes came over the wire."""

    spans: list[Span]
    headers: Mapping[str, str]
    wire_bytes: int
    body: bytes  # unpacked


@dataclass(frozen=True, slots=True)
class Answer:
    """What a collector says; `rejected` of 200 means that it took the others."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)  # HTTP alone
    retry_after_s: int = 0
    rejected: int = 0
    message: str = ""
    body: bytes | None = None  # HTTP alone: in place of what OTLP wants
    cut: bool = False  # HTTP alone: close in the middle of the body


Judge = Callable[[Ask], Answer | None]


@dataclass(frozen=True, slots=True)
class Identity:
    """Files of a certificate and its key, and of who vouches for the other side."""

    certificate: Path
    key: Path
    authority: Path


class Collector(Receiver):
    """What both have in common."""

    def __init__(self, judge: Judge | None) -> None:
        super().__init__()
        self.judge: Judge = judge or (lambda _: None)
        self.asked: list[Ask] = []

    def _hear(self, ask: Ask) -> Answer:
        with self._arrived:
            self.asked.append(ask)
            self.requests.append(ask.body)
            self._arrived.notify_all()
        answer = self.judge(ask)
        self._open.wait(60.0)  # a hanging answer ends by itself
        if answer is None or (answer.status == 200 and not answer.cut):
            with self._arrived:
                self.spans.extend(ask.spans[answer.rejected if answer else 0 :])
                self._arrived.notify_all()
        return answer or Answer()


def collector_of(
    protocol: str, judge: Judge | None = None, identity: Identity | None = None, port: int = 0
) -> Collector:
    """One that speaks this protocol."""
    kind = GrpcCollector if protocol == Protocol.GRPC else HttpCollector
    return kind(judge, identity, port)


class Absent:
    """The place of a collector that is away: connections are refused until one takes the port."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind(("127.0.0.1", 0))  # kept, and never listened on
        self._port: int = self._socket.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self._port}"

    def arrive(self) -> Collector:
        """Now it is there."""
        return collector_of(self.protocol, port=self._port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_port = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not trust us, or gave up waiting, is the story of some tests."""


class HttpCollector(Collector):
    """POST /v1/traces."""

    protocol = "http/protobuf"

    def __init__(self, judge: Judge | None = None, identity: Identity | None = None, port: int = 0) -> None:
        super().__init__(judge)
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self._scheme = "http"
        if identity is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(identity.certificate, identity.key)
            context.load_verify_locations(identity.authority)
            context.verify_mode = ssl.CERT_REQUIRED
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
            self._scheme = "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _unpacked(wire: bytes, packing: str) -> bytes:
    if packing == "gzip":
        return gzip.decompress(wire)
    return zlib.decompress(wire) if packing == "deflate" else wire


def _handler(collector: HttpCollector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            wire = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = _unpacked(wire, headers.get("content-encoding", ""))
            self._say(collector._hear(Ask(tree.read_request(body), headers, len(wire), body)))

        def _say(self, answer: Answer) -> None:
            content = answer.body if answer.body is not None else _response(answer).SerializeToString()
            self.send_response(answer.status)
            headers = {"Content-Type": "application/x-protobuf", **answer.headers}
            if answer.retry_after_s:
                headers["Retry-After"] = str(answer.retry_after_s)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content) + 100 * answer.cut))
            try:
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                self.close_connection = True  # whoever asked is not waiting any more
            self.close_connection |= answer.cut

        def log_message(self, format: str, *args: Any) -> None:
            """Keep test output quiet."""

    return Handler


class GrpcCollector(Collector):
    """TraceService/Export."""

    protocol = "grpc"

    def __init__(self, judge: Judge | None = None, identity: Identity | None = None, port: int = 0) -> None:
        super().__init__(judge)
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        export = grpc.unary_unary_rpc_method_handler(
            self._export, response_serializer=ExportTraceServiceResponse.SerializeToString
        )
        service = grpc.method_handlers_generic_handler(_EXPORT, {"Export": export})
        self._server.add_generic_rpc_handlers([service])
        if identity is None:
            self._scheme = "http"
            self._port: int = self._server.add_insecure_port(f"127.0.0.1:{port}")
        else:
            pair = (identity.key.read_bytes(), identity.certificate.read_bytes())
            credentials = grpc.ssl_server_credentials([pair], identity.authority.read_bytes(), True)
            self._scheme = "https"
            self._port = self._server.add_secure_port(f"127.0.0.1:{port}", credentials)
        self._server.start()

    @property
    def endpoint(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._port}"

    def close(self) -> None:
        self._server.stop(grace=0).wait()

    def _export(self, body: bytes, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        headers = {item.key: item.value for item in context.invocation_metadata()}
        answer = self._hear(Ask(tree.read_request(body), headers, len(body), body))
        if answer.status != 200:
            if answer.retry_after_s:
                wait = RetryInfo(retry_delay=Duration(seconds=answer.retry_after_s))
                context.set_trailing_metadata([("google.rpc.retryinfo-bin", wait.SerializeToString())])
            context.abort(_CODES[answer.status], answer.message or "as ordered")
        return _response(answer)


def _response(answer: Answer) -> ExportTraceServiceResponse:
    if not answer.rejected and not answer.message:
        return ExportTraceServiceResponse()
    partial = ExportTracePartialSuccess(rejected_spans=answer.rejected, error_message=answer.message)
    return ExportTraceServiceResponse(partial_success=partial)
