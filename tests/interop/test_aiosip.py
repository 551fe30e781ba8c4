"""aiosip as a foreign user agent: no transactions, every request of a call with the branch of its INVITE."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.otlp import Receiver
from tests.support.programs import require_package
from tests.support.proxy import Proxy
from tests.support.sipp import Cast

from .people import (
    ALICES_SPAN,
    HOSTS,
    TRACE_ID,
    TRACEPARENT,
    final_words,
    heard,
    nothing_is_left,
    only,
    party,
    place,
    settings,
    traceparent_of,
)
from .script import Script

PEER = Path(__file__).parent / "aiosip_peer.py"


def aiosip(command: str, *arguments: str) -> dict[str, Any]:
    """What it was answered."""
    require_package("aiosip")
    line = [sys.executable, str(PEER), command, *arguments]
    done = subprocess.run(line, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_options_is_answered(tmp_path: Path, receiver: Receiver) -> None:
    with Proxy(settings(receiver, {}, []), tmp_path) as proxy:
        answer = aiosip("options", place("alice"), proxy.address("udp"))
    assert answer["status"] == 200
    assert "INVITE" in answer["headers"]["Allow"]


@pytest.mark.parametrize("who_ends", ["alice", "bob"])
def test_a_call_and_its_trace(tmp_path: Path, receiver: Receiver, who_ends: str) -> None:
    script = Script("bob").is_called("alice").rings().answers()
    script = script.is_hung_up_on() if who_ends == "alice" else script.hangs_up()
    alice_at, bob_at = place("alice"), place("bob")
    trunks = {
        "alice": {"address": alice_at, "match": [HOSTS["alice"]], "trace": {"respond": True}},
        "bob": {"address": bob_at},
    }
    routes = [{"from": "alice", "to": ["bob"]}]
    with Proxy(settings(receiver, trunks, routes), tmp_path / "proxy") as proxy, Cast() as cast:
        bob = cast.enter(party(script, tmp_path, bob_at), tmp_path)
        answer = aiosip("call", alice_at, proxy.address("udp"), TRACEPARENT, who_ends)
        cast.finish()
    root, attempt = only(receiver.spans, "INVITE server"), only(receiver.spans, "INVITE client")
    assert (root.trace_id, root.parent_id) == (TRACE_ID, ALICES_SPAN)
    [invite] = heard(bob.messages, "INVITE")
    assert invite.values("traceparent") == [traceparent_of(attempt)]
    assert answer["headers"]["traceparent"].startswith(f"00-{TRACE_ID}-")
    assert "bob-1" in answer["sdp"]
    assert only(receiver.spans, "dialog server").attributes["sip.dialog.end"] == (
        "caller_bye" if who_ends == "alice" else "callee_bye"
    )
    assert nothing_is_left(proxy), final_words(proxy)
