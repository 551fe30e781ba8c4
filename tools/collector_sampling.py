"""Rules of collector_lint.py about what decides on whole traces: tail sampling, and load balancing before it.

Policies are made when the processor starts, which `validate` does not see: unknown types, names that occur
twice, and those that span-ingest rejects (processor.go, loadSamplingPolicies). What else stands in a policy
is kept for extensions, and so never complained about.
"""

from __future__ import annotations

import re
from typing import Final

from tools.collector_rules import Path, exporters, kind, section
from tools.located_yaml import Document, Plain

POLICIES: Final = {
    *("always_sample", "latency", "numeric_attribute", "probabilistic", "status_code", "string_attribute"),
    *("rate_limiting", "composite", "and", "not", "drop", "span_count", "trace_state", "trace_flags"),
    *("boolean_attribute", "ottl_condition", "bytes_limiting"),
}
WITHOUT_SETTINGS: Final = {"always_sample", "trace_flags"}
STATEFUL: Final = {"rate_limiting", "bytes_limiting"}
BELOW: Final = {
    "and": "and_sub_policy",
    "not": "not_sub_policy",
    "drop": "drop_sub_policy",
    "composite": "composite_sub_policy",
}
RETRY: Final = ("initial_interval", "multiplier", "max_interval", "max_elapsed_time")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def check(document: Document, longest_call_s: float) -> None:
    """Note the faults in the document."""
    for name, settings in section(document, "processors").items():
        if kind(name) == "tail_sampling" and isinstance(settings, dict):
            _tail_sampling(document, ("processors", name), settings, longest_call_s)
    for what, path, settings in exporters(document):
        if what in ("load_balancing", "loadbalancing"):
            _load_balancing(document, path, settings)


def seconds(text: str) -> float | None:
    """Of a duration as Go writes it: 1h30m."""
    parts = _DURATION.findall(text)
    if not parts or "".join("".join(part) for part in parts) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _tail_sampling(document: Document, path: Path, settings: dict[str, Plain], longest_call_s: float) -> None:
    strategy = settings.get("sampling_strategy", "trace-complete")
    if strategy == "trace-complete":
        reason = "trace-complete decides once, on a call's beginning or hours later: span-ingest"
        document.fault(reason, *path, "sampling_strategy")
    elif strategy != "span-ingest":
        document.fault(f"{strategy!r} is neither span-ingest nor trace-complete", *path, "sampling_strategy")
    wait_s = seconds(str(settings.get("decision_wait", "30s")))
    if wait_s is None:
        document.fault(f"{settings['decision_wait']!r} is no duration, such as 4h", *path, "decision_wait")
    elif strategy == "span-ingest" and wait_s < longest_call_s:
        reason = (
            f"{wait_s:.0f} s is less than the longest call ({longest_call_s:.0f} s): its first spans are gone"
        )
        document.fault(f"{reason} when a transfer speaks for them", *path, "decision_wait")
    traces = settings.get("num_traces", 50000)
    for key in ("sampled_cache_size", "non_sampled_cache_size"):
        size = (settings.get("decision_cache") or {}).get(key, 0)
        if isinstance(size, int) and isinstance(traces, int) and size < traces:
            reason = (
                f"{key} {size} is less than num_traces {traces}: late spans of a trace are decided on anew"
            )
            document.fault(reason, *path, "decision_cache", key)
    policies = settings.get("policies")
    if not isinstance(policies, list) or not policies:
        document.fault("no policies: everything is dropped", *path, "policies")
        return
    names: set[str] = set()
    for at, policy in enumerate(policies):
        place = (*path, "policies", at)
        if not isinstance(policy, dict) or not policy.get("name"):
            document.fault("a policy without a name", *place)
        elif policy["name"] in names:
            document.fault(f"{policy['name']} occurs twice: the collector would not start", *place)
        if isinstance(policy, dict):
            names.add(str(policy.get("name")))
            _policy(document, place, policy, ingest=strategy == "span-ingest")


def _policy(document: Document, place: Path, policy: dict[str, Plain], *, ingest: bool) -> None:
    what = str(policy.get("type", ""))
    if what not in POLICIES:
        document.fault(f"{what!r} is no type of policy: the collector would not start", *place)
        return
    if what not in WITHOUT_SETTINGS and not isinstance(policy.get(what), dict):
        document.fault(f"{what}: its settings are missing", *place)
    for key in policy:
        if key not in ("name", "type", what):
            document.fault(
                f"{key} is nothing to a policy of type {what}, and not complained about", *place, key
            )
    found = policy.get(what)
    settings: dict[str, Plain] = found if isinstance(found, dict) else {}
    if what == "latency":
        reason = (
            "latency is that of the whole trace, talking included: numeric_attribute sip.setup.duration_ms"
        )
        document.fault(reason, *place)
    if ingest and (what in STATEFUL or (what == "span_count" and settings.get("max_spans"))):
        document.fault(
            f"{what} keeps a state, which span-ingest refuses: the collector would not start", *place
        )
    if ingest and what == "drop":
        document.fault("drop: span-ingest then keeps no trace at all", *place)
    if what == "probabilistic" and not settings.get("sampling_percentage"):
        document.fault("sampling_percentage is 0: it keeps nothing", *place)
    key = BELOW.get(what, "")
    if key:
        below = settings.get(key)
        for at, one in enumerate(below if isinstance(below, list) else [below] if below else []):
            deeper: Path = (*place, what, key, at) if isinstance(below, list) else (*place, what, key)
            _policy(document, deeper, one, ingest=ingest)


def _load_balancing(document: Document, path: Path, settings: dict[str, Plain]) -> None:
    if settings.get("routing_key") != "traceID":
        found = settings.get("routing_key")
        reason = "traceID alone brings all spans of a trace to one place"
        document.fault(f"routing_key is {found or 'not said'}: {reason}", *path, "routing_key")
    resolvers = settings.get("resolver")
    if not isinstance(resolvers, dict) or len(resolvers) != 1:
        document.fault("one resolver: static, dns, k8s or aws_cloud_map", *path, "resolver")
        resolvers = {}
    otlp = (settings.get("protocol") or {}).get("otlp") or {}
    if "endpoint" in otlp:
        document.fault(
            "endpoint is overwritten by what the resolver finds", *path, "protocol", "otlp", "endpoint"
        )
    tls = otlp.get("tls") or {}
    if "dns" in resolvers and not tls.get("insecure") and not tls.get("server_name_override"):
        reason = "dns gives addresses, which no certificate names: server_name_override"
        document.fault(reason, *path, "protocol", "otlp", "tls")
    retry = settings.get("retry_on_failure")
    if not isinstance(retry, dict) or not retry.get("enabled"):
        document.fault("no retry_on_failure: what a gateway does not take is not given to another", *path)
    else:
        for key in RETRY:
            if key not in retry:
                reason = f"{key} is missing, and has no default here: it would be 0"
                document.fault(reason, *path, "retry_on_failure")
    queue = settings.get("sending_queue")
    inner = otlp.get("sending_queue")
    if isinstance(queue, dict) and "storage" in queue and (inner is None or inner.get("enabled", True)):
        reason = (
            "a second queue, in memory, empties the disk queue before a gateway has the spans: enabled: false"
        )
        document.fault(reason, *path, "protocol", "otlp", "sending_queue")
