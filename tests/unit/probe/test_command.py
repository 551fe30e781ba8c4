"""The command line: what it takes, what it says, and its exit code."""

from __future__ import annotations

import argparse
import io
import json

import pytest

from sipproxy.cli.terminal import Terminal
from sipproxy.errors import ConfigurationError
from sipproxy.probe.asking import HttpPlan
from sipproxy.probe.command import add_probe, parsed, run
from sipproxy.probe.placing import SipPlan
from sipproxy.probe.report import Report, in_yaml, show
from tests.support.ports import free_port

from .support import Path, probe, strip

HERE = "--listen=192.0.2.10:5099"


def test_calls() -> None:
    plan = parsed(["sip:probe@sbc.example:5060", "--listen", "udp:192.0.2.10:5099"])
    assert isinstance(plan, SipPlan)
    assert (plan.target, plan.transport) == ("sip:probe@sbc.example:5060", "UDP")
    assert plan.listen == [("UDP", "192.0.2.10", 5099)]
    assert (plan.timeout_s, plan.wait_s) == (5.0, 0.0)


@pytest.mark.parametrize(
    ("arguments", "transport", "listen"),
    [
        ([HERE], "UDP", "UDP"),
        ([HERE, "--transport=tcp"], "TCP", "TCP"),
        (["--listen=udp:192.0.2.10:5099", "--transport=tcp"], "TCP", "UDP"),
        (
            ["--listen=tls:192.0.2.10:5099", "--transport=tls", "--certificate=a.pem", "--key=a.key"],
            "TLS",
            "TLS",
        ),
    ],
)
def test_transports(arguments: list[str], transport: str, listen: str) -> None:
    plan = parsed(["sip:probe@sbc.example", *arguments])
    assert isinstance(plan, SipPlan)
    assert plan.transport == transport
    assert [row[0] for row in plan.listen] == [listen]
    assert (plan.tls is not None) == (transport == "TLS")


def test_requests() -> None:
    plan = parsed(["http", "https://apps.example/route?a=1", "--listen", "[::1]:8099", "--method", "POST"])
    assert plan == HttpPlan("https://apps.example/route?a=1", "::1", 8099, "POST")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["sip:probe@h"], "--listen: where does the path lead back to?"),
        (["sip:probe@h", "--listen=5099"], "--listen: '5099' is no [TRANSPORT:]HOST:PORT"),
        (["sip:probe@h", "--listen=udp:192.0.2.10"], "is no [TRANSPORT:]HOST:PORT"),
        (["probe@h", HERE], "URI: malformed URI: no scheme"),
        (["tel:+441632960001", HERE], "is no SIP URI"),
        (["sip:probe@h?Subject=x", HERE], "URI: a header part is the probe's own"),
        (["sip:probe@h;transport=ws", HERE], "URI: no transport of the probe: ws"),
        (["sip:probe@h", "--listen=udp:192.0.2.10:5099", "--transport=tls"], "no --listen for it"),
        (["sip:probe@h", HERE, "--transport=tls"], "--listen tls: wants --certificate and --key"),
        (["sip:probe@h", HERE, "--certificate=a.pem"], "--certificate and --key go together"),
        (["sip:probe@h", HERE, "--timeout=0"], "--timeout: from 0.1 to 60 seconds"),
        (["sip:probe@h", HERE, "--timeout=nan"], "--timeout: from 0.1 to 60 seconds"),
        (["sip:probe@h", HERE, "--wait=-1"], "--wait: from 0 to 600 seconds"),
        (["sip:probe@h", HERE, "--want=traceparent,nonsense"], "--want: no carrier 'nonsense'; there are"),
        (["sip:probe@h", HERE, "--from=alice"], "--from: malformed URI: no scheme"),
        (["http", HERE], "'' is no URL"),
        (["http", "ftp://h", HERE], "is no URL"),
        (["http", "http://user@h", HERE], "is no URL"),
        (["http", "http://h:99999", HERE], "is no URL"),
        (["http", "http://h", "--listen=udp:192.0.2.10:5099"], "HTTP comes by one HOST:PORT"),
        (["sip:a@h", "http://h", HERE], "the word http and a URL"),
        (["http", "http://h", HERE, "--want=pai"], "--want: no carrier 'pai'"),
    ],
)
def test_wrong_use(arguments: list[str], fault: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        parsed(arguments)
    assert fault in "\n".join(error.value.faults)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as error:
        parsed(["probe@h", "--listen=x", "--timeout=0"])
    assert len(error.value.faults) == 3


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_probe(lambda *_, **__: parser)
    return parser.parse_args(arguments)


def test_files_must_be_there() -> None:
    with pytest.raises(ConfigurationError) as error:
        run(options("http", "https://127.0.0.1:9", "--listen=127.0.0.1:0", "--ca=/nowhere/ca.pem"))
    assert error.value.faults == ["--ca: no file '/nowhere/ca.pem'"]


def test_the_probe_called_straight_is_no_path() -> None:
    port = free_port("127.0.0.1")
    with pytest.raises(ConfigurationError, match="there is no path between the two"):
        run(options(f"sip:probe@127.0.0.1:{port}", f"--listen=127.0.0.1:{port}"))


def test_nobody_there_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    target = f"sip:+441632960001@127.0.0.1:{free_port('127.0.0.1')}"
    assert run(options(target, f"--listen=127.0.0.1:{free_port('127.0.0.1')}", "--json")) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["good"], told["problem"]) == (False, "unreachable")
    assert "441632960001" not in str(told)


def shown(report: Report) -> list[str]:
    file = io.StringIO()
    show(report, Terminal(file))
    return file.getvalue().splitlines()


def test_the_table() -> None:
    _, report = probe(Path(strip("tracestate")))
    lines = shown(report)
    assert "call id       kept" in lines
    assert "record route  yes" in lines
    assert "carrier            in                   result    how" in lines
    assert "tracestate         INVITE               stripped" in lines
    assert lines[-1].startswith("For this peer's trunk: trace: {send: [traceparent, baggage]}, refer: relay")
    assert max(map(len, lines)) < 120


def test_the_last_line_is_yaml_for_the_trunk() -> None:
    settings = {"trace": {"send": ["pai"], "read_pai": True}, "refer": "local", "transfer_anchor": False}
    assert in_yaml(settings) == "trace: {send: [pai], read_pai: true}, refer: local, transfer_anchor: false"


def test_what_programs_get() -> None:
    _, report = probe(Path(strip("tracestate")), wanted=["tracestate"])
    told = json.loads(json.dumps(report.shape()))
    assert (told["kind"], told["good"], told["problem"]) == ("sip", False, None)
    assert told["wanted"] == ["tracestate"]
    row = {"carrier": "tracestate", "in": "INVITE", "result": "stripped", "how": ""}
    assert row in told["carriers"]
    assert told["switch_on"]["trace"]["send"] == ["traceparent", "baggage"]
    assert told["path"]["record_route"] is True
