"""Two legs that talk, for tests of what becomes of them: built by hand, in an engine's shared room."""

from __future__ import annotations

from sipproxy.b2bua.call import Call
from sipproxy.b2bua.leg import Leg
from sipproxy.b2bua.pending import PendingTransfers
from sipproxy.b2bua.referring import Referring
from sipproxy.b2bua.routing import Trunk
from sipproxy.b2bua.settings import TransferSettings, TrunkSettings
from sipproxy.b2bua.shared import Shared
from sipproxy.sip.dialog import Dialog
from sipproxy.sip.flow import UDP, Flow
from sipproxy.sip.refer import Replaces
from tests.unit.b2bua.messages import response
from tests.unit.b2bua.support import CONTEXT, UDP4, shared_with

HOSTS = {"alice": "192.0.2.1", "bob": "192.0.2.2", "carol": "192.0.2.3", "dave": "192.0.2.4"}


def engine_room(settings: TransferSettings | None = None) -> Shared:
    """What calls share in an engine that does transfers."""
    shared = shared_with(UDP4, names=frozenset(("proxy.example:5060",)))
    shared.pending = PendingTransfers(shared.endpoint, settings or TransferSettings())
    shared.refer_desk = Referring
    return shared


def call_in(shared: Shared) -> Call:
    return Call(shared, CONTEXT, session_id="", interaction="", baggage="", hops=70, now=0.0)


def leg_of(call: Call, name: str, *, dialled: bool = False, number: int = 1) -> Leg:
    """A leg to somebody; `number` tells the dialogs of one phone apart."""
    host = HOSTS[name]
    us = "<sip:us@proxy.example>"
    dialog = Dialog(
        f"call-{name}{number}", us, f"us-{name}{number}", f"<sip:{name}@{host}>", f"{name}{number}"
    )
    dialog.remote_target = f"sip:{name}@{host}:5060"
    trunk = Trunk(name, TrunkSettings(host))
    leg = Leg(call, "callee" if dialled else "caller", dialog, trunk, Flow(UDP, host, 5060, 0, 0), CONTEXT)
    leg.dialled = dialled
    return leg


def couple(shared: Shared, caller: str, callee: str, *, number: int = 1) -> tuple[Leg, Leg]:
    """Two who do not talk yet: the callee rings."""
    call = call_in(shared)
    one = leg_of(call, caller, number=number)
    other = leg_of(call, callee, dialled=True, number=number)
    one.peer, other.peer = other, one
    return one, other


def talking(
    shared: Shared, caller: str = "alice", callee: str = "bob", *, number: int = 1
) -> tuple[Leg, Leg]:
    """Two who talk."""
    one, other = couple(shared, caller, callee, number=number)
    one.call.answered(one, other, response(), 0.0)
    return one, other


def as_known_by(leg: Leg, *, early_only: bool = False) -> Replaces:
    """The leg's conversation as its user agent writes it for somebody else: its own tag is the from-tag of
    whoever takes its place.
    """
    dialog = leg.dialog
    return Replaces(dialog.call_id, dialog.local_tag, dialog.remote_tag, early_only=early_only)


def as_heard_by(leg: Leg) -> Replaces:
    """The same from the other end: what the leg's user agent would find as its own dialog."""
    dialog = leg.dialog
    return Replaces(dialog.call_id, dialog.remote_tag, dialog.local_tag)
