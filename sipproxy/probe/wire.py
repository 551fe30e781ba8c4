"""The sockets and the clock of the probe's agent.

socket readable ─► received()… ─► flush()       what the agent wants to send leaves
one loop timer  ─► expire()    ─► flush()       armed for the core's earliest deadline
either          ─► changed                      whoever waits in `until` looks again
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence

from ..net.settings import TlsSettings
from ..net.transport import Transports
from ..sip.flow import TCP, UDP, Flow
from ..sip.ids import Ids
from .agent import Agent
from .messages import Ourselves

_TICK_S = 0.01  # the loop counts in whole milliseconds, and never wakes us too early so


class Wire:
    """Opened, used, closed: once each."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.transports = Transports()
        self._agent: Agent | None = None
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._fault: Exception | None = None

    async def open(
        self,
        listen: Sequence[tuple[str, str, int]],
        *,
        transport: str,
        target: str,
        caller: str | None,
        advertise: str | None,
        tls: TlsSettings | None,
    ) -> Agent:
        """Listen; the agent that speaks here. Raises StartError."""
        await self.transports.open(listen, receiver=self, advertise=advertise, clock=self.clock, tls=tls)
        listeners = self.transports.listeners
        ours = next((each for each in listeners if each.transport == transport), listeners[0])
        self._agent = Agent(Ourselves(target, caller, ours), listeners, Ids(os.urandom))
        return self._agent

    async def until(self, condition: Callable[[], bool], deadline: float) -> bool:
        """Wait for it, but not longer: whether it came about."""
        while not condition():
            if self._fault is not None:
                raise self._fault
            self._changed.clear()
            try:
                async with asyncio.timeout(deadline - self.clock()):
                    await self._changed.wait()
            except TimeoutError:
                return condition()
        return True

    def flush(self, now: float) -> None:
        """Let out what has gathered, and be woken for what comes next."""
        agent = self._agent
        if agent is None:
            return
        outbox, agent.endpoint.outbox = agent.endpoint.outbox, []
        for transmit in outbox:
            self.transports.send(transmit.data, transmit.flow)
        at = agent.endpoint.timers.next_at
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            wait = max(at - self.clock(), 0.0) + _TICK_S
            self._timer = asyncio.get_running_loop().call_later(wait, self._expire)
        self._changed.set()

    async def close(self) -> None:
        """Let what was written go out, close everything."""
        if self._timer is not None:
            self._timer.cancel()
        self._agent = None
        await self.transports.close()

    def _expire(self) -> None:
        self._timer = None
        now = self.clock()
        if self._agent is not None:
            self._guarded(self._agent.endpoint.expire, now)
        self.flush(now)

    # What the network brings (Receiver)

    def received(self, data: bytes, flow: Flow, now: float) -> None:
        """Take one whole message."""
        if self._agent is not None:
            self._guarded(self._agent.receive, data, flow, now)

    def unsent(self, data: bytes, flow: Flow, reason: str, now: float) -> None:
        """A message did not arrive."""
        if self._agent is not None:
            self._guarded(self._agent.endpoint.unsent, data, flow, reason, now)

    def broken(self, data: bytes, flow: Flow, reason: str, now: float) -> None:
        """A stream lost its framing: what comes there is no SIP."""
        if self._agent is not None:
            self._agent.counts["malformed"] += 1

    def refused(self, flow: Flow, reason: str, now: float) -> None:
        """Somebody connected who does not speak our TLS: whoever waits for the path will see."""
        if self._agent is not None:
            self._agent.counts["refused"] += 1

    def closed(self, flow: Flow, now: float) -> None:
        """Told of connections of WebSocket clients alone, which the probe has none of."""

    def _guarded(self, enter: Callable[..., None], *arguments: object) -> None:
        """What flies out is a bug of ours: whoever waits learns of it, and the loop does not swallow it."""
        try:
            enter(*arguments)
        except Exception as error:
            self._fault = error
            self._changed.set()


def both(listen: Sequence[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    """With TCP beside each UDP listener and the reverse: what does not fit into a datagram comes by TCP (RFC
    3261 section 18.1.1), and a path may answer so at any time.
    """
    rows = list(dict.fromkeys(listen))
    for transport, host, port in listen:
        other = {UDP: TCP, TCP: UDP}.get(transport)
        if other is not None and (other, host, port) not in rows:
            rows.append((other, host, port))
    return rows
