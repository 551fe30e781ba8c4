"""What docker-compose.yml would start, started without Docker: a call is transferred, and its trace arrives.

Configuration, scripts, scenarios, health checks, names and addresses are those of the file. Only the images
are not, and in the collector's place stands a receiver of ours.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import yamlfile
from tests.support.spans import Span, roots
from tools import dockerfile_lint

from .compose_town import ROOT, Collector, Town

START_S = 20.0
CALL_S = 30.0
STOP_S = 50.0  # stop_grace_period
SPANS = 13  # of two calls, and the transfer that joins them
TRANSFERRED = re.compile(r'^sip_transfers_total\{[^}]*outcome="completed"[^}]*\} 1(\.0)?$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Evening:
    """One call: what the caller said, the spans of its trace, and the proxy's figures."""

    said: str
    spans: list[Span]
    figures: str


def image_health_check() -> list[str]:
    """Of our image, with the address that its ENV has."""
    image = dict[str, str]()
    for _, word, rest in dockerfile_lint.instructions((ROOT / "Dockerfile").read_text()):
        image[word] = rest
    [address] = re.findall(r"SIPPROXY_HEALTH=(\S+)", image["ENV"])
    return ["CMD", "env", f"SIPPROXY_HEALTH={address}", *json.loads(image["HEALTHCHECK"].partition("CMD")[2])]


def until_said(process: subprocess.Popen[str], beginning: str) -> None:
    """Return at the first line that begins so."""
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if line.startswith(beginning):
            return
    raise AssertionError(f"it ended without {beginning!r}:\n{''.join(said)}")


def until_healthy(town: Town, service: str, test: list[str], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + START_S
    while not town.is_healthy(service, test):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, f"{service} is not healthy"


def scraped(town: Town) -> str:
    """What Prometheus gets, where it is, with what it has."""
    [job, *_] = yamlfile.read(ROOT / "config/demo/prometheus.yml")["scrape_configs"]
    [target] = job["static_configs"][0]["targets"]
    url = f"http://{target.replace('sipproxy', town.addresses['sipproxy'])}{job['metrics_path']}"
    asked = urllib.request.Request(
        url, headers={"Authorization": f"Bearer {job['authorization']['credentials']}"}
    )
    with town.inside("prometheus"), urllib.request.urlopen(asked, timeout=10) as answer:
        return str(answer.read().decode())


def until_scraped(town: Town, proxy: subprocess.Popen[str]) -> str:
    """The figures, once they have the transfer; they are told anew each second."""
    deadline = time.monotonic() + START_S
    while not TRANSFERRED.search(figures := scraped(town)):
        assert time.monotonic() < deadline, figures
        with suppress(subprocess.TimeoutExpired):
            proxy.wait(0.1)
    return figures


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    with Town(tmp_path_factory.mktemp("town")) as town:
        with town.inside("otel-collector"):
            collector = Collector(town.addresses["otel-collector"], 4318)
        with collector:
            file = town.mounted("sipproxy", "/etc/sipproxy/sipproxy.yaml")
            proxy = town.start("sipproxy", [sys.executable, "-m", "sipproxy", "run", "-c", file])
            until_said(proxy, "page at ")
            until_healthy(town, "sipproxy", image_health_check(), proxy)
            agents = town.start("agents", script(town, "agents"), nobody=True)
            until_healthy(town, "agents", town.services["agents"]["healthcheck"]["test"], agents)
            caller = town.start("caller", script(town, "caller"), environment={"CALLS": "1"}, nobody=True)
            said, _ = caller.communicate(timeout=CALL_S)
            assert caller.returncode == 0, said
            trace = said.strip().rpartition("/")[2]
            try:
                spans = collector.wait_for(lambda all_: len(of(trace, all_)) >= SPANS)
                figures = until_scraped(town, proxy)
            finally:
                proxy.terminate()
                told, _ = proxy.communicate(timeout=STOP_S)
                print(told)  # shown where something failed
            assert proxy.returncode == 0, told
        yield Evening(said, of(trace, spans), figures)


def of(trace: str, spans: Sequence[Span]) -> list[Span]:
    return [span for span in spans if span.trace_id == trace]


def script(town: Town, service: str) -> list[str]:
    """Its command, whose file the image has a copy of."""
    [command] = town.services[service]["command"]
    return [str(ROOT / "config/demo" / Path(command).name)]


def test_the_caller_is_transferred(evening: Evening) -> None:
    pattern = r"call 1 was transferred: http://127\.0\.0\.1:16686/trace/[0-9a-f]{32}\n"
    assert re.fullmatch(pattern, evening.said)


def test_its_trace_reaches_the_collector_whole(evening: Evening) -> None:
    call = [
        "INVITE server",
        "route internal",
        "dns internal",
        "INVITE client",
        "dialog server",
        "dialog client",
    ]
    assert sorted(span.title for span in evening.spans) == sorted([*call, *call, "transfer internal"])
    [transfer] = [span for span in evening.spans if span.name == "transfer"]
    assert transfer.attributes["sip.transfer.outcome"] == "completed"
    assert {span.attributes.get("sip.trunk") for span in evening.spans} == {"caller", "agent", "colleague"}
    assert len(roots(evening.spans)) == 1


def test_prometheus_sees_the_transfer(evening: Evening) -> None:
    assert TRANSFERRED.search(evening.figures)
