"""The applications of examples/ as processes of their own, and the database that they ask.

    database = Database(tmp_path / "customers.db")
    with VoiceApp("python", tmp_path, receiver.endpoint) as app:     # or "node"
        ... app.url ...

Leaving sends SIGTERM, and demands a clean end.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.npm import installed
from tests.support.programs import require
from tests.support.proxy import ROOT

EXAMPLES = ROOT / "examples"
KINDS = ("python", "node")
_START_S = 20.0
_STOP_S = 10.0


class Database:
    """The file that both applications read."""

    def __init__(self, file: Path) -> None:
        self.file = file
        with closing(sqlite3.connect(file)) as database, database:
            database.execute("CREATE TABLE customers (number TEXT PRIMARY KEY, queue TEXT, blocked INTEGER)")
            database.execute("CREATE TABLE lines (number TEXT PRIMARY KEY, trunk TEXT)")

    def add(self, customers: Iterable[tuple[str, str, int]], lines: Iterable[tuple[str, str]]) -> None:
        """Rows: number, queue, blocked; number, trunk."""
        with closing(sqlite3.connect(self.file)) as database, database:
            database.executemany("INSERT INTO customers VALUES (?, ?, ?)", customers)
            database.executemany("INSERT INTO lines VALUES (?, ?)", lines)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else can read it meanwhile."""
        with closing(sqlite3.connect(self.file, isolation_level=None)) as database:
            database.execute("BEGIN EXCLUSIVE")
            yield


class VoiceApp:
    """One running application, whose spans go to `endpoint`."""

    def __init__(
        self, kind: str, folder: Path, endpoint: str, *, timeout_ms: int = 150, export_s: float = 2.0
    ) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        own = {
            "PORT": "0",
            "DATABASE": "customers.db",
            "DATABASE_TIMEOUT_MS": str(timeout_ms),
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "50",  # ms
            # Python's SDK takes it for seconds, Node.js' for what the specification says: milliseconds.
            "OTEL_EXPORTER_OTLP_TIMEOUT": str(export_s if kind == "python" else round(export_s * 1000)),
        }
        self.kind = kind
        self._terminated = False
        self._output = folder / f"{kind}.log"
        with self._output.open("w") as log:
            self._process = subprocess.Popen(
                self._command(folder),
                cwd=folder,
                env=clean | own,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.port = self._ready()

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.port}/route"

    @property
    def log(self) -> str:
        """What it wrote to stderr."""
        return self._output.read_text()

    @property
    def is_alive(self) -> bool:
        """Whether it goes on."""
        return self._process.poll() is None

    def terminate(self) -> None:
        """SIGTERM, once: a second one ends it as it is."""
        if self.is_alive and not self._terminated:
            self._terminated = True
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> float:
        """SIGTERM, if it had none, and the end must be clean; how many seconds it took."""
        began = time.monotonic()
        self.terminate()
        try:
            code = self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._kill()
            raise AssertionError(f"it went on for {_STOP_S} s after SIGTERM:\n{self.log}") from None
        assert code == 0, f"it ended with {code}:\n{self.log}"
        return time.monotonic() - began

    def _command(self, folder: Path) -> list[str]:
        if self.kind == "python":
            return [sys.executable, str(EXAMPLES / "python/main.py")]
        program = require("node", "nodejs")
        place = folder / "node"
        place.mkdir()
        for file in (EXAMPLES / "node").glob("*.js"):
            shutil.copy(file, place)  # beside its packages: examples/ stays as it is
        (place / "node_modules").symlink_to(installed(EXAMPLES / "node"), target_is_directory=True)
        return [program, "--require", str(place / "tracing.js"), str(place / "app.js")]

    def _ready(self) -> int:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], _START_S)
        line = self._process.stdout.readline() if readable else ""
        if not line.startswith("listening on "):
            self._kill()
            raise AssertionError(f"the application is not ready: {line!r}\n{self.log}")
        return int(line.split()[-1])

    def _kill(self) -> None:
        if self.is_alive:
            self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.stop()
        else:
            self._kill()
        if self._process.stdout is not None:
            self._process.stdout.close()
