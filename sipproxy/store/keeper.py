"""The one writer of the store. All of it runs in one thread, and only `suspect` and `figures` in any.

Parcels are gathered and written together, in one transaction: what they finished, what they began, the calls
as they are after the last of them, messages, and what is to be exported. So what is in the store is always
what some number of whole parcels told, and no parcel is in it twice.

A damaged file is set aside, and what was about to be written goes into a new one. Where nothing can be
written for now (a full disk) nothing is lost here: the signalling process keeps what was not acknowledged.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable

from ..telemetry.logs import Log
from ..telemetry.parcel import Parcel
from . import Beginning, Changes, MakeOutbox, StoreError, Wire
from .batch import Batch
from .closing import begin
from .ladders import Ladders, Prepared
from .names import Keys
from .opened import Opened
from .place import Place
from .schema import Broken, is_broken, is_passing, set_aside
from .settings import StoreSettings

_WRITER = "writer"  # locked by whoever writes: an observer may outlive its signalling process for a moment
_CHECKPOINT_NS = 5 * 10**9  # how much a power cut may take
_NOTHING = Prepared([], [], 0, 0, 0)
_FIGURES = ("spans", "lost", "messages", "strangers", "unreadable", "deleted", "broken", "failures", "bytes")


class Keeper:
    """Nothing is opened before `begin`. That and all that follows belong to one thread."""

    def __init__(
        self,
        place: Place,
        settings: StoreSettings,
        wire: Wire | None,  # None: messages are not kept
        keys: Keys,  # CallKeys(place.key)
        outbox: MakeOutbox | None,
        log: Log,
        *,
        raw: bool = False,  # AdminSettings.raw
        renewed: Callable[[], object] | None = None,  # the file is a new one: keep LiveCalls.everything()
        restart: Callable[[], object] | None = None,  # every connection of this process must be a new one
    ) -> None:
        self._place = place
        self._settings = settings
        self._keys = keys
        self._make_outbox = outbox
        self._log = log
        self._renewed = renewed
        self._restart = restart
        self._restarting = False
        self._ladders = Ladders(wire, keys, raw=raw) if wire is not None and settings.messages else None
        self._lock: int | None = None
        self._store: Opened | None = None
        self._boot = ""
        self._last = 0  # parcel of this boot that is in the store
        self._batch = Batch(0)
        self._checkpoint_ns = 0
        self._suspected = False
        self._failing = False
        self._figures = dict.fromkeys(_FIGURES, 0)

    def begin(self, boot: str) -> Beginning:
        """Open the store for what this boot tells, and close what an earlier one left open. StoreError: it
        cannot be opened now; call again.
        """
        self._boot = ""
        for _ in range(2):
            try:
                beginning = begin(self._opened(), boot)
            except (Broken, StoreError, sqlite3.Error, OSError) as error:
                if not self._mends(error):
                    raise StoreError(f"{self._place.file}: {error}") from None
            else:
                break
        else:
            raise StoreError(f"{self._place.file}: also a new one is damaged")
        self._boot = boot
        self._last = beginning.last
        self._batch = Batch(self._last)
        self._count("lost", len(beginning.lost))
        if self._ladders is not None:
            self._ladders.know(beginning.calls)
        return beginning

    def keep(self, boot: str, number: int, parcel: Parcel, changes: Changes) -> bool:
        """Add a parcel to the next commit; False: it is in the store already. Number 0: openings told again,
        never "in the store already".
        """
        if boot != self._boot:
            raise StoreError("a parcel of another start of the signalling process than `begin` was told")
        if 0 < number <= self._batch.last:
            return False
        self._batch.add(number, parcel, changes)
        if self._ladders is not None:
            for calls in (changes.added, changes.changed, changes.ended, changes.late):
                self._ladders.know(calls)
        return True

    def commit(self) -> bool:
        """Write all that was kept since the last commit. False: nothing of it is in the store (the disk is
        full, or the like), and all of it must be kept again.
        """
        batch = self._batch
        if batch.empty:
            return True
        for _ in range(2):  # again, if the file was damaged and is a new one now
            try:
                self._write(batch)
            except (Broken, StoreError, sqlite3.Error, OSError) as error:
                if not self._mends(error):
                    break
            else:
                self._last = batch.last
                self._batch = Batch(self._last)
                return True
        self._batch = Batch(self._last)
        return False

    def maintain(self, now_ns: int) -> bool:
        """A little housekeeping, at least every ten seconds: delete what is too old or too much, note that
        the signalling process was alive at `now_ns`. True: there is more to do, call again soon.
        """
        try:
            return self._maintain(now_ns)
        except (Broken, StoreError, sqlite3.Error, OSError) as error:
            return self._mends(error)

    def suspect(self) -> None:
        """Somebody read damaged data: `maintain` will look (can be called in any thread)."""
        self._suspected = True

    def figures(self) -> dict[str, int]:
        """What was written since the start, what was dropped, bytes of the file. In any thread."""
        return dict(self._figures)

    def close(self) -> None:
        """Close the file. What was not committed is dropped: it was not acknowledged."""
        self._batch = Batch(self._last)
        self._let_go()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # How that is done

    def _write(self, batch: Batch) -> None:
        store = self._current()
        prepared = _NOTHING
        if self._ladders is not None:
            prepared = self._ladders.prepare(batch.messages, store.packer)
        store.write(self._boot, batch, prepared.rows)
        if self._ladders is not None:
            self._ladders.wrote(prepared)
            self._ladders.forget(batch.gone)
        self._count("spans", len(batch.records))
        self._count("lost", batch.lost)
        self._count("messages", prepared.kept)
        self._count("strangers", prepared.dropped)
        self._count("unreadable", prepared.unreadable)
        self._recovered()

    def _maintain(self, now_ns: int) -> bool:
        store = self._current()
        if self._suspected:
            self._suspected = False
            store.check()
        deleted, more = store.tend(self._boot, now_ns)
        self._count("deleted", deleted)
        if now_ns - self._checkpoint_ns >= _CHECKPOINT_NS:
            self._checkpoint_ns = now_ns
            store.checkpoint()
        self._figures["bytes"] = store.retention.bytes()
        self._recovered()
        return more

    def _current(self) -> Opened:
        """The file, unless somebody has removed it, or the log beside it, while it was open."""
        if self._store is not None and (missing := self._store.missing()):
            if missing == "log":
                self._give_up_log(self._store)
            else:
                hint = "somebody deleted it while it was in use; a new one is begun"
                self._log.warning("store: removed", hint=hint, file=str(self._place.file))
                self._let_go()
        return self._opened()

    def _give_up_log(self, store: Opened) -> None:
        """Whoever has it open shares it for as long as it lives, and new ones find none. SQLite cannot mend
        that while one of them is left, and two logs would damage the file.
        """
        store.rescue()
        if not self._restarting:
            self._restarting = True
            hint = "somebody deleted SQLite's log while it was in use; the observer starts again"
            self._log.error("store: removed", hint=hint, file=f"{self._place.file}-wal")
            if self._restart is not None:
                self._failing = True  # and that is said
                self._restart()
        if self._restart is not None:
            raise StoreError("its log was removed")

    def _opened(self) -> Opened:
        if self._store is None:
            self._place.restore()
            self._take_lock()
            self._store = Opened(self._place.file, self._settings, self._keys, self._make_outbox)
            if self._store.is_new and self._boot and self._renewed is not None:
                self._renewed()
        return self._store

    def _take_lock(self) -> None:
        """Held until `close`, or until somebody removes it."""
        if self._lock is not None:
            if os.fstat(self._lock).st_nlink:
                return
            os.close(self._lock)
            self._lock = None
        lock = os.open(self._place.folder / _WRITER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise StoreError("another process still writes there") from None
        except OSError:
            os.close(lock)
            raise
        self._lock = lock

    def _mends(self, error: Exception) -> bool:
        """Say what is wrong. True: the file was damaged, and there can be a new one at once."""
        self._let_go()
        file = self._place.file
        if is_broken(error):
            try:
                aside = set_aside(file)
            except OSError as trouble:
                error = trouble
            else:
                self._count("broken", 1)
                self._log.error(
                    "store: set aside",
                    hint="the file was damaged; a new one is begun, and what the old one had is not shown or "
                    "exported any more",
                    file=str(file),
                    aside=str(aside),
                    reason=str(error),
                )
                return True
        if isinstance(error, sqlite3.Error) and not is_passing(error):
            raise error
        self._count("failures", 1)
        if not self._failing:
            self._failing = True
            self._log.warning(
                "store: not writable",
                hint="spans wait with the signalling process, as many as it may keep",
                file=str(file),
                reason=str(error),
            )
        return False

    def _recovered(self) -> None:
        if self._failing:
            self._failing = False
            self._log.info("store: writable again", file=str(self._place.file))

    def _let_go(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _count(self, what: str, more: int) -> None:
        self._figures[what] += more
