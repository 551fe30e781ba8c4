"""Readers of the store in threads of their own, so that no question holds up the loop or another question.

A question that takes too long is ended, and one that finds too many others waiting is refused.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..store import StoreError
from ..store.reader import Reader
from .answers import Refused

PATIENCE_S = 5.0
_MOST_WAITING = 32

Answered = TypeVar("Answered")


class Readers:
    """A few readers, opened when they are needed first; each serves one question at a time."""

    def __init__(self, open_reader: Callable[[], Reader], threads: int = 3) -> None:
        self._open = open_reader
        self._idle: queue.SimpleQueue[Reader] = queue.SimpleQueue()
        self._opened: list[Reader] = []
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="reader")
        self._asked = 0  # under way or waiting

    async def ask(self, question: Callable[[Reader], Answered]) -> Answered:
        """Ask in a thread. Refused: it takes too long, too many ask, the store cannot be read."""
        if self._asked >= _MOST_WAITING:
            raise Refused(503, "too many searches at once", headers={"Retry-After": "1"})
        working: list[Reader] = []
        hands = threading.Lock()  # a reader that serves somebody else by now must not be interrupted
        late = False

        def work() -> Answered:
            if late:
                raise StoreError("nobody waits for it any more")
            reader = self._take()
            working.append(reader)
            try:
                return question(reader)
            finally:
                with hands:
                    working.clear()
                self._idle.put(reader)

        self._asked += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        future.add_done_callback(self._answered)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await asyncio.shield(future)
        except TimeoutError:
            raise Refused(503, f"it took more than {PATIENCE_S:g} s: ask for less") from None
        except StoreError as error:
            raise Refused(503, str(error)) from None
        finally:
            late = True
            with hands:
                for reader in working:  # it is too late, or nobody is there any more
                    reader.interrupt()

    def _answered(self, future: asyncio.Future[Answered]) -> None:
        self._asked -= 1
        if not future.cancelled():
            future.exception()  # whoever asked has been told already

    def _take(self) -> Reader:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            reader = self._open()
            self._opened.append(reader)
            return reader

    async def close(self) -> None:
        """End what is under way, and close the readers."""
        for reader in [*self._opened]:
            reader.interrupt()
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)
        for reader in self._opened:
            reader.close()
        self._opened.clear()
