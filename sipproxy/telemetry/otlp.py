"""OTLP by OpenTelemetry's exporters: records become `ReadableSpan`, and a refusal gets its reason.

The SDK's exporters answer yes or no, take a redirect for a yes, repeat for seconds before they say no,
and log the reason themselves. Here a refusal is told at once, with its reason: whoever sends sets the pace.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, overload

import requests
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState
from opentelemetry.util.types import AnyValue

from ..errors import ConfigurationError
from .record import MOST_EVENTS, PARENT_IS_REMOTE, SpanRecord
from .settings import Protocol, TracingSettings

_OTLP = "OTEL_EXPORTER_OTLP_"
_BREATH_EVERY, _BREATH_S = 16, 0.0002  # spans; so nobody waits for the interpreter longer than these take
_KINDS = {kind.name: kind for kind in SpanKind}
_FINE, _FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
_BAD_DATA = frozenset({400, 413, 414, 422})  # what the same spans would meet again
_LONGEST_REASON = 200


class Refusal(Exception):
    """Spans did not arrive. `permanent`: these never will. `retry_after_s`: the collector named a time."""

    def __init__(self, reason: str, *, permanent: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason[:_LONGEST_REASON]
        self.permanent = permanent
        self.retry_after_s = retry_after_s


class Outlet:
    """Sends batches of records through one exporter."""

    def __init__(self, settings: TracingSettings, resource: Resource, version: str) -> None:
        protocol = _protocol(settings)
        self.endpoint = _shown_endpoint(settings, protocol)
        self._resource = resource
        self.scope = InstrumentationScope("sipproxy", version)
        self._session: _Session | None = None
        _catch_words()
        try:
            self._exporter = self._http(settings) if protocol is Protocol.HTTP else _grpc(settings)
        except Exception as error:  # whatever the SDK makes of OTEL_* that it cannot use
            raise ConfigurationError([f"tracing: {type(error).__name__}: {error}"]) from None

    def _http(self, settings: TracingSettings) -> SpanExporter:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        self._session = _Session()
        base = settings.endpoint
        return OTLPSpanExporter(
            endpoint=None if base is None else base.rstrip("/") + "/v1/traces",
            headers=settings.headers or None,
            timeout=settings.timeout_s,
            session=self._session,
        )

    def send(self, records: Sequence[SpanRecord]) -> Refusal | None:
        """Try once; None when the collector took them."""
        _words.last = ""
        if self._session is not None:
            self._session.refusal = None
        try:
            result = self._exporter.export(_Batch(records, self._resource, self.scope))
        except Refusal as refusal:
            return refusal
        except Exception as error:  # a span that cannot be encoded: a fault of ours, and no reason to stop
            return Refusal(f"{type(error).__name__}: {error}", permanent=True)
        if result is SpanExportResult.SUCCESS:
            return None
        if self._session is not None:
            return self._session.refusal or Refusal(_words.last, permanent=True)
        reason = _words.last.rpartition("error code: StatusCode.")[2]
        return Refusal(reason, permanent=reason.startswith("INVALID_ARGUMENT"))

    def shutdown(self) -> None:
        """Let go of connections."""
        self._exporter.shutdown()


def resource_of(settings: TracingSettings, version: str, region: str | None) -> Resource:
    """What describes this process: OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME, but the file wins."""
    ours = {
        "service.name": "sipproxy",
        "service.version": f"{version}+{region}" if region else version,
        "service.instance.id": str(uuid.uuid4()),
    }
    file = {"service.name": settings.service_name, "cloud.region": region}
    said = Resource({name: value for name, value in file.items() if value})
    merged = Resource.create(ours).merge(OTELResourceDetector().detect()).merge(said)
    return _HashedOnce(merged.attributes, merged.schema_url)


class _HashedOnce(Resource):
    """The encoder looks the resource up for every span, and its hash is made from JSON."""

    def __init__(self, attributes: Mapping[str, AnyValue], schema_url: str) -> None:
        super().__init__(attributes, schema_url)
        self._hash = super().__hash__()

    def __eq__(self, other: object) -> bool:
        return self is other or super().__eq__(other)

    def __hash__(self) -> int:
        return self._hash


def _protocol(settings: TracingSettings) -> Protocol:
    if settings.protocol is not None:
        return settings.protocol
    name = os.environ.get(_OTLP + "TRACES_PROTOCOL") or os.environ.get(_OTLP + "PROTOCOL") or Protocol.HTTP
    try:
        return Protocol(name)
    except ValueError:
        raise ConfigurationError([f"{_OTLP}PROTOCOL: {name!r} is none of http/protobuf, grpc"]) from None


def _shown_endpoint(settings: TracingSettings, protocol: Protocol) -> str:
    """For the log."""
    default = "http://localhost:4318" if protocol is Protocol.HTTP else "http://localhost:4317"
    environment = os.environ.get(_OTLP + "TRACES_ENDPOINT") or os.environ.get(_OTLP + "ENDPOINT")
    return re.sub(r"//[^@/]*@", "//", settings.endpoint or environment or default)


def _grpc(settings: TracingSettings) -> SpanExporter:
    from grpc import StatusCode as GrpcStatus  # type: ignore[import-untyped]  # grpcio ships no types
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    logger = logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter")
    for log_filter in [*logger.filters]:
        logger.removeFilter(log_filter)  # it hides the second failure within 20 s, whatever the reason
    base = settings.endpoint
    return OTLPSpanExporter(
        endpoint=base,
        insecure=None if base is None else base.startswith("http://"),
        headers={name.lower(): value for name, value in settings.headers.items()} or None,
        timeout=settings.timeout_s,
        retryable_error_codes=[GrpcStatus.OK],  # that is, none: repeating is our business
    )


class _Session(requests.Session):
    """Takes nothing but 2xx for success, and raises what the exporter will not repeat on its own."""

    def __init__(self) -> None:
        super().__init__()
        self.refusal: Refusal | None = None

    def request(self, *args: Any, **more: Any) -> requests.Response:  # noqa: ANN401  the base class's own
        try:
            response = super().request(*args, **more)
        except requests.RequestException as error:
            self.refusal = Refusal(_cause(error))
            raise self.refusal from None
        if 200 <= response.status_code < 300:
            return response
        wait = response.headers.get("Retry-After", "")
        self.refusal = Refusal(
            f"HTTP {response.status_code}",
            permanent=response.status_code in _BAD_DATA,
            retry_after_s=float(wait) if wait.isascii() and wait.isdecimal() else 0.0,
        )
        raise self.refusal


def _cause(error: BaseException) -> str:
    """`Connection refused` instead of the three exceptions around it."""
    if isinstance(error, requests.Timeout):
        return "timeout"
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return f"{type(error).__name__}: {error}"


class _Words(logging.Handler):
    """Hears what the exporters would log, since their answer lacks the reason."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(TypeError, ValueError):  # a text that does not fit its own arguments
            self.last = record.getMessage()


_words = _Words()


def _catch_words() -> None:
    logger = logging.getLogger("opentelemetry.exporter")
    logger.propagate = False
    if _words not in logger.handlers:
        logger.addHandler(_words)


class _Batch(Sequence[ReadableSpan]):
    """Records as the SDK's spans, each made when the encoder asks for it, with a breath for other threads."""

    def __init__(
        self, records: Sequence[SpanRecord], resource: Resource, scope: InstrumentationScope
    ) -> None:
        self._records = records
        self._resource = resource
        self.scope = scope

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> ReadableSpan: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[ReadableSpan]: ...

    def __getitem__(self, index: int | slice) -> ReadableSpan | Sequence[ReadableSpan]:
        if isinstance(index, slice):
            return _Batch(self._records[index], self._resource, self.scope)
        return readable(self._records[index], self._resource, self.scope)

    def __iter__(self) -> Iterator[ReadableSpan]:
        for count, record in enumerate(self._records, 1):
            yield readable(record, self._resource, self.scope)
            if not count % _BREATH_EVERY:
                time.sleep(_BREATH_S)


def readable(record: SpanRecord, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    """A record as the SDK's span."""
    trace_id, flags = int(record.trace_id, 16), TraceFlags(record.flags & 0xFF)
    state = _state(record.tracestate) if record.tracestate else None
    parent = None
    if record.parent_id:
        remote = bool(record.flags & PARENT_IS_REMOTE)
        parent = SpanContext(trace_id, int(record.parent_id, 16), remote, flags, state)
    events: Sequence[Event] = [Event(name, more, at) for name, at, more in record.events]
    if record.dropped_events:
        events = BoundedList.from_seq(MOST_EVENTS, events)
        events.dropped = record.dropped_events
    return ReadableSpan(
        name=record.name,
        context=SpanContext(trace_id, int(record.span_id, 16), False, flags, state),
        parent=parent,
        resource=resource,
        attributes=record.attributes,
        events=events,
        links=[_link(*link) for link in record.links],
        kind=_KINDS[record.kind],
        status=_FAILED if record.failed else _FINE,
        start_time=record.start_ns,
        end_time=record.end_ns,
        instrumentation_scope=scope,
    )


@lru_cache(256)
def _state(tracestate: str) -> TraceState:
    return TraceState.from_header([tracestate])  # several spans of a call have the same


def _link(trace_id: str, span_id: str, flags: int) -> Link:
    return Link(SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(flags)))
