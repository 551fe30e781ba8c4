"""Log lines about calls, with the ids that lead to all the rest.

info    a call that failed, when its first span ends; a transfer, with its outcome
debug   every call's begin and end
"""

from __future__ import annotations

from ..store import Changes
from ..store.summary import FAILED, LOST, REFUSED, TIMEOUT, CallSummary, outcome_of
from ..telemetry.logs import FullLog, is_written
from ..telemetry.parcel import Parcel
from ..telemetry.record import SpanRecord

_FAILURES = frozenset((FAILED, REFUSED, TIMEOUT, LOST))
_TRANSFER = "transfer"


def tell(log: FullLog, parcel: Parcel, changes: Changes) -> None:
    """Write what a parcel told."""
    finished = [record for record in parcel.finished if _is_news(record)]
    if finished and is_written("info"):
        calls = {
            call.root_id: call
            for calls in (changes.added, changes.changed, changes.ended, changes.late)
            for call in calls
        }
        for record in finished:
            _finished(log, record, calls.get(record.root_id))
    if is_written("debug"):
        for call in changes.added:
            log.debug("call began", **_of(call))
        began = {record.root_id for record in parcel.opened if record.span_id == record.root_id}
        for call in changes.ended:
            if call.root_id in began:  # and ended, within one parcel: of that no list tells twice
                log.debug("call began", **_of(call))
            log.debug("call ended", **_of(call), outcome=call.outcome, end=call.end, talk_ms=call.talk_ms)


def _is_news(record: SpanRecord) -> bool:
    return record.span_id == record.root_id or record.name == _TRANSFER


def _finished(log: FullLog, record: SpanRecord, call: CallSummary | None) -> None:
    attributes = record.attributes
    call_id = attributes.get("sip.call_id") or (call.call_ids[0] if call and call.call_ids else "")
    ids = {"trace_id": record.trace_id, "span_id": record.span_id, "call_id": call_id}
    error = attributes.get("error.type", "")
    if record.name == _TRANSFER:
        log.info(
            _TRANSFER,
            **ids,
            kind=attributes.get("sip.transfer.kind"),
            mode=attributes.get("sip.transfer.mode"),
            outcome=attributes.get("sip.transfer.outcome"),
            stage=attributes.get("sip.transfer.stage"),
        )
        return
    status = attributes.get("sip.response.status_code", 0)
    outcome = outcome_of(status if isinstance(status, int) else 0, str(error))
    if outcome in _FAILURES:
        trunks = list(call.trunks) if call else [attributes.get("sip.trunk")]
        method = attributes.get("sip.request.method")
        log.info(
            "call failed" if method == "INVITE" else "request failed",
            **ids,
            method=method,
            outcome=outcome,
            status=status,
            error=error,
            trunks=trunks,
        )


def _of(call: CallSummary) -> dict[str, object]:
    return {
        "trace_id": call.trace_id,
        "span_id": call.root_id,
        "call_id": call.call_ids[0] if call.call_ids else "",
        "sender": call.sender,
        "receiver": call.receiver,
        "trunks": list(call.trunks),
    }
