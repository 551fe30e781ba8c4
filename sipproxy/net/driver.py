"""The only place where the core's effects become I/O: bytes to sockets, lookups to DNS, facts to telemetry.

socket readable ─► received()… ─► flush()       all effects of one batch leave together
one loop timer  ─► expire()    ─► flush()       armed for the core's earliest deadline
lookup done     ─► located()   ─► flush()
webhook answers ─► consulted() ─► flush()
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Coroutine
from typing import Protocol

from ..b2bua.consulting import Consult
from ..b2bua.engine import Engine
from ..b2bua.events import Fact
from ..b2bua.shared import Lookup
from ..sip.endpoint import Transmit
from ..sip.flow import Flow
from .resolver import ResolveError, Resolver
from .tap import Tap
from .transport import Transports
from .webhook import ERROR, WebhookError, Webhooks

# Seconds between a deadline and its wake-up: what falls due meanwhile shares it, and the loop, counting in
# whole milliseconds, never wakes us too early. The shortest timer of SIP, T1, is fifty times as long.
_TICK = 0.010
_MOST_UNRESOLVED = 256  # names that are remembered as such


class Listening(Protocol):
    """Takes facts; must neither block nor raise."""

    def __call__(self, facts: list[Fact], sent_at: float) -> None: ...


class Driver:
    """Carries one engine. `Transports.open` takes it as its receiver."""

    def __init__(
        self,
        transports: Transports,
        resolver: Resolver,
        *,
        clock: Callable[[], float],
        tell: Listening,
        complain: Callable[[str, dict[str, str]], object],
        refused: Callable[[str, str, float], None],
        tap: Tap | None = None,
    ) -> None:
        self._transports = transports
        self._resolver = resolver
        self._clock = clock
        self._tell = tell
        self._complain = complain  # an event for the log
        self._refused = refused  # who was turned away, and why
        self.tap = tap
        self._engine: Engine | None = None
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self._armed_at = 0.0
        self._webhooks = Webhooks(clock, complain)
        self._tasks: set[asyncio.Task[None]] = set()  # lookups, and questions to applications
        self._unresolved: set[str] = set()
        self.idle = asyncio.Event()  # set while no call is in progress, nor a transfer

    def expect_questions(self) -> None:
        """Routes have applications: be ready to ask them. Takes a tenth of a second, once."""
        self._webhooks.prepared()

    def attach(self, engine: Engine) -> None:
        """From now on this engine is carried."""
        self._engine = engine
        now = self._clock()
        engine.start(now)
        self.flush(now)

    @property
    def engine(self) -> Engine:
        """The engine that is carried."""
        assert self._engine is not None
        return self._engine

    # What the network brings (Receiver)

    def received(self, data: bytes, flow: Flow, now: float) -> None:
        """Take one whole message."""
        if self._engine is not None:  # a stream may be quicker than the last listener
            self._guarded(self._take, self._engine, data, flow, now)

    def _take(self, engine: Engine, data: bytes, flow: Flow, now: float) -> None:
        if self.tap is not None:
            self.tap.saw(data, flow, now, sent=False)
        engine.receive(data, flow, now)

    def unsent(self, data: bytes, flow: Flow, reason: str, now: float) -> None:
        """A message did not arrive."""
        if self._engine is not None:
            self._guarded(self._engine.unsent, data, flow, reason, now)

    def broken(self, data: bytes, flow: Flow, reason: str, now: float) -> None:
        """A stream lost its framing: what it held may still deserve an answer before it closes."""
        if self._engine is not None:
            self._guarded(self._take, self._engine, data, flow, now)

    def refused(self, flow: Flow, reason: str, now: float) -> None:
        """Somebody who connected was turned away."""
        self._guarded(self._refused, flow.host, reason, now)

    def closed(self, flow: Flow, now: float) -> None:
        """A connection is gone."""
        if self._engine is not None:
            self._guarded(self._engine.closed, flow, now)

    def flush(self, now: float) -> None:
        """Let out what has gathered, until nothing more comes of it."""
        engine = self._engine
        if engine is None:
            return
        sends, lookups, facts = engine.take()
        for transmit in sends:
            self._transports.send(transmit.data, transmit.flow)
        if self.tap is not None and sends:
            self._guarded(self._show, self.tap, sends, now)
        for lookup in lookups:
            self._begin(self._look_up(lookup))
        if engine.shared.consults:
            for consult in engine.consults():
                self._begin(self._consult(consult))
        if facts:
            self._guarded(self._tell, facts, self._clock())
        self._arm(engine)
        if engine.busy:
            self.idle.clear()
        else:
            self.idle.set()

    def _show(self, tap: Tap, sends: list[Transmit], now: float) -> None:
        for transmit in sends:
            tap.saw(transmit.data, transmit.flow, now, sent=True)

    def _guarded(self, enter: Callable[..., None], *arguments: object) -> None:
        """Go into the core, or to who is told of it. What flies out is a bug of ours: logged, and no other
        call suffers.
        """
        try:
            enter(*arguments)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.name} at {place.filename.rpartition('/')[2]}:{place.lineno}"
            self._complain("internal error", {"error": repr(error), "where": where})

    # Time

    def _arm(self, engine: Engine) -> None:
        at = engine.next_at
        if at is None:
            return
        if self._handle is not None:
            if at >= self._armed_at - _TICK:
                return
            self._handle.cancel()
        self._armed_at = at
        self._handle = self._loop.call_later(max(at - self._clock(), 0.0) + _TICK, self._expire)

    def _expire(self) -> None:
        self._handle = None
        now = self._clock()
        self._guarded(self.engine.expire, now)
        self.flush(now)

    # Names and applications

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _consult(self, consult: Consult) -> None:
        answer: object = None
        error = ERROR
        try:
            answer = await self._webhooks.ask(consult)
            error = ""
        except WebhookError as failure:
            error = str(failure)
        finally:  # whatever happens, a call waits for the answer
            now = self._clock()
            self._guarded(self.engine.consulted, consult.token, answer, error, now)
            self.flush(now)

    async def _look_up(self, lookup: Lookup) -> None:
        flows: list[Flow] = []
        try:
            targets = await self._resolver.resolve(
                lookup.host, lookup.port, lookup.transport, deadline=lookup.give_up_at
            )
            flows = [Flow(target.transport, target.host, target.port) for target in targets]
            self._unresolved.discard(lookup.host)
        except ResolveError as error:
            self._tell_unresolved(lookup.host, str(error))
        finally:  # whatever happens, somebody waits for the answer
            now = self._clock()
            self._guarded(self.engine.located, lookup.token, flows, now)
            self.flush(now)

    def _tell_unresolved(self, host: str, reason: str) -> None:
        """Once per name while it stays so, and not for each of the names that somebody may think up."""
        if host not in self._unresolved and len(self._unresolved) < _MOST_UNRESOLVED:
            self._unresolved.add(host)
            self._complain("cannot resolve", {"host": host, "reason": reason})

    async def close(self) -> None:
        """Stop the timer, the lookups and the questions."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._webhooks.close()
