"""The proxy in memory between a sender and one trunk, with time that jumps: what becomes of a single message?

    sender --message--> Engine --request--> trunk, which answers 200 (or what a test says)
    sender <--answer--- Engine <--200------ trunk

Nobody acknowledges anything, so whatever the message began has to end by its own timers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sipproxy.b2bua.engine import Engine
from sipproxy.b2bua.routing import Router
from sipproxy.b2bua.settings import RouteSettings, TrunkSettings
from sipproxy.errors import RemoteProtocolError
from sipproxy.propagation.context import TraceContext
from sipproxy.sip.build import respond_to
from sipproxy.sip.flow import TCP, UDP, Flow, Listener, join_host
from sipproxy.sip.framing import StreamFramer
from sipproxy.sip.headers import VIA
from sipproxy.sip.ids import Ids
from sipproxy.sip.message import Request, Response, parse

LONG_ENOUGH = 400.0  # seconds: more than any timer of a call that nobody answers for
LIMIT = 65535  # bytes of one message on a stream
STEPS = 5000  # timers that one message may take; more means that something goes on for ever

TRUNK, TRUNK_IPV6 = "192.0.2.200", "[2001:db8::200]"

Answerer = Callable[[Request], list[Response]]


def accept(request: Request) -> list[Response]:
    """What the trunk says unless a test says otherwise: 200."""
    response = respond_to(request, 200, to_tag="the-trunk")
    if request.method == "INVITE":
        response.headers.add("Contact", f"<sip:trunk@{TRUNK_IPV6 if ':' in _sent_by(request) else TRUNK}>")
    return [response]


def _sent_by(request: Request) -> str:
    via = request.headers.first(VIA)
    return via.host if via else ""


@dataclass(slots=True)
class Reaction:
    """What the proxy sent: to the trunk, and back to the sender."""

    forwarded: list[Request] = field(default_factory=list)
    answers: list[Response] = field(default_factory=list)
    wire: list[bytes] = field(default_factory=list)  # of what was forwarded

    @property
    def outcome(self) -> str:
        """`forward`, the status of the final answer, or `drop`."""
        if self.forwarded:
            return "forward"
        finals = {answer.status for answer in self.answers if answer.status >= 200}
        assert len(finals) <= 1, "more than one final answer"
        return str(finals.pop()) if finals else "drop"


class Hop:
    """One engine with a UDP and a TCP socket, and a route for everybody to one trunk at an IP literal."""

    def __init__(
        self,
        *,
        ipv6: bool = False,
        answer: Answerer = accept,
        trunk: TrunkSettings | None = None,
        seed: int = 7,
    ) -> None:
        here, there, self.source = "192.0.2.53", TRUNK, "192.0.2.99"
        if ipv6:
            here, there, self.source = "2001:db8::53", TRUNK_IPV6.strip("[]"), "2001:db8::99"
        listeners = [
            Listener(0, UDP, here, 5060, join_host(here, 5060)),
            Listener(1, TCP, here, 5060, join_host(here, 5060)),
        ]
        self.here, self.there = here, there
        self.now = 0.0
        self.answer = answer
        settings = trunk or TrunkSettings(address=join_host(there, 5060))
        self.engine = Engine(
            listeners,
            Ids(random.Random(seed).randbytes),
            Router.of({"trunk": settings}, (RouteSettings(to=("trunk",)),)),
            sample=_always,
        )
        self.reaction = Reaction()
        self._connections = 0

    def send(self, data: bytes, transport: str = UDP, *, by_the_trunk: bool = False) -> Reaction:
        """Let a message arrive, on a stream cut by the framer; what comes of it before any timer."""
        self.reaction = Reaction()
        if transport == UDP:
            self._arrive(data, Flow(UDP, self.there if by_the_trunk else self.source, 5060, 0, 0))
        else:
            self._connections += 1
            flow = Flow(TCP, self.source, 40000 + self._connections, self._connections, 1)
            framer = StreamFramer(LIMIT)
            try:
                messages = framer.feed(data)
            except RemoteProtocolError:
                messages = [framer.pending]  # answered if it can be, before the connection closes
            for message in messages:
                self._arrive(message, flow)
        return self.reaction

    def pass_time(self, seconds: float = LONG_ENOUGH) -> None:
        """Fire every timer of that time at its moment."""
        end = self.now + seconds
        for _ in range(STEPS):
            at = self.engine.next_at
            if at is None or at > end:
                self.now = end
                return
            self.now = max(self.now, at)
            self.engine.expire(self.now)
            self._settle()
        raise AssertionError("timers for ever")

    def left_over(self) -> list[str]:
        """What is left of whatever was; nothing should be."""
        shared = self.engine.shared
        places = sum(trunk.calls for trunk in shared.router.trunks.values())
        found = {
            "transactions": self.engine.endpoint.transactions,
            "calls": self.engine.calls,
            "dialogs": len(shared.legs),
            "open INVITEs": len(shared.open_invites),
            "places taken on trunks": places,
        }
        return [f"{count} {what}" for what, count in found.items() if count]

    def answers_options(self) -> bool:
        """Whether it still does what it is asked."""
        probe = (
            f"OPTIONS sip:{join_host(self.here, 5060)} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {join_host(self.source, 5060)};branch=z9hG4bKstill-alive-{self.now}\r\n"
            f"From: <sip:probe@example.com>;tag=p\r\nTo: <sip:{join_host(self.here, 5060)}>\r\n"
            f"Call-ID: probe-{self.now}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
        return self.send(probe.encode()).outcome == "200"

    def _arrive(self, data: bytes, flow: Flow) -> None:
        self.engine.receive(data, flow, self.now)
        self._settle()

    def _settle(self) -> None:
        """Carry out effects until none is left; the trunk answers at once, no name resolves."""
        while True:
            sent, lookups, _facts = self.engine.take()
            if not sent and not lookups:
                return
            for lookup in lookups:
                self.engine.located(lookup.token, [], self.now)
            for transmit in sent:
                message = parse(transmit.data)  # what we send has to be readable
                if transmit.flow.host == self.there:
                    self._at_trunk(message, transmit.data, transmit.flow)
                elif isinstance(message, Response):
                    assert transmit.flow.host == self.source, "answered somebody else"
                    self.reaction.answers.append(message)

    def _at_trunk(self, message: Request | Response, data: bytes, flow: Flow) -> None:
        if isinstance(message, Response):
            return
        self.reaction.forwarded.append(message)
        self.reaction.wire.append(data)
        if message.method == "ACK":
            return
        for response in self.answer(message) if message.method != "BYE" else accept(message):
            self.engine.receive(response.encode(), flow, self.now)


def _always(trace_id: str, parent: TraceContext | None) -> bool:
    return True


def is_repaired(wire: Iterable[bytes]) -> bool:
    """Whether what was forwarded is sound where the message was not: it can be read, its URI is bare."""
    for data in wire:
        request = parse(data)
        assert isinstance(request, Request)
        if request.parsed_uri.headers or not request.parsed_uri.is_sip:
            return False
    return True


def judge(hop: Hop, data: bytes, transport: str, allowed: Iterable[str]) -> Reaction:
    """Send one message and hold the proxy to what it may do; then it has to be as good as new."""
    reaction = hop.send(data, transport)
    outcome = reaction.outcome
    if outcome == "forward" and "forward" not in allowed:
        outcome = "forward-repaired" if is_repaired(reaction.wire) else "forward"
    assert outcome in allowed, f"{outcome}, not one of {', '.join(allowed)}"
    hop.pass_time()
    assert hop.answers_options()
    hop.pass_time()
    assert hop.left_over() == []
    return reaction
