"""What arrives at a collector, over both protocols, and what the settings and OTEL_* variables change."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as official_encoding
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from sipproxy.errors import ConfigurationError
from sipproxy.telemetry.export import NullSink, open_sink
from sipproxy.telemetry.otlp import Outlet, readable, resource_of
from sipproxy.telemetry.settings import Exporter, Protocol, TracingSettings
from tests.support.otlp import HttpReceiver, Receiver
from tests.unit.telemetry.facts import SENDER, TRACE_ID
from tests.unit.telemetry.sinks import DEADLINE_S, SOON_MS, Lines, a_call, numbered, settings_for, sink_to

ROOT = Path(__file__).resolve().parents[3]


def test_a_call_arrives_as_it_was_recorded(receiver: Receiver, log: Lines) -> None:
    with sink_to(settings_for(receiver), log) as sink:
        sink.put(a_call())
        spans = receiver.wait_for(5, DEADLINE_S)
    assert sorted(span.title for span in spans) == [
        "INVITE client",
        "INVITE server",
        "dialog client",
        "dialog server",
        "route internal",
    ]
    (root,) = receiver.roots()
    assert (root.title, root.trace_id, root.parent_id) == ("INVITE server", TRACE_ID, SENDER.span_id)
    assert root.attributes["sip.from.user"] == "***34"
    assert root.attributes["sip.peer.rtt_ms"] == 1.5
    assert root.attributes["user_agent.original"] == "Caf\u00e9 ?"
    assert [event.name for event in root.events] == ["180", "200", "ACK"]
    assert [(link.trace_id, link.span_id, link.attributes) for link in root.links] == [
        (TRACE_ID, SENDER.span_id, {})
    ]
    assert (root.end_ns - root.start_ns, root.status, root.trace_state) == (2 * 10**9, "unset", "vendor=1")
    assert len(receiver.children(root)) == 4
    assert log.events == []


EXPORTERS = {
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
}


def test_the_exporters_still_take_our_bytes(
    receiver: Receiver, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, a new SDK has moved what `Outlet` leans on: find the new place, and raise the floor."""

    def encode_spans(_: object) -> None:
        raise AssertionError("the official encoder was asked")

    outlet = Outlet(settings_for(receiver), Resource({}), "0.1.0")
    monkeypatch.setattr(f"{EXPORTERS[receiver.protocol]}.encode_spans", encode_spans)
    calls = [span for _ in range(40) for span in a_call()]
    refusal = outlet.send(calls)
    outlet.shutdown()
    assert refusal is None
    assert outlet.slow_because == ""
    scope = InstrumentationScope("sipproxy", "0.1.0")
    official = official_encoding([readable(span, Resource({}), scope) for span in calls])
    (body,) = receiver.requests
    assert ExportTraceServiceRequest.FromString(body) == official


def test_without_its_hook_the_official_encoder_does_the_work(
    receiver: Receiver, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{EXPORTERS[receiver.protocol]}.OTLPSpanExporter"
    original = pkgutil.resolve_name(name)

    class OfAnotherVersion:
        """Exports and shuts down, and keeps the rest elsewhere."""

        def __init__(self, **options: object) -> None:
            self._inner = original(**options)
            self.export = self._inner.export
            self.shutdown = self._inner.shutdown

    monkeypatch.setattr(name, OfAnotherVersion)
    with sink_to(settings_for(receiver), log) as sink:
        sink.put(a_call())
        receiver.wait_for(5, DEADLINE_S)
    assert [(level, event) for level, event, _ in log.events] == [("warning", "spans are encoded slowly")]
    assert "exporter has no _" in str(log.events[0][2]["reason"])


def test_a_failure_arrives_as_an_error(collector: HttpReceiver, log: Lines) -> None:
    with sink_to(settings_for(collector), log) as sink:
        sink.put([span._replace(failed=True) for span in numbered(range(1))])
        (span,) = collector.wait_for(1, DEADLINE_S)
    assert span.status == "error"


def test_a_collector_may_name_the_time_to_come_back() -> None:
    class Busy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(429)
            self.send_header("Retry-After", "7")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Keep test output quiet."""

    with HTTPServer(("127.0.0.1", 0), Busy) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        settings = TracingSettings(endpoint=f"http://127.0.0.1:{server.server_port}", protocol=Protocol.HTTP)
        outlet = Outlet(settings, Resource({}), "0.1.0")
        refusal = outlet.send(numbered(range(1)))
        outlet.shutdown()
        thread.join()
    assert refusal is not None
    assert (refusal.reason, refusal.permanent, refusal.retry_after_s) == ("HTTP 429", False, 7.0)


def test_the_resource_describes_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod,cloud.region=elsewhere")
    attributes = resource_of(TracingSettings(), "0.1.0", "eu-west-2").attributes
    assert attributes["service.name"] == "sipproxy"
    assert attributes["service.version"] == "0.1.0+eu-west-2"
    assert attributes["cloud.region"] == "eu-west-2"
    assert attributes["deployment.environment.name"] == "prod"
    assert attributes["telemetry.sdk.language"] == "python"
    other = resource_of(TracingSettings(), "0.1.0", None).attributes
    assert other["service.version"] == "0.1.0"
    assert other["cloud.region"] == "elsewhere"
    assert other["service.instance.id"] != attributes["service.instance.id"]


def test_the_name_in_the_file_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-variable")
    assert resource_of(TracingSettings(), "0", None).attributes["service.name"] == "from-variable"
    named = TracingSettings(service_name="from-file")
    assert resource_of(named, "0", None).attributes["service.name"] == "from-file"


def test_the_resource_arrives(collector: HttpReceiver, log: Lines) -> None:
    with sink_to(settings_for(collector), log, region="eu-west-2") as sink:
        sink.put(numbered(range(1)))
        (span,) = collector.wait_for(1, DEADLINE_S)
    assert (span.resource["service.name"], span.resource["service.version"]) == (
        "sipproxy",
        "0.1.0+eu-west-2",
    )


def test_the_variables_of_the_exporters_hold_where_the_file_is_silent(
    receiver: Receiver, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", receiver.protocol)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    with sink_to(TracingSettings(every_ms=SOON_MS), log) as sink:
        sink.put(numbered(range(1)))
        receiver.wait_for(1, DEADLINE_S)


def test_the_file_wins_over_the_variables(
    collector: HttpReceiver, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    settings = TracingSettings(Exporter.OTLP, Protocol.HTTP, collector.endpoint, every_ms=SOON_MS)
    with sink_to(settings, log) as sink:
        sink.put(numbered(range(1)))
        collector.wait_for(1, DEADLINE_S)


@pytest.mark.parametrize(
    ("settings", "variables"),
    [
        (TracingSettings(Exporter.NONE), {}),
        (TracingSettings(), {"OTEL_TRACES_EXPORTER": "none"}),
        (TracingSettings(), {"OTEL_SDK_DISABLED": "true"}),
    ],
)
def test_no_exporter_takes_no_span(
    settings: TracingSettings, variables: dict[str, str], log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with sink_to(settings, log) as sink:
        assert isinstance(sink, NullSink)
        sink.put(a_call())
        assert sink.dropped == 0


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_COMPRESSION": "brotli"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TIMEOUT": "soon"},
    ],
)
def test_a_variable_that_cannot_be_used_is_a_fault_of_the_configuration(
    variables: dict[str, str], log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError):
        open_sink(TracingSettings(), version="0.1.0", region=None, log=log)


def test_credentials_in_a_variable_are_not_logged(log: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:secret@127.0.0.1:1")
    with sink_to(TracingSettings(every_ms=SOON_MS), log) as sink:
        sink.put(numbered(range(1)))
        facts = log.wait_for("collector unreachable")
    assert facts["endpoint"] == "http://127.0.0.1:1"
    assert "secret" not in repr(log.events)


def test_grpc_is_imported_only_when_it_is_chosen() -> None:
    script = """
import sys
from sipproxy.telemetry.otlp import Outlet
from sipproxy.telemetry.settings import TracingSettings
from opentelemetry.sdk.resources import Resource
Outlet(TracingSettings(endpoint="http://127.0.0.1:1"), Resource({}), "0").shutdown()
sys.exit("grpc" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60)
