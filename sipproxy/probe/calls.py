"""What both ends saw of one call of the probe: written by the agent, read by the verdict."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from ..errors import RemoteProtocolError
from ..sip.dialog import Dialog
from ..sip.flow import Flow
from ..sip.headers import MAX_FORWARDS
from ..sip.message import Message, Request, unfold
from .fates import Row
from .messages import Plant, Secrets


@dataclass(slots=True)
class Heard:
    """A message as it came, kept: the SIP core lets go of what it no longer needs."""

    rows: list[Row]
    body: bytes
    size: int
    transport: str
    uri: str = ""
    call_id: str = ""
    hops_left: int | None = None
    vias: int = 0

    @classmethod
    def of(cls, message: Message, size: int, flow: Flow) -> Heard:
        """Of a message that has just come; what cannot be read of it is left out."""
        rows = [
            Row(name.rstrip(), unfold(value))
            for name, _, value in (line.partition(":") for line in message.headers.lines)
        ]
        heard = cls(rows, message.body, size, flow.transport)
        heard.vias = sum(len(value.split(",")) for value in heard.values("via"))
        if isinstance(message, Request):
            heard.uri = message.uri
        with suppress(RemoteProtocolError):
            heard.call_id = message.call_id
            heard.hops_left = message.headers.first(MAX_FORWARDS)
        return heard

    def values(self, name: str) -> list[str]:
        """Of the headers of that name."""
        return [row.value for row in self.rows if row.key == name.lower()]

    def holds(self, secret: str) -> bool:
        """Whether it stands anywhere in the message."""
        return (
            secret in self.uri.lower()
            or any(secret in row.value.lower() for row in self.rows)
            or secret.encode() in self.body.lower()
        )


@dataclass(slots=True)
class Referral:
    """A REFER that the caller sent in a call, and what came of it."""

    secrets: Secrets  # of the call that it asks for
    header: Plant  # on the REFER itself
    inside: Plant  # in the header part of Refer-To
    marker: Plant  # among the parameters of Refer-To
    status: int | None = None  # the final answer to it
    failed: str = ""
    arrived: Heard | None = None  # at the callee
    past: bool = False  # it came from us straight to us: the path does not stay in its calls
    notified: list[int] = field(default_factory=list)  # what the caller was told
    called: Call | None = None  # by us, as the one who is transferred
    new: list[Heard] = field(default_factory=list)  # INVITEs that arrived of it
    strangers: int = 0  # INVITEs that came meanwhile and bear none of our signs

    @property
    def settled(self) -> bool:
        """Whether it is clear who deals with it."""
        refused = self.status is not None and self.status >= 300
        return bool(self.failed or refused or self.arrived or self.new or self.strangers)


@dataclass(slots=True, eq=False)
class Call:
    """One call, from one end to the other."""

    name: str
    secrets: Secrets
    plants: list[Plant]
    uri: str = ""  # another Request-URI than the target
    sent: Heard | None = None
    moved: bool = False  # its way was closed, and it took the second one
    statuses: list[int] = field(default_factory=list)
    answered: Heard | None = None  # the 2xx, at the caller
    failed: str = ""  # why no answer can come any more
    garbled: bool = False  # its 2xx cannot be used
    dialogs: list[Dialog] = field(default_factory=list)  # the caller's, one for each 2xx
    arrivals: list[Heard] = field(default_factory=list)
    branches: set[str] = field(default_factory=set)  # of INVITEs that arrived: repeats have the same
    at_callee: Dialog | None = None
    response: Plant | None = None  # in the callee's 200
    goodbye: Plant | None = None  # in the caller's BYE
    bye: Heard | None = None  # at the callee
    callee_told: bool = False  # the ACK is here
    caller_over: bool = False  # its BYE was answered, or the callee's came
    callee_over: bool = False
    cancelled: bool = False
    referral: Referral | None = None

    @property
    def final(self) -> int | None:
        """The last word on the INVITE."""
        return next((status for status in self.statuses if status >= 200), None)

    @property
    def decided(self) -> bool:
        """Whether nothing more will come for the INVITE."""
        return bool(self.failed) or self.garbled or self.final is not None

    @property
    def complete(self) -> bool:
        """Whether it went all the way, and its answer back."""
        return self.answered is not None and bool(self.arrivals)

    @property
    def times(self) -> int:
        """How often the INVITE came, repeats of the transport left out."""
        return max(len(self.branches), len(self.arrivals))


def call_of(calls: list[Call], heard: Heard) -> Call | None:
    """The one whose sign it bears, the newest first."""
    for call in reversed(calls):
        signs = [call.secrets.token, call.secrets.trace_id]
        signs += [plant.value for plant in call.plants]
        if call.referral is not None:
            signs += [call.referral.secrets.token, call.referral.marker.value]
        if any(heard.holds(sign.lower()) for sign in signs):
            return call
    return None


def call_inside(calls: list[Call], request: Request) -> tuple[Call | None, bool]:
    """The call that it is inside, and whether it is for the callee's end."""
    to_tag, from_tag = request.to_tag, request.from_tag
    for call in calls:
        dialog = call.at_callee
        if dialog is not None and (dialog.local_tag, dialog.remote_tag) == (to_tag, from_tag):
            return call, True
        if any((each.local_tag, each.remote_tag) == (to_tag, from_tag) for each in call.dialogs):
            return call, False
    return None, False


def is_new(heard: Heard, referral: Referral, call: Call) -> bool:
    """Whether an INVITE is what a REFER asked for, and not the first call once more."""
    signs = (referral.secrets.token, referral.inside.value, referral.marker.value)
    if any(heard.holds(sign) for sign in signs):
        return True
    return bool(call.arrivals) and heard.call_id not in {arrival.call_id for arrival in call.arrivals}
