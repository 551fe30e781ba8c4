"""Calling the target of a transfer that we do ourselves: without an offer, as if the transferee did.

candidates    by the routes of the transferee, as if it came from there, else by those of the transferor
ringing       told to the transferor by NOTIFY
refused       the next trunk, where another may do better; else the transfer has failed
"""

from __future__ import annotations

from enum import IntEnum

from ..propagation.context import TraceContext
from ..sip.build import cseq_of
from ..sip.message import Response
from ..sip.refer import ReferTo
from ..sip.timers import Reminder, Timer
from ..sip.transaction import ServerTransaction
from ..sip.uri import parse_uri
from .attempt import Attempt
from .call import Call
from .events import Linked
from .hunting import Hunt
from .inviting import invitation, is_silent
from .leg import Leg
from .notifier import Notifier
from .transfer import Transfer


class Step(IntEnum):
    """Where a move is."""

    DIALLING = 0
    JOINING = 1
    OVER = 2


class Dialling(Hunt):
    """`front` is the leg in whose dialog the REFER came, and the NOTIFYs go."""

    __slots__ = (
        "_rang_at",
        "front",
        "notifier",
        "reminder",
        "ring_ms",
        "step",
        "transfer",
        "transferee",
        "transferor",
        "tx",
    )

    def __init__(
        self,
        call: Call,
        transferor: Leg,
        transferee: Leg,
        front: Leg,
        tx: ServerTransaction,
        transfer: Transfer,
        target: ReferTo,
        now: float,
    ) -> None:
        super().__init__(call, invitation(transferee, tx.request, transfer, target), now)
        self._rang_at = 0.0
        self.ring_ms = 0
        self.front = front
        self.tx = tx
        self.reminder = Reminder(self)
        silent = is_silent(tx.request)
        lasts_s = self.shared.timeouts.ring_s + 60.0
        self.notifier = Notifier(self, front, cseq_of(tx.request), silent=silent, expires_at=now + lasts_s)
        self.transfer = transfer
        self.transferor = transferor
        self.transferee = transferee
        self.step = Step.DIALLING
        self.parent = transfer.context
        self.previous = transfer.previous
        self.target_uri = transfer.uri

    def fail(self, status: int, error: str, now: float) -> None:
        """The transfer has failed."""
        raise NotImplementedError

    def notified(self, now: float) -> None:
        """The last NOTIFY is answered, or has had time enough."""
        raise NotImplementedError

    def dial(self, now: float) -> None:
        """Begin."""
        router, uri = self.shared.router, parse_uri(self.target_uri)
        route = router.route(self.transferee.trunk, uri) or router.route(self.transferor.trunk, uri)
        if route is None:
            self.tell_routed("no_route", now)
            self.shared.count("no_route", self.transferee.trunk_name)
            self.fail(403, "", now)
            return
        self.candidates = router.targets(route.to)
        if route.webhook is None:
            self.tell_routed("", now)
            self.next("overload", 0, now)
        else:
            self.consult(route.webhook, self.transferee.trunk_name, now)

    def rejected(self, status: int, reason: str, now: float) -> None:
        """The application will not have the new call."""
        self.shared.count("webhook_rejected", self.transferee.trunk_name)
        self.tell_routed(str(status), now)
        self.fail(status, "", now)

    def expire(self, timer: Timer, now: float) -> None:
        """The target has rung for too long."""
        if self.step is Step.DIALLING:
            self.shared.count("ring_timeout", "" if self.attempt is None else self.attempt.trunk.name)
            self.withdraw("", now)
            self.fail(408, "timeout", now)

    def attempt_context(self) -> tuple[TraceContext, TraceContext | None]:
        """Under the transfer; after a long chain in a new trace."""
        shared, transfer = self.shared, self.transfer
        if not transfer.fresh:
            return transfer.context.child(shared.ids.span_id()), transfer.context
        flags = transfer.context.flags
        return TraceContext(shared.ids.trace_id(), shared.ids.span_id(), flags), None

    def try_target(self, attempt: Attempt, now: float) -> None:
        """Both ends of a new trace know of each other."""
        super().try_target(attempt, now)
        if self.transfer.fresh and attempt is self.attempt:
            self.shared.facts.append(Linked(attempt.context.span_id, self.transfer.context))
            self.transfer.links(attempt.context)

    def caller_leg(self) -> Leg | None:
        """None: the transferee has its dialog already."""
        return None

    def progressed(self, attempt: Attempt, response: Response, now: float) -> None:
        """The target rings."""
        if not self.over and attempt is self.attempt:
            self._rang_at = self._rang_at or now
            if response.to_tag:
                attempt.leg_for(response)  # whose BYE may overtake its 2xx
            self.transfer.progressed(response.status, now)
            self.notifier.tell(response.status, now)

    def refused(self, attempt: Attempt, response: Response, now: float) -> None:
        """The target will not."""
        if self.over or attempt is not self.attempt:
            return
        if self.takes_next(attempt.trunk, response, now):
            self.next("", response.status, now)
        else:
            self.fail(response.status, "", now)

    def exhausted(self, status: int, error: str, now: float) -> None:
        """The target cannot be reached."""
        self.fail(status, error, now)
