"""A collector's answer, and what follows from it."""

from __future__ import annotations

import json

import pytest
from google.protobuf.any_pb2 import Any as Anything  # type: ignore[import-untyped]  # it ships no types
from google.protobuf.duration_pb2 import Duration  # type: ignore[import-untyped]  # nor does this
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # nor this
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # nor this
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from sipproxy.telemetry.answers import Fault, Partial, Refusal, of_grpc, of_http, of_response

NOW = 784_111_770.0  # seven seconds before the date that RFC 9110 writes
PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json; charset=utf-8"}


def refusal(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Refusal:
    outcome = of_http(status, headers or {}, body, NOW)
    assert isinstance(outcome, Refusal)
    return outcome


def partial(rejected: int, message: str) -> bytes:
    said = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    return bytes(ExportTraceServiceResponse(partial_success=said).SerializeToString())


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (301, Fault.SETUP),
        (302, Fault.SETUP),
        (304, Fault.SETUP),
        (400, Fault.DATA),
        (401, Fault.SETUP),
        (403, Fault.SETUP),
        (404, Fault.SETUP),
        (405, Fault.SETUP),
        (408, Fault.AWAY),
        (413, Fault.SIZE),
        (415, Fault.DATA),
        (422, Fault.DATA),
        (429, Fault.AWAY),
        (500, Fault.AWAY),
        (502, Fault.AWAY),
        (503, Fault.AWAY),
        (504, Fault.AWAY),
    ],
)
def test_whose_fault_a_status_is(status: int, fault: Fault) -> None:
    assert refusal(status).fault is fault
    assert refusal(status).reason.startswith(f"HTTP {status}")


@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_two_hundred_is_a_yes(status: int) -> None:
    assert of_http(status, PROTOBUF, b"", NOW) is None


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 7.0),
        ("Sun, 06 Nov 1994 08:49:00 GMT", 0.0),  # gone by
        ("Sunday, 06-Nov-94 08:49:37 GMT", 7.0),
        ("soon", 0.0),
        ("-1", 0.0),
        ("1.5", 0.0),
        ("\u0667", 0.0),  # a digit, but none of HTTP's
        ("9" * 400, 999_999_999.0),
        ("", 0.0),
    ],
)
def test_when_to_come_back(text: str, wait_s: float) -> None:
    assert refusal(429, {"Retry-After": text}).retry_after_s == wait_s


def test_a_redirect_says_where_without_what_may_be_secret() -> None:
    there = {"Location": "https://user:secret@login.example:8443/path?token=abc"}
    assert refusal(302, there).reason == "HTTP 302 to https://login.example:8443"
    assert refusal(307, {"Location": "/v2/traces"}).reason == "HTTP 307 to another path"
    assert refusal(302).reason == "HTTP 302 to another path"


def test_a_web_page_is_no_collector() -> None:
    page = refusal(200, {"Content-Type": "text/html"}, b"<html>Sign in")
    assert (page.fault, page.reason) == (Fault.SETUP, "HTTP 200, and a web page")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (PROTOBUF, partial(3, "too old")),
        (JSON, json.dumps({"partialSuccess": {"rejectedSpans": "3", "errorMessage": "too old"}}).encode()),
        (JSON, json.dumps({"partialSuccess": {"rejectedSpans": 3, "errorMessage": "too old"}}).encode()),
    ],
)
def test_some_were_thrown_away(headers: dict[str, str], body: bytes) -> None:
    assert of_http(200, headers, body, NOW) == Partial(3, "too old")


def test_a_warning_is_no_loss() -> None:
    assert of_http(200, PROTOBUF, partial(0, "slow down"), NOW) == Partial(0, "slow down")
    assert of_response(ExportTraceServiceResponse()) is None


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (PROTOBUF, b"\xff\xff\xff"),
        (PROTOBUF, partial(-3, "")),
        (JSON, b"{"),
        (JSON, b"[" * 100_000),
        (JSON, b"null"),
        (JSON, b'{"partialSuccess": 7}'),
        (JSON, b'{"partialSuccess": {"rejectedSpans": "many"}}'),
        (JSON, b'{"partialSuccess": {"rejectedSpans": [1]}}'),
        (JSON, b'{"partialSuccess": {"rejectedSpans": -1}}'),
        (JSON, b"\xff"),
        ({"Content-Type": "text/plain"}, b"ok"),
        ({}, b""),
    ],
)
def test_of_an_answer_that_cannot_be_read_the_status_counts(headers: dict[str, str], body: bytes) -> None:
    assert of_http(200, headers, body, NOW) is None
    assert refusal(503, headers, body).reason.startswith("HTTP 503")


def test_a_refusal_may_have_words() -> None:
    status = Status(code=3, message="span 7 is\r\nbad\x1b[31m").SerializeToString()
    assert refusal(400, PROTOBUF, status).reason == "HTTP 400: span 7 is  bad [31m"
    assert refusal(400, JSON, b'{"code": 3, "message": "bad"}').reason == "HTTP 400: bad"
    assert len(refusal(400, JSON, json.dumps({"message": "x" * 5000}).encode()).reason) == 200


@pytest.mark.parametrize(
    ("code", "details", "fault"),
    [
        ("UNAVAILABLE", "failed to connect", Fault.AWAY),
        ("DEADLINE_EXCEEDED", "", Fault.AWAY),
        ("RESOURCE_EXHAUSTED", "quota", Fault.AWAY),
        ("RESOURCE_EXHAUSTED", "grpc: received message larger than max (5 vs. 4)", Fault.SIZE),
        ("INVALID_ARGUMENT", "", Fault.DATA),
        ("UNAUTHENTICATED", "", Fault.SETUP),
        ("PERMISSION_DENIED", "", Fault.SETUP),
        ("UNIMPLEMENTED", "", Fault.SETUP),
        ("INTERNAL", "", Fault.AWAY),
    ],
)
def test_whose_fault_a_grpc_code_is(code: str, details: str, fault: Fault) -> None:
    told = of_grpc(code, details, {})
    assert told.fault is fault
    assert told.reason == (f"{code}: {details}" if details else code)


def test_when_to_come_back_over_grpc() -> None:
    wait = RetryInfo(retry_delay=Duration(seconds=7, nanos=500_000_000))
    packed = Anything()
    packed.Pack(wait)
    among = Status(code=14, details=[packed]).SerializeToString()
    alone = wait.SerializeToString()
    assert of_grpc("UNAVAILABLE", "", {"google.rpc.retryinfo-bin": alone}).retry_after_s == 7.5
    assert of_grpc("UNAVAILABLE", "", {"grpc-status-details-bin": among}).retry_after_s == 7.5
    assert of_grpc("UNAVAILABLE", "", {"grpc-status-details-bin": b"\xff"}).retry_after_s == 0.0
    assert of_grpc("UNAVAILABLE", "", {"grpc-status-details-bin": "text"}).retry_after_s == 0.0
