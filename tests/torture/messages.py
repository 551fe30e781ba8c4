"""The torture messages of RFC 4475 and RFC 5118, where the folder that holds them is at hand.

It stands beside the repository, and is not part of it; `own.py` holds messages of the same kinds that are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sipproxy.sip.flow import TCP, UDP
from tests.support.yamlfile import read

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no torture messages: {SHARED} is absent")


@dataclass(frozen=True, slots=True)
class Torture:
    """One message, and what the proxy may do with it: forward, forward-repaired, a status, drop."""

    name: str
    data: bytes
    transport: str
    outcomes: tuple[str, ...]
    valid: bool

    def __str__(self) -> str:
        return self.name


def load(rfc: str) -> list[Torture]:
    """The messages of one RFC; none where the folder is absent."""
    folder = SHARED / rfc
    if not folder.is_dir():
        return []
    return [_message(folder, row) for row in read(folder / "index.yaml")["messages"]]


def _message(folder: Path, row: dict[str, Any]) -> Torture:
    stream = row.get("via_transport") in ("TCP", "TLS")
    return Torture(
        row["name"],
        (folder / (row.get("file") or row["wire"])).read_bytes(),
        TCP if stream else UDP,
        tuple(str(outcome) for outcome in row["b2bua_outcomes"]),
        row["valid"],
    )
