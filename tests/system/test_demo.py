"""`sipproxy demo`, as `make demo` calls it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "sipproxy", "demo"]
CUSTOMERS = {"4bf92f3577f34da6a3ce929d0e0e4736": "00f067aa0ba902b7"}
CUSTOMERS |= {"0af7651916cd43dd8448eb211c80319c": "b7ad6b7169203331"}

if shutil.which("sipp") is None and os.environ.get("CI") != "true":
    pytest.skip("the demo's calls need SIPp (apt install sip-tester)", allow_module_level=True)


@pytest.fixture(scope="module")
def shown() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "--once"], cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )


@pytest.fixture(scope="module")
def traces(shown: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """What is printed below each trace-id."""
    _, *parts = re.split(r"^trace ([0-9a-f]{32})", shown.stdout, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_both_transfers_are_made(shown: subprocess.CompletedProcess[str]) -> None:
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "Traceback" not in shown.stderr
    assert "internal error" not in shown.stderr
    assert " ERROR" not in shown.stdout
    assert [line[:11] for line in shown.stdout.splitlines() if re.match(r"\d\. ", line)] == [
        "1. A blind ",
        "2. An atten",
    ]


def test_nobodys_number_is_shown(shown: subprocess.CompletedProcess[str]) -> None:
    assert "***33" in shown.stdout  # the colleague's
    assert not re.search(r"\+?49155", shown.stdout + shown.stderr)


def test_the_blind_one_is_one_trace(traces: dict[str, str]) -> None:
    customers = traces[next(iter(CUSTOMERS))]
    for line in ("transfer INTERNAL 200", "sip.transfer.mode=relay", "sip.transfer.outcome=completed"):
        assert line in customers
    assert customers.count("INVITE SERVER 200") == 2  # by the customer's phone: to the agent, and on
    assert customers.count("INVITE CLIENT 200") == 2
    assert "sip.trace.carrier=marker" in customers
    assert customers.count("sip.dialog.end=transferred") == 2
    assert customers.count("sip.dialog.end=caller_bye") == 2


def test_the_attended_one_is_two_traces_linked_to_each_other(traces: dict[str, str]) -> None:
    first, customers, agents = traces
    assert [first, customers] == list(CUSTOMERS)
    assert "sip.transfer.mode=local" in traces[customers]
    assert "sip.transfer.outcome=completed" in traces[customers]
    assert traces[customers].count("re-INVITE CLIENT 200") == 2
    assert "INVITE SERVER 200" in traces[agents]
    assert f"in trace {agents[:8]}" in traces[customers]
    assert f"in trace {customers[:8]}" in traces[agents]


def test_all_of_it_hangs_on_what_the_customer_sent(traces: dict[str, str]) -> None:
    for trace_id, span_id in CUSTOMERS.items():
        assert traces[trace_id].count(", which came from outside") == 1
        assert f"under {span_id}," in traces[trace_id]


def test_without_once_it_goes_on_until_ctrl_c() -> None:
    with subprocess.Popen(
        COMMAND, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ctrl-C ends it" in line:
                break
        else:
            pytest.fail("it ended by itself")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_call_that_fails_is_told_without_numbers(tmp_path: Path) -> None:
    """SIPp that only complains, of a message with a number in it."""
    program = tmp_path / "sipp"
    program.write_text("#!/bin/sh\necho 'unexpected INVITE sip:+4915550001111@127.0.0.1' >&2\nexit 1\n")
    program.chmod(0o755)
    done = subprocess.run(
        [*COMMAND, "--once"],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "unexpected INVITE sip:***11@127.0.0.1" in done.stdout
    assert "+49155" not in done.stdout + done.stderr


def test_the_page_that_shows_them_is_named(shown: subprocess.CompletedProcess[str]) -> None:
    for trace_id in CUSTOMERS:
        assert re.search(rf"http://127\.0\.0\.1:\d+/#/call/{trace_id}$", shown.stdout, re.MULTILINE)
