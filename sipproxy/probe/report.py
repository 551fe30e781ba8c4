"""What the probe tells: a table for people, JSON for programs, an exit code for scripts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..cli.terminal import Terminal
from .fates import Fate, Finding, Problem

GOOD, FAILED = 0, 1
_STYLES = {
    Fate.SURVIVED: "green",
    Fate.CONTINUED: "green",
    Fate.RECASED: "green",
    Fate.MOVED: "yellow",
    Fate.ALTERED: "bold red",
    Fate.STRIPPED: "bold red",
    Fate.REFUSED: "bold red",
    Fate.UNKNOWN: "yellow",
}
_HEAD = ("carrier", "in", "result", "how")


@dataclass(slots=True)
class Report:
    """`problem` is the word for a path that does not lead back at all."""

    kind: str
    problem: Problem | None = None
    verdict: list[str] = field(default_factory=list)
    switch_on: dict[str, Any] = field(default_factory=dict)  # settings of the trunk for this peer
    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    wanted: list[str] = field(default_factory=list)

    @property
    def missing(self) -> list[Finding]:
        """What was wanted and did not get through."""
        return [each for each in self.findings if each.carrier in self.wanted and not each.alive]

    @property
    def good(self) -> bool:
        """Whether all that was wanted got through."""
        found = {each.carrier for each in self.findings}
        return not self.problem and not self.missing and found.issuperset(self.wanted)

    @property
    def exit_code(self) -> int:
        """0 or 1."""
        return GOOD if self.good else FAILED

    def shape(self) -> dict[str, Any]:
        """For other programs."""
        return {
            "kind": self.kind,
            "good": self.good,
            "problem": self.problem,
            "verdict": self.verdict,
            "switch_on": self.switch_on,
            "carriers": [
                {"carrier": each.carrier, "in": each.place, "result": str(each.fate), "how": each.how}
                for each in self.findings
            ],
            "path": self.facts,
            "wanted": self.wanted,
        }


def show(report: Report, terminal: Terminal) -> None:
    """The facts, the table, the verdict; the last line is what to do."""
    if report.facts:
        width = max(len(name) for name in report.facts) + 2
        for name, value in report.facts.items():
            terminal.line(f"{name.replace('_', ' '):{width}}{_plain(value)}")
        terminal.line()
    if report.findings:
        rows = [(each.carrier, each.place, str(each.fate), each.how) for each in report.findings]
        widths = [max(len(row[at]) for row in [_HEAD, *rows]) + 2 for at in range(3)]
        terminal.line(_row(_HEAD, widths), "bold")
        for finding, row in zip(report.findings, rows, strict=True):
            terminal.line(_row(row, widths), _STYLES[finding.fate])
        terminal.line()
    for number, line in enumerate(report.verdict):
        terminal.line(line, ("bold green" if report.good else "bold red") if not number else "")


def _row(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = (f"{cell:{width}}" for cell, width in zip(cells, widths, strict=False))
    return ("".join(padded) + cells[-1]).rstrip()


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def in_yaml(settings: dict[str, Any]) -> str:
    """As it is written into the trunk: `trace: {send: [traceparent]}, refer: local`."""
    return ", ".join(f"{name}: {_flow(value)}" for name, value in settings.items())


def _flow(value: object) -> str:
    if isinstance(value, dict):
        return "{" + in_yaml(value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(str, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)
