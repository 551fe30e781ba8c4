"""Settings of spans: where they go, how much is kept, what is masked."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Exporter(StrEnum):
    """Where finished spans go."""

    OTLP = "otlp"
    NONE = "none"


class Protocol(StrEnum):
    """How OTLP travels (names of the OpenTelemetry specification)."""

    HTTP = "http/protobuf"
    GRPC = "grpc"


class Mask(StrEnum):
    """What becomes of a phone number or name before it leaves the process."""

    LAST2 = "last2"
    HASH = "hash"
    FULL = "full"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """The `tracing:` section; a null leaves the value to the OTEL_* variables and their defaults."""

    exporter: Exporter | None = None
    protocol: Protocol | None = None
    endpoint: str | None = None  # base URL; for http without /v1/traces
    headers: dict[str, str] = field(default_factory=dict, metadata={"secret": True})
    timeout_s: float | None = field(default=None, metadata={"gt": 0, "le": 300})
    service_name: str | None = None
    sample_ratio: float | None = field(default=None, metadata={"ge": 0, "le": 1})
    max_queue: int = field(default=20000, metadata={"ge": 512, "le": 10_000_000})  # spans
    batch: int = field(default=512, metadata={"ge": 1, "le": 8192})  # spans in one request
    every_ms: int = field(default=1000, metadata={"ge": 10, "le": 60000})  # the longest a span waits


@dataclass(frozen=True, slots=True)
class PrivacySettings:
    """The `privacy:` section."""

    mask: Mask = Mask.LAST2
    key: str | None = field(default=None, metadata={"secret": True})  # for mask: hash
