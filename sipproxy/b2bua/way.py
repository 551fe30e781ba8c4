"""The way to the next hop of a dialog: looked up once and kept; what is sent meanwhile waits its turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..sip.flow import TLS, Flow
from ..sip.uri import Uri, parse_uri
from ..sip.values import NameAddr
from .routing import TRANSPORTS, is_ip
from .shared import Located

if TYPE_CHECKING:
    from .leg import Leg


class Way:
    """Of one leg. Where its peer came by a stream and no route says otherwise, that stream comes first."""

    __slots__ = ("_flow", "_held", "_hop")

    def __init__(self) -> None:
        self._hop = ""
        self._flow: Flow | None = None
        self._held: list[tuple[str, Located]] | None = None  # what waits while a name is looked up

    def known(self, leg: Leg, hop: str) -> Flow | None:
        """The flow to a next hop that was reached before, where nothing waits and no stream comes first."""
        if hop != self._hop or self._held is not None or _stream(leg) is not None:
            return None
        return self._flow

    def reach(self, leg: Leg, hop: str, then: Located, now: float) -> None:
        """Call `then` with the flows to a next hop: the peer's own connection first, where it has one."""
        stream = _stream(leg)
        if hop == self._hop and self._flow is not None and self._held is None:
            then([self._flow] if stream is None else [stream, self._flow], now)
            return
        uri = parse_uri(hop)
        if stream is not None and (stream.web or not is_ip(uri.host)):
            then([stream], now)
            return

        if self._held is not None:
            self._held.append((hop, then))  # behind what waits already: CSeq order is the order on the wire
            return

        def found(flows: list[Flow], at: float) -> None:
            if flows:
                self._hop, self._flow = hop, flows[0]
            held, self._held = self._held, None
            then(flows if stream is None else [stream, *flows], at)
            for other_hop, other in held or ():
                self.reach(leg, other_hop, other, at)

        if not is_ip(uri.host):
            self._held = []
        domain = ""
        if is_ip(uri.host):  # no name to check: it must be the one whom we know there
            domain = leg.flow.domain or ("" if leg.trunk is None else leg.trunk.domain)
        default = leg.flow.transport
        leg.shared.locate(uri.host, uri.port, _transport(uri), default, found, now, domain=domain)


def is_from(leg: Leg, flow: Flow) -> bool:
    """Whether a request in the leg's dialog comes from its peer. The dialog's ids alone do not say so: who
    was sent a REFER with Replaces knows those of somebody else's (RFC 3891 section 9).
    """
    here = leg.flow
    if flow.connection and flow.connection == here.connection:
        return True
    if flow.web != here.web:
        return False
    trunk = leg.shared.router.trunk_of(flow)
    same_trunk = leg.trunk is not None and trunk is not None and trunk.name == leg.trunk.name
    if flow.web:  # a page that has come back; while its old connection stands, from the same address alone
        return (same_trunk or leg.trunk is trunk) and (leg.deserted or flow.host == here.host)
    if same_trunk or flow.host == here.host:
        return True
    dialog = leg.dialog
    hops = [dialog.remote_target, *[NameAddr.parse(route).uri for route in dialog.route_set[:1]]]
    return any(parse_uri(hop).host == flow.host for hop in hops)  # it is where its Contact says


def _stream(leg: Leg) -> Flow | None:
    flow = leg.flow
    if flow.web:
        return flow  # RFC 7118 section 5: there is no other way
    return flow if flow.connection and not leg.dialog.route_set else None


def _transport(uri: Uri) -> str | None:
    if uri.scheme == "sips":
        return TLS
    value = uri.parameter("transport")
    return None if not value else TRANSPORTS.get(value.lower())
