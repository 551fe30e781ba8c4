"""OTLP trace receivers for tests, HTTP/protobuf and gRPC, each on a free loopback port.

    with HttpReceiver() as receiver:            # or GrpcReceiver()
        ... give receiver.endpoint and receiver.protocol to whoever exports ...
        receiver.wait_for(5, timeout_s=10)      # spans; or a condition on them

Faults are switched on and off while it runs: `answer_with(503)`, `hang()`, `recover()`.
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Sequence
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self

import grpc  # type: ignore[import-untyped]  # grpcio ships no types
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from . import spans as tree
from .spans import Span

Condition = Callable[[Sequence[Span]], bool]

_EXPORT = "opentelemetry.proto.collector.trace.v1.TraceService"
_HANG_LIMIT_S = 60.0  # a hanging answer ends by itself


class Receiver:
    """Collects spans; the two subclasses are the two ways they arrive."""

    protocol: ClassVar[str]  # as OTEL_EXPORTER_OTLP_PROTOCOL names it

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.requests: list[bytes] = []  # every body, unzipped; also of requests answered with a fault
        self._arrived = threading.Condition()
        self._fault: int | None = None
        self._open = threading.Event()
        self._open.set()

    @property
    def endpoint(self) -> str:
        """Base URL for an exporter's configuration."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop listening."""
        raise NotImplementedError

    def wait_for(self, what: int | Condition, timeout_s: float = 10.0) -> list[Span]:
        """The spans so far, once there are so many or the condition holds; TimeoutError after `timeout_s`."""
        condition: Condition = what if callable(what) else lambda spans: len(spans) >= what
        with self._arrived:
            if not self._arrived.wait_for(lambda: condition(self.spans), timeout_s):
                raise TimeoutError(f"after {timeout_s} s there are only:\n{tree.drawn(self.spans)}")
            return list(self.spans)

    def wait_for_requests(self, count: int, timeout_s: float = 10.0) -> None:
        """Return once so many requests came, also those answered with a fault; else TimeoutError."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.requests) >= count, timeout_s):
                raise TimeoutError(f"{len(self.requests)} of {count} requests after {timeout_s} s")

    def roots(self) -> list[Span]:
        """Spans whose parent did not come here."""
        return tree.roots(self.spans)

    def children(self, parent: Span) -> list[Span]:
        """Spans right below `parent`."""
        return tree.children(self.spans, parent)

    def answer_with(self, code: int) -> None:
        """Refuse from now on: an HTTP status, or a gRPC status code's number."""
        self._fault = code

    def hang(self) -> None:
        """Do not answer from now on, until `recover`."""
        self._open.clear()

    def recover(self) -> None:
        """Answer as one should; requests that hang are answered now."""
        self._fault = None
        self._open.set()

    def _take(self, body: bytes) -> int | None:
        """Note a request; what it is to be refused with, or None when its spans were taken."""
        with self._arrived:
            self.requests.append(body)
            self._arrived.notify_all()
        self._open.wait(_HANG_LIMIT_S)
        if self._fault is not None:
            return self._fault
        found = tree.read_request(body)
        with self._arrived:
            self.spans.extend(found)
            self._arrived.notify_all()
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.recover()
        self.close()


class HttpReceiver(Receiver):
    """POST /v1/traces with protobuf bodies, plain or gzip."""

    protocol = "http/protobuf"

    def __init__(self) -> None:
        super().__init__()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """Without /v1/traces, as the proxy's configuration wants it."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    """Node.js' exporter says no length, it sends chunks."""
    if handler.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return handler.rfile.read(int(handler.headers["Content-Length"]))
    pieces = []
    while size := int(handler.rfile.readline().split(b";")[0], 16):
        pieces.append(handler.rfile.read(size))
        handler.rfile.readline()
    handler.rfile.readline()  # no trailers come
    return b"".join(pieces)


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = _body(self)
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path != "/v1/traces":
                self._answer(404)
            elif self.headers.get("Content-Type") != "application/x-protobuf":
                self._answer(415)
            else:
                self._answer(receiver._take(body) or 200)

        def _answer(self, status: int) -> None:
            body = ExportTraceServiceResponse().SerializeToString()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except ConnectionError:
                self.close_connection = True  # the exporter gave up waiting

        def log_message(self, format: str, *args: Any) -> None:
            """Keep test output quiet."""

    return Handler


class GrpcReceiver(Receiver):
    """TraceService/Export. Bodies are taken as bytes, so `requests` holds what was really sent."""

    protocol = "grpc"

    def __init__(self) -> None:
        super().__init__()
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        export = grpc.unary_unary_rpc_method_handler(
            self._export, response_serializer=ExportTraceServiceResponse.SerializeToString
        )
        service = grpc.method_handlers_generic_handler(_EXPORT, {"Export": export})
        self._server.add_generic_rpc_handlers([service])
        self._port: int = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    @property
    def endpoint(self) -> str:
        """With the scheme that means: no TLS."""
        return f"http://127.0.0.1:{self._port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.stop(grace=0).wait()

    def _export(self, body: bytes, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        code = self._take(body)
        if code is not None:
            context.abort(next(status for status in grpc.StatusCode if status.value[0] == code), "as ordered")
        return ExportTraceServiceResponse()
