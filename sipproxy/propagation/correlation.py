"""Which trace a new request belongs to, and the table of calls that it can be recognised by.

carried context, trunk adopts it      that trace, our span under the sender's         adopted
carried context, trunk links it       a new trace with a link                         linked
Call-ID and From of a challenge       the trace of the INVITE that got 401 or 407     recovered
Session-ID of a call we know          that call's trace                               recovered
previous-trace-id with a span         a new trace with a link                         linked
nothing                               a new trace                                     new
"""

from __future__ import annotations

from collections.abc import Callable

from ..sip.ids import Ids
from .carriers import Found
from .context import Previous, TraceContext
from .settings import Accept

SAMPLED = 0x01
RANDOM = 0x02
_NIL = "0" * 32

# Whether to record: the trace-id, and the parent it was adopted from, if any.
Sampler = Callable[[str, TraceContext | None], bool]


class Origin:
    """Where a call's trace comes from."""

    __slots__ = ("baggage", "carrier", "decision", "links", "parent", "previous_id", "rejected", "root")

    def __init__(self, root: TraceContext, parent: TraceContext | None, carrier: str, decision: str) -> None:
        self.root = root  # the context of our own span
        self.parent = parent
        self.links: list[TraceContext] = []
        self.carrier = carrier
        self.decision = decision  # adopted, recovered, linked, new
        self.rejected = ""
        self.previous_id = ""
        self.baggage = ""


def begin(
    found: Found,
    accept: Accept,
    *,
    ids: Ids,
    sample: Sampler,
    known: tuple[TraceContext, str] | None = None,
    forced: bool = False,
) -> Origin:
    """Start a span. `known`: context and carrier that it was recognised by, where nothing was carried.
    `forced`: it is sampled, whatever the sampler says.
    """
    carried = found.context
    if carried is not None and accept is Accept.ADOPT:
        origin = _under(carried, found.carrier, "adopted", ids, sample, forced)
    elif carried is None and known is not None:
        origin = _under(known[0], known[1], "recovered", ids, sample, forced)
    else:
        trace_id = ids.trace_id()
        flags = RANDOM | (SAMPLED if forced or sample(trace_id, None) else 0)
        origin = Origin(TraceContext(trace_id, ids.span_id(), flags), None, found.carrier, "new")
        if carried is not None:
            origin.links.append(carried)
            origin.decision = "linked"
    if found.previous is not None:
        _remember(origin, found.previous)
    origin.rejected = "" if found.rejected is None else str(found.rejected)
    origin.baggage = found.baggage
    return origin


def _under(
    parent: TraceContext, carrier: str, decision: str, ids: Ids, sample: Sampler, forced: bool
) -> Origin:
    flags = (parent.flags & RANDOM) | (SAMPLED if forced or sample(parent.trace_id, parent) else 0)
    return Origin(
        TraceContext(parent.trace_id, ids.span_id(), flags, parent.tracestate), parent, carrier, decision
    )


def _remember(origin: Origin, previous: Previous) -> None:
    """A `previous-trace-id` becomes a link when it names a span, else an attribute; a span id is never
    invented.
    """
    if previous.trace_id == origin.root.trace_id:
        return
    if previous.span_id is None:
        origin.previous_id = previous.trace_id
        return
    origin.links.append(TraceContext(previous.trace_id, previous.span_id, 0))
    if origin.decision == "new":
        origin.decision = "linked"


class SessionIds:
    """Calls by the UUIDs of their Session-ID (RFC 7989). A UUID is never a trace-id."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: dict[str, TraceContext] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def remember(self, value: str, context: TraceContext) -> None:
        """Find this call by either UUID from now on; the first call to name one keeps it."""
        for uuid in uuids(value):
            self._calls.setdefault(uuid, context)

    def find(self, value: str) -> TraceContext | None:
        """The call that a Session-ID names."""
        for uuid in uuids(value):
            context = self._calls.get(uuid)
            if context is not None:
                return context
        return None

    def forget(self, value: str, context: TraceContext) -> None:
        """The call is over."""
        for uuid in uuids(value):
            if self._calls.get(uuid) is context:
                del self._calls[uuid]


def is_logged(value: str) -> bool:
    """Whether a Session-ID carries the `logme` marker (RFC 8497): this call is to be recorded."""
    return "logme" in value.lower() and any(
        parameter.strip().lower() == "logme" for parameter in value.split(";")[1:]
    )


def uuids(value: str) -> list[str]:
    """The local and remote UUID of a Session-ID, without nil ones; malformed ones are left out."""
    local, _, parameters = value.partition(";")
    found = [local.strip()]
    for parameter in parameters.split(";"):
        name, _, remote = parameter.partition("=")
        if name.strip().lower() == "remote":
            found.append(remote.strip())
    return [uuid for uuid in found if len(uuid) == 32 and uuid != _NIL and not uuid.strip("0123456789abcdef")]
