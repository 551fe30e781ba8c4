"""`sipproxy trace ID`: a call as a tree of spans and as a ladder of messages.

A running proxy is asked; where none answers, its store is read, so that the calls of one that has ended, or
that was killed, can be read all the same.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from ..admin.shapes import Json, span_of, step_of, story_shape
from ..config import Settings
from ..errors import SipProxyError
from ..store.place import Place
from ..store.reader import Reader
from ..telemetry.ladder import ladder
from ..telemetry.masking import Masker, clean
from ..telemetry.tree import render
from .client import NoProxyError, UnknownIdError, client_of
from .terminal import Terminal

_INDENT = "     "


def trace(ident: str, settings: Settings, *, url: str | None, as_json: bool) -> None:
    """Print the story of that call. Raises SipProxyError when there is none."""
    story = _story(ident, settings, url)
    terminal = Terminal()
    if as_json:
        terminal.json(story, indent=2)
    else:
        show(cleaned(story), terminal)


def show(story: Json, terminal: Terminal) -> None:
    """The calls, the tree, the ladder."""
    for call in story["calls"]:
        for number, line in enumerate(_told(call, terminal.width)):
            terminal.line(line, "bold" if not number else "")
    spans = [span_of(shape) for shape in story["spans"]]
    terminal.line()
    terminal.tree(render(spans, terminal.width))
    steps = [step_of(shape) for shape in story["messages"]]
    if steps:
        began_ns = min((span.start_ns for span in spans), default=None)
        terminal.line()
        terminal.ladder(ladder(steps, began_ns, terminal.width))
    if story["truncated"]:
        terminal.line()
        terminal.line("There is more than is shown here: ask for one trace or one call.", "yellow")


def cleaned(value: Json) -> Json:
    """The same, with nothing in its texts that could steer a terminal."""
    return {clean(name): _cleaned(item) for name, item in value.items()}


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return cleaned(value) if isinstance(value, dict) else value


def _story(ident: str, settings: Settings, url: str | None) -> Json:
    client = client_of(settings.admin, url)
    silent = "admin.listen is off"
    if client is not None:
        try:
            return client.get("traces", ident)
        except UnknownIdError as error:
            raise UnknownIdError(f"{clean(ident)}: {error}") from None
        except NoProxyError as error:
            if url is not None:
                raise
            silent = str(error)
    place = Place.find(settings.store)
    if place is None:
        raise SipProxyError(f"{silent}; and there is no store to read")
    print(f"sipproxy: {silent}; reading {place.folder}", file=sys.stderr)
    reader = Reader(place, reference=Masker(settings.privacy).mask_reference)
    try:
        story = reader.story(ident)
    finally:
        reader.close()
    if story is None:
        raise UnknownIdError(f"{clean(ident)}: nothing is known of that id in {place.folder}")
    return story_shape(ident, story, settings.admin.links, raw=False)


def _told(call: Json, width: int) -> list[str]:
    """A call in a line, and below it when it began, its trunks, its times."""
    people = f"{call['from'] or 'somebody'} ▶ {call['to'] or 'somebody'}"
    what = call["outcome"] or call["state"]
    if call["status"]:
        what += f" ({call['status']})"
    if call["error"]:
        what += f", {call['error']}"
    if call["state"] != "over" and what != call["state"]:
        what += f", {call['state']}"
    facts = [datetime.fromtimestamp(call["began_us"] / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")]
    facts += [" ▶ ".join(call["trunks"])] if call["trunks"] else []
    facts += [f"set up in {call['setup_ms']} ms"] if call["setup_ms"] is not None else []
    facts += [f"talked {call['talk_ms'] / 1000:.1f} s"] if call["talk_ms"] is not None else []
    facts += [f"transfers: {call['transfers']}"] if call["transfers"] else []
    facts += ["by a transfer"] if call["transferred"] and not call["transfers"] else []
    facts += ["not sampled"] if not call["sampled"] else []
    lines = [f"call {call['id']}  {people}  {what}", _INDENT + facts[0]]
    for fact in facts[1:]:
        if len(lines[-1]) + len(fact) + 2 > width:
            lines.append(_INDENT + fact)
        else:
            lines[-1] += f", {fact}"
    return [_cut(line, width) for line in lines]


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"
