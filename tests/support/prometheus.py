"""Debian's Prometheus on a port and a folder of its own, and its HTTP API."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from .ports import free_port

PROGRAM, TOOL = "prometheus", "promtool"
HOST = "127.0.0.1"
PATIENCE_S = 30.0
_CONFIG = """\
global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}
scrape_configs:
  - job_name: sipproxy
    static_configs: [{{targets: ["{target}"]}}]
"""


class Prometheus:
    """It reads `http://TARGET/metrics` four times a second."""

    def __init__(self, folder: Path, target: str) -> None:
        self._start(folder, free_port(HOST), _CONFIG.format(target=target))

    def _start(self, folder: Path, port: int, text: str) -> None:
        """On a configuration, with all that it makes in the folder."""
        self._api = f"http://{HOST}:{port}"
        config = folder / "prometheus.yml"
        config.write_text(text)
        self._log = (folder / "prometheus.log").open("wb")
        self._process = subprocess.Popen(
            [
                PROGRAM,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={HOST}:{port}",
                "--enable-feature=exemplar-storage",
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def until(self, what: str, seen: Callable[[], bool]) -> None:
        """Ask again and again, until it is so."""
        give_up_at = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up_at:
            assert self._process.poll() is None, f"Prometheus has ended: {Path(self._log.name).read_text()}"
            try:
                if seen():
                    return
            except (URLError, ConnectionError):  # it is just starting
                pass
            time.sleep(0.05)
        raise AssertionError(f"not within {PATIENCE_S:.0f} s: {what}")

    def query(self, promql: str) -> dict[tuple[tuple[str, str], ...], float]:
        """An instant query: values by labels, without those that say where it was scraped."""
        found: dict[tuple[tuple[str, str], ...], float] = {}
        for series in self.ask("query", query=promql)["result"]:
            labels = {
                name: text for name, text in series["metric"].items() if name not in ("job", "instance")
            }
            found[tuple(sorted(labels.items()))] = float(series["value"][1])
        return found

    def value(self, promql: str) -> float | None:
        """What has but one value."""
        found = [*self.query(promql).values()]
        assert len(found) <= 1, found
        return found[0] if found else None

    def exemplars(self, selector: str, *, start: float, end: float) -> list[dict[str, Any]]:
        """All of the series that it selects."""
        series = self.ask("query_exemplars", query=selector, start=f"{start:.3f}", end=f"{end:.3f}")
        return [{**mark, "series": one["seriesLabels"]} for one in series for mark in one["exemplars"]]

    def ask(self, what: str, **parameters: str) -> Any:
        """A call of its HTTP API, as Grafana makes them."""
        with urlopen(f"{self._api}/api/v1/{what}?{urlencode(parameters)}", timeout=5.0) as response:
            answer = json.load(response)
        assert answer["status"] == "success", answer
        return answer["data"]


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """One that is ended whatever happens."""
    running = Prometheus(folder, target)
    try:
        yield running
    finally:
        running.close()


def check_metrics(text: bytes) -> str:
    """What promtool has to say against a page of metrics; nothing if it is right."""
    done = subprocess.run(
        [TOOL, "check", "metrics"], input=text, capture_output=True, timeout=30, check=False
    )
    return (done.stdout + done.stderr).decode() or (
        "" if done.returncode == 0 else f"exit code {done.returncode}"
    )
