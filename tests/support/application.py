"""The application of docs/webhook.md as a process of its own, which a test may stop, wake and kill.

with Application(tmp_path, receiver.endpoint) as app:
    ... app.url ...
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

PAGE = Path(__file__).resolve().parents[2] / "docs/webhook.md"
_START_S = 20.0
_STOP_S = 15.0


def of_the_page() -> str:
    """The program that the page shows."""
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return str(program)


class Application:
    """Its spans go to `endpoint`."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        file = folder / "application.py"
        file.write_text(of_the_page(), "utf-8")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        own = {
            "PORT": "0",
            "OTEL_SERVICE_NAME": "routing",
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "50",  # ms
        }
        self._process = subprocess.Popen(
            [sys.executable, str(file)],
            cwd=folder,
            env=clean | own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.port = self._ready()

    def _ready(self) -> int:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], _START_S)
        line = self._process.stdout.readline() if readable else ""
        if not line.startswith("listening on "):
            self._end(signal.SIGKILL)
            raise AssertionError(f"the application is not ready: {line!r}")
        return int(line.split()[-1])

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.port}/route"

    def stop(self) -> None:
        """It takes connections, but does not answer."""
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """It goes on where it was."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """It is gone, and says nothing more."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.wake()
        self._end(signal.SIGTERM)
