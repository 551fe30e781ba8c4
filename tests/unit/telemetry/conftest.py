"""Fixtures of the tests that export."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from sipproxy.telemetry.settings import Protocol
from tests.support.collectors import Collector, collector_of
from tests.unit.telemetry.sinks import Lines


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "ENDPOINT",
        "TRACES_ENDPOINT",
        "PROTOCOL",
        "TRACES_PROTOCOL",
        "HEADERS",
        "COMPRESSION",
        "TIMEOUT",
    ):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    for name in (
        "OTEL_SERVICE_NAME",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_TRACES_EXPORTER",
        "OTEL_SDK_DISABLED",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def log() -> Lines:
    return Lines()


@pytest.fixture
def root_log() -> Iterator[list[logging.LogRecord]]:
    """What reaches the root logger, and so the operator."""
    records: list[logging.LogRecord] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Keeper()
    logging.getLogger().addHandler(handler)
    yield records
    logging.getLogger().removeHandler(handler)


@pytest.fixture(params=[*Protocol], ids=["http", "grpc"])
def receiver(request: pytest.FixtureRequest) -> Iterator[Collector]:
    with collector_of(request.param) as receiver:
        yield receiver


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Where the protocol makes no difference."""
    with collector_of(Protocol.HTTP) as receiver:
        yield receiver
