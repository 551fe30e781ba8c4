"""What the stories share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.otlp import HttpReceiver, Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Where the proxies of one story send their spans."""
    with HttpReceiver() as receiver:
        yield receiver
