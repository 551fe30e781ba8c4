"""Head sampling: OpenTelemetry's samplers decide; the core asks with a trace-id and the parent it adopted.

`tracing.sample_ratio` gives ParentBased(TraceIdRatioBased); without it the SDK reads OTEL_TRACES_SAMPLER and
OTEL_TRACES_SAMPLER_ARG, where nothing means parentbased_always_on. That default needs no SDK object per call.
"""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Decision, ParentBased, TraceIdRatioBased
from opentelemetry.sdk.trace.sampling import Sampler as SdkSampler
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context
from opentelemetry.trace.span import TraceState

from ..propagation.context import TraceContext
from ..propagation.correlation import Sampler
from .settings import TracingSettings

_NOBODY = Context()  # an empty one: None would mean whatever is current


def sampler(settings: TracingSettings) -> Sampler:
    """The decision for a call: may it be recorded?"""
    ratio = settings.sample_ratio
    if ratio == 1.0:
        return _as_the_parent
    if ratio is not None:
        return _asking(ParentBased(TraceIdRatioBased(ratio)))
    chosen = TracerProvider(shutdown_on_exit=False).sampler  # the SDK's way from the environment to a sampler
    return _as_the_parent if chosen is DEFAULT_ON else _asking(chosen)


def _as_the_parent(trace_id: str, parent: TraceContext | None) -> bool:
    """parentbased_always_on, and the same with a ratio of 1."""
    return parent is None or bool(parent.flags & TraceFlags.SAMPLED)


def _asking(chosen: SdkSampler) -> Sampler:
    def sample(trace_id: str, parent: TraceContext | None) -> bool:
        context = _NOBODY if parent is None else set_span_in_context(_remote(parent), _NOBODY)
        result = chosen.should_sample(context, int(trace_id, 16), "INVITE", SpanKind.SERVER)
        return result.decision is Decision.RECORD_AND_SAMPLE

    return sample


def _remote(parent: TraceContext) -> NonRecordingSpan:
    flags = TraceFlags(parent.flags)
    state = TraceState.from_header([parent.tracestate]) if parent.tracestate else None
    trace_id, span_id = int(parent.trace_id, 16), int(parent.span_id, 16)
    return NonRecordingSpan(SpanContext(trace_id, span_id, True, flags, state))
