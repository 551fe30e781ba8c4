"""SIP messages as text: one column for each participant, one arrow for each message.

           ms customer                       sipproxy                         agent
         +0.0     │─────────INVITE (SDP)────────▶│                              │
         +0.4     │                              │─────────INVITE (SDP)────────▶│
       +500.2     │                              │◀─────────180 Ringing─────────│

We stand in the middle, who called us on the left. A message that was repeated is drawn once (`x3`). Where the
columns would be too narrow for their arrows, each message is told in words instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from .masking import clean

US = "sipproxy"
_WIDEST = 34  # columns from one participant to the next
_NARROWEST = 13  # an arrow with `INVITE x3` on it
_GAP = 2  # between two names


class Step(NamedTuple):
    """One message. `key` is the same for each repetition of it."""

    at_ns: int
    sender: str
    receiver: str
    start: str  # INVITE, or 200 OK
    method: str  # of CSeq
    body: str  # what kind of body it had: SDP; or ""
    key: object


class Tone(StrEnum):
    """What a line tells of, for those who colour it."""

    NAMES = "names"
    REQUEST = "request"
    PROVISIONAL = "provisional"
    SUCCESS = "success"
    FAILURE = "failure"  # 3xx to 6xx


class Line(NamedTuple):
    """A line of the ladder, and where on it the message is named."""

    text: str
    tone: Tone
    start: int = 0
    end: int = 0


def ladder(steps: Iterable[Step], began_ns: int | None = None, width: int = 80) -> list[Line]:
    """The lines, times in ms since `began_ns`, which is by default that of the first step. Less than 60
    columns are of no use.
    """
    rows = _folded(steps)
    if not rows:
        return []
    if began_ns is None:
        began_ns = rows[0][0].at_ns
    times = [_time(step.at_ns - began_ns) for step, _ in rows]
    margin = max(9, max(map(len, times)))
    names = _columns([step for step, _ in rows])
    places = _places(names, width - margin - 1)
    if places is None:
        return [*_told(rows, times, margin, width)]
    lanes = _Lanes(names, places, width - margin - 1)
    lines = [Line(f"{'ms':>{margin}} {lanes.title()}".rstrip(), Tone.NAMES)]
    for (step, count), time in zip(rows, times, strict=True):
        text, start, end = lanes.arrow(step, _labels(step, count))
        text = _cut(f"{time:>{margin}} {text}".rstrip(), width)
        lines.append(Line(text, tone(step.start), start + margin + 1, end + margin + 1))
    return lines


def tone(start: str) -> Tone:
    """Of a message that begins so."""
    if not start[:1].isdigit():
        return Tone.REQUEST
    return {"1": Tone.PROVISIONAL, "2": Tone.SUCCESS}.get(start[0], Tone.FAILURE)


def _folded(steps: Iterable[Step]) -> list[tuple[Step, int]]:
    """Each message once, by time, with how often it was there."""
    rows: dict[object, tuple[Step, int]] = {}
    for step in sorted(steps, key=lambda step: step.at_ns):
        key = step.sender, step.receiver, step.key
        first, count = rows.get(key, (step, 0))
        rows[key] = first, count + 1
    return list(rows.values())


def _columns(steps: Sequence[Step]) -> list[str]:
    """Who called us, we, the others; each side in the order in which they come."""
    left: dict[str, None] = {}
    right: dict[str, None] = {}
    for step in steps:
        for name, others in ((step.sender, left), (step.receiver, right)):
            if name != US and name not in left and name not in right:
                others[name] = None
    return [*left, US, *right]


def _places(names: Sequence[str], room: int) -> list[int] | None:
    """Where each one's lane stands; None where there are too many."""
    half = [(len(name) + 1) // 2 for name in names]
    most = max(room - 1, 0) // max(len(names) - 1, 1)
    apart = min(_WIDEST, most)
    left = min(half[0], max(apart - _GAP, 0) // 2)
    right = min(half[-1], max(apart - _GAP, 0) // 2)
    if len(names) > 1:
        apart = min(apart, (room - 1 - left - right) // (len(names) - 1))
    if apart < _NARROWEST:
        return None
    return [left + number * apart for number in range(len(names))]


class _Lanes:
    """The columns, and what is drawn across them."""

    def __init__(self, names: Sequence[str], places: Sequence[int], room: int) -> None:
        self._place = dict(zip(names, places, strict=True))
        self._apart = places[1] - places[0] if len(places) > 1 else _WIDEST
        self._room = room

    def title(self) -> str:
        """The names, each above its lane."""
        text = ""
        for name, place in self._place.items():
            shown = _cut(clean(name), self._apart - _GAP)
            start = max(place - len(shown) // 2, len(text) + _GAP if text else 0)
            text = f"{text:<{start}}{shown}"
        return text

    def arrow(self, step: Step, labels: Sequence[str]) -> tuple[str, int, int]:
        """A row, and where its label stands; the first of the labels that fits."""
        cells = [" "] * (max(self._place.values()) + 1)
        for place in self._place.values():
            cells[place] = "│"
        here, there = self._place[step.sender], self._place[step.receiver]
        left, right = sorted((here, there))
        if left == right:  # from one to itself
            label = _cut(labels[0], max(self._room - left - 2, 1))
            return "".join(cells[: left + 1]) + f"↺{label}", left + 2, left + 2 + len(label)
        for place in range(left + 1, right):
            cells[place] = "┼" if cells[place] == "│" else "─"
        cells[right - 1 if there > here else left + 1] = "▶" if there > here else "◀"
        room = right - left - 4  # one bit of line at either end, and the head
        label = next((label for label in labels if len(label) <= room), _cut(labels[-1], room))
        if len(label) <= self._apart - 4:  # it stands beside who is not us, and crosses no other lane
            if self._place[US] == left:
                left = right - self._apart
            else:
                right = left + self._apart
        start = left + 1 + (right - left - len(label)) // 2
        start = min(max(start, left + 2 + (there < here)), right - 2 - (there > here) - len(label) + 1)
        cells[start : start + len(label)] = label
        return "".join(cells), start, start + len(label)


def _labels(step: Step, count: int) -> list[str]:
    """What the message is called: as much as there is room for."""
    times = f" x{count}" if count > 1 else ""
    start, method = clean(step.start), clean(step.method)
    body = f" ({step.body})" if step.body else ""
    if not start[:1].isdigit():
        return [f"{start}{body}{times}", f"{start}{times}", f"{start[:6]}{times}"]
    status = start.partition(" ")[0]
    of = f" {method}" if method != "INVITE" else ""
    full, short = f"{start}{of}", f"{status} {method}"
    return [f"{full}{body}{times}", f"{full}{times}", f"{short}{times}", f"{status}{times}"]


def _told(rows: Sequence[tuple[Step, int]], times: Sequence[str], margin: int, width: int) -> Iterator[Line]:
    """A line of words for each message: time, what, from whom to whom."""
    longest = min(max(len(_labels(step, count)[0]) for step, count in rows), 26)
    for (step, count), time in zip(rows, times, strict=True):
        labels = _labels(step, count)
        label = next((label for label in labels if len(label) <= longest), _cut(labels[-1], longest))
        between = f"{clean(step.sender)} ▶ {clean(step.receiver)}"
        text = _cut(f"{time:>{margin}} {label:<{longest}}  {between}", width)
        start = margin + 1
        yield Line(text, tone(step.start), start, start + len(label))


def _time(since_ns: int) -> str:
    text = f"{since_ns / 1e6:+.1f}"
    return "+0.0" if text == "-0.0" else text


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(room - 1, 0)] + "…"
