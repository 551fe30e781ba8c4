"""Questions to the store: search, the story of a call, a message as it was on the wire, spans to replay."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..telemetry.callkey import CallKeys
from ..telemetry.record import SpanRecord
from . import Found, Query, StoreError, Story
from .ladders import INDEX_BITS, raw_of
from .names import of_text
from .packing import Packer
from .place import Place
from .schema import Broken, connect_to_read, is_broken, is_interrupted, packer_of
from .search import page
from .story import Telling
from .summary import CallSummary

_CALLS_AT_ONCE = 200
_EVER = (1 << 63) - 1


class Reader:
    """Has a connection of its own that only reads; threads take turns. Where there is no store yet, nothing
    is found. StoreError: it cannot be read now, or the question was interrupted.
    """

    def __init__(
        self,
        place: Place,
        *,
        reference: Callable[[str], str] = str,  # Masker.mask_reference: how interaction ids were masked
        suspect: Callable[[], None] | None = None,  # Keeper.suspect
    ) -> None:
        self._file = place.file
        self._keys = CallKeys(place.key)
        self._reference = reference
        self._suspect = suspect
        self._turn = threading.Lock()
        self._sql: sqlite3.Connection | None = None
        self._packer: Packer | None = None
        self._inode = 0

    def search(self, query: Query) -> Found:
        """Calls, newest first. ValueError: `before` is no cursor of ours."""
        with self._reading() as opened:
            if opened is None:
                return Found([], None)
            sql, packer = opened
            numbers, more = page(sql, query, self._names)
            calls = (self._call(sql, packer, number) for number in numbers)
            return Found([call for call in calls if call is not None], more)

    def story(self, ident: str) -> Story | None:
        """By trace-id, Call-ID (as it is or masked), interaction id or root span id. Open spans are in it as
        soon as the keeper has them; None: nothing is known of that id.
        """
        with self._reading() as opened:
            if opened is None:
                return None
            return Telling(*opened, self._keys, self._damaged).tell(self._names(ident))

    def raw(self, ident: str, n: int) -> bytes | None:
        """Message `n` of that story as it was on the wire, if such are kept."""
        story = self.story(ident)
        if story is None or not any(message.n == n for message in story.messages):
            return None
        with self._reading() as opened:
            if opened is None:
                return None
            sql, packer = opened
            found = sql.execute("SELECT raw FROM messages WHERE id = ?", (n >> INDEX_BITS,)).fetchone()
            if found is None or found[0] is None:
                return None
            try:
                return raw_of(packer, found[0], n)
            except ValueError:
                self._damaged()
                return None

    def spans(self, since_ns: int = 0, until_ns: int | None = None) -> Iterator[list[tuple[str, SpanRecord]]]:
        """Spans that have ended, of calls that began in that time, call by call, oldest first; each with the
        start of the signalling process that it is of. However long it takes, no transaction does.
        """
        until_ns = _EVER if until_ns is None else until_ns
        began, number = since_ns, -1
        while True:
            with self._reading() as opened:
                if opened is None:
                    return
                sql, packer = opened
                calls = sql.execute(
                    "SELECT began, number, boots.boot FROM calls INDEXED BY calls_began "
                    "LEFT JOIN boots ON boots.id = calls.boot "
                    "WHERE began >= ? AND began < ? AND (began > ? OR number > ?) "
                    "ORDER BY began, number LIMIT ?",
                    (began, until_ns, began, number, _CALLS_AT_ONCE),
                ).fetchall()
                found = [[(boot, span) for span in self._spans(sql, packer, call)] for _, call, boot in calls]
            if not calls:
                return
            began, number = calls[-1][:2]
            yield from filter(None, found)

    def interrupt(self) -> None:
        """Make the question under way fail, if there is one; in any thread."""
        sql = self._sql
        if sql is not None:
            sql.interrupt()

    def close(self) -> None:
        """Close the file."""
        with self._turn:
            self._let_go()

    # How that is done

    def _names(self, text: str) -> set[int]:
        return of_text(text, self._keys, self._reference)

    def _call(self, sql: sqlite3.Connection, packer: Packer, number: int) -> CallSummary | None:
        found = sql.execute("SELECT data FROM summaries WHERE call = ?", (number,)).fetchone()
        if found is None:
            return None
        try:
            return packer.call(found[0])
        except ValueError:
            self._damaged()
            return None

    def _spans(self, sql: sqlite3.Connection, packer: Packer, number: int) -> Iterator[SpanRecord]:
        for (data,) in sql.execute("SELECT data FROM spans WHERE call = ?", (number,)):
            try:
                yield from packer.spans(data)
            except ValueError:
                self._damaged()

    def _damaged(self) -> None:
        if self._suspect is not None:
            self._suspect()

    @contextmanager
    def _reading(self) -> Iterator[tuple[sqlite3.Connection, Packer] | None]:
        """A transaction: what is read is of one moment."""
        with self._turn:
            try:
                opened = self._open()
                if opened is None:
                    yield None
                    return
                sql = opened[0]
                sql.execute("BEGIN")
                try:
                    yield opened
                finally:
                    if sql.in_transaction:
                        sql.execute("ROLLBACK")
            except (Broken, sqlite3.Error, OSError) as error:
                if is_interrupted(error):
                    raise StoreError("the question took too long") from None
                self._let_go()
                if is_broken(error):
                    self._damaged()
                raise StoreError(f"{self._file}: {error}") from None

    def _open(self) -> tuple[sqlite3.Connection, Packer] | None:
        """What was opened before, unless another file has its name now."""
        try:
            inode = os.stat(self._file).st_ino
        except FileNotFoundError:
            self._let_go()
            return None
        if self._sql is None or self._packer is None or inode != self._inode:
            self._let_go()
            self._sql = connect_to_read(self._file)
            if self._sql is None:
                return None
            self._packer = packer_of(self._sql)
            self._inode = inode
        return self._sql, self._packer

    def _let_go(self) -> None:
        if self._sql is not None:
            self._sql.close()
            self._sql = self._packer = None
