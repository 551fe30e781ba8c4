"""JSON log lines on stderr, by structlog: one event, its facts, and where there is one the call it belongs
to.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog


class Log(Protocol):
    """What the shell writes to."""

    def info(self, event: str, **facts: object) -> object: ...

    def warning(self, event: str, **facts: object) -> object: ...

    def error(self, event: str, **facts: object) -> object: ...


def open_log(
    mask: Callable[[str], str], level: str = "info", *, mask_id: Callable[[str], str] | None = None
) -> Log:
    """The process's log. `mask` takes phone numbers out of every text, `mask_id` out of Call-IDs."""
    masks = {"call_id": mask_id or mask, "trace_id": _as_it_is, "span_id": _as_it_is}

    def masked(_logger: object, _method: str, event: Mapping[str, object]) -> Mapping[str, object]:
        return {
            name: masks.get(name, mask)(value) if isinstance(value, str) else value
            for name, value in event.items()
        }

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            masked,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    log: Log = structlog.get_logger()
    return log


def _as_it_is(text: str) -> str:
    """Hex digits, some of which would look like a phone number."""
    return text
