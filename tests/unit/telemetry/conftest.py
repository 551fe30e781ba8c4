"""Fixtures of the tests that export."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.support.otlp import GrpcReceiver, HttpReceiver, Receiver
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


@pytest.fixture(params=[HttpReceiver, GrpcReceiver], ids=["http", "grpc"])
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    with request.param() as receiver:
        yield receiver


@pytest.fixture
def collector() -> Iterator[HttpReceiver]:
    """Where the protocol makes no difference."""
    with HttpReceiver() as receiver:
        yield receiver
