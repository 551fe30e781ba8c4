"""config/grafana, without a Grafana: the rules that it would silently forgive, or break a dashboard over."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml

from sipproxy.telemetry.attributes import ROWS
from tests.support.pages import tables
from tests.support.yamlfile import read

from . import dashboards, promql
from .dashboards import BOARDS, GRAFANA, LABEL_VALUES, VARIABLE, drawn, links, panels, variables

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "sipproxy/admin/page"
MONITORING = (ROOT / "docs/monitoring.md").read_text()
COLUMNS = 24
SCHEMA = 42  # the last of the classic ones: what @grafana/schema 13 makes
UNITS = {"short", "s", "bytes", "percentunit"}
GIVEN_BY_GRAFANA = {
    "__all",
    "__from",
    "__to",
    "__url_time_range",
    "__org",
    "__field",
    "__value",
    "__all_variables",
}
SOURCES = [*sorted(GRAFANA.glob("provisioning/datasources/*.yaml")), GRAFANA / "datasource-tempo.yaml"]
each_board = pytest.mark.parametrize("board", BOARDS)


def texts(value: object) -> Iterator[str]:
    """Every string in it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def sources(value: object) -> Iterator[dict[str, str]]:
    """Every data source that is named in it."""
    if isinstance(value, dict):
        if isinstance(value.get("datasource"), dict):
            yield value["datasource"]
        for inner in value.values():
            yield from sources(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from sources(inner)


@each_board
def test_a_dashboard_keeps_its_address(board: str) -> None:
    made = BOARDS[board]
    assert made["uid"] == f"sipproxy-{board}"
    assert made["title"].startswith("sipproxy / ")
    assert "sipproxy" in made["tags"]  # by which they link to each other
    assert "id" not in made  # Grafana's own number
    assert made["schemaVersion"] == SCHEMA


@each_board
def test_panels_have_a_name_and_a_number_each(board: str) -> None:
    numbers = [panel["id"] for panel in panels(board)]
    assert len(set(numbers)) == len(numbers)
    titles = [panel["title"] for panel in drawn(board)]
    assert len(set(titles)) == len(titles)


@each_board
def test_panels_stand_beside_each_other(board: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels(board):
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in cells) < COLUMNS
        assert not cells & taken, f"{panel['title']} covers another panel"
        taken |= cells


@each_board
def test_each_panel_says_what_it_shows_and_in_what(board: str) -> None:
    for panel in drawn(board):
        assert len(panel["description"]) > 20, panel["title"]
        unit = panel["fieldConfig"]["defaults"]["unit"]
        assert unit in UNITS or re.fullmatch(r"suffix:(cps|(spans)?/(s|min))", unit), panel["title"]
        for change in panel["fieldConfig"]["overrides"]:
            assert all(set(one) == {"id", "value"} for one in change["properties"])


@each_board
def test_data_sources_are_variables(board: str) -> None:
    for source in sources(BOARDS[board]):
        name = source["uid"].strip("${}")
        if source["uid"] == "-- Grafana --":
            assert source["type"] == "grafana"
        else:
            assert source["uid"] == f"${{{name}}}"
            assert variables(board)[name]["query"] == source["type"]
            assert variables(board)[name]["type"] == "datasource"


@each_board
def test_variables_are_defined_and_used(board: str) -> None:
    used = {
        name
        for text in texts(BOARDS[board])
        for pair in VARIABLE.findall(unquote(text))
        for name in pair
        if name and not name.isdigit()
    }
    assert used - GIVEN_BY_GRAFANA - set(dashboards.BUILT_IN) == set(variables(board))


@each_board
def test_variables_have_few_values(board: str) -> None:
    for name, variable in variables(board).items():
        assert variable["label"]
        assert variable["description"]
        if variable["type"] == "query":
            found = LABEL_VALUES.fullmatch(variable["query"]["query"])
            assert found is not None
            assert found["label"] == name
            assert name in {"region", "instance", "trunk"}
            assert list(promql.faults(found["selector"])) == []


@each_board
def test_queries_name_what_there_is(board: str) -> None:
    for query in dashboards.queries():
        if query.board == board:
            assert list(promql.faults(query.expr)) == [], f"{query}: {query.expr}"


@each_board
def test_tables_rename_what_their_queries_give(board: str) -> None:
    for panel in drawn(board):
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
        assert all(
            target["instant"] == (target["format"] == "table") or panel["type"] == "stat"
            for target in panel["targets"]
        )
        for change in panel.get("transformations", []):
            for name, to in change["options"].get("renameByName", {}).items():
                assert not name.startswith("Value #") or name[-1] in refs, f"{panel['title']}: {name}"
                assert re.match(r"[A-Z]", to), f"{panel['title']}: {to} is no title of a column"


def test_the_guide_names_each_dashboard() -> None:
    (rows,) = tables(MONITORING, "dashboard")
    assert {row[0] for row in rows} == {made["title"].removeprefix("sipproxy / ") for made in BOARDS.values()}


# Links


def board_links() -> list[tuple[str, dict[str, Any]]]:
    return [(board, link) for board in BOARDS for link in links(BOARDS[board]) if link.get("url")]


def target_of(url: str) -> str:
    """The address with something in place of the variables."""
    return VARIABLE.sub("x", url.replace("${page}", "http://page.example"))


PAGE_LINKS = sorted({link["url"] for _, link in board_links() if link["url"].startswith("${page}/")})
EXPLORE_LINKS = sorted({link["url"] for _, link in board_links() if link["url"].startswith("/explore?")})
BOARD_LINKS = sorted({link["url"] for _, link in board_links() if link["url"].startswith("/d/")})


def test_links_lead_to_the_page_to_traces_and_to_dashboards() -> None:
    others = {link["url"] for _, link in board_links()} - {*PAGE_LINKS, *EXPLORE_LINKS, *BOARD_LINKS}
    assert others == {"${page}"}
    assert PAGE_LINKS
    assert EXPLORE_LINKS
    assert BOARD_LINKS


@pytest.mark.parametrize("url", PAGE_LINKS)
def test_the_page_knows_where_a_link_leads(url: str) -> None:
    view, _, query = urlsplit(target_of(url)).fragment.removeprefix("/").partition("?")
    assert re.search(rf"^  {view}: async", (PAGE / "app.js").read_text(), re.MULTILINE)
    search = (PAGE / "search.js").read_text()
    for name, (value,) in parse_qs(query, strict_parsing=True).items() if query else ():
        assert re.search(rf'(input|select)\("{name}"', search), name
        outcomes = re.search(r"const OUTCOMES = \[(.*)\]", search)
        assert outcomes is not None
        assert name != "outcome" or f'"{value}"' in outcomes[1]


@pytest.mark.parametrize("url", EXPLORE_LINKS)
def test_a_link_to_traces_is_a_query_that_can_find_them(url: str) -> None:
    wanted = {name: value for name, (value,) in parse_qs(urlsplit(target_of(url)).query).items()}
    assert wanted["schemaVersion"] == "1"
    (pane,) = json.loads(wanted["panes"]).values()
    assert set(pane["range"]) == {"from", "to"}
    (query,) = pane["queries"]
    known = {row.name for row in ROWS}
    if query["datasource"]["type"] == "tempo":
        assert query["queryType"] == "traceql"
        assert set(re.findall(r"span\.([\w.]+)", query["query"])) <= known
        assert 'resource.service.name = "sipproxy"' in query["query"]
    else:
        assert query["datasource"]["type"] == "jaeger"
        assert (query["queryType"], query["service"]) == ("search", "sipproxy")
        tags = dict(re.findall(r'([\w.]+)="?([^"\s]+)"?', query["tags"]))
        assert set(tags) <= {*known, "error"}
        assert query.get("operation", "INVITE") in {"INVITE", "transfer"}


@pytest.mark.parametrize("url", BOARD_LINKS)
def test_a_link_to_a_dashboard_leads_to_one(url: str) -> None:
    assert urlsplit(url).path.removeprefix("/d/") in {board["uid"] for board in BOARDS.values()}


# Provisioning


def test_grafana_finds_the_dashboards() -> None:
    (provider,) = read(GRAFANA / "provisioning/dashboards/sipproxy.yaml")["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"


def test_data_sources_have_fixed_names_that_lead_to_each_other() -> None:
    found = {source["uid"]: source for file in SOURCES for source in read(file)["datasources"]}
    assert {uid: source["type"] for uid, source in found.items()} == {
        "prometheus": "prometheus",
        "jaeger": "jaeger",
        "tempo": "tempo",
    }
    assert [uid for uid, source in found.items() if source.get("isDefault")] == ["prometheus"]
    dots = found["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert {dot["name"] for dot in dots} == {"trace_id"}  # the label of our exemplars
    assert {dot["datasourceUid"] for dot in dots if "datasourceUid" in dot} == {"jaeger", "tempo"}
    (page,) = (dot["url"] for dot in dots if "url" in dot)
    assert page.endswith("/#/call/$${__value.raw}")
    scrape = yaml.safe_load((ROOT / "config/prometheus/prometheus.yml").read_text())["global"][
        "scrape_interval"
    ]
    assert found["prometheus"]["jsonData"]["timeInterval"] == scrape


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_a_dollar_that_is_not_grafanas_is_doubled(file: Path) -> None:
    assert re.findall(r"(?<!\$)\$(?!\$)", "\n".join(texts(read(file)))) == []


@pytest.mark.parametrize("file", sorted(GRAFANA.rglob("*.yaml")), ids=lambda file: file.name)
def test_each_file_says_what_it_is_for(file: Path) -> None:
    assert file.read_text().startswith("# ")
