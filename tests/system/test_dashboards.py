"""Every query of the dashboards and of the rules, put to a Prometheus that reads a proxy with calls.

What config/prometheus has is what runs here, the bearer token included; queries are sent as Grafana fills
them in. A query that is valid and finds nothing is a fault, too, unless it stands in EMPTY.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from sipproxy.demo.story import TRUNKS
from tests.support.prometheus import PROGRAM, TOOL

from . import dashboards
from .dashboards import BOARDS, GRAFANA, LABEL_VALUES, Query, chosen, filled, variables
from .watched import REGION, SHIPPED, Shipped, watched

if (
    any(shutil.which(program) is None for program in (PROGRAM, TOOL, "sipp"))
    and os.environ.get("CI") != "true"
):
    pytest.skip("these need Prometheus and SIPp (apt install prometheus sip-tester)", allow_module_level=True)

QUERIES = list(dashboards.queries())
RULES = [
    rule
    for file in sorted((SHIPPED / "rules").glob("*.yml"))
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
]
RECORDED = sorted({rule["record"] for rule in RULES if "record" in rule})
# What finds nothing here, and why.
EMPTY = {
    r"offset 1d": "Prometheus has run for seconds",
    r"^ALERTS\b": "nothing has gone wrong for long enough",
    r"^changes\(sipproxy_start_time_seconds": "it was started before Prometheus looked",
}
AN_HOUR = 3600.0


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shipped]:
    with watched(tmp_path_factory.mktemp("watched")) as running:
        yield running


def options(prometheus: Shipped, query: str, values: dict[str, str]) -> list[str]:
    """What label_values() finds, by the call that Grafana makes of it."""
    found = LABEL_VALUES.fullmatch(query)
    assert found is not None, query
    answer = prometheus.ask(
        f"label/{found['label']}/values", **{"match[]": filled(found["selector"], values)}
    )
    return [str(value) for value in answer]


@pytest.fixture(scope="module")
def values(prometheus: Shipped) -> dict[str, dict[str, str]]:
    """Of each dashboard's variables, with All chosen."""
    found: dict[str, dict[str, str]] = {}
    for board in BOARDS:
        found[board] = {}
        for name, variable in variables(board).items():
            if variable["type"] == "query":
                list_ = options(prometheus, variable["query"]["query"], found[board])
                assert list_, f"{board}: the variable {name} has no values"
                found[board][name] = chosen(variable, list_)
    return found


def numbers(answer: list[dict[str, Any]]) -> list[float]:
    """All but NaN."""
    return [value for series in answer if not math.isnan(value := float(series["value"][1]))]


def empty_by_reason(promql: str) -> bool:
    return any(re.search(pattern, promql) for pattern in EMPTY)


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_panel(prometheus: Shipped, values: dict[str, dict[str, str]], query: Query) -> None:
    answer = prometheus.ask("query", query=filled(query.expr, values[query.board]))["result"]
    assert bool(numbers(answer)) != empty_by_reason(query.expr), query.expr
    for series in answer:
        assert query.labels <= set(series["metric"]), f"the legend {query.legend} names no label"


@pytest.mark.parametrize("query", [query for query in QUERIES if query.dots], ids=str)
def test_dots_above_the_line_are_calls(
    prometheus: Shipped, values: dict[str, dict[str, str]], query: Query
) -> None:
    now = time.time()
    found = prometheus.exemplars(
        filled(query.expr, values[query.board]), start=now - AN_HOUR, end=now + AN_HOUR
    )
    assert found
    assert all(set(mark["labels"]) == {"trace_id", "span_id"} for mark in found)


@pytest.mark.parametrize("board", BOARDS)
def test_marks_of_moments(prometheus: Shipped, values: dict[str, dict[str, str]], board: str) -> None:
    for promql in dashboards.marks(board):
        assert empty_by_reason(promql)
        prometheus.ask("query", query=filled(promql, values[board]))


def test_variables_offer_what_there_is(prometheus: Shipped) -> None:
    offered = {
        name: options(prometheus, variable["query"]["query"], {"region": ".*", "instance": ".+"})
        for name, variable in variables("trunks").items()
        if variable["type"] == "query"
    }
    assert offered["region"] == [REGION]
    assert len(offered["instance"]) == 1
    assert offered["trunk"] == [*sorted({*TRUNKS, "carrier", "desk", "gone"})]


@pytest.mark.parametrize(
    ("board", "panel", "least", "most"),
    [
        ("overview", "Trunks down", 1, 1),
        ("overview", "Calls in progress", 0, 0),
        ("overview", "Transfers", 1, 1.5),  # two were there before Prometheus looked; increase() extrapolates
        ("overview", "SER", 0.3, 0.36),  # two of six: the customer's two, and the desk's four that failed
        ("overview", "SEER", 0.47, 0.53),  # and one of those was busy
        ("propagation", "In a trace", 0.47, 0.53),  # three of six: the customer's two, and one of the desk's
        ("propagation", "Contexts refused", 1, 1.5),
        ("transfers", "Completed", 1, 1),
        ("transfers", "Failed", 0, 0),
        ("pipeline", "Proxies that give metrics", 1, 1),
        ("pipeline", "Spans lost", 0, 0),
    ],
)
def test_figures_of_known_calls(
    prometheus: Shipped, values: dict[str, dict[str, str]], board: str, panel: str, least: float, most: float
) -> None:
    (query,) = (query for query in QUERIES if (query.board, query.panel) == (board, panel))
    value = prometheus.value(filled(query.expr, values[board]))
    assert value is not None
    assert least <= value <= most


def test_a_span_leads_to_the_metrics_of_its_trunk(prometheus: Shipped) -> None:
    for file in (GRAFANA / "provisioning/datasources/jaeger.yaml", GRAFANA / "datasource-tempo.yaml"):
        (source,) = yaml.safe_load(file.read_text())["datasources"]
        leads = source["jsonData"]["tracesToMetrics"]
        (tag,) = leads["tags"]
        assert tag["key"] == "sip.trunk"
        for query in leads["queries"]:
            promql = query["query"].replace("$$__tags", f'{tag["value"]}="carrier"')
            assert numbers(prometheus.ask("query", query=promql)["result"]) or "quantile" in promql


# Rules


def health(prometheus: Shipped) -> dict[str, str]:
    """Of each rule: what its last evaluation came to."""
    groups = prometheus.ask("rules")["groups"]
    return {
        rule["name"]: rule["health"] + rule.get("lastError", "")
        for group in groups
        for rule in group["rules"]
    }


def test_prometheus_works_all_rules_out(prometheus: Shipped) -> None:
    prometheus.until("all rules", lambda: "unknown" not in health(prometheus).values())
    found = health(prometheus)
    assert set(found.values()) == {"ok"}
    assert set(found) == {rule.get("record") or rule["alert"] for rule in RULES}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded(prometheus: Shipped, name: str) -> None:
    prometheus.until(name, lambda: bool(numbers(prometheus.ask("query", query=name)["result"])))
