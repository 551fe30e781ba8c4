"""Sends the outbox to one destination, for as long as it takes.

A batch goes out when it is full or its oldest span has waited for `every_ms`. One that does not arrive is
tried again at growing intervals, or when the collector says; meanwhile everything waits in the store. A
collector that refuses the data gets halves of the batch (`sieve.py`): what it refuses alone, while it takes
the rest, is set aside; where it refuses everything it is at fault, and everything waits.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ..errors import ConfigurationError
from ..telemetry.answers import Fault, Outcome, Refusal
from ..telemetry.encode import Envelope
from ..telemetry.logs import Log
from ..telemetry.otlp import Outlet, targets
from ..telemetry.settings import TracingSettings
from .bulletin import Bulletin
from .cursor import Batch, Cursor
from .outbox import ROW_BYTES
from .sieve import Sieve

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
LONGEST_RETRY_AFTER_S = 300.0
_SMALLEST_ROOM = 16_384  # bytes of spans in a request to a collector that takes no large ones
_TO_COMPARE = (64, 8 * ROW_BYTES)  # spans at least, and bytes, of a batch after one that was refused whole
_AT_ONCE_S = 0.001
_LOOK_S = 1.0  # how old the figures may be
_SHUTDOWN_S = 1.0  # for a thread whose request was just ended


class Sender(Protocol):
    """An `Outlet`, as far as it is used here."""

    name: str
    endpoint: str

    def send(self, envelope: Envelope, spans: list[bytes]) -> Outcome:
        """Try once."""

    def close(self) -> None:
        """From any thread; what is being sent fails."""


class Forwarder:
    """One destination, one thread. `file` is the store's; it may come later, and may be replaced."""

    def __init__(
        self,
        file: Path,
        outlet: Sender,
        *,
        batch: int,
        every_s: float,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = lambda: random.uniform(0.8, 1.2),
    ) -> None:
        self.name = outlet.name
        self._outlet = outlet
        self._bulletin = Bulletin(log, outlet.name, outlet.endpoint)
        self._clock = clock
        self._jitter = jitter
        self._cursor = Cursor(file, outlet.name)
        self._files = 0
        self._most = batch
        self._room = ROW_BYTES
        self._every_s = every_s
        self._batch: Batch | None = None
        self._sieve = Sieve([], random.shuffle)
        self._rejected = 0  # spans of the batch that the collector threw away
        self._compares = False  # the last batch was refused whole
        self._waits_since: float | None = None  # the oldest span, as far as we know
        self._due_upto = 0  # by the cursor's count
        self._not_before = 0.0
        self._in_a_row = 0  # failures, of collector or store
        self._queued = 0
        self._looked_at = 0.0
        self._figures: dict[str, int | str] = {}
        self._note()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._give_up_at = float("inf")
        self._thread = threading.Thread(target=self._run, name=f"forward-{outlet.name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There may be more; from any thread."""
        self._wake.set()

    def figures(self) -> dict[str, int | str]:
        """From any thread, at once. Spans are counted since the store began, failures since we did.

        refused: the collector did not want them; dropped: there was no room for them on the disk
        """
        return self._figures

    def close(self, timeout_s: float) -> None:
        """Send what can be sent in that time; the rest stays in the store."""
        self._give_up_at = self._clock() + timeout_s
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self._outlet.close()
        if self._thread.is_alive():
            self._thread.join(_SHUTDOWN_S)
        if self._thread.ident is None:  # it was never started
            self._cursor.close()
        self._bulletin.ended(self._queued)

    def _run(self) -> None:
        while not self._closing.is_set():
            pause_s = self.step(self._clock())
            if pause_s > 0:
                self._wake.wait(pause_s)
                self._wake.clear()
        self._not_before, self._in_a_row = 0.0, 0  # once more, also where the next try was not due yet
        while not self._in_a_row and self._clock() < self._give_up_at and self.step(self._clock()) <= 0:
            pass
        self._cursor.close()

    # One step

    def step(self, now: float) -> float:
        """Make one request, if one is due; in how many seconds to ask again."""
        if now < self._not_before:
            self._look(now)
            return self._not_before - now
        try:
            pause_s = self._advance(now)
            self._queued = self._cursor.queued
        except sqlite3.Error as error:
            self._cursor.close()
            self._bulletin.store_failed(error)
            return self._pause(now)
        except Exception as error:  # a fault of ours: told, and tried again like any other
            self._batch = None
            self._bulletin.broke(error)
            return self._pause(now)
        self._note()
        return pause_s

    def _look(self, now: float) -> None:
        """Nothing is due, but more and more may wait."""
        if now - self._looked_at < _LOOK_S:
            return
        self._looked_at = now
        with contextlib.suppress(sqlite3.Error):  # which is told when something is due
            if self._cursor.open():
                self._queued = self._cursor.queued
                self._bulletin.dropped(self._cursor.tally.dropped)
                self._note()

    def _advance(self, now: float) -> float:
        """0: there may be more to do."""
        if not self._cursor.open():
            return self._every_s
        self._bulletin.store_succeeded()
        self._bulletin.dropped(self._cursor.tally.dropped)
        if self._files != self._cursor.files:
            self._files, self._batch, self._due_upto = self._cursor.files, None, 0
        if self._batch is None:
            pause_s = self._take(now)
            if pause_s > 0:
                return pause_s
        return self._send(now)

    def _take(self, now: float) -> float:
        """The next batch, if it is full or a span has waited for long enough; else how long that takes."""
        queued = self._cursor.queued
        if not queued:
            self._waits_since = None
            return self._every_s
        position = self._cursor.position
        if self._waits_since is None:
            self._waits_since = now
        due_s = self._waits_since + self._every_s - now
        if due_s <= 0 or self._closing.is_set():
            self._due_upto = position + queued  # all of these, in however many requests
        elif queued < self._most and position >= self._due_upto:
            return due_s
        most, room = self._most, self._room
        if self._compares:
            most, room = max(most, _TO_COMPARE[0]), _TO_COMPARE[1]
        self._batch = self._cursor.next(most, room)
        if self._batch is None:
            return self._every_s
        self._waits_since = None
        if not self._batch.spans:  # nothing of it can be read
            batch, self._batch = self._batch, None
            self._cursor.arrived(batch)
            return _AT_ONCE_S
        self._sieve = Sieve(self._batch.spans, random.shuffle)
        self._rejected = 0
        return 0.0

    def _send(self, now: float) -> float:
        """One request, and what follows from its answer."""
        batch, sieve = self._batch, self._sieve
        assert batch is not None
        answer = self._outlet.send(batch.envelope, sieve.group)
        if isinstance(answer, Refusal):
            if answer.fault in (Fault.AWAY, Fault.SETUP):
                return self._failed(answer, now)
            if answer.fault is Fault.SIZE:
                self._room = max(_SMALLEST_ROOM, self._room // 2)
            sieve.refused(answer.reason)
            if sieve.is_hopeless:
                self._batch, self._compares = None, True  # with more beside it the fault may show
                return self._failed(answer, now)
        else:
            if answer is not None:
                self._rejected += min(answer.rejected, len(sieve.group))
                self._bulletin.taken_in_part(answer)
            sieve.taken()
            self._in_a_row, self._compares = 0, False
            self._bulletin.succeeded(now)
        if not sieve.group:
            self._done(batch)
        return 0.0

    def _done(self, batch: Batch) -> None:
        aside = self._sieve.aside
        if aside:
            self._bulletin.set_aside(aside)
        self._batch = None
        self._cursor.arrived(batch, refused=self._rejected, aside=aside)

    def _failed(self, refusal: Refusal, now: float) -> float:
        self._bulletin.failed(refusal, now)
        return self._pause(now, min(refusal.retry_after_s, LONGEST_RETRY_AFTER_S))

    def _pause(self, now: float, at_least_s: float = 0.0) -> float:
        self._in_a_row += 1
        wait_s = FIRST_WAIT_S * (1 << min(self._in_a_row - 1, 10)) * self._jitter()
        pause_s = max(min(wait_s, LONGEST_WAIT_S), at_least_s)
        self._not_before = now + pause_s
        return pause_s

    def _note(self) -> None:
        exported, refused, dropped, sampled_out = self._cursor.tally
        self._figures = {
            "endpoint": self._outlet.endpoint,
            "exported": exported,
            "refused": refused,
            "dropped": dropped,
            "sampled_out": sampled_out,
            "queued": self._queued,
            "failures": self._bulletin.failures,
            "last_reason": self._bulletin.reason,
        }


def open_forwarders(file: Path, tracing: TracingSettings, log: Log) -> list[Forwarder]:
    """One for each destination of the settings; `file` is the store's. Raises ConfigurationError.

    What is for a destination that cannot be opened (a certificate is missing, say) waits for the next start.
    """
    every_s = tracing.every_ms / 1000
    found: list[Forwarder] = []
    for target in targets(tracing):
        try:
            outlet = Outlet(target)
        except ConfigurationError as error:
            log.error("spans wait in the store", collector=target.name, reason="; ".join(error.faults))
        else:
            found.append(Forwarder(file, outlet, batch=tracing.batch, every_s=every_s, log=log))
    return found
