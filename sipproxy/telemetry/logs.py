"""JSON log lines on stderr, by structlog: one event, its facts, and where there is one the call it belongs
to. Which lines are written can be changed at any time.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol, TextIO, cast

import structlog

LEVELS = ("debug", "info", "warning", "error")

_MOST_LINES = 1000  # that wait for whoever reads stderr


class LineWriter:
    """Takes lines, neither blocks nor raises: a thread writes them; what nobody reads is dropped."""

    def __init__(self, descriptor: int = 2) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._piece = ""  # of a line that is not whole yet
        self._lines: deque[bytes] = deque()
        self._wake = threading.Event()
        self._empty = threading.Event()
        self._empty.set()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def write(self, text: str) -> int:
        """Take a piece of text; what waits, or is dropped, are whole lines."""
        self._piece += text
        if not text.endswith("\n"):
            return len(text)
        line, self._piece = self._piece, ""
        if len(self._lines) >= _MOST_LINES:
            self.dropped += 1
        else:
            self._lines.append(line.encode("utf-8", "backslashreplace"))
            self._empty.clear()
            self._wake.set()
        return len(text)

    def flush(self) -> None:
        """Nothing to do: the thread is at it."""

    def close(self, within_s: float) -> None:
        """Wait until all is written, but not longer than that."""
        self._empty.wait(within_s)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._lines:
                data = self._lines.popleft()
                try:
                    while data:
                        data = data[os.write(self._descriptor, data) :]
                except OSError:
                    self.dropped += 1
            self._empty.set()
            if self._lines:  # one came while we said that none is left
                self._empty.clear()
                self._wake.set()


class Log(Protocol):
    """What the shell writes to."""

    def info(self, event: str, **facts: object) -> object: ...

    def warning(self, event: str, **facts: object) -> object: ...

    def error(self, event: str, **facts: object) -> object: ...


class FullLog(Log, Protocol):
    """The whole of it, for whoever tells of calls."""

    def debug(self, event: str, **facts: object) -> object: ...


def open_log(
    mask: Callable[[str], str],
    level: str = "info",
    *,
    mask_id: Callable[[str], str] | None = None,
    writer: TextIO | LineWriter | None = None,
) -> FullLog:
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
        wrapper_class=_from(level),
        logger_factory=structlog.PrintLoggerFactory(file=cast(TextIO, writer or sys.stderr)),
        cache_logger_on_first_use=False,
    )
    log: FullLog = structlog.get_logger()
    return log


def set_level(level: str) -> None:
    """From now on lines of this level and above are written, by whoever has the log. ValueError: no level."""
    structlog.configure(wrapper_class=_from(level))


def is_written(level: str) -> bool:
    """Would such a line be written? For what costs more than the line."""
    return _number(level) >= _threshold


_threshold = logging.INFO  # structlog has one configuration for the process, and does not tell it


def _from(level: str) -> type[structlog.typing.FilteringBoundLogger]:
    global _threshold
    _threshold = _number(level)
    return structlog.make_filtering_bound_logger(_threshold)


def _number(level: str) -> int:
    if level not in LEVELS:
        raise ValueError(f"{level!r} is none of {', '.join(LEVELS)}")
    return logging.getLevelNamesMapping()[level.upper()]


def _as_it_is(text: str) -> str:
    """Hex digits, some of which would look like a phone number."""
    return text
