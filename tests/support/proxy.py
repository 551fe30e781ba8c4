"""The proxy as the process that operators run: `python -m sipproxy run -c FILE`.

    with Proxy({"listen": ["udp:127.0.0.1:0"]}, tmp_path) as proxy:
        ... proxy.address("udp") ...

Leaving sends SIGTERM, and demands a clean end.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from . import yamlfile

ROOT = Path(__file__).resolve().parents[2]
READY = "listening on "
PAGE = "page at "
_START_S = 20.0
_STOP_S = 15.0
_UNCLEAN = re.compile(r"Traceback \(most recent|Exception ignored|never retrieved|never awaited|Warning:")


class ProxyError(AssertionError):
    """The proxy did not start, or did not end as it should."""


class Proxy:
    """One proxy process."""

    def __init__(
        self, config: Mapping[str, Any], folder: Path, *, environment: Mapping[str, str] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.config_file = folder / "sipproxy.yaml"
        # Several proxies run beside each other: each has a store and a port of its own.
        own = {"admin": {"listen": "127.0.0.1:0"}, "store": {"path": str(folder / "store")}}
        yamlfile.write(self.config_file, {**own, **config})
        self.stdout: list[str] = []
        self.log: list[str] = []  # stderr: JSON lines
        self._written = threading.Condition()
        self._streams_open = 2
        clean = {name: value for name, value in [*os.environ.items()] if not name.startswith("OTEL_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sipproxy", "run", "-c", str(self.config_file)],
            cwd=ROOT,
            env={**clean, "PYTHONUNBUFFERED": "1", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            for stream, lines in ((self._process.stdout, self.stdout), (self._process.stderr, self.log))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def output(self) -> str:
        """All that it wrote, for searching and for the message of a failed test."""
        return "\n".join([*self.stdout, *self.log])

    def wait_until_ready(self) -> None:
        """Return once it has said where it listens."""
        with self._written:
            self._written.wait_for(lambda: self._ready_line() is not None or not self._streams_open, _START_S)
        if self._ready_line() is None:
            self._kill()
            raise ProxyError(f"the proxy is not ready, exit code {self._process.returncode}:\n{self.output}")

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def address(self, transport: str) -> str:
        """host:port of its first listener of that transport, as the ready line names it."""
        line = self._ready_line() or ""
        for word in line.removeprefix(READY).replace(",", " ").split():
            if word.startswith(f"{transport}:"):
                return word.removeprefix(f"{transport}:")
        raise ProxyError(f"no {transport} listener in {line!r}")

    def page(self) -> str:
        """The URL of its page, once the observer has it; an error when that takes too long."""
        with self._written:
            self._written.wait_for(lambda: self._line(PAGE) is not None or not self._streams_open, _START_S)
        line = self._line(PAGE)
        if line is None:
            raise ProxyError(f"the proxy has no page:\n{self.output}")
        return line.removeprefix(PAGE)

    def terminate(self) -> None:
        """SIGTERM: it drains."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s: float = _STOP_S) -> int:
        """Its exit code; an error when it goes on and on."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._kill()
            raise ProxyError(f"the proxy went on for {timeout_s} s after SIGTERM:\n{self.output}") from None
        for reader in self._readers:
            reader.join()
        return code

    def stop(self) -> None:
        """SIGTERM, and the end must be clean: exit code 0, nothing unhandled in the output."""
        if self._process.poll() is None:
            self.terminate()
        code = self.wait()
        unclean = _UNCLEAN.search(self.output)
        if code != 0 or unclean:
            what = f" and {unclean[0]!r}" if unclean else ""
            raise ProxyError(f"the proxy ended with {code}{what}:\n{self.output}")

    def _ready_line(self) -> str | None:
        return self._line(READY)

    def _line(self, beginning: str) -> str | None:
        return next((line for line in self.stdout if line.startswith(beginning)), None)

    def _kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()

    def _read(self, stream: IO[str], lines: list[str]) -> None:
        with stream:
            for line in stream:
                with self._written:
                    lines.append(line.rstrip("\n"))
                    self._written.notify_all()
        with self._written:
            self._streams_open -= 1
            self._written.notify_all()

    def __enter__(self) -> Self:
        self.wait_until_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.stop()
        else:
            self._kill()
