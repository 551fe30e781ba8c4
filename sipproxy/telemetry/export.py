"""Where finished spans go. No sink makes the worker wait: without room it drops the oldest, and counts."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from .answers import Fault, Refusal
from .encode import Envelope, encode_span
from .logs import Log
from .otlp import MAIN, Outlet, targets
from .record import SpanRecord
from .resource import envelope_for
from .settings import TracingSettings

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0


class SpanSink(Protocol):
    """The seam between calls and whoever keeps or sends spans."""

    @property
    def dropped(self) -> int:
        """Spans that were lost since the start."""

    def put(self, records: Sequence[SpanRecord]) -> None:
        """Hand over; never blocks."""

    def close(self, timeout_s: float) -> None:
        """Deliver what is left, for at most so long. Nothing is taken any more."""


class NullSink:
    """For `exporter: none`."""

    dropped = 0

    def put(self, records: Sequence[SpanRecord]) -> None:
        """Forget them."""

    def close(self, timeout_s: float) -> None:
        """Nothing is left."""


class MemorySink:
    """Keeps all of them in `records`, for the demo and for tests."""

    dropped = 0

    def __init__(self) -> None:
        self.records: list[SpanRecord] = []

    def put(self, records: Sequence[SpanRecord]) -> None:
        """Keep them."""
        self.records += records

    def close(self, timeout_s: float) -> None:
        """They stay."""


def open_sink(settings: TracingSettings, *, version: str, region: str | None, log: Log) -> SpanSink:
    """The sink that the settings ask for, or else OTEL_TRACES_EXPORTER. Raises ConfigurationError."""
    main = [target for target in targets(settings) if target.name == MAIN]
    if not main:
        return NullSink()
    return OtlpSink(Outlet(main[0]), envelope_for(settings, version, region, str(uuid.uuid4())), settings, log)


class OtlpSink:
    """A bounded queue and the one thread that empties it.

    A batch goes out when it is full or `every_ms` have passed. One that does not arrive goes back to the
    front and is tried again, at growing intervals; meanwhile newer spans push the oldest out.
    """

    def __init__(self, outlet: Outlet, envelope: Envelope, settings: TracingSettings, log: Log) -> None:
        self.dropped = 0
        self._envelope = envelope
        self._outlet = outlet
        self._log = log
        self._most = settings.max_queue
        self._batch = settings.batch
        self._every_s = settings.every_ms / 1000
        self._queue: deque[SpanRecord] = deque()
        self._sending: list[SpanRecord] = []
        self._lock = threading.Lock()  # over the three above and `dropped`; never held while sending
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._closed = threading.Event()
        self._give_up_at = float("inf")
        self._failures = 0  # in a row
        self._failed_at = 0.0
        self._dropped_before = 0
        self._thread = threading.Thread(target=self._run, name="sipproxy-otlp", daemon=True)
        self._thread.start()

    def put(self, records: Sequence[SpanRecord]) -> None:
        """Hand over; never blocks."""
        with self._lock:
            if self._closing.is_set():
                self.dropped += len(records)
                return
            self._queue.extend(records)
            self._trim()
            full = len(self._queue) >= self._batch
        if full and not self._wake.is_set():
            self._wake.set()

    def close(self, timeout_s: float) -> None:
        """Deliver what is left, for at most so long; the thread may stay behind in a request that hangs."""
        if self._closed.is_set():
            return
        self._give_up_at = time.monotonic() + timeout_s
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout_s)
        with self._lock:
            self._closed.set()
            left = len(self._queue) + len(self._sending)
            self._queue.clear()
            self.dropped += left
        if left:
            self._log.warning("spans were not delivered", spans=left, endpoint=self._outlet.endpoint)
        self._outlet.close()

    def _run(self) -> None:
        closing = False
        while not closing:
            self._wake.wait(self._every_s)
            self._wake.clear()
            closing = self._closing.is_set()
            while self._take() and self._send():
                pass

    def _send(self) -> bool:
        """Try what was taken; False when a closing sink has no hope."""
        refusal = self._outlet.send(self._envelope, [encode_span(record) for record in self._sending])
        if not isinstance(refusal, Refusal):
            self._sending = []
            self._succeeded()
            return True
        self._failed(refusal)
        if refusal.fault is Fault.DATA:
            with self._lock:
                self.dropped += len(self._sending)
                self._sending = []
            return True
        self._put_back()
        if not self._closing.is_set():
            self._closing.wait(self._pause_s(refusal))
            return True
        left_s = self._give_up_at - time.monotonic()
        return (
            self._failures < 2 and left_s > 0 and not self._closed.wait(min(left_s, self._pause_s(refusal)))
        )

    # The queue

    def _take(self) -> bool:
        """The next batch, if there is one."""
        with self._lock:
            self._sending = [self._queue.popleft() for _ in range(min(self._batch, len(self._queue)))]
        return bool(self._sending)

    def _put_back(self) -> None:
        with self._lock:
            if not self._closed.is_set():  # else these are counted already
                self._queue.extendleft(reversed(self._sending))
                self._trim()
            self._sending = []

    def _trim(self) -> None:
        while len(self._queue) > self._most:
            self._queue.popleft()
            self.dropped += 1

    # The pace, and what the operator hears of it

    def _pause_s(self, refusal: Refusal) -> float:
        wait = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * (1 << min(self._failures - 1, 10)))
        return max(wait * random.uniform(0.8, 1.2), min(refusal.retry_after_s, _LONGEST_WAIT_S))

    def _failed(self, refusal: Refusal) -> None:
        self._failures += 1
        if self._failures == 1:  # the first of many; the rest would say the same
            self._failed_at = time.monotonic()
            self._dropped_before = self.dropped
            event = "collector refuses spans" if refusal.fault is Fault.DATA else "collector unreachable"
            self._log.warning(
                event, endpoint=self._outlet.endpoint, reason=refusal.reason, keeps_at_most=self._most
            )

    def _succeeded(self) -> None:
        if self._failures:
            self._failures = 0
            away_s = round(time.monotonic() - self._failed_at, 1)
            dropped = self.dropped - self._dropped_before
            self._log.info(
                "collector is back", endpoint=self._outlet.endpoint, after_s=away_s, spans_dropped=dropped
            )
