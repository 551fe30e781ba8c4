"""One transfer, from the REFER to its one outcome (`propagation.md` section 4).

    accepted     the REFER was taken                            ACCEPTED
    refused      it was not                                     REFUSED, over
    placed       the new call is here                           TRYING
    progressed   1xx to the new call                            TRYING or RINGING
    concluded    2xx, or a final failure, of the new call       ANSWERED or FAILED, over
                 487 of it                                      ABANDONED, over
                 401, 407, 3xx: it may be placed once more      as before
    reported     NOTIFY, as long as no new call was seen        as it says; over soon after a final one
    expired      nobody placed a call in time                   EXPIRED, over

What the new call really got counts; what NOTIFY says counts where the new call was not seen (RFC 3515 section
2.4.5; some stacks report 200 before they dial).
"""

from __future__ import annotations

from enum import IntEnum

from ..propagation.context import TraceContext
from ..propagation.writing import previous_value
from ..sip.refer import ReferTo
from ..sip.timers import Reminder, Timer
from .events import Linked, Milestone, TransferBegan, TransferEnded
from .lineage import Lineage
from .shared import Shared

SETTLE_S = 5.0  # seconds that a new call may come later than the NOTIFY that reports its end


class Stage(IntEnum):
    """How far a transfer has come."""

    SENT = 0
    ACCEPTED = 1
    TRYING = 2
    RINGING = 3
    ANSWERED = 4
    REFUSED = 5
    FAILED = 6
    ABANDONED = 7
    EXPIRED = 8


_STAGES = ("", "accepted", "trying", "ringing", "answered", "refused", "failed", "abandoned", "expired")
_OUTCOMES: dict[int, str] = {486: "busy", 600: "busy", 603: "declined", 408: "timeout", 487: "cancelled"}
_OUTCOMES |= {status: "unreachable" for status in (404, 410, 480, 502, 503, 504)}
_ERRORS: dict[str, str] = {"timeout": "timeout", "transport": "unreachable", "dns": "unreachable"}
# After these the new call is tried once more by whoever placed it, or somewhere else.
_NOT_THE_LAST = frozenset((300, 301, 302, 305, 380, 401, 407, 421, 422, 423))


class Transfer:
    """What is known of it, and by what its new call is recognised (`pending.py`).

    `root` is the call's, `context` that of the transfer's own span, which every carrier holds.
    """

    __slots__ = (
        "_awaited",
        "_mode",
        "_owner",
        "_reminder",
        "_reported",
        "_trunk",
        "baggage",
        "chain",
        "chain_began_at",
        "context",
        "expires_at",
        "fresh",
        "hops",
        "interaction",
        "live",
        "over",
        "placed_by",
        "referral",
        "replaces",
        "replaces_keys",
        "root",
        "shared",
        "stage",
        "subscription",
        "token",
        "transferee",
        "uri",
        "user",
    )

    def __init__(self, owner: Lineage, target: ReferTo, now: float) -> None:
        self._owner: Lineage | None = owner
        self.shared: Shared = owner.shared
        self.uri = target.uri  # where the new call goes
        self.user = target.parsed.user
        self.replaces = target.replaces  # what it takes the place of, as the transferor names it
        self.root = owner.root
        self.context = owner.trace.child(owner.shared.ids.span_id())
        self.stage = Stage.SENT
        self.over = False
        self.hops = owner.hops - 1
        self.chain = owner.chain + 1  # transfers of this trace, this one included
        self.chain_began_at = owner.chain_began_at
        limits = owner.shared.propagation
        too_long = now - owner.chain_began_at > limits.max_duration_s
        self.fresh = self.chain > limits.max_transfers or too_long  # the next leg starts a new trace
        self.interaction = owner.interaction
        self.baggage = owner.baggage
        self.token = ""
        self.transferee = ""  # the name of the trunk that the new call comes from
        self.referral = 0  # see referral_key
        self.replaces_keys: tuple[str, ...] = ()
        self.subscription = ""
        self.expires_at = 0.0
        self.placed_by = ""  # Call-ID and From tag of the new call
        self._awaited = False
        self._mode = ""  # `relay` or `local`
        self._trunk = ""  # the transferor's
        self.live = False  # the new call is being set up now
        self._reported = 0
        self._reminder: Reminder | None = None
        owner.attempted(+1)

    def begin(self, mode: str, trunk: str, link: TraceContext | None, now: float) -> None:
        """Tell that it has begun."""
        owner = self._owner
        assert owner is not None
        self._mode, self._trunk = mode, trunk
        fact = TransferBegan(self.root, owner.trace, self.context, link, now, self._kind, mode, trunk)
        self.shared.facts.append(fact)

    @property
    def _kind(self) -> str:
        return "blind" if self.replaces is None else "attended"

    @property
    def previous(self) -> str:
        """The `previous-trace-id` of what this transfer causes."""
        return previous_value(self.context)

    # What happens

    def accepted(self, now: float) -> None:
        """The REFER was answered with a 2xx."""
        if self.stage is Stage.SENT:
            self.stage = Stage.ACCEPTED
        self.tell("accepted", now)

    def refused(self, status: int, error: str, now: float) -> None:
        """The REFER was not taken."""
        if not self.over:
            self.stage = Stage.REFUSED
            self._end("refused", status, error, now)

    def awaits(self, wanted: bool) -> None:
        """Whether its new call is still to come."""
        if wanted is not self._awaited:
            self._awaited = wanted
            self.shared.awaited += 1 if wanted else -1

    def placed(self, who: str) -> None:
        """The new call is here; `who` is its Call-ID and From tag."""
        self.awaits(False)
        self.placed_by = who
        self.live = True
        if not self.over:
            self.stage = Stage.TRYING

    def progressed(self, status: int, now: float) -> None:
        """The target rings."""
        if not self.over and status > 100:
            self.stage = Stage.RINGING

    def concluded(self, status: int, error: str, now: float) -> None:
        """The new call is answered, or will not be."""
        self.live = False
        if self.over or (status in _NOT_THE_LAST and now < self.expires_at):
            return
        if 200 <= status < 300:
            self.stage = Stage.ANSWERED
            self._end("completed", status, "", now)
            return
        self.failed(status, error, now)

    def failed(self, status: int, error: str, now: float) -> None:
        """The new call, which we placed ourselves, will not be."""
        self.live = False
        if not self.over:
            self.stage = Stage.ABANDONED if status == 487 and not error else Stage.FAILED
            outcome = _ERRORS.get(error) or _OUTCOMES.get(status, "failed")
            self._end(outcome, 0 if error else status, error, now)

    def reported(self, status: int, now: float) -> None:
        """A NOTIFY says how the new call does."""
        self.tell("notify", now)
        if self.over:
            return
        if status >= 200:
            self._reported = status
            if status < 300 and self._owner is not None:
                self._owner.transferred = True
            if not self.live and self._reminder is None:
                self._reminder = Reminder(self)
                self.shared.endpoint.timers.start(Timer.FORGET, now + SETTLE_S, self._reminder)
        elif not self.live:
            self.stage = Stage.TRYING if status == 100 else Stage.RINGING

    def expire(self, timer: Timer, now: float) -> None:
        """The new call, of which NOTIFY reported the end, has not been seen."""
        if not self.over and not self.live:
            self._end_as_reported(now)

    def expired(self, now: float) -> None:
        """The time is over in which the new call could come."""
        if self.over or self.live:
            return  # its setup will tell, and does not ring for ever
        if self._reported:
            self._end_as_reported(now)
        else:
            self.stage = Stage.EXPIRED
            self._end("unknown", 0, "", now)

    def _end_as_reported(self, now: float) -> None:
        status = self._reported
        if 200 <= status < 300:
            self.stage, outcome = Stage.ANSWERED, "completed"
        else:
            self.stage = Stage.ABANDONED if status == 487 else Stage.FAILED
            outcome = _OUTCOMES.get(status, "failed")
        self._end(outcome, status, "", now, source="reported")

    def _end(self, outcome: str, status: int, error: str, now: float, *, source: str = "") -> None:
        self.over = True
        self.awaits(False)
        if self._reminder is not None:
            self._reminder.drop()
        self.shared.count("transfers", which=outcome)
        stage, kind = _STAGES[self.stage], self._kind
        fact = TransferEnded(
            *(self.context.span_id, outcome, source, stage, status, error, now),
            *(kind, self._mode, self._trunk, self.root),
        )
        self.shared.facts.append(fact)
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.transferred = owner.transferred or outcome == "completed"
            owner.attempted(-1)

    # What is told

    def links(self, context: TraceContext) -> None:
        """It has to do with a span of another trace. Once it is over, the other one alone says so."""
        if not self.over:
            self.shared.facts.append(Linked(self.context.span_id, context))

    def tell(self, name: str, now: float) -> None:
        """An event on its span."""
        if not self.over:
            self.shared.facts.append(Milestone(self.context.span_id, name, now))
