"""OPTIONS probes: take a dead trunk out, and back in (`trunks.NAME.health`).

any answer but 408 and 503       up
`down_after` failures in a row   down: no call is tried there
"""

from __future__ import annotations

from ..sip.flow import Flow
from ..sip.message import Headers, Request, Response
from ..sip.timers import Timer
from ..sip.transaction import ClientTransaction
from .events import Unsent
from .routing import Trunk
from .shared import Shared


class Probe:
    """One trunk's prober; lives as long as its router."""

    __slots__ = ("_open", "_sent_at", "_shared", "_trunk", "stopped")

    def __init__(self, shared: Shared, trunk: Trunk) -> None:
        self._shared = shared
        self._trunk = trunk
        self._sent_at = 0.0
        self._open: ClientTransaction | None = None  # the probe that is not answered yet
        self.stopped = False

    def expire(self, timer: Timer, now: float) -> None:
        """Time for the next one."""
        if self.stopped:
            return
        shared, trunk = self._shared, self._trunk
        if self._open is not None:
            self._failed()  # a whole pause without an answer
        shared.endpoint.timers.start(Timer.PROBE, now + trunk.settings.health.options_every_s, self)
        shared.locate_trunk(trunk, self._send, now)

    def _send(self, flows: list[Flow], now: float) -> None:
        if not flows:
            self._failed()
            return
        shared, flow = self._shared, flows[0]
        contact = shared.contact(flow)
        headers = Headers()
        headers.add("Max-Forwards", "70")
        headers.add("From", f"{contact};tag={shared.ids.hex(16)}")
        headers.add("To", f"<sip:{self._trunk.shown}>")
        headers.add("Call-ID", shared.ids.hex(32))
        headers.add("CSeq", "1 OPTIONS")
        headers.add("Contact", contact)
        headers.add("Accept", "application/sdp")
        headers.add("Content-Length", "0")
        self._sent_at = now
        self._open = shared.endpoint.send(
            Request("OPTIONS", f"sip:{self._trunk.shown}", headers), flow, self, now
        )

    def responded(self, tx: ClientTransaction, response: Response, now: float) -> None:
        """An answer, whatever it says, is a sign of life; 408 and 503 are somebody else's word for none."""
        if response.status < 200 or tx is not self._open:
            return  # a late one says nothing of now
        self._open = None
        if response.status in (408, 503):
            self._failed()
            return
        trunk = self._trunk
        # Of a repeated one nobody knows which is answered; and a handshake is no round trip.
        if not tx.repeats and tx.flow is not None and not tx.flow.opened:
            trunk.measured(now - self._sent_at)
        trunk.failures = 0
        if trunk.down:
            trunk.down = False
            self._shared.count("trunk_up", trunk.name)

    def timed_out(self, tx: ClientTransaction, now: float) -> None:
        """Silence."""
        self._ended(tx)

    def unsent(self, tx: ClientTransaction, reason: str, now: float) -> None:
        """No way there."""
        self._shared.facts.append(Unsent("", self._trunk.name, reason, now))
        self._ended(tx)

    def _ended(self, tx: ClientTransaction) -> None:
        if tx is self._open:
            self._open = None
            self._failed()

    def _failed(self) -> None:
        trunk = self._trunk
        trunk.failures += 1
        if trunk.failures >= trunk.settings.health.down_after and not trunk.down:
            trunk.down = True
            self._shared.count("trunk_down", trunk.name)
