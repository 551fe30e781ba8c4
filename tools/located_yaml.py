"""YAML that knows where each value stands, for lints that name file and line.

    document = read(Path("docker-compose.yml"))
    document.content["services"]["jaeger"]["image"]
    document.line("services", "jaeger", "image")      17

Keys that occur twice are faults: YAML readers keep one of them, and do not say which.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

Key = str | int
Plain: TypeAlias = Any  # what a file holds is anything
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """What is wrong, and where."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


@dataclass(slots=True)
class Document:
    """One file. `content` is None where it cannot be read; then `faults` says why."""

    file: str
    rows: list[str]
    content: Plain = None
    faults: list[Fault] = field(default_factory=list)
    _lines: dict[tuple[Key, ...], int] = field(default_factory=dict)

    def line(self, *path: Key) -> int:
        """Where the key or list item stands; of what is not there, where the nearest above it stands."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def fault(self, reason: str, *path: Key) -> None:
        """Note a fault of the value at that path."""
        self.faults.append(Fault(self.file, self.line(*path), reason))

    def is_explained(self, *path: Key) -> bool:
        """Whether a comment stands on the line of that value, or right above it."""
        line = self.line(*path)
        above = self.rows[line - 2].strip() if line > 1 else ""
        return " #" in self.rows[line - 1] or above.startswith("#")


def read(file: Path, name: str | None = None) -> Document:
    """The file with its lines; `name` is what it is called in faults."""
    text = file.read_text("utf-8")
    document = Document(name or str(file), text.splitlines() or [""])
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        document.content = {} if node is None else _value(loader, node, (), document)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = 1 if mark is None else mark.line + 1
        document.faults.append(Fault(document.file, line, f"no YAML: {getattr(error, 'problem', error)}"))
    finally:
        loader.dispose()
    return document


def walk(content: Plain, path: tuple[Key, ...] = ()) -> Iterator[tuple[tuple[Key, ...], Plain]]:
    """Every value below `content` that is no mapping and no list, with its path."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from walk(value, (*path, key))
    elif isinstance(content, list):
        for place, value in enumerate(content):
            yield from walk(value, (*path, place))
    else:
        yield path, content


def _value(loader: yaml.SafeLoader, node: yaml.Node, path: tuple[Key, ...], document: Document) -> Plain:
    document._lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        found: dict[Plain, Plain] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                found = {**_value(loader, value_node, path, document), **found}
                continue
            key = loader.construct_object(key_node, deep=True)
            below = (*path, key)
            if key in found:
                reason = f"{key} occurs twice, first in line {document.line(*below)}"
                document.faults.append(Fault(document.file, key_node.start_mark.line + 1, reason))
            document._lines[below] = key_node.start_mark.line + 1
            found[key] = _value(loader, value_node, below, document)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, (*path, place), document) for place, item in enumerate(node.value)]
    return loader.construct_object(node, deep=True)
