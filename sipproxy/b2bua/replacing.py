"""Replaces: which of our dialogs it names, who may replace it, and how the target knows it (RFC 3891).

Between a transferor and a target we stand in the middle, so one conversation has two dialogs, and either may
be named: the transferor's with us, or the target's with us.

    named as                    facing leg          far leg
    the transferor knows it     the transferor's    the target's
    the target knows it         its peer            the target's

no such dialog                        481, or none of our business when a REFER vouches for it
finished                              603
early, and not begun by the target    481
confirmed, but `early-only`           486
asked for by a stranger to the call   403
"""

from __future__ import annotations

from ..errors import RemoteProtocolError
from ..sip.refer import Replaces
from .leg import Leg
from .routing import Trunk
from .shared import Shared


class Dialogue:
    """One conversation: `facing` is the leg that is to be replaced, `target` the other one, which stays."""

    __slots__ = ("facing", "target")

    def __init__(self, facing: Leg, target: Leg) -> None:
        self.facing = facing
        self.target = target


def named(shared: Shared, replaces: Replaces) -> Dialogue | None:
    """The conversation that a Replaces names, from either side; None: none of ours. Raises
    RemoteProtocolError with 603 for one that is over.
    """
    near_key = f"{replaces.to_tag} {replaces.from_tag}"
    far_key = f"{replaces.from_tag} {replaces.to_tag}"
    near, far = shared.legs.get(near_key), shared.legs.get(far_key)
    if near is None and far is None:
        over = near_key in shared.finished or far_key in shared.finished
    else:
        over = False
        for leg in (near, far):
            if leg is None or leg.dialog.call_id != replaces.call_id:
                continue
            if leg.peer is not None:
                return Dialogue(leg, leg.peer) if leg is near else Dialogue(leg.peer, leg)
            over = True
    if over:
        raise RemoteProtocolError("the dialog to replace is over", status=603)
    return None


def may_replace(dialogue: Dialogue, trunk: Trunk | None) -> bool:
    """Whether that trunk has a leg in the call."""
    return trunk is not None and trunk.name in (dialogue.facing.trunk_name, dialogue.target.trunk_name)


def check_replaceable(dialogue: Dialogue, replaces: Replaces) -> None:
    """Raise RemoteProtocolError where the target would have to refuse."""
    target = dialogue.target
    if target.departed or target.call.over:
        raise RemoteProtocolError("the dialog to replace is over", status=603)
    if target.confirmed and replaces.early_only:
        raise RemoteProtocolError("the dialog to replace is confirmed", status=486)
    if not target.confirmed and target.dialled:
        raise RemoteProtocolError("an early dialog that the target did not begin", status=481)


def as_seen_by(target: Leg, replaces: Replaces) -> Replaces:
    """The same conversation as the target's user agent knows it."""
    dialog = target.dialog
    return Replaces(dialog.call_id, dialog.remote_tag, dialog.local_tag, early_only=replaces.early_only)
