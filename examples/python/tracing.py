"""OpenTelemetry of this application. `start` comes before all other imports, `stop` sends what is left.

The customer interaction is bound to the context of one call, as W3C baggage, and from there to each span that
begins in it. Never to the resource: that describes the process, and the process has many calls at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import baggage, context, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor
from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

INTERACTION = "interaction.id"
LONGEST = 128  # characters of an interaction id; sipproxy keeps as many
FLUSH_MS = 3000  # at the end; a collector that is away must not keep the process

DEFAULTS = {  # the environment overrides them
    "OTEL_SERVICE_NAME": "voice-app-python",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http,database",  # today's names: http.request.method, db.query.text
    "OTEL_PYTHON_AIOHTTP_SERVER_EXCLUDED_URLS": "healthz",  # a load balancer asks every second
    "OTEL_EXPORTER_OTLP_TIMEOUT": "2",  # seconds for one export
}

_provider: TracerProvider | None = None


class InteractionProcessor(SpanProcessor):
    """Each span says which customer interaction it belongs to, from its first moment on."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """The baggage is that of the context in which the span begins."""
        interaction = baggage.get_baggage(INTERACTION, parent_context)
        if isinstance(interaction, str):
            span.set_attribute(INTERACTION, interaction[:LONGEST])


def start() -> None:
    """Exporter, processors, and the instrumentation of what the application is made of."""
    global _provider
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    _provider = TracerProvider(shutdown_on_exit=False)  # `stop` does it, and in bounded time
    _provider.add_span_processor(InteractionProcessor())
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(_provider)
    AioHttpServerInstrumentor().instrument()
    SQLite3Instrumentor().instrument()


def stop() -> None:
    """Send what is left."""
    if _provider is not None:
        _provider.force_flush(FLUSH_MS)
        _provider.shutdown()


@contextmanager
def baggage_bound(headers: Mapping[str, str]) -> Iterator[None]:
    """Inside, the baggage that came with the request is there.

    The instrumentation of aiohttp's server shows it to the request's span, but does not leave it for the
    handler, whose spans and requests would go without.
    """
    token = context.attach(W3CBaggagePropagator().extract(headers, context.get_current()))
    try:
        yield
    finally:
        context.detach(token)


@contextmanager
def interaction_bound(interaction: str) -> Iterator[None]:
    """Inside, all that is done belongs to this interaction; outside, as before.

    The span that is open already, the request's, gets it too: where a proxy on the way took the baggage
    header away, the question's body is where the interaction stands.
    """
    if not interaction:
        yield
        return
    trace.get_current_span().set_attribute(INTERACTION, interaction[:LONGEST])
    token = context.attach(baggage.set_baggage(INTERACTION, interaction))
    try:
        yield
    finally:
        context.detach(token)  # else the next request on this connection could inherit it
