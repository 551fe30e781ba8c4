"""What is done with a REFER in a call, and which transfers the call has under way.

no way to read it, or nothing to call     400, 416, 603                  (raised: RemoteProtocolError)
the call's hops are spent                 483
a conversation that is none of the        403
transferor's
`refer: reject`                           603
relay                                     relaying.py
local                                     moving.py, one at a time: 491
"""

from __future__ import annotations

from ..errors import RemoteProtocolError
from ..propagation.carriers import CONTEXT_HEADERS, extract_sip
from ..propagation.settings import TrunkTrace
from ..sip.build import cseq_of
from ..sip.headers import MAX_FORWARDS, key_of
from ..sip.message import Request
from ..sip.refer import MARKER, REFER_TO, ReferTo, without_parameters
from ..sip.transaction import ServerTransaction
from .call import Call
from .events import Linked
from .leg import Leg
from .moving import Move
from .relaying import RelayedEvent, RelayedRefer, Subscription, event_of
from .replacing import Dialogue, check_replaceable, may_replace, named
from .settings import Refer
from .shared import Shared
from .transfer import Transfer

_DEFAULT_TRACE = TrunkTrace()
MOST_TRANSFERS = 16  # of one call at a time


class Referring:
    """One per call that has seen a REFER."""

    __slots__ = ("_lingering", "call", "move", "relayed")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.relayed: tuple[Subscription, ...] = ()  # of REFERs that went on
        self.move: Move | None = None  # the transfer that we do ourselves
        self._lingering: tuple[Leg, ...] = ()

    def refer(
        self, leg: Leg, tx: ServerTransaction, request: Request, now: float, front: Leg | None = None
    ) -> None:
        """Take a REFER about the dialog of `leg`, which came in the dialog of `front` where that is another
        one. Raises RemoteProtocolError for one that cannot be read.
        """
        call, peer = self.call, leg.peer
        leg.refers += 1
        target = refer_to(request, call.shared)
        if target.refused:
            call.shared.count("refer_header", leg.trunk_name)
        mode = mode_of(leg, peer)
        shown = "local" if mode is Refer.LOCAL else "relay"
        transfer = Transfer(call, target, now)
        trace = _DEFAULT_TRACE if leg.trunk is None else leg.trunk.settings.trace
        link = extract_sip(request.headers.values, trace).context
        if link is not None and link.trace_id == transfer.context.trace_id:
            link = None
        transfer.begin(shown, leg.trunk_name, link, now)
        replaced: Dialogue | None = None
        status = self._why_not(leg, request, mode)
        if not status:
            try:
                replaced = self._replaced(leg, target, mode)
            except RemoteProtocolError as error:
                status = error.status
        if replaced is not None:
            consultation = replaced.target
            transfer.links(consultation.context)
            call.shared.facts.append(Linked(consultation.context.span_id, transfer.context))
        if status:
            transfer.refused(status, "", now)
            (front or leg).refuse(tx, status, now)
            if front is not None:
                front.forget()
        elif mode is Refer.LOCAL:
            assert peer is not None
            self.move = Move(self, leg, peer, front or leg, tx, transfer, target, replaced, now)
            self.move.start(now)
        else:
            subscription = Subscription(self, leg, transfer, cseq_of(request))
            self.relayed += (subscription,)
            RelayedRefer(leg, tx, subscription, target, replaced).start(now)

    def _why_not(self, leg: Leg, request: Request, mode: Refer) -> int:
        if mode is Refer.REJECT:
            return 603
        if request.headers.first(MAX_FORWARDS) == 0 or self.call.hops <= 0:
            return 483
        if leg.join is not None or (leg.peer is not None and leg.peer.join is not None):
            return 491
        if leg.peer is None or not leg.confirmed or len(self.relayed) >= MOST_TRANSFERS:
            return 491
        if mode is Refer.LOCAL and self.move is not None:
            return 491
        return 0

    def _replaced(self, leg: Leg, target: ReferTo, mode: Refer) -> Dialogue | None:
        """The conversation that Refer-To names, where it is one of ours."""
        if target.replaces is None:
            return None
        try:
            replaced = named(self.call.shared, target.replaces)
            if replaced is None:
                return None
            if not may_replace(replaced, leg.trunk) or replaced.target.call is self.call:
                raise RemoteProtocolError("a conversation of others", status=403)
            check_replaceable(replaced, target.replaces)
        except RemoteProtocolError as error:
            if error.status == 403 or mode is Refer.LOCAL:
                raise
            return None  # the transferee hears it from the new call, and the transferor by NOTIFY
        return replaced

    def left(self, leg: Leg, now: float) -> bool:
        """That leg's peer has hung up. Whether a transfer of ours goes on without it: then it is out."""
        move = self.move
        if move is None or not move.left(leg, now):
            return False
        if not leg.departed:
            self.call.departs(leg, now)
            if leg.answer is None:  # else its ACK has to find it still
                leg.forget()
        return True

    def abandon(self, now: float) -> None:
        """The call ends."""
        if self.move is not None:
            self.move.abandon(now)

    # Subscriptions

    def event(self, leg: Leg, tx: ServerTransaction, request: Request, now: float) -> bool:
        """Take a NOTIFY or SUBSCRIBE of a REFER's subscription; whether it is one that we know."""
        package, number = event_of(request)
        if package != "refer":
            return False
        to_transferor = request.method == "NOTIFY"
        if not to_transferor and self.move is not None and self.move.subscribed(leg, tx, number, now):
            return True
        for relayed in self.relayed:
            ours = relayed.cseq_out if to_transferor else relayed.cseq_in
            if (relayed.leg is not leg) is to_transferor and (number is None or number == ours):
                RelayedEvent(leg, tx, relayed, to_transferor=to_transferor).start(now)
                return True
        return False

    def gone(self, relayed: Subscription, now: float) -> None:
        """A subscription is over."""
        if relayed in self.relayed:
            self.relayed = tuple([other for other in self.relayed if other is not relayed])
        if not self.relayed and self._lingering:
            legs, self._lingering = self._lingering, ()
            self.call.desk = None
            for relay in list(self.call.relays):
                relay.abandon(now)
            for leg in legs:
                leg.forget()
                leg.peer = None

    def lingers(self, legs: list[Leg]) -> bool:
        """The call is over; whether its dialogs live on for NOTIFYs that are still to come (RFC 5057)."""
        if self.relayed:
            self._lingering = tuple(legs)
        return bool(self.relayed)


def refer_to(request: Request, shared: Shared) -> ReferTo:
    """The one Refer-To of a REFER, without a marker of ours: that is another transfer's. Raises
    RemoteProtocolError (400) where there is none, or more than one.
    """
    found = request.headers.every(REFER_TO)
    if len(found) != 1:
        raise RemoteProtocolError("a REFER has one Refer-To")
    target = found[0]
    if shared.names_us(target.parsed):
        target.uri = without_parameters(target.uri, MARKER)
    if target.headers:
        target.headers = [pair for pair in target.headers if not is_context(pair[0])]
    return target


def is_context(name: str) -> bool:
    """Whether a header in Refer-To is for us alone to write: trace context, under whatever name it is
    read.
    """
    key = key_of(name)
    return key in CONTEXT_HEADERS or "traceparent" in key or "tracestate" in key


def mode_of(leg: Leg, peer: Leg | None) -> Refer:
    """What is done with a REFER from `leg`: the transferor's trunk decides, unless the transferee's cannot
    take a REFER.
    """
    own = None if leg.trunk is None else leg.trunk.settings.refer
    other = None if peer is None or peer.trunk is None else peer.trunk.settings.refer
    if own is Refer.REJECT:
        return Refer.REJECT
    if own is Refer.LOCAL or other is Refer.LOCAL or other is Refer.REJECT:
        return Refer.LOCAL
    if own is Refer.RELAY or other is Refer.RELAY or (peer is not None and peer.knows_refer):
        return Refer.RELAY
    return Refer.LOCAL
