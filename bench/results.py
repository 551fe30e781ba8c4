"""bench/results.md: the newest run in full, and a row for every one, so that a slower revision is seen."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from .measure import BASE_RATE, FAST_RATE, FULL, GAP, SETTLE_S
from .process import SIPP_CORE, SYSTEM_CORE
from .report import (
    CPU,
    CPU_FAST,
    CPU_TOP,
    HELD,
    OBSERVER,
    OBSERVER_FAST,
    P50,
    P99,
    PENDING_HELD,
    PENDING_STALL,
    RATE,
    TRANSFERRED,
    TRANSFERS,
    Row,
    Run,
    goals,
    markdown,
    remarks,
    table,
)
from .systems import ROOT

RESULTS = Path(__file__).with_name("results.md")
HISTORY = "## History"
WORSE = 0.10
# The history's columns that are watched. A new one is put at the end; older rows have no value there.
TRACKED: dict[str, Row] = {
    "calls/s": RATE,
    "µs/call": CPU_TOP,
    f"µs @{BASE_RATE:.0f}/s": CPU,
    f"µs @{FAST_RATE:.0f}/s": CPU_FAST,
    "p50 µs": P50,
    "p99 µs": P99,
    "kB/call": HELD,
    **{f"{kind} : basic": row for kind, row in zip(TRANSFERRED, TRANSFERS, strict=True)},
    "pending MB": PENDING_HELD,
    "pending ms": PENDING_STALL,
    "observer µs": OBSERVER,
    "observer µs fast": OBSERVER_FAST,
}
YARDSTICKS = {"Sippy µs": "Sippy", "Kamailio µs": "Kamailio"}
FLAGGED = "worse by 10 %"
COLUMNS = ["date", "revision", "machine", *TRACKED, *YARDSTICKS, FLAGGED]
NOTHING = "–"

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
    "sipproxy's observer, a process beside the one with the calls, runs on the core of SIPp, and has rows of"
    " its own; in all others the processes that carry calls are measured.",
    "CPU: user and system time of all processes of the system; at its own calls/s while calls are placed,"
    f" else from before the calls until {SETTLE_S} s after the last, median of {FULL.cpu_runs} runs of"
    f" {FULL.cpu_run_s:.0f} s.",
    f"Added latency: INVITE to 180 at the caller less the same at the callee, at {BASE_RATE:.0f} calls/s;"
    " less the same for SIPp to SIPp.",
    f"Memory: growth of the proportional set size of all processes, {FULL.held_calls:,} calls held,"
    f" {FULL.forget_s:.0f} s after the last was set up. Memory freed but kept from the kernel counts.",
    f"Transfers: {BASE_RATE:.0f} calls/s of each kind, each against a proxy of its own, CPU as above; caller,"
    " callee and target are sockets of `bench/parties.py`, for the basic call of the comparison, too.",
    "A transferred call is a basic call and the transfer, all legs from INVITE to BYE. Relay: REFER, two"
    " NOTIFYs and the caller's new INVITE go through the proxy; local: the proxy calls, notifies, hangs up.",
    "pending: the core and its book of spans alone, with a clock of its own; so many calls, a REFER in each,"
    " accepted and notified, and no new call. Memory: what is allocated 40 s after the last REFER, less what"
    " was before the first. Stall: CPU time of the longest wake-up until all is over.",
]


def write(run: Run) -> list[str]:
    """Write bench/results.md; return warnings about what became worse than in the row before."""
    history = _history()
    warnings: list[str] = []
    if "sipproxy" in run.results:
        row, warnings = _history_row(run, history)
        history.append(row)
    text = "\n".join(
        [
            "# How fast sipproxy is",
            "",
            f"Written by `{run.command}` on {run.at:%Y-%m-%d %H:%M} UTC in {run.took_s:.0f} s; revision"
            f" {_revision()}.",
            "",
            *markdown(table(run)),
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
            *markdown([COLUMNS, *([row[column] for column in COLUMNS] for row in history)]),
            "",
        ]
    )
    RESULTS.write_text(text)
    return warnings


def _history_row(run: Run, history: list[dict[str, str]]) -> tuple[dict[str, str], list[str]]:
    before = next((old for old in reversed(history) if old["machine"] == _machine()), {})
    cells: dict[str, str] = {
        "date": f"{run.at:%Y-%m-%d %H:%M}",
        "revision": _revision(),
        "machine": _machine(),
    }
    warnings = []
    for column, row in TRACKED.items():
        value = run.value(row, "sipproxy")
        cells[column] = NOTHING if value is None else f"{value:.{2 if row in TRANSFERS else 1}f}"
        old = _number(before.get(column, NOTHING))
        if value is None or not old:
            continue
        change = (old - value) / old if row.more_is_better else (value - old) / old
        if change > WORSE:
            warnings.append(f"{column}: {cells[column]}, was {old:g} at {before['revision']}")
    cells |= {column: run.cell(CPU_TOP, name) for column, name in YARDSTICKS.items()}
    cells[FLAGGED] = ", ".join(warning.partition(":")[0] for warning in warnings)
    return cells, warnings


def _history() -> list[dict[str, str]]:
    """Return the rows of earlier runs. A column that they lack is empty, and none of theirs may get lost."""
    if not RESULTS.exists():
        return []
    rows = RESULTS.read_text().partition(HISTORY)[2].splitlines()
    lines = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row.startswith("|")]
    if not lines:
        return []
    names, _, *values = lines
    lost = set(names) - set(COLUMNS)
    if lost:
        raise ValueError(f"the history has columns that nobody writes any more: {', '.join(sorted(lost))}")
    empty = dict.fromkeys(COLUMNS, NOTHING)
    return [empty | dict(zip(names, row, strict=True)) for row in values]


def _number(text: str) -> float | None:
    return float(text.replace(",", "")) if re.fullmatch(r"-?[\d,.]+", text) else None


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
