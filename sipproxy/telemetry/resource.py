"""What describes this process in every export: OpenTelemetry's resource, and the bytes that stand for it."""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import INVALID_SPAN_CONTEXT

from .encode import Envelope
from .settings import TracingSettings


def resource_of(settings: TracingSettings, version: str, region: str | None, boot: str) -> Resource:
    """OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME, but the file wins. `boot` is one start of the proxy."""
    ours = {
        "service.name": "sipproxy",
        "service.version": f"{version}+{region}" if region else version,
        "service.instance.id": boot,
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


def envelope_for(settings: TracingSettings, version: str, region: str | None, boot: str) -> Envelope:
    """What stands around the spans of one start of this proxy."""
    resource = resource_of(settings, version, region, boot)
    return envelope_of(resource, InstrumentationScope("sipproxy", version))
