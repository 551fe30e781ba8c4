"""Which calls meet a query: an index leads, newest first, and the rest is looked up in the narrow table.

The index that leads is the one with the fewest calls in the time asked for; none is counted further than is
worth while. So a page comes quickly whether much or little meets the query.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from heapq import merge
from itertools import groupby, islice
from typing import NamedTuple

from . import MOST_ROWS, Query
from .names import RANGE, era_of
from .rows import code_of, slowness

_COUNTED = 2000
_MOST_BITS = 40  # of milliseconds: more than any call takes to be answered
_EVER = (1 << 63) - 1

Spot = tuple[int, int]  # when a call began, and its number: the order of calls


class _Condition(NamedTuple):
    text: str
    values: tuple[int, ...] = ()


class _Way(NamedTuple):
    """An index in parts, each of which is in the order of calls."""

    source: str
    parts: list[_Condition]
    began: str = "calls.began"
    number: str = "calls.number"


def page(
    sql: sqlite3.Connection, query: Query, names: Callable[[str], set[int]]
) -> tuple[list[int], str | None]:
    """The numbers of the calls, and where the next page begins. `names`: what an id may stand as."""
    search = _Search(sql, query)
    if query.slower_than_ms is not None and query.slower_than_ms >= 1 << _MOST_BITS:
        return [], None
    found = search.by_index() if query.id is None else search.by_name(names(query.id))
    limit = search.limit
    spots = [*islice((spot for spot, _ in groupby(found)), limit + 1)]
    numbers = [number for _, number in spots[:limit]]
    return numbers, "{}.{}".format(*spots[limit - 1]) if len(spots) > limit else None


class _Search:
    def __init__(self, sql: sqlite3.Connection, query: Query) -> None:
        self.limit = max(1, min(query.limit, MOST_ROWS))
        self._sql = sql
        self._query = query
        self._since = 0 if query.since_ns is None else max(0, min(query.since_ns, _EVER))
        self._until = _EVER if query.until_ns is None else max(0, min(query.until_ns, _EVER))
        self._before = None if query.before is None else _spot(query.before)

    def by_name(self, names: set[int]) -> Iterator[Spot]:
        """From era to era backwards; the calls of a name stand in the order of their numbers."""
        first, last = self._sql.execute(RANGE).fetchone()
        if first is None:
            return
        upto = last + 1 if self._before is None else min(self._before[1], last + 1)
        where = [*self._conditions(), self._in_time("calls.began")]
        for era in range(era_of(max(upto - 1, first)), era_of(first) - 1, -1):
            parts = [
                self._rows(
                    "names CROSS JOIN calls ON calls.number = names.call",
                    [_Condition("era = ? AND key = ? AND call < ?", (era, name, upto)), *where],
                    "calls.number, calls.began",
                    "names.call",
                )
                for name in names
            ]
            yield from ((began, number) for number, began in merge(*parts, reverse=True))

    def by_index(self) -> Iterator[Spot]:
        """Newest first."""
        way = self._best()
        where = [*self._conditions(), self._in_time(way.began)]
        if self._before is not None:
            began, number = self._before
            where.append(
                _Condition(
                    f"{way.began} <= ? AND ({way.began} < ? OR {way.number} < ?)", (began, began, number)
                )
            )
        what = f"{way.began}, {way.number}"
        parts = [self._rows(way.source, [part, *where], what, what) for part in way.parts]
        return merge(*parts, reverse=True)

    def _rows(self, source: str, where: list[_Condition], what: str, order: str) -> Iterator[Spot]:
        order = ", ".join(f"{column} DESC" for column in order.split(", "))
        return self._sql.execute(
            f"SELECT {what} FROM {source} WHERE {' AND '.join(text for text, _ in where)} "
            f"ORDER BY {order} LIMIT ?",
            (*(value for _, values in where for value in values), self.limit + 1),
        )

    def _best(self) -> _Way:
        ways = [*self._ways()] or [_Way("calls INDEXED BY calls_began", [_Condition("1")])]
        return ways[0] if len(ways) == 1 else min(ways, key=self._count)

    def _ways(self) -> Iterator[_Way]:
        query = self._query
        if query.trunk is not None:
            yield _Way(
                "trunk_calls CROSS JOIN calls ON calls.number = trunk_calls.call "
                "AND calls.began = trunk_calls.began",
                [_Condition("trunk_calls.trunk = ?", (self._trunk(),))],
                "trunk_calls.began",
                "trunk_calls.call",
            )
        if query.outcome is not None:
            outcome = _Condition("outcome = ?", (_outcome(query.outcome),))
            yield _Way("calls INDEXED BY calls_outcome", [outcome])
        if query.transferred:
            yield _Way("calls INDEXED BY calls_transferred", [_Condition("transferred = 1")])
        if query.slower_than_ms is not None:
            least = slowness(max(query.slower_than_ms, 0))
            slow = [_Condition("slow = ?", (bits,)) for bits in range(least, _MOST_BITS + 1)]
            yield _Way("calls INDEXED BY calls_slow", slow)

    def _count(self, way: _Way) -> int:
        """Its calls in the time asked for, up to a number from which on it does not matter."""
        count = 0
        time = self._in_time(way.began)
        for text, values in way.parts:
            (more,) = self._sql.execute(
                f"SELECT count(*) FROM (SELECT 1 FROM {way.source.partition(' CROSS ')[0]} "
                f"WHERE {text} AND {time.text} LIMIT ?)",
                (*values, *time.values, _COUNTED - count),
            ).fetchone()
            count += int(more)
            if count >= _COUNTED:
                break
        return count

    def _conditions(self) -> Iterator[_Condition]:
        """What is asked of each call, whichever way it was found; what costs most comes last."""
        query = self._query
        if query.outcome is not None:
            yield _Condition("calls.outcome = ?", (_outcome(query.outcome),))
        if query.transferred is not None:
            yield _Condition("calls.transferred = ?", (int(query.transferred),))
        if query.slower_than_ms is not None:
            yield _Condition("calls.setup_ms > ?", (query.slower_than_ms,))
        if query.trunk is not None:
            yield _Condition(
                "EXISTS (SELECT 1 FROM trunk_calls AS t WHERE t.trunk = ? AND t.began = calls.began "
                "AND t.call = calls.number)",
                (self._trunk(),),
            )

    def _in_time(self, began: str) -> _Condition:
        return _Condition(f"{began} >= ? AND {began} < ?", (self._since, self._until))

    def _trunk(self) -> int:
        found = self._sql.execute("SELECT id FROM trunks WHERE name = ?", (self._query.trunk,)).fetchone()
        return int(found[0]) if found else -1


def _outcome(outcome: str) -> int:
    return code_of(outcome) or -1


def _spot(cursor: str) -> Spot:
    began, _, number = cursor.partition(".")
    if not (cursor.isascii() and began.isdecimal() and number.isdecimal() and len(cursor) < 42):
        raise ValueError(f"no cursor: {cursor[:42]!r}")
    return min(int(began), _EVER), min(int(number), _EVER)
