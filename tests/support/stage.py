"""Performs a scenario: SIPp through the proxy, spans into a receiver; hands back all that was seen."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import wire
from .expect import Expectation, count
from .lines import LossyLine, Silence
from .otlp import Receiver
from .ports import free_port, host_port
from .proxy import Proxy, ProxyError
from .sipp import Cast, CastError, Role
from .spans import Span, drawn
from .story import NOBODY, SILENCE, Member, Story, merged

_SPANS_WITHIN_S = 8.0


@dataclass(slots=True)
class Performance:
    """What came of it."""

    failures: list[str] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)  # OTLP bodies
    output: str = ""  # of the proxy
    seen: dict[str, Sequence[wire.Message]] = field(default_factory=dict)

    def report(self) -> str:
        """For the message of a failed test."""
        return "\n".join([*self.failures, "--- spans", drawn(self.spans), "--- proxy", self.output[-4000:]])


@dataclass(slots=True)
class _Place:
    """Where a member of the cast is, and where the proxy finds it."""

    host: str
    port: int
    known_as: str  # host:port


class Stage:
    """One performance of one story."""

    def __init__(self, story: Story, receiver: Receiver, folder: Path) -> None:
        self._story = story
        self._receiver = receiver
        self._folder = folder
        self._places: dict[str, _Place] = {}
        self._lines: dict[str, LossyLine] = {}
        self._silences: dict[str, Silence] = {}
        self._result = Performance()

    def perform(self) -> Performance:
        """Play it, and compare."""
        result = self._result
        with contextlib.ExitStack() as stack:
            for number, (name, member) in enumerate(self._story.cast.items()):
                self._settle(stack, name, member, number)
            proxy = Proxy(self._config(), self._folder)
            try:
                with proxy:
                    self._play(proxy)
                    self._wait_for_spans()
                    addresses = self._addresses(proxy)
            except (ProxyError, CastError) as error:
                result.failures.append(str(error))
                addresses = {}
            result.output = proxy.output
        result.spans = list(self._receiver.spans)
        result.requests = list(self._receiver.requests)
        if addresses:
            expectation = Expectation(self._story, result.spans, result.seen, addresses)
            result.failures += expectation.failures()
        return result

    def _settle(self, stack: contextlib.ExitStack, name: str, member: Member, number: int) -> None:
        host = member.host or f"127.0.0.{number + 2}"
        if member.plays == SILENCE:
            silence = self._silences[name] = stack.enter_context(Silence(host))
            port = silence.address()[1]
        else:
            port = free_port(host)
        known_as = host_port(host, port)
        if member.line == "lossy":
            line = self._lines[name] = stack.enter_context(LossyLine(host))
            known_as = host_port(*line.address())
        self._places[name] = _Place(host, port, known_as)

    def _config(self) -> Mapping[str, Any]:
        """Each member is a trunk's peer; callers reach the callees' trunks in the order of the cast."""
        trunks: dict[str, Any] = {}
        for name, member in self._story.cast.items():
            if member.trunk is None:
                continue
            place = self._places[name]
            is_tcp = member.transport == "tcp"
            # a SIPp that calls over TCP does so from whatever port: then its address alone tells its trunk
            match = place.host if is_tcp and member.side == "caller" else place.known_as
            address = place.known_as + (";transport=tcp" if is_tcp else "")
            trunks[member.trunk] = {"address": address, "match": [match]}
        routes = [
            {"from": source, "user": f"^{re.escape(member.number)}$", "to": [member.trunk]}
            for member in self._story.cast.values()
            if member.number is not None
            for source in trunks
        ]
        routes += [{"from": source, "to": self._trunks("callee")} for source in self._trunks("caller")]
        host = "[::1]" if any(":" in place.host for place in self._places.values()) else "127.0.0.1"
        base = {
            "listen": [f"udp:{host}:0", f"tcp:{host}:0"],
            "trunks": trunks,
            "routes": routes,
            "tracing": {
                "exporter": "otlp",
                "protocol": self._receiver.protocol,
                "endpoint": self._receiver.endpoint,
                "every_ms": 50,
            },
            "timeouts": {"drain_s": 2},
        }
        config: Mapping[str, Any] = _filled(merged(base, self._story.proxy), self._addresses(None))
        return config

    def _trunks(self, side: str) -> list[str]:
        """Of one side, in the order of the cast."""
        members = self._story.cast.values()
        return list(dict.fromkeys(m.trunk for m in members if m.trunk is not None and m.side == side))

    def _play(self, proxy: Proxy) -> None:
        story = self._story
        with Cast() as cast:
            try:
                for side in ("callee", "caller"):
                    for name, member in story.cast.items():
                        if member.side == side and member.plays not in (NOBODY, SILENCE):
                            cast.enter(self._role(name, member, proxy), self._folder)
                cast.finish()
            finally:
                self._result.seen = {name: [] for name in story.cast}
                self._result.seen |= {actor.role.name: actor.messages for actor in cast.actors}
                self._result.seen |= {name: silence.heard for name, silence in self._silences.items()}

    def _role(self, name: str, member: Member, proxy: Proxy) -> Role:
        place = self._places[name]
        proxy_at = proxy.address(member.transport)
        if name in self._lines:
            line = self._lines[name]
            host, _, port = proxy_at.rpartition(":")
            line.ends = ((host, int(port)), (place.host, place.port))
            proxy_at = host_port(*line.address(1))
        headers = "\r\n".join([f"X-Scenario: {self._story.folder.name}", *member.headers])
        addresses = self._addresses(proxy)
        filled: str = _filled(headers, addresses)
        if isinstance(member.plays, str):
            script = self._story.script(member.plays)
        else:
            script = self._folder / f"{name}.xml"
            given = {**addresses, "me": name, "contact": place.known_as}
            script.write_text(self._story.composed(name, given), "utf-8")
        return Role(
            name=name,
            plays=script,
            host=place.host,
            port=place.port,
            transport=member.transport,
            calls_at=proxy_at if member.side == "caller" else None,
            dials=member.dials,
            calls=member.calls,
            keys={"headers": filled, "contact": place.known_as, **member.keys},
            args=("-cid_str", f"%u-%p-{name}@%s", *member.args),
        )

    def _addresses(self, proxy: Proxy | None) -> dict[str, str]:
        found = {name: place.known_as for name, place in self._places.items()}
        found |= {f"{name}.port": place.known_as.rpartition(":")[2] for name, place in self._places.items()}
        found |= {f"{name}.host": place.host for name, place in self._places.items()}
        found |= {f"{name}.number": member.number or "" for name, member in self._story.cast.items()}
        found |= {name: str(value) for name, value in self._story.given.items()}
        if proxy is not None:
            found |= {"proxy": proxy.address("udp"), "proxy.tcp": proxy.address("tcp")}
        return found

    def _wait_for_spans(self) -> None:
        wanted = count(self._story.spans or [])
        with contextlib.suppress(TimeoutError):  # what is missing then, the comparison says better
            self._receiver.wait_for(wanted, _SPANS_WITHIN_S)


def _filled(value: Any, places: Mapping[str, str]) -> Any:
    """The same with `{bob}` and the like put in."""
    if isinstance(value, str):
        for place, text in places.items():
            value = value.replace(f"{{{place}}}", text)
        return value
    if isinstance(value, Mapping):
        return {key: _filled(each, places) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, places) for each in value]
    return value
