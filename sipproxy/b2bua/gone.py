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
    from ..sip.transaction import InviteServerTransaction
    from .leg import Leg
    from .shared import Shared

REASON = 'SIP;cause=408;text="Connection lost"'


class Browsers:
    """Whose INVITEs and dialogs came by which WebSocket: one that closes costs what hangs on it."""

    __slots__ = ("_invites", "_legs")

    def __init__(self) -> None:
        self._invites: dict[int, list[InviteServerTransaction]] = {}
        self._legs: dict[int, list[Leg]] = {}

    def __len__(self) -> int:
        return len(self._invites) + len(self._legs)

    def opens(self, tx: InviteServerTransaction) -> None:
        """An INVITE waits for its answer."""
        if tx.flow is not None and tx.flow.web:
            self._invites.setdefault(tx.flow.connection, []).append(tx)

    def concludes(self, tx: InviteServerTransaction) -> None:
        """It has it."""
        if tx.flow is None or not tx.flow.web:
            return
        number = tx.flow.connection
        known = self._invites.get(number)
        if known is not None and tx in known:
            known.remove(tx)
            if not known:
                del self._invites[number]

    def joins(self, leg: Leg) -> None:
        """A dialog comes by its flow."""
        self._legs.setdefault(leg.flow.connection, []).append(leg)

    def leaves(self, leg: Leg) -> None:
        """It is over, or comes by another flow now."""
        number = leg.flow.connection
        known = self._legs.get(number)
        if known is not None and leg in known:
            known.remove(leg)
            if not known:
                del self._legs[number]

    def closed(self, shared: Shared, flow: Flow, now: float) -> None:
        """That connection is no more."""
        for tx in self._invites.pop(flow.connection, ()):
            invite = shared.open_invites.get(tx)
            if invite is not None:
                invite.cancelled(cancel_for(tx.request, REASON), now)
        patience_s = shared.timeouts.gone_s
        for leg in self._legs.get(flow.connection, ()):
            leg.deserted = True
            if patience_s and leg.confirmed:
                shared.endpoint.timers.start(Timer.GONE, now + patience_s, Gone(leg))


class Gone:
    """One leg that may come back."""

    __slots__ = ("_connection", "_leg")

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self._connection = leg.flow.connection

    def expire(self, timer: Timer, now: float) -> None:
        """It has had its time."""
        leg = self._leg
        if leg.call.talking and not leg.departed and leg.flow.connection == self._connection:
            leg.call.hang_up("timeout", REASON, now)
