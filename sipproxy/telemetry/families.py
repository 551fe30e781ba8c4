"""Every metric, its labels and the values that these can have: a public contract.

Nothing is counted that has no row here. The meter (`meter.py`) counts in the signalling process, the observer
adds its own figures and makes Prometheus text of all (`admin/metrics.py`); the reference in `docs/` is made
from this table. A label's values are a closed set, or names from the configuration: what comes with another
value is counted under `_OTHER`, so that no peer can add series.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ..propagation.context import Rejected
from .describe import OTHER as OTHER  # for those who count

UNKNOWN = "unknown"  # the trunk of a source that is nobody's
NONE = "none"  # a word for what is absent: Prometheus takes an empty label for no label


class Kind(StrEnum):
    """What can be done with a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Label:
    """`values` is the closed set; empty: names from the configuration."""

    name: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """One metric; `bounds` are a histogram's, in seconds."""

    name: str
    kind: Kind
    text: str
    labels: tuple[Label, ...] = ()
    bounds: tuple[float, ...] = ()


# As RFC 6076 takes final responses to INVITE: 2xx; 3xx; 401, 402, 407; 480, 486, 600, 603; 408, 500, 503,
# 504; 487; all others.
OUTCOMES = ("answered", "redirected", "challenged", "user", "ineffective", "cancelled", "failed")
RESULTS = ("success", "failure")
LEGS = ("caller", "callee")
STATES = ("setup", "talking")
DIRECTIONS = ("received", "sent")
METHODS = (
    *("INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS", "PRACK", "SUBSCRIBE", "NOTIFY", "PUBLISH"),
    *("INFO", "REFER", "MESSAGE", "UPDATE"),
)
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "6xx")
CARRIERS = (
    *("traceparent", "x-traceparent", "pai", "uri-header", "marker", "replaces", "session-id", "referred-by"),
    *("connection", "subscription", "retry", "previous-trace-id", NONE),
)
DECISIONS = ("adopted", "recovered", "linked", "new")
REASONS = (NONE, *(str(reason) for reason in Rejected))
REFER_CARRIERS = (
    *("traceparent", "uri-header", "marker", "replaces", "referred-by", "connection", "previous-trace-id"),
)
TURNED_AWAY = ("limit", "handshake", "websocket")  # too many; TLS failed; no SIP over WebSocket
TRANSFER_KINDS = ("blind", "attended")
TRANSFER_MODES = ("relay", "local")
TRANSFER_OUTCOMES = (
    *("completed", "refused", "busy", "declined", "timeout", "unreachable", "cancelled", "failed"),
    "unknown",
)
TRANSFER_STAGES = (
    *(NONE, "refused", "accepted", "trying", "ringing", "answered", "failed", "abandoned", "expired"),
)
REJECTIONS = ("no_route", "overload", "draining", "loop", "max_forwards", "webhook_rejected")
INCIDENTS = (
    *("failover", "passed_over", "unresolved", "unreachable", "ring_timeout", "no_ack", "session_expired"),
    "foreign_request",
    *("trace_dropped", "refer_header", "token_unknown", "token_replayed", "replaces_refused"),
    *("too_many_forks", "stray_ack", "stray_response", "unsent"),
)
WEBHOOK_RESULTS = ("ok", "rejected", "timeout", "error", "not_asked", "bad_answer", "abandoned")
HANDED_OVER = ("spans", "messages")
HEP_RESULTS = ("sent", "dropped", "refused")

# 3, 5, 6, 8 and 11 s are what ITU-T E.721 allows of post-dial delay, on average and to 95 % of the calls.
_SETUP_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 6.0, 8.0, 11.0, 16.0, 32.0)
_ANSWER_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
_TALK_S = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0)
_OURS_S = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

_TRUNK = Label("trunk")
_OUTCOME, _RESULT, _LEG = Label("outcome", OUTCOMES), Label("result", RESULTS), Label("leg", LEGS)
_DIRECTION, _DESTINATION = Label("direction", DIRECTIONS), Label("destination")


def _counter(name: str, text: str, *labels: Label) -> Family:
    return Family(name, Kind.COUNTER, text, labels)


def _gauge(name: str, text: str, *labels: Label) -> Family:
    return Family(name, Kind.GAUGE, text, labels)


def _histogram(name: str, bounds: tuple[float, ...], text: str, *labels: Label) -> Family:
    return Family(name, Kind.HISTOGRAM, text, labels, bounds)


FAMILIES = (
    _counter(
        "sip_calls_total",
        "INVITEs that begin a call, by the trunk they came from and the class of their final response.",
        *(_TRUNK, _OUTCOME),
    ),
    _gauge(
        "sip_calls_active",
        "Calls in progress, by the trunk they came from: before the answer, and after it.",
        *(_TRUNK, Label("state", STATES)),
    ),
    _gauge("sip_dialogs_active", "Answered legs, by their own trunk.", _TRUNK, _LEG),
    _histogram(
        "sip_session_request_delay_seconds",
        _SETUP_S,
        "RFC 6076 SRD: from the caller's INVITE to the first response that tells the caller something (180 "
        "to 183), else to the final one, by how the call came out; not of redirected and challenged INVITEs.",
        *(_TRUNK, _RESULT),
    ),
    _histogram(
        "sip_session_duration_seconds",
        _TALK_S,
        "RFC 6076 SDT: from the 200 to the BYE, of each leg by its own trunk; a transfer ends the leg of who "
        "leaves.",
        *(_TRUNK, _LEG),
    ),
    _histogram(
        "sip_session_disconnect_delay_seconds",
        _ANSWER_S,
        "RFC 6076 SDD: from a BYE of ours to its final response; any but a 2xx is a failure, and so is none "
        "within 32 s.",
        *(_TRUNK, _RESULT),
    ),
    _counter(
        "sip_attempts_total",
        "INVITEs that went out to a trunk, by the class of its answer; one that stays silent or cannot be "
        "reached is ineffective.",
        *(_TRUNK, _OUTCOME),
    ),
    _histogram(
        "sip_attempt_delay_seconds",
        _SETUP_S,
        "SRD as we see it from a trunk: from our INVITE to its first such response.",
        *(_TRUNK, _RESULT),
    ),
    _counter(
        "sip_transfers_total",
        "Transfers, by what came of them and how far they got.",
        Label("kind", TRANSFER_KINDS),
        Label("mode", TRANSFER_MODES),
        Label("outcome", TRANSFER_OUTCOMES),
        Label("stage", TRANSFER_STAGES),
    ),
    _counter(
        "sip_trace_contexts_total",
        "Requests that begin something: which carrier gave their trace context, what was made of it, and why "
        "one that was there was refused.",
        *(_TRUNK, Label("carrier", CARRIERS), Label("decision", DECISIONS), Label("reason", REASONS)),
    ),
    _counter(
        "sip_trace_refer_carriers_total",
        "Which of what we wrote into a REFER came back with the new call.",
        *(_TRUNK, Label("carrier", REFER_CARRIERS)),
    ),
    _counter(
        "sip_messages_total",
        "SIP messages on the wire, repeats included: requests by method, responses by class.",
        *(Label("method", (*METHODS, *CLASSES)), _DIRECTION, _TRUNK),
    ),
    _counter(
        "sip_retransmissions_total",
        "Repeats of requests that make a span: those that came again, and those of ours that had to.",
        *(_TRUNK, _DIRECTION),
    ),
    _counter("sip_parse_errors_total", "Messages that are no SIP, or that could not be answered otherwise."),
    _counter(
        "sip_rejected_total",
        "Requests that we refused ourselves, or because the routing webhook said so.",
        Label("reason", REJECTIONS),
    ),
    _counter(
        "sip_incidents_total",
        "What else went wrong, or was prevented.",
        *(Label("kind", INCIDENTS), _TRUNK),
    ),
    _histogram(
        "sipproxy_delay_seconds",
        _OURS_S,
        "Our own share: from the INVITE in to its first INVITE out, with lookups and the routing webhook.",
    ),
    _gauge("sipproxy_trunk_up", "1; 0 while OPTIONS finds the trunk down.", _TRUNK),
    _gauge(
        "sip_peer_rtt_seconds",
        "The round trip to a trunk, by OPTIONS and 100 Trying: the network's share. None until it is known.",
        _TRUNK,
    ),
    _gauge("sipproxy_start_time_seconds", "When the signalling process began, as Unix time."),
    _gauge(
        "sipproxy_config_reload_success", "1; 0 where the last SIGHUP found a fault, and nothing changed."
    ),
    _gauge("sipproxy_config_reload_time_seconds", "When the configuration in force was read, as Unix time."),
    _gauge("sipproxy_connections", "Open connections: TCP, TLS and WebSocket."),
    _counter(
        "sipproxy_connections_refused_total",
        "Connections that were turned away.",
        Label("reason", TURNED_AWAY),
    ),
    _gauge(
        "sipproxy_certificate_expiry_time_seconds",
        "When a certificate of ours expires, as Unix time; by its place in tls.certificates.",
        Label("certificate"),
    ),
    _counter(
        "sipproxy_webhook_total",
        "Questions to the routing webhook.",
        Label("result", WEBHOOK_RESULTS),
    ),
    _gauge(
        "sipproxy_loop_lag_seconds",
        "How late the signalling process came to its work: the worst of the last second.",
    ),
    _gauge("sipproxy_draining", "1 while no new calls are taken."),
    _counter(
        "sipproxy_worker_restarts_total",
        "How often the observer process was started again; calls do not notice.",
    ),
    _counter(
        "sipproxy_handover_dropped_total",
        "What the signalling process could not hand over to the observer.",
        Label("kind", HANDED_OVER),
    ),
    _counter("sipproxy_spans_exported_total", "Spans that a destination has taken.", _DESTINATION),
    _counter(
        "sipproxy_spans_dropped_total",
        "Spans that had to go from the disk before a destination took them.",
        _DESTINATION,
    ),
    _counter("sipproxy_spans_refused_total", "Spans that a destination has turned down.", _DESTINATION),
    _gauge("sipproxy_spans_queued", "Spans that wait for a destination.", _DESTINATION),
    _counter("sipproxy_export_failures_total", "Batches that have to be sent again.", _DESTINATION),
    _gauge("sipproxy_store_bytes", "What the embedded store takes on the disk."),
    _counter(
        "sipproxy_store_failures_total",
        "Writes to the store that failed, on a full disk say, and are tried again; spans wait meanwhile.",
    ),
    _counter("sipproxy_hep_messages_total", "SIP messages for HOMER.", Label("result", HEP_RESULTS)),
    Family(
        "sipproxy_build_info",
        Kind.INFO,
        "Always 1.",
        (Label("version"), Label("region")),
    ),
)

FAMILY = {family.name: family for family in FAMILIES}
