"""The queue in front of a collector: when that is there, when it is not, and at the end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

import pytest

from sipproxy.telemetry.export import MemorySink, OtlpSink, open_sink
from sipproxy.telemetry.otlp import Outlet, Refusal
from sipproxy.telemetry.record import SpanRecord
from sipproxy.telemetry.settings import TracingSettings
from tests.support.otlp import GrpcReceiver, HttpReceiver, Receiver
from tests.unit.telemetry.sinks import (
    DEADLINE_S,
    SOON_MS,
    Lines,
    a_call,
    numbered,
    numbers,
    settings_for,
    sink_to,
)


def test_spans_leave_in_batches(collector: HttpReceiver, log: Lines) -> None:
    with sink_to(settings_for(collector, every_ms=60_000), log) as sink:
        sink.put(numbered(range(1200)))
        collector.wait_for(1200, DEADLINE_S)
    assert numbers(collector) == list(range(1200))
    assert len(collector.requests) == 3


def test_what_is_left_is_delivered_at_the_end(receiver: Receiver, log: Lines) -> None:
    sink = open_sink(settings_for(receiver, every_ms=60_000), version="0.1.0", region=None, log=log)
    sink.put(numbered(range(3)))
    sink.close(DEADLINE_S)
    assert numbers(receiver) == [0, 1, 2]
    sink.put(numbered(range(3, 5)))  # too late
    assert sink.dropped == 2
    sink.close(DEADLINE_S)
    assert log.events == []


@pytest.mark.parametrize(
    ("kind", "code", "reason"),
    [
        (HttpReceiver, 503, "HTTP 503"),
        (HttpReceiver, 302, "HTTP 302"),
        (HttpReceiver, 404, "HTTP 404"),
        (GrpcReceiver, 14, "UNAVAILABLE"),
        (GrpcReceiver, 16, "UNAUTHENTICATED"),
    ],
)
def test_nothing_is_lost_while_a_collector_refuses(
    kind: type[Receiver], code: int, reason: str, log: Lines
) -> None:
    with kind() as receiver:
        receiver.answer_with(code)
        with sink_to(settings_for(receiver), log) as sink:
            sink.put(numbered(range(3)))
            facts = log.wait_for("collector unreachable")
            sink.put(numbered(range(3, 5)))
            receiver.wait_for_requests(2, DEADLINE_S)
            receiver.recover()
            receiver.wait_for(5, DEADLINE_S)
            log.wait_for("collector is back")
    assert numbers(receiver) == [0, 1, 2, 3, 4]
    assert sink.dropped == 0
    assert str(facts["reason"]).startswith(reason)
    assert facts["endpoint"] == receiver.endpoint
    assert [(level, event) for level, event, _ in log.events] == [
        ("warning", "collector unreachable"),
        ("info", "collector is back"),
    ]


@pytest.mark.parametrize("kind", [HttpReceiver, GrpcReceiver], ids=["http", "grpc"])
def test_a_collector_that_is_away_is_one_line_with_its_reason(
    kind: type[Receiver], log: Lines, capfd: pytest.CaptureFixture[str], root_log: list[logging.LogRecord]
) -> None:
    with kind() as receiver:
        settings = settings_for(receiver)
    sink = open_sink(settings, version="0.1.0", region=None, log=log)
    sink.put(numbered(range(3)))
    facts = log.wait_for("collector unreachable")
    sink.close(DEADLINE_S)  # gives up at the second refusal, not at the deadline
    assert "onnection refused" in str(facts["reason"])
    assert [event for _, event, _ in log.events] == ["collector unreachable", "spans were not delivered"]
    assert sink.dropped == 3
    assert root_log == []
    assert capfd.readouterr().err == ""


def test_the_newest_spans_are_kept(collector: HttpReceiver, log: Lines) -> None:
    collector.answer_with(503)
    with sink_to(settings_for(collector, max_queue=512), log) as sink:
        sink.put(numbered(range(300)))
        log.wait_for("collector unreachable")
        sink.put(numbered(range(300, 900)))
        collector.recover()
        collector.wait_for(512, DEADLINE_S)
        assert log.wait_for("collector is back")["spans_dropped"] == 388
    assert numbers(collector) == list(range(388, 900))
    assert sink.dropped == 388


@pytest.mark.parametrize(("kind", "code"), [(HttpReceiver, 400), (GrpcReceiver, 3)], ids=["http", "grpc"])
def test_a_batch_that_is_bad_is_not_sent_for_ever(kind: type[Receiver], code: int, log: Lines) -> None:
    with kind() as receiver:
        receiver.answer_with(code)
        with sink_to(settings_for(receiver), log) as sink:
            sink.put(numbered(range(3)))
            log.wait_for("collector refuses spans")
            receiver.recover()
            sink.put(numbered(range(3, 4)))
            receiver.wait_for(1, DEADLINE_S)
        assert numbers(receiver) == [3]
        assert sink.dropped == 3
        assert len(receiver.requests) == 2


@pytest.mark.parametrize("kind", [HttpReceiver, GrpcReceiver], ids=["http", "grpc"])
def test_a_collector_that_hangs_neither_blocks_us_nor_our_end(kind: type[Receiver], log: Lines) -> None:
    with kind() as receiver:
        receiver.hang()
        sink = open_sink(settings_for(receiver, timeout_s=30.0), version="0.1.0", region=None, log=log)
        sink.put(numbered(range(600)))
        receiver.wait_for_requests(1, DEADLINE_S)
        sink.put(numbered(range(600, 700)))
        began = time.monotonic()
        sink.close(0.2)
        assert time.monotonic() - began < 5.0
        assert sink.dropped == 700
        assert log.wait_for("spans were not delivered")["spans"] == 700


class Scripted(Outlet):
    """An outlet that fails as told, and notes when it was asked."""

    def __init__(self, *answers: Refusal | None) -> None:
        self.endpoint = "nowhere"
        self.asked: list[float] = []
        self._answers = list(answers)
        self.through = threading.Event()

    def send(self, records: Sequence[SpanRecord]) -> Refusal | None:
        self.asked.append(time.monotonic())
        answer = self._answers.pop(0) if self._answers else None
        if answer is None:
            self.through.set()
        return answer

    def shutdown(self) -> None:
        """Nothing is open."""


def test_attempts_grow_rarer(log: Lines) -> None:
    outlet = Scripted(Refusal("no"), Refusal("no"))
    sink = OtlpSink(outlet, TracingSettings(every_ms=SOON_MS), log)
    sink.put(numbered(range(1)))
    assert outlet.through.wait(DEADLINE_S)
    sink.close(DEADLINE_S)
    first, second = outlet.asked[1] - outlet.asked[0], outlet.asked[2] - outlet.asked[1]
    assert first >= 0.4  # half a second, give or take a fifth
    assert second >= 0.8


def test_a_memory_sink_keeps_what_it_gets() -> None:
    sink = MemorySink()
    spans = a_call()
    sink.put(spans)
    sink.close(0)
    assert sink.records == spans
