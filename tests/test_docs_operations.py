"""docs/operations.md and docs/telemetry.md tell the truth: what they name exists, what exists is named there.

`sip_...`, `sipproxy_...`    metrics, their labels and the values of these
`store.max_mb`               keys; `*` stands for a name, `[]` for a place in a list
`/readyz`                    paths of the listener
the table of log lines       every event in the code, with its level
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sipproxy import serve, supervise, telling
from sipproxy.b2bua.settings import TrunkSettings
from sipproxy.config import Settings
from sipproxy.net import handover, hep
from sipproxy.settings_index import Shape, settings_of
from sipproxy.store import bulletin, forwarder, outbox, schema
from sipproxy.telemetry import logs
from sipproxy.telemetry.attributes import ROWS
from sipproxy.telemetry.describe import OTHER, span_name
from sipproxy.telemetry.families import FAMILIES, FAMILY, Kind
from tests.support.pages import ROOT, table, words

OPERATIONS = (ROOT / "docs/operations.md").read_text()
RUNNING = " ".join(OPERATIONS.split())  # without regard to its lines
TELEMETRY = (ROOT / "docs/telemetry.md").read_text()
GUIDE = (ROOT / "docs/guide.md").read_text()
API = (ROOT / "docs/api.md").read_text()
PACKAGE = ROOT / "sipproxy"
SOURCES = {path: path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}


# Metrics

_METRIC = re.compile(r"\b(sip_\w+|sipproxy_\w+)(?:\{([^}]*)\})?")


def metrics() -> list[tuple[str, str]]:
    return sorted({found for text in (OPERATIONS, GUIDE, API) for found in _METRIC.findall(text)})


@pytest.mark.parametrize(("name", "labels"), metrics())
def test_metric(name: str, labels: str) -> None:
    parts = re.fullmatch(r"(\w+?)(_bucket|_count|_sum)?", name)
    assert parts is not None
    family = FAMILY.get(name) or FAMILY[parts[1]]
    assert name == family.name or family.kind is Kind.HISTOGRAM
    known = {label.name: label.values for label in family.labels}
    for label, value in re.findall(r'(\w+)=~?"([^"]*)"', labels):
        values = (*known[label], "unknown") if label == "trunk" else known[label]
        assert not known[label] or set(value.split("|")) <= set(values)


def test_metrics_that_the_runbook_does_not_need_are_few() -> None:
    """How much there is, how long it lasts: docs/metrics.md has those."""
    told = {name for name, _ in _METRIC.findall(OPERATIONS)}
    assert {family.name for family in FAMILIES} - told == {
        *("sip_calls_active", "sip_dialogs_active", "sip_session_duration_seconds"),
        *("sip_session_disconnect_delay_seconds", "sip_transfers_total", "sipproxy_spans_exported_total"),
        "sipproxy_build_info",
    }


def labels_of(row: str) -> set[str]:
    return {label.name for label in FAMILY[row].labels}


@pytest.mark.parametrize(("name", "label"), re.findall(r"`(sip\w+)` by `(\w+)`", OPERATIONS))
def test_label(name: str, label: str) -> None:
    assert label in labels_of(name)


# Keys

_SECTIONS = "|".join({**settings_of(Settings), **settings_of(TrunkSettings)})
_KEY = re.compile(rf"(?:{_SECTIONS})(?:\.[\w*-]+|\[\])+")


def keys(*pages: str) -> list[str]:
    found = {word.partition(":")[0] for page in pages for word in words(page)}
    return sorted(key for key in found if _KEY.fullmatch(key) and not key.startswith("store.db"))


def leads_to_a_setting(key: str, section: type | None) -> bool:
    parts = iter(re.findall(r"[\w*-]+|\[\]", key))
    for part in parts:
        setting = settings_of(section).get(part) if section is not None else None
        if setting is None:
            return False
        section = setting.section
        if setting.shape in (Shape.MAP, Shape.LIST) and section is not None:
            next(parts, None)  # a name, or a place
    return True


@pytest.mark.parametrize("key", keys(OPERATIONS, TELEMETRY, API))
def test_key(key: str) -> None:
    assert leads_to_a_setting(key, Settings)


@pytest.mark.parametrize("key", keys(GUIDE))
def test_key_of_the_guide(key: str) -> None:
    """There those of a trunk stand without its name."""
    assert leads_to_a_setting(key, Settings) or leads_to_a_setting(key, TrunkSettings)


# Paths


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(/[a-z][\w/{}-]*)`", OPERATIONS))))
def test_path(path: str) -> None:
    headings = re.findall(r"^### [A-Z]+ (/.*)$", API, re.MULTILINE)  # which tests/test_docs_api.py checks
    assert any(heading.endswith(path) for heading in headings)


# The page


@pytest.mark.parametrize(
    "words_of_the_page",
    [
        *("Live calls", "Search", "Propagation", "Setup slower than", "In a trace", "Rejected", "Raw"),
        *("Transferred calls that came back with", "reconnecting"),
    ],
)
def test_panels_are_called_as_on_the_page(words_of_the_page: str) -> None:
    page = "".join(path.read_text() for path in (PACKAGE / "admin/page").glob("*.[jh]*"))
    assert words_of_the_page in page
    assert words_of_the_page in OPERATIONS


# Log lines

_CALLED = {"_say": "warning", "_complain": "warning", "_tell": "warning"}  # and what they write as


def texts(node: ast.expr, names: dict[str, list[str]]) -> list[str]:
    """What an argument may be."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.IfExp):
        return texts(node.body, names) + texts(node.orelse, names)
    return names.get(node.id, []) if isinstance(node, ast.Name) else []


def constants(tree: ast.Module) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = texts(node.value, {})
    return found


def written(source: str) -> Iterator[tuple[str, str]]:
    """Event and level of each line that a module writes."""
    tree = ast.parse(source)
    names = constants(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            owner = ast.unparse(node.func.value).rpartition(".")[2].lstrip("_")
            level = node.func.attr if node.func.attr in logs.LEVELS and owner == "log" else ""
            for event in texts(node.args[0], names):
                if level or node.func.attr in _CALLED:
                    yield event, level or _CALLED[node.func.attr]


def events() -> dict[str, set[str]]:
    """Every event, and the levels that it is written with."""
    found: dict[str, set[str]] = {}
    for path, source in SOURCES.items():
        if "b2bua" not in path.parts and "demo" not in path.parts and path.name != "notify.py":
            for event, level in written(source):
                found.setdefault(event, set()).add(level)
    for event in bulletin._EVENTS.values():
        found.setdefault(event, set()).add("warning")
    for event in telling.LOGGED:
        found.setdefault(event, set()).add("warning" if event in telling.WARNED else "info")
    return found


EVENTS = events()
LINES = {event: row[1] for row in table(OPERATIONS, "`event`") for event in words(row[0])}


def meant(word: str) -> set[str]:
    """The events that a word of the page stands for."""
    if word.endswith("..."):
        return {event for event in EVENTS if event.startswith(word.removesuffix("...").rstrip())}
    return {word} & EVENTS.keys()


@pytest.mark.parametrize("word", LINES)
def test_log_line_of_the_table(word: str) -> None:
    (event,) = meant(word)
    levels = EVENTS[event]
    assert LINES[word] in levels if LINES[word] else levels


def test_every_log_line_is_in_the_table() -> None:
    assert {event for word in LINES for event in meant(word)} == EVENTS.keys()


@pytest.mark.parametrize("text", re.findall(r"[Ll]og (`[^`]+`(?:, `[^`]+`)*)", OPERATIONS))
def test_log_line_in_the_text(text: str) -> None:
    for word in words(text):
        assert meant(word), word


@pytest.mark.parametrize("row", table(OPERATIONS, "log line"), ids=lambda row: str(row[0]))
def test_what_the_log_says_of_a_collector(row: list[str]) -> None:
    assert all(meant(word) for word in words(row[0]))


# Spans


def test_attributes_and_events_that_are_named_exist() -> None:
    known = {row.name for row in ROWS}
    for text in (OPERATIONS, TELEMETRY, GUIDE):
        named = {word.partition("=")[0] for word in words(text) if word.startswith("sip.")}
        assert named <= known


def test_the_table_of_attributes_is_that_of_the_code() -> None:
    tool = [sys.executable, str(ROOT / "tools/telemetry_reference.py")]
    done = subprocess.run([*tool, "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    shown = subprocess.run(tool, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown in TELEMETRY
    assert len(shown.splitlines()) == len(ROWS) + 2


def test_spans_are_those_of_the_code() -> None:
    """Each kind of span that the book opens, by its name and kind."""
    opened = set()
    source = SOURCES[PACKAGE / "telemetry/spans.py"]
    for arguments in re.findall(r"OpenSpan\(([^)]*)\)", source):
        _, _, _, _, name, kind, *_ = [argument.strip() for argument in arguments.split(",")]
        if name.startswith('"'):
            kinds = {"SERVER", "CLIENT"} if kind == "kind" else {kind}
            opened |= {(name.strip('"'), each) for each in kinds}
    rows = [(name, row[1]) for row in table(TELEMETRY, "span") for name in words(row[0])]
    assert opened <= set(rows)
    for name, _ in set(rows) - opened:
        assert span_name(name) == name != OTHER
    assert words(table(TELEMETRY, "span")[-2][3])[-1:] == [OTHER]


def test_events_that_we_name_are_in_the_table() -> None:
    told = {
        name
        for path, source in SOURCES.items()
        if path.parent.name == "telemetry"
        for name in re.findall(r"\.tell\(\"(\w+)\"", source)
    }
    shown = {word for row in table(TELEMETRY, "event") for word in words(row[0])}
    assert {"fallback", "outcome"} <= told <= shown


# Figures that stand in the text


def test_the_end_takes_as_long_as_the_page_says() -> None:
    most_s = serve.BYE_S + telling.STORE_S + supervise.LAST_S + 1.0
    said = f"BYEs {serve.BYE_S:g} s, storing {telling.STORE_S:g} s, the observer's last spans "
    said += f"{supervise.LAST_S:g} s"
    assert f"up to {most_s:g} s beyond `timeouts.drain_s`" in RUNNING
    assert said in RUNNING


def test_bounds_are_those_of_the_code() -> None:
    settings = Settings()
    for text in (
        f"`tracing.max_queue` finished spans ({settings.tracing.max_queue:,})",
        f"and {handover.MOST_OWED >> 20} MB of spans and",
        f"`store.unsent_mb` ({settings.store.unsent_mb})",
        f"`store.keep_days` ({settings.store.keep_days:g}) and `store.max_mb` ({settings.store.max_mb})",
        f"`timeouts.drain_s` ({settings.timeouts.drain_s:g})",
        f"after {supervise.FIRST_WAIT_S:g} s, later up to {supervise.LONGEST_WAIT_S:g} s",
        f"after {forwarder.FIRST_WAIT_S:g} s, then at growing intervals up to {forwarder.LONGEST_WAIT_S:g} s",
        f"up to {forwarder.LONGEST_RETRY_AFTER_S / 60:g} minutes",
        f"{logs._MOST_LINES:,} lines wait",
        f"more than {hep.MOST_PACKETS:,} packets or {hep.MOST_BYTES >> 20} MB",
    ):
        assert text in RUNNING, text
    assert schema._BROKEN_KEPT == 3  # "the newest three"
    assert "budget // 4" in SOURCES[Path(outbox.__file__)]  # "a quarter of it"
