"""A call in one line: what lists show of it, what a search finds it by, what the API says of it."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from operator import attrgetter
from typing import Any

CALLING, RINGING, TALKING, TRANSFERRING, OVER = "calling", "ringing", "talking", "transferring", "over"

ANSWERED, BUSY, DECLINED, CANCELLED = "answered", "busy", "declined", "cancelled"
REFUSED, TIMEOUT, FAILED, LOST = "refused", "timeout", "failed", "lost"
OUTCOMES = (ANSWERED, BUSY, DECLINED, CANCELLED, REFUSED, TIMEOUT, FAILED, LOST)

_OF_STATUS = {486: BUSY, 600: BUSY, 603: DECLINED, 487: CANCELLED, 408: TIMEOUT, 504: TIMEOUT}


@dataclass(slots=True)
class CallSummary:
    """Everything as text is masked already. Times are ns since 1970, 0 where there is none yet."""

    number: int  # rises from call to call; the row in the store
    root_id: str  # span id of the first span, which names the call
    trace_id: str  # of that span
    began_ns: int
    method: str = "INVITE"  # or that of another request outside a dialog
    state: str = CALLING
    sampled: bool = False
    traces: tuple[str, ...] = ()  # of all its spans
    links: tuple[str, ...] = ()  # trace-ids that its spans name, and that are none of its own
    sender: str = ""
    receiver: str = ""
    trunks: tuple[str, ...] = ()  # the caller's, then those that were tried
    call_keys: tuple[int, ...] = ()
    call_ids: tuple[str, ...] = ()  # in the order of `call_keys`
    interaction_id: str = ""
    session_id: str = ""
    answered_ns: int = 0
    ended_ns: int = 0
    outcome: str = ""  # one of OUTCOMES; "" while nobody knows
    status: int = 0  # the final response to the caller
    error: str = ""
    end: str = ""  # who or what ended the dialogs
    setup_ms: int | None = None
    talk_ms: int | None = None
    transfers: int = 0  # how many it asked for
    transferred: bool = False  # it asked for one, or one caused it
    failed: bool = False  # its first span, or a transfer
    spans: int = 0  # that have finished


DEFAULTS: dict[str, Any] = {
    field.name: None if field.default is MISSING else field.default for field in fields(CallSummary)
}
NAMES = tuple(DEFAULTS)

values_of = attrgetter(*NAMES)


def copy_of(call: CallSummary) -> CallSummary:
    """One that does not change with it."""
    return CallSummary(*values_of(call))


def outcome_of(status: int, error: str) -> str:
    """What a final response, or the lack of one, means to the caller."""
    if error == "timeout":
        return TIMEOUT
    if status in _OF_STATUS:
        return _OF_STATUS[status]
    if 200 <= status < 300:
        return ANSWERED
    return REFUSED if 300 <= status < 500 else FAILED


def live_row(call: CallSummary) -> dict[str, Any]:
    """For `/api/calls`."""
    return {
        "id": call.root_id,
        "trace_id": call.trace_id,
        "state": call.state,
        "began_us": call.began_ns // 1000,
        "answered_us": call.answered_ns // 1000 or None,
        "from": call.sender,
        "to": call.receiver,
        "trunks": list(call.trunks),
        "call_ids": list(dict.fromkeys(call.call_ids)),
        "interaction_id": call.interaction_id,
        "transfers": call.transfers,
        "sampled": call.sampled,
    }


def row(call: CallSummary) -> dict[str, Any]:
    """For `/api/traces`."""
    return {
        **live_row(call),
        "method": call.method,
        "ended_us": call.ended_ns // 1000 or None,
        "outcome": call.outcome,
        "status": call.status,
        "error": call.error,
        "end": call.end,
        "setup_ms": call.setup_ms,
        "talk_ms": call.talk_ms,
        "transferred": call.transferred,
        "failed": call.failed,
        "spans": call.spans,
    }
