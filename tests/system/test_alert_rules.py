"""config/prometheus: promtool has nothing to object, and each alert has a story in which it fires, and one in
which it does not; the runbook has a place for it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.pages import anchors, tables, words
from tests.support.prometheus import TOOL

from . import promql

if shutil.which(TOOL) is None and os.environ.get("CI") != "true":
    pytest.skip("these need promtool (apt install prometheus)", allow_module_level=True)

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "config/prometheus"
STORIES = sorted((PROMETHEUS / "tests").glob("*.yml"))
RULES: list[dict[str, Any]] = [
    rule
    for file in sorted((PROMETHEUS / "rules").glob("*.yml"))
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
NAMES = [alert["alert"] for alert in ALERTS]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
MONITORING = (ROOT / "docs/monitoring.md").read_text()
RUNBOOK = anchors(ROOT / "docs/operations.md")
each_alert = pytest.mark.parametrize("alert", ALERTS, ids=NAMES)


@pytest.fixture(scope="module")
def acted() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All stories at once: they take some seconds."""
    tools = {
        file.name: subprocess.Popen(
            [TOOL, "test", "rules", file.name],
            cwd=file.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for file in STORIES
    }
    yield tools
    for tool in tools.values():
        tool.kill()
        tool.wait()
        assert tool.stdout is not None
        tool.stdout.close()


def test_promtool_accepts_the_configuration() -> None:
    done = subprocess.run(
        [TOOL, "check", "config", "prometheus.yml"],
        cwd=PROMETHEUS,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", [file.name for file in STORIES])
def test_stories(acted: dict[str, subprocess.Popen[str]], file: str) -> None:
    output, _ = acted[file].communicate(timeout=60)
    assert acted[file].returncode == 0, output


def looks(story: dict[str, Any]) -> list[set[str]]:
    """The alerts that fire at each moment that a story looks at."""
    return [
        {re.findall(r'alertname="(\w+)"', sample["labels"])[0] for sample in moment["exp_samples"]}
        for moment in story["promql_expr_test"]
        if moment["expr"] == 'ALERTS{alertstate="firing"}'
    ]


LOOKS = {
    story["name"]: looks(story) for file in STORIES for story in yaml.safe_load(file.read_text())["tests"]
}


@each_alert
def test_there_is_a_story_in_which_it_fires_and_before_that_does_not(alert: dict[str, Any]) -> None:
    name = alert["alert"]
    assert any(name not in quiet and name in fires for quiet, *later in LOOKS.values() for fires in later)


@pytest.mark.parametrize("story", LOOKS)
def test_each_story_begins_in_peace(story: str) -> None:
    assert LOOKS[story][0] == set()


@each_alert
def test_an_alert_tells_what_is_wrong_and_where_to_look(alert: dict[str, Any]) -> None:
    texts = alert["annotations"]
    assert set(texts) == {"summary", "description", "runbook_url"}
    assert len(re.sub(r"\{\{.*?\}\}", "xxxxxxxx", texts["summary"])) < 90
    page, _, anchor = texts["runbook_url"].partition("#")
    assert page == "docs/operations.md"
    assert anchor in RUNBOOK
    assert alert["labels"].keys() == {"severity"}
    assert alert["labels"]["severity"] in {"critical", "warning"}


@each_alert
def test_an_alert_does_not_fire_at_the_first_look(alert: dict[str, Any]) -> None:
    """It waits, or it counts over a while."""
    assert alert.get("for") or re.search(r"increase\(|changes\(", alert["expr"])


@pytest.mark.parametrize("rule", RULES, ids=[rule.get("record") or rule["alert"] for rule in RULES])
def test_a_rule_names_what_there_is(rule: dict[str, Any]) -> None:
    assert list(promql.faults(rule["expr"])) == []
    assert set(re.findall(r"\b\w+:\w+:\w+\b", rule["expr"])) <= RECORDED


def test_the_guide_has_what_to_do_about_each_alert() -> None:
    rows = [row for table in tables(MONITORING, "alert") for row in table]
    told = {name: meaning.partition(":")[0] for (name,), meaning in ((words(row[0]), row[1]) for row in rows)}
    assert told == {alert["alert"]: alert["labels"]["severity"] for alert in ALERTS}
    assert all(row[2] for row in rows)


def test_the_guide_has_what_is_recorded() -> None:
    (rows,) = tables(MONITORING, "series")
    told = {name for row in rows for name in words(row[0])}
    assert told == {name for name in RECORDED if "_bucket" not in name}


@pytest.mark.parametrize("file", sorted(PROMETHEUS.rglob("*.yml")), ids=lambda file: file.name)
def test_each_file_says_what_it_is_for(file: Path) -> None:
    assert file.read_text().startswith("# ")
