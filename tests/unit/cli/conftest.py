"""No environment of the developer's gets in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.admin.support import World


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SIPPROXY_TOKEN", "STATE_DIRECTORY", "COLUMNS", "FORCE_COLOR", "NO_COLOR", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # it must not be asked about loopback


@pytest.fixture
def world() -> World:
    return World()
