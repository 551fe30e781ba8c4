"""The collector's three files have no fault that our lint knows, and it finds each fault, with its line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sipproxy.config import Settings
from sipproxy.telemetry.attributes import ROWS
from tests.support import yamlfile
from tools.collector_lint import lint
from tools.collector_sampling import seconds
from tools.located_yaml import Plain

from .collector_keys import strange_keys

ROOT = Path(__file__).parents[2]
SINGLE, REGIONAL, GATEWAY = (f"otel-collector{part}.yaml" for part in ("", "-regional", "-gateway"))
FILES = (SINGLE, REGIONAL, GATEWAY)


def text(name: str) -> str:
    return (ROOT / "config" / name).read_text()


def content(name: str) -> Plain:
    return yamlfile.read(ROOT / "config" / name)


# Our files


@pytest.mark.parametrize("name", FILES)
def test_no_fault_is_found(name: str) -> None:
    assert lint(ROOT / "config" / name) == []


@pytest.mark.parametrize("name", FILES)
def test_no_fault_is_found_where_it_listens_in_a_container(name: str) -> None:
    found = lint(ROOT / "config" / name, environment={"LISTEN_HOST": "10.0.0.7"})
    assert found == []


@pytest.mark.parametrize("name", FILES)
def test_every_key_is_one_of_the_collectors(name: str) -> None:
    assert strange_keys(content(name)) == []


@pytest.mark.parametrize("name", FILES)
def test_the_file_says_which_collector_it_is_for(name: str) -> None:
    assert "otelcol-contrib 0.159.0" in text(name)


@pytest.mark.parametrize(
    ("name", "processors", "last"),
    [
        (SINGLE, ["memory_limiter", "redaction"], "otlp_grpc"),
        (REGIONAL, ["memory_limiter", "redaction"], "load_balancing"),
        (GATEWAY, ["memory_limiter", "tail_sampling"], "otlp_http"),
    ],
)
def test_the_order_of_the_pipeline(name: str, processors: list[str], last: str) -> None:
    file = content(name)
    assert file["service"]["pipelines"]["traces"] == {
        "receivers": ["otlp"],
        "processors": processors,
        "exporters": [last],
    }
    assert "batch" in file["exporters"][last]["sending_queue"]


def test_the_gateway_decides_on_what_the_proxy_writes() -> None:
    types = {row.name: row.type for row in ROWS}
    sampling = content(GATEWAY)["processors"]["tail_sampling"]
    policies = {policy["name"]: policy for policy in sampling["policies"]}
    slow = policies["slow-setup"]["numeric_attribute"]
    assert (types[slow["key"]], slow["min_value"]) == (int, 2001)
    assert types[policies["transfers"]["boolean_attribute"]["key"]] is bool
    assert policies["errors"]["status_code"] == {"status_codes": ["ERROR"]}
    assert 0 < policies["baseline"]["probabilistic"]["sampling_percentage"] < 100
    wait_s = seconds(sampling["decision_wait"])
    assert wait_s is not None
    assert wait_s >= Settings().trace.max_duration_s


def masked(value: str, name: str) -> str:
    """What the redaction processor makes of an attribute."""
    for pattern in content(name)["processors"]["redaction"]["blocked_values"]:
        value = re.sub(pattern, "****", value)
    return value


@pytest.mark.parametrize("name", [SINGLE, REGIONAL])
@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("+441632960000", "****"),
        ("00441632960000", "****"),
        ("call 01632960000 back", "call **** back"),
        ("sip:alice@192.0.2.9:5060", "****192.0.2.9:5060"),
        ("<SIPS:+441632960000@example.com>", "<****example.com>"),
        ("tel:+44-1632-960000", "****"),
        (
            "select * from customers where phone = '+441632960000'",
            "select * from customers where phone = '****'",
        ),
    ],
)
def test_numbers_that_got_so_far_are_masked(name: str, value: str, left: str) -> None:
    assert masked(value, name) == left


@pytest.mark.parametrize(
    "value",
    [
        *(
            "***89",
            "h:3f0c9a1b2c3d",
            "192.0.2.9",
            "2001:db8::20",
            "1.4.0+eu-west-2",
            "4bf92f3577f34da6a3ce929d0e0e4736",
        ),
        *(
            "1700000000000",
            "2026-11-23T02:07:40.964706Z",
            "sip:192.0.2.9:5060",
            "a84b4c76e66710",
            "200",
            "demo-1",
        ),
    ],
)
def test_what_the_proxy_writes_stays(value: str) -> None:
    assert masked(value, REGIONAL) == value


def test_both_mask_the_same() -> None:
    assert content(SINGLE)["processors"]["redaction"] == content(REGIONAL)["processors"]["redaction"]


# Faults

HTTP = "${env:LISTEN_HOST:-127.0.0.1}:4318"
ORDER, GATEWAYS = "[memory_limiter, redaction]", "[memory_limiter, tail_sampling]"
INGEST = "sampling_strategy: span-ingest"
STATUS = "type: status_code\n        status_code: {status_codes: [ERROR]}"

FAULTS = [
    # the file, what is replaced, by what, the row that is named, what is said of it
    (SINGLE, "14317}", "14317}/v1/traces", "TRACES_ENDPOINT:-", "gRPC has no path"),
    (SINGLE, ":14317}", ":4318}", "TRACES_ENDPOINT:-", "4318 is the port of OTLP over HTTP"),
    (SINGLE, "127.0.0.1:14317}", "localhost:4317}", "TRACES_ENDPOINT:-", "to this collector itself"),
    (SINGLE, "}:4318", "}:4317", "}:4317", "port 4317 is that of"),
    (SINGLE, HTTP, "0.0.0.0:4318", "0.0.0.0:4318", "listens on every address"),
    (SINGLE, HTTP, ":4318", '":4318', "listens on every address"),
    (SINGLE, HTTP, "localhost", "localhost", "has no port"),
    (SINGLE, "port: 8888", "port: 13133", "host:", "port 13133 is that of extensions.health_check"),
    (SINGLE, "${env:TRACES_ENDPOINT:-127.0.0.1:14317}", "${env:BACKEND}", "BACKEND", "BACKEND is not set"),
    (SINGLE, "${env:TRACES_ENDPOINT:-127.0.0.1:14317}", "$BACKEND:4317", "BACKEND", "stands for itself"),
    (SINGLE, ORDER, "[redaction, memory_limiter]", "processors: [", "not first"),
    (SINGLE, ORDER, "[redaction]", "processors: [", "no memory_limiter"),
    (SINGLE, ORDER, "[memory_limiter]", "redaction:", "it does nothing"),
    (SINGLE, "redaction]", "redaction, batch]", "pipelines:", "batch is used, and not defined"),
    (SINGLE, "extensions: [health_check]", "extensions: []", "health_check:", "it is not started"),
    (SINGLE, "extensions: [health_check]", "extensions: [health_check, pprof]", "extensions: [",
     "pprof is used"),
    (SINGLE, "otlp_grpc", "otlp", "  otlp:", "the old name of otlp_grpc"),
    (SINGLE, "      batch:\n", "      batsch:\n", "otlp_grpc:", "nothing makes batches"),
    (SINGLE, "allow_all_keys: true", "allow_all_keys: false", "redaction:", "would drop every attribute"),
    (SINGLE, '"(?i)cookie"', '"(?!x)cookie"', "cookie", "no look-around"),
    (SINGLE, '"(?i)cookie"', '"(cookie"', "cookie", "unterminated"),
    (SINGLE, "    check_interval: 1s", "    limit_mib: 1\n    check_interval: 1s", "limit_mib: 400",
     "occurs twice"),
    (SINGLE, "service:\n", "servise: {}\nservice:\n", "servise", "is no section"),
    (SINGLE, "exporters:\n", "exporters:\n\t", "\t", "no YAML"),
    (REGIONAL, "[health_check, file_storage]", "[health_check]", "storage: file",
     "not in service.extensions"),
    (REGIONAL, "max_elapsed_time: 0s", "max_elapsed_time: 300s", "max_elapsed_time",
     "drops after 5 minutes"),
    (REGIONAL, "routing_key: traceID", "routing_key: service", "routing_key", "traceID alone"),
    (REGIONAL, "    routing_key: traceID #", "    #", "load_balancing:", "routing_key is not said"),
    (REGIONAL, "      dns:\n", "      static: {hostnames: [a]}\n      dns:\n", "resolver:", "one resolver"),
    (REGIONAL, "          server_name_override", "          #", "tls:", "which no certificate names"),
    (REGIONAL, "      multiplier: 1.5\n", "", "retry_on_failure:", "multiplier is missing"),
    (REGIONAL, "    retry_on_failure:\n      enabled: true", "    retry_on_failure:\n      enabled: false",
     "load_balancing:", "not given to another"),
    (REGIONAL, "        sending_queue:\n          enabled: false",
     "        sending_queue:\n          enabled: true",
     "        sending_queue:", "empties the disk queue"),
    (REGIONAL, "        timeout: 5s", "        endpoint: gateway:4317", "endpoint: gateway",
     "is overwritten"),
    (REGIONAL, "redaction]", "redaction, batch]\n      x: []", "processors: [",
     "the disk queue of load_balancing"),
    (GATEWAY, "14318}", "14318/v1/traces}", "TRACES_ENDPOINT:-", "it would be there twice"),
    (GATEWAY, "http://127.0.0.1:14318}", "jaeger:14318}", "TRACES_ENDPOINT:-", "a URL"),
    (GATEWAY, ":14318}", ":4317}", "TRACES_ENDPOINT:-", "4317 is the port of OTLP over gRPC"),
    (GATEWAY, "    compression: gzip", "    traces_endpoint: http://jaeger:4318", "traces_endpoint",
     "used as it is"),
    (GATEWAY, INGEST, "sampling_strategy: trace-complete", "sampling_str", "decides once"),
    (GATEWAY, INGEST, "sampling_strategy: spans", "sampling_str", "is neither"),
    (GATEWAY, "decision_wait: 4h", "decision_wait: 30s", "decision_wait", "less than the longest call"),
    (GATEWAY, "decision_wait: 4h", "decision_wait: 4 hours", "decision_wait", "is no duration"),
    (GATEWAY, "cache_size: 1000000", "cache_size: 1000", "sampled_cache_size", "decided on anew"),
    (GATEWAY, "name: transfers", "name: errors", "name: errors", "errors occurs twice"),
    (GATEWAY, "name: transfers", "name:", "- name:\n", "a policy without a name"),
    (GATEWAY, "type: boolean_attribute", "type: boolean", "name: transfers", "is no type of policy"),
    (GATEWAY, "type: boolean_attribute", "type: string_attribute", "name: transfers",
     "its settings are missing"),
    (GATEWAY, "boolean_attribute: {", "bolean_attribute: {", "bolean_attribute", "not complained about"),
    (GATEWAY, STATUS, "type: latency\n"
     "        latency: {threshold_ms: 2000}", "name: errors", "talking included"),
    (GATEWAY, STATUS, "type: rate_limiting\n"
     "        rate_limiting: {spans_per_second: 5}", "name: errors", "keeps a state"),
    (GATEWAY, STATUS, "type: drop\n"
     "        drop: {drop_sub_policy: [{name: a, type: nothing}]}", "name: errors", "keeps no trace at all"),
    (GATEWAY, STATUS, "type: and\n"
     "        and: {and_sub_policy: [{name: a, type: nothing}]}", "and_sub_policy", "is no type of policy"),
    (GATEWAY, "sampling_percentage: 10,", "sampling_percentage: 0,", "name: baseline", "it keeps nothing"),
    (GATEWAY, GATEWAYS, "[memory_limiter, batch, tail_sampling]", "processors: [",
     "batch stands before tail_sampling"),
    (GATEWAY, GATEWAYS, "[memory_limiter, tail_sampling, batch, redaction]", "processors: [",
     "batch is not last"),
    (GATEWAY, GATEWAYS, "[memory_limiter, tail_sampling, redaction]", "processors: [",
     "redaction stands behind tail_sampling"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "row", "reason"), FAULTS, ids=[fault[4] for fault in FAULTS])
def test_the_lint_names_file_line_and_reason(
    name: str, old: str, new: str, row: str, reason: str, tmp_path: Path
) -> None:
    good = text(name)
    assert old in good
    file = tmp_path / name
    file.write_text(good.replace(old, new))
    rows = [f"{line}\n" for line in file.read_text().splitlines()]
    told = {str(fault) for fault in lint(file, environment={}, name=name) if reason in fault.reason}
    lines = {int(one.split(":")[1]) for one in told}
    assert lines, "it is not found"
    assert all(one.startswith(f"{name}:") for one in told)
    assert any(row in rows[line - 1] for line in lines), told


def test_the_reason_why_a_listener_is_open_is_enough(tmp_path: Path) -> None:
    file = tmp_path / SINGLE
    open_ = '"0.0.0.0:4318" # the firewall lets the proxies in alone'
    file.write_text(text(SINGLE).replace('"${env:LISTEN_HOST:-127.0.0.1}:4318"', open_))
    assert lint(file, environment={}) == []


def test_a_longer_call_needs_a_longer_wait() -> None:
    (fault,) = lint(ROOT / "config" / GATEWAY, longest_call_s=86400)
    assert "14400 s is less than the longest call (86400 s)" in fault.reason


def test_the_command_prints_them_and_fails(tmp_path: Path) -> None:
    file = tmp_path / "collector.yaml"
    file.write_text(text(GATEWAY).replace("decision_wait: 4h", "decision_wait: 1h"))
    command = [sys.executable, "tools/collector_lint.py", str(ROOT / "config" / SINGLE), str(file)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert said.returncode == 1
    (line,) = said.stdout.splitlines()
    assert re.fullmatch(rf"{re.escape(str(file))}:\d+: 3600 s is less than the longest call .*", line)


def test_the_page_shows_what_it_says(tmp_path: Path) -> None:
    file = tmp_path / GATEWAY
    file.write_text(text(GATEWAY).replace("decision_wait: 4h", "decision_wait: 1h"))
    [fault] = lint(file, name=f"config/{GATEWAY}")
    page = " ".join((ROOT / "docs/collector.md").read_text().split())
    assert str(fault) in page
