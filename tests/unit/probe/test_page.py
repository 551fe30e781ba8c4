"""docs/probe.md names what there is: every carrier, every result, every path that does not lead back."""

from __future__ import annotations

import re
from pathlib import Path

from sipproxy.probe import asking, http_verdict, sip_verdict
from sipproxy.probe.fates import Fate, Problem

TEXT = (Path(__file__).parents[3] / "docs/probe.md").read_text()


def first_cells(title: str) -> set[str]:
    """What stands in backquotes in the first column of the tables with that title."""
    tables = re.findall(rf"^\| {title} \|.*\n\|[-|]+\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    cells = [row.split("|")[1] for table in tables for row in table.splitlines()]
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def test_carriers() -> None:
    assert first_cells("carrier") == {*sip_verdict.CARRIERS, *http_verdict.CARRIERS}


def test_results() -> None:
    assert first_cells("result") == {str(fate) for fate in Fate}


def test_problems() -> None:
    assert first_cells("problem") == {str(problem) for problem in Problem}


def test_how_long_it_takes() -> None:
    assert f"after {['', 'one', 'two'][asking.SILENCES]} calls in a row" in TEXT
