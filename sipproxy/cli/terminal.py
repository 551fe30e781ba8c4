"""What goes to the terminal: colours only there (and not with NO_COLOR), columns that fit, nothing that could
steer it. The one module that knows rich.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from io import TextIOWrapper
from types import TracebackType
from typing import Literal, Self, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..admin.shapes import Json
from ..telemetry.ladder import Line, Tone
from ..telemetry.masking import clean

NARROWEST, WIDEST = 60, 160

_TONES = {
    Tone.NAMES: "bold",
    Tone.REQUEST: "cyan",
    Tone.PROVISIONAL: "yellow",
    Tone.SUCCESS: "green",
    Tone.FAILURE: "bold red",
}
_STATES = {"calling": "yellow", "ringing": "yellow", "talking": "green", "transferring": "cyan"}
_COLUMNS = (  # of the table of calls: name, least and most width
    ("call", 16, 16),
    ("state", 7, 12),
    ("for", 7, 10),
    ("from", 5, 10),
    ("to", 5, 10),
    ("trunks", 6, 200),
)
_GAP = 2
_TREE = (  # what stands out in a tree, and how
    (r"^trace [0-9a-f]{32}", "bold"),
    (r"[^\s│├└─]+ (SERVER|CLIENT|INTERNAL)\b( \d{3})?", "bold"),
    (r" ERROR\b", "bold red"),
    (r"[a-z_.]+=", "dim"),
    (r"● [^ ]+", "cyan"),
    (r"\bopen$", "green"),
    (r"\[\d+\]", "magenta"),
)


class Terminal:
    """Standard output, whatever it is."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file or sys.stdout
        if isinstance(self._file, TextIOWrapper):
            self._file.reconfigure(errors="replace")  # where there are no arrows, `?` has to do
        self._console = Console(
            file=self._file, highlight=False, markup=False, emoji=False, soft_wrap=True, legacy_windows=False
        )

    @property
    def interactive(self) -> bool:
        """Whether somebody looks at it, and lines can be drawn again."""
        return self._console.is_terminal and not self._console.is_dumb_terminal

    @property
    def width(self) -> int:
        """Columns to use."""
        return min(max(self._console.width, NARROWEST), WIDEST) if self._console.is_terminal else 80

    def line(self, text: str = "", style: str = "") -> None:
        """One line."""
        self._console.print(Text(clean(text), style), crop=False)

    def json(self, value: object, *, indent: int | None = None) -> None:
        """In ASCII, as it is: for other programs."""
        self._file.write(json.dumps(value, indent=indent) + "\n")
        self._file.flush()

    def tree(self, text: str) -> None:
        """What telemetry/tree.py drew."""
        for row in text.split("\n"):
            line = Text(clean(row))
            for pattern, style in _TREE:
                line.highlight_regex(pattern, style)
            self._console.print(line, crop=False)

    def ladder(self, lines: Iterable[Line]) -> None:
        """What telemetry/ladder.py drew."""
        for row in lines:
            line = Text(clean(row.text), "bold" if row.tone is Tone.NAMES else "")
            line.stylize(_TONES[row.tone], row.start, row.end)
            self._console.print(line, crop=False)

    def calls(self, calls: Sequence[Json], now: float) -> None:
        """A table of live calls."""
        self._console.print(_table(calls, now, self.width), width=self.width, soft_wrap=False)

    @contextmanager
    def working(self, what: str) -> Iterator[Callable[[int], None]]:
        """While something takes its time: how far it is, where somebody looks at it."""
        with self._console.status(what) if self.interactive else nullcontext() as status:
            yield lambda done: status.update(f"{what}: {done}") if status else None

    def board(self) -> Board:
        """A table that is drawn again and again in the same place."""
        return Board(self._console)


class Board:
    """Live calls as they change, the newest first, as many as there is room for."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def show(self, calls: Sequence[Json], state: Json, now: float | None = None) -> None:
        """Draw."""
        room = max(self._console.height - 4, 1)
        chosen = calls[::-1][:room]
        table = _table(chosen, time.time() if now is None else now, self._console.width)
        more = f", {len(calls) - room} of them not shown" if len(calls) > room else ""
        status = state.get("status", "")
        reasons = ": " + ", ".join(map(str, state["reasons"])) if state.get("reasons") else ""
        table.title = Text(clean(f"{len(calls)} calls{more}; {status}{reasons}"), "bold")
        table.title_justify = "left"
        self._live.update(table, refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def flush() -> None:
    """Write what waits. Raises BrokenPipeError when nobody reads."""
    sys.stdout.flush()


def give_up_output() -> None:
    """Nobody reads any more: what is still to be written goes nowhere, also at the interpreter's end."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def lasted(seconds: float) -> str:
    """1:02:03."""
    minutes, rest = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _table(calls: Sequence[Json], now: float, width: int) -> Table:
    rows = [(*_cells(call, now), str(call["state"])) for call in calls]
    table = Table(box=None, padding=0, header_style="bold")
    left = width
    for place, (name, least, most) in enumerate(_COLUMNS):
        # All widths are told: rich cuts without a sign where it has to find out that there is no room.
        longest = max((cell_len(row[place]) for row in rows), default=0)
        room = min(max(longest, least), most, left)
        left -= room + _GAP
        justify: Literal["left", "right"] = "right" if name == "for" else "left"
        table.add_column(name, no_wrap=True, overflow="ellipsis", width=room, justify=justify)
        table.add_column("", width=_GAP if place < len(_COLUMNS) - 1 else 0)
    for *cells, state in rows:
        texts = [Text(cell, _STATES.get(state, "") if place == 1 else "") for place, cell in enumerate(cells)]
        table.add_row(*(item for text in texts for item in (text, "")))
    return table


def _cells(call: Json, now: float) -> tuple[str, ...]:
    since = lasted(now - call["began_us"] / 1e6)
    trunks = " ▶ ".join(map(str, call["trunks"]))
    cells = (call["id"], call["state"], since, call["from"], call["to"], trunks)
    return tuple(clean(str(cell)) for cell in cells)
