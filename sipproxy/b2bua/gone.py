"""A browser's connection has closed: a tab, a network, a reload. Nobody says CANCEL or BYE for it.

its INVITE is open     it has given it up by itself (RFC 3261 section 8.1.3.1): as if it had sent CANCEL
it talks               it may come back by another connection within `timeouts.gone_s`; then the call ends
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..sip.build import cancel_for
from ..sip.flow import Flow
from ..sip.timers import Timer

if TYPE_CHECKING:
    from .leg import Leg
    from .shared import Shared

REASON = 'SIP;cause=408;text="Connection lost"'


def closed(shared: Shared, flow: Flow, now: float) -> None:
    """That connection of a WebSocket client is no more."""
    for tx, invite in list(shared.open_invites.items()):
        if _is(tx.flow, flow):
            invite.cancelled(cancel_for(tx.request, REASON), now)
    patience_s = shared.timeouts.gone_s
    for leg in list(shared.legs.values()) if patience_s else ():
        if leg.confirmed and _is(leg.flow, flow):
            shared.endpoint.timers.start(Timer.GONE, now + patience_s, Gone(leg))


class Gone:
    """One leg that may come back."""

    __slots__ = ("_leg", "_lost")

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self._lost = leg.flow

    def expire(self, timer: Timer, now: float) -> None:
        """It has had its time."""
        leg = self._leg
        if leg.call.talking and not leg.departed and _is(leg.flow, self._lost):
            leg.call.hang_up("timeout", REASON, now)


def _is(flow: Flow | None, lost: Flow) -> bool:
    return flow is not None and flow.web and flow.connection == lost.connection
