"""The table on the terminal, and bench/results.md with a row per run so that a slower revision is seen."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from .measure import BASE_RATE, FAST_RATE, FULL, GAP, SETTLE_S, Figures
from .process import SIPP_CORE, SYSTEM_CORE
from .systems import ROOT

RESULTS = Path(__file__).with_name("results.md")
HISTORY = "## History"
WORSE = 0.10


@dataclass(slots=True)
class Row:
    """One figure: its name, how to read it, how to write it, and whether more is better."""

    name: str
    read: Callable[[Figures], float | None]
    write: Callable[[float], str] = "{:,.0f}".format
    more_is_better: bool = False


def _kilobytes(read: Callable[[Figures], float | None]) -> Callable[[Figures], float | None]:
    def in_kilobytes(figures: Figures) -> float | None:
        size = read(figures)
        return None if size is None else size / 1000

    return in_kilobytes


RATE = Row("calls/s", lambda f: f.calls_per_s, more_is_better=True)
CPU = Row(f"CPU per call at {BASE_RATE:.0f} calls/s, µs", lambda f: f.cpu_us.get(BASE_RATE))
CPU_FAST = Row(f"CPU per call at {FAST_RATE:.0f} calls/s, µs", lambda f: f.cpu_us.get(FAST_RATE))
CPU_TOP = Row("CPU per call at its own calls/s, µs", lambda f: f.cpu_at_top_us)
P50 = Row("added latency p50, µs", lambda f: f.latency_us(0.50))
P99 = Row("added latency p99, µs", lambda f: f.latency_us(0.99))
HELD = Row("memory per held call, kB", _kilobytes(lambda f: f.held_bytes), "{:.1f}".format)
FRESH = Row("the same right after set-up, kB", _kilobytes(lambda f: f.fresh_bytes), "{:.1f}".format)
ROWS = [RATE, CPU_TOP, CPU, CPU_FAST, P50, P99, HELD, FRESH]
TRACKED = [RATE, CPU_TOP, CPU, CPU_FAST, P50, P99, HELD]
HEADINGS = [
    "calls/s",
    "µs/call",
    f"µs @{BASE_RATE:.0f}/s",
    f"µs @{FAST_RATE:.0f}/s",
    "p50 µs",
    "p99 µs",
    "kB/call",
]


@dataclass(slots=True)
class Run:
    """All that one run found out."""

    command: str
    versions: list[str]
    results: dict[str, Figures]  # by system; "direct" is SIPp against SIPp
    absent: dict[str, str] = field(default_factory=dict)  # a system that did not start, and its one line
    took_s: float = 0.0
    load_before: float = 0.0
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def value(self, row: Row, system: str) -> float | None:
        """Return a figure; a latency is what the system adds to the direct way."""
        figures = self.results.get(system)
        value = row.read(figures) if figures else None
        if value is not None and row in (P50, P99):
            value -= row.read(self.results["direct"]) or 0.0
        return value

    def cell(self, row: Row, system: str) -> str:
        value = self.value(row, system)
        if value is None:
            return "–"
        at_least = row is RATE and self.results[system].at_least
        return ("≥ " if at_least else "") + row.write(value)


def table(run: Run) -> list[list[str]]:
    """Return heading and rows: a figure per line, a system per column, then our ratios."""
    others = [name for name in run.results if name not in ("direct", "sipproxy")]
    systems = ["sipproxy", *others]
    lines = [["", *systems, *(f"sipproxy : {other}" for other in others)]]
    for row in ROWS:
        cells = [run.cell(row, system) for system in systems]
        lines.append([row.name, *cells, *(_ratio(run, row, other) for other in others)])
    return lines


def _ratio(run: Run, row: Row, other: str) -> str:
    ours, theirs = run.value(row, "sipproxy"), run.value(row, other)
    if ours is None or theirs is None or theirs <= 0:
        return "–"
    return f"{ours / theirs:.2f}"


def goals(run: Run) -> list[str]:
    """Say which goals hold: six times Sippy's rate, a sixth of its CPU, 12 kB per held call."""
    lines = []
    for goal, row, against, limit in (
        ("at least 6 times Sippy's calls/s", RATE, "Sippy", 6.0),
        ("at most a sixth of Sippy's CPU per call, each at its own calls/s", CPU_TOP, "Sippy", 1 / 6),
        (f"the same at {BASE_RATE:.0f} calls/s", CPU, "Sippy", 1 / 6),
        ("at most 12 kB per held call", HELD, None, 12.0),
    ):
        ours, base = run.value(row, "sipproxy"), run.value(row, against) if against else 1.0
        if ours is None or not base:
            lines.append(f"{goal}: not measured")
        else:
            met = ours / base >= limit if row.more_is_better else ours / base <= limit
            lines.append(f"{goal}: {'met' if met else 'MISSED'} ({ours / base:.3g})")
    return lines


def remarks(run: Run) -> list[str]:
    """Return what a reader of the table must know about this run."""
    lines = [f"{name} did not start: {why}" for name, why in run.absent.items()]
    for name, figures in run.results.items():
        lines += [f"{name}: {fault}" for fault in figures.faults]
        if figures.datagrams and name != "direct":
            into, out = figures.datagrams
            lines.append(f"{name}: {into:.1f} datagrams in and {out:.1f} out per call")
        if figures.at_least and figures.calls_per_s:
            lines.append(f"{name}: its own limit lies higher: its core was not full when the search ended")
    ours = run.results.get("sipproxy")
    if ours and ours.spans_per_call is not None:
        lines.append(f"sipproxy: {ours.spans_per_call:.1f} spans per call arrived at the receiver")
    return lines


METHOD = [
    f"Core {SYSTEM_CORE} for the system under test alone, core {SIPP_CORE} for both ends of SIPp and the OTLP"
    " receiver; UDP over loopback.",
    "A call: INVITE (1 kB), 100, 180, 200, ACK, BYE, 200, without pauses; 7 datagrams in, 7 out.",
    "sipproxy: one route, two trunks, each call traced and sent by OTLP/HTTP; the receiver is not counted.",
    "Sippy: `b2bua_simple`, logging off. It is a B2BUA as sipproxy is.",
    "Kamailio: tm and rr, one worker, `-x fm`. It is a proxy and keeps nothing for a held call; its"
    " memory figure is the pages of its pool that the set-up touched.",
    "calls/s: the highest rate without a failed call, a retransmission or a stray message at either end,"
    f" found in steps of {FULL.step_s:.0f} s to a gap of {GAP:.0%}, then held for {FULL.confirm_s:.0f} s.",
    "CPU: user and system time of all processes of the system; at its own calls/s while calls are placed,"
    f" else from before the calls until {SETTLE_S} s after the last, median of {FULL.cpu_runs} runs of"
    f" {FULL.cpu_run_s:.0f} s.",
    f"Added latency: INVITE to 180 at the caller less the same at the callee, at {BASE_RATE:.0f} calls/s;"
    " less the same for SIPp to SIPp.",
    f"Memory: growth of the proportional set size of all processes, {FULL.held_calls:,} calls held,"
    f" {FULL.forget_s:.0f} s after the last was set up. Memory freed but kept from the kernel counts.",
]


def write(run: Run) -> list[str]:
    """Write bench/results.md; return warnings about what became worse than in the row before."""
    history = _history()
    warnings: list[str] = []
    if "sipproxy" in run.results:
        row, warnings = _history_row(run, history)
        history.append(row)
    heading = ["date", "revision", "machine", *HEADINGS, "Sippy µs", "Kamailio µs", "worse by 10 %"]
    text = "\n".join(
        [
            "# How fast sipproxy is",
            "",
            f"Written by `{run.command}` on {run.at:%Y-%m-%d %H:%M} UTC in {run.took_s:.0f} s; revision"
            f" {_revision()}.",
            "",
            *_markdown(table(run)),
            "",
            *(f"- {line}" for line in goals(run) + remarks(run)),
            "",
            "## Machine",
            "",
            f"- {_machine()}, {platform.system()} {platform.release()}",
            f"- load before the run {run.load_before:.2f}; net.core.rmem_max {_kernel('net/core/rmem_max')}",
            *(f"- {version}" for version in run.versions),
            "",
            "## Method",
            "",
            *(f"- {line}" for line in METHOD),
            "",
            HISTORY,
            "",
            "A row per complete run, sipproxy's figures first. The last column names those that were"
            " 10 % worse than in the row before it on the same machine.",
            "",
            *_markdown([heading, *history]),
            "",
        ]
    )
    RESULTS.write_text(text)
    return warnings


def _history_row(run: Run, history: list[list[str]]) -> tuple[list[str], list[str]]:
    before = next((old for old in reversed(history) if old[2] == _machine()), None)
    cells, warnings = [], []
    for row, heading, position in zip(TRACKED, HEADINGS, range(3, 10), strict=True):
        value = run.value(row, "sipproxy")
        cells.append("–" if value is None else f"{value:.1f}")
        old = _number(before[position]) if before else None
        if value is None or not old:
            continue
        change = (old - value) / old if row.more_is_better else (value - old) / old
        if change > WORSE:
            warnings.append(f"{heading}: {value:.1f}, was {old:.1f} at {before[1] if before else '?'}")
    flagged = ", ".join(warning.partition(":")[0] for warning in warnings)
    yardsticks = [run.cell(CPU_TOP, name) for name in ("Sippy", "Kamailio")]
    return [f"{run.at:%Y-%m-%d %H:%M}", _revision(), _machine(), *cells, *yardsticks, flagged], warnings


def _history() -> list[list[str]]:
    if not RESULTS.exists():
        return []
    rows = RESULTS.read_text().partition(HISTORY)[2].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row.startswith("|")]
    return cells[2:]


def _number(text: str) -> float | None:
    return float(text.replace(",", "")) if re.fullmatch(r"-?[\d,.]+", text) else None


def _markdown(lines: list[list[str]]) -> list[str]:
    rule = ["---"] + ["---:"] * (len(lines[0]) - 1)
    return ["| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]]]


def plain(lines: list[list[str]]) -> str:
    """Align the table for a terminal."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            [
                line[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
            ]
        )
        for line in lines
    )


def _revision() -> str:
    """Return the git revision, with a + when tracked files differ from it."""
    if not shutil.which("git"):
        return "unknown"
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if head.returncode:
        return "uncommitted"
    changed = subprocess.run(
        ["git", "status", "--porcelain", "-uno"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _machine() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return f"{os.cpu_count()} x {found[1] if found else platform.machine()}"


def _kernel(name: str) -> str:
    return Path("/proc/sys", name).read_text().strip()
