"""The keys that our collector files may have, read off the config structs of otelcol(-contrib) 0.159.0.

A path of the file, `*` for any name, and the keys below it. Not all that there are: those that we use, and
their neighbours. They stand in config{http,grpc,tls,retry,net}, exporterhelper/internal/queuebatch,
internal/memorylimiter and receiver/otlpreceiver of the core; in loadbalancingexporter, tailsamplingprocessor,
redactionprocessor, filestorage and healthcheckextension of contrib; those of service.telemetry.metrics are
opentelemetry-configuration's.
"""

from __future__ import annotations

from tools.located_yaml import Plain

_TLS = "ca_file cert_file key_file min_version max_version reload_interval"
_QUEUE = "enabled storage sizer queue_size num_consumers block_on_overflow wait_for_result batch"
_BATCH = "flush_timeout sizer min_size max_size partition"
_RETRY = "enabled initial_interval randomization_factor multiplier max_interval max_elapsed_time"
_GRPC = "endpoint tls compression keepalive headers auth timeout sending_queue retry_on_failure"

KEYS = {
    "": "extensions receivers processors exporters service",
    "extensions": "health_check file_storage",
    "extensions.health_check": "endpoint path tls response_body",
    "extensions.file_storage": "directory timeout compaction fsync create_directory directory_permissions",
    "extensions.file_storage.compaction": "on_start on_rebound directory cleanup_on_start check_interval",
    "receivers": "otlp",
    "receivers.otlp": "protocols",
    "receivers.otlp.protocols": "grpc http",
    "receivers.otlp.protocols.grpc": "endpoint tls max_recv_msg_size_mib keepalive auth include_metadata",
    "receivers.otlp.protocols.grpc.tls": f"{_TLS} client_ca_file client_ca_file_reload",
    "receivers.otlp.protocols.http": "endpoint tls cors max_request_body_size traces_url_path",
    "processors": "memory_limiter redaction tail_sampling",
    "processors.memory_limiter": "check_interval limit_mib spike_limit_mib limit_percentage "
    "spike_limit_percentage",
    "processors.redaction": "allow_all_keys allowed_keys ignored_keys blocked_values allowed_values "
    "blocked_key_patterns ignored_key_patterns redact_all_types hash_function summary",
    "processors.tail_sampling": "sampling_strategy decision_wait num_traces decision_cache policies "
    "expected_new_traces_per_sec decision_wait_after_root_received sample_on_first_match block_on_overflow",
    "processors.tail_sampling.decision_cache": "sampled_cache_size non_sampled_cache_size",
    "processors.tail_sampling.policies.*": "name type status_code numeric_attribute boolean_attribute "
    "probabilistic",
    "processors.tail_sampling.policies.*.status_code": "status_codes",
    "processors.tail_sampling.policies.*.numeric_attribute": "key min_value max_value",
    "processors.tail_sampling.policies.*.boolean_attribute": "key value",
    "processors.tail_sampling.policies.*.probabilistic": "sampling_percentage hash_salt",
    "exporters": "otlp_grpc otlp_http load_balancing",
    "exporters.otlp_grpc": _GRPC,
    "exporters.otlp_http": "endpoint traces_endpoint tls compression headers auth timeout encoding "
    "sending_queue retry_on_failure",
    "exporters.load_balancing": "routing_key routing_attributes resolver protocol timeout sending_queue "
    "retry_on_failure",
    "exporters.load_balancing.resolver": "static dns k8s aws_cloud_map",
    "exporters.load_balancing.resolver.dns": "hostname port interval timeout",
    "exporters.load_balancing.protocol": "otlp",
    "exporters.load_balancing.protocol.otlp": _GRPC,
    "exporters.*.tls": f"{_TLS} insecure insecure_skip_verify server_name_override",
    "exporters.load_balancing.protocol.otlp.tls": f"{_TLS} insecure server_name_override",
    "exporters.*.sending_queue": _QUEUE,
    "exporters.load_balancing.protocol.otlp.sending_queue": _QUEUE,
    "exporters.*.sending_queue.batch": _BATCH,
    "exporters.*.retry_on_failure": _RETRY,
    "exporters.load_balancing.protocol.otlp.retry_on_failure": _RETRY,
    "service": "extensions telemetry pipelines",
    "service.telemetry": "logs metrics traces resource",
    "service.telemetry.logs": "level encoding output_paths",
    "service.telemetry.metrics": "level readers",
    "service.telemetry.metrics.readers.*": "pull periodic",
    "service.telemetry.metrics.readers.*.pull": "exporter",
    "service.telemetry.metrics.readers.*.pull.exporter": "prometheus",
    "service.telemetry.metrics.readers.*.pull.exporter.prometheus": "host port",
    "service.pipelines": "traces",
    "service.pipelines.traces": "receivers processors exporters",
}


def strange_keys(content: Plain, path: tuple[str, ...] = ()) -> list[str]:
    """Paths that the collector would not know."""
    found: list[str] = []
    if isinstance(content, list):
        for item in content:
            found += strange_keys(item, (*path, "*"))
    elif isinstance(content, dict):
        known = _known(path)
        for key, value in content.items():
            below = (*path, str(key))
            found += strange_keys(value, below) if key in known else [".".join(below)]
    return found


def _known(path: tuple[str, ...]) -> list[str]:
    for place, keys in KEYS.items():
        parts = place.split(".") if place else []
        if len(parts) == len(path) and all(a in ("*", b) for a, b in zip(parts, path, strict=True)):
            return keys.split()
    return []
