"""`sipproxy demo`, as `make demo` calls it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TITLES = ("INVITE SERVER 200", "route INTERNAL", "INVITE CLIENT 200", "dialog SERVER", "dialog CLIENT")
COMMAND = [sys.executable, "-m", "sipproxy", "demo"]

if shutil.which("sipp") is None and os.environ.get("CI") != "true":
    pytest.skip("the demo's call needs SIPp (apt install sip-tester)", allow_module_level=True)


def test_a_call_is_made_and_its_trace_printed() -> None:
    done = subprocess.run(
        [*COMMAND, "--once"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "(5 spans)" in done.stdout
    for line in (
        "INVITE SERVER 200",
        "route INTERNAL",
        "INVITE CLIENT 200",
        "dialog SERVER",
        "dialog CLIENT",
    ):
        assert line in done.stdout
    assert "under 00f067aa0ba902b7" in done.stdout  # the caller's span
    assert "+49155" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


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
