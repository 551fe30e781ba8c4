"""config/fail2ban: the filter finds the strangers in a real proxy's log, nobody else; the jail is read."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.proxy import Proxy

FILES = Path(__file__).parents[2] / "config/fail2ban"
FILTER = FILES / "filter.d/sipproxy.conf"
STRANGERS = ("127.0.0.77", "127.0.0.78")
TRUNK = "127.0.0.79"
NASTY = 'x", "peer": "127.0.0.80", "reason": "", "event": "stranger refused", "level": "info'

if shutil.which("fail2ban-regex") is None and os.environ.get("CI") != "true":
    pytest.skip("no fail2ban on this machine (Debian: apt-get install fail2ban)", allow_module_level=True)


def asks(source: str, proxy: str, method: str, agent: str = "friendly-scanner") -> str:
    """The first line of the answer."""
    host, _, port = proxy.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind((source, 0))
        phone.settimeout(5)
        here = f"{source}:{phone.getsockname()[1]}"
        lines = [
            f"{method} sip:100@{host} SIP/2.0",
            f"Via: SIP/2.0/UDP {here};branch=z9hG4bK-{method}",
            f"From: <sip:100@{host}>;tag=1",
            f"To: <sip:100@{host}>",
            f"Call-ID: {method}-{here}",
            f"CSeq: 1 {method}",
            f"Contact: <sip:100@{here}>",
            "Max-Forwards: 70",
            f"User-Agent: {agent}",
            "Content-Length: 0",
        ]
        phone.sendto("\r\n".join([*lines, "", ""]).encode(), (host, int(port)))
        return phone.recv(4096).decode().partition("\r\n")[0]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the proxy wrote while two strangers scanned it, and a trunk asked for what is not there."""
    place = tmp_path_factory.mktemp("fail2ban")
    settings = {
        "listen": ["udp:127.0.0.1:0"],
        "trunks": {"sbc": {"address": f"{TRUNK}:5060", "match": [TRUNK]}},
        "routes": [{"user": "^9$", "to": ["sbc"]}],
        "tracing": {"exporter": "none"},
    }
    with Proxy(settings, place / "proxy") as proxy:
        address = proxy.address("udp")
        for stranger in STRANGERS:
            for method in ("OPTIONS", "REGISTER", "INVITE"):
                assert asks(stranger, address, method, NASTY) == "SIP/2.0 403 Forbidden"
        assert asks(TRUNK, address, "INVITE", NASTY).startswith("SIP/2.0 ")
    file = place / "log"
    in_journal = [f"Nov 23 02:07:40 voice-1 sipproxy[122]: {line}" for line in proxy.log]
    file.write_text("\n".join([*proxy.log, *in_journal]) + "\n")
    return file


def test_each_stranger_is_found_once_a_minute_in_a_file_and_in_the_journal(log: Path) -> None:
    command = ["fail2ban-regex", "--out", "ip", str(log), str(FILTER)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert sorted(said.stdout.split()) == sorted([*STRANGERS, *STRANGERS])


def test_the_time_is_the_lines_own(log: Path) -> None:
    said = subprocess.run(
        ["fail2ban-regex", str(log), str(FILTER)], capture_output=True, text=True, timeout=30, check=True
    )
    lines = len(log.read_text().splitlines())
    assert re.search(rf'Date template hits:\n.*\n\|  \[{lines}\] , "timestamp"', said.stdout)


def test_fail2ban_takes_the_jail(tmp_path: Path) -> None:
    etc = tmp_path / "fail2ban"
    shutil.copytree("/etc/fail2ban", etc, ignore=shutil.ignore_patterns("jail.d", "jail.local"))
    shutil.copytree(FILES, etc, dirs_exist_ok=True)
    command = ["fail2ban-client", "-c", str(etc), "-d"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert "ERROR" not in said.stderr
    for row in (
        "['add', 'sipproxy', 'systemd']",
        "['set', 'sipproxy', 'maxretry', 3]",
        "['set', 'sipproxy', 'addjournalmatch', '_SYSTEMD_UNIT=sipproxy.service']",
        "['protocol', 'tcp,udp']",
    ):
        assert row in said.stdout
