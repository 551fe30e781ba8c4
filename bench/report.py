"""What a run found out: a table, the goals that it meets, and what a reader must know."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .measure import BASE_RATE, FAST_RATE, Figures
from .transfers import ATTENDED_LOCAL, BASIC, BLIND_LOCAL, BLIND_RELAY

TRANSFERRED = (BLIND_RELAY, BLIND_LOCAL, ATTENDED_LOCAL)


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


def _times_a_basic_call(kind: str) -> Callable[[Figures], float | None]:
    def times(figures: Figures) -> float | None:
        ours, basic = figures.transfer_us.get(kind), figures.transfer_us.get(BASIC)
        return ours / basic if ours and basic else None

    return times


RATE = Row("calls/s", lambda f: f.calls_per_s, more_is_better=True)
CPU = Row(f"CPU per call at {BASE_RATE:.0f} calls/s, µs", lambda f: f.cpu_us.get(BASE_RATE))
CPU_FAST = Row(f"CPU per call at {FAST_RATE:.0f} calls/s, µs", lambda f: f.cpu_us.get(FAST_RATE))
CPU_TOP = Row("CPU per call at its own calls/s, µs", lambda f: f.cpu_at_top_us)
P50 = Row("added latency p50, µs", lambda f: f.latency_us(0.50))
P99 = Row("added latency p99, µs", lambda f: f.latency_us(0.99))
OBSERVER = Row(
    f"observer: CPU per call at {BASE_RATE:.0f} calls/s, µs", lambda f: f.observer_us.get(BASE_RATE)
)
OBSERVER_FAST = Row(
    f"observer: the same at {FAST_RATE:.0f} calls/s, µs", lambda f: f.observer_us.get(FAST_RATE)
)
OBSERVER_HELD = Row(
    "observer: memory in all with the held calls, MB",
    lambda f: None if f.observer_bytes is None else f.observer_bytes / 1e6,
    "{:.0f}".format,
)
HELD = Row("memory per held call, kB", _kilobytes(lambda f: f.held_bytes), "{:.1f}".format)
FRESH = Row("the same right after set-up, kB", _kilobytes(lambda f: f.fresh_bytes), "{:.1f}".format)
TRANSFERS = [
    Row(f"{kind}: CPU, times a basic call's", _times_a_basic_call(kind), "{:.2f}".format)
    for kind in TRANSFERRED
]
PENDING_HELD = Row(
    "pending: memory of 10,000 transfers, MB",
    lambda f: None if f.pending_bytes is None else f.pending_bytes / 1e6,
    "{:.1f}".format,
)
PENDING_STALL = Row(
    "pending: longest stall as they expire, ms",
    lambda f: None if f.pending_stall_s is None else f.pending_stall_s * 1e3,
    "{:.1f}".format,
)
ROWS = [RATE, CPU_TOP, CPU, CPU_FAST, P50, P99, HELD, FRESH, *TRANSFERS, PENDING_HELD, PENDING_STALL]
ROWS += [OBSERVER, OBSERVER_FAST, OBSERVER_HELD]


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


GOALS: list[tuple[str, Row, str | None, float]] = [
    ("at least 6 times Sippy's calls/s", RATE, "Sippy", 6.0),
    ("at most a sixth of Sippy's CPU per call, each at its own calls/s", CPU_TOP, "Sippy", 1 / 6),
    (f"the same at {BASE_RATE:.0f} calls/s", CPU, "Sippy", 1 / 6),
    ("at most 12 kB per held call", HELD, None, 12.0),
    *(
        (f"{kind}: at most 3 times the CPU of a basic call", row, None, 3.0)
        for kind, row in zip(TRANSFERRED, TRANSFERS, strict=True)
    ),
    ("pending: 10,000 transfers hold at most 10 MB", PENDING_HELD, None, 10.0),
    ("pending: they expire without a stall over 5 ms", PENDING_STALL, None, 5.0),
]


def goals(run: Run) -> list[str]:
    """Say which goals hold: those against Sippy, and those that the proxy has on its own."""
    lines = []
    for goal, row, against, limit in GOALS:
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
        if figures.transfer_us:
            lines.append(f"{name}: {_transfers(figures)}")
        if figures.pending_together_s is not None:
            lines.append(
                f"{name}: longest stall {figures.pending_together_s * 1e3:.1f} ms when all of the pending"
                " transfers had begun at one moment"
            )
        if figures.at_least and figures.calls_per_s:
            lines.append(f"{name}: its own limit lies higher: its core was not full when the search ended")
    ours = run.results.get("sipproxy")
    if ours and ours.spans_per_call is not None:
        lines.append(f"sipproxy: {ours.spans_per_call:.1f} spans per call arrived at the receiver")
    return lines


def _transfers(figures: Figures) -> str:
    """CPU, datagrams and spans per call of each kind."""
    parts = []
    for kind, cost_us in figures.transfer_us.items():
        into, out = figures.transfer_datagrams[kind]
        spans = figures.transfer_spans[kind]
        parts.append(f"{kind} {cost_us:,.0f} µs, {into:.1f} datagrams in, {out:.1f} out, {spans:.1f} spans")
    return "; ".join(parts)


def markdown(lines: list[list[str]]) -> list[str]:
    """Write the table for a page."""
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
