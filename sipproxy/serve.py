"""One running proxy: core, network and telemetry wired together, with signals, reload and drain.

SIGTERM, SIGINT    drain: no new calls, those in progress go on until `timeouts.drain_s`, then BYE; spans are
flushed
a second one       the same at once
SIGHUP             read the file again: trunks, routes and certificates for what is new; on a fault the old
ones stay
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from .b2bua.engine import Engine
from .b2bua.routing import Router
from .config import Loaded, listeners, read
from .errors import ConfigurationError
from .net.driver import Driver
from .net.resolver import Resolver
from .net.transport import Transports
from .net.webhook import load_client
from .notify import Notifier
from .sip.flow import TLS
from .sip.ids import Ids
from .supervise import either
from .telemetry.export import SpanSink
from .telemetry.figures import Counter
from .telemetry.otlp import targets
from .telemetry.sampling import sampler
from .telling import Orderly, Telling

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
BYE_S = 3.0  # seconds that the last BYEs of a shutdown may take
NEEDS_RESTART = (
    *("listen", "websocket", "advertise", "workers", "region", "tracing", "privacy", "store", "admin", "hep"),
    *("limits", "timeouts", "trace", "transfer"),
)


class Server:
    """Made, started, waited for, stopped: once each. `sink` gets the finished spans besides the observer."""

    def __init__(
        self, loaded: Loaded, *, sink: SpanSink | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._loaded = loaded
        self._in_force = loaded.settings  # of what needs a restart
        self._began = self._read = time.time()
        self._kept = False  # the last SIGHUP changed nothing
        self._notifier = Notifier(os.environ)
        self._alive: asyncio.TimerHandle | None = None
        self._clock = clock
        self._stopping = asyncio.Event()
        self._at_once = asyncio.Event()
        self.page: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # where the page is
        self._telling = Telling(
            loaded.settings, clock, sink, Orderly(self.drain, self._page_is, self._figures)
        )
        self.log = self._telling.log
        self.transports = Transports()
        self._resolver = Resolver()
        self._driver = Driver(
            self.transports,
            self._resolver,
            clock=clock,
            tell=self._telling.tell,
            complain=lambda event, facts: self.log.warning(event, **facts),
            refused=self._telling.stranger,
        )

    async def start(self) -> None:
        """Open the sockets and take calls. Raises StartError, ConfigurationError."""
        settings = self._loaded.settings
        router = Router.of(settings.trunks, settings.routes)
        targets(settings.tracing)  # what is wrong with them is told here, not by the observer alone
        if any(route.webhook for route in settings.routes):
            self._driver.expect_questions()
        await self.transports.open(
            listeners(settings),
            receiver=self._driver,
            advertise=settings.advertise,
            clock=self._clock,
            message_limit=settings.limits.message_bytes,
            tls=settings.tls,
            websocket=settings.websocket,
        )
        self._warn_of_certificates()
        self._resolver.tls = any(listener.transport == TLS for listener in self.transports.listeners)
        self._resolver.ipv4 = any(not listener.ipv6 for listener in self.transports.listeners)
        self._resolver.ipv6 = any(listener.ipv6 for listener in self.transports.listeners)
        engine = Engine(
            self.transports.listeners,
            Ids(os.urandom),
            router,
            sample=sampler(settings.tracing),
            timeouts=settings.timeouts,
            propagation=settings.trace,
            transfer=settings.transfer,
            max_headers=settings.limits.headers,
        )
        self._driver.tap = self._telling.begin(engine, self.transports.listeners)
        # What lives as long as the process is not to be looked at again and again; calls hold no cycles once
        # they end.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        self._driver.attach(engine)
        self._notifier.ready()
        self._keep_alive()

    def _keep_alive(self) -> None:
        """The loop that has the calls runs: systemd ends us when it does not hear that (WatchdogSec)."""
        if self._notifier.watchdog_s is not None:
            self._notifier.alive()
            state = "draining" if self._stopping.is_set() else "serving"
            self._notifier.status(f"{state}, calls: {self.engine.calls}")
            loop = asyncio.get_running_loop()
            self._alive = loop.call_later(self._notifier.watchdog_s, self._keep_alive)

    def _warn_of_certificates(self) -> None:
        for warning in self.transports.warnings:
            self.log.warning("tls", reason=warning)

    @property
    def engine(self) -> Engine:
        """The core."""
        return self._driver.engine

    def _page_is(self, address: str) -> None:
        if not self.page.done():
            self.page.set_result(address)

    def _figures(self, engine: Engine) -> dict[str, Counter]:
        """What is no fact of a call, for /metrics."""
        trunks, counters = engine.shared.router.trunks.values(), self.transports.counters
        return {
            "sip_peer_rtt_seconds": {(t.name,): t.rtt_ms / 1000 for t in trunks if t.rtt_ms is not None},
            "sipproxy_start_time_seconds": {(): self._began},
            "sipproxy_config_reload_success": {(): not self._kept},
            "sipproxy_config_reload_time_seconds": {(): self._read},
            "sipproxy_connections": {(): counters.connections_open},
            "sipproxy_connections_refused_total": {
                ("limit",): counters.connections_refused,
                ("handshake",): counters.handshakes_failed,
                ("websocket",): counters.websockets_refused,
            },
            "sipproxy_certificate_expiry_time_seconds": {
                (str(place),): each.expires_at for place, each in enumerate(self.transports.certificates)
            },
        }

    # Signals

    def watch_signals(self) -> None:
        """From now on signals mean what the module says."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self.reload)

    def ignore_signals(self) -> None:
        """They mean nothing any more."""
        loop = asyncio.get_running_loop()
        # Blocked first: a loop that gives its handler back leaves the system's for a moment, which ends us.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def stop(self) -> None:
        """Drain; called again, end at once."""
        if self._stopping.is_set():
            self._at_once.set()
        self.drain()

    def drain(self) -> None:
        """Drain; called again, nothing more."""
        self._notifier.stopping()
        self._stopping.set()

    def reload(self) -> None:
        """Validate first; a fault keeps what is in force."""
        self._notifier.reloading()
        try:
            self._reload()
        finally:
            self._notifier.ready()

    def _reload(self) -> None:
        file = self._loaded.file
        if file is None:
            self.log.info("nothing to reload", reason="no configuration file")
            return
        try:
            loaded = read(file)
            router = Router.of(loaded.settings.trunks, loaded.settings.routes)
            self.transports.reload(loaded.settings.tls)
        except ConfigurationError as error:
            self._kept = True
            self.log.error("configuration kept", faults=error.faults)
            return
        self._kept, self._read = False, time.time()
        old, new = self._in_force, loaded.settings
        changed = [name for name in NEEDS_RESTART if getattr(new, name) != getattr(old, name)]
        self._loaded = replace(self._loaded, settings=loaded.settings)
        self.engine.reload(router, self._clock())
        self._telling.know(loaded.settings)
        self._driver.flush(self._clock())
        self._warn_of_certificates()
        if any(route.webhook for route in loaded.settings.routes):
            asyncio.get_running_loop().run_in_executor(None, load_client)  # or the first question would wait
        self.log.info("configuration loaded", trunks=len(loaded.settings.trunks), needs_restart=changed)

    # The end

    async def wait(self) -> None:
        """Serve until `stop`, then drain and close."""
        await self._stopping.wait()
        engine = self.engine
        engine.drain()
        self._driver.flush(self._clock())
        self.log.info("draining", calls=engine.calls)
        await either(self._driver.idle, self._at_once, self._loaded.settings.timeouts.drain_s)
        if engine.calls:
            engine.end_all(self._clock())
            self._driver.flush(self._clock())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._driver.idle.wait(), BYE_S)
        await self.close()

    async def close(self) -> None:
        """Close the sockets and hand over what is left to tell."""
        if self._alive is not None:
            self._alive.cancel()
        await self._driver.close()
        await self.transports.close()
        await self._resolver.close()
        said = {"calls": self.engine.calls, "counts": self.engine.shared.counts}
        await self._telling.end(self._clock(), self._at_once, **said)
