"""sipsak: what monitoring and the curious send. sipsak 0.9.8.1 drops the fifth digit of a port from its
Request-URI, so the proxy listens on a port of four."""

from __future__ import annotations

import random
import re
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.otlp import Receiver
from tests.support.programs import require
from tests.support.proxy import Proxy
from tests.support.sipp import Cast

from .people import (
    ALICE,
    BOB,
    HOSTS,
    TRACE_ID,
    TRACEPARENT,
    final_words,
    nothing_is_left,
    only,
    party,
    place,
    settings,
)

HEAD = """\
From: <sip:tester@127.0.0.2>;tag=1
Call-ID: {name}@127.0.0.2
Max-Forwards: 70
"""
# Each with the status that it earns; sipsak puts a Via of its own below the first line.
MESSAGES = {
    "plain": ("OPTIONS {uri} SIP/2.0", "To: <{uri}>\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n", 200),
    "compact and folded": (
        "OPTIONS {uri} SIP/2.0",
        "t\t:\n\t<{uri}>\nCSeq:\n  0000001\n \t OPTIONS\nk: timer ,\n\tpath\nl:    0\n\n",
        200,
    ),
    "unknown headers and an empty one": (
        "OPTIONS {uri};unknown=%61 SIP/2.0",
        'To: "a \\"quoted\\" <name>" <{uri}>\nCSeq: 1 OPTIONS\nNew: ;;,,;\nSubject:\nContent-Length: 0\n\n',
        200,
    ),
    "extension nobody has": (
        "OPTIONS {uri} SIP/2.0",
        "To: <{uri}>\nCSeq: 1 OPTIONS\nRequire: nothingSupportsThis\nContent-Length: 0\n\n",
        420,
    ),
    "two methods": ("OPTIONS {uri} SIP/2.0", "To: <{uri}>\nCSeq: 1 INVITE\nContent-Length: 0\n\n", 400),
    "two Call-IDs": (
        "OPTIONS {uri} SIP/2.0",
        "To: <{uri}>\nCall-ID: another\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n",
        400,
    ),
    "shorter than it says": (
        "OPTIONS {uri} SIP/2.0",
        "To: <{uri}>\nCSeq: 1 OPTIONS\nContent-Length: 9999\n\nbody",
        400,
    ),
    "negative length": (
        "OPTIONS {uri} SIP/2.0",
        "To: <{uri}>\nCSeq: 1 OPTIONS\nContent-Length: -999\n\n",
        400,
    ),
    "number too large": (
        "OPTIONS {uri} SIP/2.0",
        "To: <{uri}>\nCSeq: 36893488147419103232 OPTIONS\nContent-Length: 0\n\n",
        400,
    ),
    "strange scheme": (
        "OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0",
        "To: <{uri}>\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n",
        416,
    ),
    "version of the future": (
        "OPTIONS {uri} SIP/7.0",
        "To: <{uri}>\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n",
        505,
    ),
    "a stranger's call": (
        "INVITE {uri} SIP/2.0",
        "To: <{uri}>\nCSeq: 1 INVITE\nContact: <sip:tester@127.0.0.2>\nContent-Length: 0\n\n",
        403,
    ),
}


def sipsak(*arguments: str) -> subprocess.CompletedProcess[str]:
    """It ends by itself: its first timer is shortened, and with it how long it waits."""
    program = require("sipsak", "sipsak")
    command = [program, "-vv", "--timer-t1=100", "--timeout-factor=10", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def four_digit_port(host: str) -> int:
    """A port below 10000 that is free for UDP and TCP."""
    for _ in range(1000):
        port = random.randrange(5061, 10000)
        try:
            with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.bind((host, port))
                tcp.bind((host, port))
        except OSError:
            continue
        return port
    raise RuntimeError(f"no free port below 10000 on {host}")


def proxy_for(receiver: Receiver, folder: Path, bob_at: str = "127.0.0.3:9") -> Proxy:
    """Alice may call bob; nobody else may call anybody."""
    port = four_digit_port(HOSTS["proxy"])
    listen = [f"{transport}:{HOSTS['proxy']}:{port}" for transport in ("udp", "tcp")]
    trunks = {
        "alice": {"address": "127.0.0.2:9", "match": [HOSTS["alice"]]},
        "bob": {"address": bob_at},
    }
    return Proxy(
        settings(receiver, trunks, [{"from": "alice", "to": ["bob"]}], listen=listen), folder / "proxy"
    )


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_ping_is_answered(tmp_path: Path, receiver: Receiver, transport: str) -> None:
    with proxy_for(receiver, tmp_path) as proxy:
        done = sipsak(f"--transport={transport}", "-s", f"sip:{proxy.address(transport)}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SIP/2.0 200 OK" in done.stdout
    assert receiver.spans == []  # a ping is no call


def test_raw_messages_get_what_they_earn(tmp_path: Path, receiver: Receiver) -> None:
    wrong = []
    with proxy_for(receiver, tmp_path) as proxy:
        uri = f"sip:{proxy.address('udp')}"
        for name, (first, rest, status) in MESSAGES.items():
            head = HEAD.format(name=name.replace(" ", "-"))
            path = tmp_path / "message.sip"
            path.write_text("\n".join([first.format(uri=uri), head + rest.format(uri=uri)]))
            done = sipsak("-f", str(path), "-s", uri)
            heard = re.findall(r"^SIP/2\.0 (\d{3})", done.stdout, re.MULTILINE)
            if heard != [str(status)]:
                wrong.append(f"{name}: {heard} instead of {status}\n{done.stdout}{done.stderr}")
    assert wrong == []


@pytest.mark.parametrize(
    "noise",
    ["This is no SIP message\n\nat all\n", f"OPTIONS sip:127.0.0.1 SIP/2.0\n{HEAD}CSeq: 1 OPTIONS\n\n"],
    ids=["no SIP", "no To"],
)
def test_what_cannot_be_answered_is_dropped_and_counted(
    tmp_path: Path, receiver: Receiver, noise: str
) -> None:
    path = tmp_path / "noise.sip"
    path.write_text(noise)
    with proxy_for(receiver, tmp_path) as proxy:
        done = sipsak("--timer-t1=20", "-f", str(path), "-s", f"sip:{proxy.address('udp')}")
    assert "SIP/2.0" not in done.stdout
    assert final_words(proxy)["counts"]["malformed"] > 0


def test_after_a_flood_a_call_still_gets_through(tmp_path: Path, receiver: Receiver) -> None:
    alice_at, bob_at = place("alice"), place("bob")
    with proxy_for(receiver, tmp_path, bob_at) as proxy, Cast() as cast:
        cast.enter(party(BOB, tmp_path, bob_at), tmp_path)
        at = proxy.address("udp")
        done = sipsak("-F", "-e", "5000", "-s", f"sip:{at}")
        assert "flood end reached" in done.stdout, done.stdout + done.stderr
        headers = [f"traceparent: {TRACEPARENT}"]
        cast.enter(party(ALICE, tmp_path, alice_at, calls_at=at, headers=headers), tmp_path)
        cast.finish()
    assert only(receiver.spans, "INVITE server").trace_id == TRACE_ID
    assert nothing_is_left(proxy)
