"""What a collector's answer means: taken, taken in part, or refused, and then whether time, an operator or
a smaller batch may change that.

    AWAY     it is not there, or has no room now         the same again, later
    SETUP    it will not talk to us as we are set up     the same again, later, when an operator has looked
    DATA     it dislikes spans of this batch             halves, to find out which
    SIZE     the batch is too large for it               halves
"""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Mapping
from datetime import UTC
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

_LONGEST_REASON = 200
_PROTOBUF, _JSON, _HTML = "application/x-protobuf", "application/json", "text/html"


class Fault(Enum):
    """Whose fault a refusal is, and so what helps."""

    AWAY = "away"
    SETUP = "setup"
    DATA = "data"
    SIZE = "size"


class Refusal(Exception):
    """Spans did not arrive. `retry_after_s`: the collector named a time."""

    def __init__(self, reason: str, fault: Fault = Fault.AWAY, *, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = _short(reason)
        self.fault = fault
        self.retry_after_s = retry_after_s


class Partial(NamedTuple):
    """The batch arrived and must not be sent again, but the collector threw some of its spans away."""

    rejected: int
    message: str


Outcome = Refusal | Partial | None  # None: all of it was taken

_FAULTS = {400: Fault.DATA, 413: Fault.SIZE, 415: Fault.DATA, 422: Fault.DATA}
_PASSING = frozenset({408, 425, 429})


def of_http(status: int, headers: Mapping[str, str], body: bytes, now: float) -> Outcome:
    """Judge an answer over HTTP; `now` is the seconds since 1970. `headers` knows no case."""
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if 200 <= status < 300:
        if kind == _HTML:
            return Refusal(f"HTTP {status}, and a web page", Fault.SETUP)
        return _partial(kind, body)
    reason = f"HTTP {status}"
    if 300 <= status < 400:
        return Refusal(f"{reason} to {_host(headers.get('Location', ''))}", Fault.SETUP)
    said = _said(kind, body)
    if said:
        reason = f"{reason}: {said}"
    if status >= 500 or status in _PASSING:
        return Refusal(reason, retry_after_s=_wait_s(headers.get("Retry-After", ""), now))
    return Refusal(reason, _FAULTS.get(status, Fault.SETUP))


_GRPC_FAULTS = {
    "INVALID_ARGUMENT": Fault.DATA,
    "UNAUTHENTICATED": Fault.SETUP,
    "PERMISSION_DENIED": Fault.SETUP,
    "UNIMPLEMENTED": Fault.SETUP,
    "NOT_FOUND": Fault.SETUP,
}


def of_grpc(code: str, details: str, trailers: Mapping[str, str | bytes]) -> Refusal:
    """Judge a gRPC status that is not OK."""
    reason = f"{code}: {details}" if details else code
    if code == "RESOURCE_EXHAUSTED" and "larger than max" in details:
        return Refusal(reason, Fault.SIZE)
    fault = _GRPC_FAULTS.get(code, Fault.SETUP if "handshake" in details.lower() else Fault.AWAY)
    return Refusal(reason, fault, retry_after_s=_retry_info_s(trailers))


def of_response(response: ExportTraceServiceResponse) -> Partial | None:
    """What a response says of spans that it did not want."""
    said = response.partial_success
    if said.rejected_spans <= 0 and not said.error_message:
        return None
    return Partial(max(0, said.rejected_spans), _short(said.error_message))


def _partial(kind: str, body: bytes) -> Partial | None:
    """Of an answer that cannot be read only its status counts."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        if kind == _PROTOBUF:
            return of_response(ExportTraceServiceResponse.FromString(body))
        if kind == _JSON:
            return _partial_of_json(json.loads(body))
    except (_undecodable(), ValueError, RecursionError):
        pass
    return None


def _partial_of_json(answer: Any) -> Partial | None:  # noqa: ANN401  whatever a collector writes
    said = answer.get("partialSuccess") if isinstance(answer, dict) else None
    if not isinstance(said, dict):
        return None
    rejected, message = said.get("rejectedSpans", 0), said.get("errorMessage", "")
    count = int(rejected) if isinstance(rejected, int | str) else 0  # 64 bits are a string in protobuf's JSON
    return Partial(max(0, count), _short(str(message))) if count > 0 or message else None


def _said(kind: str, body: bytes) -> str:
    """The message of a google.rpc.Status, which is what OTLP wants in a refusal."""
    from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # it ships no types

    try:
        if kind == _PROTOBUF:
            return str(Status.FromString(body).message)
        if kind == _JSON:
            answer = json.loads(body)
            return str(answer.get("message", "")) if isinstance(answer, dict) else ""
    except (_undecodable(), ValueError, RecursionError):
        pass
    return ""


def _wait_s(text: str, now: float) -> float:
    """Retry-After: seconds, or a date."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        until = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, until.timestamp() - now)


def _retry_info_s(trailers: Mapping[str, str | bytes]) -> float:
    from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # nor does this
    from google.rpc.status_pb2 import Status

    info = RetryInfo()
    try:
        alone = trailers.get("google.rpc.retryinfo-bin")
        if isinstance(alone, bytes):
            info.ParseFromString(alone)
        among = trailers.get("grpc-status-details-bin")
        if isinstance(among, bytes):
            for detail in Status.FromString(among).details:
                detail.Unpack(info)
    except _undecodable():
        return 0.0
    return max(0.0, float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9))


def _undecodable() -> type[Exception]:
    """Protobuf takes a while to load, and the process that has the calls needs none of it."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it ships no types

    found: type[Exception] = DecodeError
    return found


def _host(location: str) -> str:
    """Where a redirect leads, without what may be secret in it."""
    found = re.match(r"(https?://)(?:[^/?#@]*@)?([^/?#@]+)", location)
    return found.group(1) + found.group(2) if found else "another path"


def _short(text: str) -> str:
    """One line of printable characters, and no longer than a log line bears."""
    return "".join(c if c.isprintable() else " " for c in text[:_LONGEST_REASON]).strip()
