"""What the admin listener is fed from: the observer wires it, tests stand in for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any

from ..store.live import LiveCalls
from ..telemetry.logs import Log
from .readers import Readers


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What is known of the process that carries the calls."""

    age_s: float | None = None  # since its last state frame; None: none has come yet
    listening: bool = False
    draining: bool = False
    degraded: tuple[str, ...] = ()  # what does not work, and costs no call: a collector, the disk


@dataclass(frozen=True, slots=True)
class Sources:
    """All but `metrics` are asked on the observer's loop, and answer at once."""

    live: Callable[[], LiveCalls]
    readers: Readers
    keys: Callable[[str], int]  # CallKeys of the store's key: a raw Call-ID to its hash
    matrix: Callable[[], Mapping[str, Any]]  # the body of /api/propagation
    metrics: Callable[[str], tuple[bytes, str]]  # the Accept header to body and content type; in any thread
    state: Callable[[], WorkerState]
    command: Callable[[dict[str, object]], bool]  # hand it to the worker; False: there is none
    page: Traversable  # the folder of the page
    log: Log
