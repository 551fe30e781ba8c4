"""What became of one carrier on its way: the comparison of a value that was sent with all that arrived.

One header of that name, same value              survived; re-cased, where only the name's letters differ
    same trace, other parent-id                  continued: somebody on the way took part in the trace
    another value                                altered, and how
Several                                          altered: no reader adopts a trace that comes twice
None, and the value stands somewhere else        moved
None                                             stripped
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

from ..propagation.context import TraceContext, parse_traceparent


class Fate(StrEnum):
    """The word for it."""

    SURVIVED = "survived"
    CONTINUED = "continued"
    RECASED = "re-cased"
    MOVED = "moved"
    ALTERED = "altered"
    STRIPPED = "stripped"
    REFUSED = "refused"  # the path refused the whole request
    UNKNOWN = "unknown"  # what should have carried it never arrived


class Problem(StrEnum):
    """Why a path does not lead back at all."""

    UNRESOLVED = "unresolved"
    UNREACHABLE = "unreachable"
    UNTRUSTED = "untrusted"  # its certificate
    SILENT = "silent"
    HALF = "half"  # it begins to answer
    GARBAGE = "garbage"
    REFUSED = "refused"
    CREDENTIALS = "credentials"
    REDIRECTED = "redirected"
    LOOP = "loop"
    RINGS_ELSEWHERE = "rings elsewhere"
    ANSWERED_ELSEWHERE = "answered elsewhere"
    ANSWER_LOST = "answer lost"
    NO_BACK_END = "no back end"


ALIVE = frozenset({Fate.SURVIVED, Fate.CONTINUED, Fate.RECASED})
"""A reader at the other end finds the trace under the name that it knows."""


@dataclass(slots=True)
class Row:
    """A header line: its name as written, its value."""

    name: str
    value: str

    @property
    def key(self) -> str:
        """The name by which it is found."""
        return self.name.lower()


@dataclass(slots=True)
class Finding:
    """One line of the report. `carrier` is what `--want` calls it; `how` never quotes what arrived."""

    carrier: str
    place: str
    fate: Fate
    how: str = ""

    @property
    def alive(self) -> bool:
        """Whether the trace got through this way."""
        return self.fate in ALIVE


Judged = tuple[Fate, str]


def judge(name: str, sent: str, rows: Sequence[Row], *, besides: Sequence[str] = ()) -> Judged:
    """What became of a header that was sent once; `besides`: further headers that have the same trace."""
    here = [row for row in rows if row.key == name.lower()]
    if not here:
        return _elsewhere(sent, [row for row in rows if row.key not in besides])
    if len(here) > 1:
        same = sum(row.value == sent for row in here)
        return Fate.ALTERED, f"{len(here)} rows of it arrive" + (", one as sent" if same == 1 else "")
    (row,) = here
    fate, how = compare(sent, row.value)
    if fate is Fate.SURVIVED and row.name != name:
        return Fate.RECASED, f"as {row.name}"
    return fate, how


def compare(sent: str, got: str) -> Judged:
    """What became of a value that stands where it should."""
    if got == sent:
        return Fate.SURVIVED, ""
    ours, theirs = parse_traceparent(sent), parse_traceparent(got)
    if isinstance(ours, TraceContext) and isinstance(theirs, TraceContext):
        if ours.trace_id != theirs.trace_id:
            return Fate.ALTERED, "another trace-id: the path begins a trace of its own"
        if ours.span_id != theirs.span_id:
            return Fate.CONTINUED, "same trace, new parent-id"
        return Fate.ALTERED, f"other flags: {theirs.flags:02x}"
    return Fate.ALTERED, difference(sent, got)


def difference(sent: str, got: str) -> str:
    """In words that quote nothing: what arrives may hold what is not ours to show."""
    if not got:
        return "empty"
    if got.lower() == sent.lower():
        return "upper and lower case changed"
    if "".join(got.split()) == "".join(sent.split()):
        return "blanks changed"
    if got.strip('"') == sent:
        return "in quotes"
    if unquote(got) == sent:
        return "escaped"
    if got == unquote(sent):
        return "unescaped"
    if sent.startswith(got):
        return f"cut after {len(got)} of {len(sent)} characters"
    if got.startswith(sent):
        return "something is added behind it"
    if got.endswith(sent):
        return "something is added in front of it"
    if sent in got:
        return "something is added around it"
    if "," in sent:
        left = [member for member in sent.split(",") if member.strip() in got]
        if left:
            return f"{len(left)} of {len(sent.split(','))} members are left"
    return "another value"


def _elsewhere(sent: str, rows: Sequence[Row]) -> Judged:
    for row in rows:
        if row.value == sent:
            return Fate.MOVED, f"to {row.name}"
    for row in rows:
        if sent in row.value:
            return Fate.MOVED, f"into {row.name}"
    context = parse_traceparent(sent)
    if isinstance(context, TraceContext):
        for row in rows:
            if context.trace_id in row.value.lower():
                return Fate.MOVED, f"the trace goes on in {row.name}"
    return Fate.STRIPPED, ""
