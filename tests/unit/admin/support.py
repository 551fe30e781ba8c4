"""An admin listener on a free port of loopback, fed by stand-ins, and a client that can also be rude."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Protocol, cast

from sipproxy.admin.http import Site, Sources, WorkerState, start
from sipproxy.admin.readers import Readers
from sipproxy.admin.settings import AdminSettings
from sipproxy.store import Changes, Found, Query, StoreError, Story
from sipproxy.store.live import LiveCalls
from sipproxy.store.reader import Reader
from sipproxy.store.summary import TALKING, CallSummary
from sipproxy.telemetry.record import SpanRecord

FOLDER = Path(__file__).parent
TOKEN = "a-token-of-the-operator"
WALL_NS = 1_700_000_000_000_000_000
DEADLINE_S = 10.0


class Run(Protocol):
    """asyncio.run, or uvloop's."""

    def __call__(self, story: Coroutine[Any, Any, None], /) -> None: ...


def call(number: int = 1, **values: object) -> CallSummary:
    """A call that is talking."""
    summary = CallSummary(
        number=number,
        root_id=f"{number:016x}",
        trace_id=f"{number:032x}",
        began_ns=WALL_NS + number * 1_000_000,
        state=TALKING,
        traces=(f"{number:032x}",),
        sender="***34",
        receiver="***89",
        trunks=("sbc", "carrier-a"),
        call_keys=(2 * number, 2 * number + 1),
        call_ids=(f"in-{number}@host", f"out-{number}"),
        answered_ns=WALL_NS + number * 1_000_000 + 10**9,
    )
    return replace(summary, **values)  # type: ignore[arg-type]


def changes(
    added: list[CallSummary] | None = None,
    changed: list[CallSummary] | None = None,
    ended: list[CallSummary] | None = None,
) -> Changes:
    return Changes(added or [], changed or [], ended or [], [], [])


class FakeLive:
    """Live calls that a test puts in."""

    def __init__(self) -> None:
        self.now: list[CallSummary] = []
        self.spans: list[SpanRecord] = []

    def __len__(self) -> int:
        return len(self.now)

    def calls(self) -> Iterator[CallSummary]:
        return iter(self.now)

    def by_id(self, text: str) -> list[CallSummary]:
        return [
            call
            for call in self.now
            if text in (call.root_id, call.trace_id, call.interaction_id, *call.call_ids)
        ]

    def open_spans(self, root_id: str) -> list[SpanRecord]:
        return [span for span in self.spans if span.root_id == root_id]


class FakeReader:
    """Finds what a test put in. `hold` lets a question take until it is interrupted."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._interrupted = threading.Event()
        self.closed = False

    def search(self, query: Query) -> Found:
        self._world.queries.append(query)
        self._dwell()
        if query.before == "broken":
            raise ValueError("no cursor")
        if self._world.fault is not None:
            raise self._world.fault
        return Found(self._world.found[: query.limit], None)

    def story(self, ident: str) -> Story | None:
        self._dwell()
        return self._world.stories.get(ident)

    def raw(self, ident: str, n: int) -> bytes | None:
        return self._world.raw.get((ident, n))

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        self.closed = True

    def _dwell(self) -> None:
        self._interrupted.clear()
        self._world.reading.release()
        if self._world.hold:
            if not self._interrupted.wait(DEADLINE_S):
                raise AssertionError("nobody interrupted it")
            self._world.interrupted += 1
            raise StoreError("interrupted")


class Notes:
    """A log that is kept."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def info(self, event: str, **facts: object) -> None:
        self.lines.append(("info", event, facts))

    def warning(self, event: str, **facts: object) -> None:
        self.lines.append(("warning", event, facts))

    def error(self, event: str, **facts: object) -> None:
        self.lines.append(("error", event, facts))


@dataclass
class World:
    """All that the listener is fed from."""

    live: FakeLive = field(default_factory=FakeLive)
    state: WorkerState = field(default_factory=lambda: WorkerState(age_s=0.4, listening=True))
    found: list[CallSummary] = field(default_factory=list)
    stories: dict[str, Story] = field(default_factory=dict)
    raw: dict[tuple[str, int], bytes] = field(default_factory=dict)
    queries: list[Query] = field(default_factory=list)
    commands: list[dict[str, object]] = field(default_factory=list)
    worker: bool = True
    fault: Exception | None = None
    hold: bool = False
    interrupted: int = 0
    reading: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    log: Notes = field(default_factory=Notes)
    page: Traversable = FOLDER / "page"
    metrics: bytes = b""
    readers: list[FakeReader] = field(default_factory=list)

    def open_reader(self) -> Reader:
        reader = FakeReader(self)
        self.readers.append(reader)
        return cast(Reader, reader)

    def command(self, command: dict[str, object]) -> bool:
        self.commands.append(command)
        return self.worker

    def sources(self) -> Sources:
        return Sources(
            live=lambda: cast(LiveCalls, self.live),
            readers=Readers(self.open_reader),
            keys=lambda text: int(text.removeprefix("key-")) if text.startswith("key-") else 999,
            matrix=lambda: {"trunks": {"sbc": {"arrived": {}, "rejected": {}, "returned": {}}}},
            metrics=lambda accept: (f"# {accept}\n".encode() + self.metrics, "text/plain; version=0.0.4"),
            state=lambda: self.state,
            command=self.command,
            page=self.page,
            log=self.log,
        )


@asynccontextmanager
async def opened(world: World, settings: AdminSettings | None = None) -> AsyncIterator[Site]:
    """A listener that a test talks to."""
    site = await start(settings or AdminSettings(listen="127.0.0.1:0"), world.sources())
    try:
        yield site
    finally:
        await site.close()


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json", self
        return json.loads(self.body)


def address(site: Site) -> tuple[str, int]:
    host, _, port = site.address.removeprefix("http://").rpartition(":")
    return host.strip("[]"), int(port)


async def connected(site: Site) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*address(site), limit=2**24)


async def ask(
    site: Site,
    path: str,
    method: str = "GET",
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    token: str = "",
) -> Reply:
    """One request on a connection of its own."""
    sent = {"Host": site.address.removeprefix("http://"), "Connection": "close", **(headers or {})}
    if token:
        sent["Authorization"] = f"Bearer {token}"
    if body is not None:
        sent = {"Content-Type": "application/json", "Content-Length": str(len(body)), **sent}
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items() if value)
    data = f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("utf-8", "surrogateescape") + (body or b"")
    return await rudely(site, data)


async def rudely(site: Site, data: bytes) -> Reply:
    """Send these bytes, and read what comes until the end."""
    reader, writer = await connected(site)
    try:
        writer.write(data)
        async with asyncio.timeout(DEADLINE_S):
            return parsed(await reader.read())
    finally:
        writer.close()


def parsed(data: bytes) -> Reply:
    head, _, body = data.partition(b"\r\n\r\n")
    line, *rows = head.decode("latin-1").split("\r\n")
    assert line.startswith("HTTP/1."), data[:200]
    headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rows)}
    return Reply(int(line.split()[1]), headers, body)


async def until(met: Callable[[], bool]) -> None:
    """Let the loop go on until it is so."""
    async with asyncio.timeout(DEADLINE_S):
        while not met():
            await asyncio.sleep(0)
