"""The observer: what the worker tells becomes live calls, a store, exports, log lines, HEP and the page.

    link ─► live ─► writer thread ─► commit ─► acknowledged, forwarders woken
                └─► who follows the calls, log lines, HEP

It ends when the worker says so, or is gone: then it stores what it was told, gives the forwarders a moment,
and leaves. Nothing that does not work here (the port, the disk, a collector) stops the rest.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from importlib.resources import files
from typing import Any

from ..admin.http import Site, Sources, WorkerState
from ..admin.http import start as open_site
from ..admin.metrics import Metrics, Parts
from ..admin.propagation import matrix
from ..admin.readers import Readers
from ..errors import ConfigurationError, SipProxyError, StartError
from ..net.hep import HepEmitter
from ..store import Beginning, Changes, MakeOutbox
from ..store.forwarder import Forwarder, open_forwarders
from ..store.keeper import Keeper
from ..store.live import LiveCalls
from ..store.outbox import outbox_of
from ..store.place import Place
from ..store.reader import Reader
from ..telemetry.callkey import CallKeys
from ..telemetry.logs import FullLog, set_level
from ..telemetry.masking import Masker
from ..telemetry.parcel import Message, Parcel, unpack
from ..telemetry.wire import Wire, call_id_of
from .link import Link
from .orders import Orders
from .telling import tell
from .writer import LAST_S, Writer

FORWARD_S = 5.0  # for the last spans to reach their collectors
LISTEN_AGAIN_S, LISTEN_PATIENCE_S = 0.5, 2.0
_NOTHING = Parcel([], [], [], [])
_HEP_RESULTS = ("sent", "dropped", "refused")


class Observer:
    """Made in its loop, run once."""

    def __init__(self, orders: Orders, connected: socket.socket, log: FullLog) -> None:
        self._orders = orders
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._masker = Masker(orders.privacy)
        self._place = Place(orders.folder, orders.key)
        self._keys = CallKeys(orders.key)
        self._wire = self._open_wire()
        self._live = LiveCalls(1, self._keys)
        self._last = 0  # parcel that the store had before us
        self._begun = False
        self._early: list[Callable[[], None]] = []  # what was told before the store was open
        self._outbox, self._forwarders = self._open_outbox()
        self._hep = self._open_hep()
        self._writer = Writer(
            self._open_keeper,
            orders.boot,
            begun=lambda beginning: self._loop.call_soon_threadsafe(self._go_on, beginning),
            stored=self._stored,
            log=log,
        )
        self._opened = asyncio.Event()
        self._link = Link(connected, orders.boot, self, log)
        self._site: Site | None = None
        region = orders.region or ""
        self._metrics = Metrics(self._parts(), version=orders.version, region=region)

    async def run(self) -> None:
        """Until the worker ends."""
        self._writer.start()
        if self._hep is not None:
            await self._hep.start()
        listening = asyncio.ensure_future(self._listen())
        await self._link.gone.wait()
        await asyncio.gather(self._stop_listening(listening), self._store_and_send())
        self._link.close()

    # Parts, and what to do without one

    def _open_wire(self) -> Wire:
        """One for each thread."""
        return Wire(self._masker, call_ids=self._orders.call_ids, traceparents=self._orders.traceparents)

    def _open_keeper(self) -> Keeper:
        orders = self._orders
        return Keeper(
            self._place,
            orders.store,
            self._open_wire() if orders.store.messages else None,
            self._keys,
            self._outbox,
            self._log,
            raw=orders.admin.raw,
            renewed=lambda: self._loop.call_soon_threadsafe(self._tell_everything),
            restart=lambda: self._loop.call_soon_threadsafe(self._link.gone.set),
        )

    def _open_outbox(self) -> tuple[MakeOutbox | None, list[Forwarder]]:
        orders = self._orders
        try:
            outbox = outbox_of(orders.tracing, orders.store, version=orders.version, region=orders.region)
            return outbox, open_forwarders(self._place.file, orders.tracing, self._log)
        except ConfigurationError as error:
            self._log.error("spans are stored, and not exported", reason="; ".join(error.faults))
            return None, []

    def _open_hep(self) -> HepEmitter | None:
        if not self._orders.hep.address:
            return None
        try:
            return HepEmitter(self._orders.hep, self._log)
        except SipProxyError as error:
            self._log.error("nothing goes to HOMER", reason=str(error))
            return None

    async def _listen(self) -> None:
        """Open the page, sooner or later: who had the port may be an observer that is about to leave."""
        settings = self._orders.admin
        complain_at: float | None = self._loop.time() + LISTEN_PATIENCE_S
        while settings.address is not None:
            try:
                site = self._site = await open_site(settings, self._sources())
            except StartError as error:
                if complain_at is not None and self._loop.time() >= complain_at:
                    complain_at = None
                    self._log.warning("no page, no API, no metrics", reason=str(error))
                await asyncio.sleep(LISTEN_AGAIN_S)
            except Exception as error:  # a bug there is no reason to store nothing
                self._log.error("internal error", error=repr(error), where="opening the page")
                return
            else:
                self._link.tell_page(site.address)
                self._log.info("page", address=site.address)
                return

    def _sources(self) -> Sources:
        reference, writer = self._masker.mask_reference, self._writer
        return Sources(
            live=lambda: self._live,
            readers=Readers(lambda: Reader(self._place, reference=reference, suspect=writer.suspect)),
            keys=self._keys,
            matrix=lambda: matrix(self._states()),
            metrics=self._metrics.render,
            state=self._worker_state,
            command=self._command,
            page=files("sipproxy.admin") / "page",
            log=self._log,
        )

    # What the worker tells (Listener)

    def greeted(self) -> None:
        """What is open will be told again."""
        self._in_turn(lambda: self._live.doubt())

    def settled(self) -> None:
        """All that is open was told: of what else was live, nobody knows how it ended."""
        self._in_turn(lambda: self._note(0, _NOTHING, self._live.settle()))

    def parcel(self, number: int, packed: bytes) -> None:
        """Note what it tells, and store it."""
        self._in_turn(lambda: self._take(number, packed))

    def _tell_everything(self) -> None:
        """The store is a new one: what goes on shall be in it."""
        parcel, changes = self._live.everything()
        self._writer.put(0, parcel, changes)

    def _in_turn(self, act: Callable[[], None]) -> None:
        if self._begun:
            act()
        else:
            self._early.append(act)

    def _go_on(self, beginning: Beginning) -> None:
        """The store is open, and has told what it knows of this boot."""
        self._live = LiveCalls(
            beginning.next_number, self._keys, calls=beginning.calls, opened=beginning.opened
        )
        self._last = beginning.last
        if beginning.lost:
            self._log.warning(
                "an earlier run did not end its spans; they are lost", spans=len(beginning.lost)
            )
        for forwarder in self._forwarders:  # not before: the observer before us may still send
            forwarder.start()
        self._begun = True
        early, self._early = self._early, []
        for act in early:
            act()
        self._opened.set()

    def _take(self, number: int, packed: bytes) -> None:
        if 0 < number <= self._last:  # it was stored, and not acknowledged
            self._writer.put(number)
            return
        try:
            parcel = unpack(packed)
            changes = self._live.take(parcel)
            if number or any(changes):  # else it only tells again what is in the store
                self._note(number, parcel, changes)
            if self._hep is not None:
                for message in parcel.messages:
                    self._copy(message, self._hep)
        except Exception as error:  # one parcel, or a bug of ours with it, must not cost those behind it
            self._log.error("a parcel cannot be read and is left out", error=repr(error), number=number)
            self._writer.put(number)

    def _note(self, number: int, parcel: Parcel, changes: Changes) -> None:
        self._writer.put(number, parcel, changes)
        if self._site is not None:
            self._site.changed(changes)
        tell(self._log, parcel, changes)

    def _copy(self, message: Message, hep: HepEmitter) -> None:
        read = self._wire.read(message.data)
        if read is None:
            return
        call_id = call_id_of(message.data)
        call = self._live.call_of_key(self._keys(call_id), message.at_ns) if call_id else None
        hep.put(message, read, call.call_ids[0] if call is not None and call.call_ids else read.call_id)

    def _stored(self, number: int, finished: bool) -> None:
        """In the writer's thread."""
        if number:
            self._loop.call_soon_threadsafe(self._link.acknowledge, number)
        if finished:
            for forwarder in self._forwarders:
                forwarder.wake()

    # What is asked

    def _command(self, asked: dict[str, object]) -> bool:
        level = asked.get("log_level")
        if isinstance(level, str):
            set_level(level)
        return self._link.command(asked)

    def _states(self) -> list[dict[str, Any]]:
        return [] if self._link.state is None else [self._link.state]

    def _worker_state(self) -> WorkerState:
        state = self._link.state
        if state is None:
            return WorkerState(degraded=tuple(self._troubles()))
        return WorkerState(
            age_s=self._loop.time() - self._link.heard_at,
            listening=bool(state.get("listening", True)),
            draining=bool(state.get("draining", False)),
            degraded=tuple(self._troubles()),
        )

    def _troubles(self) -> list[str]:
        troubles = [f"store: {self._writer.trouble}"] if self._writer.trouble else []
        for forwarder in self._forwarders:
            if reason := forwarder.figures().get("last_reason"):
                troubles.append(f"collector {forwarder.name}: {reason}")
        if self._hep is not None and (reason := self._hep.figures()["last_reason"]):
            troubles.append(f"HEP: {reason}")
        return troubles

    def _parts(self) -> Parts:
        def of_hep() -> Mapping[str, Any]:
            figures = {} if self._hep is None else self._hep.figures()
            return {name: figures[name] for name in _HEP_RESULTS if name in figures}

        return Parts(
            workers=self._states,
            destinations=lambda: {each.name: each.figures() for each in self._forwarders},
            store=self._writer.figures,
            hep=of_hep,
        )

    # The end

    async def _stop_listening(self, listening: asyncio.Future[None]) -> None:
        """At once: the next observer may wait for the port."""
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        if self._site is not None:
            await self._site.close()

    async def _store_and_send(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                await self._opened.wait()
        left = await asyncio.to_thread(self._writer.finish) + len(self._early)
        if left:
            self._log.warning("parcels are not stored", parcels=left, reason=self._writer.trouble)
        last: list[Awaitable[None]] = [
            asyncio.to_thread(forwarder.close, FORWARD_S) for forwarder in self._forwarders if self._begun
        ]
        if self._hep is not None:
            last.append(self._hep.close())
        await asyncio.gather(*last)
        self._writer.release()
