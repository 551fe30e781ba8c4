"""The thread that has the store: parcels in, commits, acknowledgements out.

    put ─► queue ─► keep ... keep ─► commit ─► stored(number)
                     └── it failed: all of them again, after a pause; what is not stored is not acknowledged

Nothing bounds the queue here: the worker sends no more than a few megabytes that are not acknowledged.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..store import Beginning, Changes, StoreError
from ..telemetry.logs import Log
from ..telemetry.parcel import Parcel

MAINTAIN_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0
LAST_S = 3.0  # for a store that fails, once there is nothing more to come
_MOST_ROWS = 4000  # in one commit


class Keeper(Protocol):
    """`store.keeper.Keeper`, as far as it is used here."""

    def begin(self, boot: str) -> Beginning: ...

    def keep(self, boot: str, number: int, parcel: Parcel, changes: Changes) -> bool: ...

    def commit(self) -> bool: ...

    def maintain(self, now_ns: int) -> bool: ...

    def figures(self) -> dict[str, int]: ...

    def suspect(self) -> None: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class _Work:
    number: int
    parcel: Parcel | None  # None: nothing to store, but its turn to be acknowledged
    changes: Changes | None


class Writer:
    """`begun` and `stored` are called in this thread. After an error that nobody foresaw the store is opened
    anew, by `open_keeper`, and what had caused it is left out.
    """

    def __init__(
        self,
        open_keeper: Callable[[], Keeper],
        boot: str,
        *,
        begun: Callable[[Beginning], object],
        stored: Callable[[int, bool], object],  # up to this number; with finished spans
        log: Log,
    ) -> None:
        self.trouble = ""  # why nothing is stored at the moment; any thread may look
        self.skipped = 0  # parcels left out
        self._open_keeper = open_keeper
        self._keeper = open_keeper()
        self._boot = boot
        self._begun = begun
        self._stored = stored
        self._log = log
        self._queue: deque[_Work] = deque()
        self._batch: list[_Work] = []
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._finished = threading.Event()
        self._released = threading.Event()
        self._give_up_at = float("inf")
        self._maintain_at = 0.0
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)

    def start(self) -> None:
        """Open the store, and go on until `close`."""
        self._thread.start()

    def put(self, number: int, parcel: Parcel | None = None, changes: Changes | None = None) -> None:
        """Store it in its turn; from one thread."""
        self._queue.append(_Work(number, parcel, changes))
        self._wake.set()

    def figures(self) -> dict[str, int]:
        """The keeper's; in any thread."""
        return self._keeper.figures()

    def suspect(self) -> None:
        """Somebody read damaged data; in any thread."""
        self._keeper.suspect()

    def close(self, last_s: float = LAST_S) -> int:
        """`finish` and `release`."""
        left = self.finish(last_s)
        self.release()
        return left

    def release(self) -> None:
        """Let go of the store: from now on another observer may write there, and send."""
        self._released.set()
        self._thread.join()

    def finish(self, last_s: float = LAST_S) -> int:
        """Store all that was put, with `last_s` for a store that fails; how many parcels are not stored."""
        self._give_up_at = time.monotonic() + last_s
        self._closing.set()
        self._wake.set()
        self._finished.wait()
        return len(self._queue) + len(self._batch)

    def _run(self) -> None:
        if self._begin():
            while self._step():
                pass
        self._finished.set()
        self._released.wait()
        self._keeper.close()

    def _begin(self) -> bool:
        """False: it could not be opened in time."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                beginning = self._keeper.begin(self._boot)
            except Exception as error:
                self._complain(error)
            else:
                self.trouble = ""
                self._begun(beginning)
                return True
            if not self._pause(pause_s):
                return False
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _complain(self, error: Exception) -> None:
        """It cannot be opened; who knows the reason has logged it, unless it is a fault of ours."""
        if not isinstance(error, StoreError) and str(error) != self.trouble:
            self._log.error("internal error", error=repr(error), where="opening the store")
        self.trouble = str(error)

    def _step(self) -> bool:
        """Store what there is, or wait for more; False: that was all."""
        closing = self._closing.is_set()
        if not self._queue:
            if closing:
                return False
            more = self._maintain()
            self._wake.wait(0.0 if more else max(0.0, self._maintain_at - time.monotonic()))
        self._wake.clear()
        rows = 0
        while self._queue and rows < _MOST_ROWS:
            work = self._queue.popleft()
            self._batch.append(work)
            rows += 1 if work.parcel is None else 1 + _rows(work.parcel)
        pause_s = FIRST_PAUSE_S
        while self._batch and not self._store():
            if not self._pause(pause_s):
                return False
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        if time.monotonic() >= self._maintain_at:
            self._maintain()
        return True

    def _store(self) -> bool:
        """The whole batch; False: nothing of it, for a reason that may pass."""
        try:
            done = self._store_all(self._batch)
        except Exception as error:  # a bug here must not stop the store for good
            self._log.error("internal error", error=repr(error), where="storing parcels")
            self._store_singly()
            return True
        self.trouble = "" if done else "the store takes nothing"
        if done:
            self._tell(self._batch)
            self._batch = []
        return done

    def _store_all(self, batch: list[_Work]) -> bool:
        kept = False
        for work in batch:
            if work.parcel is not None and work.changes is not None:
                self._keeper.keep(self._boot, work.number, work.parcel, work.changes)
                kept = True
        return not kept or self._keeper.commit()

    def _store_singly(self) -> None:
        """Find out which of them it was: that one is left out."""
        self._reopen()
        while self._batch:
            work = self._batch[0]
            try:
                if not self._store_all([work]):
                    if self._pause(FIRST_PAUSE_S):
                        continue
                    return
            except Exception as error:
                self.skipped += 1
                number = work.number
                self._log.error("a parcel cannot be stored and is left out", error=repr(error), number=number)
                self._reopen()
            self._tell([self._batch.pop(0)])

    def _reopen(self) -> None:
        self._keeper.close()
        self._keeper = self._open_keeper()
        while True:
            try:
                self._keeper.begin(self._boot)
            except Exception as error:
                self._complain(error)
                if not self._pause(FIRST_PAUSE_S):
                    return
            else:
                return

    def _tell(self, batch: list[_Work]) -> None:
        last = max((work.number for work in batch), default=0)
        self._stored(last, any(work.parcel is not None and work.parcel.finished for work in batch))

    def _maintain(self) -> bool:
        now = time.monotonic()
        more = False
        if now >= self._maintain_at:
            try:
                more = self._keeper.maintain(time.time_ns())
            except Exception as error:
                self._log.error("internal error", error=repr(error), where="cleaning up the store")
            self._maintain_at = now if more else now + MAINTAIN_S
        return more

    def _pause(self, pause_s: float) -> bool:
        """False: there is no time left."""
        left_s = self._give_up_at - time.monotonic()
        if left_s <= 0:
            return False
        pause_s = min(pause_s, left_s)
        if self._closing.is_set():
            time.sleep(pause_s)
        else:
            self._closing.wait(pause_s)
        return True


def _rows(parcel: Parcel) -> int:
    return len(parcel.opened) + len(parcel.finished) + len(parcel.messages)
