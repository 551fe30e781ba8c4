"""Facts: what happened to a call, for whoever listens. Nothing in the core reads them back.

Times are `now` of the core, in seconds. A fact that begins something carries its trace context; later facts
name it by span id. `root` is the context of the caller's INVITE: the key under which what is common to a call
is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..propagation.context import TraceContext
from ..propagation.correlation import Origin
from ..sip.flow import Flow
from ..sip.message import Request


@dataclass(slots=True)
class RequestArrived:
    """A request that starts something came in: an INVITE, or another method outside a dialog."""

    root: TraceContext
    origin: Origin
    at: float
    trunk: str
    request: Request
    flow: Flow
    interaction_id: str
    session_id: str
    rtt_ms: float | None


@dataclass(slots=True)
class Routed:
    """Where the call may go; `error` is empty or one of `no_route`, `overload`, `dns`, `max_forwards`,
    `loop`, `draining`.
    """

    root: TraceContext
    span_id: str
    began_at: float
    at: float
    trunks: tuple[str, ...]
    error: str


@dataclass(slots=True)
class LookedUp:
    """A trunk's name was looked up for the routing decision `route_id`; `found` targets came of it."""

    root: TraceContext
    route_id: str
    span_id: str
    began_at: float
    at: float
    trunk: str
    found: int


@dataclass(slots=True)
class Attempted:
    """A request went out to a trunk."""

    root: TraceContext
    context: TraceContext
    at: float
    arrived_at: float
    method: str
    trunk: str
    call_id: str
    flow: Flow
    cseq: int
    rtt_ms: float | None


@dataclass(slots=True)
class Moved:
    """A request that could not leave by its flow left by another: TCP was refused, a connection was gone."""

    span_id: str
    flow: Flow


@dataclass(slots=True)
class Progressed:
    """A provisional response."""

    span_id: str
    status: int
    at: float


@dataclass(slots=True)
class Milestone:
    """Something worth an event on a span that is open: `CANCEL`, `ACK`, `BYE`, `INFO`, `503` of a passed-over
    target.
    """

    span_id: str
    name: str
    at: float


@dataclass(slots=True)
class Concluded:
    """A transaction is over. `status` is 0 where no response came; `error` then says why (`timeout`,
    `transport`, ...).

    `setup_ms` is given for the caller's INVITE only. An INVITE answered with 2xx is still open for its ACK
    until `Settled`.
    """

    span_id: str
    status: int
    error: str
    at: float
    repeats: int
    setup_ms: int | None
    settled: bool


@dataclass(slots=True)
class Settled:
    """The ACK has come, or never will: nothing more can happen on that INVITE."""

    span_id: str


@dataclass(slots=True)
class Established:
    """A dialog is confirmed. `leg` is `caller` or `callee`."""

    root: TraceContext
    context: TraceContext
    at: float
    leg: str
    trunk: str
    call_id: str
    flow: Flow | None
    ring_ms: int
    rtt_ms: float | None


@dataclass(slots=True)
class DialogEnded:
    """`end` as in the contract: caller_bye, callee_bye, cancelled, timeout, transferred, session_expired,
    shutdown.
    """

    span_id: str
    end: str
    at: float
    talk_ms: int


@dataclass(slots=True)
class Transacted:
    """A re-INVITE or UPDATE began inside a dialog, under `parent`; `link` is a foreign context that it
    carried.
    """

    root: TraceContext
    parent: TraceContext
    context: TraceContext
    link: TraceContext | None
    at: float
    method: str
    leg: str
    trunk: str
    call_id: str
    cseq: int


@dataclass(slots=True)
class CallForgotten:
    """Nothing more will be told of this call."""

    root: TraceContext


@dataclass(slots=True)
class Counted:
    """Something for a counter."""

    what: str
    trunk: str


Fact: TypeAlias = (
    RequestArrived
    | Routed
    | LookedUp
    | Attempted
    | Moved
    | Progressed
    | Milestone
    | Concluded
    | Settled
    | Established
    | DialogEnded
    | Transacted
    | CallForgotten
    | Counted
)
