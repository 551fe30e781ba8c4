"""Writing a transfer's context into a REFER: its headers, its Refer-To, and the table of what may come
back.
"""

from __future__ import annotations

from ..propagation.settings import Carrier
from ..propagation.writing import Row, write_sip
from ..sip.flow import Flow
from ..sip.message import Request
from ..sip.refer import MARKER, ReferTo, Replaces
from ..sip.values import NameAddr
from .naming import replied_to
from .pending import connection_key, referral_key, replaces_key
from .replacing import Dialogue, as_seen_by
from .routing import Trunk
from .transfer import Transfer

_LEAST_FIRST = ("x-tracestate", "tracestate", "previous-trace-id", "x-traceparent", "traceparent")
LONG_TRACESTATE = 128  # characters; a longer one is left out of Refer-To
# The names that can stand in a Refer-To: what a user agent makes header fields of.
_IN_REFER_TO = (Carrier.TRACEPARENT, Carrier.TRACESTATE, Carrier.X_TRACEPARENT)


def stamp_refer(
    transfer: Transfer,
    target: ReferTo,
    trunk: Trunk | None,
    contact: str,
    out: Request,
    replaced: Dialogue | None,
) -> tuple[Replaces, ...]:
    """Write Refer-To for `trunk`, with `contact` as the place that the new call comes back to. Gives the
    forms of Replaces that it may come with.
    """
    send = () if trunk is None else trunk.settings.trace.send
    names = tuple([carrier for carrier in send if carrier in _IN_REFER_TO])
    context = transfer.context
    if len(context.tracestate) > LONG_TRACESTATE:
        names = tuple([carrier for carrier in names if carrier is not Carrier.TRACESTATE])
    rows, _ = write_sip(context, names, previous=transfer.previous if names else "")
    uri = target.uri
    if trunk is None or trunk.settings.transfer_anchor:
        transfer.token = transfer.shared.ids.hex(32)
        user = target.parsed.user
        place = NameAddr.parse(contact).uri.partition(":")[2]
        uri = f"sip:{user + '@' if user else ''}{place};{MARKER}={transfer.token}"
    forms: tuple[Replaces, ...] = ()
    replaces = target.replaces
    if replaces is not None:
        forms = (replaces,)
        if replaced is not None:
            replaces = as_seen_by(replaced.target, replaces)
            forms = (forms[0], replaces)
    for at, (name, text) in enumerate(target.headers):
        if name.lower() == "in-reply-to":
            target.headers[at] = (name, replied_to(transfer.shared, text))
            break  # each costs a search
    value = target.written(uri, rows, replaces)
    most = transfer.shared.pending.settings.refer_to_octets or len(value)
    while len(value) > most and rows and transfer.token:
        rows = _without_least(rows)
        value = target.written(uri, rows, replaces)
    out.headers.set("Refer-To", value)
    return forms


def _without_least(rows: list[Row]) -> list[Row]:
    """What Refer-To can do without, since the marker is there: tracestate first, traceparent last."""
    for name in _LEAST_FIRST:
        kept = [row for row in rows if row[0] != name]
        if len(kept) < len(rows):
            return kept
    return []


def expect(
    transfer: Transfer,
    transferee: str,
    referred_by: str,
    forms: tuple[Replaces, ...],
    now: float,
    flow: Flow | None = None,
) -> None:
    """Wait for the new call: it comes from the trunk `transferee`, of a WebSocket client by `flow`."""
    transfer.transferee = transferee
    if flow is not None and flow.web:
        transfer.referral = connection_key(flow, transfer.user)
    else:
        transfer.referral = referral_key(referred_by, transfer.user, transferee)
    transfer.replaces_keys = tuple([replaces_key(form) for form in forms])
    transfer.shared.pending.add(transfer, now)
