"""`sipproxy probe` along real paths: Kamailio in many moods, the proxy itself, and nobody at all."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from sipproxy.cli.terminal import Terminal
from sipproxy.net.settings import CertificateSettings, TlsSettings
from sipproxy.probe.fates import Fate
from sipproxy.probe.placing import SipPlan, probe_sip
from sipproxy.probe.report import Report, show
from sipproxy.probe.sip_verdict import report_sip
from sipproxy.sip.build import respond_to
from sipproxy.sip.message import Request, parse
from tests.support.certificates import identity
from tests.support.ports import free_port
from tests.support.proxy import ROOT, Proxy

from .probe_paths import HOST, KamailioPath

SHORT_S = 0.3  # time-out where no answer is to be waited for
LONGEST_S = 4.0  # of one run against a path that does not lead back


def probe(uri: str, port: int, *, transport: str = "", timeout_s: float = 5.0) -> Report:
    """One run."""
    plan = SipPlan(uri, [("UDP", HOST, port)], transport, timeout_s=timeout_s)
    return report_sip(asyncio.run(probe_sip(plan)), ["traceparent"])


def fates(report: Report, *but: Fate) -> dict[str, Fate]:
    """Of the carriers that did not simply survive."""
    return {each.carrier: each.fate for each in report.findings if each.fate not in but}


@pytest.fixture(scope="module")
def port() -> int:
    """Where the probe listens."""
    return free_port(HOST)


@pytest.fixture(scope="module")
def kamailio(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[KamailioPath]:
    with KamailioPath(tmp_path_factory.mktemp("path") / "kamailio", f"{HOST}:{port}") as path:
        yield path


@pytest.mark.parametrize(
    ("how", "lost", "send", "refer"),
    [
        ("pass", {}, ["traceparent", "tracestate", "baggage"], "relay"),
        ("letters", {}, ["traceparent", "tracestate", "baggage"], "relay"),
        (
            "strip",
            dict.fromkeys(
                ("traceparent", "tracestate", "baggage", "large", "bye", "refer", "transfer"), Fate.STRIPPED
            ),
            ["x-traceparent", "tracestate"],
            "relay",
        ),
        (
            "nox",
            dict.fromkeys(("x-traceparent", "x-tracestate", "x-interaction-id"), Fate.STRIPPED),
            ["traceparent", "tracestate", "baggage"],
            "relay",
        ),
        (
            "rename",
            dict.fromkeys(("traceparent", "large", "bye", "refer", "transfer"), Fate.MOVED),
            ["x-traceparent", "tracestate", "baggage"],
            "relay",
        ),
        (
            "alter",
            dict.fromkeys(("traceparent", "tracestate", "large", "bye", "refer", "transfer"), Fate.ALTERED),
            ["x-traceparent", "tracestate", "baggage"],
            "relay",
        ),
        ("uri", {"marker": Fate.STRIPPED}, ["traceparent", "tracestate", "baggage"], "relay"),
        (
            "norefer",
            dict.fromkeys(("refer", "refer-to", "refer-to-marker", "transfer"), Fate.UNKNOWN),
            ["traceparent", "tracestate", "baggage"],
            "local",
        ),
        (
            "short",
            {"refer-to": Fate.STRIPPED, "refer-to-marker": Fate.STRIPPED, "transfer": Fate.STRIPPED},
            ["traceparent", "tracestate", "baggage"],
            "local",
        ),
    ],
)
def test_kamailio(
    kamailio: KamailioPath, port: int, how: str, lost: dict[str, Fate], send: list[str], refer: str
) -> None:
    report = probe(kamailio.uri(how), port)
    assert fates(report, Fate.SURVIVED, Fate.RECASED) == lost
    assert report.good == ("traceparent" not in lost)
    assert report.switch_on["trace"]["send"] == send
    assert report.switch_on["refer"] == refer
    assert report.facts["call_id"] == "kept"
    assert report.facts["record_route"] is True
    assert report.facts["hops"] == "1 by Via, 1 by Max-Forwards"


def test_the_report_on_the_page_is_what_is_printed(kamailio: KamailioPath, port: int) -> None:
    page = (ROOT / "docs/probe.md").read_text()
    file = io.StringIO()
    show(probe(kamailio.uri("strip"), port), Terminal(file))
    assert f"```text\n{file.getvalue()}```\n" in page


def test_letters_are_told_from_names(kamailio: KamailioPath, port: int) -> None:
    findings = {each.carrier: each for each in probe(kamailio.uri("letters"), port).findings}
    assert (findings["traceparent"].fate, findings["traceparent"].how) == (Fate.RECASED, "as Traceparent")


def test_a_new_name_is_read_with_aliases(kamailio: KamailioPath, port: int) -> None:
    assert probe(kamailio.uri("rename"), port).switch_on["trace"]["aliases"] == ["X-Trace-Context"]


def test_over_tcp(kamailio: KamailioPath, port: int) -> None:
    report = probe(kamailio.uri("pass", "tcp"), port)
    assert report.good
    assert report.facts["transport"].startswith("TCP there")
    assert report.facts["refer"] == "relayed"


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("refuse", "refused"),
        ("redirect", "redirected"),
        ("answer", "answered elsewhere"),
        ("silent", "silent"),
        ("loop", "loop"),
    ],
)
def test_kamailio_that_does_not_lead_back(kamailio: KamailioPath, port: int, how: str, problem: str) -> None:
    began = time.monotonic()
    report = probe(kamailio.uri(how), port, timeout_s=SHORT_S if how == "silent" else 5.0)
    assert (report.problem, report.exit_code) == (problem, 1)
    assert len(report.verdict) == 1
    assert time.monotonic() - began < LONGEST_S


def test_kamailio_that_forks(kamailio: KamailioPath, port: int) -> None:
    report = probe(kamailio.uri("fork"), port)
    assert report.good
    assert report.facts["arrivals"] == "2 of one call"


# The proxy itself


MODES = ("relay", "local", "reject")


@dataclass(slots=True)
class Neighbour:
    """The proxy, with a trunk for each way to treat REFER, and one with TLS; the probe has as many ports."""

    proxy: Proxy
    ports: dict[str, int]
    tls: TlsSettings


@pytest.fixture(scope="module")
def neighbour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbour]:
    folder = tmp_path_factory.mktemp("proxy")
    theirs, ours = identity(folder, "proxy"), identity(folder, "probe")
    ports = {mode: free_port(HOST) for mode in (*MODES, "tls")}
    trunks = {
        mode: {
            "address": f"{HOST}:{port}" + (";transport=tls" if mode == "tls" else ""),
            "match": [f"{HOST}:{port}"] if mode != "tls" else ["localhost"],
            "refer": mode if mode != "tls" else "relay",
        }
        for mode, port in ports.items()
    }
    certificates = [{"certificate": str(theirs.certificate), "key": str(theirs.key)}]
    config = {
        "listen": [f"udp:{HOST}:0", f"tcp:{HOST}:0", f"tls:{HOST}:0"],
        "tls": {"certificates": certificates, "ca": str(theirs.authority), "clients": "required"},
        "trunks": trunks,
        "routes": [{"from": name, "to": [name]} for name in ports],
        "tracing": {"exporter": "none"},
    }
    mine = (CertificateSettings(str(ours.certificate), str(ours.key)),)
    with Proxy(config, folder / "run") as proxy:
        yield Neighbour(proxy, ports, TlsSettings(certificates=mine, ca=str(ours.authority)))


@pytest.mark.parametrize("mode", MODES)
def test_sipproxy(neighbour: Neighbour, mode: str) -> None:
    report = probe(f"sip:probe@{neighbour.proxy.address('udp')}", neighbour.ports[mode])
    findings = {each.carrier: each for each in report.findings}
    assert report.good
    assert findings["traceparent"].fate is Fate.CONTINUED, "the proxy has spans of its own"
    assert findings["tracestate"].fate is Fate.SURVIVED
    assert findings["baggage"].fate is Fate.STRIPPED, "it is not in trace.send"
    assert findings["x-traceparent"].fate is Fate.MOVED, "an alias goes on as traceparent"
    assert findings["bye"].fate is Fate.CONTINUED
    assert report.facts["call_id"] == "rewritten: a B2BUA"
    refer = {
        "relay": ("relayed", Fate.CONTINUED),
        "local": ("the path answers REFER itself, and places the new call", Fate.CONTINUED),
        "reject": ("the path refuses REFER: 603", Fate.UNKNOWN),
    }
    assert (report.facts["refer"], findings["transfer"].fate) == refer[mode]


def test_sipproxy_with_tls_both_ways(neighbour: Neighbour) -> None:
    target = f"sips:probe@{neighbour.proxy.address('tls')}"
    plan = SipPlan(target, [("TLS", HOST, neighbour.ports["tls"])], timeout_s=5.0, tls=neighbour.tls)
    report = report_sip(asyncio.run(probe_sip(plan)), ["traceparent", "large", "transfer"])
    assert report.good, report.verdict
    assert report.facts["transport"] == report.facts["invite_3000"] == "TLS there, TLS back"


def test_a_certificate_that_is_not_trusted(neighbour: Neighbour, port: int) -> None:
    target = f"sip:probe@{neighbour.proxy.address('tls')};transport=tls"
    tls = TlsSettings(certificates=neighbour.tls.certificates)  # the system's authorities
    plan = SipPlan(target, [("TLS", HOST, port)], timeout_s=5.0, tls=tls)
    report = report_sip(asyncio.run(probe_sip(plan)), ["traceparent"])
    assert report.problem == "unreachable"
    assert "certificate" in report.verdict[0]


# Nobody, and somebody who talks nonsense


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_nobody_there(port: int, transport: str) -> None:
    began = time.monotonic()
    report = probe(f"sip:probe@{HOST}:{free_port(HOST)}", port, transport=transport)
    assert report.problem == "unreachable"
    assert "connection refused" in report.verdict[0]
    assert time.monotonic() - began < LONGEST_S


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("UDP", b"\x16\x03\x01\x00" * 99),
        ("TCP", b"SIP/2.0 200 OK\r\nContent-Length: x\r\n\r\n"),
        ("TCP", b""),
    ],
)
def test_somebody_who_does_not_speak_sip(port: int, kind: str, says: bytes) -> None:
    family = socket.SOCK_DGRAM if kind == "UDP" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, family) as sock:
        sock.bind((HOST, 0))
        if kind == "TCP":
            sock.listen()

        def talk() -> None:
            if kind == "UDP":
                _, peer = sock.recvfrom(65535)
                sock.sendto(says, peer)
            else:
                connection, _ = sock.accept()
                with connection:
                    connection.recv(65535)
                    connection.sendall(says)
                    if says:
                        connection.recv(65535)

        thread = threading.Thread(target=talk)
        thread.start()
        began = time.monotonic()
        report = probe(f"sip:probe@{HOST}:{sock.getsockname()[1]}", port, transport=kind, timeout_s=SHORT_S)
        thread.join()
    assert report.problem == ("garbage" if says else "silent")
    assert time.monotonic() - began < LONGEST_S


# As operators run it


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sipproxy", "probe", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command(kamailio: KamailioPath, port: int) -> None:
    listen = f"--listen=udp:{HOST}:{port}"
    bad = command(kamailio.uri("strip"), listen, "--json", "--want=traceparent,baggage")
    assert (bad.returncode, bad.stderr) == (1, "")
    told = json.loads(bad.stdout)
    lost = {row["carrier"] for row in told["carriers"] if row["result"] == "stripped"}
    assert {"traceparent", "baggage"} <= lost

    wrong = command(kamailio.uri("pass"), "--want=tracepart")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "--want: no carrier 'tracepart'" in wrong.stderr


def test_whoever_interrupts_it_leaves_no_telephone_ringing() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        sock.settimeout(20.0)
        target = f"sip:probe@{HOST}:{sock.getsockname()[1]}"
        arguments = [sys.executable, "-m", "sipproxy", "probe", target, f"--listen={HOST}:{free_port(HOST)}"]
        with subprocess.Popen(
            [*arguments, "--timeout=60"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            data, peer = sock.recvfrom(65535)
            invite = parse(data)
            assert isinstance(invite, Request)
            sock.sendto(respond_to(invite, 180, to_tag="desk").encode(), peer)
            process.send_signal(signal.SIGINT)
            message = parse(data)
            while not isinstance(message, Request) or message.method != "CANCEL":
                message = parse(sock.recv(65535))
            sock.sendto(respond_to(invite, 487, to_tag="desk").encode(), peer)
            out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (1, "")
    assert out == "Interrupted; calls in progress are hung up.\n"
