"""YAML files in and out, for scenarios and for the proxy's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


def read(path: Path) -> Any:
    """The file's content."""
    return yaml.safe_load(path.read_text("utf-8"))


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Put it there, in the order of its keys."""
    path.write_text(yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True), "utf-8")
