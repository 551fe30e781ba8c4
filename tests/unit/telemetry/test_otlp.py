"""What arrives at a collector, over both protocols, and what the settings and OTEL_* variables change."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as official_encoding
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from sipproxy.errors import ConfigurationError
from sipproxy.telemetry.answers import Fault, Partial, Refusal
from sipproxy.telemetry.encode import encode_span
from sipproxy.telemetry.otlp import MAIN, Outlet, Target, targets
from sipproxy.telemetry.resource import envelope_for, envelope_of, resource_of
from sipproxy.telemetry.settings import (
    Compression,
    DestinationSettings,
    Exporter,
    Protocol,
    TracingSettings,
)
from tests.support.collectors import Answer, Collector, HttpCollector
from tests.support.otlp import GrpcReceiver, HttpReceiver, Receiver
from tests.unit.telemetry.facts import SENDER, TRACE_ID
from tests.unit.telemetry.official import readable
from tests.unit.telemetry.sinks import (
    DEADLINE_S,
    ENVELOPE,
    a_call,
    encoded,
    numbers,
    outlet_for,
    settings_for,
)

ROOT = Path(__file__).resolve().parents[3]


def test_a_call_arrives_as_it_was_recorded(receiver: Collector) -> None:
    with outlet_for(settings_for(receiver)) as outlet:
        assert outlet.send(ENVELOPE, map(encode_span, a_call())) is None
    assert sorted(span.title for span in receiver.spans) == [
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


def test_the_exporters_still_take_our_bytes(receiver: Collector) -> None:
    """If this fails, a new SDK has moved what the ways lean on: find the new place, and raise the floor."""
    calls = [span for _ in range(40) for span in a_call()]
    scope = InstrumentationScope("sipproxy", "0.1.0")
    with outlet_for(settings_for(receiver)) as outlet:
        assert outlet.send(envelope_of(Resource({}), scope), map(encode_span, calls)) is None
    official = official_encoding([readable(span, Resource({}), scope) for span in calls])
    (body,) = receiver.requests
    assert ExportTraceServiceRequest.FromString(body) == official


def test_an_exporter_that_is_made_otherwise_is_found_out_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "opentelemetry.exporter.otlp.proto.grpc.exporter.OTLPExporterMixin._initialize_channel_and_stub"
    monkeypatch.setattr(name, lambda _: None)
    with pytest.raises(ConfigurationError, match=r"tracing: .* version of the gRPC exporter"):
        Outlet(Target(MAIN, Protocol.GRPC, "http://127.0.0.1:1"))


@pytest.mark.parametrize("packing", [*Compression])
def test_requests_are_packed_as_asked(receiver: Collector, packing: Compression) -> None:
    target = Target(MAIN, Protocol(receiver.protocol), receiver.endpoint, compression=packing)
    outlet = Outlet(target)
    assert outlet.send(ENVELOPE, encoded(range(200))) is None
    outlet.close()
    (ask,) = receiver.asked
    assert len(ask.spans) == 200
    if receiver.protocol == "http/protobuf":
        assert ask.headers.get("content-encoding", "none") == packing
        assert (ask.wire_bytes < len(ask.body) / 2) == (packing is not Compression.NONE)


def test_a_span_that_failed_arrives_as_an_error(collector: Collector) -> None:
    with outlet_for(settings_for(collector)) as outlet:
        outlet.send(ENVELOPE, [encode_span(a_call()[0]._replace(failed=True))])
    (span,) = collector.spans
    assert span.status == "error"


# What a collector says


def test_a_collector_may_name_the_time_to_come_back(receiver: Collector) -> None:
    receiver.judge = lambda _: Answer(429, retry_after_s=7)
    with outlet_for(settings_for(receiver)) as outlet:
        refusal = outlet.send(ENVELOPE, encoded(range(1)))
    assert isinstance(refusal, Refusal)
    assert (refusal.fault, refusal.retry_after_s) == (Fault.AWAY, 7.0)


def test_a_collector_may_throw_some_away(receiver: Collector) -> None:
    receiver.judge = lambda _: Answer(rejected=3, message="too old")
    with outlet_for(settings_for(receiver)) as outlet:
        assert outlet.send(ENVELOPE, encoded(range(5))) == Partial(3, "too old")
        receiver.judge = lambda _: None
        assert outlet.send(ENVELOPE, encoded(range(5))) is None


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (400, Fault.DATA),
        (401, Fault.SETUP),
        (403, Fault.SETUP),
        (404, Fault.SETUP),
        (500, Fault.AWAY),
        (503, Fault.AWAY),
    ],
)
def test_a_refusal_is_one_request(receiver: Collector, status: int, fault: Fault) -> None:
    receiver.judge = lambda _: Answer(status)
    with outlet_for(settings_for(receiver)) as outlet:
        refusal = outlet.send(ENVELOPE, encoded(range(1)))
    assert isinstance(refusal, Refusal)
    assert refusal.fault is fault
    assert len(receiver.asked) == 1


def test_a_request_that_is_too_large_is_told_from_a_quota(receiver: Collector) -> None:
    receiver.judge = lambda _: Answer(413, message="received message larger than max (5 vs. 4)")
    with outlet_for(settings_for(receiver)) as outlet:
        refusal = outlet.send(ENVELOPE, encoded(range(1)))
    assert isinstance(refusal, Refusal)
    assert refusal.fault is Fault.SIZE


def test_a_redirect_is_not_followed(collector: Collector) -> None:
    with HttpReceiver() as other:
        to = {"Location": other.endpoint + "/v1/traces"}
        collector.judge = lambda _: Answer(307, to)
        with outlet_for(settings_for(collector)) as outlet:
            refusal = outlet.send(ENVELOPE, encoded(range(1)))
        assert isinstance(refusal, Refusal)
        assert (refusal.fault, refusal.reason) == (Fault.SETUP, f"HTTP 307 to {other.endpoint}")
        assert other.requests == []


def test_an_answer_that_breaks_off_is_no_answer(collector: Collector) -> None:
    collector.judge = lambda _: Answer(cut=True)
    with outlet_for(settings_for(collector)) as outlet:
        refusal = outlet.send(ENVELOPE, encoded(range(1)))
        assert isinstance(refusal, Refusal)
        assert refusal.fault is Fault.AWAY
        collector.judge = lambda _: None
        assert outlet.send(ENVELOPE, encoded(range(1))) is None


def test_a_collector_that_does_not_answer_is_left_in_time(receiver: Collector) -> None:
    receiver.hang()
    with outlet_for(settings_for(receiver, timeout_s=0.2)) as outlet:
        refusal = outlet.send(ENVELOPE, encoded(range(1)))
    assert isinstance(refusal, Refusal)
    assert refusal.reason.startswith(("timeout", "DEADLINE_EXCEEDED"))
    receiver.recover()


@pytest.mark.parametrize("kind", [HttpReceiver, GrpcReceiver], ids=["http", "grpc"])
def test_nobody_is_there(
    kind: type[Receiver], capfd: pytest.CaptureFixture[str], root_log: list[logging.LogRecord]
) -> None:
    with kind() as receiver:
        settings = settings_for(receiver)
    with outlet_for(settings) as outlet:
        refusal = outlet.send(ENVELOPE, encoded(range(1)))
    assert isinstance(refusal, Refusal)
    assert "onnection refused" in refusal.reason
    assert root_log == []
    assert capfd.readouterr().err == ""


def test_a_name_that_does_not_exist() -> None:
    outlet = Outlet(Target(MAIN, endpoint="http://collector.invalid:4318"))
    refusal = outlet.send(ENVELOPE, encoded(range(1)))
    outlet.close()
    assert isinstance(refusal, Refusal)
    assert refusal.fault is Fault.AWAY


def test_a_fault_of_our_own_loses_nothing(collector: Collector) -> None:
    with outlet_for(settings_for(collector)) as outlet:
        refusal = outlet.send(ENVELOPE, [None])  # type: ignore[list-item]  # what nobody foresaw
    assert isinstance(refusal, Refusal)
    assert refusal.fault is Fault.SETUP
    assert refusal.reason.startswith("TypeError")


# What the settings say, and the OTEL_* variables


def test_the_resource_describes_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod,cloud.region=elsewhere")
    attributes = resource_of(TracingSettings(), "0.1.0", "eu-west-2", "boot-1").attributes
    assert attributes["service.name"] == "sipproxy"
    assert attributes["service.version"] == "0.1.0+eu-west-2"
    assert attributes["service.instance.id"] == "boot-1"
    assert attributes["cloud.region"] == "eu-west-2"
    assert attributes["deployment.environment.name"] == "prod"
    assert attributes["telemetry.sdk.language"] == "python"
    other = resource_of(TracingSettings(), "0.1.0", None, "boot-2").attributes
    assert other["service.version"] == "0.1.0"
    assert other["cloud.region"] == "elsewhere"


def test_the_name_in_the_file_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-variable")
    assert resource_of(TracingSettings(), "0", None, "b").attributes["service.name"] == "from-variable"
    named = TracingSettings(service_name="from-file")
    assert resource_of(named, "0", None, "b").attributes["service.name"] == "from-file"


def test_the_resource_arrives(collector: Collector) -> None:
    settings = settings_for(collector)
    with outlet_for(settings) as outlet:
        outlet.send(envelope_for(settings, "0.1.0", "eu-west-2", "boot-1"), encoded(range(1)))
    (span,) = collector.spans
    assert (span.resource["service.name"], span.resource["service.version"]) == (
        "sipproxy",
        "0.1.0+eu-west-2",
    )


def test_the_variables_of_the_exporters_hold_where_the_file_is_silent(
    receiver: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", receiver.protocol)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=from-variable")
    with outlet_for(TracingSettings()) as outlet:
        assert outlet.endpoint == receiver.endpoint
        assert outlet.send(ENVELOPE, encoded(range(2))) is None
    assert numbers(receiver) == [0, 1]
    assert receiver.asked[0].headers["x-tenant"] == "from-variable"


def test_the_file_wins_over_the_variables(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=from-variable")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    settings = TracingSettings(
        Exporter.OTLP,
        Protocol.HTTP,
        collector.endpoint,
        {"X-Tenant": "from-file"},
        compression=Compression.NONE,
    )
    with outlet_for(settings) as outlet:
        assert outlet.send(ENVELOPE, encoded(range(1))) is None
    (ask,) = collector.asked
    assert ask.headers["x-tenant"] == "from-file"
    assert "content-encoding" not in ask.headers


def test_a_further_destination_is_told_nothing_that_the_variables_say(
    receiver: Collector, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-also=secret")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(tmp_path / "missing.pem"))
    further = DestinationSettings(receiver.endpoint, Protocol(receiver.protocol), {"X-Tenant": "ours"})
    with outlet_for(TracingSettings(destinations={"archive": further}), "archive") as outlet:
        assert outlet.send(ENVELOPE, encoded(range(1))) is None
    (ask,) = receiver.asked
    assert ask.headers["x-tenant"] == "ours"
    assert "secret" not in repr(ask.headers)
    assert "content-encoding" not in ask.headers
    assert "python" in ask.headers["user-agent"].lower()


def test_a_credential_of_the_settings_is_not_replaced_by_one_of_the_machine(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    settings = TracingSettings(endpoint=collector.endpoint, headers={"Authorization": "Bearer ours"})
    with outlet_for(settings) as outlet:
        assert outlet.send(ENVELOPE, encoded(range(1))) is None
    assert collector.asked[0].headers["authorization"] == "Bearer ours"


@pytest.mark.parametrize(
    ("settings", "variables"),
    [
        (TracingSettings(Exporter.NONE), {}),
        (TracingSettings(), {"OTEL_TRACES_EXPORTER": "none"}),
        (TracingSettings(), {"OTEL_SDK_DISABLED": "true"}),
    ],
)
def test_no_exporter_is_no_main_destination(
    settings: TracingSettings, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert targets(settings) == []


def test_further_destinations_stay_without_a_main_one() -> None:
    further = {"archive": DestinationSettings("http://archive.example:4318")}
    settings = TracingSettings(Exporter.NONE, destinations=further)
    assert [target.name for target in targets(settings)] == ["archive"]


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_COMPRESSION": "brotli"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TIMEOUT": "soon"},
        {"OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere/ca.pem"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY": "/nowhere/key.pem"},
    ],
)
def test_a_variable_that_cannot_be_used_is_a_fault_of_the_configuration(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError):
        Outlet(targets(TracingSettings())[0])


def test_settings_that_cannot_be_used_name_their_place() -> None:
    further = DestinationSettings("https://archive.example", certificate="/nowhere/ca.pem")
    with pytest.raises(ConfigurationError, match=r"tracing\.destinations\.archive\.certificate: /nowhere"):
        Outlet(targets(TracingSettings(Exporter.NONE, destinations={"archive": further}))[0])
    with pytest.raises(ConfigurationError, match=r"tracing\.destinations\.main"):
        targets(TracingSettings(destinations={MAIN: further}))


def test_credentials_in_an_endpoint_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:secret@127.0.0.1:1")
    with outlet_for(TracingSettings()) as outlet:
        assert outlet.endpoint == "http://127.0.0.1:1"


def test_grpc_is_imported_only_when_it_is_chosen() -> None:
    script = """
import sys
from sipproxy.telemetry.otlp import Outlet, Target
Outlet(Target("main", endpoint="http://127.0.0.1:1")).close()
sys.exit("grpc" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60)


def test_closing_ends_what_is_being_sent(receiver: Collector) -> None:
    """The forwarder's thread sits in a request that hangs, and another one closes the outlet."""
    receiver.hang()
    (target,) = targets(settings_for(receiver, timeout_s=60.0))
    outlet = Outlet(target)
    outcomes: list[object] = []
    thread = threading.Thread(target=lambda: outcomes.append(outlet.send(ENVELOPE, encoded(range(1)))))
    thread.start()
    receiver.wait_for_requests(1, DEADLINE_S)
    outlet.close()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()
    assert isinstance(outcomes[0], Refusal)
    receiver.recover()


def test_a_yes_whose_packing_is_broken_is_a_yes() -> None:
    packed = {"Content-Encoding": "gzip"}
    with HttpCollector(lambda _: Answer(200, packed, body=b"no gzip")) as collector:
        settings = TracingSettings(Exporter.OTLP, Protocol.HTTP, collector.endpoint)
        with outlet_for(settings) as outlet:
            assert outlet.send(ENVELOPE, encoded(range(1))) is None
    assert collector.asked[0].headers["accept-encoding"] == "identity"
