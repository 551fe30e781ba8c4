"""An observer in place of the real one, and what a worker hands over, for tests."""

from __future__ import annotations

import asyncio
import marshal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from sipproxy.net.frames import ACK, END, HELLO, PARCEL, SETTLED, STATE, Frame, FrameReader, frame
from sipproxy.net.handover import Handover
from sipproxy.telemetry.parcel import OVER, Message, Note, Parcel, unpack
from sipproxy.telemetry.record import SERVER, SpanRecord
from tests.unit.net.support import DEADLINE_S


def record(number: int, *, open_: bool = False, more: str = "") -> SpanRecord:
    """A span that can be told from others."""
    return SpanRecord(
        trace_id=f"{number:032x}",
        span_id=f"{number:016x}",
        parent_id="",
        flags=1,
        tracestate="",
        name="INVITE",
        kind=SERVER,
        start_ns=number,
        end_ns=0 if open_ else number + 1,
        failed=False,
        attributes={"sip.trunk": "sbc", "sip.call_id": f"{number:032x}", "user_agent.original": more},
        events=(("100", number, None),),
        dropped_events=0,
        links=(),
        root_id=f"{number:016x}",
    )


def numbers(records: list[SpanRecord]) -> list[int]:
    return [record.start_ns for record in records]


class Lines:
    """A log that can be asked."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def debug(self, event: str, **facts: object) -> None:
        self.lines.append(("debug", event, facts))

    def info(self, event: str, **facts: object) -> None:
        self.lines.append(("info", event, facts))

    def warning(self, event: str, **facts: object) -> None:
        self.lines.append(("warning", event, facts))

    def error(self, event: str, **facts: object) -> None:
        self.lines.append(("error", event, facts))

    @property
    def events(self) -> list[str]:
        return [event for _, event, _ in self.lines]

    def facts(self, event: str) -> dict[str, object]:
        """Of the first such line."""
        return next(facts for _, name, facts in self.lines if name == event)


class Book:
    """What begins: given by the test."""

    def __init__(self) -> None:
        self.opened: list[SpanRecord] = []
        self.notes: list[Note] = []
        self.open: list[SpanRecord] = []
        self.still_going: list[Note] = []

    def begins(self, *numbers: int) -> None:
        for number in numbers:
            self.opened.append(record(number, open_=True))
            self.open.append(self.opened[-1])

    def is_over(self, number: int) -> None:
        self.notes.append((OVER, f"{number:016x}", number))

    def gathered(self) -> tuple[list[SpanRecord], list[Note]]:
        gathered = self.opened, self.notes
        self.opened, self.notes = [], []
        return gathered

    def openings(self) -> Iterator[SpanRecord]:
        yield from [*self.open]

    def going(self) -> list[Note]:
        return [*self.still_going]


class Tap:
    """SIP messages: given by the test."""

    def __init__(self) -> None:
        self.bytes = 0
        self._messages: list[Message] = []

    def hears(self, data: bytes) -> None:
        self._messages.append(Message(1, True, "UDP", "192.0.2.1:5060", "192.0.2.9:5060", data))
        self.bytes += len(data)

    def taken(self) -> list[Message]:
        taken, self._messages = self._messages, []
        self.bytes = 0
        return taken


class Worker:
    """A handover with all around it."""

    def __init__(self, **bounds: int) -> None:
        self.book, self.tap, self.log = Book(), Tap(), Lines()
        self.state: dict[str, Any] = {"draining": False}
        self.commands: list[dict[str, Any]] = []
        self.pages: list[str] = []
        self.losses = 0
        self.observers: list[Observer] = []
        self.handover = Handover(
            book=self.book,
            tap=self.tap,
            hello={"boot": "b1", "version": "1", "region": None, "pid": 1},
            state=lambda: self.state,
            command=self.commands.append,
            page=self.pages.append,
            log=self.log,
            **{"most_spans": 20000, **bounds},
        )

    def _lost(self) -> None:
        self.losses += 1

    def attached(self) -> Observer:
        """An observer that has just connected."""
        ours, theirs = socket.socketpair()
        self.handover.attach(ours, self._lost)
        self.observers.append(Observer(theirs))
        return self.observers[-1]

    async def until(self, enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not enough():
                await asyncio.sleep(0.001)


class Observer:
    """Reads frames when the test wants it to."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._reader = FrameReader()
        self.frames: list[Frame] = []
        self.closed = False

    async def reads(self) -> None:
        """Whatever comes next."""
        data = await asyncio.get_running_loop().sock_recv(self._socket, 1 << 20)
        self.frames += self._reader.feed(data)
        self.closed = not data

    async def until(self, enough: Callable[[], object], *, storing: bool = False) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not enough():
                assert not self.closed, self.kinds
                await self.reads()
                if storing:
                    self.acknowledges()

    async def greeted(self) -> None:
        """All that is open was told, and all that was owed."""
        await self.until(lambda: SETTLED in self.kinds)

    def greeted_meanwhile(self) -> None:
        """The same in a thread, so that reading takes nothing of the worker's time."""
        self._socket.settimeout(DEADLINE_S)
        while SETTLED not in self.kinds:
            self.frames += self._reader.feed(self._socket.recv(1 << 20))
        self._socket.setblocking(False)

    async def spans(self, count: int) -> list[SpanRecord]:
        """The finished spans, once there are so many."""
        await self.until(lambda: len(self.finished) >= count)
        return self.finished

    async def ended(self) -> None:
        await self.until(lambda: END in self.kinds)

    @property
    def kinds(self) -> list[bytes]:
        return [each.kind for each in self.frames]

    @property
    def parcels(self) -> list[tuple[int, Parcel]]:
        return [(each.number, unpack(each.payload)) for each in self.frames if each.kind == PARCEL]

    @property
    def owed(self) -> list[tuple[int, Parcel]]:
        """Those that are to be stored once."""
        return [(number, parcel) for number, parcel in self.parcels if number]

    @property
    def finished(self) -> list[SpanRecord]:
        return [record for _, parcel in self.parcels for record in parcel.finished]

    @property
    def opened(self) -> list[SpanRecord]:
        return [record for _, parcel in self.parcels for record in parcel.opened]

    @property
    def messages(self) -> list[Message]:
        return [message for _, parcel in self.parcels for message in parcel.messages]

    @property
    def last(self) -> int:
        """Number of the last parcel."""
        return max((number for number, _ in self.parcels), default=0)

    def states(self) -> list[dict[str, Any]]:
        return [marshal.loads(each.payload) for each in self.frames if each.kind == STATE]

    def hello(self) -> tuple[int, dict[str, Any]]:
        """The number in the last one, and what it said."""
        last = [each for each in self.frames if each.kind == HELLO][-1]
        return last.number, marshal.loads(last.payload)

    def acknowledges(self, number: int | None = None) -> None:
        self.says(frame(ACK, self.last if number is None else number))

    def says(self, data: bytes) -> None:
        self._socket.send(data)

    def dies(self) -> None:
        self._socket.close()
        self.closed = True


@asynccontextmanager
async def worker(**bounds: int) -> AsyncIterator[Worker]:
    made = Worker(**bounds)
    try:
        yield made
    finally:
        made.handover.close()
        for observer in made.observers:
            observer.dies()
