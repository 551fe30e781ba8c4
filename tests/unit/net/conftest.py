"""Every test of the network edge runs on uvloop, which is what the proxy uses, and on plain asyncio."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from tests.unit.net.support import Run


@pytest.fixture(params=[uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    runner: Run = request.param
    return runner
