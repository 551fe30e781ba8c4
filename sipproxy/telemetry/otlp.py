"""OTLP by OpenTelemetry's exporters: the bytes are ours, the way is theirs, and a refusal gets its reason.

The SDK's exporters answer yes or no, take a redirect for a yes, repeat for seconds before they say no, and
keep the collector's answer to themselves. Here one attempt is one answer: whoever sends sets the pace.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol as Interface

from ..errors import ConfigurationError
from .answers import Fault, Outcome, Refusal
from .encode import Envelope
from .settings import Compression, DestinationSettings, Exporter, Protocol, TracingSettings

MAIN = "main"  # what `tracing:` itself describes, among its destinations
_OTLP = "OTEL_EXPORTER_OTLP_"
_FILES = ("certificate", "client_certificate", "client_key")


@dataclass(frozen=True, slots=True)
class Target:
    """Where spans go, and how. A None of the main one is left to the OTEL_* variables; others have none."""

    name: str
    protocol: Protocol = Protocol.HTTP
    endpoint: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    compression: Compression | None = None
    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None

    @property
    def is_main(self) -> bool:
        """Do the OTEL_* variables speak of it?"""
        return self.name == MAIN


class Way(Interface):
    """One exporter. `send` is for one thread; `close` comes from any, and ends what is being sent."""

    def send(self, body: bytes) -> Outcome:
        """Try once."""

    def close(self) -> None:
        """Let go of connections."""


class Outlet:
    """Sends batches of encoded spans to one destination."""

    def __init__(self, target: Target) -> None:
        self.name = target.name
        self.endpoint = _shown_endpoint(target)
        _hush()
        faults = list(_missing_files(target))
        if faults:
            raise ConfigurationError(faults)
        try:
            self._way = _way(target)
        except Exception as error:  # whatever the SDK makes of OTEL_* that it cannot use
            raise ConfigurationError([f"{_path(target)}: {type(error).__name__}: {error}"]) from None

    def send(self, envelope: Envelope, spans: Iterable[bytes]) -> Outcome:
        """Try once; None when the collector took them all."""
        try:
            return self._way.send(envelope.around(spans))
        except Exception as error:  # a fault of ours or of the exporter's: the spans wait until it is mended
            return Refusal(f"{type(error).__name__}: {error}", Fault.SETUP)

    def close(self) -> None:
        """Let go of connections; what is being sent fails."""
        self._way.close()


def targets(settings: TracingSettings) -> list[Target]:
    """All destinations that the settings, and for the main one the OTEL_* variables, name.

    Raises ConfigurationError.
    """
    found = [_main(settings)] if exports(settings) else []
    if MAIN in settings.destinations:
        raise ConfigurationError([f"tracing.destinations.{MAIN}: that is the name of `tracing:` itself"])
    return found + [_further(name, further) for name, further in settings.destinations.items()]


def exports(settings: TracingSettings) -> bool:
    """Is there a main destination? Raises ConfigurationError."""
    name = settings.exporter or os.environ.get("OTEL_TRACES_EXPORTER", "").strip() or Exporter.OTLP
    if name == Exporter.NONE or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if name != Exporter.OTLP:
        raise ConfigurationError([f"OTEL_TRACES_EXPORTER: {name!r} is none of otlp, none"])
    return True


def _main(settings: TracingSettings) -> Target:
    return Target(
        MAIN,
        _protocol(settings),
        settings.endpoint,
        settings.headers,
        settings.timeout_s,
        settings.compression,
        settings.certificate,
        settings.client_certificate,
        settings.client_key,
    )


def _further(name: str, settings: DestinationSettings) -> Target:
    return Target(
        name,
        settings.protocol,
        settings.endpoint,
        settings.headers,
        settings.timeout_s,
        settings.compression,
        settings.certificate,
        settings.client_certificate,
        settings.client_key,
    )


def _way(target: Target) -> Way:
    """Each is imported when it is chosen: gRPC alone takes 20 MB."""
    if target.protocol is Protocol.GRPC:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it writes to stderr what it tells us anyway
        from .otlp_grpc import GrpcWay

        return GrpcWay(target)
    from .otlp_http import HttpWay

    return HttpWay(target)


def _protocol(settings: TracingSettings) -> Protocol:
    if settings.protocol is not None:
        return settings.protocol
    name = os.environ.get(_OTLP + "TRACES_PROTOCOL") or os.environ.get(_OTLP + "PROTOCOL") or Protocol.HTTP
    try:
        return Protocol(name)
    except ValueError:
        raise ConfigurationError([f"{_OTLP}PROTOCOL: {name!r} is none of http/protobuf, grpc"]) from None


def _shown_endpoint(target: Target) -> str:
    """For the log."""
    default = "http://localhost:4318" if target.protocol is Protocol.HTTP else "http://localhost:4317"
    environment = os.environ.get(_OTLP + "TRACES_ENDPOINT") or os.environ.get(_OTLP + "ENDPOINT")
    return re.sub(r"//[^@/]*@", "//", target.endpoint or environment or default)


def _path(target: Target) -> str:
    return "tracing" if target.is_main else f"tracing.destinations.{target.name}"


def _missing_files(target: Target) -> Iterable[str]:
    """The exporters would find out at the first span, or take other authorities without a word."""
    for name in _FILES:
        file, path = getattr(target, name), f"{_path(target)}.{name}"
        if file is None and target.is_main:
            variable = next((v for v in _variables(name) if os.environ.get(v)), "")
            file, path = os.environ.get(variable), variable
        if file:
            try:
                Path(file).read_bytes()
            except OSError as error:
                yield f"{path}: {file}: {error.strerror}"


def _variables(name: str) -> tuple[str, str]:
    return f"{_OTLP}TRACES_{name.upper()}", f"{_OTLP}{name.upper()}"


def _hush() -> None:
    """The exporters log each failure; whoever sends tells it once."""
    logger = logging.getLogger("opentelemetry.exporter")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
