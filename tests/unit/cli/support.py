"""A proxy's API on a free port, in a thread of its own, and the commands that ask it."""

from __future__ import annotations

import argparse
import asyncio
import os
import pty
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sipproxy.admin.http import Site
from sipproxy.admin.settings import AdminSettings
from sipproxy.cli.commands import add_commands
from sipproxy.errors import ConfigurationError, SipProxyError
from sipproxy.store import StoredMessage, Story
from sipproxy.store.summary import OVER
from sipproxy.telemetry.record import SpanRecord
from tests.unit.admin.support import DEADLINE_S, World, call, opened
from tests.unit.telemetry.facts import Call
from tests.unit.telemetry.telling import WALL, Telling


class Served:
    """The API while it is there. What it is fed from may be changed with `do`."""

    def __init__(
        self, world: World, loop: asyncio.AbstractEventLoop, site: Site, ended: asyncio.Event
    ) -> None:
        self.world = world
        self.site = site
        self._loop = loop
        self._ended = ended
        self._thread = threading.current_thread()

    def stop(self) -> None:
        """It is gone when this returns."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()

    @property
    def url(self) -> str:
        return self.site.address

    def do(self, what: Callable[[], None]) -> None:
        """On the loop, and done when this returns."""
        done = threading.Event()

        def run() -> None:
            what()
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(DEADLINE_S)

    def until(self, met: Callable[[], bool]) -> None:
        """Wait for it, asked on the loop."""

        async def wait() -> None:
            async with asyncio.timeout(DEADLINE_S):
                while not met():
                    await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(wait(), self._loop).result(2 * DEADLINE_S)


@contextmanager
def served(world: World, settings: AdminSettings | None = None) -> Iterator[Served]:
    """An API to ask."""
    ready: list[Served] = []
    started = threading.Event()

    async def serve() -> None:
        ended = asyncio.Event()
        async with opened(world, settings) as site:
            ready.append(Served(world, asyncio.get_running_loop(), site, ended))
            started.set()
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(DEADLINE_S)
    try:
        yield ready[0]
    finally:
        ready[0].stop()


def parser() -> argparse.ArgumentParser:
    """The command line with these commands alone, as app.py makes it."""
    top = argparse.ArgumentParser(prog="sipproxy")
    commands = top.add_subparsers(required=True)

    def add(name: str, run: object, text: str, example: str, /) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, epilog=f"example: {example}")
        command.set_defaults(run=run)
        command.add_argument("-c", "--config")
        return command

    add_commands(add)
    return top


def run(*arguments: str) -> int:
    """The exit code; errors are told as app.py tells them."""
    try:
        options = parser().parse_args(arguments)
        return int(options.run(options))
    except ConfigurationError as error:
        print(*error.faults, sep="\n", file=sys.stderr)
        return 2
    except SipProxyError as error:
        print(f"sipproxy: {error}", file=sys.stderr)
        return 1
    except SystemExit as left:
        return int(left.code or 0)


@contextmanager
def on_a_terminal(columns: int = 80, lines: int = 24) -> Iterator[list[str]]:
    """Standard output is a terminal meanwhile; what is drawn on it is put into the list."""
    here, there = pty.openpty()
    drawn: list[str] = []

    def read() -> None:
        try:
            while data := os.read(here, 65536):
                drawn.append(data.decode("utf-8", "replace"))
        except OSError:  # the other end has been closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    with pytest.MonkeyPatch.context() as patch, open(there, "w", encoding="utf-8") as file:
        for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            patch.delenv(name, raising=False)
        patch.setenv("TERM", "xterm-256color")
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("LINES", str(lines))
        patch.setattr(sys, "stdout", file)
        yield drawn
    reader.join(DEADLINE_S)
    os.close(here)


# A call to look at

IN, OUT = 11, 12


def spans() -> list[SpanRecord]:
    tell = Telling()
    records = tell.all(Call(parent=None, carrier="none", decision="new", interaction_id="INT-1").basic())
    keys = {"caller": IN, "callee": OUT}
    return [span._replace(call_key=keys.get(str(span.attributes.get("sip.leg")), 0)) for span in records]


def message(
    n: int, at_ms: float, *, sent: bool, key: int, start: str, method: str = "INVITE"
) -> StoredMessage:
    peer = "192.0.2.1:5070" if key == IN else "192.0.2.9:5060"
    status = int(start[:3]) if start[0].isdigit() else 0
    body = "\r\n\r\n[body: 132 bytes, application/sdp]" if start in ("INVITE", "200 OK") else ""
    at_ns = WALL * 10**9 + round(at_ms * 1e6)
    text = f"{start}\r\nCSeq: 1 {method}{body}"
    ours = "127.0.0.1:5060"
    return StoredMessage(
        n, at_ns, sent, "UDP", peer, ours, start, method, 1, status, "c", text, 1, "r", call_key=key
    )


def messages() -> list[StoredMessage]:
    return [
        message(1, 0, sent=False, key=IN, start="INVITE"),
        message(2, 0.3, sent=True, key=IN, start="100 Trying"),
        message(3, 0.4, sent=True, key=OUT, start="INVITE"),
        message(4, 500.4, sent=True, key=OUT, start="INVITE"),
        message(5, 2000, sent=False, key=OUT, start="200 OK"),
        message(6, 2000.4, sent=True, key=IN, start="200 OK"),
        message(7, 10_000, sent=False, key=IN, start="BYE", method="BYE"),
    ]


def a_story() -> Story:
    records = spans()
    summary = call(1, state=OVER, outcome="answered", status=200, setup_ms=2000, talk_ms=8000, sampled=True)
    return Story([summary], [records[0].trace_id], records, messages())


def config(folder: Path, text: str) -> str:
    file = folder / "sipproxy.yaml"
    file.write_text(text)
    return str(file)
