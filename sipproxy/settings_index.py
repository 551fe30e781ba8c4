"""What may stand in the configuration file: every key, and how it is written back.

The keys are read off the settings dataclasses, so a new field there needs nothing here unless its text has
a form of its own (`settings_forms.py`). `config.py` reads and writes with this index.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

Path = tuple[str | int, ...]  # ("trunks", "sbc", "match", 1), in the words of the file

# Promised by the documentation, and not built: better a plain word than "unknown key".
NOT_YET = frozenset({"redis"})


class Shape(Enum):
    """How often the section of a key occurs."""

    LEAF = 0
    ONE = 1
    MAP = 2
    LIST = 3


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of one section."""

    name: str  # of the attribute
    key: str  # in the file
    shape: Shape
    section: type | None  # what the value, or each of its items, is made of
    secret: bool


@functools.cache
def settings_of(section: type) -> dict[str, Setting]:
    """The keys of a settings dataclass, in order."""
    found: dict[str, Setting] = {}
    for item in dataclasses.fields(section):
        shape, inner = _inside(typing.get_type_hints(section)[item.name])
        key = item.metadata.get("key", item.name)
        found[key] = Setting(item.name, key, shape, inner, item.metadata.get("secret", False))
    return found


def _inside(hint: object) -> tuple[Shape, type | None]:
    kind, arguments = typing.get_origin(hint), typing.get_args(hint)
    if kind is types.UnionType and types.NoneType in arguments:  # a section that may be absent
        hint = arguments[0]
    mapped, listed = (arguments[-1] if kind is dict else None), (arguments[0] if kind is tuple else None)
    for shape, inner in ((Shape.ONE, hint), (Shape.MAP, mapped), (Shape.LIST, listed)):
        if isinstance(inner, type) and dataclasses.is_dataclass(inner):
            return shape, inner
    return Shape.LEAF, None


def fit(value: object, section: type, path: Path, fault: Callable[[Path, str], None]) -> object:
    """A tree as the dataclass wants it: keys become attribute names, null is absent, unknown keys go."""
    if not isinstance(value, dict):
        return {} if value is None else value  # a section whose keys are all commented out
    known, fitted = settings_of(section), {}
    for key, inner in value.items():
        setting = known.get(key)
        if setting is None:
            fault((*path, key), _unknown(key, known))
        elif inner is not None:
            fitted[setting.name] = _fit_value(inner, setting, (*path, key), fault)
    return fitted


def _fit_value(value: object, setting: Setting, path: Path, fault: Callable[[Path, str], None]) -> object:
    if setting.section is None:
        return value
    if setting.shape is Shape.ONE:
        return fit(value, setting.section, path, fault)
    if setting.shape is Shape.MAP and isinstance(value, dict):
        return {name: fit(item, setting.section, (*path, name), fault) for name, item in value.items()}
    if setting.shape is Shape.LIST and isinstance(value, list):
        return [fit(item, setting.section, (*path, i), fault) for i, item in enumerate(value)]
    return value


def _unknown(key: str, known: Iterable[str]) -> str:
    if key in NOT_YET:
        return "not supported yet"
    return f"unknown key{nearest(key, known) or ', known are ' + ', '.join(known)}"


def nearest(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'address'?`, or nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def in_file(location: Path, section: type) -> tuple[Path, bool]:
    """Where a path of attribute names stands in the file, and whether its value is a secret."""
    path: list[str | int] = []
    inside: type | None = section
    secret, parts = False, iter(location)
    for part in parts:
        setting = next((s for s in settings_of(inside).values() if s.name == part), None) if inside else None
        if setting is None:
            path.append(part)
            continue
        path.append(setting.key)
        secret, inside = setting.secret, setting.section
        if setting.shape in (Shape.MAP, Shape.LIST):
            path.extend([item for item in (next(parts, None),) if item is not None])
    return tuple(path), secret


def dotted(path: Path) -> str:
    """`trunks.sbc.match[1]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """Every value that is not itself a section or a list; an empty list counts as one."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))
    else:
        yield path, value


_OTLP = "OTEL_EXPORTER_OTLP_"
_ENVIRONMENT: dict[str, tuple[tuple[str, ...], str]] = {  # of tracing: variables, first wins; default
    "exporter": (("OTEL_TRACES_EXPORTER",), "otlp"),
    "protocol": ((_OTLP + "TRACES_PROTOCOL", _OTLP + "PROTOCOL"), "http/protobuf"),
    "endpoint": ((_OTLP + "TRACES_ENDPOINT", _OTLP + "ENDPOINT"), "http://localhost:4318"),
    "headers": ((_OTLP + "TRACES_HEADERS", _OTLP + "HEADERS"), "{}"),
    "timeout_s": ((_OTLP + "TRACES_TIMEOUT", _OTLP + "TIMEOUT"), "10"),
    "compression": ((_OTLP + "TRACES_COMPRESSION", _OTLP + "COMPRESSION"), "none"),
    "certificate": ((_OTLP + "TRACES_CERTIFICATE", _OTLP + "CERTIFICATE"), "null"),
    "client_certificate": (
        (_OTLP + "TRACES_CLIENT_CERTIFICATE", _OTLP + "CLIENT_CERTIFICATE"),
        "null",
    ),
    "client_key": ((_OTLP + "TRACES_CLIENT_KEY", _OTLP + "CLIENT_KEY"), "null"),
    "service_name": (("OTEL_SERVICE_NAME",), "sipproxy"),
    "sample_ratio": (("OTEL_TRACES_SAMPLER",), "1.0"),
}
_GRPC_ENDPOINT = "http://localhost:4317"
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z][\w./:;=*+-]*(?<!:)", re.ASCII)
_HIDDEN = '"***"'  # shorter than a key may be, so that a printed file is never taken for a working one


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes settings as YAML, with the source behind each value."""

    place: Callable[[Path], str | None]  # where the file says so, if it does
    environment: Mapping[str, str]

    def rows(self, value: object, section: type, path: Path = (), indent: str = "") -> Iterator[str]:
        """The lines of one section."""
        for setting in settings_of(section).values():
            inner, here, head = getattr(value, setting.name), (*path, setting.key), f"{indent}{setting.key}:"
            if setting.section is None:
                text, origin = self._leaf(value, setting, here)
                yield f"{head} {text}".ljust(56) + f"  # {origin}"
            elif setting.shape is Shape.ONE and inner is None:
                yield f"{head} null".ljust(56) + f"  # {self.place(here) or 'default'}"
            elif setting.shape is Shape.ONE:
                yield head
                yield from self.rows(inner, setting.section, here, indent + "  ")
            elif not inner:
                yield f"{head} {'{}' if setting.shape is Shape.MAP else '[]'}"
            elif setting.shape is Shape.MAP:
                yield head
                for name, item in inner.items():
                    yield f"{indent}  {name}:"
                    yield from self.rows(item, setting.section, (*here, name), indent + "    ")
            else:
                yield head
                for index, item in enumerate(inner):
                    first, *others = self.rows(item, setting.section, (*here, index), indent + "    ")
                    yield f"{indent}  - {first.lstrip()}"
                    yield from others

    def _leaf(self, section: object, setting: Setting, path: Path) -> tuple[str, str]:
        value, origin = getattr(section, setting.name), self.place(path) or "default"
        if path[:-1] != ("tracing",) or setting.key not in _ENVIRONMENT:
            return plain(value, setting.secret), origin
        variable = self._variable(setting.key)
        if value not in (None, {}):
            return plain(value, setting.secret), origin + (f", before {variable}" if variable else "")
        if variable is not None:
            text = re.sub("//[^@/]*@", "//", self.environment[variable])
            number = setting.key in ("timeout_s", "sample_ratio") and _NUMBER.fullmatch(text)
            return text if number else plain(text, setting.secret), variable
        if setting.key == "endpoint" and self._is_grpc(section):
            return _GRPC_ENDPOINT, "default"
        return _ENVIRONMENT[setting.key][1], "default"

    def _variable(self, key: str) -> str | None:
        names = _ENVIRONMENT[key][0]
        if key == "sample_ratio" and self.environment.get(names[0], "").endswith("traceidratio"):
            names = (names[0] + "_ARG",)  # the other samplers have no ratio
        return next((name for name in names if self.environment.get(name)), None)

    def _is_grpc(self, tracing: object) -> bool:
        variable = self._variable("protocol")
        return (getattr(tracing, "protocol", None) or (variable and self.environment[variable])) == "grpc"


def plain(value: object, secret: bool = False) -> str:
    """A value as one line of YAML."""
    if isinstance(value, tuple):
        return f"[{', '.join(plain(item, secret) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{plain(key)}: {plain(item, secret)}' for key, item in value.items())}}}"
    if value is not None and secret:
        return _HIDDEN
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str) and value not in ("true", "false", "null") and _PLAIN.fullmatch(value):
        return str(value)
    return json.dumps(value, ensure_ascii=False)
