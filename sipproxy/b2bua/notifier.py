"""The subscription that a REFER makes with us, when we place the new call (RFC 3515 section 2.4, RFC 6665).

One NOTIFY is under way at a time: on UDP a second one could overtake it. What happens meanwhile is told by
the next, the newest alone; the last one ends the subscription.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..sip.build import REASONS, respond_to
from ..sip.message import Response
from ..sip.timers import Reminder, Timer
from ..sip.transaction import ClientTransaction, ServerTransaction

if TYPE_CHECKING:
    from .dialling import Dialling
    from .leg import Leg

LAST_WITHIN_S = 2.0  # seconds that the transferor's BYE waits for the answer to the last NOTIFY


class Notifier:
    """Tells `leg` how the transfer goes that its REFER `number` asked for; `silent`: it does not want to know
    (RFC 4488, RFC 7614). `user` hears when the last NOTIFY is answered, or has had time enough.
    """

    __slots__ = (
        "_busy",
        "_expires_at",
        "_last",
        "_leg",
        "_next",
        "_over",
        "_quits",
        "_reminder",
        "_status",
        "number",
        "silent",
        "user",
    )

    def __init__(self, user: Dialling, leg: Leg, number: int, *, silent: bool, expires_at: float) -> None:
        self.user: Dialling | None = user
        self.number = number
        self.silent = silent
        self._leg = leg
        self._expires_at = expires_at
        self._status = 100
        self._next = False  # something is to be told
        self._last = False
        self._reminder = Reminder(self)
        self._busy = False
        self._quits = False  # nobody wants to hear more: that is what the next NOTIFY says
        self._over = silent

    def tell(self, status: int, now: float, *, last: bool = False) -> None:
        """The new call got this response."""
        self._status = status
        self._last = self._last or last
        self._next = True
        if self._over:
            if last:
                self._done(now)
            return
        if last:
            self._leg.shared.endpoint.timers.start(Timer.BYE, now + LAST_WITHIN_S, self)
        if not self._busy:
            self._send(now)

    @property
    def over(self) -> bool:
        """Whether there is nothing left to subscribe to."""
        return self._over or self._last or self._quits

    def subscribed(self, tx: ServerTransaction, expires_s: int, now: float) -> None:
        """The transferor refreshes its subscription, or ends it (RFC 6665 section 4.1.2)."""
        leg = self._leg
        response = respond_to(tx.request, 200, to_tag=leg.dialog.local_tag)
        response.headers.add("Expires", str(expires_s))
        response.headers.add("Contact", leg.contact)
        leg.shared.endpoint.respond(tx, response, now)
        self._expires_at = now + expires_s
        self._next = True
        if expires_s == 0:
            self._quits = True
            if not self._busy:
                self._quit(now)
            return
        self._leg.shared.endpoint.timers.start(Timer.FORGET, self._expires_at, self._reminder)
        if not self._busy and not self._over:
            self._send(now)

    def _quit(self, now: float) -> None:
        self._over = True
        self._send(now, "terminated;reason=timeout")

    def _send(self, now: float, state: str = "") -> None:
        if not state:
            left_s = max(1, round(self._expires_at - now))
            state = "terminated;reason=noresource" if self._last else f"active;expires={left_s}"
        self._busy = True
        self._next = False
        status, leg = self._status, self._leg
        rows = (
            ("Event", f"refer;id={self.number}"),
            ("Subscription-State", state),
            ("Contact", leg.contact),
            ("Content-Type", "message/sipfrag;version=2.0"),
        )
        body = f"SIP/2.0 {status} {REASONS.get(status, 'Unknown')}\r\n".encode()
        request, hop = leg.make("NOTIFY", rows, body=body)
        if self.user is not None:
            self.user.transfer.tell("notify", now)
        leg.send(request, hop, self, now)

    def sent(self, tx: ClientTransaction) -> None:
        """It has left."""

    def responded(self, tx: ClientTransaction, response: Response, now: float) -> None:
        """Go on with the next, where the transferor still listens."""
        if response.status < 200:
            return
        self._busy = False
        if response.status >= 300:
            self._over = True
        if self._quits and not self._over:
            self._quit(now)
        elif self._next and not self._over:
            self._send(now)
        elif self._last:
            self._done(now)

    def timed_out(self, tx: ClientTransaction, now: float) -> None:
        """Nobody listens."""
        self._over = True
        self._busy = False
        if self._last:
            self._done(now)

    def unsent(self, tx: ClientTransaction, reason: str, now: float) -> None:
        """Likewise."""
        self.timed_out(tx, now)

    def expire(self, timer: Timer, now: float) -> None:
        """The last NOTIFY has had time enough; or a subscription was not refreshed (RFC 6665 section
        4.2.2).
        """
        if timer is Timer.BYE:
            self._done(now)
        elif not self.over and now >= self._expires_at:
            self._quits = True
            if not self._busy:
                self._quit(now)

    def _done(self, now: float) -> None:
        self._reminder.drop()
        user, self.user = self.user, None
        if user is not None:
            user.notified(now)
