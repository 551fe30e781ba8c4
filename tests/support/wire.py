"""SIP messages as the cast saw them: SIPp's message log read back, and how one is picked by name.

    bob INVITE          the INVITE that bob received
    bob re-INVITE       one inside a dialog
    alice 200           a response that alice received
    alice 200 BYE       the one whose CSeq says BYE
    bob INVITE#2        the second of its kind

Retransmissions count once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_ENTRY = re.compile(
    rb"-{47} [^\n]*\n(?P<transport>\w+) message "
    rb"(?:(?P<received>received \[)|sent \()(?P<length>\d+)[^\n]*\n\n"
)
_NAME = re.compile(r"(?P<who>\S+) (?P<kind>[^#\s]+)(?: (?P<method>[^#\s]+))?(?:#(?P<number>\d+))?")


@dataclass(frozen=True, slots=True)
class Message:
    """One SIP message; header names keep their case, rows their order."""

    text: str
    received: bool
    transport: str  # UDP or TCP
    start_line: str
    rows: tuple[tuple[str, str], ...]
    body: str

    def values(self, name: str) -> list[str]:
        """The values of all rows of that name, in order."""
        return [value for row, value in self.rows if row.lower() == name.lower()]

    @property
    def kind(self) -> str:
        """Method or status code; `re-INVITE` for an INVITE inside a dialog."""
        first, second, *_ = self.start_line.split(" ")
        if first == "SIP/2.0":
            return second
        return "re-INVITE" if first == "INVITE" and "tag=" in self.values("To")[0] else first

    @property
    def method(self) -> str:
        """CSeq's method."""
        return self.values("CSeq")[0].split()[-1]


def parse(raw: bytes, *, received: bool, transport: str) -> Message:
    """A message from its bytes. Test peers write no folded or compact headers."""
    text = raw.decode("utf-8", "replace")
    head, _, body = text.partition("\r\n\r\n")
    start_line, *lines = head.split("\r\n")
    parts = (line.partition(":") for line in lines)
    rows = tuple((name.strip(), value.strip(" \t")) for name, _, value in parts)
    return Message(text, received, transport, start_line, rows, body)


def read_log(path: Path) -> list[Message]:
    """Everything that a SIPp wrote with -trace_msg."""
    log = path.read_bytes() if path.exists() else b""
    found = []
    for entry in _ENTRY.finditer(log):
        raw = log[entry.end() : entry.end() + int(entry["length"])]
        message = parse(raw, received=entry["received"] is not None, transport=entry["transport"].decode())
        found.append(message)
    return found


def pick(seen: Mapping[str, Iterable[Message]], name: str) -> list[Message]:
    """The received messages that a name stands for."""
    match = _NAME.fullmatch(name)
    if match is None or match["who"] not in seen:
        raise ValueError(f"{name!r}: not 'WHO WHAT', 'WHO STATUS METHOD' or 'WHO WHAT#N' of this cast")
    chosen: dict[str, Message] = {}
    for message in seen[match["who"]]:
        if message.received and message.kind == match["kind"] and match["method"] in (None, message.method):
            chosen.setdefault(message.text, message)
    messages = list(chosen.values())
    if match["number"] is None:
        return messages
    return messages[int(match["number"]) - 1 :][:1]
