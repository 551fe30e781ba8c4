"""Calls at an even pace that a busy callee refuses, and how long each message was under way inside the proxy.

A process of its own, so that nothing else takes part in what it measures:

    python tests/support/callers.py PROXY CALLER CALLEE COUNT RATE      (addresses as HOST:PORT)

It ends when all calls are answered, or have had ten seconds, and prints JSON: `answered`, and `inside_us`,
for each call from the sending of a message to the moment when the kernel had it for the other side, both
ways.
"""

from __future__ import annotations

import json
import re
import select
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_PATIENCE_NS = 10 * 10**9
_TIMESTAMPS = 35  # SO_TIMESTAMPNS, which `socket` does not name
_INVITE = """\
INVITE sip:+441632960961@{proxy} SIP/2.0
Via: SIP/2.0/UDP {caller};branch=z9hG4bK{n}-{run}
Max-Forwards: 70
From: <sip:+441632960123@{caller}>;tag={n}
To: <sip:+441632960961@{proxy}>
Call-ID: {n}-{run}@{caller}
CSeq: 1 INVITE
Contact: <sip:caller@{caller}>
X-Call: {n}
Content-Length: 0

"""
_COPIED = ("via", "from", "call-id", "cseq")


@dataclass(frozen=True, slots=True)
class Result:
    """What one run came to."""

    answered: int
    inside_us: list[float]

    def p99_us(self) -> float:
        return sorted(self.inside_us)[int(len(self.inside_us) * 0.99)]


class Callers:
    """Running calls."""

    def __init__(self, proxy: str, caller: int, callee: int, count: int, rate: int) -> None:
        sides = [f"127.0.0.1:{port}" for port in (caller, callee)]
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__), proxy, *sides, str(count), str(rate)],
            stdout=subprocess.PIPE,
        )

    def finish(self, timeout_s: float) -> Result:
        """Wait for them."""
        try:
            output, _ = self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise
        return Result(**json.loads(output))


def _main(proxy: str, caller: str, callee: str, count: int, rate: int) -> Result:
    asking, answering = _socket(caller), _socket(callee)
    run = f"{time.time_ns():x}"
    began = time.monotonic_ns()
    sent: dict[int, int] = {}
    refused: dict[int, int] = {}
    answered: set[int] = set()
    inside_us: list[float] = []
    while len(answered) < count:
        due = began + len(sent) * 10**9 // rate
        now = time.monotonic_ns()
        if len(sent) == count:
            due = began + count * 10**9 // rate + _PATIENCE_NS
            if now > due:
                break
        elif now >= due:
            n = len(sent)
            text = _INVITE.format(proxy=proxy, caller=caller, n=n, run=run)
            sent[n] = time.time_ns()
            asking.sendto(_wire(text), _address(proxy))
            continue
        ready, _, _ = select.select([asking, answering], [], [], (due - now) / 1e9)
        for side in ready:
            text, at_ns = _received(side)
            if side is answering and text.startswith("INVITE "):
                n = int(_header(text, "x-call"))
                if n not in refused:
                    inside_us.append((at_ns - sent[n]) / 1000)
                refused[n] = time.time_ns()
                answering.sendto(_busy(text), _address(proxy))
            elif side is asking and text.startswith("SIP/2.0 486 "):
                n = int(_header(text, "call-id").partition("-")[0])
                if n not in answered:
                    inside_us.append((at_ns - refused[n]) / 1000)
                answered.add(n)
                asking.sendto(_ack(text, proxy), _address(proxy))
    return Result(len(answered), inside_us)


def _busy(invite: str) -> bytes:
    lines = [line for line in invite.split("\r\n") if line.partition(":")[0].lower() in _COPIED]
    to = f"To: {_header(invite, 'to')};tag=busy"
    return _wire("\n".join(["SIP/2.0 486 Busy Here", *lines, to, "Content-Length: 0", "", ""]))


def _ack(response: str, proxy: str) -> bytes:
    head = [f"{name}: {_header(response, name)}" for name in ("via", "from", "to", "call-id")]
    start = f"ACK sip:+441632960961@{proxy} SIP/2.0"
    return _wire("\n".join([start, *head, "CSeq: 1 ACK", "Max-Forwards: 70", "Content-Length: 0", "", ""]))


def _header(text: str, name: str) -> str:
    found = re.search(rf"^{name}:[ \t]*(.*?)\r?$", text, re.IGNORECASE | re.MULTILINE)
    assert found is not None, text
    return found[1]


def _wire(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _socket(address: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    made.setsockopt(socket.SOL_SOCKET, _TIMESTAMPS, 1)
    made.bind(_address(address))
    return made


def _received(side: socket.socket) -> tuple[str, int]:
    """A message, and when the kernel had it."""
    data, more, _, _ = side.recvmsg(65536, 128)
    (stamp,) = [value for level, kind, value in more if (level, kind) == (socket.SOL_SOCKET, _TIMESTAMPS)]
    seconds, ns = struct.unpack("@qq", stamp)
    return data.decode(), seconds * 10**9 + ns


if __name__ == "__main__":
    _proxy, _caller, _callee, *_numbers = sys.argv[1:]
    _result = _main(_proxy, _caller, _callee, *map(int, _numbers))
    print(json.dumps({"answered": _result.answered, "inside_us": _result.inside_us}))
