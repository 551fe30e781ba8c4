"""Calls as the API tells them: spans, messages and rows are put together here."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

START_US = int(time.time() * 1e6) - 3_600_000_000
OURS = "192.0.2.10:5060"
PEERS = {
    "customer": "198.51.100.7:5060",
    "agent": "203.0.113.21:5060",
    "colleague": "203.0.113.22:5060",
    "expert": "203.0.113.23:5062",
    "carrier-a": "198.51.100.90:5060",
    "carrier-b": "198.51.100.91:5060",
}
NOT_OURS = ("error.type", "interaction.id", "network.peer.address")
PHRASES = {
    100: "Trying",
    180: "Ringing",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    404: "Not Found",
}
PHRASES |= {486: "Busy Here", 487: "Request Terminated", 503: "Service Unavailable", 481: "No Such Call"}


def hexid(text: str, length: int = 16) -> str:
    """An id that is the same each time."""
    return (text.encode().hex() * 4)[:length].ljust(length, "e")


@dataclass
class Tale:
    """A story while it is written; milliseconds since START_US count."""

    trace_id: str = "4bf92f3577f34da6a3ce929d0e0e4736"
    interaction: str = "visit-7f3a-2"
    calls: list[Json] = field(default_factory=list)
    spans: list[Json] = field(default_factory=list)
    messages: list[Json] = field(default_factory=list)

    def call(self, name: str, began: float, **more: Any) -> Json:
        """A call; its root's id is made of its name."""
        row = row_of(hexid(name), self.trace_id, START_US + us(began), interaction_id=self.interaction) | more
        self.calls.append(row)
        return row

    def span(
        self,
        name: str,
        kind: str,
        start: float,
        end: float | None,
        *,
        call: Json,
        ident: str = "",
        parent: str = "",
        failed: bool = False,
        links: Iterable[Json] = (),
        events: Iterable[tuple[str, float]] = (),
        **attributes: Any,
    ) -> str:
        """A span; gives its id."""
        span_id = ident or hexid(f"{len(self.spans):03}{name}{call['id']}"[:8], 16)
        told = {key.replace("__", "."): value for key, value in attributes.items()}
        self.spans.append(
            {
                "trace_id": call["trace_id"],
                "span_id": span_id,
                "parent_id": parent or (call["id"] if span_id != call["id"] else ""),
                "remote": False,
                "name": name,
                "kind": kind,
                "start_us": START_US + us(start),
                "end_us": None if end is None else START_US + us(end),
                "failed": failed,
                "attributes": {
                    key if key in NOT_OURS else f"sip.{key}": value for key, value in told.items()
                },
                "events": [
                    {"name": what, "at_us": START_US + us(at), "attributes": {}} for what, at in events
                ],
                "links": list(links),
                "call": call["id"],
            }
        )
        return span_id

    def says(
        self,
        at: float,
        peer: str,
        start: str,
        *spans: str,
        sent: bool = False,
        method: str = "",
        cseq: int = 1,
        call: Json | None = None,
        rows: Iterable[str] = (),
        body: str = "",
    ) -> None:
        """A message from (or to) a peer; `spans` are the ids that it belongs to."""
        call = call or self.calls[0]
        status = int(start) if start.isdigit() else None
        line = f"{status} {PHRASES[status]}" if status else start
        method = method or ("INVITE" if status else start.removeprefix("re-"))
        theirs = PEERS.get(peer, "192.0.2.99:5060")
        call_id = f"{hexid(peer)[:10]}@{theirs.split(':')[0]}"
        first = f"SIP/2.0 {line}" if status else f"{method} sip:***22@{theirs if sent else OURS} SIP/2.0"
        text = [
            first,
            f"Via: SIP/2.0/UDP {OURS if sent else theirs};branch=z9hG4bK{hexid(str(at))[:12]};rport",
        ]
        text += ["From: <sip:***11@198.51.100.7>;tag=first-77", "To: <sip:***22@192.0.2.10>"]
        text += [
            f"Call-ID: {call_id}",
            f"CSeq: {cseq} {method}",
            *rows,
            f"Content-Length: {132 if body else 0}",
        ]
        if body:
            text += ["", f"[body: 132 bytes, {body}]"]
        self.messages.append(
            {
                "n": len(self.messages) + 1,
                "at_us": START_US + us(at),
                "sent": sent,
                "transport": "UDP",
                "from": OURS if sent else theirs,
                "to": theirs if sent else OURS,
                "from_name": "sipproxy" if sent else peer,
                "to_name": peer if sent else "sipproxy",
                "start": line if status else start,
                "method": method,
                "cseq": cseq,
                "status": status,
                "call_id": call_id,
                "call": call["id"],
                "text": "\r\n".join(text),
                "spans": list(spans),
            }
        )

    def told(self, **more: Any) -> Json:
        """The answer of /api/traces/ID."""
        for call in self.calls:
            call["spans"] = sum(span["call"] == call["id"] for span in self.spans)
        return {
            "id": self.calls[0]["id"],
            "calls": self.calls,
            "traces": list(dict.fromkeys(call["trace_id"] for call in self.calls)),
            "spans": self.spans,
            "messages": sorted(self.messages, key=lambda message: message["at_us"]),
            "deep_links": {"Jaeger": f"http://jaeger.example/trace/{self.trace_id}"},
            "raw": False,
            "truncated": False,
        } | more


def us(ms: float) -> int:
    """Milliseconds as microseconds."""
    return round(ms * 1000)


def row_of(ident: str, trace_id: str, began_us: int, **more: Any) -> Json:
    """A call as a row."""
    return {
        "id": ident,
        "trace_id": trace_id,
        "state": "over",
        "began_us": began_us,
        "answered_us": None,
        "ended_us": None,
        "from": "***11",
        "to": "***22",
        "trunks": ["customer", "agent"],
        "call_ids": [f"{ident[:10]}@198.51.100.7", f"{ident[6:]}@192.0.2.10"],
        "interaction_id": "",
        "transfers": 0,
        "sampled": True,
        "method": "INVITE",
        "outcome": "",
        "status": 0,
        "error": "",
        "end": "",
        "setup_ms": None,
        "talk_ms": None,
        "transferred": False,
        "failed": False,
        "spans": 0,
    } | more


def live_call(number: int, began_us: int, **more: Any) -> Json:
    """One of many live calls."""
    state = ("talking", "talking", "talking", "talking", "ringing", "calling", "transferring")[number % 7]
    trunks = [("sbc", "carrier-a"), ("carrier-b", "sbc"), ("sbc", "carrier-a", "carrier-b")][number % 3]
    return {
        "id": f"{number:016x}",
        "trace_id": f"{number:032x}",
        "state": state,
        "began_us": began_us,
        "answered_us": began_us + 3_200_000 if state in ("talking", "transferring") else None,
        "from": f"***{number % 100:02}",
        "to": f"***{number * 7 % 100:02}",
        "trunks": list(trunks),
        "call_ids": [f"{number:x}-{number * 31 % 99991}@198.51.100.7"],
        "interaction_id": f"visit-{number:05x}" if number % 3 else "",
        "transfers": 1 if state == "transferring" else 0,
        "sampled": True,
    } | more
