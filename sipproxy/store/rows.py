"""Calls and finished spans as rows: written, and deleted again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from ..telemetry.record import SpanRecord
from . import names
from .names import Keys
from .packing import Packer, of_call, plain
from .summary import OUTCOMES, OVER, CallSummary

_CODES = {outcome: code for code, outcome in enumerate(OUTCOMES, 1)}


class _Known(NamedTuple):
    """What of a call is written."""

    began_ns: int
    is_open: int | None
    columns: list[int | None]
    sizes: tuple[int, ...]


_INSERT = """
INSERT OR REPLACE INTO calls (number, began, boot, open, outcome, setup_ms, slow, transferred)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_UPDATE = "UPDATE calls SET outcome = ?, setup_ms = ?, slow = ?, transferred = ? WHERE number = ?"
_END = "UPDATE calls SET open = ? WHERE number = ?"
_LEAVE_TRUNK = "DELETE FROM trunk_calls WHERE trunk = ? AND began = ? AND call = ?"
_DELETE = (
    "DELETE FROM spans WHERE call = ?",
    "DELETE FROM messages WHERE call = ?",
    "DELETE FROM journal WHERE call = ?",
    "DELETE FROM summaries WHERE call = ?",
    "DELETE FROM calls WHERE number = ?",
)


def code_of(outcome: str) -> int | None:
    """As it stands in the file; None while there is none."""
    return _CODES.get(outcome)


def slowness(setup_ms: int) -> int:
    """In powers of two, so that an index finds the slow ones newest first."""
    return setup_ms.bit_length()


class Rows:
    """Writes within the transaction of another. It remembers what of the live calls is written, so that only
    what changed is written again; after a rollback it must forget.
    """

    def __init__(self, sql: sqlite3.Connection, packer: Packer, keys: Keys) -> None:
        self._sql = sql
        self._packer = packer
        self._keys = keys
        self._written: dict[int, _Known] = {}
        self._trunks: dict[str, int] = {}

    def forget(self, numbers: Iterable[int] | None = None) -> None:
        """What was written of these calls, or all."""
        if numbers is None:
            self._written.clear()
            self._trunks.clear()
            return
        for number in numbers:
            self._written.pop(number, None)

    def of_late(self, number: int) -> bool:
        """Is this call live, or was a moment ago, so that more may be written of it?"""
        return number in self._written

    def write(self, calls: Iterable[CallSummary], boot: int) -> None:
        """Calls as they are now. Of one that is there only what changed is touched, and its indices."""
        inserted, updated, ended = [], [], []
        named: list[CallSummary] = []
        summaries = []
        for call in calls:
            (is_open, *columns), sizes = _columns(call), _sizes(call)
            known = self._written.get(call.number)
            if known is None:
                inserted.append((call.number, call.began_ns, boot, is_open, *columns))
            else:
                if known.columns != columns:
                    updated.append((*columns, call.number))
                if known.is_open != is_open:
                    ended.append((is_open, call.number))
                if known.began_ns != call.began_ns:
                    self._move(call, known.began_ns)
            if known is None or known.sizes != sizes or known.began_ns != call.began_ns:
                named.append(call)
            self._written[call.number] = _Known(call.began_ns, is_open, columns, sizes)
            pack = self._packer.pack if call.state == OVER else plain  # what changes again is not worth it
            summaries.append((call.number, pack(of_call(call))))
        self._sql.executemany(_INSERT, inserted)
        self._sql.executemany(_UPDATE, updated)
        self._sql.executemany(_END, ended)
        self._write_names(named)
        self._sql.executemany("INSERT OR REPLACE INTO summaries VALUES (?, ?)", summaries)

    def write_spans(self, spans: Mapping[int, Sequence[SpanRecord]]) -> None:
        """Finished spans, by the number of their call."""
        pack = self._packer.pack
        self._sql.executemany(
            "INSERT INTO spans (call, data) VALUES (?, ?)",
            [(number, pack(records)) for number, records in spans.items()],
        )

    def delete(self, numbers: Sequence[int]) -> None:
        """Calls, and all that belongs to them."""
        for number in numbers:
            found = self._sql.execute("SELECT data FROM summaries WHERE call = ?", (number,)).fetchone()
            if found is not None:
                with suppress(ValueError):  # damaged: its names lead nowhere
                    self._delete_names(self._packer.call(found[0]))
            for statement in _DELETE:
                self._sql.execute(statement, (number,))
        self.forget(numbers)

    def _move(self, call: CallSummary, began_ns: int) -> None:
        """It began earlier than was known."""
        self._sql.execute("UPDATE calls SET began = ? WHERE number = ?", (call.began_ns, call.number))
        self._sql.executemany(
            _LEAVE_TRUNK, [(trunk, began_ns, call.number) for trunk in self._trunks.values()]
        )

    def _write_names(self, calls: Iterable[CallSummary]) -> None:
        self._sql.executemany("INSERT OR IGNORE INTO names VALUES (?, ?, ?)", self._names(calls))
        self._sql.executemany("INSERT OR IGNORE INTO trunk_calls VALUES (?, ?, ?)", self._trunk_calls(calls))

    def _delete_names(self, call: CallSummary) -> None:
        self._sql.executemany("DELETE FROM names WHERE era = ? AND key = ? AND call = ?", self._names([call]))
        self._sql.executemany(_LEAVE_TRUNK, self._trunk_calls([call]))

    def _names(self, calls: Iterable[CallSummary]) -> list[tuple[int, int, int]]:
        return [
            (names.era_of(call.number), key, call.number)
            for call in calls
            for key in names.of_call(call, self._keys)
        ]

    def _trunk_calls(self, calls: Iterable[CallSummary]) -> list[tuple[int, int, int]]:
        return [(self._trunk(trunk), call.began_ns, call.number) for call in calls for trunk in call.trunks]

    def _trunk(self, name: str) -> int:
        number = self._trunks.get(name)
        if number is None:
            self._sql.execute("INSERT OR IGNORE INTO trunks (name) VALUES (?)", (name,))
            (number,) = self._sql.execute("SELECT id FROM trunks WHERE name = ?", (name,)).fetchone()
            assert isinstance(number, int)
            self._trunks[name] = number
        return number


def _columns(call: CallSummary) -> list[int | None]:
    setup_ms = call.setup_ms
    slow = None if setup_ms is None else slowness(setup_ms)
    return [int(call.state != OVER), code_of(call.outcome), setup_ms, slow, int(call.transferred)]


def _sizes(call: CallSummary) -> tuple[int, ...]:
    """What a call is found by only becomes more; a link can become a trace."""
    return (
        *(len(call.traces), len(call.links), len(call.call_keys), len(call.trunks)),
        len(call.interaction_id),
    )
