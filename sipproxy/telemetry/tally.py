"""What is counted of one trunk, and what is kept of a call while it lasts."""

from __future__ import annotations

from ..propagation.context import TraceContext
from .families import FAMILY, LEGS, OUTCOMES, STATES
from .histogram import Histogram

ANSWERED, REDIRECTED, CHALLENGED, USER, INEFFECTIVE, CANCELLED, FAILED = OUTCOMES

OUTCOME: dict[int, str] = {status: ANSWERED for status in range(200, 300)}
OUTCOME |= {status: REDIRECTED for status in range(300, 400)}
OUTCOME |= {status: CHALLENGED for status in (401, 402, 407)}
OUTCOME |= {status: USER for status in (480, 486, 600, 603)}
OUTCOME |= {status: INEFFECTIVE for status in (408, 500, 503, 504)}
OUTCOME[487] = CANCELLED
# No response at all is as if there had been 408, or 503 (RFC 3261 sections 8.1.3.1 and 16.7).
OUTCOME[0] = INEFFECTIVE


class Delay:
    """A delay to a response, by whether it is the one that was wanted."""

    __slots__ = ("failure", "success")

    def __init__(self, family: str) -> None:
        self.success = Histogram(FAMILY[family].bounds)
        self.failure = Histogram(FAMILY[family].bounds)

    def note(self, outcome: str, seconds: float, span: TraceContext, at: float) -> None:
        """An INVITE came out so. Where another one with what is missing follows, that one counts (RFC 6076
        section 4.3).
        """
        if outcome is ANSWERED:
            self.success.observe(seconds, span, at)
        elif outcome is not REDIRECTED and outcome is not CHALLENGED:
            self.failure.observe(seconds, span, at)


class Tally:
    """One trunk's figures."""

    __slots__ = (
        "active",
        "attempt_delay",
        "attempts",
        "calls",
        "dialogs",
        "disconnect_delay",
        "durations",
        "name",
        "request_delay",
        "retransmissions",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.active = dict.fromkeys(STATES, 0)  # calls that came from it
        self.calls = dict.fromkeys(OUTCOMES, 0)
        self.attempts = dict.fromkeys(OUTCOMES, 0)
        self.dialogs = dict.fromkeys(LEGS, 0)
        self.retransmissions = [0, 0]  # received, sent
        self.request_delay = Delay("sip_session_request_delay_seconds")
        self.attempt_delay = Delay("sip_attempt_delay_seconds")
        self.disconnect_delay = Delay("sip_session_disconnect_delay_seconds")
        bounds = FAMILY["sip_session_duration_seconds"].bounds
        self.durations = {leg: Histogram(bounds) for leg in LEGS}


class Counting:
    """A call, or what else begins with a request, until it is forgotten."""

    __slots__ = ("attempted", "open", "state", "tally")

    def __init__(self, tally: Tally) -> None:
        self.tally = tally  # of the trunk that it came from
        self.attempted = False
        self.state = ""  # setup, talking; empty: no call, or no more
        self.open: set[str] = set()  # its spans that the meter waits for: none may stay behind


class Asked:
    """A request that waits for its final response."""

    __slots__ = ("began_at", "call", "invite", "sent", "span", "tally", "told_at")

    def __init__(
        self, call: Counting, tally: Tally, span: TraceContext, began_at: float, *, sent: bool, invite: bool
    ) -> None:
        self.call = call
        self.tally = tally
        self.span = span
        self.began_at = began_at
        self.sent = sent  # by us
        self.invite = invite  # one that begins a dialog
        self.told_at = 0.0  # when a provisional response first had something to tell
