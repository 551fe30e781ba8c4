"""The two legs of a call, whatever brought them together: who they are, and how they change partners."""

from __future__ import annotations

from enum import IntEnum

from ..propagation.context import TraceContext
from .answer import Answer
from .events import DialogEnded, Established, Linked, Milestone, Settled
from .leg import Leg
from .lineage import Lineage
from .relay import Relay
from .routing import Trunk
from .shared import Shared


class Stage(IntEnum):
    """Where a call is."""

    SETUP = 0
    TALKING = 1
    ENDING = 2
    ENDED = 3


class Couple(Lineage):
    """Either leg may be missing: before the answer, and after a transfer has taken it away."""

    __slots__ = (
        *("callee", "caller", "end", "ended_at", "open_legs", "relays"),
        *("ring_ms", "secure", "stage", "trunks"),
    )

    def __init__(
        self, shared: Shared, root: TraceContext, *, interaction: str, baggage: str, hops: int, now: float
    ) -> None:
        super().__init__(shared, root, interaction=interaction, baggage=baggage, hops=hops, now=now)
        self.stage = Stage.SETUP
        self.caller: Leg | None = None
        self.callee: Leg | None = None
        self.relays: list[Relay] = []  # requests under way between the legs
        self.trunks: list[Trunk] = []  # that count this call
        self.ring_ms = 0
        self.end = ""  # why it ended, as in `sip.dialog.end`
        self.ended_at = 0.0
        self.secure = False  # its INVITE went to a SIPS URI: every hop is to be TLS
        self.open_legs = 0  # whose BYE is not answered yet

    def forget(self, now: float) -> None:
        """Nothing is left to do."""
        raise NotImplementedError

    @property
    def talking(self) -> bool:
        """Both legs are answered, and nobody has hung up."""
        return self.stage is Stage.TALKING

    @property
    def over(self) -> bool:
        """It is at its end."""
        return self.stage >= Stage.ENDING

    def departs(self, leg: Leg, now: float) -> None:
        """A transfer takes that leg out of the call."""
        leg.departed = True
        self.ended_at = now
        self._part(leg, now)
        if leg.peer is not None:
            leg.peer.peer = None
            leg.peer = None
        self.shared.finished.add(leg.dialog.key)
        self.tell_ended(leg, "transferred", now)
        self.release(leg.trunk)

    def _part(self, leg: Leg, now: float) -> None:
        """What is open between that leg and its partner has to end: requests, and 2xx that wait for their
        ACK.
        """
        for relay in list(self.relays):
            if relay.concerns(leg):
                relay.abandon(now, 500)
        for one in (leg, leg.peer):
            if one is not None and one.answer is not None:
                one.answer.settle_peer(None, now)
        if leg.answer is not None:
            self.tell_settled(leg.answer, False, now)

    def replaces(
        self, old: Leg, new: Leg, parent: TraceContext, link: TraceContext | None, now: float
    ) -> None:
        """A transfer puts `new` into the place of `old`; `link` is the context that it comes from."""
        other = self.callee if old is self.caller else self.caller
        if not old.departed:
            self.departs(old, now)
        new.call = self  # type: ignore[assignment]
        new.role = old.role
        new.confirmed = True
        self.establish(new, parent, now)
        if link is not None:
            self.shared.facts.append(Linked(new.context.span_id, link))
        new.peer = other
        if other is not None:
            other.peer = new
        if old is self.caller:
            self.caller = new
        else:
            self.callee = new

    def gives_away(self, leg: Leg, to: Couple, now: float) -> Leg | None:
        """A transfer takes that leg into another call; gives the one that is left, which has to hear BYE."""
        other = leg.peer
        if leg.trunk is not None and leg.trunk in self.trunks:
            self.trunks.remove(leg.trunk)
            to.trunks.append(leg.trunk)
        self._part(leg, now)
        self.ended_at = now
        self.tell_ended(leg, "transferred", now)
        leg.peer = None
        if leg is self.caller:
            self.caller = None
        else:
            self.callee = None
        self.stage = Stage.ENDING
        self.end = "transferred"
        self.open_legs = 1
        if other is not None:
            other.peer = None
        else:  # it has hung up already
            self.forget(now)
        return other

    def establish(self, leg: Leg, parent: TraceContext, now: float) -> None:
        """That leg is confirmed, or new here: its span begins."""
        leg.answered_at = now
        leg.context = parent.child(self.shared.ids.span_id())
        rtt_ms = None if leg.trunk is None else leg.trunk.rtt_ms
        self.shared.facts.append(
            Established(
                self.root,
                parent,
                leg.context,
                now,
                leg.role,
                leg.trunk_name,
                leg.dialog.call_id,
                leg.flow,
                self.ring_ms,
                rtt_ms,
                leg.dialled,
            )
        )

    def tell_ended(self, leg: Leg, end: str, now: float) -> None:
        """Its span ends."""
        talk_ms = round((self.ended_at - leg.answered_at) * 1000)
        self.shared.facts.append(DialogEnded(leg.context.span_id, end, now, talk_ms, self.root, leg.role))

    def release(self, trunk: Trunk | None) -> None:
        """That trunk need not count this call any more, or once less."""
        if trunk is not None and trunk in self.trunks:
            self.trunks.remove(trunk)
            trunk.release()

    def tell_settled(self, answer: Answer, heard: bool, now: float) -> None:
        """Nothing more can happen on the INVITEs of that answer; `heard`: its ACK has come."""
        for span_id in answer.span_ids:
            if heard:
                self.shared.facts.append(Milestone(span_id, "ACK", now))
            self.shared.facts.append(Settled(span_id))
        answer.span_ids = ()
