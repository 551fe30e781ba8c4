"""The code under test at its place on the wire: what `net/driver.py` does with the engine, in virtual time.

Whatever the engine tells goes to the book of spans, as in the process, and to those who watch it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, Protocol, TypeVar

from sipproxy.b2bua.consulting import Consult
from sipproxy.b2bua.engine import Engine
from sipproxy.b2bua.events import Fact
from sipproxy.b2bua.routing import Router
from sipproxy.b2bua.settings import (
    HeaderPolicy,
    Health,
    Refer,
    RouteSettings,
    Timeouts,
    TransferSettings,
    TrunkLimits,
    TrunkSettings,
)
from sipproxy.b2bua.shared import Lookup
from sipproxy.propagation.context import TraceContext
from sipproxy.propagation.correlation import Sampler
from sipproxy.propagation.settings import PropagationSettings, TrunkTrace
from sipproxy.sip.endpoint import Transmit
from sipproxy.sip.flow import TCP, TLS, UDP, WSS, Flow, Listener, join_host
from sipproxy.sip.ids import Ids
from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.record import SpanRecord
from sipproxy.telemetry.settings import PrivacySettings
from sipproxy.telemetry.spans import SpanBook

from .network import FAIR, Network, Place, Weather, is_stream
from .referee import Referee
from .tale import Tale
from .world import World

F = TypeVar("F")
# What it is asked, as it came over the wire; gives the answer, or TIMEOUT or ERROR where none comes.
Application = Callable[[dict[str, Any]], object]
TIMEOUT, ERROR = "timeout", "error"
QUICK_S = 0.020  # an answer that comes so soon is one of the things on their way; a later one takes its time
HOSTS = {"alice": "192.0.2.1", "bob": "192.0.2.2", "carol": "192.0.2.3", "dave": "192.0.2.4"}
PROXY, PROXY6 = "192.0.2.100", "2001:db8::100"
PLACES: tuple[Place, ...] = (
    *((UDP, PROXY, 5060), (TCP, PROXY, 5060), (UDP, PROXY6, 5060), (TCP, PROXY6, 5060)),
    *((TLS, PROXY, 5061), (WSS, PROXY, 443)),
)
TIMEOUTS, TRANSFER = Timeouts(), TransferSettings()


def trunk(
    address: str,
    *,
    match: tuple[str, ...] | None = None,
    trace: TrunkTrace = TrunkTrace(),  # noqa: B008  frozen
    health: Health = Health(),  # noqa: B008
    limits: TrunkLimits = TrunkLimits(),  # noqa: B008
    headers: HeaderPolicy = HeaderPolicy(),  # noqa: B008
    refer: Refer | str | None = None,
    anchor: bool = True,
    call_id_header: str | None = None,
) -> TrunkSettings:
    """A trunk; `address` may be a phone's name. What comes from its host is its, unless `match` differs."""
    named = HOSTS.get(address)
    sources = (named or address.rpartition(":")[0].strip("[]"),) if match is None else match
    return TrunkSettings(
        f"{named}:5060" if named else address,
        match=sources,
        trace=trace,
        health=health,
        limits=limits,
        headers=headers,
        refer=None if refer is None else Refer(refer),
        transfer_anchor=anchor,
        call_id_header=call_id_header,
    )


def route(*to: str, source: str | None = None, user: str | None = None) -> RouteSettings:
    """A route."""
    return RouteSettings(to, source=source, user=user)


def asks(
    *to: str,
    source: str | None = None,
    user: str | None = None,
    timeout_ms: int = 300,
    headers: tuple[str, ...] = (),
) -> RouteSettings:
    """A route that asks the lab's application; `to` is where calls go when it does not answer well."""
    return RouteSettings(
        to,
        source=source,
        user=user,
        webhook="http://192.0.2.200/route",
        timeout_ms=timeout_ms,
        webhook_headers=headers,
    )


class Book(Protocol):
    """What makes spans of facts: the book itself, or somebody who follows it."""

    def take(self, facts: list[Fact], sent_at: float) -> list[SpanRecord]: ...

    def __len__(self) -> int: ...


def nobody(question: dict[str, Any]) -> object:
    """No application is there."""
    return ERROR


def as_the_parent(trace_id: str, parent: TraceContext | None) -> bool:
    """Sample what is new, and what its parent sampled."""
    return parent is None or parent.sampled


class Core:
    """The engine, its listeners and its trunks."""

    def __init__(
        self,
        *,
        trunks: Mapping[str, TrunkSettings] | None = None,
        routes: Sequence[RouteSettings] = (),
        weather: Weather = FAIR,
        seed: int = 1,
        timeouts: Timeouts = TIMEOUTS,
        propagation: PropagationSettings | None = None,
        transfer: TransferSettings = TRANSFER,
        sample: Sampler = as_the_parent,
        streams: bool = True,
        ipv6: bool = True,
    ) -> None:
        self.seed = seed
        self.world = World()
        self.started_at = self.world.now
        self.network = Network(self.world, weather, Random(f"{seed} wire"))
        self.hosts: dict[str, list[Place] | None] = {}  # names: None is never answered, [] does not exist
        self.lookup_s = 0.005
        self.lookups_backwards = False  # of several the last is answered first
        self.application: Application = nobody
        self.thinks_s = QUICK_S  # how long it takes to answer
        self.asked: list[Consult] = []
        self.facts: list[Fact] = []
        self.spans: list[SpanRecord] = []
        self.referee = Referee()
        self.tale = Tale()
        self.book: Book = SpanBook(Masker(PrivacySettings()), 0.0)
        self.reason = "connection refused"  # why what cannot leave cannot
        self.domains: set[str] = set()  # whom the certificates of those that we connected to must name
        self.certificates: dict[str, tuple[str, ...]] = {}  # of those who connect to us, by address
        self._port = 50000
        self.trunks = {name: trunk(name) for name in HOSTS} | dict(trunks or {})
        self.routes = [*routes, *(route(name, user=f"^{name}$") for name in HOSTS)]
        self.places = [
            place for place in PLACES if (streams or not is_stream(place)) and (ipv6 or ":" not in place[1])
        ]
        listeners = [
            Listener(i, *place, join_host(place[1], place[2])) for i, place in enumerate(self.places)
        ]
        self.engine = Engine(
            listeners,
            Ids(Random(f"{seed} ids").randbytes),
            Router.of(self.trunks, tuple(self.routes)),
            sample=sample,
            timeouts=timeouts,
            propagation=propagation,
            transfer=transfer,
        )
        self.world.timed = self
        for index, place in enumerate(self.places):
            self.network.bind("proxy", place, partial(self._take, index))
        self.engine.start(self.world.now)
        self._pump()

    @property
    def next_at(self) -> float | None:
        """The core's next deadline."""
        return self.engine.next_at

    def expire(self, now: float) -> None:
        """The core's deadline has come."""
        self.engine.expire(now)
        self._pump()

    def do(self, what: Callable[[float], object]) -> None:
        """Do something to the engine now."""
        what(self.world.now)
        self._pump()

    def _take(self, index: int, data: bytes, source: Place, stream: int) -> None:
        self.referee.arrives(data, self.world.now)
        self.engine.receive(data, Flow(*source, stream, index, names=self._names(source)), self.world.now)
        self._pump()

    def disconnects(self, name: str) -> None:
        """Somebody's connections to the proxy close, and the network tells."""
        for number, ends in list(self.network.streams.items()):
            far = next((end for end in ends if self.network.name_of(end) == name), None)
            if far is not None:
                self.network.cut(number)
                self.do(partial(self.engine.closed, Flow(*far, number)))

    def _names(self, source: Place) -> tuple[str, ...]:
        return self.certificates.get(source[1], ()) if source[0] == TLS else ()

    def _pump(self) -> None:
        transmits, lookups, facts = self.engine.take()
        for transmit in transmits:
            self._transmit(transmit)
        for lookup in lookups:
            self._look_up(lookup)
        for consult in self.engine.consults():
            self._consult(consult)
        self.facts += facts
        self.tale.follow(facts)
        self.spans += self.book.take(facts, self.world.now)

    def _transmit(self, transmit: Transmit) -> None:
        flow, data = transmit.flow, transmit.data
        target = (flow.transport, flow.host, flow.port)
        self.referee.leaves(data, target, self.world.now)
        if is_stream(target):
            arrived = self._write(flow, data, target)
        else:
            ours = self.places[flow.listener]
            assert ours[0] == UDP, "no listener of ours leads there"
            assert (":" in ours[1]) == (":" in flow.host), "no listener of ours leads there"
            arrived = self.network.send(data, ours, target)
        if not arrived:
            self.world.carry(0.001, lambda: self._unsent(data, flow))

    def _write(self, flow: Flow, data: bytes, target: Place) -> bool:
        stream = flow.connection
        if stream not in self.network.streams:
            stream = self.network.stream_to(target)
        if not stream:
            self._port += 1
            index = flow.listener
            transport = self.places[index][0]
            assert transport == flow.transport, "no listener of ours leads there"
            if flow.web:
                return False  # a browser cannot be connected to
            self.domains.add(flow.domain)
            ours = (transport, self.places[index][1], self._port)
            self.network.bind("proxy", ours, partial(self._take, index))
            stream = self.network.connect(ours, target)
        end = next(
            (end for end in self.network.streams.get(stream, ()) if self.network.name_of(end) == "proxy"),
            None,
        )
        return end is not None and self.network.write(stream, data, end)

    def _unsent(self, data: bytes, flow: Flow) -> None:
        self.engine.unsent(data, flow, self.reason, self.world.now)
        self._pump()

    def _look_up(self, lookup: Lookup) -> None:
        places = self.hosts.get(lookup.host, [])
        if places is None:
            self.world.at(lookup.give_up_at, lambda: self._located(lookup.token, []))
            return
        seconds = self.lookup_s / lookup.token if self.lookups_backwards else self.lookup_s
        self.world.carry(seconds, lambda: self._located(lookup.token, places))

    def _located(self, token: int, places: list[Place]) -> None:
        self.engine.located(token, [Flow(*place) for place in places], self.world.now)
        self._pump()

    def _consult(self, consult: Consult) -> None:
        """Ask the application. An answer behind its time comes too: the core has to know better."""
        self.asked.append(consult)
        answer = self.application(json.loads(json.dumps(consult.question)))
        error = answer if answer in (TIMEOUT, ERROR) else ""
        answers_at = self.world.now + self.thinks_s
        if error == TIMEOUT or answers_at > consult.give_up_at:
            self.world.at(consult.give_up_at, lambda: self._consulted(consult.token, None, TIMEOUT))
        if error == TIMEOUT:
            return
        decoded: object = None if error else json.loads(json.dumps(answer))
        wait = self.world.carry if self.thinks_s <= QUICK_S else self.world.after
        wait(self.thinks_s, lambda: self._consulted(consult.token, decoded, str(error)))

    def _consulted(self, token: int, answer: object, error: str) -> None:
        self.engine.consulted(token, answer, error, self.world.now)
        self._pump()

    def count(self, what: str) -> int:
        """One of the engine's counters."""
        return self.engine.shared.counts.get(what, 0)

    def facts_of(self, kind: type[F]) -> list[F]:
        """All facts of one kind."""
        return [fact for fact in self.facts if isinstance(fact, kind)]
