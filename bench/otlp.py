"""A dummy OTLP receiver (http/protobuf) that counts spans: it proves that tracing was on, and costs little.

`python -m bench.otlp` prints its port; `GET /` answers with the number of spans so far. gRPC is not spoken.
"""

import gzip
import http.client
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Buffer = memoryview


def _varint(data: Buffer, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(data: Buffer, wanted: int) -> Iterator[Buffer]:
    """Yield the length-delimited protobuf fields of one number."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 2:
            length, at = _varint(data, at)
            if number == wanted:
                yield data[at : at + length]
            at += length
        elif kind == 0:
            _, at = _varint(data, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"protobuf wire type {kind}")


def count_spans(body: bytes) -> int:
    """Count ExportTraceServiceRequest.resource_spans.scope_spans.spans."""
    return sum(
        1
        for resource_spans in _fields(memoryview(body), 1)
        for scope_spans in _fields(resource_spans, 2)
        for _ in _fields(scope_spans, 2)
    )


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    spans = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        Receiver.spans += count_spans(body)
        self._answer(b"", "application/x-protobuf")

    def do_GET(self) -> None:
        self._answer(str(Receiver.spans).encode(), "text/plain")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing per request."""


def spans_so_far(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return int(connection.getresponse().read())
    finally:
        connection.close()


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    print(server.server_port, flush=True)
    sys.stdout.close()
    server.serve_forever()


if __name__ == "__main__":
    main()
