"""Puts SIPp scenarios together from acts, so that a story names what a party does instead of repeating it.

    plays:
      - rings
      - picks-up: {rows: ['Allow: INVITE, ACK, BYE, REFER']}
      - refers: {to: '<sip:{carol.number}@{proxy}>'}
      - is-hung-up-on

An act is NAME.xml of the story's folder or of sipp-scenarios/common/acts. The attributes of its <act> are its
parameters with their defaults; `{name}` stands for one, and a line that is nothing but an empty one goes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.dom import minidom

Value = str | int | list[str]
Act = tuple[str, Mapping[str, Value]]  # its name, and the parameters that are not as usual

_PARAMETER = re.compile(r"\{([a-z_]+(?:\.[a-z]+)?)\}")
_LINE = re.compile(r"^[ \t]*\{([a-z_]+)\}[ \t]*\n", re.MULTILINE)
_DEPTH = 3  # a parameter may be written in terms of another, and that one of an address


class ActError(ValueError):
    """An act that does not exist, or a parameter that it does not have."""


def find(name: str, folders: Sequence[Path]) -> Path:
    """The file of an act, from the first of these folders that has it."""
    for folder in folders:
        path = folder / f"{name}.xml"
        if path.is_file():
            return path
    raise ActError(f"no act {name!r} in {[str(folder) for folder in folders]}")


def compose(name: str, acts: Sequence[Act], folders: Sequence[Path], given: Mapping[str, str]) -> str:
    """One scenario of these acts; `given` are values that every act may use (addresses, numbers)."""
    parts = [_Part(act, find(act, folders), parameters, given) for act, parameters in acts]
    assigned = dict.fromkeys(variable for part in parts for variable in part.assigned)
    text = "".join(part.text for part in parts)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="{name}">{text}'
        f'  <label id="end"/>\n  <Reference variables="{",".join(assigned)}"/>\n</scenario>\n'
    )


def _filled(value: Value, given: Mapping[str, str]) -> Value:
    """What a story says, where a name means what is given, and not a parameter of the act."""
    if isinstance(value, str):
        return _PARAMETER.sub(lambda found: given.get(found[1], found[0]), value)
    if isinstance(value, list):
        return [str(_filled(each, given)) for each in value]
    return value


class _Part:
    """One act with its parameters filled in."""

    def __init__(
        self, name: str, path: Path, parameters: Mapping[str, Value], given: Mapping[str, str]
    ) -> None:
        root = minidom.parse(str(path)).documentElement
        assert root is not None
        usual: dict[str, Value] = dict(root.attributes.items())
        unknown = sorted(parameters.keys() - usual.keys())
        if unknown:
            raise ActError(f"{name} has no parameter {', '.join(unknown)}; it has {', '.join(usual)}")
        self._name = name
        chosen = {key: _filled(value, given) for key, value in parameters.items()}
        self._values = {**given, **usual, **chosen}
        self.assigned: list[str] = []
        for node in root.childNodes:
            self._fill_in(node)
        self.text = "".join(node.toxml() for node in root.childNodes)

    def _fill_in(self, node: minidom.Node) -> None:
        if isinstance(node, minidom.Text):  # CDATA is one, too
            node.data = self._filled(node.data)
        elif isinstance(node, minidom.Element):
            for name, value in list(node.attributes.items()):
                node.setAttribute(name, self._filled(value))
            self.assigned += [each for each in node.getAttribute("assign_to").split(",") if each]
        for child in node.childNodes:
            self._fill_in(child)

    def _filled(self, text: str) -> str:
        for _ in range(_DEPTH):
            text = _LINE.sub(lambda found: "" if self._value(found[1]) == "" else found[0], text)
            text = _PARAMETER.sub(lambda found: self._value(found[1]), text)
        return text

    def _value(self, name: str) -> str:
        try:
            value = self._values[name]
        except KeyError:
            raise ActError(f"{self._name}: nothing is known as {{{name}}}") from None
        return "\n".join(value) if isinstance(value, list) else str(value)
