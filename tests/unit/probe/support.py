"""A path in memory, with virtual time: what the probe sends comes back as the path has it.

seen, report = probe(Path(change=strip("tracestate")))
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from sipproxy.net.resolver import Resolver
from sipproxy.net.settings import TlsSettings
from sipproxy.probe.agent import Agent
from sipproxy.probe.fates import Finding
from sipproxy.probe.messages import Ourselves
from sipproxy.probe.placing import SipPlan, SipSeen, probe_sip
from sipproxy.probe.report import Report
from sipproxy.probe.sip_verdict import report_sip
from sipproxy.probe.wire import Wire
from sipproxy.sip.build import respond_to
from sipproxy.sip.flow import Flow, Listener
from sipproxy.sip.headers import MAX_FORWARDS, VIA
from sipproxy.sip.ids import Ids
from sipproxy.sip.message import Request, Response, parse

HERE, THERE = "192.0.2.10:5099", "192.0.2.20:5060"
TARGET = f"sip:probe@{THERE}"
Change = Callable[[Request], None]
Answers = Callable[[Request], Sequence[bytes]]


def drawn() -> Ids:
    """Ids that are the same in every run."""
    numbers = count(1)
    return Ids(lambda size: b"".join(next(numbers).to_bytes(4, "big") for _ in range(size // 4)))


class Path:
    """A proxy that keeps nothing: what comes goes back where it came from, with a Via and a hop less.

    `change` is done to each request on its way; `answers`, where it gives any, are instead of passing it on.
    """

    def __init__(
        self,
        change: Change | None = None,
        *,
        answers: Answers | None = None,
        stays: bool = True,
        replies: Callable[[Response], Response | None] | None = None,
        copies: int = 1,
    ) -> None:
        self.change = change
        self.answers = answers
        self.stays = stays
        self.replies = replies
        self.copies = copies
        self.requests: list[str] = []

    def take(self, data: bytes) -> list[bytes]:
        """What the probe gets for it."""
        message = parse(data)
        if isinstance(message, Response):
            return self._back(message)
        self.requests.append(message.method)
        if self.answers is not None:
            answered = self.answers(message)
            if answered:
                return [*answered]
        copies = self.copies if message.method == "INVITE" else 1
        return [self._on(parse(data), number) for number in range(copies)]

    def _on(self, message: Request | Response, number: int) -> bytes:
        assert isinstance(message, Request)
        headers = message.headers
        via = headers.first(VIA)
        assert via is not None
        branch = f"{via.branch}{number}"  # a repeat has the same (RFC 3261 section 16.11)
        if message.headers.values("route"):
            headers.remove("route")
        headers.set("Max-Forwards", str((headers.first(MAX_FORWARDS) or 0) - 1))
        if self.change is not None:
            self.change(message)
        if self.stays and message.method == "INVITE":
            headers.add("Record-Route", f"<sip:{THERE};lr>")
        headers.keys.insert(0, "via")
        headers.lines.insert(0, f"Via: SIP/2.0/UDP {THERE};branch={branch}")
        return message.encode()

    def _back(self, response: Response) -> list[bytes]:
        passed: Response | None = response if self.replies is None else self.replies(response)
        if passed is None:
            return []
        headers = passed.headers
        at = headers.keys.index("via")
        del headers.keys[at], headers.lines[at]
        return [passed.encode()]


class MemoryWire(Wire):
    """The path instead of sockets; time passes only while nothing is under way."""

    def __init__(self, path: Path) -> None:
        self.now = 0.0
        super().__init__(lambda: self.now)
        self.path = path
        self.agent: Agent | None = None

    async def open(
        self,
        listen: Sequence[tuple[str, str, int]],
        *,
        transport: str,
        target: str,
        caller: str | None,
        advertise: str | None,
        tls: TlsSettings | None,
    ) -> Agent:
        """As if it listened."""
        self.transports.listeners = listeners = [
            Listener(number, each, host, port, f"{host}:{port}")
            for number, (each, host, port) in enumerate(listen)
        ]
        ours = next(each for each in listeners if each.transport == transport)
        self.agent = Agent(Ourselves(target, caller, ours), listeners, drawn())
        return self.agent

    async def until(self, condition: Callable[[], bool], deadline: float) -> bool:
        """Pass on what there is, then let the earliest timer expire; and so on."""
        assert self.agent is not None
        timers = self.agent.endpoint.timers
        while True:
            self.flush(self.now)
            if condition():
                return True
            at = timers.next_at
            if at is None or at > deadline:
                self.now = max(self.now, deadline)
                return condition()
            self.now = max(self.now, at)
            self.agent.endpoint.expire(self.now)

    def flush(self, now: float) -> None:
        """All that is under way arrives."""
        assert self.agent is not None
        while self.agent.endpoint.outbox:
            outbox, self.agent.endpoint.outbox = self.agent.endpoint.outbox, []
            for transmit in outbox:
                flow = transmit.flow
                straight = f"{flow.host}:{flow.port}" == HERE
                host, port = (HERE if straight else THERE).split(":")
                source = Flow(flow.transport, host, int(port))
                came = [transmit.data] if straight else self.path.take(transmit.data)
                for data in came:
                    self.agent.receive(data, source, now)

    async def close(self) -> None:
        """Nothing is open."""


def probe(path: Path, *, wanted: Sequence[str] = ("traceparent",), **plan: Any) -> tuple[SipSeen, Report]:
    """A run of the probe along that path."""
    seen, _ = timed(path, **plan)
    return seen, report_sip(seen, [*wanted])


def timed(path: Path, **plan: Any) -> tuple[SipSeen, float]:
    """And how long it took, in its own time."""
    made = SipPlan(**{"target": TARGET, "listen": [("UDP", "192.0.2.10", 5099)], **plan})
    wire = MemoryWire(path)

    async def run() -> SipSeen:
        return await probe_sip(made, wire, Resolver(nameservers=[]))

    return asyncio.run(run()), wire.now


def found(report: Report, carrier: str) -> Finding:
    """What it says of one carrier."""
    (finding,) = [each for each in report.findings if each.carrier == carrier]
    return finding


def strip(*names: str) -> Change:
    """A path that takes headers away."""

    def change(request: Request) -> None:
        for name in names:
            request.headers.remove(name.lower())

    return change


def saying(status: int, *, only: str = "INVITE") -> Answers:
    """A path that answers by itself."""

    def answers(request: Request) -> Sequence[bytes]:
        if request.method != only:
            return []
        return [respond_to(request, status, to_tag="path").encode()]

    return answers
