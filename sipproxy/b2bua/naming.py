"""Headers that name a dialog or a call by its Call-ID: the other side knows it by another one.

Target-Dialog   the dialog that authorises a request (RFC 4538)
In-Reply-To     the call that a call returns (RFC 3261 section 20.21); the first one named, since each costs
a search
"""

from __future__ import annotations

from ..sip.message import Headers
from ..sip.refer import TARGET_DIALOG, TargetDialog
from .leg import Leg
from .shared import Shared

_IN_REPLY_TO = "in-reply-to"


def rename_dialogs(shared: Shared, came: Headers, out: Headers) -> None:
    """Write the names that the far side knows into what leaves; names that are not ours stay."""
    if "target-dialog" in came.keys:
        value = came.first(TARGET_DIALOG)
        if value is not None:
            out.set("Target-Dialog", str(_as_known_there(shared, value)))
    if _IN_REPLY_TO in came.keys and _IN_REPLY_TO in out.keys:
        out.set("In-Reply-To", replied_to(shared, came.text(_IN_REPLY_TO) or ""))


def _as_known_there(shared: Shared, value: TargetDialog) -> TargetDialog:
    leg = shared.legs.get(f"{value.remote_tag} {value.local_tag}")
    if leg is None or leg.dialog.call_id != value.call_id or leg.peer is None:
        return value
    return facing(leg.peer)


def facing(leg: Leg) -> TargetDialog:
    """A leg's dialog in a request of ours to its peer."""
    dialog = leg.dialog
    return TargetDialog(dialog.call_id, dialog.local_tag, dialog.remote_tag)


def replied_to(shared: Shared, text: str) -> str:
    """In-Reply-To for the far side."""
    first, comma, others = text.partition(",")
    wanted = first.strip()
    for leg in shared.legs.values():
        if leg.dialog.call_id == wanted and leg.peer is not None:
            return f"{leg.peer.dialog.call_id}{comma}{others}"
    return text
