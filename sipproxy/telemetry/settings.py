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


class Compression(StrEnum):
    """How a request to a collector is packed."""

    NONE = "none"
    GZIP = "gzip"
    DEFLATE = "deflate"


@dataclass(frozen=True, slots=True)
class KeepSettings:
    """Tail sampling, `tracing.keep`: a call that none of these keeps is not exported, but stays stored."""

    slower_than_ms: int | None = field(default=None, metadata={"ge": 0})  # to answer or refuse
    errors: bool = True  # calls with an ERROR span
    transfers: bool = True  # calls that asked for a transfer, or that one caused
    ratio: float = field(default=0.0, metadata={"ge": 0, "le": 1})  # of the others
    wait_s: float = field(default=14400.0, metadata={"gt": 0, "le": 86400})  # for the end of a call


@dataclass(frozen=True, slots=True)
class DestinationSettings:
    """A further collector, under `tracing.destinations`. The OTEL_* variables say nothing about it."""

    endpoint: str  # base URL; for http without /v1/traces
    protocol: Protocol = Protocol.HTTP
    headers: dict[str, str] = field(default_factory=dict, metadata={"secret": True})
    timeout_s: float = field(default=10.0, metadata={"gt": 0, "le": 300})
    compression: Compression = Compression.NONE
    certificate: str | None = None  # file with the authorities to trust, PEM
    client_certificate: str | None = None  # file, PEM
    client_key: str | None = None  # file, PEM


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """The `tracing:` section; a null leaves the value to the OTEL_* variables and their defaults."""

    exporter: Exporter | None = None
    protocol: Protocol | None = None
    endpoint: str | None = None  # base URL; for http without /v1/traces
    headers: dict[str, str] = field(default_factory=dict, metadata={"secret": True})
    timeout_s: float | None = field(default=None, metadata={"gt": 0, "le": 300})
    compression: Compression | None = None
    certificate: str | None = None  # file with the authorities to trust, PEM
    client_certificate: str | None = None  # file, PEM
    client_key: str | None = None  # file, PEM
    destinations: dict[str, DestinationSettings] = field(default_factory=dict)
    service_name: str | None = None
    sample_ratio: float | None = field(default=None, metadata={"ge": 0, "le": 1})
    keep: KeepSettings | None = None  # None: all that is sampled
    max_queue: int = field(default=60_000, metadata={"ge": 512, "le": 10_000_000})  # spans that wait
    batch: int = field(default=512, metadata={"ge": 1, "le": 8192})  # spans in one request
    every_ms: int = field(default=1000, metadata={"ge": 10, "le": 60000})  # the longest a span waits


@dataclass(frozen=True, slots=True)
class PrivacySettings:
    """The `privacy:` section."""

    mask: Mask = Mask.LAST2
    key: str | None = field(default=None, metadata={"secret": True})  # for mask: hash


@dataclass(frozen=True, slots=True)
class HepSettings:
    """The `hep:` section: messages to HOMER, as masked as everywhere."""

    address: str | None = None  # HOST:PORT[;transport=udp|tcp]
    agent_id: int = field(default=2001, metadata={"ge": 1, "le": 4294967295})
    password: str | None = field(default=None, metadata={"secret": True})
    name: str | None = None  # of this capture agent
