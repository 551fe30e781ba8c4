"""Facts as the core tells them, for tests: one call, with its moments in seconds."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from sipproxy.b2bua.events import (
    Attempted,
    CallForgotten,
    Concluded,
    DialogEnded,
    Established,
    Fact,
    Milestone,
    Progressed,
    RequestArrived,
    Routed,
    Settled,
)
from sipproxy.propagation.context import TraceContext
from sipproxy.propagation.correlation import Origin
from sipproxy.sip.flow import UDP, Flow
from sipproxy.sip.message import Request, parse

TRACE_ID = "4bf92f3577f34da6a3ce929d0e0e4736"
CALLER = "+4915550001234"
CALLEE = "alice"
SENDER = TraceContext(TRACE_ID, "00f067aa0ba902b7", 1)

_INVITE = """\
{method} sip:{callee}@sip.example.com SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK-1
From: "Jane Roe" <sip:{caller}@192.0.2.1:5070>;tag=1
To: <sip:{callee}@sip.example.com>
Call-ID: {call_id}
CSeq: 7 {method}
Max-Forwards: 70
{more}Content-Length: 0

"""

_numbers = itertools.count(0x1000)


def span_id() -> str:
    """One that no other test has."""
    return f"{next(_numbers):016x}"


def request(method: str = "INVITE", call_id: str = "1-2345@192.0.2.1", more: str = "") -> Request:
    """The caller's request; `more` are further header lines, each with its newline."""
    text = _INVITE.format(method=method, caller=CALLER, callee=CALLEE, call_id=call_id, more=more)
    message = parse(text.replace("\n", "\r\n").encode("utf-8", "surrogateescape"))
    assert isinstance(message, Request)
    return message


@dataclass
class Call:
    """One call from its first fact to its last."""

    request: Request = field(default_factory=request)
    parent: TraceContext | None = SENDER
    sampled: bool = True
    interaction_id: str = ""
    session_id: str = ""
    rtt_ms: float | None = None
    carrier: str = "traceparent"
    decision: str = "adopted"
    transferred: bool = False
    trace_id: str = TRACE_ID

    def __post_init__(self) -> None:
        self.root = TraceContext(self.trace_id, span_id(), int(self.sampled), "vendor=1")
        self.attempt = self.root.child(span_id())
        self.caller_dialog = self.root.child(span_id())
        self.callee_dialog = self.root.child(span_id())
        self.origin = Origin(self.root, self.parent, self.carrier, self.decision)
        self.caller_flow = Flow(UDP, "192.0.2.1", 5070)
        self.callee_flow = Flow(UDP, "198.51.100.2", 5080)

    def arrives(self, at: float = 0.0) -> Fact:
        return RequestArrived(
            root=self.root,
            origin=self.origin,
            at=at,
            trunk="sbc",
            request=self.request,
            flow=self.caller_flow,
            interaction_id=self.interaction_id,
            session_id=self.session_id,
            rtt_ms=self.rtt_ms,
            transferred=self.transferred,
        )

    def is_routed(self, *trunks: str, at: float = 0.0, error: str = "") -> Fact:
        return Routed(self.root, span_id(), at, at, trunks, error)

    def is_tried(
        self, trunk: str = "carrier-a", at: float = 0.0, context: TraceContext | None = None
    ) -> Fact:
        return Attempted(
            root=self.root,
            parent=self.root,
            context=context or self.attempt,
            at=at,
            arrived_at=0.0,
            method=self.request.method,
            trunk=trunk,
            call_id="0123456789abcdef0123456789abcdef",
            flow=self.callee_flow,
            cseq=1,
            rtt_ms=self.rtt_ms,
        )

    def progresses(self, status: int, *contexts: TraceContext, at: float) -> list[Fact]:
        return [Progressed(context.span_id, status, at) for context in contexts]

    def concludes(
        self,
        context: TraceContext,
        status: int,
        at: float,
        *,
        error: str = "",
        repeats: int = 0,
        settled: bool | None = None,
    ) -> Fact:
        setup_ms = round(at * 1000) if context is self.root else None
        settled = not 200 <= status < 300 if settled is None else settled
        return Concluded(context.span_id, status, error, at, repeats, setup_ms, settled)

    def is_answered(self, at: float = 2.0, ring_ms: int = 1500) -> list[Fact]:
        """200 on both legs, and two dialogs."""
        return [
            self.concludes(self.attempt, 200, at),
            self.concludes(self.root, 200, at),
            self.dialog("caller", at, ring_ms),
            self.dialog("callee", at, ring_ms),
        ]

    def dialog(self, leg: str, at: float, ring_ms: int = 1500) -> Fact:
        caller = leg == "caller"
        return Established(
            root=self.root,
            parent=self.root,
            context=self.caller_dialog if caller else self.callee_dialog,
            at=at,
            leg=leg,
            trunk="sbc" if caller else "carrier-a",
            call_id=self.request.call_id if caller else "0123456789abcdef0123456789abcdef",
            flow=self.caller_flow if caller else self.callee_flow,
            ring_ms=ring_ms,
            rtt_ms=self.rtt_ms,
            dialled=not caller,
        )

    def is_acknowledged(self, at: float = 2.1) -> list[Fact]:
        facts: list[Fact] = []
        for context in (self.root, self.attempt):
            facts += [Milestone(context.span_id, "ACK", at), Settled(context.span_id)]
        return facts

    def hangs_up(self, at: float = 10.0, talk_ms: int = 8000, end: str = "caller_bye") -> list[Fact]:
        return [
            Milestone(self.caller_dialog.span_id, "BYE", at),
            Milestone(self.callee_dialog.span_id, "BYE", at),
            DialogEnded(self.caller_dialog.span_id, end, at, talk_ms, self.root, "caller"),
            DialogEnded(self.callee_dialog.span_id, end, at, talk_ms, self.root, "callee"),
            self.is_forgotten(),
        ]

    def is_forgotten(self) -> Fact:
        return CallForgotten(self.root)

    def until_answered(self) -> list[list[Fact]]:
        """What the core hands out, one list for each time that something came in."""
        return [
            [self.arrives(0.0), self.is_routed("carrier-a"), self.is_tried(at=0.0)],
            self.progresses(100, self.attempt, at=0.1),
            self.progresses(180, self.attempt, self.root, at=0.5),
            self.is_answered(2.0),
            self.is_acknowledged(2.1),
        ]

    def basic(self) -> list[list[Fact]]:
        """INVITE, 100, 180, 200, ACK, BYE."""
        return [*self.until_answered(), self.hangs_up(10.0)]
