"""Every story ends with nothing left over: `lab`, and each lab of `make_lab`, checks that by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .lab import Lab


@pytest.fixture
def make_lab(request: pytest.FixtureRequest) -> Iterator[Callable[..., Lab]]:
    labs: list[Lab] = []

    def make(**settings: Any) -> Lab:
        labs.append(Lab(**settings))
        return labs[-1]

    failed = request.session.testsfailed
    yield make
    if request.session.testsfailed == failed:  # a story that failed has said enough
        for lab in labs:
            lab.finish()


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab()
