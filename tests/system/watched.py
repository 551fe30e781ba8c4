"""A proxy that has some of everything to do, and Prometheus that reads it with the configuration we ship.

The calls: the demo's transfers by SIPp, and those of a desk that go wrong in ways that dashboards are for.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sipproxy.demo.story import NUMBERS, TRUNKS
from tests.support.certificates import identity
from tests.support.hep import Collector as Homer
from tests.support.otlp import HttpReceiver
from tests.support.ports import free_port
from tests.support.prometheus import HOST, Prometheus
from tests.support.proxy import Proxy

from .page_house import House
from .watched_desk import Carrier, Telephone

SHIPPED = Path(__file__).parents[2] / "config/prometheus"
TOKEN = "a-token-for-the-metrics"
REGION = "eu-west-2"
GOOD = "00-4bf92f3577f34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
BAD = "00-4bf92f3577f34da6a3ce929d0e0e4736-not-a-span-01"
# As its documentation names them: opentelemetry.io, "Internal telemetry"; the tailsamplingprocessor's README.
_COLLECTOR = """\
otelcol_receiver_accepted_spans_total{receiver="otlp",transport="http"} 512
otelcol_receiver_refused_spans_total{receiver="otlp",transport="http"} 0
otelcol_exporter_sent_spans_total{exporter="otlp_grpc"} 512
otelcol_exporter_send_failed_spans_total{exporter="otlp_grpc"} 0
otelcol_exporter_queue_size{exporter="otlp_grpc"} 3
otelcol_exporter_queue_capacity{exporter="otlp_grpc"} 1000
otelcol_processor_tail_sampling_sampling_traces_on_memory{processor="tail_sampling"} 7
otelcol_processor_tail_sampling_sampling_trace_dropped_too_early_total{processor="tail_sampling"} 0
otelcol_process_memory_rss_bytes 83886080
"""


class Shipped(Prometheus):
    """As in config/prometheus, but for addresses, and that it looks more often.

    What that file has as a comment for a proxy with a token is made part of it.
    """

    def __init__(self, folder: Path, proxy: str, collector: str) -> None:
        folder.mkdir()
        port = free_port(HOST)
        (folder / "token").write_text(f"{TOKEN}\n")
        text = (SHIPPED / "prometheus.yml").read_text()
        for was, becomes in (
            (
                r"^    # (authorization:)\n    #   (credentials_file: ).*$",
                rf"    \1\n      \2{folder / 'token'}",
            ),
            (r'"sipproxy:8060"', f'"{proxy}"'),
            (r'"otel-collector:8888"', f'"{collector}"'),
            (r'"127\.0\.0\.1:9090"', f'"{HOST}:{port}"'),
            (r"scrape_interval: \S+", "scrape_interval: 250ms"),
            (r"scrape_timeout: \S+", "scrape_timeout: 250ms"),
            (r"evaluation_interval: \S+", "evaluation_interval: 250ms"),
        ):
            text, count = re.subn(was, becomes, text, flags=re.MULTILINE)
            assert count == 1, f"config/prometheus/prometheus.yml has no {was}"
        rules = folder / "rules"
        shutil.copytree(SHIPPED / "rules", rules)
        for file in rules.iterdir():  # a group that is evaluated once a minute is waited for a minute
            file.write_text(
                re.sub(r"^    interval: 1m$", "    interval: 250ms", file.read_text(), flags=re.MULTILINE)
            )
        self._start(folder, port, text)


class Busy(House):
    """The demo's house, a desk beside it, and those who are told of it: a collector, HOMER, an application
    that is not there.
    """

    def __init__(self, folder: Path, admin: str, collector: str, homer: str) -> None:
        self._folder = folder
        self.ports = {name: free_port(HOST) for name in (*TRUNKS, "desk", "carrier", "gone")}
        trunks: dict[str, dict[str, Any]] = {
            name: {"address": f"{HOST}:{port}", "match": [f"{HOST}:{port}"]}
            for name, port in self.ports.items()
        }
        trunks["gone"]["health"] = {"options_every_s": 1, "down_after": 1}
        ours = identity(folder, "proxy")
        away = f"http://{HOST}:{free_port(HOST)}/route"
        self.proxy = Proxy(
            {
                "listen": [f"udp:{HOST}:0", f"tls:{HOST}:0"],
                "region": REGION,
                "tls": {"certificates": [{"certificate": str(ours.certificate), "key": str(ours.key)}]},
                "trunks": trunks,
                "routes": [
                    *({"user": rf"^\+{NUMBERS[name][1:]}$", "to": [name]} for name in NUMBERS),
                    {"from": "desk", "user": "^busy", "webhook": away, "to": ["gone", "carrier"]},
                    {"from": "desk", "to": ["carrier"]},
                ],
                "store": {"path": str(folder / "store")},
                "admin": {"listen": admin, "token": TOKEN},
                "tracing": {"exporter": "otlp", "endpoint": collector, "every_ms": 50},
                "hep": {"address": homer},
                "timeouts": {"drain_s": 2},
            },
            folder / "proxy",
        )

    def lives(self, *acts: str) -> None:
        """Transfers, one behind the other, and at the same time the desk's troubles."""
        with ThreadPoolExecutor() as pool:
            troubles = pool.submit(self.troubles)
            for act in acts:
                self.performs(act)
                shutil.rmtree(self._folder / act)  # so that it can be performed again
            troubles.result()

    def troubles(self) -> None:
        """Calls that fail, and what is no call."""
        address = self.proxy.address("udp")
        with (
            closing(Carrier(self.ports["carrier"])) as carrier,
            Telephone(address, self.ports["desk"]) as desk,
        ):
            # Without the application, which is not there, and past the trunk that is gone.
            assert desk.calls("busy", {"traceparent": BAD}) == 486
            desk.begins("error", {"traceparent": GOOD}, twice=True)
            assert desk.hears("error") == 503
            desk.begins("silent")
            assert carrier.repeated.wait(10.0)
            desk.sends("CANCEL", "silent")
            assert desk.hears("silent") == 487
            assert desk.calls("busy", {"Replaces": "nobody;to-tag=a;from-tag=b"}) == 481
        with Telephone(address) as stranger:
            assert stranger.calls("busy") == 403
            stranger.babbles()


@contextmanager
def watched(folder: Path) -> Iterator[Shipped]:
    """Prometheus, once it has seen what the first acts came to, and then what was added: so all rises.

    It looks for the first time five seconds after its start, whatever its intervals are.
    """
    with ExitStack() as stack:
        spans = stack.enter_context(HttpReceiver())
        homer = stack.enter_context(Homer())
        collector = stack.enter_context(_collector())
        admin = f"{HOST}:{free_port(HOST)}"
        reader = stack.enter_context(closing(Shipped(folder / "prometheus", admin, collector)))
        house = Busy(folder, admin, spans.endpoint, homer.address)
        stack.enter_context(house.proxy)
        house.lives("blind", "attended")
        _sees(reader, {"sum(sip_calls_total)": 8, "sip_parse_errors_total": 1})
        house.lives("blind")
        _sees(
            reader,
            {
                "sum(sip_calls_total)": 14,
                "sum(sip_calls_active)": 0,
                "sum(sip_transfers_total)": 3,
                'sip_rejected_total{reason="no_route"}': 2,
                "sip_parse_errors_total": 2,
            },
        )
        yield reader


def _sees(reader: Prometheus, values: Mapping[str, float]) -> None:
    for promql, value in values.items():
        reader.until(f"{promql} == {value}", partial(_is, reader, promql, value))


def _is(reader: Prometheus, promql: str, value: float) -> bool:
    return reader.value(promql) == value


@contextmanager
def _collector() -> Iterator[str]:
    """Where a collector's own metrics can be read."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            with suppress(ConnectionError):  # the reader has ended meanwhile
                self.wfile.write(_COLLECTOR.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"{HOST}:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
