"""Whether the facts of a run make sense: what begins ends once, nothing is told of what is over."""

from __future__ import annotations

from sipproxy.b2bua.events import (
    Attempted,
    CallForgotten,
    Concluded,
    Consulted,
    DialogEnded,
    Established,
    Fact,
    Linked,
    LookedUp,
    Milestone,
    Progressed,
    RequestArrived,
    Routed,
    Settled,
    Transacted,
    TransferBegan,
    TransferEnded,
)
from sipproxy.propagation.context import TraceContext

OPEN, WAITS_FOR_ACK, ENDED = "open", "waits for its ACK", "ended"


class Tale:
    """Follows the facts as they come."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.state: dict[str, str] = {}  # by span id
        self.sampled: set[str] = set()
        self._root_of: dict[str, str] = {}
        self._forgotten: set[str] = set()

    def follow(self, facts: list[Fact]) -> None:
        """Take what was told."""
        for fact in facts:
            self._follow(fact)

    def _follow(self, fact: Fact) -> None:
        if isinstance(fact, RequestArrived):
            self._begin(fact.root, fact.root, fact)
        elif isinstance(fact, Attempted | Established | Transacted | TransferBegan):
            self._begin(fact.context, fact.root, fact)
            self._hangs_on(fact)
        elif isinstance(fact, Routed | LookedUp | Consulted):
            self._begin((fact.parent or fact.root).child(fact.span_id), fact.root, fact)
            self.state[fact.span_id] = ENDED
        elif isinstance(fact, Concluded):
            self._move(fact.span_id, (OPEN,), ENDED if fact.settled else WAITS_FOR_ACK, fact)
        elif isinstance(fact, Settled):
            self._move(fact.span_id, (WAITS_FOR_ACK,), ENDED, fact)
        elif isinstance(fact, DialogEnded | TransferEnded):
            self._move(fact.span_id, (OPEN,), ENDED, fact)
        elif isinstance(fact, Progressed | Milestone | Linked):
            if fact.span_id not in self.state:  # of one that is over it may still be told: nobody listens
                self.faults.append(f"told of what is unknown: {fact}")
        elif isinstance(fact, CallForgotten):
            root = fact.root.span_id
            if root in self._forgotten or root not in self.state:
                self.faults.append(f"forgotten twice, or unknown: {fact}")
            self._forgotten.add(root)
            for span, state in self.state.items():
                if self._root_of[span] == root and state != ENDED:
                    self.faults.append(f"forgotten while {span} is {state}")

    def _begin(self, context: TraceContext, call: TraceContext, fact: Fact) -> None:
        span, root = context.span_id, call.span_id
        if context.sampled:
            self.sampled.add(span)
        if span in self.state:
            self.faults.append(f"begins twice: {fact}")
        if root in self._forgotten:
            self.faults.append(f"begins behind the last word: {fact}")
        self.state[span] = OPEN
        self._root_of[span] = root

    def _hangs_on(self, fact: Attempted | Established | Transacted | TransferBegan) -> None:
        """A parent is known before its child, and both are in one trace; none: a trace of its own."""
        parent = fact.parent
        if parent is not None and parent.span_id not in self.state:
            self.faults.append(f"hangs on what is unknown: {fact}")
        if parent is not None and parent.trace_id != fact.context.trace_id:
            self.faults.append(f"hangs on another trace: {fact}")

    def _move(self, span: str, allowed: tuple[str, ...], then: str, fact: Fact) -> None:
        state = self.state.get(span, "unknown")
        if state not in allowed:
            self.faults.append(f"told of what is {state}: {fact}")
        elif self._root_of[span] in self._forgotten:
            self.faults.append(f"told behind the last word: {fact}")
        if then:
            self.state[span] = then

    @property
    def unfinished(self) -> list[str]:
        """What never ended."""
        left = [f"span {span} is still {state}" for span, state in self.state.items() if state != ENDED]
        roots = set(self._root_of.values())
        return left + [f"call {root} was never forgotten" for root in sorted(roots - self._forgotten)]
