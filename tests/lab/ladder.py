"""A whole call as text: an arrow per message, its time, and ids that are the same in every run.

0.010  alice   proxy---INVITE--->bob      c2 1 t3>    b4  T1/s2  sdp
"""

from __future__ import annotations

import os
from pathlib import Path

from .network import Packet
from .seen import Seen

FOLDER = Path(__file__).parent / "ladders"
REWRITE = "SIPPROXY_REWRITE_LADDERS"  # set it to let the kept files be written anew
WIDTH = 24


class Names:
    """Short names for long ids, by the order in which they come."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def of(self, kind: str, value: str) -> str:
        """c1, t2, b3..."""
        if not value:
            return ""
        if (kind, value) not in self._known:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._known[kind, value] = f"{kind}{self._counts[kind]}"
        return self._known[kind, value]


def ladder(packets: list[Packet], start_at: float) -> str:
    """The ladder of what went over the wire."""
    columns: list[str] = []
    for packet in packets:
        for name in (packet.sender, packet.receiver):
            if name not in columns:
                columns.append(name)
    names = Names()
    seen_before: set[tuple[str, bytes]] = set()
    head = " " * 9 + "".join(name.ljust(WIDTH) for name in columns)
    rows = [head.rstrip()]
    for packet in packets:
        seen = Seen(packet.data, packet.at)
        again = (packet.sender, packet.data) in seen_before
        seen_before.add((packet.sender, packet.data))
        start, stop = columns.index(packet.sender), columns.index(packet.receiver)
        arrow = _arrow(seen.label, start, stop, packet.fate, len(columns))
        rows.append(f"{packet.at - start_at:8.3f} {arrow}  {_notes(seen, names, again=again)}".rstrip())
    return "\n".join(rows) + "\n"


def _arrow(label: str, start: int, stop: int, fate: str, columns: int) -> str:
    cells = [" "] * ((columns - 1) * WIDTH + 1)
    for column in range(columns):
        cells[column * WIDTH] = "|"
    left, right = sorted((start, stop))
    width = (right - left) * WIDTH - 1
    text = f" {label}{' ' + fate if fate else ''} ".center(width - 2, "-")
    body = f"-{text}>" if stop > start else f"<{text}-"
    if fate == "lost":
        body = body.replace(">", "x").replace("<", "x")
    cells[left * WIDTH + 1 : right * WIDTH] = list(body)
    return "".join(cells)


def _notes(seen: Seen, names: Names, *, again: bool) -> str:
    tags = f"{names.of('t', seen.from_tag)}>{names.of('t', seen.to_tag)}"
    notes = [names.of("c", seen.call_id), str(seen.cseq), tags, names.of("b", seen.branch)]
    if seen.trace_id:
        notes.append(f"{names.of('T', seen.trace_id)}/{names.of('s', seen.span_id)}")
    if seen.body:
        notes.append("sdp" if "sdp" in seen.header("Content-Type") else "body")
    for name in ("RSeq", "RAck", "Retry-After", "Session-Expires", "Reason"):
        if seen.header(name):
            notes.append(f"{name}: {seen.header(name)}")
    if again:
        notes.append("again")
    return "  ".join(notes)


def check(name: str, text: str) -> None:
    """Compare with the kept file, or write it when the environment asks for that."""
    path = FOLDER / f"{name}.txt"
    if os.environ.get(REWRITE):
        path.write_text(text)
    assert path.is_file(), f"no {path.name}: set {REWRITE}=1 to write it"
    assert text == path.read_text()
