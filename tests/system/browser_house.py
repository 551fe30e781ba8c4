"""Where the desk calls: a proxy with WebSocket listeners, and agents behind it whom SIPp plays.

SIPp has no media. What it says of it is the least that Chromium takes from somebody that it is to talk with:
a fingerprint for DTLS, a name and a password for ICE, RTP and RTCP on one port. As there is no candidate, ICE
never begins, and the call goes on without a packet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.support import acts
from tests.support.collectors import Identity
from tests.support.otlp import HttpReceiver
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.sipp import Actor, Cast, Role
from tests.support.spans import Span, children, roots
from tests.support.story import ACTS

HOST = "127.0.0.1"
PATIENCE_S = 10.0
# The clerk's trunk wants the proxy to place what the clerk transfers; to the others REFER is relayed if they
# know it.
AGENTS: Mapping[str, Mapping[str, str]] = {"agent": {}, "clerk": {"refer": "local"}, "colleague": {}}
KNOWS_REFER = ["Allow: INVITE, ACK, CANCEL, BYE, REFER, NOTIFY"]

_PLAIN = "m=audio 40000 RTP/AVP 8"
_WEB = (
    "m=audio 40000 UDP/TLS/RTP/SAVPF 8",
    "a=ice-ufrag:{name}",
    "a=ice-pwd:0123456789abcdef012345",
    "a=fingerprint:sha-256 {fingerprint}",
    "a=setup:passive",
    "a=mid:0",
    "a=rtcp-mux",
)

Play = str | tuple[str, Mapping[str, acts.Value]]


class House:
    """A proxy and its receiver, for as many stories as there are; in each the agents come anew."""

    def __init__(
        self, folder: Path, receiver: HttpReceiver, identity: Identity, origins: Sequence[str]
    ) -> None:
        self._folder = folder
        self._receiver = receiver
        self._stories = 0
        self._places = {name: f"{HOST}:{free_port(HOST)}" for name in AGENTS}
        trunks = {
            name: {"address": place, "match": [place], **AGENTS[name]} for name, place in self._places.items()
        }
        self.proxy = Proxy(
            {
                "listen": [f"udp:{HOST}:0", f"ws:{HOST}:0", f"wss:{HOST}:0"],
                "tls": {
                    "certificates": [{"certificate": str(identity.certificate), "key": str(identity.key)}]
                },
                "websocket": {"origins": list(origins)},
                "trunks": {"desks": {"match": ["ws", "wss"]}, **trunks},
                "routes": [{"user": f"^{name}$", "to": [name]} for name in AGENTS],
                "tracing": {"exporter": "otlp", "endpoint": receiver.endpoint, "every_ms": 50},
                "timeouts": {"drain_s": 2},
            },
            folder / "proxy",
        )

    def server(self, transport: str) -> str:
        """Where the desk connects to."""
        return f"{transport}://{self.proxy.address(transport)}"

    def uri(self, name: str) -> str:
        """Whom an agent names in Refer-To."""
        return f"<sip:{name}@{self.proxy.address('udp')}>"

    def enter(self, cast: Cast, plays: Mapping[str, Path | Iterable[Play]]) -> dict[str, Actor]:
        """Agents of one story: what each does is a file, or acts."""
        self._stories += 1
        folder = self._folder / f"{self._stories}"
        folder.mkdir()
        entered = {}
        for name, play in plays.items():
            port = int(self._places[name].rpartition(":")[2])
            script = play if isinstance(play, Path) else self._composed(name, play, folder)
            calls = 1 + list(play).count("is-invited") if not isinstance(play, Path) else 1
            entered[name] = cast.enter(Role(name, script, HOST, port, calls=calls), folder)
        return entered

    def _composed(self, name: str, play: Iterable[Play], folder: Path) -> Path:
        given = {"me": name, "contact": self._places[name], "proxy": self.proxy.address("udp")}
        chosen = [(each, {}) if isinstance(each, str) else each for each in play]
        fingerprint = hashlib.sha256(name.encode()).digest().hex(":").upper()
        web = "\n      ".join(_WEB).format(name=name, fingerprint=fingerprint)
        script = folder / f"{name}.xml"
        script.write_text(acts.compose(name, chosen, (ACTS,), given).replace(_PLAIN, web), "utf-8")
        return script

    def trace(self, trace_id: str, spans: int) -> list[Span]:
        """All spans of a trace, once there are so many and no one waits for its parent."""

        def complete(found: Sequence[Span]) -> bool:
            own = [span for span in found if span.trace_id == trace_id]
            return len(own) >= spans and len(roots(own)) == 1

        found = self._receiver.wait_for(complete, PATIENCE_S)
        return [span for span in found if span.trace_id == trace_id]


def outline(spans: Sequence[Span]) -> str:
    """The tree, a line for each span: what it is, and at whom."""
    lines: list[str] = []

    def draw(some: Iterable[Span], depth: int) -> None:
        for span, title in sorted(((span, _title(span)) for span in some), key=lambda row: row[1]):
            lines.append(f"{'  ' * depth}{title}")
            draw(children(spans, span), depth + 1)

    draw(roots(spans), 0)
    return "\n".join(lines)


def _title(span: Span) -> str:
    where = span.attributes.get("sip.trunk") or span.resource["service.name"]
    assert isinstance(where, str)
    return f"{span.title} {where}"
