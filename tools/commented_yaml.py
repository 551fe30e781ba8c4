"""Reads what a commented YAML file says about its keys.

    # Neighbours by name.          -> ("trunks",): ["Neighbours by name."]
    trunks:
      sbc:
        refer: null     # a REFER  -> ("trunks", "sbc", "refer"): ["a REFER", "in its calls"]
                        # in its calls

A comment belongs to the key on its line, and so do lines below that hold only a comment at the same column;
or, where it has lines of its own at a key's column, to the key below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

Path = tuple[str, ...]
_BEHIND = re.compile(r"""^(?:[^"'#]|"[^"]*"|'[^']*'|(?<=\S)\#)*?\s\#\s(.*)$""")
_ALONE = re.compile(r"^( *)#(?: (.*))?$")


def comments(text: str) -> dict[Path, list[str]]:
    """Path of a key -> the lines of its comment. Items of a list are named by their number."""
    lines = text.splitlines()
    found: dict[Path, list[str]] = {}
    taken: set[int] = set()
    for path, line, column in _keys(yaml.compose(text, yaml.SafeLoader), ()):
        if line in taken:
            continue  # a further key of a line in braces
        taken.add(line)
        behind = _BEHIND.match(lines[line])
        if behind is not None:
            found[path] = [behind[1], *_below(lines[line + 1 :], behind.start(1) - 2)]
        elif above := _above(lines[:line], column):
            found[path] = above
    return found


def _keys(node: yaml.Node | None, path: Path) -> Iterator[tuple[Path, int, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            yield here, key.start_mark.line, key.start_mark.column
            yield from _keys(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _keys(item, (*path, str(number)))


def _below(lines: list[str], column: int) -> Iterator[str]:
    for line in lines:
        alone = _ALONE.match(line)
        if alone is None or len(alone[1]) != column:
            return
        yield alone[2] or ""


def _above(lines: list[str], column: int) -> list[str]:
    words: list[str] = []
    for line in reversed(lines):
        alone = _ALONE.match(line)
        if alone is None or len(alone[1]) != column:
            break
        words.insert(0, alone[2] or "")
    return words
