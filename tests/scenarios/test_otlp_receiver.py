"""The OTLP receivers of the system tests take what the official exporters send, and fail as told."""

from __future__ import annotations

import gzip
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from tests.support.otlp import GrpcReceiver, HttpReceiver, Receiver

EARLIER = SpanContext(0xA1, 0xB2, is_remote=True, trace_flags=TraceFlags(1))


@pytest.fixture(params=[HttpReceiver, GrpcReceiver], ids=["http", "grpc"])
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    with request.param() as receiver:
        yield receiver


def exporter_for(receiver: Receiver, timeout_s: float = 5) -> SpanExporter:
    if receiver.protocol == "grpc":
        return GrpcExporter(endpoint=receiver.endpoint, insecure=True, timeout=timeout_s)
    url = receiver.endpoint + "/v1/traces"
    return HttpExporter(endpoint=url, timeout=timeout_s, compression=Compression.Gzip)


def send_a_call(receiver: Receiver, timeout_s: float = 5) -> None:
    """A parent and its child, through the official SDK."""
    provider = TracerProvider(resource=Resource.create({"service.name": "sipproxy"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter_for(receiver, timeout_s)))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("INVITE", kind=SpanKind.SERVER, links=[Link(EARLIER)]) as root:
        root.set_attributes(
            {"sip.leg": "caller", "sip.response.status_code": 503, "sip.transfer": True, "list": ["a"]}
        )
        root.add_event("180")
        root.set_status(Status(StatusCode.ERROR, "busy everywhere"))
        with tracer.start_as_current_span("route"):
            pass
    provider.shutdown()


def test_a_span_arrives_with_all_it_had(receiver: Receiver) -> None:
    send_a_call(receiver)
    receiver.wait_for(2)
    (root,) = receiver.roots()
    assert (root.title, root.parent_id, root.status, root.status_message) == (
        "INVITE server",
        "",
        "error",
        "busy everywhere",
    )
    assert root.attributes == {
        "sip.leg": "caller",
        "sip.response.status_code": 503,
        "sip.transfer": True,
        "list": ["a"],
    }
    assert [event.name for event in root.events] == ["180"]
    assert [(link.trace_id, link.span_id) for link in root.links] == [(f"{0xA1:032x}", f"{0xB2:016x}")]
    assert root.resource["service.name"] == "sipproxy"
    assert root.start_ns < root.end_ns
    (route,) = receiver.children(root)
    assert (route.title, route.parent_id, route.trace_id) == ("route internal", root.span_id, root.trace_id)


def test_every_byte_that_came_is_kept_unzipped(receiver: Receiver) -> None:
    send_a_call(receiver)
    receiver.wait_for(2)
    assert any(b"sip.response.status_code" in body for body in receiver.requests)


def test_waiting_in_vain_says_what_did_come(receiver: Receiver) -> None:
    send_a_call(receiver)
    receiver.wait_for(lambda spans: any(span.name == "INVITE" for span in spans))
    with pytest.raises(TimeoutError, match="INVITE server"):
        receiver.wait_for(3, timeout_s=0.01)


def test_a_refused_request_gives_no_spans_and_the_next_one_does(receiver: Receiver) -> None:
    receiver.answer_with(3 if receiver.protocol == "grpc" else 400)  # neither is repeated by the exporters
    send_a_call(receiver)
    assert len(receiver.requests) == 2
    assert receiver.spans == []
    receiver.recover()
    send_a_call(receiver)
    assert len(receiver.wait_for(2)) == 2


def test_a_hanging_receiver_answers_when_it_recovers() -> None:
    with HttpReceiver() as receiver:
        receiver.hang()
        send_a_call(receiver, timeout_s=0.2)
        receiver.wait_for_requests(1)
        assert receiver.spans == []
        receiver.recover()
        receiver.wait_for(1)


def test_other_paths_and_types_are_refused() -> None:
    with HttpReceiver() as receiver:
        for path, kind, status in [
            ("/v1/logs", "application/x-protobuf", 404),
            ("/v1/traces", "text/plain", 415),
        ]:
            request = urllib.request.Request(receiver.endpoint + path, gzip.compress(b""))
            request.add_header("Content-Type", kind)
            request.add_header("Content-Encoding", "gzip")
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=5)
            assert refused.value.code == status
            refused.value.close()
