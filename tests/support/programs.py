"""Foreign programs: without one its stories are skipped, with the reason; with CI=true that is an error."""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import NoReturn

import pytest

# Debian keeps servers in /usr/sbin, which is in few users' PATH.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


def require(program: str, package: str) -> str:
    """Where it is."""
    found = shutil.which(program, path=_PATH)
    if found is None:
        missing(f"no {program} on this machine (Debian: apt-get install {package})")
    return found


def require_package(name: str) -> None:
    """A Python package that only a process of its own can import."""
    if importlib.util.find_spec(name) is None:
        missing(f"no {name} in this environment (pip install '.[dev]')")


def missing(what: str) -> NoReturn:
    """Leave the story, as something that it needs is not here."""
    if os.environ.get("CI") == "true":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)
