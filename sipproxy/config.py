"""The configuration: one YAML file read into one frozen `Settings`, and written back with sources.

    text -> tree and lines (YAML) -> names of the attributes (settings_index.fit) -> Settings (pydantic)

Only `true`, `false`, `null` and numbers as JSON writes them are more than text, so `NO`, `12:30` and `+4915`
stay what they look like. A fault reads `FILE:LINE: path: reason`, and all of a file's are reported at once.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import TypeAdapter, ValidationError

from . import settings_across
from .admin.settings import AdminSettings
from .b2bua.settings import Limits, RouteSettings, Timeouts, TransferSettings, TrunkSettings
from .errors import ConfigurationError
from .net.settings import NetSettings
from .propagation.settings import PropagationSettings
from .settings_forms import KEYS, VALUES, Form, form_of, listen
from .settings_index import Path, Writer, dotted, fit, in_file, leaves, nearest
from .store.settings import StoreSettings
from .telemetry.settings import HepSettings, PrivacySettings, TracingSettings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def _loopback_trunks() -> dict[str, TrunkSettings]:
    """Enough for a first call with two SIPp on one machine."""
    return {
        "uac": TrunkSettings(address="127.0.0.1:5070", match=("127.0.0.0/8",)),
        "uas": TrunkSettings(address="127.0.0.1:5080"),
    }


@dataclass(frozen=True, slots=True)
class Settings(NetSettings):
    """All that an operator can set. Its defaults are what an empty file gives."""

    trunks: dict[str, TrunkSettings] = field(default_factory=_loopback_trunks)
    routes: tuple[RouteSettings, ...] = (RouteSettings(source="uac", to=("uas",)),)
    trace: PropagationSettings = PropagationSettings()
    tracing: TracingSettings = TracingSettings()
    privacy: PrivacySettings = PrivacySettings()
    store: StoreSettings = StoreSettings()
    admin: AdminSettings = AdminSettings()
    hep: HepSettings = HepSettings()
    transfer: TransferSettings = TransferSettings()
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()


_SETTINGS: TypeAdapter[Settings] = TypeAdapter(Settings)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where the file says so."""

    settings: Settings
    file: str | None = None
    lines: Mapping[Path, int] = field(default_factory=dict)


def load(file: str | FilePath | None) -> Settings:
    """The settings in a file, or the embedded defaults. Raises ConfigurationError with all faults."""
    return read(file).settings


def read(file: str | FilePath | None) -> Loaded:
    """As `load`, with the line that each setting came from."""
    if file is None:
        return Loaded(Settings())
    try:
        text = FilePath(file).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigurationError([f"{file}: cannot be read: {reason}"]) from None
    return _Reading(str(file), text).result()


def listeners(settings: Settings) -> list[tuple[str, str, int]]:
    """Transport, host and port of each `listen` entry."""
    return [listen(entry) for entry in settings.listen]


def describe(loaded: Loaded, environment: Mapping[str, str]) -> str:
    """What is in force, as YAML, each value with its line, variable or default; secrets are hidden."""

    def place(path: Path) -> str | None:
        line = loaded.lines.get(path)
        return f"{loaded.file}:{line}" if line else None

    return "\n".join(Writer(place, environment).rows(loaded.settings, Settings)) + "\n"


class _Loader(yaml.SafeLoader):
    """Takes nothing but JSON's words and numbers for more than text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML declares it this way


_PLAIN_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,99})(?P<fraction>(\.[0-9]+)?([eE][+-]?[0-9]+)?)")
for _type, _pattern, _first in (
    ("null", "null|", ("n", "")),
    ("bool", "true|false", ("t", "f")),
    ("int", "-?(0|[1-9][0-9]{0,99})", tuple("-0123456789")),
    ("float", _PLAIN_NUMBER.pattern, tuple("-0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_type}", re.compile(f"({_pattern})\\Z"), list(_first))

_DEEPEST = 8  # twice what any setting needs; an alias that contains itself ends here


class _Reading:
    """One file on its way to Settings, gathering faults."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._lines: dict[Path, int] = {}
        self._faults: dict[str, int] = {}  # text -> line; a fault is told once
        self._tree = self._parse(text)

    def result(self) -> Loaded:
        """The settings, or all faults, in the order of the file."""
        fitted = fit(self._tree, Settings, (), self._fault)
        try:
            settings = _SETTINGS.validate_json(json.dumps(fitted), strict=True)  # strict: "5" is no number
        except ValidationError as error:
            for item in error.errors(include_url=False):
                path, secret = in_file(item["loc"], Settings)
                self._fault(path, _reason(item, secret=secret))
        self._check_forms()
        settings_across.check(self._tree, Settings(), self._fault)
        if self._faults:
            raise ConfigurationError(sorted(self._faults, key=self._faults.__getitem__))
        return Loaded(settings, self._file, self._lines)

    def _fault(self, path: Path, reason: str) -> None:
        place = path
        while place and place not in self._lines:
            place = place[:-1]
        line = self._lines.get(place, 1)
        self._fault_at(line, path, reason)

    def _fault_at(self, line: int, path: Path, reason: str) -> None:
        where = f"{self._file}:{line}: " + (f"{dotted(path)}: " if path else "")
        self._faults.setdefault(where + reason, line)

    def _parse(self, text: str) -> dict[str, Any]:
        try:
            node = yaml.compose(text, _Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise ConfigurationError(
                [f"{self._file}:{mark.line + 1 if mark else 1}: not YAML: {error.problem or error.context}"]
            ) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise ConfigurationError([f"{self._file}:{line}: not YAML: {error.reason}"]) from None
        except RecursionError:
            raise ConfigurationError([f"{self._file}: not YAML: nested too deeply"]) from None
        tree = {} if node is None else self._value(node, ())
        if not isinstance(tree, dict | None):
            raise ConfigurationError([f"{self._file}:1: keys and values are expected, such as 'workers: 1'"])
        return tree or {}

    def _value(self, node: yaml.Node, path: Path) -> object:
        if len(path) > _DEEPEST:
            self._fault(path, "nested too deeply")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._lines[*path, index] = item.start_mark.line + 1
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        try:
            return _scalar(node.tag.removeprefix("tag:yaml.org,2002:"), node.value)
        except ValueError as error:
            self._fault(path, str(error))
            return None

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._fault_at(line, path, "a key is one word")
                continue
            key: str = key_node.value
            inner = (*path, key)
            if key in values:
                self._fault_at(line, inner, f"duplicate key, first in line {self._lines[inner]}")
                continue
            self._lines[inner] = line
            values[key] = self._value(value_node, inner)
        return values

    def _check_forms(self) -> None:
        for path in self._lines:
            if isinstance(path[-1], str) and (form := form_of(path, KEYS)):
                self._try(path, form, path[-1])
        for path, value in leaves(self._tree):
            if isinstance(value, str) and (form := form_of(path, VALUES)):
                self._try(path, form, value)
            elif value == [] and path in (("listen",), ("routes", *path[1:2], "to")):
                self._fault(path, "at least one is needed")

    def _try(self, path: Path, form: Form, text: str) -> None:
        try:
            form(text)
        except ValueError as error:
            self._fault(path, str(error))


def _scalar(kind: str, text: str) -> bool | int | float | str | None:
    if kind == "str":
        return text
    if kind == "null":
        return None
    if kind == "bool" and text in ("true", "false"):
        return text == "true"
    number = _PLAIN_NUMBER.fullmatch(text)
    if kind == "int" and number and not number["fraction"]:
        return int(text)
    if kind == "float" and number and math.isfinite(float(text)):
        return float(text)
    raise ValueError(f"cannot be used as {kind}")


def _reason(error: ErrorDetails, *, secret: bool) -> str:
    """A fault that pydantic found, in an operator's words."""
    value, context = error["input"], error.get("ctx", {})
    shown = json.dumps(value)
    if secret or isinstance(value, dict | list):
        shown = "the value" if secret else "a list" if isinstance(value, list) else "a section"
    elif isinstance(value, str):
        shown = repr(value)
    match error["type"]:
        case "missing":
            return "required"
        case "string_type" if isinstance(value, bool | int | float):
            return f"{shown} is not text, put it in quotes"
        case "string_type":
            return "text is expected"
        case "int_type" | "int_from_float":
            return f"{shown} is not a whole number"
        case "float_type":
            return f"{shown} is not a number"
        case "bool_type":
            return f"{shown} is neither true nor false"
        case "enum":
            allowed = re.findall("'(.*?)'", context["expected"])
            return f"{shown} is none of {', '.join(allowed)}{nearest(str(value), allowed)}"
        case "tuple_type":
            return "a list is expected, such as [a, b]"
        case "dataclass_type" | "dict_type":
            return "keys and values are expected"
        case "greater_than_equal":
            return f"{shown} is less than {context['ge']}"
        case "greater_than":
            return f"{shown} is not more than {context['gt']}"
        case "less_than_equal":
            return f"{shown} is more than {context['le']}"
    return error["msg"]
