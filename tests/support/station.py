"""A signalling process without signalling: calls as facts, and a real observer that hears of them.

    async with Station(tmp_path) as it:
        it.calls(100)
        await it.everything_is_stored()
        os.kill(await it.observer(), signal.SIGKILL)

Run by path it is a process of its own, for whoever wants to kill it: `station.py FOLDER COUNT`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sipproxy import __version__
from sipproxy.b2bua.events import Fact
from sipproxy.config import Settings
from sipproxy.net.handover import Handover
from sipproxy.net.tap import Tap
from sipproxy.observer.orders import Orders
from sipproxy.propagation.context import TraceContext
from sipproxy.sip.flow import UDP, Flow, Listener
from sipproxy.store import Query
from sipproxy.store.place import Place
from sipproxy.store.reader import Reader
from sipproxy.store.settings import StoreSettings
from sipproxy.store.summary import CallSummary
from sipproxy.supervise import Supervisor
from sipproxy.telemetry.callkey import CallKeys
from sipproxy.telemetry.logs import LineWriter, open_log
from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.meter import Meter
from sipproxy.telemetry.record import SpanRecord
from sipproxy.telemetry.settings import Exporter, TracingSettings
from sipproxy.telemetry.spans import SpanBook
from tests.unit.telemetry.facts import Call, request

DEADLINE_S = 60.0
SPANS = 5  # of a call, once it is over

_TO_LETTERS = str.maketrans("0123456789", "ghijklmnop")
NOT_EXPORTED = TracingSettings(exporter=Exporter.NONE)


class Station:
    """Everything of a worker that has to do with its observer."""

    def __init__(
        self,
        folder: Path,
        *,
        tracing: TracingSettings = NOT_EXPORTED,
        first_wait_s: float = 0.05,
        most_bytes: int | None = None,
        **more: Any,
    ) -> None:
        self._lines = LineWriter()
        self._folder = folder
        settings = Settings(tracing=tracing)
        admin = dataclasses.replace(settings.admin, listen="127.0.0.1:0")
        given = {"store": StoreSettings(path=str(folder)), "admin": admin, **more}
        self.settings = dataclasses.replace(settings, **given)
        self.boot = str(uuid.uuid4())
        self._letters = self.boot[:8].translate(_TO_LETTERS)  # digits in a row could be a phone number
        self.page = self._last_page = ""
        self.asked: list[dict[str, Any]] = []
        self.log_level = "info"
        self._first_wait_s = first_wait_s
        self._bounds = {} if most_bytes is None else {"most_bytes": most_bytes}
        self._made = 0

    async def __aenter__(self) -> Self:
        settings = self.settings
        masker = Masker(settings.privacy)
        self.log = open_log(masker.mask_text, mask_id=masker.mask_id, writer=self._lines)
        self.place = Place.open(settings.store, self.log)
        self._meter = Meter(settings.trunks, self._wall_offset)
        self.keys = CallKeys(self.place.key)
        self.book = SpanBook(masker, self._wall_offset, keys=self.keys, journal=True)
        listeners = [Listener(0, UDP, "192.0.2.9", 5060, "192.0.2.9:5060")]
        self.tap = Tap(
            self._meter.messages, lambda flow: "sbc", listeners, wall_offset=self._wall_offset, copies=True
        )
        self.handover = Handover(
            book=self.book,
            tap=self.tap,
            hello={"boot": self.boot, "version": __version__, "region": settings.region},
            state=lambda: {"meter": self._meter.snapshot(), "draining": False, "loop_lag_s": 0.0},
            command=self.asked.append,
            page=self._page_is,
            log=self.log,
            most_spans=settings.tracing.max_queue,
            **self._bounds,
        )
        self.supervisor = Supervisor(self.handover, self._orders, self.log, first_wait_s=self._first_wait_s)
        self.supervisor.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.ends()

    async def ends(self, timeout_s: float = 10.0) -> None:
        """The end of a clean run; again, nothing more."""
        await self.supervisor.finish(timeout_s)
        self.place.close()
        self._lines.close(1.0)

    def _orders(self) -> Orders:
        return Orders.of(
            self.settings,
            self.place,
            boot=self.boot,
            version=__version__,
            log_level=self.log_level,
            page=self._last_page,
        )

    def _wall_offset(self) -> float:
        return time.time() - time.monotonic()

    def _page_is(self, address: str) -> None:
        self.page = self._last_page = address

    # Calls

    def call(self) -> Call:
        """One that no other is like."""
        self._made += 1
        return Call(
            request=request(call_id=f"call-{self._made}-{self._letters}@192.0.2.1"),
            trace_id=f"{uuid.uuid4().int:032x}",
            parent=None,
        )

    def tells(self, *batches: list[Fact]) -> None:
        """What the core would tell; the times in the facts are seconds from now."""
        for facts in batches:
            now = time.monotonic()
            self._meter.take(facts, now)
            self.handover.put(self.book.take(facts, now))

    def hears(
        self, call: Call, start: str = "INVITE sip:alice@sip.example.com SIP/2.0", call_id: str = ""
    ) -> None:
        """A message of it, on the wire; of its caller's leg unless another Call-ID is given."""
        lines = (
            start,
            "Via: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK-1",
            "From: <sip:+4915550001234@192.0.2.1>;tag=1",
            "To: <sip:alice@sip.example.com>",
            f"Call-ID: {call_id or call.request.call_id}",
            f"CSeq: 7 {start.split()[0]}",
            "Content-Length: 0",
        )
        data = "\r\n".join((*lines, "", "")).encode()
        self.tap.saw(data, Flow(UDP, "192.0.2.1", 5070, 0), time.monotonic(), sent=False)

    def calls(self, count: int) -> list[Call]:
        """So many, from the first INVITE to the end."""
        made = [self.call() for _ in range(count)]
        for call in made:
            self.tells(*call.basic())
        return made

    def begins(self, count: int) -> list[Call]:
        """So many that are answered and go on."""
        made = [self.call() for _ in range(count)]
        for call in made:
            self.tells(*call.until_answered())
        return made

    def end(self, calls: list[Call]) -> None:
        """They hang up."""
        for call in calls:
            self.tells(call.hangs_up())

    # What becomes of them

    async def observer(self, other_than: int | None = None) -> int:
        """Its process id."""
        await self.until(lambda: self.supervisor.pid not in (None, other_than))
        assert self.supervisor.pid is not None
        return self.supervisor.pid

    async def everything_is_stored(self) -> None:
        """All that was told so far."""
        self.handover.flush()
        await self.until(lambda: not self.handover.owes)

    async def until(self, enough: Callable[[], object], timeout_s: float = DEADLINE_S) -> None:
        """Until then."""
        async with asyncio.timeout(timeout_s):
            while not enough():
                await asyncio.sleep(0.005)

    async def asks(self, path: str, body: dict[str, Any] | None = None, method: str = "GET") -> Any:
        """The API's answer, as JSON."""
        await self.until(lambda: self.page)
        headers = {"Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        asking = urllib.request.Request(self.page + path, data, headers, method=method)

        def ask() -> Any:
            with urllib.request.urlopen(asking, timeout=DEADLINE_S) as answer:
                return json.load(answer)

        return await asyncio.to_thread(ask)


def stored_spans(place: Place) -> Counter[str]:
    """Span ids in the store, and how often."""
    reader = Reader(place)
    try:
        return Counter(record.span_id for group in reader.spans() for _, record in group)
    finally:
        reader.close()


def stored_records(place: Place) -> list[SpanRecord]:
    """Finished spans in the store."""
    reader = Reader(place)
    try:
        return [record for group in reader.spans() for _, record in group]
    finally:
        reader.close()


def stored_calls(place: Place) -> list[CallSummary]:
    """All calls in the store."""
    reader = Reader(place)
    try:
        calls, before = list[CallSummary](), None
        while True:
            found = reader.search(Query(before=before, limit=200))
            calls += found.calls
            before = found.next
            if before is None:
                return calls
    finally:
        reader.close()


def span_ids(calls: list[Call]) -> set[str]:
    """Of the spans whose ids are known beforehand: all but the route's."""
    contexts: list[TraceContext] = []
    for call in calls:
        contexts += [call.root, call.attempt, call.caller_dialog, call.callee_dialog]
    return {context.span_id for context in contexts}


async def _serve_until_killed(folder: str, count: int) -> None:
    """`count` calls go on, as many are over; then it says its observer's process id, and waits."""
    async with Station(Path(folder)) as it:
        it.begins(count)
        it.calls(count)
        await it.everything_is_stored()
        it.calls(count)  # and these are on their way when it dies
        it.handover.flush()
        print(await it.observer(), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_until_killed(sys.argv[1], int(sys.argv[2])))
    os._exit(0)
