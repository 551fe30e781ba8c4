"""What the fact that ends a span says on it: its attributes, its verdict, when it ended.

The book of open spans (`spans.py`) then lets it go.
"""

from __future__ import annotations

from ..b2bua.events import Concluded, DialogEnded, TransferEnded
from .attributes import Place
from .describe import OTHER, STATUS_NAMES
from .record import SERVER, OpenSpan

_REQUEST, _DIALOG, _TRANSFER = Place.REQUEST, Place.DIALOG, Place.TRANSFER
_NO_ERRORS = frozenset({401, 407, 486, 487})  # answers like any other, on CLIENT spans
_CHALLENGES = (401, 407)
_NO_FAILURES = ("completed", "cancelled", "unknown")  # outcomes that nobody has to look into


def conclude(span: OpenSpan, fact: Concluded) -> None:
    """A transaction had its final response, or none."""
    status = fact.status
    if fact.repeats:
        span.tell("retransmission", fact.at, {"sip.retransmissions": fact.repeats})
    if status:
        span.attributes["sip.response.status_code"] = status
        span.tell(STATUS_NAMES.get(status, OTHER), fact.at)
    if fact.setup_ms is not None and span.place is _REQUEST:
        span.attributes["sip.setup.duration_ms"] = fact.setup_ms
    if _failed(span.kind, fact):
        _fail(span, fact.error, status)
    span.ended_at = fact.at


def end_dialog(span: OpenSpan, fact: DialogEnded) -> None:
    """A dialog is over."""
    span.attributes["sip.dialog.end"] = fact.end
    span.attributes["sip.talk_ms"] = fact.talk_ms
    span.ended_at = fact.at


def end_transfer(span: OpenSpan, fact: TransferEnded) -> None:
    """A transfer has its outcome."""
    attributes = span.attributes
    attributes["sip.transfer.outcome"] = fact.outcome
    if fact.source:
        attributes["sip.transfer.outcome_source"] = fact.source
    if fact.stage:
        attributes["sip.transfer.stage"] = fact.stage
    if fact.status:
        attributes["sip.response.status_code"] = fact.status
    # A REFER that is challenged comes again, with credentials.
    challenged = fact.outcome == "refused" and fact.status in _CHALLENGES
    if fact.outcome not in _NO_FAILURES and not challenged:
        _fail(span, fact.error, fact.status)
    span.tell("outcome", fact.at)
    span.ended_at = fact.at


def give_up(span: OpenSpan, now: float, end: str) -> None:
    """Nobody will end it: it ends now, unless it only waited for its ACK. `end` is why, on a dialog."""
    if span.ended_at is not None:
        return
    if span.place is _DIALOG:
        span.attributes["sip.dialog.end"] = end
        span.attributes["sip.talk_ms"] = round((now - span.began_at) * 1000)
    elif span.place is _TRANSFER:
        span.attributes["sip.transfer.outcome"] = "unknown"
        if span.events is not None:  # `accepted`, or a NOTIFY, which may overtake the 202: it was taken
            span.attributes["sip.transfer.stage"] = "accepted"
        span.tell("outcome", now)
    span.ended_at = now


def _failed(kind: str, fact: Concluded) -> bool:
    """The habit of HTTP: a server is at fault from 500 on, a client takes 4xx for a failure too."""
    status = fact.status
    if not status:
        return fact.error != ""
    if kind is SERVER:
        return status >= 500 or fact.error == "timeout"
    return status >= 400 and status not in _NO_ERRORS


def _fail(span: OpenSpan, error: str, status: int) -> None:
    span.failed = True
    span.attributes["error.type"] = error or STATUS_NAMES.get(status, OTHER)
