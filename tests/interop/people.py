"""Who stands where, and what every story of this folder asks at its end.

alice 127.0.0.2    proxy 127.0.0.1, and a second one 127.0.0.6
bob   127.0.0.3    sbc   127.0.0.4
carol 127.0.0.5
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.support.otlp import Receiver
from tests.support.ports import free_port
from tests.support.programs import require
from tests.support.proxy import Proxy
from tests.support.sipp import Role
from tests.support.spans import Span
from tests.support.wire import Message

from .script import Script

HOSTS = {
    "proxy": "127.0.0.1",
    "alice": "127.0.0.2",
    "bob": "127.0.0.3",
    "sbc": "127.0.0.4",
    "carol": "127.0.0.5",
    "next": "127.0.0.6",
}
NAMES = {host: name for name, host in HOSTS.items()}
TRACE_ID = "4bf92f3577f34da6a3ce929d0e0e4736"
ALICES_SPAN = "00f067aa0ba902b7"
DRAIN_S = 8
TRACEPARENT = f"00-{TRACE_ID}-{ALICES_SPAN}-01"

# The call of most stories: nothing special.
ALICE = Script("alice").calls().hears_it_ring().hears_answer("bob").hangs_up()
BOB = Script("bob").is_called("alice").rings().answers().is_hung_up_on()


def place(who: str) -> str:
    """host:port, free for whoever cannot say which port the kernel gave it."""
    return f"{HOSTS[who]}:{free_port(HOSTS[who])}"


def party(
    script: Script,
    folder: Path,
    at: str,
    *,
    calls_at: str | None = None,
    headers: Sequence[str] = (),
    calls: int = 1,
) -> Role:
    """A SIPp that follows the script."""
    require("sipp", "sip-tester")
    host, _, port = at.rpartition(":")
    # SIPp wants a line; a header that it may always send says nothing.
    rows = "\r\n".join(headers or ["Subject: interop"])
    keys = {"headers": rows, "contact": at}
    plays = script.write(folder / "scripts")
    return Role(script.who, plays, host, int(port), calls_at=calls_at, dials="bob", calls=calls, keys=keys)


def settings(
    receiver: Receiver, trunks: Mapping[str, Any], routes: Sequence[Any], *, listen: Sequence[str] = ()
) -> dict[str, Any]:
    """A proxy's configuration."""
    return {
        "listen": list(listen) or [f"udp:{HOSTS['proxy']}:0", f"tcp:{HOSTS['proxy']}:0"],
        "trunks": dict(trunks),
        "routes": list(routes),
        "tracing": {"protocol": receiver.protocol, "endpoint": receiver.endpoint, "every_ms": 50},
        "timeouts": {"drain_s": DRAIN_S},
    }


def final_words(proxy: Proxy) -> dict[str, Any]:
    """What a proxy that has ended said last: how many calls it had, what it counted."""
    return _said(proxy, "stopped")


def nothing_is_left(proxy: Proxy) -> bool:
    """Whether a proxy that has ended was idle before its patience was over: no call had to be broken off."""
    began, ended = (_said(proxy, event) for event in ("draining", "stopped"))
    at = [datetime.fromisoformat(event["timestamp"]) for event in (began, ended)]
    return ended["calls"] == 0 and (at[1] - at[0]).total_seconds() < DRAIN_S


def _said(proxy: Proxy, event: str) -> dict[str, Any]:
    found: dict[str, Any] = next(said for said in map(json.loads, proxy.log) if said["event"] == event)
    return found


def only(spans: Sequence[Span], title: str, **attributes: str) -> Span:
    """The one span of that name and kind, and of these attributes (`sip__leg` for `sip.leg`)."""
    wanted = {name.replace("__", "."): value for name, value in attributes.items()}
    found = [s for s in spans if s.title == title and wanted.items() <= s.attributes.items()]
    assert len(found) == 1, f"{len(found)} x {title} {wanted} among {[s.title for s in spans]}"
    return found[0]


def heard(messages: Sequence[Message], kind: str) -> list[Message]:
    """The received messages of a kind (method, `re-INVITE`, status), each once."""
    return list({m.text: m for m in messages if m.received and m.kind == kind}.values())


def traceparent_of(span: Span) -> str:
    """As it stands on the wire when `span` is what goes on."""
    return f"00-{span.trace_id}-{span.span_id}-01"
