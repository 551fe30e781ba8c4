"""OTLP over gRPC: the official exporter resolves the settings and keeps the channel, our stub fills it.

One internal of the exporter lets our bytes in and the collector's answer out: `_client`, the generated stub,
which `_initialize_channel_and_stub` makes anew whenever it makes a channel.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]  # grpcio ships no types
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import INVALID_SPAN_CONTEXT

from .answers import Fault, Outcome, Refusal, of_grpc, of_response
from .otlp import Target
from .settings import Compression

_PACKINGS = {
    Compression.NONE: grpc.Compression.NoCompression,
    Compression.GZIP: grpc.Compression.Gzip,
    Compression.DEFLATE: grpc.Compression.Deflate,
}
_ANY_SPAN = ReadableSpan("", context=INVALID_SPAN_CONTEXT)
Metadata = tuple[tuple[str, str], ...]


class GrpcWay:
    """One exporter, over gRPC."""

    def __init__(self, target: Target) -> None:
        logger = logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter")
        for log_filter in [*logger.filters]:
            logger.removeFilter(log_filter)  # it remembers every message to hide the second one
        headers = {name.lower(): value for name, value in target.headers.items()}
        self._stub = _Stub(None if target.is_main else tuple(headers.items()))
        base = target.endpoint
        self._exporter = _Exporter(
            self._stub,
            endpoint=base,
            insecure=None if base is None else base.startswith("http://"),
            credentials=_credentials(target),
            headers=headers or None,
            timeout=target.timeout_s,
            compression=None if target.compression is None else _PACKINGS[target.compression],
            retryable_error_codes=[grpc.StatusCode.OK],  # that is, none: repeating is our business
        )
        if self._stub.real is None:
            raise RuntimeError("this version of the gRPC exporter is unknown; http/protobuf would do")

    def send(self, body: bytes) -> Outcome:
        """Try once."""
        stub = self._stub
        stub.body = body
        stub.outcome = Refusal("the exporter sent nothing", Fault.SETUP)
        self._exporter.export([_ANY_SPAN])
        return stub.outcome

    def close(self) -> None:
        """Let go of connections; what is being sent fails."""
        self._exporter.shutdown()


class _Stub:
    """In the place of the exporter's: sends our body, and keeps the outcome."""

    def __init__(self, metadata: Metadata | None) -> None:
        self.real: Any = None
        self.body = b""
        self.outcome: Outcome = None
        self._metadata = metadata  # None: the exporter's, who knows the OTEL_* variables

    def Export(self, request: object, metadata: Metadata, timeout: float) -> ExportTraceServiceResponse:
        """One attempt. What is refused is raised, for the exporter makes a new channel then."""
        ours = metadata if self._metadata is None else self._metadata
        whole = ExportTraceServiceRequest.FromString(self.body)  # in C: the stub takes nothing but its class
        try:
            response: ExportTraceServiceResponse = self.real.Export(whole, metadata=ours, timeout=timeout)
        except grpc.RpcError as error:
            trailers = dict(error.trailing_metadata() or ())
            self.outcome = of_grpc(error.code().name, error.details() or "", trailers)
            raise
        self.outcome = of_response(response)
        return response


class _Exporter(OTLPSpanExporter):
    """Speaks through our stub."""

    def __init__(self, stub: _Stub, **settings: Any) -> None:  # noqa: ANN401  the exporter's own
        self._ours = stub
        super().__init__(**settings)

    def _initialize_channel_and_stub(self) -> None:
        super()._initialize_channel_and_stub()  # type: ignore[no-untyped-call]  # not a typed part of the SDK
        self._ours.real = self._client
        self._client: Any = self._ours


def _credentials(target: Target) -> grpc.ChannelCredentials | None:
    """From files that are there, as `Outlet` has seen; None leaves it to the OTEL_* variables."""
    files = (target.certificate, target.client_key, target.client_certificate)
    if target.is_main and not any(files):
        return None
    roots, key, chain = [Path(file).read_bytes() if file else None for file in files]
    return grpc.ssl_channel_credentials(root_certificates=roots, private_key=key, certificate_chain=chain)
