"""A REFER that goes on to the other leg, and the NOTIFYs that come back (RFC 3515, RFC 5589 sections 6 and
7).

REFER        leaves with the transfer's context in five carriers (`propagation.md` section 4)
its answer   crosses; 2xx: the transfer is accepted, else refused
NOTIFY       crosses, with the `id` of its Event as the other leg counts; what it reports is noted
SUBSCRIBE    likewise the other way
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..sip.message import Request, Response
from ..sip.refer import REFERRED_BY, ReferTo
from ..sip.timers import Reminder, Timer
from ..sip.transaction import ClientTransaction, ServerTransaction
from ..sip.values import LWS
from .inviting import known_as
from .leg import Leg
from .naming import rename_dialogs
from .relay import Relay
from .replacing import Dialogue
from .stamping import expect, stamp_refer
from .transfer import Transfer

if TYPE_CHECKING:
    from .referring import Referring


class Subscription:
    """What a relayed REFER leaves behind once it is answered: NOTIFYs go from the transferee to `leg`, the
    transferor's, and name the REFER by its CSeq: `cseq_in` there, `cseq_out` on the transferee's leg.
    """

    __slots__ = ("_desk", "_lapse", "cseq_in", "cseq_out", "leg", "transfer")

    def __init__(self, desk: Referring, leg: Leg, transfer: Transfer, cseq_in: int) -> None:
        self._desk: Referring | None = desk
        self._lapse = Reminder(self)
        self.leg = leg
        self.transfer = transfer
        self.cseq_in = cseq_in
        self.cseq_out = 0

    def lapses(self, at: float) -> None:
        """It ends then, also where nobody ends it."""
        self.leg.shared.endpoint.timers.start(Timer.FORGET, at, self._lapse)

    def expire(self, timer: Timer, now: float) -> None:
        """It has lasted long enough."""
        self.ended(now)

    def ended(self, now: float) -> None:
        """No more NOTIFY will come."""
        self._lapse.drop()
        desk, self._desk = self._desk, None
        if desk is not None:
            desk.gone(self, now)


class RelayedRefer(Relay):
    """A REFER on its way to the transferee; `replaced` is the conversation that Refer-To names."""

    __slots__ = ("_replaced", "_subscription", "_target")

    def __init__(
        self,
        leg: Leg,
        tx: ServerTransaction,
        subscription: Subscription,
        target: ReferTo,
        replaced: Dialogue | None,
    ) -> None:
        super().__init__(leg, tx)
        self._subscription = subscription
        self._target = target
        self._replaced = replaced

    @property
    def lasting(self) -> bool:
        """The transferee may take it after the transferor has hung up."""
        return True

    def crossed(self, peer: Leg, request: Request, now: float) -> tuple[Request, str]:
        """The REFER as it leaves."""
        subscription, shared = self._subscription, peer.shared
        transfer = subscription.transfer
        out, hop = peer.cross_bare(request)
        subscription.cseq_out = peer.dialog.local_cseq
        contact = peer.contact
        rename_dialogs(shared, request.headers, out.headers)
        forms = stamp_refer(transfer, self._target, peer.trunk, contact, out, self._replaced)
        referred_by = request.headers.first(REFERRED_BY)
        if referred_by is None:
            referred_by = known_as(peer)
            if peer.rules.lets_pass("referred-by"):
                out.headers.add("Referred-By", referred_by)
        peer.stamp(out, transfer.context, transfer.previous)
        expect(transfer, peer.trunk_name, referred_by, forms, now, peer.flow)
        subscription.lapses(now + max(shared.pending.settings.expires_s, shared.timeouts.ring_s) + 5.0)
        return out, hop

    def responded(self, tx: ClientTransaction, response: Response, now: float) -> None:
        """Pass the answer on; RFC 4488: it may say that no NOTIFY follows."""
        silent = (response.headers.text("refer-sub") or "").strip(LWS).lower().startswith("false")
        super().responded(tx, response, now)
        if silent and 200 <= response.status < 300:
            self._subscription.ended(now)

    def finished(self, status: int, error: str, now: float) -> None:
        """The REFER has its final response, or will not get one."""
        subscription = self._subscription
        transfer = subscription.transfer
        if 200 <= status < 300:
            transfer.accepted(now)
        else:
            transfer.refused(status, error, now)
            self._leg.shared.pending.withdraw(transfer)
            subscription.ended(now)


class RelayedEvent(Relay):
    """A NOTIFY or SUBSCRIBE of the subscription `refer`; `to_transferor` says which way it goes."""

    __slots__ = ("_last", "_refer", "_to_transferor")

    def __init__(self, leg: Leg, tx: ServerTransaction, refer: Subscription, *, to_transferor: bool) -> None:
        super().__init__(leg, tx)
        self._refer = refer
        self._to_transferor = to_transferor
        self._last = False

    @property
    def lasting(self) -> bool:
        """The subscription outlives the call."""
        return True

    def crossed(self, peer: Leg, request: Request, now: float) -> tuple[Request, str]:
        """The request as it leaves: Event names the REFER by its CSeq on that leg."""
        refer = self._refer
        out, hop = peer.cross(request)
        package, number = event_of(request)
        # A first REFER may go without an id; what is the transferee's first may be the transferor's second.
        if number is not None or (self._to_transferor and refer.leg.refers > 1):
            other = refer.cseq_in if self._to_transferor else refer.cseq_out
            out.headers.set("Event", f"{package};id={other}")
        if self._to_transferor:
            peer.notifies += 1
            state = (request.headers.text("subscription-state") or "").partition(";")[0]
            self._last = state.strip(LWS).lower() == "terminated"
            status = reported_status(request.body)
            if status:
                refer.transfer.reported(status, now)
        return out, hop

    def finished(self, status: int, error: str, now: float) -> None:
        """It has its answer, or will not get one."""
        if not self._to_transferor:
            return
        transferor = self._refer.leg
        transferor.notifies = max(transferor.notifies - 1, 0)  # a BYE may have stopped waiting for it
        if self._last:
            self._refer.ended(now)
        if not transferor.notifies:
            transferor.call.notified(transferor, now)


def event_of(request: Request) -> tuple[str, int | None]:
    """The event package in lower case, and the `id` where there is one (RFC 3515 section 2.4.6)."""
    package, *parameters = (request.headers.text("event") or "").split(";")
    number: int | None = None
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        value = value.strip(LWS)
        if name.strip(LWS).lower() == "id" and value.isascii() and value.isdigit() and len(value) <= 10:
            number = int(value)
    return package.strip(LWS).lower(), number


def reported_status(body: bytes) -> int:
    """The status that a sipfrag begins with (RFC 3420); 0 for none."""
    words = body[:64].lstrip().split(None, 2)
    if len(words) < 2 or words[0].upper() != b"SIP/2.0" or not words[1].isdigit():
        return 0
    status = int(words[1])
    return status if 100 <= status <= 699 else 0
