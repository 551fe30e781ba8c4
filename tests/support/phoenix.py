"""Arize Phoenix, an OTLP back end that others wrote, on ports and in a folder of its own, and its API."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from .ports import free_port

HOST = "127.0.0.1"
_PATIENCE_S = 90.0
_SPANS_AT_ONCE = 1000
# Its gRPC server would listen on every address of the machine, and has no setting for that.
_LAUNCHER = """
import runpy, sys
import grpc.aio
make = grpc.aio.server
def server(*arguments, **more):
    made = make(*arguments, **more)
    add = made.add_insecure_port
    made.add_insecure_port = lambda address: add(address.replace("[::]", "127.0.0.1"))
    return made
grpc.aio.server = server
sys.argv = ["phoenix", "serve"]
runpy.run_module("phoenix.server.main", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True, slots=True)
class PhoenixSpan:
    """As its API shows it."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    status: str
    attributes: dict[str, Any]
    events: list[str]


class Phoenix:
    """One server. `http` and `grpc` are where it takes OTLP."""

    def __init__(self, python: Path, folder: Path) -> None:
        ports = free_port(HOST), free_port(HOST)
        self.http, self.grpc = (f"http://{HOST}:{port}" for port in ports)
        clean = {n: v for n, v in os.environ.items() if not n.startswith(("OTEL_", "PHOENIX_", "PYTHON"))}
        settings = {
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_HOST": HOST,
            "PHOENIX_PORT": str(ports[0]),
            "PHOENIX_GRPC_PORT": str(ports[1]),
            "PHOENIX_TELEMETRY_ENABLED": "false",
            "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        }
        self._log = (folder / "phoenix.log").open("wb")
        self._process = subprocess.Popen(
            [python, "-c", _LAUNCHER],
            cwd=folder,
            env=clean | settings,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def wait_until_ready(self) -> None:
        """Return once it answers."""
        self.until("Phoenix answers", lambda: self._get("/healthz") is not None)

    def spans(self) -> dict[str, PhoenixSpan]:
        """All that it has, by span id."""
        found: dict[str, PhoenixSpan] = {}
        cursor = ""
        while True:
            page = json.loads(self._get(f"/v1/projects/default/spans?limit={_SPANS_AT_ONCE}{cursor}"))
            found |= {span.span_id: span for span in map(_span, page["data"])}
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    def until(self, what: str, seen: Callable[[], bool]) -> None:
        """Ask again and again, until it is so."""
        give_up_at = time.monotonic() + _PATIENCE_S
        while time.monotonic() < give_up_at:
            assert self._process.poll() is None, f"Phoenix has ended:\n{self._written()}"
            try:
                if seen():
                    return
            except (URLError, ConnectionError):  # it is just starting
                pass
            time.sleep(0.1)
        raise AssertionError(f"not within {_PATIENCE_S:.0f} s: {what}\n{self._written()}")

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(15.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _get(self, path: str) -> bytes:
        with urlopen(self.http + path, timeout=30.0) as response:
            answer: bytes = response.read()
        return answer

    def _written(self) -> str:
        return Path(self._log.name).read_text(errors="replace")[-4000:]


def _span(found: dict[str, Any]) -> PhoenixSpan:
    return PhoenixSpan(
        found["name"],
        found["context"]["trace_id"],
        found["context"]["span_id"],
        found["parent_id"] or "",
        found["status_code"],
        found["attributes"],
        [event["name"] for event in found["events"]],
    )


@contextmanager
def phoenix(python: Path, folder: Path) -> Iterator[Phoenix]:
    """One that is ended whatever happens."""
    running = Phoenix(python, folder)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.close()
