"""A scenario folder as data: who takes part, how the proxy is set up, what must be seen.

The format is described in sipp-scenarios/README.md.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from . import acts, yamlfile
from .proxy import ROOT

SCENARIOS = ROOT / "sipp-scenarios"
ACTS = SCENARIOS / "common/acts"
NUMBER_CALLED = "+4915550001234"
NOBODY = "nobody"
SILENCE = "silence"
_STRICT = ConfigDict(extra="forbid")

Scalar = str | bool | int | float


@dataclass(slots=True)
class Member:
    """One member of the cast; `plays` is an XML file, a list of acts, `silence` (no answers) or `nobody` (a
    closed port).
    """

    __pydantic_config__ = _STRICT
    side: Literal["caller", "callee"]
    plays: str | list[str | dict[str, dict[str, acts.Value]]]
    trunk: str | None = None  # whose peer it is; none: the proxy does not know it
    host: str | None = None  # default: a loopback address of its own
    transport: Literal["udp", "tcp"] = "udp"
    line: Literal["clean", "lossy"] = "clean"
    dials: str = NUMBER_CALLED
    number: str | None = None  # whoever dials it reaches this member's trunk
    calls: int = 1
    headers: list[str] = field(default_factory=list)  # rows that its XML puts where it says [headers]
    keys: dict[str, str] = field(default_factory=dict)
    args: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ExpectedSpan:
    """A span that must be there, with exactly these children."""

    __pydantic_config__ = _STRICT
    span: str  # name and kind: `INVITE server`
    parent: str | None = None  # of a top one: `none`, or the traceparent that it continues
    attributes: dict[str, Scalar] = field(default_factory=dict)
    events: list[str | int] = field(default_factory=list)  # must occur, in this order
    no_events: list[str | int] = field(default_factory=list)
    status: Literal["unset", "ok", "error"] | None = None
    links: list[str] | None = None  # trace-id/span-id, or what another span is known as; None: whatever
    known_as: str = ""
    carried_by: list[str] = field(default_factory=list)  # messages whose traceparent names this very span
    previous_of: list[str] = field(default_factory=list)  # messages whose previous-trace-id names it
    children: list[ExpectedSpan] = field(default_factory=list)


@dataclass(slots=True)
class ExpectedMessage:
    """Messages that a member must have received (wire.py says how they are named)."""

    __pydantic_config__ = _STRICT
    message: str
    times: int | None = None  # None: at least once
    start_line: str | None = None
    headers: dict[str, Scalar] = field(default_factory=dict)
    rows: list[str] = field(default_factory=list)  # whole rows, as they stand, in this order
    unchanged: list[str] = field(default_factory=list)  # headers that are as another member wrote them
    body: str | None = None
    transport: Literal["UDP", "TCP"] | None = None


@dataclass(slots=True)
class Story:
    """One scenario, or one take of it."""

    __pydantic_config__ = _STRICT
    story: str
    cast: dict[str, Member]
    given: dict[str, Scalar] = field(default_factory=dict)  # what `{name}` stands for, beside addresses
    proxy: dict[str, Any] = field(default_factory=dict)
    spans: list[ExpectedSpan] | None = None  # None: not looked at
    every_span: dict[str, Scalar] = field(default_factory=dict)
    wire: list[ExpectedMessage] = field(default_factory=list)
    folder: Path = SCENARIOS
    name: str = ""

    @property
    def needs_ipv6(self) -> bool:
        """Whether a member lives at ::1."""
        return any(":" in (member.host or "") for member in self.cast.values())

    def script(self, plays: str) -> Path:
        """The XML file that a member plays: from its own folder, or shared (`common/...`)."""
        own = self.folder / plays
        return own if own.exists() else SCENARIOS / plays

    def composed(self, name: str, given: Mapping[str, str]) -> str:
        """The XML of a member that plays a list of acts; `given` are addresses and the like."""
        plays = self.cast[name].plays
        assert not isinstance(plays, str)
        chosen = [(act, {}) if isinstance(act, str) else next(iter(act.items())) for act in plays]
        return acts.compose(f"{self.name}, {name}", chosen, (self.folder, ACTS), given)


_STORY = TypeAdapter(Story)


def all_stories() -> list[Story]:
    """Every take of every scenario, in order."""
    return [story for path in sorted(SCENARIOS.glob("*/scenario.yaml")) for story in read(path)]


def read(path: Path) -> list[Story]:
    """The takes of one scenario file; without `takes` it is one. `root` changes the first span wanted."""
    content = yamlfile.read(path)
    takes: Mapping[str, Any] = content.pop("takes", None) or {"": {}}
    stories = []
    for take, changes in takes.items():
        name = f"{path.parent.name}: {take}" if take else path.parent.name
        root = changes.pop("root", {})
        play = merged(content, changes)
        if root:
            play["spans"][0] = merged(play["spans"][0], root)
        try:
            story = _STORY.validate_python(play)
        except ValidationError as error:
            raise ValueError(f"{path} {take}: {error}") from error
        story.folder, story.name = path.parent, name
        stories.append(story)
    return stories


def merged(base: Any, changes: Any) -> Any:
    """Mappings are merged key by key; all else is replaced."""
    if not isinstance(base, Mapping) or not isinstance(changes, Mapping):
        return copy.deepcopy(changes)
    both = {key: merged(base[key], changes[key]) if key in base else changes[key] for key in changes}
    return copy.deepcopy({**base, **both})
