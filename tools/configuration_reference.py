"""The tables of docs/configuration.md: every key with its values, its default and what it means.

python tools/configuration_reference.py            print them
python tools/configuration_reference.py --write    put them into the page, between its two marks
python tools/configuration_reference.py --check    exit code 1 where the page does not have them

Keys, values, bounds and defaults come from the settings dataclasses. What a key means, its comment in
config/sipproxy.yaml says; of a key that is not shown there, the comment beside the field. A key without
either is an error, so none can be forgotten.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import functools
import inspect
import re
import sys
import textwrap
import types
import typing
from collections.abc import Iterator
from itertools import chain, pairwise

from sipproxy.config import Settings
from sipproxy.settings_index import _ENVIRONMENT, Setting, Shape, plain, settings_of
from tools.commented_yaml import comments
from tools.page_part import DOCS, main

Path = tuple[str, ...]  # ("trunks", "*", "trace", "send"), ("routes[]", "to")
Field = dataclasses.Field[object]

EXAMPLE = DOCS.parent / "config/sipproxy.yaml"
# Where the example explains the keys of sections that an operator names or lists.
_EXPLAINED: dict[Path, Path] = {
    ("trunks", "*"): ("trunks", "sbc"),
    ("routes[]",): ("routes", "0"),
    ("tracing", "destinations", "*"): ("tracing",),  # "with the keys ... above"
}
_SPECIAL = re.compile(r"[|<>*_\\\[\]{}]")
_TYPES = {str: "text", int: "whole number", float: "number", bool: "`true`, `false`"}


def tables() -> str:
    """A heading and a table for each section."""
    return "\n".join(_section(path, section) for path, section in _sections((), Settings))


def _sections(path: Path, section: type) -> Iterator[tuple[Path, type]]:
    yield path, section
    for setting in settings_of(section).values():
        if setting.section is not None:
            yield from _sections(_inside(path, setting), setting.section)


def _inside(path: Path, setting: Setting) -> Path:
    """Where the keys of a section stand."""
    if setting.shape is Shape.MAP:
        return (*path, setting.key, "*")
    return (*path, setting.key + "[]") if setting.shape is Shape.LIST else (*path, setting.key)


def _section(path: Path, section: type) -> str:
    parts = [f"## `{'.'.join(path)}`" if path else "## The whole proxy"]
    if path and (intro := _intro(path, section)):
        parts.append(intro)
    fields = {field.name: field for field in dataclasses.fields(section)}
    rows = "\n".join(_row(path, section, each, fields[each.name]) for each in settings_of(section).values())
    parts.append(f"| key | values | default | meaning |\n|---|---|---|---|\n{rows}\n")
    return "\n\n".join(parts)


def _intro(path: Path, section: type) -> str:
    """The example's comment on the section as a whole; else what its class says of itself."""
    lines = _commented(path)
    if not lines or _is_example(lines):
        said = " ".join((section.__doc__ or "").split("\n\n")[0].split())
        said = re.sub(r"^The `\w+:` section[.:]? ?", "", said)
        lines = [re.sub(r"^\((.*)\)\.$", r"\1.", said)]
    parts: list[tuple[str, str]] = []  # kind and text
    for line in lines:
        item = re.fullmatch(r" +(\S+) {2,}(.+)", line)
        if item is not None:
            parts.append(("item", f"- `{item[1]}`: {_escaped(item[2])}"))
        elif line.startswith("  "):
            parts.append(("code", "    " + line.strip()))
        elif parts and parts[-1][0] == "words":
            parts[-1] = ("words", f"{parts[-1][1]} {_escaped(line)}")
        else:
            parts.append(("words", _begun(_escaped(line))))
    between = ["\n" if one[0] == two[0] else "\n\n" for one, two in pairwise(parts)]
    texts = [_wrapped(text) if kind == "words" else text for kind, text in parts]
    return "".join(chain.from_iterable(zip(texts, [*between, ""], strict=True)))


def _is_example(lines: list[str]) -> bool:
    """Whether a comment shows what may stand there, beside its key, and tells nothing of the section."""
    return any("{" in line and not line.startswith("  ") for line in lines)


def _wrapped(text: str) -> str:
    text = text if not text or text.endswith((".", ":")) else text + "."
    return "\n".join(textwrap.wrap(text, 138, break_long_words=False, break_on_hyphens=False))


def _row(path: Path, section: type, setting: Setting, field: Field) -> str:
    if setting.section is not None:
        target = re.sub(r"[^\w-]", "", ".".join(_inside(path, setting)).lower())
        kind = {Shape.MAP: "a section for each name", Shape.LIST: "a list of sections"}
        shown = "none" if _default(field) in (None, (), {}) else ""
        lines = _commented((*path, setting.key))
        meaning = _begun(_escaped(" ".join(lines))) if _is_example(lines) else ""
        return (
            f"| `{setting.key}` | [{kind.get(setting.shape, 'section')}](#{target}) | {shown} | {meaning} |"
        )
    values = _values(typing.get_type_hints(section)[field.name], field)
    meaning = _meaning(path, section, setting)
    return f"| `{setting.key}` | {values} | {_shown((*path, setting.key), field)} | {meaning} |"


# Values and defaults


def _values(hint: object, field: Field) -> str:
    kind, arguments = typing.get_origin(hint), typing.get_args(hint)
    if kind is types.UnionType:
        return _values(next(each for each in arguments if each is not types.NoneType), field)
    if kind is tuple:
        return f"list of {_values(arguments[0], field)}"
    if kind is dict:
        return f"name: {_values(arguments[1], field)}"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return ", ".join(f"`{member.value}`" for member in hint)
    return _TYPES[typing.cast(type, hint)] + _bounds(field)


def _bounds(field: Field) -> str:
    low, above, high = (field.metadata.get(name) for name in ("ge", "gt", "le"))
    if low is not None and high is not None:
        return f", {low:,} to {high:,}" if low != high else f", {low}"
    words = (
        f", from {low:,}" if low is not None else "",
        f", more than {above:,}" if above is not None else "",
        f", up to {high:,}" if high is not None else "",
    )
    return "".join(words)


def _default(field: Field) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _shown(path: Path, field: Field) -> str:
    default = _default(field)
    if default is dataclasses.MISSING:
        return "required"
    if path[:-1] == ("tracing",) and path[-1] in _ENVIRONMENT and default in (None, {}):
        variables, last = _ENVIRONMENT[path[-1]]
        last = "none" if last in ("null", "{}") else f"`{last}`"
        return ", ".join(f"`{variable}`" for variable in variables) + f", else {last}"
    return "none" if default is None else f"`{plain(default)}`"


# Meanings


@functools.cache
def _example() -> dict[Path, list[str]]:
    return comments(EXAMPLE.read_text("utf-8"))


def _commented(path: Path) -> list[str]:
    """What the example says of a key, or of a section."""
    found = _example().get(tuple(part.removesuffix("[]") for part in path if part != "*"))
    for section, place in _EXPLAINED.items():
        if found is None and path[: len(section)] == section:
            found = _example().get((*place, *path[len(section) :]))
    return found or []


def _meaning(path: Path, section: type, setting: Setting) -> str:
    text = " ".join(_commented((*path, setting.key))) or _beside(section, setting.name)
    if not text:
        key = ".".join((*path, setting.key))
        raise ValueError(f"{key}: no comment in config/{EXAMPLE.name}, nor beside its field, says what it is")
    if setting.secret and "secret" not in text:
        text += "; kept secret"
    return _begun(_escaped(text.removesuffix(".")))


def _begun(text: str) -> str:
    """With a capital letter, where it begins with a word."""
    return text[0].upper() + text[1:] if re.match(r"[a-z]+\b(?![&:/_.])", text) else text


def _beside(section: type, name: str) -> str:
    """The comment on a field's line, or on lines of its own before it, in the class that declares it."""
    owner = next(each for each in section.__mro__ if name in inspect.get_annotations(each))
    source = inspect.getsource(owner)
    lines = source.splitlines()
    body = typing.cast(ast.ClassDef, ast.parse(source).body[0]).body
    node = next(n for n in body if isinstance(n, ast.AnnAssign) and ast.unparse(n.target) == name)
    _, mark, text = lines[(node.end_lineno or node.lineno) - 1].partition("  # ")
    if mark:
        return text
    above: list[str] = []
    for line in reversed(lines[: node.lineno - 1]):
        if not line.lstrip().startswith("# "):
            break
        above.insert(0, line.strip().removeprefix("# "))
    return " ".join(above)


def _escaped(text: str) -> str:
    """Plain words in Markdown, in a table too; what stands in backquotes stays code."""
    words = re.split(r"(`[^`|]+`)", text.replace("\\\\", "\\"))
    return "".join(word if word.startswith("`") else _SPECIAL.sub(_entity, word) for word in words)


def _entity(character: re.Match[str]) -> str:
    return f"&#{ord(character[0])};"


if __name__ == "__main__":
    sys.exit(main("configuration_reference.py", DOCS / "configuration.md", tables))
