"""Sinks that keep or forget."""

from __future__ import annotations

from sipproxy.telemetry.export import MemorySink, NullSink
from tests.unit.telemetry.sinks import a_call


def test_a_memory_sink_keeps_what_it_gets() -> None:
    sink = MemorySink()
    spans = a_call()
    sink.put(spans)
    sink.close(0)
    assert sink.records == spans


def test_a_null_sink_forgets() -> None:
    sink = NullSink()
    sink.put(a_call())
    sink.close(0)
    assert sink.dropped == 0
