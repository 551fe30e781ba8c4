"""Spans to send, outlets to send them with, and a log that can be waited for, for tests."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from sipproxy.telemetry.encode import encode_span
from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.otlp import Outlet, targets
from sipproxy.telemetry.record import SpanRecord
from sipproxy.telemetry.resource import envelope_for
from sipproxy.telemetry.settings import PrivacySettings, Protocol, TracingSettings
from sipproxy.telemetry.spans import SpanBook
from tests.support.otlp import Receiver
from tests.unit.telemetry.facts import SENDER, Call, request

DEADLINE_S = 15.0
SOON_MS = 20
ENVELOPE = envelope_for(TracingSettings(), "0.1.0", None, "boot-1")


class Lines:
    """A log that can be waited for."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, object]]] = []
        self._came = threading.Condition()

    def _write(self, level: str, event: str, facts: dict[str, object]) -> None:
        with self._came:
            self.events.append((level, event, facts))
            self._came.notify_all()

    def info(self, event: str, **facts: object) -> None:
        self._write("info", event, facts)

    def warning(self, event: str, **facts: object) -> None:
        self._write("warning", event, facts)

    def error(self, event: str, **facts: object) -> None:
        self._write("error", event, facts)

    @property
    def names(self) -> list[str]:
        return [event for _, event, _ in self.events]

    def wait_for(self, event: str) -> dict[str, object]:
        """The facts of the first such line."""
        with self._came:
            assert self._came.wait_for(lambda: self._find(event), DEADLINE_S), self.events
            return self._find(event)[0]

    def _find(self, event: str) -> list[dict[str, object]]:
        return [facts for _, name, facts in self.events if name == event]


def settings_for(
    receiver: Receiver, *, every_ms: int = SOON_MS, timeout_s: float = 5.0, **more: Any
) -> TracingSettings:
    return TracingSettings(
        protocol=Protocol(receiver.protocol),
        endpoint=receiver.endpoint,
        timeout_s=timeout_s,
        every_ms=every_ms,
        **more,
    )


@contextlib.contextmanager
def outlet_for(settings: TracingSettings, name: str = "main") -> Iterator[Outlet]:
    """The one of that name."""
    (target,) = [target for target in targets(settings) if target.name == name]
    outlet = Outlet(target)
    try:
        yield outlet
    finally:
        outlet.close()


def a_call() -> list[SpanRecord]:
    call = Call(request=request(more="User-Agent: Caf\u00e9 \udce9\n"), rtt_ms=1.5)
    call.origin.links = [SENDER]
    book = SpanBook(Masker(PrivacySettings()), time.time())
    return [span for facts in call.basic() for span in book.take(facts, 0.0004)]


def numbered(numbers: range) -> list[SpanRecord]:
    """Spans that can be told apart by `sip.cseq`."""
    span = a_call()[1]
    return [span._replace(span_id=f"{n + 1:016x}", attributes={"sip.cseq": n}) for n in numbers]


def encoded(numbers: range) -> list[bytes]:
    return [encode_span(span) for span in numbered(numbers)]


def numbers(receiver: Receiver) -> list[object]:
    return [span.attributes["sip.cseq"] for span in receiver.spans]
