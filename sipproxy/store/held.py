"""Spans of calls that nothing has spoken for yet (`tail.py`), in the store's own file: a restart keeps them.

undecided   a reason       its spans leave, and so do later ones          KEPT
undecided   it is over     its spans are deleted, later ones do not come  DROPPED
undecided   too long, too many spans, too little room                     DROPPED
kept        a strong reason, for the first time: what is linked with it is kept too
"""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from ..telemetry.encode import encode_span
from ..telemetry.record import SpanRecord
from ..telemetry.settings import KeepSettings
from .bundle import bundle, unbundle
from .tail import LINKED, MOST_HELD, STRONG, Tail, touched

UNDECIDED, KEPT, DROPPED = 0, 1, 2
_AT_ONCE = 1000  # calls in one step of housekeeping
_REMEMBERED_NS = 3700 * 10**9  # how long after its end a call may still have spans: a transfer that pends
_LONGEST_NS = 8 * 86400 * 10**9  # where its end was never told
_63_BITS = 1 << 63
_EVER_NS = _63_BITS - 1

TABLES = (
    """CREATE TABLE IF NOT EXISTS outbox_held (
        id INTEGER PRIMARY KEY, call INTEGER NOT NULL, origin INTEGER NOT NULL, spans INTEGER NOT NULL,
        data BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS outbox_held_call ON outbox_held (call)",
    """CREATE TABLE IF NOT EXISTS outbox_calls (
        call INTEGER PRIMARY KEY, verdict INTEGER NOT NULL, reasons INTEGER NOT NULL,
        since_ns INTEGER NOT NULL, over_ns INTEGER NOT NULL, spans INTEGER NOT NULL,
        bytes INTEGER NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS outbox_calls_since ON outbox_calls (verdict, since_ns, bytes)",
    "CREATE INDEX IF NOT EXISTS outbox_calls_over ON outbox_calls (over_ns) WHERE over_ns > 0",
    """CREATE TABLE IF NOT EXISTS outbox_traces (
        trace BLOB NOT NULL, call INTEGER NOT NULL, PRIMARY KEY (trace, call)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS outbox_traces_call ON outbox_traces (call)",
    """CREATE TABLE IF NOT EXISTS outbox_tally (
        id INTEGER PRIMARY KEY, kept INTEGER NOT NULL, sampled_out INTEGER NOT NULL)""",
    "INSERT OR IGNORE INTO outbox_tally VALUES (1, 0, 0)",
)


class Held:
    """The calls that were told of. `put` is given the spans that are to leave."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        keep: KeepSettings,
        budget: int,  # bytes
        put: Callable[[int, list[bytes]], None],
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._sql = connection
        self._tail = Tail(keep)
        self._wait_ns = int(keep.wait_s * 1e9)
        self._budget = budget
        self._put = put
        self._clock = clock

    def add(self, records: Sequence[SpanRecord], ended: Iterable[str], origin: int) -> None:
        """Spans of any calls, and the root span ids of those calls that are over with them."""
        calls: defaultdict[int, list[SpanRecord]] = defaultdict(list)
        for record in records:
            calls[_integer(record.root_id or record.span_id)].append(record)
        for call, spans in calls.items():
            self._take(call, spans, origin)
        for root_id in ended:
            self._over(_integer(root_id))

    def let_all_go(self) -> None:
        """Nothing is sampled any more: what waits leaves."""
        for (call,) in self._sql.execute("SELECT call FROM outbox_calls WHERE verdict = 0").fetchall():
            self._keep(call, 0, LINKED)

    def size(self) -> int:
        """Bytes of spans that wait."""
        total: int = self._sql.execute(
            "SELECT coalesce(sum(bytes), 0) FROM outbox_calls WHERE verdict = 0"
        ).fetchone()[0]
        return total

    def maintain(self, now_ns: int) -> bool:
        """Decide on calls that take too long or too much room, forget those that are long over."""
        late = self._some("verdict = 0 AND since_ns < ? ORDER BY since_ns", now_ns - self._wait_ns)
        for call in late:
            self._drop(call)
        while self.size() > self._budget:
            for call in self._some("verdict = 0 AND since_ns < ? ORDER BY since_ns", _EVER_NS, 100):
                self._drop(call)
        past = self._some("over_ns > 0 AND over_ns < ?", now_ns - _REMEMBERED_NS)
        past += self._some("verdict IN (1, 2) AND since_ns < ?", now_ns - _LONGEST_NS)
        for call in past:
            self._sql.execute("DELETE FROM outbox_traces WHERE call = ?", (call,))
            self._sql.execute("DELETE FROM outbox_calls WHERE call = ?", (call,))
        return len(late) == _AT_ONCE or len(past) >= _AT_ONCE

    def _some(self, condition: str, value: int, most: int = _AT_ONCE) -> list[int]:
        found = self._sql.execute(f"SELECT call FROM outbox_calls WHERE {condition} LIMIT ?", (value, most))
        return [call for (call,) in found]

    def _take(self, call: int, records: list[SpanRecord], origin: int) -> None:
        """More spans of one call."""
        verdict, reasons, count = self._known(call)
        found = 0
        for record in records:
            found |= self._tail.reasons(record)
        traces = {bytes.fromhex(trace) for record in records for trace in touched(record)}
        self._sql.executemany(
            "INSERT OR IGNORE INTO outbox_traces VALUES (?, ?)", [(trace, call) for trace in traces]
        )
        if verdict == DROPPED:
            self._count(sampled_out=len(records))
            return
        if not reasons | found and self._is_linked(call, traces):
            found = LINKED
        if found & ~reasons:
            self._keep(call, reasons, found)
        spans = [encode_span(record) for record in records]
        if found | reasons:
            self._leave(origin, spans)
            return
        data = bundle(spans)
        self._sql.execute(
            "INSERT INTO outbox_held (call, origin, spans, data) VALUES (?, ?, ?, ?)",
            (call, origin, len(spans), data),
        )
        self._sql.execute(
            "UPDATE outbox_calls SET spans = spans + ?, bytes = bytes + ? WHERE call = ?",
            (len(spans), len(data), call),
        )
        if count + len(spans) > MOST_HELD:
            self._drop(call)

    def _known(self, call: int) -> tuple[int, int, int]:
        """Verdict, reasons, and how many spans are held."""
        found: tuple[int, int, int] | None = self._sql.execute(
            "SELECT verdict, reasons, spans FROM outbox_calls WHERE call = ?", (call,)
        ).fetchone()
        if found is None:
            self._sql.execute("INSERT INTO outbox_calls VALUES (?, 0, 0, ?, 0, 0, 0)", (call, self._clock()))
        return found or (UNDECIDED, 0, 0)

    # Verdicts

    def _keep(self, call: int, before: int, reasons: int) -> None:
        """Let go what is held of it; a strong reason speaks for what is linked with it as well."""
        held = self._sql.execute(
            "SELECT origin, data FROM outbox_held WHERE call = ? ORDER BY id", (call,)
        ).fetchall()
        for origin, data in held:
            self._leave(origin, unbundle(data))
        self._settle(call, KEPT, before | reasons)
        if reasons & STRONG and not before & STRONG:
            linked = self._sql.execute(
                "SELECT DISTINCT call FROM outbox_traces JOIN outbox_calls USING (call) WHERE verdict = 0 "
                "AND trace IN (SELECT trace FROM outbox_traces WHERE call = ?)",
                (call,),
            ).fetchall()
            for (other,) in linked:
                self._keep(other, 0, LINKED)

    def _drop(self, call: int) -> None:
        spans = self._sql.execute("SELECT spans FROM outbox_calls WHERE call = ?", (call,)).fetchone()[0]
        self._count(sampled_out=spans)
        self._settle(call, DROPPED, 0)

    def _settle(self, call: int, verdict: int, reasons: int) -> None:
        self._sql.execute("DELETE FROM outbox_held WHERE call = ?", (call,))
        self._sql.execute(
            "UPDATE outbox_calls SET verdict = ?, reasons = ?, spans = 0, bytes = 0 WHERE call = ?",
            (verdict, reasons, call),
        )

    def _over(self, call: int) -> None:
        found = self._sql.execute("SELECT verdict FROM outbox_calls WHERE call = ?", (call,)).fetchone()
        if found is None:  # not sampled
            return
        if found[0] == UNDECIDED:
            self._drop(call)
        self._sql.execute("UPDATE outbox_calls SET over_ns = ? WHERE call = ?", (self._clock(), call))

    def _is_linked(self, call: int, traces: Iterable[bytes]) -> bool:
        """Does it share a trace with a call that was kept for a reason of its own?"""
        given = [*traces]
        marks = ", ".join("?" * len(given))
        found = self._sql.execute(
            "SELECT 1 FROM outbox_traces JOIN outbox_calls USING (call) "
            f"WHERE trace IN ({marks}) AND call != ? AND reasons & ? LIMIT 1",
            (*given, call, STRONG),
        )
        return found.fetchone() is not None

    def _leave(self, origin: int, spans: list[bytes]) -> None:
        self._put(origin, spans)
        self._count(kept=len(spans))

    def _count(self, *, kept: int = 0, sampled_out: int = 0) -> None:
        self._sql.execute(
            "UPDATE outbox_tally SET kept = kept + ?, sampled_out = sampled_out + ?", (kept, sampled_out)
        )


def _integer(span_id: str) -> int:
    """As SQLite's integers want it: signed."""
    number = int(span_id, 16)
    return number - 2 * _63_BITS if number >= _63_BITS else number
