"""The order of the calls, and how long each of them may take.

first        nothing but the call itself: does the path lead back at all? If not, no further call is made
trace        1.2 kB: traceparent, tracestate, baggage, previous-trace-id; in it a REFER
names        X- names and otel-trace-id
identity     P-Asserted-Identity with a parameter
marker       the Request-URI with a parameter, as the call of a transfer has it
large        3 kB: over TCP where the transport was UDP (RFC 3261 section 18.1.1)

One after the other: whoever reads the path's log meanwhile sees one call at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from ..errors import RemoteProtocolError
from ..net.resolver import ResolveError, Resolver
from ..net.settings import TlsSettings
from ..sip.flow import Flow
from ..sip.ids import Ids
from ..sip.refer import ReferTo
from ..sip.uri import Uri, parse_uri
from .agent import Agent
from .calls import Call, Referral
from .messages import LARGE, SMALL, TOKEN_HERE, Plant, Secrets, transport_of
from .wire import Wire, both

PARTING_S = 1.0  # for BYE or CANCEL to be answered
AGAIN_S = 0.5
NOT_UP = (404, 408, 480, 500, 502, 503, 504)  # a path that has not found out yet that somebody is here
SILENCES = 2  # calls in a row without an answer: the rest is not tried


@dataclass(slots=True)
class SipPlan:
    """What is to be done."""

    target: str
    listen: list[tuple[str, str, int]]
    transport: str = ""  # UDP, TCP, TLS; none: what the URI says
    caller: str | None = None
    advertise: str | None = None
    timeout_s: float = 5.0
    wait_s: float = 0.0  # for health checks to find the probe
    tls: TlsSettings | None = None


@dataclass(slots=True)
class SipSeen:
    """What came of it."""

    transport: str
    way: Flow | None = None  # to the path
    failed: str = ""  # why nothing could be sent
    calls: list[Call] = field(default_factory=list)
    untried: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    straight: bool = False  # the target is the probe itself

    def call(self, name: str) -> Call | None:
        """By its name."""
        return next((call for call in self.calls if call.name == name), None)


async def probe_sip(plan: SipPlan, wire: Wire | None = None, resolver: Resolver | None = None) -> SipSeen:
    """Make the calls. Raises StartError when it cannot listen; whatever the path does, it ends."""
    transport = plan.transport or transport_of(plan.target.replace(TOKEN_HERE, "token"))
    wire = wire or Wire()
    resolver = resolver or Resolver()
    seen = SipSeen(transport)
    try:
        agent = await wire.open(
            both(plan.listen),
            transport=transport,
            target=plan.target,
            caller=plan.caller,
            advertise=plan.advertise,
            tls=plan.tls,
        )
        uri = parse_uri(plan.target.replace(TOKEN_HERE, "token"))
        seen.way = await _way(uri, transport, plan, resolver, seen)
        if seen.way is not None:
            seen.straight = _is_ours(seen.way, wire)
        if seen.way is not None and not seen.straight:
            await _Round(plan, wire, agent, seen, seen.way).make()
            seen.counts = agent.counts
    finally:
        await resolver.close()
        await wire.close()
    return seen


def _is_ours(way: Flow, wire: Wire) -> bool:
    return any(
        (each.transport, each.host, each.port) == (way.transport, way.host, way.port)
        for each in wire.transports.listeners
    )


async def _way(uri: Uri, transport: str, plan: SipPlan, resolver: Resolver, seen: SipSeen) -> Flow | None:
    resolver.ipv4 = any(":" not in host for _, host, _ in plan.listen)
    resolver.ipv6 = any(":" in host for _, host, _ in plan.listen)
    try:
        targets = await resolver.resolve(uri.host, uri.port, transport)
    except ResolveError as error:
        seen.failed = str(error)
        return None
    return Flow(transport, targets[0].host, targets[0].port, domain=uri.host)


class _Round:
    """All calls of one run."""

    def __init__(self, plan: SipPlan, wire: Wire, agent: Agent, seen: SipSeen, way: Flow) -> None:
        self._plan = plan
        self._wire = wire
        self._agent = agent
        self._seen = seen
        self._way = way
        self._open: list[Call] = []

    async def make(self) -> None:
        """Every call that makes sense."""
        silent = 0
        try:
            for call, size in _calls(self._agent.ids):
                if (self._seen.calls and not self._seen.calls[0].complete) or silent >= SILENCES:
                    self._seen.untried.append(call.name)
                    continue
                if call.name == "first":
                    call = await self._first(call)
                else:
                    await self._make(call, size)
                self._seen.calls.append(call)
                silent = 0 if call.final is not None or call.failed else silent + 1
        finally:
            for call in [*self._open]:  # interrupted: nobody's telephone goes on ringing, and no call goes on
                heard = lambda of=call: bool(of.statuses) or of.decided  # noqa: E731
                await self._wire.until(heard, self._wire.clock() + PARTING_S)
                await self._end(call)

    async def _first(self, call: Call) -> Call:
        """The first call; again and again, while the path may not have noticed yet that somebody is here."""
        until = self._wire.clock() + self._plan.wait_s
        while True:
            await self._make(call, 0)
            now = self._wire.clock()
            if call.final not in NOT_UP or now >= until:
                return call
            await self._wire.until(lambda: False, min(until, now + AGAIN_S))
            call = Call("first", Secrets.new(self._agent.ids), [])

    async def _make(self, call: Call, size: int) -> None:
        await self._place(call, size)
        if call.complete and call.name == "trace":
            await self._transfer(call)
        await self._end(call)

    async def _place(self, call: Call, size: int) -> None:
        wire, agent = self._wire, self._agent
        now = wire.clock()
        deadline = now + self._plan.timeout_s
        self._open.append(call)
        agent.place(call, self._way, now, size=size)
        wire.flush(now)
        await wire.until(lambda: call.decided, deadline)
        if call.answered is not None and not call.arrivals:
            # Somebody else has answered. It may still put us through, but it shall not cost a minute.
            await wire.until(lambda: bool(call.arrivals), min(deadline, wire.clock() + PARTING_S))

    async def _end(self, call: Call) -> None:
        wire, agent = self._wire, self._agent
        now = wire.clock()
        if not call.decided:
            agent.give_up(call, now)
            wire.flush(now)
            if call.statuses:
                await wire.until(lambda: call.decided, now + PARTING_S)
        now = wire.clock()
        agent.hang_up(call, now)
        wire.flush(now)
        if call.dialogs:
            gone = lambda: call.caller_over and (call.callee_over or call.at_callee is None)  # noqa: E731
            await wire.until(gone, now + PARTING_S)
            now = wire.clock()
            agent.leave(call, now)
            wire.flush(now)
        self._open.remove(call)

    async def _transfer(self, call: Call) -> None:
        wire, agent = self._wire, self._agent
        now = wire.clock()
        deadline = now + self._plan.timeout_s
        referral = agent.refer(call, now)
        wire.flush(now)
        await wire.until(lambda: referral.settled, deadline)
        if referral.arrived is not None:
            await self._follow(call, referral)
        for new in [each for each in agent.calls if each.name == "transferred"]:
            # Whoever placed it, the path or we: it ends from both sides.
            self._open.append(new)
            await self._end(new)

    async def _follow(self, call: Call, referral: Referral) -> None:
        """Call as a transferee does, and say what came of it. Only where we call anyway."""
        wire, agent = self._wire, self._agent
        status = 603
        new = self._asked(referral)
        if new is not None:
            referral.called = new
            await self._place(new, 0)
            self._open.remove(new)
            referral.new = [*new.arrivals]
            status = new.final or 408
        now = wire.clock()
        agent.report(call, status, now)
        wire.flush(now)
        await wire.until(lambda: bool(set(referral.notified) - {100}), now + PARTING_S)

    def _asked(self, referral: Referral) -> Call | None:
        """The call that the REFER asks for as it arrived; None where it leads somewhere else."""
        assert referral.arrived is not None
        with suppress(RemoteProtocolError, IndexError):
            refer_to = ReferTo.parse(referral.arrived.values("refer-to")[0])
            token = referral.secrets.token
            ours = parse_uri(self._plan.target.replace(TOKEN_HERE, token))
            there = refer_to.parsed
            hosts = ((ours.host, ours.port), (self._way.host, self._way.port))
            if there.user == ours.user and (there.host, there.port) in hosts:
                plants = [Plant("transfer", name, value) for name, value in refer_to.headers]
                return Call("transferred", referral.secrets, plants, uri=refer_to.uri)
        return None


def _calls(ids: Ids) -> Iterator[tuple[Call, int]]:
    """What is planted in which call, and how long its INVITE is to be."""
    yield Call("first", Secrets.new(ids), []), 0
    secrets = Secrets.new(ids)
    members = f"probe={ids.hex(16)},sipproxy={ids.hex(16)}"
    yield (
        Call(
            "trace",
            secrets,
            [
                Plant("traceparent", "traceparent", secrets.traceparent()),
                Plant("tracestate", "tracestate", members),
                Plant("baggage", "baggage", f"interaction.id=probe-{ids.hex(16)}"),
                Plant("previous-trace-id", "previous-trace-id", f"{ids.trace_id()};span={ids.span_id()}"),
            ],
        ),
        SMALL,
    )
    secrets = Secrets.new(ids)
    yield (
        Call(
            "names",
            secrets,
            [
                Plant("x-traceparent", "X-Traceparent", secrets.traceparent()),
                Plant("x-tracestate", "X-Tracestate", f"probe={ids.hex(16)}"),
                Plant("otel-trace-id", "otel-trace-id", ids.trace_id()),
                Plant("x-interaction-id", "X-Interaction-ID", f"probe-{ids.hex(16)}"),
            ],
        ),
        0,
    )
    secrets = Secrets.new(ids)
    yield Call("identity", secrets, [Plant("pai", "P-Asserted-Identity", secrets.traceparent())]), 0
    yield Call("marker", Secrets.new(ids), [Plant("marker", "", ids.hex(32))]), 0
    secrets = Secrets.new(ids)
    yield Call("large", secrets, [Plant("large", "traceparent", secrets.traceparent())]), LARGE
