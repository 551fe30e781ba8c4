"""Prometheus itself reads `/metrics`, works out RFC 6076's ratios, and answers a query for exemplars.

The figures are those of calls in the lab, whose outcomes and seconds are known.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sipproxy.admin.metrics import Metrics, Parts
from tests.lab.world import World
from tests.support.prometheus import HOST, PROGRAM, TOOL, Prometheus, check_metrics, prometheus
from tests.unit.telemetry.metered import MeteredLab

if any(shutil.which(program) is None for program in (PROGRAM, TOOL)) and os.environ.get("CI") != "true":
    pytest.skip("these need Debian's Prometheus (apt install prometheus)", allow_module_level=True)

DOCS = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
PROMQL = re.findall(r"```promql\n(.*?)```", DOCS, re.DOTALL)
CALLS = 8
AN_HOUR = 3600.0


class Observer:
    """Serves what a worker told it last. It may be replaced; the worker lives on."""

    def __init__(self, lab: MeteredLab, port: int = 0) -> None:
        self._told = {"meter": lab.meter.snapshot()}
        self._lab = lab
        self.metrics = Metrics(Parts(lambda: [self._told]), version="1.4.0", region="eu-west-2")
        metrics = self.metrics

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body, kind = metrics.render(self.headers.get("Accept", ""))
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer((HOST, port), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def hears(self) -> None:
        """The worker's state of this moment."""
        self._told = {"meter": self._lab.meter.snapshot()}

    def close(self) -> None:
        """As if it had been killed."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def live(lab: MeteredLab) -> None:
    """Eight calls: two are answered, one is busy, and each of the others ends in a way of its own."""
    alice, bob = lab.cast("alice", "bob")
    for _ in range(2):
        alice.calls("bob")
        lab.run(1.5)
        bob.rings()  # SRD 1.5 s
        lab.run(2.5)
        bob.answers()
        lab.run(60.0)  # SDT 60 s
        lab.network.slowness["bob"] = 0.25
        alice.hangs_up()  # SDD 0.25 s
        lab.network.slowness.clear()
    for status in (486, 503, 404, 302, 407):
        alice.calls("bob")
        lab.run(0.5)
        bob.refuses(status)
    alice.calls("bob")
    alice.cancels()


@pytest.fixture(scope="module")
def lab() -> MeteredLab:
    return MeteredLab(wall_offset=time.time() - World().now - 200.0)  # so that its last call ends about now


@pytest.fixture(scope="module")
def scraped(lab: MeteredLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has seen the zeros, then the calls; in between the observer was replaced."""
    first = Observer(lab)
    with prometheus(tmp_path_factory.mktemp("prometheus"), f"{HOST}:{first.port}") as running:
        running.until("zeros", lambda: running.value("sum(sip_calls_total)") == 0)
        live(lab)
        first.hears()
        running.until("calls", lambda: running.value("sum(sip_calls_total)") == CALLS)
        first.close()
        running.until("silence", lambda: running.value("up") == 0)
        second = Observer(lab, first.port)
        running.until("the new observer", lambda: running.value("up") == 1)
        running.until("its figures", lambda: running.value("sum(sip_calls_total)") == CALLS)
        yield running
        second.close()


def documented(start: str) -> str:
    """The query that stands below that text."""
    return DOCS.partition(start)[2].partition("```promql\n")[2].partition("```")[0]


def test_the_ratios_of_rfc_6076(scraped: Prometheus) -> None:
    ser, seer, isa = (scraped.value(documented(f"**{name}**")) for name in ("SER", "SEER", "ISA"))
    # Of 8 calls one was redirected and one challenged: 6 are left.
    assert ser == pytest.approx(100 * 2 / 6)  # answered
    assert seer == pytest.approx(100 * (2 + 1) / 6)  # and busy
    assert isa == pytest.approx(100 * 1 / 8)  # 503


def test_the_ratio_of_each_carrier(scraped: Prometheus) -> None:
    by_carrier = scraped.query(documented("they are those of each carrier"))
    assert by_carrier[("trunk", "bob"),] == pytest.approx(100 * 2 / 6)


def test_the_delays_of_rfc_6076(scraped: Prometheus) -> None:
    for family, labels, count, total in (
        ("sip_session_request_delay_seconds", 'trunk="alice",result="success"', 2, 2 * 1.5),
        # 486, 503, 404 after half a second each, and a CANCEL at once
        ("sip_session_request_delay_seconds", 'trunk="alice",result="failure"', 4, 3 * 0.5),
        ("sip_session_disconnect_delay_seconds", 'trunk="bob",result="success"', 2, 2 * 0.25),
        ("sip_session_duration_seconds", 'trunk="bob",leg="callee"', 2, 2 * 60.0),
    ):
        assert scraped.value(f"{family}_count{{{labels}}}") == count
        assert scraped.value(f"{family}_sum{{{labels}}}") == pytest.approx(total)


@pytest.mark.parametrize("promql", PROMQL, ids=[str(number) for number in range(len(PROMQL))])
def test_each_documented_query_is_one(scraped: Prometheus, promql: str) -> None:
    scraped.query(promql)


def test_a_restart_of_the_observer_resets_nothing(scraped: Prometheus) -> None:
    assert scraped.value("sum(resets(sip_calls_total[5m]))") == 0
    assert scraped.value("sum(resets(sip_session_request_delay_seconds_count[5m]))") == 0


def test_an_exemplar_leads_to_the_trace(scraped: Prometheus, lab: MeteredLab) -> None:
    now = time.time()
    selector = 'sip_session_request_delay_seconds_bucket{result="success"}'
    (found,) = scraped.exemplars(selector, start=now - AN_HOUR, end=now + AN_HOUR)
    roots = [span for span in lab.spans if span.kind == "SERVER" and span.name == "INVITE"]
    answered = [span for span in roots if span.attributes["sip.response.status_code"] == 200]
    assert found["labels"] == {"trace_id": answered[-1].trace_id, "span_id": answered[-1].span_id}
    assert float(found["value"]) == 1.5
    assert found["series"]["trunk"] == "alice"
    assert found["series"]["le"] == "2.0"  # the bucket that 1.5 s belongs to


def test_promtool_has_nothing_to_object(lab: MeteredLab) -> None:
    parts = Parts(
        lambda: [{"meter": lab.meter.snapshot()}],
        destinations=lambda: {
            "default": {"exported": 1, "dropped": 0, "refused": 0, "queued": 3, "failures": 0}
        },
        store=lambda: {"bytes": 1, "failures": 0},
        hep=lambda: {"sent": 1, "dropped": 0, "refused": 0},
    )
    body, _ = Metrics(parts, version="1.4.0", region="eu-west-2").render()
    assert check_metrics(body) == ""
