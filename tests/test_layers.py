"""Imports point only to the left, the core touches nothing outside itself, foreign packages have one door.

errors < sip < propagation < b2bua < telemetry < store < net < admin < config < app
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "sipproxy"

LAYERS = ("errors", "sip", "propagation", "b2bua", "telemetry", "store", "net", "admin", "config", "app")
SAME_LAYER = {
    "settings_index": "config",
    "settings_forms": "config",
    "settings_across": "config",
    "__main__": "app",
    "serve": "app",
    "demo": "app",
    "supervise": "app",
    "telling": "app",
    "observer": "app",
    "cli": "app",
    "probe": "app",
    "notify": "app",
}
CORE = ("sip", "propagation", "b2bua")
UNKNOWN_TO_THE_CORE = {"asyncio", "time", "random", "socket", "logging", "os", "secrets", "threading"}

# Each third-party package is imported by one module. Where it is more, the reason stands beside it.
DELIBERATE: dict[str, set[str]] = {
    "opentelemetry": {"telemetry"},  # the layer that is there for it: its modules each use another part
    "aiohttp": {"net", "admin"},  # its client asks the routing webhook, its server has the page
}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"), path


MODULES = dict(modules())


def imports(module: str, source: str, *, is_package: bool) -> set[str]:
    """The absolute names that a module imports, also for type checking alone and inside functions."""
    found: set[str] = set()
    here = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            found.update(f"{start}.{alias.name}" for alias in node.names)
    return found


def imports_of(module: str) -> set[str]:
    path = MODULES[module]
    return imports(module, path.read_text(), is_package=path.name == "__init__.py")


def layer(module: str) -> str:
    """The layer of a module or name below `sipproxy`; "" is the package itself."""
    first = [*module.split("."), ""][1]
    return SAME_LAYER.get(first, first)


def third_party(module: str) -> set[str]:
    first = {name.partition(".")[0] for name in imports_of(module)}
    return first - sys.stdlib_module_names - {"sipproxy"}


@pytest.mark.parametrize("module", MODULES)
def test_every_module_stands_in_a_layer(module: str) -> None:
    assert module == "sipproxy" or layer(module) in LAYERS, "give it a place in LAYERS or SAME_LAYER"


@pytest.mark.parametrize("module", [m for m in MODULES if m != "sipproxy"])
def test_imports_point_to_the_left(module: str) -> None:
    inside = {name for name in imports_of(module) if name.split(".")[0] == "sipproxy"}
    right = LAYERS[LAYERS.index(layer(module)) + 1 :]
    assert not {name for name in inside if layer(name) in right}


def test_the_package_itself_imports_nothing() -> None:
    assert {name for name in imports_of("sipproxy") if not name.startswith("__future__")} == set()


@pytest.mark.parametrize("module", [m for m in MODULES if layer(m) in (*CORE, "errors")])
def test_the_core_knows_no_clock_no_chance_and_no_io(module: str) -> None:
    first = {name.partition(".")[0] for name in imports_of(module)}
    assert not first & UNKNOWN_TO_THE_CORE
    assert not third_party(module), "the core needs the standard library alone"


def test_each_third_party_package_has_one_door() -> None:
    importers: dict[str, set[str]] = defaultdict(set)
    for module in MODULES:
        for package in third_party(module):
            importers[package].add(module)
    shared = {
        package: users
        for package, users in importers.items()
        if len(users) > 1 and not {layer(user) for user in users} <= DELIBERATE.get(package, set())
    }
    assert not shared


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("import asyncio.events", "asyncio.events"),
        ("from time import monotonic", "time.monotonic"),
        ("from . import leg", "sipproxy.b2bua.leg"),
        ("from .leg import Leg", "sipproxy.b2bua.leg.Leg"),
        ("from ..sip.message import Request", "sipproxy.sip.message.Request"),
        ("from .. import errors", "sipproxy.errors"),
        ("def f():\n    import os", "os"),
    ],
)
def test_the_reader_of_imports_sees(statement: str, name: str) -> None:
    assert imports("sipproxy.b2bua.call", statement, is_package=False) == {name}
