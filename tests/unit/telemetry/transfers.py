"""Facts of a transfer as the core tells them, for tests: the transferor is the callee of a call."""

from __future__ import annotations

from dataclasses import dataclass

from sipproxy.b2bua.events import (
    Attempted,
    Concluded,
    DialogEnded,
    Established,
    Fact,
    Milestone,
    Settled,
    TransferBegan,
    TransferEnded,
)
from sipproxy.propagation.context import TraceContext
from sipproxy.sip.flow import UDP, Flow
from tests.unit.telemetry.facts import Call, span_id
from tests.unit.telemetry.telling import Telling

TARGET_CALL_ID = "fedcba9876543210fedcba9876543210"
TARGET = Flow(UDP, "203.0.113.3", 5090)


@dataclass
class Transfer:
    """One transfer of a call that talks, from its REFER to its outcome."""

    call: Call
    kind: str = "blind"
    mode: str = "local"

    def __post_init__(self) -> None:
        self.context = self.call.root.child(span_id())
        self.attempt = self.context.child(span_id())
        self.reinvite = self.context.child(span_id())
        self.target_dialog = self.context.child(span_id())

    def begins(self, at: float = 3.0, link: TraceContext | None = None) -> Fact:
        root = self.call.root
        return TransferBegan(root, root, self.context, link, at, self.kind, self.mode, "carrier-a")

    def tells(self, *names: str, at: float = 3.1) -> list[Fact]:
        return [Milestone(self.context.span_id, name, at) for name in names]

    def ends(
        self,
        outcome: str = "completed",
        at: float = 6.0,
        *,
        source: str = "",
        stage: str = "answered",
        status: int = 0,
        error: str = "",
    ) -> Fact:
        return TransferEnded(
            *(self.context.span_id, outcome, source, stage, status, error, at),
            *(self.kind, self.mode, "carrier-a", self.call.root),
        )

    def calls_target(
        self, at: float = 3.2, context: TraceContext | None = None, parent: TraceContext | None = None
    ) -> Fact:
        """The INVITE of a local transfer; with a context and no parent it begins a trace of its own."""
        if context is None:
            context, parent = self.attempt, self.context
        return self._attempt(context, parent, at, "INVITE", "agents", TARGET_CALL_ID, TARGET, 1, "callee")

    def changes_transferee(self, at: float = 5.0) -> Fact:
        call = self.call
        call_id, flow = call.request.call_id, call.caller_flow
        return self._attempt(self.reinvite, self.context, at, "re-INVITE", "sbc", call_id, flow, 2, "caller")

    def _attempt(
        self,
        context: TraceContext,
        parent: TraceContext | None,
        at: float,
        method: str,
        trunk: str,
        call_id: str,
        flow: Flow,
        cseq: int,
        leg: str,
    ) -> Fact:
        return Attempted(
            root=self.call.root,
            parent=parent,
            context=context,
            at=at,
            arrived_at=3.0,
            method=method,
            trunk=trunk,
            call_id=call_id,
            flow=flow,
            cseq=cseq,
            rtt_ms=self.call.rtt_ms,
            leg=leg,
        )

    def reaches_target(self, at: float = 5.2) -> list[Fact]:
        """Both INVITEs had their 200 and their ACK, and the target has taken the transferor's place."""
        facts: list[Fact] = []
        for context in (self.attempt, self.reinvite):
            facts += [Concluded(context.span_id, 200, "", at, 0, None, False)]
            facts += [Milestone(context.span_id, "ACK", at), Settled(context.span_id)]
        return [*facts, self.target_is_established(at)]

    def target_is_established(self, at: float = 5.2) -> Fact:
        return Established(
            root=self.call.root,
            parent=self.context,
            context=self.target_dialog,
            at=at,
            leg="callee",
            trunk="agents",
            call_id=TARGET_CALL_ID,
            flow=TARGET,
            ring_ms=900,
            rtt_ms=self.call.rtt_ms,
            dialled=True,
        )

    def is_done(self, at: float = 6.0) -> list[Fact]:
        """The transferor was told of it, and sent away."""
        dialog = self.call.callee_dialog.span_id
        return [
            *self.tells("notify", at=at),
            self.ends("completed", at, status=200),
            Milestone(dialog, "BYE", at),
            DialogEnded(dialog, "transferred", at, round(at * 1000) - 2000, self.call.root, "callee"),
        ]

    def local(self) -> list[list[Fact]]:
        """All of a call whose callee transfers the caller to a target, until the target hangs up."""
        call, target = self.call, self.target_dialog.span_id
        return [
            *call.until_answered(),
            [self.begins(3.0), *self.tells("accepted", at=3.0), *self.tells("notify", at=3.0)],
            [self.calls_target(3.2)],
            [self.changes_transferee(5.0)],
            self.reaches_target(5.2),
            self.is_done(6.0),
            [
                DialogEnded(target, "callee_bye", 9.0, 3800, call.root, "callee"),
                DialogEnded(call.caller_dialog.span_id, "callee_bye", 9.0, 7000, call.root, "caller"),
                call.is_forgotten(),
            ],
        ]


def talking(tell: Telling, call: Call | None = None) -> Transfer:
    """A transfer of a call that was answered and acknowledged; its REFER has not come."""
    transfer = Transfer(call or Call())
    tell.all(transfer.call.until_answered())
    return transfer
