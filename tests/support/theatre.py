"""Performs scenarios, several at the same time, each with a proxy and a receiver of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from .otlp import GrpcReceiver, HttpReceiver
from .stage import Performance, Stage
from .story import Story

_AT_A_TIME = 2 * (os.cpu_count() or 1)  # they wait more than they work


class Theatre:
    """Performs ahead of the tests that look at what came of it."""

    def __init__(self, stories: Sequence[Story], folder: Path) -> None:
        self._pool = ThreadPoolExecutor(_AT_A_TIME)
        self._performances: dict[str, Future[Performance]] = {}
        for number, story in enumerate(stories):
            own = folder / f"{number:03}"
            self._performances[story.name] = self._pool.submit(_perform, story, number, own)

    def performance(self, story: Story) -> Performance:
        """What came of it; waits until it is over."""
        return self._performances[story.name].result()

    def performances(self) -> dict[str, Performance]:
        """All of them, by name."""
        return {name: future.result() for name, future in self._performances.items()}

    def close(self) -> None:
        """Begin nothing more, and wait for what is on."""
        self._pool.shutdown(cancel_futures=True)


def _perform(story: Story, number: int, folder: Path) -> Performance:
    """Every other story is told over gRPC."""
    with (GrpcReceiver if number % 2 else HttpReceiver)() as receiver:
        return Stage(story, receiver, folder).perform()
