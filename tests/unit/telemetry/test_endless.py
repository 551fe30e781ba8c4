"""A collector whose answer does not end, or comes byte by byte, holds us neither in bytes nor in time."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import pytest
from opentelemetry.sdk.resources import Resource

from sipproxy.telemetry.otlp import Outlet, Refusal
from sipproxy.telemetry.settings import Protocol, TracingSettings
from tests.unit.telemetry.sinks import DEADLINE_S, numbered

TIMEOUT_S = 0.1
PAUSE_S = 0.02  # between two drops; all of them take a second
DROPS = 50
MEGABYTE = 1 << 20
CHUNKED, LENGTH = b"Transfer-Encoding: chunked\r\n\r\n", b"Content-Length: 99999999\r\n\r\n"

GATHERED = pytest.mark.xfail(reason="urllib3 waits for each header line anew, up to a hundred of them")


class Collector:
    """Takes spans and answers `head`, then `piece` again and again, for as long as somebody listens."""

    def __init__(self, status: int, head: bytes, piece: bytes, times: int, pause_s: float = 0.0) -> None:
        self.said = 0  # bytes
        self.left_alone = threading.Event()
        self._closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    self.wfile.write(b"HTTP/1.1 %d Whatever\r\n%b" % (status, head))
                    for _ in range(times):
                        self.wfile.write(piece)
                        outer.said += len(piece)
                        if pause_s and outer._closing.wait(pause_s):
                            break
                except OSError:
                    outer.left_alone.set()

            def log_message(self, format: str, *args: object) -> None:
                """Keep test output quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def takes(self, timeout_s: float) -> Refusal | None:
        """Send it a span."""
        settings = TracingSettings(
            endpoint=f"http://127.0.0.1:{self._server.server_port}",
            protocol=Protocol.HTTP,
            timeout_s=timeout_s,
        )
        outlet = Outlet(settings, Resource({}), "0.1.0")
        try:
            return outlet.send(numbered(range(1)))
        finally:
            outlet.shutdown()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.mark.parametrize(("status", "reason"), [(200, None), (503, "HTTP 503")])
@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (CHUNKED, b"%x\r\n%b\r\n" % (MEGABYTE, b"x" * MEGABYTE)),
        (CHUNKED, b"1\r\nx\r\n" * (MEGABYTE // 6)),
        (LENGTH, b"x" * MEGABYTE),
        (b"\r\n", b"x" * MEGABYTE),
    ],
    ids=["large chunks", "small chunks", "a length", "until it closes"],
)
def test_an_endless_answer_is_not_read_to_its_end(
    status: int, reason: str | None, head: bytes, piece: bytes
) -> None:
    with Collector(status, head, piece, 64) as collector:
        refusal = collector.takes(DEADLINE_S)
        assert collector.left_alone.wait(DEADLINE_S)
    assert (refusal and refusal.reason) == reason
    assert collector.said < 32 * MEGABYTE  # what the kernel takes for both ends, at the most


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (CHUNKED, b"1\r\nx\r\n"),
        (CHUNKED + b"100000\r\n", b"x"),
        (LENGTH, b"x"),
        (b"\r\n", b"x"),
        pytest.param(b"", b"X-Drop: 1\r\n", marks=GATHERED),
    ],
    ids=["chunks", "one chunk", "a length", "until it closes", "headers"],
)
def test_an_answer_that_drips_is_left_in_time(head: bytes, piece: bytes) -> None:
    with Collector(200, head, piece, DROPS, PAUSE_S) as collector:
        began = time.monotonic()
        collector.takes(TIMEOUT_S)
        assert time.monotonic() - began < DROPS * PAUSE_S / 2
