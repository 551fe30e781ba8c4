"""A collector whose answer does not end, or comes byte by byte, holds us neither in bytes nor in time."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import pytest

from sipproxy.telemetry.answers import Fault, Outcome, Refusal
from sipproxy.telemetry.otlp import MAIN, Outlet, Target
from sipproxy.telemetry.settings import Protocol
from tests.unit.telemetry.sinks import DEADLINE_S, ENVELOPE, encoded

TIMEOUT_S = 0.1
PAUSE_S = 0.02  # between two drops; all of them take a second
DROPS = 50
MEGABYTE = 1 << 20
CHUNKED, LENGTH = b"Transfer-Encoding: chunked\r\n\r\n", b"Content-Length: 99999999\r\n\r\n"


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

    def takes(self, timeout_s: float) -> Outcome:
        """Send it a span."""
        endpoint = f"http://127.0.0.1:{self._server.server_port}"
        outlet = Outlet(Target(MAIN, Protocol.HTTP, endpoint, timeout_s=timeout_s))
        try:
            return outlet.send(ENVELOPE, encoded(range(1)))
        finally:
            outlet.close()

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
    assert (refusal.reason if isinstance(refusal, Refusal) else None) == reason
    assert collector.said < 32 * MEGABYTE  # what the kernel takes for both ends, at the most


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (CHUNKED, b"1\r\nx\r\n"),
        (CHUNKED + b"100000\r\n", b"x"),
        (LENGTH, b"x"),
        (b"\r\n", b"x"),
        (b"", b"X-Drop: 1\r\n"),
    ],
    ids=["chunks", "one chunk", "a length", "until it closes", "headers"],
)
def test_an_answer_that_drips_is_left_in_time(head: bytes, piece: bytes) -> None:
    with Collector(200, head, piece, DROPS, PAUSE_S) as collector:
        began = time.monotonic()
        refusal = collector.takes(TIMEOUT_S)
        assert time.monotonic() - began < DROPS * PAUSE_S / 2
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.fault) == ("timeout", Fault.AWAY)
