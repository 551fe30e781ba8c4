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
    transferred: bool = False  # a transfer caused it
    logged: bool = False  # it carries `logme` (RFC 8497)


@dataclass(slots=True)
class Routed:
    """Where the call may go; `error` is empty or one of `no_route`, `overload`, `dns`, `max_forwards`,
    `loop`, `draining`, or the status that an application chose. `fallback`: it did not answer well. `parent`
    is what its span hangs on: None for the root, else a transfer. `passed_over`: there are trunks that are
    down or closed, and so not among `trunks`.
    """

    root: TraceContext
    span_id: str
    began_at: float
    at: float
    trunks: tuple[str, ...]
    error: str
    fallback: bool = False
    parent: TraceContext | None = None
    passed_over: bool = False


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
    parent: TraceContext | None = None  # of the route, as there


@dataclass(slots=True)
class Consulted:
    """An application was asked for the routing decision `route_id`. `result`: `ok`, `rejected`, `timeout`,
    `error` (no answer, or none over HTTP with 2xx that is JSON), `not_asked` (it is left alone, or asked too
    much), `bad_answer`, `abandoned` (nobody waits for it any more).
    """

    root: TraceContext
    route_id: str
    span_id: str
    began_at: float
    at: float
    result: str
    parent: TraceContext | None = None  # of the route, as there


@dataclass(slots=True)
class Attempted:
    """A request went out: to a trunk, or, as the re-INVITE of a transfer, to a leg.

    `parent` is what its span hangs on: the root, or a transfer; None: it begins a trace of its own. A method
    of `re-INVITE` is an INVITE inside a dialog.
    """

    root: TraceContext
    parent: TraceContext | None
    context: TraceContext
    at: float
    arrived_at: float
    method: str
    trunk: str
    call_id: str
    flow: Flow
    cseq: int
    rtt_ms: float | None
    leg: str = "callee"


@dataclass(slots=True)
class Moved:
    """A request that could not leave by its flow left by another: TCP was refused, a connection was gone."""

    span_id: str
    flow: Flow


@dataclass(slots=True)
class Unsent:
    """A request, or a probe (no span), could not leave, and why in words."""

    span_id: str
    trunk: str
    reason: str
    at: float


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
    """A dialog is confirmed, or has come to this call from another. `leg` is `caller` or `callee`: whose
    place it has in the call; `dialled`: we sent the INVITE. `parent` is what its span hangs on.
    """

    root: TraceContext
    parent: TraceContext
    context: TraceContext
    at: float
    leg: str
    trunk: str
    call_id: str
    flow: Flow | None
    ring_ms: int
    rtt_ms: float | None
    dialled: bool


@dataclass(slots=True)
class DialogEnded:
    """`end` as in the contract: caller_bye, callee_bye, cancelled, timeout, transferred, session_expired,
    shutdown.
    """

    span_id: str
    end: str
    at: float
    talk_ms: int
    root: TraceContext
    leg: str


@dataclass(slots=True)
class Disconnected:
    """A BYE of ours had its final response after `delay_s` (RFC 6076 section 4.4); `status` 0: none came."""

    root: TraceContext
    trunk: str
    delay_s: float
    status: int
    at: float


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
class TransferBegan:
    """A REFER has been taken. `kind` is `blind` or `attended`, `mode` is `relay` or `local`, `trunk` the
    transferor's; `began_at` is when the REFER came.
    """

    root: TraceContext
    parent: TraceContext
    context: TraceContext
    link: TraceContext | None  # what the REFER itself carried, where that is another trace
    began_at: float
    kind: str
    mode: str
    trunk: str


@dataclass(slots=True)
class TransferEnded:
    """The one outcome of a transfer (`transfer.py` has the words). `status` is 0 where no response tells it;
    `source` is empty or `reported`.
    """

    span_id: str
    outcome: str
    source: str
    stage: str
    status: int
    error: str
    at: float
    kind: str
    mode: str
    trunk: str  # the transferor's
    root: TraceContext


@dataclass(slots=True)
class Linked:
    """An open span has to do with a span of another trace, or another branch: `context`."""

    span_id: str
    context: TraceContext


@dataclass(slots=True)
class CallForgotten:
    """Nothing more will be told of this call."""

    root: TraceContext


@dataclass(slots=True)
class Counted:
    """Something for a counter; `which` tells its kinds apart, from a closed set. `root` and `call_id` name
    the call, where it is one's.
    """

    what: str
    trunk: str
    which: str = ""
    root: TraceContext | None = None
    call_id: str = ""
    peer: str = ""  # the address of who is no trunk's


Fact: TypeAlias = (
    RequestArrived
    | Routed
    | LookedUp
    | Consulted
    | Attempted
    | Moved
    | Unsent
    | Progressed
    | Milestone
    | Concluded
    | Settled
    | Established
    | DialogEnded
    | Disconnected
    | Transacted
    | TransferBegan
    | TransferEnded
    | Linked
    | CallForgotten
    | Counted
)
