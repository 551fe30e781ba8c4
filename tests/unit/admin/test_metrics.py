"""What Prometheus reads, read as Prometheus does; and that docs/metrics.md tells the truth about it."""

from __future__ import annotations

import marshal
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from sipproxy.admin.metrics import Metrics, Parts
from sipproxy.b2bua.events import Counted
from sipproxy.telemetry.families import FAMILIES, INCIDENTS, Family, Kind
from sipproxy.telemetry.meter import Meter
from tests.lab.core import trunk
from tests.unit.telemetry.facts import TRACE_ID, Call

DOCS = (Path(__file__).parents[3] / "docs/metrics.md").read_text()
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
TRUNKS = {"sbc": trunk("192.0.2.1:5060"), "carrier-a": trunk("192.0.2.2:5060")}
DESTINATION = {"exported": 90, "dropped": 3, "refused": 2, "queued": 5, "failures": 1, "last_reason": "503"}
Samples = dict[str, list[Sample]]


def state(*calls: Call, **more: Any) -> dict[str, Any]:
    """A worker's newest frame, as it comes out of the socket."""
    meter = Meter(TRUNKS, wall_offset=1_700_000_000.0)
    for call in calls:
        for facts in call.basic():
            meter.take(facts, 10.0)
    told: dict[str, Any] = {"meter": dict(meter.snapshot()), "draining": False, "loop_lag_s": 0.002}
    found: dict[str, Any] = marshal.loads(marshal.dumps(told | {"handover": {}} | more))
    return found


def page(*states: Mapping[str, Any], accept: str = OPENMETRICS, **parts: Callable[[], Any]) -> str:
    metrics = Metrics(Parts(lambda: states, **parts), version="1.4.0", region="eu-west-2")
    return metrics.render(accept)[0].decode()


def read(text: str) -> Samples:
    """By the name of the sample, as the strict parser of the format takes it."""
    found: Samples = {}
    parse = (
        openmetrics.text_string_to_metric_families
        if text.endswith("# EOF\n")
        else text_string_to_metric_families
    )
    for family in parse(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def value(samples: Samples, name: str, **labels: str) -> float:
    (found,) = [sample.value for sample in samples.get(name, []) if sample.labels == labels]
    return found


# Both formats


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (
            "application/openmetrics-text; version=99.x\x00",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        ("text/plain", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("nonsense;;;q=", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
def test_the_format_is_what_was_asked_for(accept: str, kind: str) -> None:
    body, given = Metrics(Parts(lambda: [state(Call())]), version="1", region="").render(accept)
    assert given == kind
    assert body.endswith(b"# EOF\n") == kind.startswith("application/openmetrics-text")
    assert value(read(body.decode()), "sip_calls_total", trunk="sbc", outcome="answered") == 1


def test_a_call_in_figures() -> None:
    samples = read(page(state(Call())))
    assert value(samples, "sip_attempts_total", trunk="carrier-a", outcome="answered") == 1
    # 180 half a second after the INVITE (tests/unit/telemetry/facts.py): in the bucket that 0.5 belongs to
    srd = {"trunk": "sbc", "result": "success"}
    buckets = {
        sample.labels["le"]: sample.value
        for sample in samples["sip_session_request_delay_seconds_bucket"]
        if sample.labels.items() >= srd.items()
    }
    assert (buckets["0.25"], buckets["0.5"], buckets["32.0"], buckets["+Inf"]) == (0, 1, 1, 1)
    assert value(samples, "sip_session_request_delay_seconds_sum", **srd) == 0.5
    assert value(samples, "sip_session_request_delay_seconds_count", **srd) == 1
    assert value(samples, "sip_session_duration_seconds_sum", trunk="carrier-a", leg="callee") == 8.0
    assert value(samples, "sip_calls_active", trunk="sbc", state="talking") == 0


def test_a_histograms_exemplar_is_the_call_and_its_time() -> None:
    call = Call()
    samples = read(page(state(call)))
    marked = [sample for sample in samples["sip_session_request_delay_seconds_bucket"] if sample.exemplar]
    (exemplar,) = [sample.exemplar for sample in marked]
    assert exemplar is not None
    assert exemplar.labels == {"trace_id": TRACE_ID, "span_id": call.root.span_id}
    assert exemplar.value == 0.5
    assert float(exemplar.timestamp or 0) == 1_700_000_002.0  # when its 200 came


def test_the_plain_format_has_no_exemplars() -> None:
    assert TRACE_ID in page(state(Call()))
    assert TRACE_ID not in page(state(Call()), accept="text/plain")


# From zero


def test_what_a_trunk_has_not_counted_yet_is_zero() -> None:
    samples = read(page(state()))
    outcomes = {
        sample.labels["outcome"] for sample in samples["sip_calls_total"] if sample.labels["trunk"] == "sbc"
    }
    assert len(outcomes) == 7
    assert {sample.value for sample in samples["sip_calls_total"]} == {0}
    assert value(samples, "sip_incidents_total", kind="token_replayed", trunk="carrier-a") == 0
    assert value(samples, "sip_rejected_total", reason="overload") == 0
    assert value(samples, "sip_parse_errors_total") == 0
    assert value(samples, "sipproxy_trunk_up", trunk="sbc") == 1


def test_before_a_worker_has_told_anything_only_we_ourselves_are_there() -> None:
    samples = read(page())
    assert value(samples, "sipproxy_build_info", version="1.4.0", region="eu-west-2") == 1
    assert [name for name in samples if name.startswith("sip_")] == []


def test_an_observer_that_begins_anew_shows_the_same() -> None:
    told = state(Call())
    assert page(told) == page(told)


# The worker besides its meter, and the observer's own


def test_what_a_worker_says_of_itself() -> None:
    handover = {"restarts": 2, "spans_dropped": 7, "messages_dropped": 30, "bytes_waiting": 1}
    samples = read(page(state(draining=True, loop_lag_s=0.25, tap_dropped=4, handover=handover)))
    assert value(samples, "sipproxy_draining") == 1
    assert value(samples, "sipproxy_loop_lag_seconds") == 0.25
    assert value(samples, "sipproxy_worker_restarts_total") == 2
    assert value(samples, "sipproxy_handover_dropped_total", kind="spans") == 7
    assert value(samples, "sipproxy_handover_dropped_total", kind="messages") == 34


def test_what_the_observer_counts() -> None:
    text = page(
        state(),
        destinations=lambda: {"default": DESTINATION, "archive": {"exported": 4}},
        store=lambda: {"bytes": 4096, "failures": 1, "spans": 3},
        hep=lambda: {"sent": 14, "dropped": 1, "refused": 0, "queued": 9, "last_reason": "503"},
    )
    samples = read(text)
    assert value(samples, "sipproxy_spans_exported_total", destination="default") == 90
    assert value(samples, "sipproxy_spans_exported_total", destination="archive") == 4
    assert value(samples, "sipproxy_spans_dropped_total", destination="default") == 3
    assert value(samples, "sipproxy_spans_refused_total", destination="default") == 2
    assert value(samples, "sipproxy_spans_queued", destination="default") == 5
    assert value(samples, "sipproxy_export_failures_total", destination="default") == 1
    assert value(samples, "sipproxy_store_bytes") == 4096
    assert value(samples, "sipproxy_store_failures_total") == 1
    assert {s.labels["result"]: s.value for s in samples["sipproxy_hep_messages_total"]} == {
        "sent": 14,
        "dropped": 1,
        "refused": 0,
    }
    assert "503" not in text  # the last reason is for the page and the log


def test_what_the_process_says_of_itself() -> None:
    figures = {
        "sip_peer_rtt_seconds": {("sbc",): 0.12},
        "sipproxy_start_time_seconds": {(): 1_700_000_000.0},
        "sipproxy_config_reload_success": {(): False},
        "sipproxy_connections_refused_total": {("handshake",): 3},
    }
    samples = read(page(state(figures=figures)))
    assert value(samples, "sip_peer_rtt_seconds", trunk="sbc") == 0.12
    assert [sample.labels for sample in samples["sip_peer_rtt_seconds"]] == [
        {"trunk": "sbc"}
    ]  # measured ones alone
    assert value(samples, "sipproxy_start_time_seconds") == 1_700_000_000.0
    assert value(samples, "sipproxy_config_reload_success") == 0
    assert value(samples, "sipproxy_connections_refused_total", reason="handshake") == 3


def test_the_first_stranger_and_the_first_rejection_rise_from_zero() -> None:
    samples = read(page(state()))
    assert value(samples, "sip_calls_total", trunk="unknown", outcome="failed") == 0
    assert value(samples, "sip_rejected_total", reason="no_route") == 0


def test_without_a_store_and_without_hep_they_have_no_figures() -> None:
    samples = read(page(state()))
    assert not {"sipproxy_store_bytes", "sipproxy_hep_messages_total"} & samples.keys()


def test_a_name_from_the_configuration_is_escaped() -> None:
    name = 'a "quoted" \\ name\nwith lines'
    samples = read(page(state(), destinations=lambda: {name: {"exported": 1}}))
    assert value(samples, "sipproxy_spans_exported_total", destination=name) == 1


# Several workers


def test_workers_are_added_up() -> None:
    one, other = Call(), Call(trace_id="c" * 32)
    samples = read(page(state(one, one), state(other, loop_lag_s=0.5)))
    assert value(samples, "sip_calls_total", trunk="sbc", outcome="answered") == 3
    assert value(samples, "sip_session_request_delay_seconds_count", trunk="sbc", result="success") == 3
    assert value(samples, "sip_session_request_delay_seconds_sum", trunk="sbc", result="success") == 1.5
    assert value(samples, "sipproxy_loop_lag_seconds") == 0.5


def test_a_trunk_is_down_when_one_of_them_finds_it_down() -> None:
    meter = Meter(TRUNKS)
    meter.take([Counted("trunk_down", "sbc")], 0.0)
    samples = read(page(state(), state(meter=dict(meter.snapshot()))))
    assert value(samples, "sipproxy_trunk_up", trunk="sbc") == 0
    assert value(samples, "sipproxy_trunk_up", trunk="carrier-a") == 1


def test_of_two_exemplars_the_younger_stays() -> None:
    older, younger = state(Call()), state(Call(trace_id="c" * 32))
    family = younger["meter"]["histograms"]["sip_session_request_delay_seconds"]
    counts, total, exemplars = family["sbc", "success"]
    later = [None if kept is None else (*kept[:3], kept[3] + 60.0) for kept in exemplars]
    family["sbc", "success"] = (counts, total, later)
    for states in ((older, younger), (younger, older)):
        samples = read(page(*states))
        marks = [s.exemplar for s in samples["sip_session_request_delay_seconds_bucket"] if s.exemplar]
        assert [mark.labels["trace_id"] for mark in marks] == ["c" * 32]


# The table


def test_each_family_is_on_the_page_as_the_table_has_it() -> None:
    text = page(state(), accept="text/plain")
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert types == {
        family.name: "gauge" if family.kind is Kind.INFO else str(family.kind) for family in FAMILIES
    }
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE))
    assert helps == {family.name: family.text for family in FAMILIES}


def test_names_are_those_of_prometheus() -> None:
    for family in FAMILIES:
        assert re.fullmatch(r"sip(proxy)?(_[a-z]+)+", family.name)
        assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
        assert family.name.endswith("_info") == (family.kind is Kind.INFO)
        assert bool(family.bounds) == (family.kind is Kind.HISTOGRAM)
        assert family.kind is not Kind.HISTOGRAM or family.name.endswith("_seconds")
        assert list(family.bounds) == sorted(set(family.bounds))


def row(family: Family) -> str:
    labels = ", ".join(f"`{label.name}`" for label in family.labels)
    return f"| `{family.name}` | {family.kind} | {labels} | {family.text} |"


def label_rows() -> list[str]:
    rows: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for family in FAMILIES:
        for label in family.labels if family.kind is not Kind.INFO else ():
            rows.setdefault((label.name, label.values), []).append(f"`{family.name}`")
    return [
        f"| `{name}` | {', '.join(of)} | {', '.join(map('`{}`'.format, values)) or 'as configured'} |"
        for (name, values), of in rows.items()
    ]


def test_the_reference_is_the_table() -> None:
    expected = ["| name | kind | labels | meaning |", "|---|---|---|---|", *map(row, FAMILIES)]
    assert "\n".join(expected) in DOCS


def test_the_reference_has_each_labels_values() -> None:
    expected = ["| label | of | values |", "|---|---|---|", *label_rows()]
    assert "\n".join(expected) in DOCS


def test_each_incident_is_explained() -> None:
    (_, _, rest) = DOCS.partition("| incident |")
    explained = re.findall(r"^\| `([a-z_]+)` \|", rest.partition("\n\n")[0], re.MULTILINE)
    assert sorted(explained) == sorted(INCIDENTS)


def test_the_docs_speak_of_no_other_metric() -> None:
    known = {family.name for family in FAMILIES}
    for name in re.findall(r"\bsip(?:proxy)?_[a-z_]+[a-z]\b", DOCS):
        plain = re.sub(r"_(bucket|sum|count)$", "", name)
        assert plain in known or name in ("sipproxy_export", "sipproxy_hep"), name
