"""The proxy as operators run it: SIPp calls through it, Prometheus reads it, and its observer is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.support.otlp import HttpReceiver
from tests.support.ports import free_port
from tests.support.prometheus import HOST, PROGRAM, TOOL, Prometheus, check_metrics, prometheus
from tests.support.proxy import Proxy
from tests.support.sipp import Cast, Role

if (
    any(shutil.which(program) is None for program in (PROGRAM, TOOL, "sipp"))
    and os.environ.get("CI") != "true"
):
    pytest.skip("these need Prometheus and SIPp (apt install prometheus sip-tester)", allow_module_level=True)

SCRIPTS = Path(__file__).parents[2] / "sipp-scenarios/common"
TRACE_ID = "4bf92f3577f34da6a3ce929d0e0e4736"
TRACEPARENT = f"traceparent: 00-{TRACE_ID}-00f067aa0ba902b7-01"
CALLS = 3
SPANS = 5  # of a call: INVITE in, route, INVITE out, two dialogs
AN_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Running:
    """The proxy, where its admin listener is, and who reads that."""

    proxy: Proxy
    admin: str
    reader: Prometheus

    def get(self, path: str) -> Any:
        with urlopen(f"http://{self.admin}{path}", timeout=5.0) as response:
            return json.load(response)


def observer_of(pid: int) -> int:
    """The proxy's only child, whichever of its threads began it."""
    (child,) = "".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")).split()
    return int(child)


def calls(proxy: Proxy, alice: int, bob: int, folder: Path) -> None:
    """Three calls, one behind the other: 180, 200, ACK, BYE."""
    keys = {"headers": TRACEPARENT}
    with Cast() as cast:
        contact = {"contact": f"{HOST}:{bob}"}
        cast.enter(Role("bob", SCRIPTS / "callee.xml", HOST, bob, calls=CALLS, keys=contact), folder)
        contact = {"contact": f"{HOST}:{alice}"}
        sbc = Role("alice", SCRIPTS / "caller.xml", HOST, alice, calls=CALLS, keys=contact | keys)
        sbc.calls_at = proxy.address("udp")
        cast.enter(sbc, folder)
        cast.finish()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Zeros have been read, then three calls were made, and all of their spans exported."""
    folder = tmp_path_factory.mktemp("live")
    alice, bob, admin = free_port(HOST), free_port(HOST), f"{HOST}:{free_port(HOST)}"
    with HttpReceiver() as collector:
        config = {
            "listen": [f"udp:{HOST}:0"],
            "region": "eu-west-2",
            "trunks": {
                "sbc": {"address": f"{HOST}:{alice}", "match": [f"{HOST}:{alice}"]},
                "carrier": {"address": f"{HOST}:{bob}", "match": [f"{HOST}:{bob}"]},
            },
            "routes": [{"from": "sbc", "to": ["carrier"]}],
            "tracing": {
                "exporter": "otlp",
                "protocol": "http/protobuf",
                "endpoint": collector.endpoint,
                "every_ms": 50,
            },
            "store": {"path": str(folder / "store")},
            "admin": {"listen": admin},
            "timeouts": {"drain_s": 2},
        }
        with Proxy(config, folder / "proxy") as proxy, prometheus(folder, admin) as reader:
            reader.until(
                "zeros", lambda: reader.value('sip_calls_total{trunk="sbc",outcome="answered"}') == 0
            )
            calls(proxy, alice, bob, folder)
            reader.until(
                "calls", lambda: reader.value('sip_calls_total{outcome="answered",trunk="sbc"}') == CALLS
            )
            reader.until("the end of all", lambda: reader.value("sum(sip_calls_active)") == 0)
            exported = "sum(sipproxy_spans_exported_total)"
            reader.until("their spans", lambda: reader.value(exported) == CALLS * SPANS)
            yield Running(proxy, admin, reader)


def test_calls_and_their_seconds(running: Running) -> None:
    value = running.reader.value
    assert value('sip_attempts_total{trunk="carrier",outcome="answered"}') == CALLS
    for family, labels, least, most in (
        # SIPp rings and answers at once, and talks for 0.2 s.
        ("sip_session_request_delay_seconds", 'trunk="sbc",result="success"', 0.0, 0.5),
        ("sip_attempt_delay_seconds", 'trunk="carrier",result="success"', 0.0, 0.5),
        ("sip_session_duration_seconds", 'trunk="carrier",leg="callee"', 0.2, 0.7),
        ("sip_session_disconnect_delay_seconds", 'trunk="carrier",result="success"', 0.0, 0.5),
    ):
        assert value(f"{family}_count{{{labels}}}") == CALLS
        mean_s = value(f"{family}_sum{{{labels}}} / {family}_count{{{labels}}}")
        assert mean_s is not None
        assert least <= mean_s < most, family
    assert value("sipproxy_delay_seconds_count") == CALLS


def test_messages_by_trunk(running: Running) -> None:
    seen = running.reader.query("sip_messages_total")
    by_words = {
        tuple(dict(labels)[name] for name in ("trunk", "direction", "method")): n
        for labels, n in seen.items()
    }
    assert by_words == {
        ("sbc", "received", "INVITE"): CALLS,
        ("sbc", "sent", "1xx"): 2 * CALLS,  # 100 and 180
        ("sbc", "sent", "2xx"): 2 * CALLS,  # to INVITE and BYE
        ("sbc", "received", "ACK"): CALLS,
        ("sbc", "received", "BYE"): CALLS,
        ("carrier", "sent", "INVITE"): CALLS,
        ("carrier", "received", "1xx"): CALLS,
        ("carrier", "received", "2xx"): 2 * CALLS,
        ("carrier", "sent", "ACK"): CALLS,
        ("carrier", "sent", "BYE"): CALLS,
    }


def test_an_exemplar_leads_to_the_call_in_the_store(running: Running) -> None:
    now = time.time()
    selector = "sip_session_request_delay_seconds_bucket"
    found = running.reader.exemplars(selector, start=now - AN_HOUR, end=now + AN_HOUR)
    assert {mark["labels"]["trace_id"] for mark in found} == {TRACE_ID}
    story = running.get(f"/api/traces/{TRACE_ID}")
    spans = {span["span_id"]: span for span in story["spans"]}
    for mark in found:
        root = spans[mark["labels"]["span_id"]]
        assert (root["name"], root["kind"]) == ("INVITE", "SERVER")
        assert root["attributes"]["sip.trunk"] == "sbc"
        assert abs(float(mark["timestamp"]) - root["end_us"] / 1e6) < 0.05


def test_the_matrix_of_propagation(running: Running) -> None:
    assert running.get("/api/propagation")["trunks"] == {
        "sbc": {"arrived": {"traceparent": {"adopted": CALLS}}, "rejected": {}, "returned": {}},
        "carrier": {"arrived": {}, "rejected": {}, "returned": {}},
    }


def test_promtool_has_nothing_to_object(running: Running) -> None:
    with urlopen(f"http://{running.admin}/metrics", timeout=5.0) as response:
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert check_metrics(response.read()) == ""


def test_a_killed_observer_costs_no_figure(running: Running) -> None:
    reader = running.reader
    before = reader.query("sip_calls_total"), reader.query("sip_messages_total")
    os.kill(observer_of(running.proxy.pid), signal.SIGKILL)
    reader.until("a new observer", lambda: reader.value("sipproxy_worker_restarts_total") == 1)
    assert (reader.query("sip_calls_total"), reader.query("sip_messages_total")) == before
    assert reader.value("sum(resets(sip_messages_total[5m]))") == 0
    assert reader.value("sum(sipproxy_spans_exported_total)") == CALLS * SPANS  # counted in the store
