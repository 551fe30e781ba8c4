"""How a phone behaves in a transfer: what real user agents do, one knob each."""

from __future__ import annotations

from dataclasses import dataclass

EVERYTHING = frozenset(("traceparent", "previous-trace-id", "marker", "replaces", "referred-by"))
# What of a REFER comes back in the INVITE that it causes, by carrier: each alone, all, and none.
CARRIERS = {
    "all": EVERYTHING,
    "traceparent": frozenset(("traceparent",)),
    "uri": frozenset(("uri",)),  # Refer-To's header part stays in the Request-URI and in To
    "marker": frozenset(("marker",)),
    "replaces": frozenset(("replaces",)),
    "referred-by": frozenset(("referred-by",)),
    "previous-trace-id": frozenset(("previous-trace-id",)),
    "none": frozenset[str](),
}
# The same, as real ones do it.
USER_AGENTS = {
    "pjsua": EVERYTHING,
    "linphonec": EVERYTHING,
    "baresip 4.9": frozenset(("replaces", "marker")),
    "baresip 1.0.0": frozenset(("uri", "marker")),
}


@dataclass(slots=True)
class Style:
    """As transferee, then as target. What it is as transferor is said with each REFER."""

    answer: int | None = 202  # what a REFER gets; None: nothing for now
    keeps: frozenset[str] = EVERYTHING
    early_notify: bool = False  # the first NOTIFY leaves before the 202
    lies: bool = False  # reports 200 before it dials
    ends: bool = True  # the subscription, with a final NOTIFY
    names_event: bool = True  # Event: refer;id=CSeq
    reason: str = "noresource"  # of a subscription that is over
    dials_after_s: float = 0.0
    leaves: bool = False  # ends the old call itself when the new one is up
    replaces: str = "answers"  # an INVITE with Replaces; or "rings" (baresip), or "ignores" them
    finds: bool = True  # a Replaces that matches nothing gets 481; or it rings (linphonec)
