"""All that one running proxy tells of its calls: log lines, spans, figures, and copies of messages.

facts ─► Meter     counts
      ─► SpanBook  ─┐
messages ─► Tap    ─┴► Handover ─► observer: store, page, metrics, collectors
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from . import __version__
from .b2bua.engine import Engine
from .b2bua.events import Counted, Fact, Unsent
from .config import Settings
from .net.handover import Handover
from .net.tap import Tap
from .observer.orders import Orders
from .sip.flow import Flow, Listener
from .store.place import Place
from .supervise import Supervisor
from .telemetry.callkey import CallKeys
from .telemetry.export import SpanSink
from .telemetry.figures import Counter
from .telemetry.logs import LineWriter, Log, open_log, set_level
from .telemetry.masking import Masker
from .telemetry.meter import Meter
from .telemetry.spans import SpanBook

LOGGED = frozenset(("trunk_down", "trunk_up", "session_expired", "no_ack", "token_unknown", "token_replayed"))
WARNED = frozenset(("trunk_down", "session_expired", "no_ack", "token_replayed"))
NO_MATCH = "no trunk's match has this address"
_WHY_REFUSED = {"malformed": "malformed"}
STRANGER_S, MOST_STRANGERS = 60.0, 256  # seconds until one is told of again; how many are remembered
STORE_S = 5.0  # seconds that the last spans of a shutdown may take until they are stored
LAG_EVERY_S = 0.25


@dataclass(slots=True)
class Orderly:
    """What the observer may ask of us, and what it tells."""

    drain: Callable[[], object]
    page: Callable[[str], object]
    figures: Callable[[Engine], dict[str, Counter]]  # by metric, for /metrics


class Telling:
    """Made with the proxy, begun once there is an engine, ended behind the last call.

    `sink` gets the finished spans besides the observer.
    """

    def __init__(
        self, settings: Settings, clock: Callable[[], float], sink: SpanSink | None, orderly: Orderly
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._sink = sink
        self._orderly = orderly
        self._level = "info"
        self._page = ""
        self._masker = Masker(settings.privacy)
        self._lines = LineWriter()
        self.log: Log = open_log(
            self._masker.mask_text, mask_id=self._masker.mask_id, writer=self._lines, level=self._level
        )
        self._boot = str(uuid.uuid4())
        self._place: Place | None = None
        self._book = SpanBook(self._masker, self._wall_offset)
        self._meter = Meter(settings.trunks, self._wall_offset)
        self._lag = Lag()
        self._unreachable = Seldom()  # trunks, and why
        self._strangers = Seldom()  # addresses, and why
        self._tap: Tap | None = None
        self._handover: Handover | None = None
        self._supervisor: Supervisor | None = None
        self._engine: Engine | None = None

    def begin(self, engine: Engine, listeners: list[Listener]) -> Tap:
        """Start the observer, without waiting for it; what gives messages to the tap comes now."""
        settings = self._settings
        place = self._place = Place.open(settings.store, self.log)
        self._engine = engine
        self._book = SpanBook(self._masker, self._wall_offset, keys=CallKeys(place.key), journal=True)
        copies = settings.store.messages or settings.hep.address is not None
        tap = self._tap = Tap(
            self._meter.messages, self._trunk_of, listeners, wall_offset=self._wall_offset, copies=copies
        )
        self._handover = Handover(
            book=self._book,
            tap=tap,
            hello={"boot": self._boot, "version": __version__, "region": settings.region},
            state=self._state,
            command=self._commanded,
            page=self._page_is,
            log=self.log,
            most_spans=settings.tracing.max_queue,
        )
        self._supervisor = Supervisor(self._handover, self._orders, self.log)
        self._supervisor.start()
        self._lag.begin()
        return tap

    def know(self, settings: Settings) -> None:
        """The configuration was read again."""
        self._meter.know(settings.trunks)

    # What happens

    def tell(self, facts: list[Fact], sent_at: float) -> None:
        """Take facts; neither blocks nor raises."""
        for fact in facts:
            if type(fact) is Counted:
                if fact.what in LOGGED:
                    self._log_counted(fact)
                elif fact.peer:
                    self.stranger(fact.peer, _WHY_REFUSED.get(fact.what, NO_MATCH), sent_at)
            elif type(fact) is Unsent:
                self._log_unreachable(fact, sent_at)
        self._meter.take(facts, sent_at)
        finished = self._book.take(facts, sent_at)
        if self._handover is not None:
            self._handover.put(finished)
        if self._sink is not None and finished:
            self._sink.put(finished)

    def _log_counted(self, fact: Counted) -> None:
        more: dict[str, Any] = {}
        if fact.root is not None:
            more = {"trace_id": fact.root.trace_id, "span_id": fact.root.span_id, "call_id": fact.call_id}
        write = self.log.warning if fact.what in WARNED else self.log.info
        write(fact.what, trunk=fact.trunk, **more)

    def _log_unreachable(self, fact: Unsent, now: float) -> None:
        if self._unreachable.due((fact.trunk, fact.reason), now):
            self.log.warning("trunk unreachable", trunk=fact.trunk, reason=fact.reason)

    def stranger(self, peer: str, reason: str, now: float) -> None:
        """Somebody was turned away: a scanner, or a trunk that the configuration does not match."""
        if self._strangers.due((peer, reason), now):
            self.log.info("stranger refused", peer=peer, reason=reason)

    def _wall_offset(self) -> float:
        return time.time() - self._clock()

    def _trunk_of(self, flow: Flow) -> str:
        assert self._engine is not None
        trunk = self._engine.shared.router.trunk_of(flow)
        return "" if trunk is None else trunk.name

    # What the observer hears and says

    def _orders(self) -> Orders:
        assert self._place is not None
        about = {"boot": self._boot, "version": __version__, "log_level": self._level, "page": self._page}
        return Orders.of(self._settings, self._place, **about)

    def _page_is(self, address: str) -> None:
        self._page = address  # the next observer has it there again
        self._orderly.page(address)

    def _state(self) -> dict[str, Any]:
        engine, tap = self._engine, self._tap
        assert engine is not None and tap is not None
        return {
            "meter": self._meter.snapshot(),
            "draining": engine.shared.draining,
            "calls": engine.calls,
            "loop_lag_s": self._lag.taken(),
            "tap_dropped": tap.dropped,
            "figures": self._orderly.figures(engine),
        }

    def _commanded(self, asked: dict[str, Any]) -> None:
        if asked.get("drain") is True:
            self.log.info("asked to drain")
            self._orderly.drain()
        level = asked.get("log_level")
        if isinstance(level, str):
            try:
                set_level(level)
            except ValueError as error:
                self.log.warning("log level kept", reason=str(error))
            else:
                self._level = level

    # The end

    async def end(self, now: float, hurry: asyncio.Event, **said: object) -> None:
        """Hand over what is left, and say a last word; `hurry`: somebody wants the end at once."""
        left = self._book.close_all(now)
        self._put(left)
        self._lag.end()
        if self._supervisor is not None:
            await self._supervisor.finish(STORE_S, hurry)
        dropped = 0 if self._handover is None else self._handover.dropped
        if self._place is not None:
            self._place.close()
        self.log.info("stopped", spans_dropped=dropped, lines_dropped=self._lines.dropped, **said)
        await asyncio.get_running_loop().run_in_executor(None, self._lines.close, 1.0)

    def _put(self, finished: Sequence[Any]) -> None:
        if self._handover is not None:
            self._handover.put(finished)
        if self._sink is not None and finished:
            self._sink.put(finished)


class Seldom:
    """What is told once a minute, however often it happens."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], float] = {}

    def due(self, what: tuple[str, str], now: float) -> bool:
        """Whether it is to be told now."""
        if self._told.get(what, now - STRANGER_S) + STRANGER_S > now:
            return False
        if len(self._told) >= MOST_STRANGERS:
            self._told.pop(next(iter(self._told)))
        self._told.pop(what, None)
        self._told[what] = now
        return True


class Lag:
    """How late the loop is: what falls due a moment from now, when does it come?"""

    def __init__(self) -> None:
        self._longest_s = 0.0
        self._due_at = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """From now on."""
        loop = asyncio.get_running_loop()
        self._due_at = loop.time() + LAG_EVERY_S
        self._handle = loop.call_later(LAG_EVERY_S, self._woken)

    def _woken(self) -> None:
        late_s = asyncio.get_running_loop().time() - self._due_at
        self._longest_s = max(self._longest_s, late_s)
        self.begin()

    def taken(self) -> float:
        """The longest since the last time, in seconds."""
        longest_s, self._longest_s = self._longest_s, 0.0
        return longest_s

    def end(self) -> None:
        """It is over."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
