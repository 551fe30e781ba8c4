"""Settings of trace propagation, per trunk and for the whole proxy."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Accept(StrEnum):
    """What a trunk's incoming trace context is worth (`trace.accept`)."""

    ADOPT = "adopt"  # it becomes the parent
    LINK = "link"  # a new trace starts, linked to it
    IGNORE = "ignore"  # as if it were absent


class Carrier(StrEnum):
    """The names under which context can be written to a trunk (`trace.send`)."""

    TRACEPARENT = "traceparent"
    TRACESTATE = "tracestate"
    X_TRACEPARENT = "x-traceparent"
    OTEL_TRACE_ID = "otel-trace-id"
    PAI = "pai"
    BAGGAGE = "baggage"


@dataclass(frozen=True, slots=True)
class TrunkTrace:
    """How one trunk's peers are read from and written to."""

    accept: Accept = Accept.ADOPT
    send: tuple[Carrier, ...] = (Carrier.TRACEPARENT, Carrier.TRACESTATE)
    aliases: tuple[str, ...] = ("X-Traceparent",)  # further names that traceparent is read from
    read_pai: bool = False  # read a traceparent parameter in P-Asserted-Identity
    respond: bool = False  # responses to this trunk's calls carry traceparent


@dataclass(frozen=True, slots=True)
class PropagationSettings:
    """The `trace:` section."""

    interaction_header: str = "X-Interaction-ID"
    max_transfers: int = field(default=10, metadata={"ge": 1})
    max_duration_s: float = field(default=14400.0, metadata={"gt": 0})
