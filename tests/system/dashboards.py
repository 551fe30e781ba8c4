"""config/grafana as data: panels, their queries as Grafana sends them, and where their links lead."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GRAFANA = Path(__file__).parents[2] / "config/grafana"
BOARDS: dict[str, dict[str, Any]] = {
    file.stem: json.loads(file.read_text()) for file in sorted((GRAFANA / "dashboards").glob("*.json"))
}
LABEL_VALUES = re.compile(r"label_values\((?P<selector>.*),\s*(?P<label>\w+)\)")
VARIABLE = re.compile(r"\$(?:\{(\w+)(?:[.:][^}]*)?\}|(\w+))")
# What Grafana fills in from the time shown and the width of a panel.
BUILT_IN = {"__rate_interval": "1m", "__range": "1m"}


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel."""

    board: str
    panel: str
    ref: str
    expr: str
    legend: str
    dots: bool
    shape: str  # time_series, table or heatmap

    def __str__(self) -> str:
        return f"{self.board}-{self.panel}-{self.ref}".replace(" ", "_")

    @property
    def labels(self) -> set[str]:
        """Those that its legend needs."""
        return set(re.findall(r"\{\{(\w+)\}\}", self.legend))


def panels(board: str) -> list[dict[str, Any]]:
    """All of a dashboard, rows included."""
    return list(BOARDS[board]["panels"])


def drawn(board: str) -> list[dict[str, Any]]:
    """Those that show something."""
    return [panel for panel in panels(board) if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    """Of all panels."""
    for board in BOARDS:
        for panel in drawn(board):
            for target in panel["targets"]:
                yield Query(
                    board,
                    panel["title"],
                    target["refId"],
                    target["expr"],
                    target["legendFormat"],
                    target["exemplar"],
                    target["format"],
                )


def variables(board: str) -> dict[str, dict[str, Any]]:
    """By name."""
    return {variable["name"]: variable for variable in BOARDS[board]["templating"]["list"]}


def marks(board: str) -> list[str]:
    """What marks moments."""
    found = BOARDS[board]["annotations"]["list"]
    return [one["target"]["expr"] for one in found if one["datasource"]["type"] == "prometheus"]


def filled(promql: str, values: Mapping[str, str]) -> str:
    """As Grafana sends it: with a value for each variable."""
    return VARIABLE.sub(lambda found: {**BUILT_IN, **values}[found[1] or found[2]], promql)


def chosen(variable: Mapping[str, Any], options: list[str]) -> str:
    """What All stands for in a regular expression."""
    return str(variable.get("allValue") or f"({'|'.join(map(re.escape, options))})")


def links(value: object) -> Iterator[dict[str, Any]]:
    """Every link in it, wherever it stands."""
    if isinstance(value, Mapping):
        if "url" in value and "title" in value:
            yield dict(value)
        for inner in value.values():
            yield from links(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from links(inner)
