"""config/nginx.conf and config/haproxy.cfg with the real programs: the probe, as the application behind them,
sees what they let through, and what variants of them do not.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sipproxy.b2bua.settings import RouteSettings
from sipproxy.probe.asking import HttpPlan, probe_http
from sipproxy.probe.fates import Fate
from sipproxy.probe.http_verdict import CARRIERS, report_http
from sipproxy.probe.http_wire import BackEnd
from sipproxy.probe.report import Report
from tests.support.ports import free_port

from .load_balancers import CONFIG, HOST, HAProxy, LoadBalancer, Nginx

BOTH = [pytest.param(Nginx, id="nginx"), pytest.param(HAProxy, id="haproxy")]
TRACE_ID, SPAN_ID = "4bf92f3577f34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
QUICK_CHECKS = ("inter 2s", "inter 50ms")  # of HAProxy: how soon it finds that somebody is there


def changed(kind: type[LoadBalancer], *changes: tuple[str, str]) -> list[tuple[str, str]]:
    return [*changes, QUICK_CHECKS] if kind is HAProxy else [*changes]


def probe(
    balancer: LoadBalancer,
    port: int,
    path: str = "/route",
    *,
    method: str = "GET",
    back_end: BackEnd | None = None,
) -> Report:
    """One run; the back end listens where the load balancer looks for it."""
    made = HttpPlan(balancer.url + path, HOST, port, method, wait_s=5.0, ca=str(balancer.authority))
    seen = asyncio.run(probe_http(made, back_end))
    return report_http(seen, made, ["traceparent", "tracestate", "baggage"])


def fates(report: Report) -> dict[str, Fate]:
    return {each.carrier: each.fate for each in report.findings}


@pytest.mark.parametrize("kind", BOTH)
def test_everything_that_belongs_to_the_trace_gets_through(kind: type[LoadBalancer], tmp_path: Path) -> None:
    port = free_port(HOST)
    with kind(tmp_path, f"{HOST}:{port}", changed(kind)) as balancer:
        checked = balancer.check()
        report = probe(balancer, port)
        other = probe(balancer, port, "/contexts", method="POST")
    assert (checked.returncode, re.findall(r"(?i)warn|emerg|alert", checked.stderr)) == (0, [])
    found = fates(report)
    assert found.pop("underscore") is Fate.STRIPPED, "such names are dropped"
    cased = {"x-traceparent", "x-interaction-id", "letters"}
    expected = {name: Fate.SURVIVED for name in CARRIERS if name != "underscore"}
    if kind is HAProxy:
        expected |= dict.fromkeys(cased, Fate.RECASED)
    assert found == expected
    assert report.good
    assert other.good
    added = {name.lower() for name in report.facts["added_headers"]}
    assert added == {"x-request-id", "x-forwarded-for", "x-forwarded-proto"}
    assert report.facts["back_end"] == "HTTP/1.1"

    rows = [
        row for row in balancer.logged() if row["status"] != 503
    ]  # before it found that the probe is there
    assert len(rows) == 2 * 7
    assert {row["place"] for row in rows} == {"route", "other"}
    assert {row["status"] for row in rows} == {200}
    traced = [row for row in rows if row["trace_id"] != "-"]
    assert all(re.fullmatch("[0-9a-f]{32}", row["trace_id"]) for row in traced)
    assert all(re.fullmatch("[0-9a-f]{16}", row["span_id"]) for row in traced)
    assert len(traced) >= 2 * 2, "of the sound contexts"


NGINX_TRAP = (
    "            set $place route;\n",
    "            set $place route;\n            proxy_set_header X-Tenant blue;\n",
)


@pytest.mark.parametrize(
    ("kind", "change", "lost"),
    [
        (
            Nginx,
            ('# proxy_set_header traceparent "";', 'proxy_set_header traceparent "";'),
            {"traceparent": Fate.STRIPPED, "letters": Fate.STRIPPED, "traceparent-rows": Fate.STRIPPED},
        ),
        (
            Nginx,
            ("        client_body_timeout 5s;", "        proxy_set_header traceparent $http_traceparent;"),
            {"traceparent-rows": Fate.ALTERED},
        ),
        (
            Nginx,
            ("large_client_header_buffers 4 16k;", "large_client_header_buffers 4 8k;"),
            {"long-baggage": Fate.REFUSED},
        ),
        (
            HAProxy,
            ("# http-request del-header ^trace -m reg", "http-request del-header ^trace -m reg"),
            {
                **dict.fromkeys(("traceparent", "tracestate", "letters"), Fate.STRIPPED),
                **dict.fromkeys(("tracestate-rows", "traceparent-rows", "long-tracestate"), Fate.STRIPPED),
            },
        ),
        (
            HAProxy,
            ("# http-request del-header baggage", "http-request del-header baggage"),
            {"baggage": Fate.STRIPPED, "long-baggage": Fate.STRIPPED},
        ),
        (
            HAProxy,
            (
                "# http-request del-header tracestate",
                "http-request set-header tracestate %[req.fhdr(tracestate)]",
            ),
            {"tracestate-rows": Fate.ALTERED},
        ),
    ],
)
def test_a_variant_that_loses_something_is_found_out(
    kind: type[LoadBalancer], change: tuple[str, str], lost: dict[str, Fate], tmp_path: Path
) -> None:
    port = free_port(HOST)
    with kind(tmp_path, f"{HOST}:{port}", changed(kind, change)) as balancer:
        report = probe(balancer, port)
    found = {name: fate for name, fate in fates(report).items() if fate not in (Fate.SURVIVED, Fate.RECASED)}
    assert found.pop("underscore") is Fate.STRIPPED
    assert found == lost
    wanted = {"traceparent", "tracestate", "baggage"}
    assert report.good == (not wanted & set(lost))


def test_in_nginx_one_proxy_set_header_in_a_location_undoes_all_above_it(tmp_path: Path) -> None:
    port = free_port(HOST)
    back_end = BackEnd()
    with Nginx(tmp_path, f"{HOST}:{port}", [NGINX_TRAP]) as nginx:
        report = probe(nginx, port, back_end=back_end)
    assert {row.value for asked in back_end.asked for row in asked.rows if row.key == "host"} == {
        "applications"
    }
    assert report.facts["added_headers"] == ["X-Tenant"], "and neither X-Request-ID nor X-Forwarded-For"
    assert report.good, "what nginx is not told about passes all the same"


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (Nginx, ("underscores_in_headers off;", "underscores_in_headers on;")),
        (HAProxy, ("    option http-restrict-req-hdr-names delete\n", "")),
    ],
)
def test_names_with_an_underscore_pass_where_they_are_let(
    kind: type[LoadBalancer], change: tuple[str, str], tmp_path: Path
) -> None:
    port = free_port(HOST)
    with kind(tmp_path, f"{HOST}:{port}", changed(kind, change)) as balancer:
        assert fates(probe(balancer, port))["underscore"] is Fate.SURVIVED


@pytest.mark.parametrize("kind", BOTH)
def test_nobody_behind_it_is_said_so(kind: type[LoadBalancer], tmp_path: Path) -> None:
    here, there = free_port(HOST), free_port(HOST)
    with kind(tmp_path, f"{HOST}:{there}") as balancer:
        plan = HttpPlan(balancer.url + "/route", HOST, here, ca=str(balancer.authority))
        report = report_http(asyncio.run(probe_http(plan)), plan, ["traceparent"])
    assert report.problem == "no back end"
    assert f"it does not reach the probe at {HOST}:{here}" in report.verdict[0]


# Times, ids, and what must not be written down


class Applications:
    """Two of them, on ports of their own; the first may be slow, or stay away."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, dict[str, str]]] = []
        self.slow = threading.Event()  # set: the first one answers no more
        self.over = threading.Event()


@contextmanager
def application(applications: Applications, number: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            applications.asked.append((number, {name.lower(): value for name, value in self.headers.items()}))
            if not number and applications.slow.is_set():
                applications.over.wait(10.0)
            body = json.dumps({"to": ["carrier-b"]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # a load balancer that gave up
                self.close_connection = True

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        applications.over.set()
        server.shutdown()
        thread.join()


def ask(balancer: LoadBalancer, path: str, headers: dict[str, str]) -> tuple[int, float]:
    """Status, and seconds."""
    context = ssl.create_default_context(cafile=str(balancer.authority))
    body = json.dumps({"from": "sip:+441632960001@example.com"})
    with closing(http.client.HTTPSConnection(HOST, balancer.port, timeout=10, context=context)) as connection:
        began = time.monotonic()
        connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        response.read()
        return response.status, time.monotonic() - began


def two(kind: type[LoadBalancer], folder: Path, ports: Sequence[int]) -> LoadBalancer:
    """With both applications, as the file has them."""
    second = {
        Nginx: ("127.0.0.1:9002 max_fails=3", f"{HOST}:{ports[1]} max_fails=3"),
        HAProxy: ("server two 127.0.0.1:9002", f"server two {HOST}:{ports[1]}"),
    }
    return kind(folder, f"{HOST}:{ports[0]}", [second[kind]], alone=False)


@pytest.mark.parametrize("kind", BOTH)
def test_an_application_that_is_gone_costs_a_call_nothing(kind: type[LoadBalancer], tmp_path: Path) -> None:
    applications = Applications()
    with application(applications, 1) as port:
        gone = free_port(HOST)
        with two(kind, tmp_path, (gone, port)) as balancer:
            answers = [ask(balancer, "/route", {"traceparent": TRACEPARENT}) for _ in range(4)]
    assert [status for status, _ in answers] == [200] * 4
    assert max(took for _, took in answers) < 2.0, "a refused connection costs next to nothing"
    assert {headers["traceparent"] for _, headers in applications.asked} == {TRACEPARENT}


@pytest.mark.parametrize("kind", BOTH)
def test_an_application_that_is_slow_is_given_up_before_the_call_gives_up(
    kind: type[LoadBalancer], tmp_path: Path
) -> None:
    applications = Applications()
    applications.slow.set()
    with application(applications, 0) as slow, kind(tmp_path, f"{HOST}:{slow}") as balancer:
        status, took = ask(balancer, "/route", {})
    assert status == 504
    assert took < 5.0, "the application takes ten seconds"


@pytest.mark.parametrize(
    ("file", "below", "names"),
    [
        ("nginx.conf", "location = /route {", ("proxy_read_timeout", "proxy_next_upstream_timeout")),
        ("haproxy.cfg", "backend route", ("timeout server", "timeout queue")),
    ],
)
def test_what_comes_later_than_a_call_waits_is_not_waited_for(
    file: str, below: str, names: tuple[str, str]
) -> None:
    route = (CONFIG / file).read_text().partition(below)[2]
    limits = [int(found[1]) for name in names if (found := re.search(rf"{name} (\d+)ms", route))]
    assert len(limits) == len(names)
    assert max(limits) < RouteSettings(to=("carrier",)).timeout_ms


@pytest.mark.parametrize("kind", BOTH)
def test_request_ids_and_what_the_log_does_not_say(kind: type[LoadBalancer], tmp_path: Path) -> None:
    applications = Applications()
    given = "7d5d747b-e160-4280-a3a4-5b2d3a9e2b1f"
    with application(applications, 1) as port, kind(tmp_path, f"{HOST}:{port}") as balancer:
        ask(balancer, "/route", {"traceparent": TRACEPARENT, "X-Request-ID": given})
        ask(balancer, "/calls/+441632960002?n=01632960003", {"X-Request-ID": "01632960004"})
    rows = balancer.logged()
    assert [(row["trace_id"], row["span_id"]) for row in rows] == [(TRACE_ID, SPAN_ID), ("-", "-")]
    assert [row["place"] for row in rows] == ["route", "other"]
    assert rows[0]["request_id"] == given
    seen = [headers["x-request-id"] for _, headers in applications.asked]
    assert seen == [row["request_id"] for row in rows]
    assert "1632960" not in str(rows) + balancer.output, "no number in any log"


@pytest.mark.parametrize("kind", BOTH)
def test_only_what_is_safe_is_spoken(kind: type[LoadBalancer], tmp_path: Path) -> None:
    with kind(tmp_path, f"{HOST}:{free_port(HOST)}") as balancer:
        spoken: dict[str, str | None] = {}
        for offered in ("h2", "http/1.1"):
            context = ssl.create_default_context(cafile=str(balancer.authority))
            context.set_alpn_protocols([offered])
            with (
                socket.create_connection((HOST, balancer.port), timeout=10) as sock,
                context.wrap_socket(sock, server_hostname=HOST) as tls,
            ):
                spoken[offered] = tls.selected_alpn_protocol()
                assert tls.version() == "TLSv1.3"
    assert spoken == {"h2": "h2", "http/1.1": "http/1.1"}


@pytest.mark.parametrize("file", ["nginx.conf", "haproxy.cfg"])
def test_every_file_says_where_to_prove_it(file: str) -> None:
    text = (CONFIG / file).read_text()
    assert "sipproxy probe http https://" in text
    assert "docs/load-balancers.md" in text
