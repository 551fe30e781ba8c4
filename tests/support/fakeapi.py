"""The admin listener without a proxy: the page's files with the real headers, and JSON that a test gives.

    with FakeApi() as api:
        api.live = [...]; api.stories["4bf9..."] = {...}
        browser.goto(api.address)
        api.tell("calls", {"added": [...], "changed": [], "ended": []})

It can be stopped and started again at the same port, as the observer is.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

PAGE = Path(__file__).resolve().parents[2] / "sipproxy/admin/page"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)
# Beyond the real one's: text that would become markup is an error in the browser, wherever it happens.
STRICTER = POLICY + "; require-trusted-types-for 'script'; trusted-types 'none'"

_PATIENCE_S = 10.0

Json = Mapping[str, Any]


class Failing(Exception):
    """An answer that is none: status and what the body says."""

    def __init__(self, status: int, **told: str) -> None:
        super().__init__(status)
        self.status = status
        self.told = told


class FakeApi:
    """One listener on loopback."""

    def __init__(self) -> None:
        self.live: list[Json] = []
        self.rows: list[Json] = []
        self.stories: dict[str, Json] = {}
        self.trunks: Json = {}
        self.raw: dict[int, str] = {}
        self.token: str | None = None
        self.asked: list[tuple[str, dict[str, str]]] = []  # path and query of what the API was asked
        self.unauthorised = 0
        self.failures: dict[str, Failing] = {}  # by path
        self._port = 0
        self._ending = False
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._streams: list[queue.SimpleQueue[bytes | None]] = []

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self._port}/"

    def start(self) -> None:
        """Listen; at the port of the time before, if there was one."""
        self._ending = False
        self._server = _Server(("127.0.0.1", self._port), self)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End all connections."""
        assert self._server is not None
        assert self._thread is not None
        with self._changed:
            self._ending = True
            for stream in self._streams:
                stream.put(None)
        self._server.shutdown()
        self._server.server_close()  # waits for the handlers
        self._thread.join()

    def tell(self, name: str, data: Json) -> None:
        """Send an event to all who listen; waits until somebody does."""
        event = f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
        with self._changed:
            if not self._changed.wait_for(lambda: self._streams, _PATIENCE_S):
                raise AssertionError("nobody listens to the events")
            for stream in self._streams:
                stream.put(event)

    def wait_for_listener(self) -> None:
        """Return once somebody follows the events."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._streams, _PATIENCE_S):
                raise AssertionError("nobody listens to the events")

    def wait_asked(self, path: str, times: int = 1) -> dict[str, str]:
        """The query of the latest request for `path`, once there were so many."""

        def those() -> list[dict[str, str]]:
            return [query for asked, query in self.asked if asked == path]

        with self._changed:
            if not self._changed.wait_for(lambda: len(those()) >= times, _PATIENCE_S):
                raise AssertionError(f"{path} was asked {len(those())} times, not {times}")
            return those()[-1]

    def answer(self, path: str, query: dict[str, str]) -> Any:
        """What the API says."""
        with self._changed:
            self.asked.append((path, query))
            self._changed.notify_all()
        if path in self.failures:
            raise self.failures[path]
        parts = [unquote(part) for part in path.split("/")[2:]]
        match parts:
            case ["calls"]:
                return {"calls": self.live, "total": len(self.live)}
            case ["traces"]:
                return self._search(query)
            case ["traces", ident] if ident in self.stories:
                return self.stories[ident]
            case ["traces", _, "raw", number] if int(number) in self.raw:
                return self.raw[int(number)]
            case ["propagation"]:
                return {"trunks": self.trunks}
        raise Failing(404, error="nothing is known of that id")

    def _search(self, query: dict[str, str]) -> Json:
        start, limit = int(query.get("before", "0")), int(query.get("limit", "50"))
        rows = [row for row in self.rows if all(_matches(row, name, value) for name, value in query.items())]
        rows.sort(key=lambda row: -row["began_us"])
        end = start + limit
        return {"calls": rows[start:end], "next": str(end) if end < len(rows) else None}

    def open_stream(self) -> queue.SimpleQueue[bytes | None]:
        """A new listener."""
        stream: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        stream.put(b'event: state\ndata: {"draining": false, "calls": 0}\n\n')
        with self._changed:
            if self._ending:
                stream.put(None)
            self._streams.append(stream)
            self._changed.notify_all()
        return stream

    def close_stream(self, stream: queue.SimpleQueue[bytes | None]) -> None:
        """A listener has gone."""
        with self._changed:
            self._streams.remove(stream)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _matches(row: Json, name: str, value: str) -> bool:
    match name:
        case "id":
            return value in (row["id"], row["trace_id"], row["interaction_id"], *row["call_ids"])
        case "trunk":
            return value in row["trunks"]
        case "outcome":
            return bool(row["outcome"] == value)
        case "slower_than_ms":
            return (row["setup_ms"] or 0) > int(value)
        case "transferred":
            return bool(row["transferred"]) == (value == "true")
    return True


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], api: FakeApi) -> None:
        self.api = api
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that has gone is no error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = 1.0  # an idle connection must not hold up the end

    def do_GET(self) -> None:
        """Serve a file of the page, or the API."""
        path, query = urlsplit(self.path).path, dict(parse_qsl(urlsplit(self.path).query))
        if not path.startswith("/api/"):
            file = PAGE / (path.lstrip("/") or "index.html")
            if file.is_file() and file.parent == PAGE:
                self._send(200, file.read_bytes(), TYPES[file.suffix])
            else:
                self._send(404, b"", "text/plain")
            return
        api = self.server.api
        if api.token is not None and self.headers["Authorization"] != f"Bearer {api.token}":
            api.unauthorised += 1
            self._json(401, {"error": "a bearer token is needed"})
        elif path == "/api/events":
            self._events()
        else:
            try:
                answer = api.answer(path, query)
            except Failing as failing:
                self._json(failing.status, failing.told)
                return
            if isinstance(answer, str):
                self._send(200, answer.encode(), "text/plain")
            else:
                self._json(200, answer)

    def _events(self) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        stream = self.server.api.open_stream()
        try:
            while (event := stream.get()) is not None:
                self.wfile.write(event)
        finally:
            self.server.api.close_stream(stream)

    def _json(self, status: int, told: Any) -> None:
        self._send(status, json.dumps(told, separators=(",", ":")).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", STRICTER)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""
