"""The worker's end of the way to the observer: spans and messages leave here, and never make a call wait.

    put, arm ─► 50 ms, or enough of it ─► parcel ─► backlog ─► socket ─► acknowledged, and forgotten

After each connect the observer hears who we are, all that is open, what it is owed, and that this was it. So
it does once spans had to be dropped and there is room again: what those had ended, it would show for ever.
"""

from __future__ import annotations

import asyncio
import json
import marshal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Protocol, TypeVar

from ..telemetry.logs import Log
from ..telemetry.parcel import Message, Note, Parcel, pack
from ..telemetry.record import SpanRecord
from .backlog import Backlog, Owed
from .channel import Channel
from .frames import (
    ACK,
    COMMAND,
    END,
    HELLO,
    MOST_BYTES,
    PAGE,
    PARCEL,
    SETTLED,
    STATE,
    Frame,
    FrameError,
    frame,
)

EVERY_S = 0.050  # the longest that anything waits for company
FULL_BYTES = 1 << 16  # of messages: then at once
FULL_RECORDS = 500
STATE_EVERY_S = 1.0
MOST_OWED = 64 << 20  # bytes
WINDOW = 4 << 20  # bytes that the observer may hold and has not stored
_SLICE = 150  # openings in one frame; with their packing less than half a millisecond


class Book(Protocol):
    """What begins, besides what ends."""

    def gathered(self) -> tuple[list[SpanRecord], list[Note]]: ...

    def openings(self) -> Iterator[SpanRecord]: ...

    def going(self) -> list[Note]: ...


class Tap(Protocol):
    """SIP messages that were sent and received."""

    @property
    def bytes(self) -> int: ...

    def taken(self) -> list[Message]: ...


class Handover:
    """A SpanSink. Made in the loop that has the calls, and used in it alone."""

    def __init__(
        self,
        *,
        book: Book,
        tap: Tap,
        hello: dict[str, Any],
        state: Callable[[], dict[str, Any]],
        command: Callable[[dict[str, Any]], object],
        page: Callable[[str], object],
        log: Log,
        most_spans: int,
        most_bytes: int = MOST_OWED,
        window: int = WINDOW,
    ) -> None:
        self.restarts = 0  # of the observer, as the supervisor counts them
        self._book = book
        self._tap = tap
        self._hello = hello
        self._state = state
        self._command = command
        self._page = page
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._finished: list[SpanRecord] = []
        self._timer: asyncio.TimerHandle | None = None
        self._state_timer: asyncio.TimerHandle | None = None
        self._owed = Backlog(most_spans=most_spans, most_bytes=most_bytes, window=window)
        self._number = 0  # of the last parcel
        self._acked = 0
        self._spans_handed = self._messages_handed = 0
        self._spans_lost = self._messages_lost = 0  # outside the backlog
        self._dropping = False
        self._missed = False  # spans were dropped since it was told what is open
        # The connection
        self._channel: Channel | None = None
        self._lost: Callable[[], object] = _nobody
        self._greeting: Iterator[bytes] | None = None
        self._settled_by: int | None = None  # the parcel after which the greeting is complete
        self._newest_state = b""
        # The end
        self._ending = self._end_sent = self._closed = False
        self._delivered = asyncio.Event()

    # What calls leave here

    def put(self, finished: Sequence[SpanRecord]) -> None:
        """Take finished spans; they leave soon, with what the book and the tap have gathered."""
        if self._closed:
            self._spans_lost += len(finished)
            return
        if finished:
            self._finished += finished
            if len(self._finished) >= FULL_RECORDS:
                self.flush()
                return
        self.arm()

    def arm(self) -> None:
        """Something waits, here or in the book or in the tap."""
        if self._tap.bytes >= FULL_BYTES:
            self.flush()
        elif self._timer is None and not self._closed:
            self._timer = self._loop.call_later(EVERY_S, self.flush)

    def flush(self) -> None:
        """Make parcels of all that waits, and send what the socket takes."""
        self._gather()
        if self._channel is not None:
            self._channel.send()
        self._trim()

    def _gather(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        opened, notes = self._book.gathered()
        finished, self._finished = self._finished, []
        if len(opened) + len(finished) <= 2 * FULL_RECORDS:
            if opened or finished or notes:
                self._owe(Parcel(opened, finished, notes, []))
        else:  # what ends, after all that begins: else it would begin again
            for some in _slices(opened):
                self._owe(Parcel(some, [], [], []))
            for some in _slices(finished):
                self._owe(Parcel([], some, [], []))
            self._owe(Parcel([], [], notes, []))
        if self._tap.bytes:
            for few in _slices(self._tap.taken()):
                self._owe(Parcel([], [], [], few))

    def _owe(self, parcel: Parcel) -> None:
        spans, messages = len(parcel.finished), len(parcel.messages)
        self._spans_handed += spans
        self._messages_handed += messages
        payload = self._packed(parcel)
        if not payload:
            self._spans_lost += spans
            self._messages_lost += messages
            return
        self._number += 1
        self._owed.add(Owed(self._number, frame(PARCEL, self._number, payload), spans, messages))

    def _packed(self, parcel: Parcel) -> bytes:
        """Nothing where that cannot be: a value that is none of the plain ones, a fault of ours."""
        try:
            payload = pack(parcel)
        except ValueError as error:
            self._log.error("internal error", error=repr(error), where="packing a parcel")
            return b""
        return payload if len(payload) <= MOST_BYTES else b""

    def _trim(self) -> None:
        owed, before = self._owed, self.dropped + self.messages_dropped
        if owed.trim():
            self._missed = True
        if not self._dropping and self.dropped + self.messages_dropped > before:
            self._dropping = True
            connected = self._channel is not None
            self._log.warning(
                "observer does not keep up", connected=connected, spans=owed.spans, bytes=owed.bytes
            )

    # What the operator hears

    @property
    def dropped(self) -> int:
        """Spans that were lost since the start."""
        return self._owed.spans_dropped + self._spans_lost

    @property
    def messages_dropped(self) -> int:
        """SIP messages that were lost since the start."""
        return self._owed.messages_dropped + self._messages_lost

    @property
    def owes(self) -> bool:
        """There is something that the observer has not stored yet."""
        return self._owed.bytes > 0

    def figures(self) -> dict[str, int]:
        """What happened since the start, and how much waits."""
        return {
            "spans": self._spans_handed,
            "messages": self._messages_handed,
            "spans_waiting": self._owed.spans,
            "bytes_waiting": self._owed.bytes,
            "spans_dropped": self.dropped,
            "messages_dropped": self.messages_dropped,
            "restarts": self.restarts,
        }

    def _tell_state(self) -> None:
        if self._state_timer is not None:
            self._state_timer.cancel()
        self._state_timer = self._loop.call_later(STATE_EVERY_S, self._every_second)
        try:
            data = marshal.dumps({**self._state(), "handover": self.figures()})
        except ValueError as error:
            self._log.error("internal error", error=repr(error), where="telling the state")
            return
        self._newest_state = frame(STATE, 0, data)

    def _every_second(self) -> None:
        if self._dropping and self._owed.relaxed:
            self._dropping = False
            spans, messages = self.dropped, self.messages_dropped
            self._log.info("observer keeps up again", spans_dropped=spans, messages_dropped=messages)
        self._tell_state()
        self.flush()  # a message that nobody armed for waits in the tap

    # The connection

    def attach(self, connected: socket.socket, lost: Callable[[], object]) -> None:
        """From now on this is the observer. `lost` is told once, when it is gone."""
        self.detach()
        self._lost = lost
        self._end_sent = False
        self._greeting = self._greet()
        self._channel = Channel(connected, more=self._next, received=self._received, lost=self._let_go)
        self._tell_state()
        self._channel.send()

    def detach(self) -> None:
        """Hear its last words, and let go."""
        if self._channel is not None:
            self._channel.drain()

    def _let_go(self, reason: str) -> None:
        self._channel = self._greeting = self._settled_by = None
        if self._state_timer is not None:
            self._state_timer.cancel()
            self._state_timer = None
        if reason:
            self._log.error("observer is not understood", reason=reason)
        self._owed.disconnected()
        self._trim()
        lost, self._lost = self._lost, _nobody
        lost()

    def _greet(self) -> Iterator[bytes]:
        """The rest is told as the socket takes it; meanwhile nothing else is."""
        self._missed = False
        self._settled_by = None
        yield frame(HELLO, self._acked, marshal.dumps(self._hello))
        self._gather()  # of what is over by now, nothing is open
        settled_by, openings = self._number, self._book.openings()
        while some := [*islice(openings, _SLICE)]:
            if payload := self._packed(Parcel(some, [], [], [])):
                yield frame(PARCEL, 0, payload)
        going = self._book.going()
        for start in range(0, len(going), _SLICE):
            if payload := self._packed(Parcel([], [], going[start : start + _SLICE], [])):
                yield frame(PARCEL, 0, payload)
        self._settled_by = settled_by

    def _next(self) -> bytes:
        """The next frame that goes out; nothing: there is none."""
        if self._greeting is not None:
            if data := next(self._greeting, b""):
                return data
            self._greeting = None
        if self._newest_state:
            data, self._newest_state = self._newest_state, b""
            return data
        owed = self._owed
        if self._settled_by is not None and not 0 < owed.next_number <= self._settled_by:
            self._settled_by = None
            return frame(SETTLED)
        if data := owed.next():
            return data
        if owed.all_sent and self._missed:
            self._greeting = self._greet()
            return next(self._greeting)
        if owed.all_sent and self._ending and not self._end_sent:
            self._end_sent = True
            self._look_for_the_end()
            return frame(END)
        return b""

    # What the observer says

    def _received(self, received: Frame) -> None:
        kind, number, payload = received
        if kind == ACK:
            self._acknowledged(number)
        elif kind == PAGE:
            self._page(payload.decode("utf-8", "replace"))
        elif kind == COMMAND:
            try:
                asked = json.loads(payload)
            except ValueError:
                raise FrameError("a command is no JSON") from None
            if not isinstance(asked, dict):
                raise FrameError("a command is no object")
            self._command(asked)
        else:
            raise FrameError(f"not from an observer: kind {kind!r}")

    def _acknowledged(self, number: int) -> None:
        if number > self._number:
            raise FrameError(f"parcel {number} is acknowledged, the last one was {self._number}")
        self._owed.acknowledged(number)
        self._acked = max(self._acked, number)
        if self._channel is not None:
            self._channel.send()
        self._look_for_the_end()

    # The end

    async def finish(self, timeout_s: float) -> None:
        """Send what is left, say that it was all, and wait until it is stored, but no longer than that."""
        self.flush()
        self._ending = True
        if self._channel is not None:
            self._channel.send()
        self._look_for_the_end()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._delivered.wait()

    def _look_for_the_end(self) -> None:
        if self._ending and not self.owes and (self._end_sent or self._channel is None):
            self._delivered.set()

    def close(self, timeout_s: float = 0.0) -> None:
        """Let go at once, and count what was not stored as lost. `finish` is what waits."""
        if self._closed:
            return
        self.flush()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.detach()
        left = self._owed.spans
        self._owed.clear()
        if left:
            self._log.warning("spans were not stored", spans=left)


_Row = TypeVar("_Row")


def _slices(rows: list[_Row]) -> Iterator[list[_Row]]:
    for start in range(0, len(rows), FULL_RECORDS):
        yield rows[start : start + FULL_RECORDS]


def _nobody() -> None:
    """Nobody wants to know."""
