"""Every test of the listener runs on uvloop and on plain asyncio."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from tests.unit.admin.support import Run, World


@pytest.fixture(params=[uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    runner: Run = request.param
    return runner


@pytest.fixture
def world() -> World:
    return World()
