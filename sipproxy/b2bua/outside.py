"""A REFER outside a dialog: relayed like any other request there, and a transfer all the same (RFC 3515,
4538).

With a Target-Dialog that names one of our dialogs it is about that call: it goes to the call's other leg, and
the transfer is part of the call's trace. Without, it begins a trace of its own.
"""

from __future__ import annotations

from ..errors import RemoteProtocolError
from ..propagation.context import TraceContext
from ..propagation.correlation import Origin
from ..sip.build import hops_left
from ..sip.dialog import Dialog
from ..sip.flow import Flow
from ..sip.headers import FROM
from ..sip.message import Request, Response
from ..sip.refer import REFERRED_BY, TARGET_DIALOG, ReferTo
from ..sip.transaction import ServerTransaction
from .arrival import Arrival
from .events import CallForgotten
from .leg import Leg
from .lineage import Lineage
from .naming import facing
from .referring import mode_of, refer_to
from .relaying import reported_status
from .routing import Trunk
from .settings import Refer
from .shared import Shared
from .stamping import expect, stamp_refer
from .transfer import Transfer


class Errand(Lineage):
    """What a REFER outside a dialog causes. `status` is why it is refused, or 0; `leg` the other leg of the
    call that it is about, if it is about one.
    """

    __slots__ = ("_open", "leg", "request", "source", "status", "target", "transfer")

    def __init__(
        self, shared: Shared, root: TraceContext, request: Request, arrival: Arrival, now: float
    ) -> None:
        super().__init__(
            shared,
            root,
            interaction=arrival.interaction,
            baggage=arrival.baggage,
            hops=hops_left(request),
            now=now,
        )
        self.request = request
        self.source = arrival.source
        self.status = 0
        self.target: ReferTo = refer_to(request, shared)
        self.leg: Leg | None = None
        self.transfer: Transfer | None = None
        self._open = 0

    def attempted(self, change: int) -> None:
        """The last word on it."""
        self._open += change
        if not self._open:
            self.shared.facts.append(CallForgotten(self.root))

    def begin(self, now: float) -> None:
        """It has been taken."""
        self.attempted(+1)  # the request itself
        leg = self.leg
        owner: Lineage = self if leg is None else leg.call
        self.transfer = transfer = Transfer(owner, self.target, now)
        transfer.subscription = self.request.call_id
        trunk = "" if self.source is None else self.source.name
        transfer.begin("relay", trunk, None if leg is None else self.root, now)

    def stamp(self, out: Request, trunk: Trunk, contact: str, now: float) -> None:
        """Write the transfer into the REFER that goes out to a trunk."""
        transfer = self.transfer
        if transfer is None:
            return
        self.shared.pending.withdraw(transfer)  # of an earlier trunk's attempt
        forms = stamp_refer(transfer, self.target, trunk, contact, out, None)
        if self.leg is not None:
            out.headers.set("Target-Dialog", str(facing(self.leg)))
        sender = self.request.headers.first(FROM)
        referred_by = self.request.headers.first(REFERRED_BY)
        if referred_by is None and sender is not None:
            referred_by = f"<{sender.uri}>"
            if trunk.rules.lets_pass("referred-by"):
                out.headers.add("Referred-By", referred_by)
        expect(transfer, trunk.name, referred_by or "", forms, now)

    def concluded(self, response: Response | None, error: str, now: float) -> None:
        """The REFER has its answer, or will not get one."""
        transfer = self.transfer
        if transfer is not None:
            if response is not None and 200 <= response.status < 300:
                transfer.accepted(now)
            else:
                transfer.refused(0 if response is None else response.status, error, now)
                self.shared.pending.withdraw(transfer)
        self.attempted(-1)


def about_a_call(
    shared: Shared, tx: ServerTransaction, request: Request, source: Trunk | None, flow: Flow, now: float
) -> bool:
    """Whether a REFER is about one of our calls, and for us to do or to refuse: then it is done. Raises
    RemoteProtocolError.
    """
    leg = target_leg(shared, request, source)
    if leg is None or mode_of(leg, leg.peer) is Refer.RELAY:
        return False
    call = leg.call
    front = Leg(call, leg.role, Dialog.of_server(request, tx.local_tag), source, flow, call.trace)
    front.departed = True  # it carries nothing but this subscription
    if call.desk is None:
        call.desk = shared.refer_desk(call)
    try:
        call.desk.refer(leg, tx, request, now, front)
    except RemoteProtocolError:
        front.forget()
        raise
    return True


def target_leg(shared: Shared, request: Request, source: Trunk | None) -> Leg | None:
    """The leg whose dialog Target-Dialog names, as its peer knows it, where the request comes from its
    trunk.
    """
    value = request.headers.first(TARGET_DIALOG)
    if value is None:
        return None
    leg = shared.legs.get(f"{value.remote_tag} {value.local_tag}")
    if leg is None or leg.dialog.call_id != value.call_id or not leg.call.talking:
        return None
    # By name: a reload makes trunks anew. Strangers are all alike, and so nobody.
    same = source is not None and leg.trunk is not None and leg.trunk.name == source.name
    return leg if same else None


def errand_for(shared: Shared, request: Request, arrival: Arrival, origin: Origin, now: float) -> Errand:
    """Read such a REFER. Raises RemoteProtocolError where it has not one Refer-To."""
    errand = Errand(shared, origin.root, request, arrival, now)
    if arrival.source is not None and arrival.source.settings.refer is Refer.REJECT:
        errand.status = 603
    elif errand.hops <= 0:
        errand.status = 483
    leg = target_leg(shared, request, arrival.source)
    errand.leg = None if leg is None else leg.peer
    return errand


def noted(shared: Shared, request: Request, now: float) -> None:
    """A NOTIFY outside our dialogs: what it reports of a transfer, if it is about one."""
    transfer = shared.pending.by_subscription(request.call_id)
    if transfer is not None:
        status = reported_status(request.body)
        if status:
            transfer.reported(status, now)
