"""The one INVITE of the benchmarks, about 1 kB: what the micro-benchmark parses is what SIPp sends."""

import re
from pathlib import Path

SCENARIO = Path(__file__).with_name("uac.xml")

# What SIPp would put in place of its keywords.
VALUES = {
    "remote_ip": "127.0.0.1",
    "remote_port": "5060",
    "local_ip": "127.0.0.1",
    "local_port": "5070",
    "local_ip_type": "4",
    "media_ip": "127.0.0.1",
    "media_ip_type": "4",
    "branch": "z9hG4bK-20518-1-0",
    "call_id": "1-20518@127.0.0.1",
    "call_number": "1",
    "pid": "20518",
}


def _first_message(scenario: str) -> bytes:
    """Return the scenario's first message as it goes over the wire."""
    start = scenario.index("<![CDATA[") + len("<![CDATA[")
    lines = [line.strip() for line in scenario[start : scenario.index("]]>", start)].strip().splitlines()]
    head, _, body = "\r\n".join(lines).partition("\r\n\r\n")
    body = _filled(body) + "\r\n"
    return f"{_filled(head, len=str(len(body)))}\r\n\r\n{body}".encode()


def _filled(text: str, **more: str) -> str:
    values = VALUES | more
    return re.sub(r"\[(\w+)\]", lambda keyword: values[keyword[1]], text)


INVITE: bytes = _first_message(SCENARIO.read_text())
