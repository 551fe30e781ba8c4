"""OTLP by OpenTelemetry's exporters: the bytes are ours, the way is theirs, and a refusal gets its reason.

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
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)
from opentelemetry.trace.span import TraceState

from ..errors import ConfigurationError
from .encode import Envelope, encode_span
from .record import MOST_EVENTS, PARENT_IS_REMOTE, SpanRecord
from .settings import Protocol, TracingSettings

_OTLP = "OTEL_EXPORTER_OTLP_"
_BREATH_EVERY, _BREATH_S = 32, 0.0002  # spans; so nobody waits for the interpreter longer than these take
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


_LONGEST_ANSWER = 65536  # bytes
_ANSWER_S = 10.0  # seconds, where the exporter names none


class Outlet:
    """Sends batches of records through one exporter.

    Two internals of opentelemetry-exporter-otlp let our bytes in: over HTTP `_client`, whose `export(bytes)`
    compresses, sends and tells `success`; over gRPC `_translate_data`, which makes the request of whatever
    `export` was given. Where one is missing, `slow_because` says so and the official encoder does the work.
    """

    def __init__(self, settings: TracingSettings, resource: Resource, version: str) -> None:
        protocol = _protocol(settings)
        self.endpoint = _shown_endpoint(settings, protocol)
        self.slow_because = ""
        self._resource = resource
        self._scope = InstrumentationScope("sipproxy", version)
        self._envelope = envelope_of(resource, self._scope)
        self._export: Callable[[Sequence[SpanRecord]], bool] = self._export_slowly
        self._session: _Session | None = None
        _catch_words()
        try:
            self._exporter = self._http(settings) if protocol is Protocol.HTTP else self._grpc(settings)
        except Exception as error:  # whatever the SDK makes of OTEL_* that it cannot use
            raise ConfigurationError([f"tracing: {type(error).__name__}: {error}"]) from None

    def _http(self, settings: TracingSettings) -> SpanExporter:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        self._session = _Session()
        base = settings.endpoint
        exporter = OTLPSpanExporter(
            endpoint=None if base is None else base.rstrip("/") + "/v1/traces",
            headers=settings.headers or None,
            timeout=settings.timeout_s,
            session=self._session,
        )
        client: Any = getattr(exporter, "_client", None)
        if hasattr(client, "export"):
            self._export = lambda records: client.export(self._request(records)).success
        else:
            self.slow_because = "the HTTP exporter has no _client.export"
        return exporter

    def _grpc(self, settings: TracingSettings) -> SpanExporter:
        from grpc import StatusCode as GrpcStatus  # type: ignore[import-untyped]  # grpcio ships no types
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        logger = logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter")
        for log_filter in [*logger.filters]:
            logger.removeFilter(log_filter)  # it hides the second failure within 20 s, whatever the reason
        base = settings.endpoint
        exporter = OTLPSpanExporter(
            endpoint=base,
            insecure=None if base is None else base.startswith("http://"),
            headers={name.lower(): value for name, value in settings.headers.items()} or None,
            timeout=settings.timeout_s,
            retryable_error_codes=[GrpcStatus.OK],  # that is, none: repeating is our business
        )
        hook: Any = exporter
        if hasattr(hook, "_translate_data"):
            # Parsed again, in C, since the stub takes nothing but its own class.
            hook._translate_data = lambda records: ExportTraceServiceRequest.FromString(
                self._request(records)
            )
            self._export = lambda records: hook.export(records) is SpanExportResult.SUCCESS
        else:
            self.slow_because = "the gRPC exporter has no _translate_data"
        return exporter

    def send(self, records: Sequence[SpanRecord]) -> Refusal | None:
        """Try once; None when the collector took them."""
        _words.last = ""
        if self._session is not None:
            self._session.refusal = None
        try:
            arrived = self._export(records)
        except Refusal as refusal:
            return refusal
        except Exception as error:  # a span that cannot be encoded: a fault of ours, and no reason to stop
            return Refusal(f"{type(error).__name__}: {error}", permanent=True)
        if arrived:
            return None
        if self._session is not None:
            return self._session.refusal or Refusal(_words.last, permanent=True)
        reason = _words.last.rpartition("error code: StatusCode.")[2]
        return Refusal(reason, permanent=reason.startswith("INVALID_ARGUMENT"))

    def shutdown(self) -> None:
        """Let go of connections."""
        self._exporter.shutdown()

    def _request(self, records: Sequence[SpanRecord]) -> bytes:
        """All of them encoded, with a breath for the thread that has the calls."""
        spans: list[bytes] = []
        for start in range(0, len(records), _BREATH_EVERY):
            if start:
                time.sleep(_BREATH_S)
            spans += map(encode_span, records[start : start + _BREATH_EVERY])
        return self._envelope.around(spans)

    def _export_slowly(self, records: Sequence[SpanRecord]) -> bool:
        spans = [readable(record, self._resource, self._scope) for record in records]
        return self._exporter.export(spans) is SpanExportResult.SUCCESS


def resource_of(settings: TracingSettings, version: str, region: str | None) -> Resource:
    """What describes this process: OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME, but the file wins."""
    ours = {
        "service.name": "sipproxy",
        "service.version": f"{version}+{region}" if region else version,
        "service.instance.id": str(uuid.uuid4()),
    }
    file = {"service.name": settings.service_name, "cloud.region": region}
    said = Resource({name: value for name, value in file.items() if value})
    return Resource.create(ours).merge(OTELResourceDetector().detect()).merge(said)


def envelope_of(resource: Resource, scope: InstrumentationScope) -> Envelope:
    """Resource and scope as the official encoder writes them around a span."""
    span = ReadableSpan("", context=INVALID_SPAN_CONTEXT, resource=resource, instrumentation_scope=scope)
    (resource_spans,) = encode_spans([span]).resource_spans
    (scope_spans,) = resource_spans.scope_spans
    scope_spans.ClearField("spans")
    around_spans = scope_spans.SerializeToString()
    resource_spans.ClearField("scope_spans")
    return Envelope(resource_spans.SerializeToString(), around_spans)


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


class _Session(requests.Session):
    """Takes nothing but 2xx for success, and raises what the exporter will not repeat on its own."""

    def __init__(self) -> None:
        super().__init__()
        self.refusal: Refusal | None = None

    def request(self, *args: Any, **more: Any) -> requests.Response:  # noqa: ANN401  the base class's own
        try:
            response = super().request(*args, **{**more, "stream": True})
            _read(response, time.monotonic() + (more.get("timeout") or _ANSWER_S))
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


def _read(response: requests.Response, deadline: float) -> None:
    """Take a collector's answer, of which a few bytes matter: not for ever, and not without bound."""
    body = bytearray()
    for chunk in response.iter_content(1):  # as it comes: more would be waited for
        body += chunk
        if len(body) > _LONGEST_ANSWER or time.monotonic() > deadline:
            break
    response._content = bytes(body)  # what `stream` leaves to its caller
    response.close()


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


def readable(record: SpanRecord, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    """A record as the SDK's span, for the official encoder."""
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
