"""What `sipproxy trace`, `calls`, `replay`, `drain` and `log-level` take, and which module does it.

The modules are imported when their command runs: the proxy itself needs none of them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Protocol

from ..config import Settings, load
from ..errors import ConfigurationError
from ..telemetry.logs import LEVELS

GOOD, FAILED = 0, 1


class Add(Protocol):
    """Makes the parser of a command, with `-c FILE`."""

    def __call__(self, name: str, run: object, text: str, example: str, /) -> argparse.ArgumentParser: ...


def add_commands(add: Add) -> None:
    """Add them to the command line."""
    trace = add("trace", _trace, "Show one call: its spans, its messages.", "sipproxy trace 4f2a@192.0.2.1")
    trace.add_argument("id", metavar="ID", help="Call-ID, trace-id, interaction id, or the id of the call")
    _url(trace)
    _json(trace)
    calls = add("calls", _calls, "Show the live calls.", "sipproxy calls --follow")
    calls.add_argument("--follow", action="store_true", help="go on, and show what changes")
    _url(calls)
    _json(calls)
    replay = add(
        "replay",
        _replay,
        "Send stored spans to the collectors once more.",
        "sipproxy replay --since 2h --to main",
    )
    replay.add_argument("--since", required=True, metavar="TIME", help="15m, 2h, 3d (ago), or ISO 8601")
    replay.add_argument("--until", metavar="TIME", help="the same; none: until now")
    replay.add_argument("--to", metavar="NAME", help="one destination; none: all")
    drain = add("drain", _drain, "Take no new calls, end when the last has ended.", "sipproxy drain")
    _url(drain)
    level = add("log-level", _log_level, "Change how much is logged.", "sipproxy log-level debug")
    level.add_argument("level", choices=LEVELS, help="from now on")
    _url(level)


def _url(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url", metavar="URL", help="where the proxy's API is; none: admin.listen of the file"
    )


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for other programs")


def _quietly(do: Callable[[], int | None]) -> int:
    """Whoever reads us may go at any time, as `head` does."""
    from .terminal import flush, give_up_output

    try:
        code = do()
        flush()
    except BrokenPipeError:
        give_up_output()
        return FAILED
    return code or GOOD


def _settings(options: argparse.Namespace) -> Settings:
    return load(options.config)


def _trace(options: argparse.Namespace) -> int:
    from .client import understood
    from .trace import trace

    settings = _settings(options)
    with understood(options.url or str(settings.admin.listen)):
        return _quietly(lambda: trace(options.id, settings, url=options.url, as_json=options.json))


def _calls(options: argparse.Namespace) -> int:
    from .calls import calls
    from .client import understood

    settings = _settings(options)
    with understood(options.url or str(settings.admin.listen)):
        return _quietly(lambda: calls(settings, url=options.url, follow=options.follow, as_json=options.json))


def _replay(options: argparse.Namespace) -> int:
    from ..admin.query import moment
    from .replay import replay

    settings, now_ns = _settings(options), time.time_ns()
    moments: dict[str, int] = {}
    for name in ("since", "until"):
        text = getattr(options, name)
        try:
            moments[name] = now_ns if text is None else moment(text, now_ns)
        except ValueError as error:
            raise ConfigurationError([f"--{name}: {error}"]) from None
    if moments["until"] <= moments["since"]:
        raise ConfigurationError(["--until: not after --since"])
    return _quietly(lambda: replay(settings, moments["since"], moments["until"], options.to))


def _drain(options: argparse.Namespace) -> int:
    from .steering import drain

    settings = _settings(options)
    return _quietly(lambda: drain(settings, url=options.url))


def _log_level(options: argparse.Namespace) -> int:
    from .steering import log_level

    settings = _settings(options)
    return _quietly(lambda: log_level(options.level, settings, url=options.url))
