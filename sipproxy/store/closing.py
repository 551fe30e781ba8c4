"""What an earlier start of the signalling process left open is closed; what this one left goes on."""

from __future__ import annotations

from collections.abc import Iterator

from ..telemetry.record import SpanRecord
from . import Beginning
from .opened import Opened
from .summary import LOST, OVER, CallSummary

_OPEN = """
SELECT number, data FROM calls JOIN summaries ON call = number
WHERE boot = ?1 AND number IN (SELECT number FROM calls WHERE open = 1 UNION SELECT call FROM journal)
ORDER BY number
"""
_BOOTS = """
SELECT id, boot, heard FROM boots WHERE boot <> ?1 AND id IN (
    SELECT boot FROM calls WHERE open = 1 UNION SELECT boot FROM journal JOIN calls ON number = call)
"""


def begin(store: Opened, boot: str) -> Beginning:
    """One transaction: nothing is closed twice."""
    closed: list[SpanRecord] = []
    sql = store.sql
    with store.transaction():
        for number, name, heard_ns in sql.execute(_BOOTS, (boot,)).fetchall():
            closed += _close(store, number, name, heard_ns)
        sql.execute("DELETE FROM journal WHERE call NOT IN (SELECT number FROM calls)")
        this = store.boot(boot)
        last, newest = sql.execute(
            "SELECT last, (SELECT max(number) FROM calls) FROM boots WHERE id = ?", (this,)
        ).fetchone()
        calls = [*_open_calls(store, this)]
        opened = [span for call in calls for span in store.journal.of(call.number)]
    return Beginning((newest or 0) + 1, last, calls, opened, closed)


def _close(store: Opened, boot: int, name: str, heard_ns: int) -> list[SpanRecord]:
    closed: list[SpanRecord] = []
    ended: list[CallSummary] = []
    calls = [*_open_calls(store, boot)]
    for call in calls:
        known = call.outcome
        closed += store.close_lost(call, heard_ns)
        if call.state == OVER:
            call.outcome = known
        else:
            call.state, call.outcome = OVER, LOST
            call.ended_ns = max(heard_ns, call.began_ns)
            ended.append(call)
    store.rows.write(calls, boot)
    store.rows.forget([call.number for call in calls])
    if store.outbox is not None:
        store.outbox.add(closed, ended, name)
    return closed


def _open_calls(store: Opened, boot: int) -> Iterator[CallSummary]:
    """Calls that are not over, or have an open span. One that cannot be read is let go."""
    for number, data in store.sql.execute(_OPEN, (boot,)).fetchall():
        try:
            yield store.packer.call(data)
        except ValueError:
            store.sql.execute("UPDATE calls SET open = 0 WHERE number = ?", (number,))
            store.journal.clear(number)
