"""Stand-ins for what stands around one object of b2bua."""

from __future__ import annotations

from random import Random

from sipproxy.b2bua.routing import Router
from sipproxy.b2bua.settings import Timeouts
from sipproxy.b2bua.shared import Shared
from sipproxy.propagation.context import TraceContext
from sipproxy.propagation.settings import PropagationSettings
from sipproxy.sip.endpoint import Endpoint
from sipproxy.sip.flow import TCP, UDP, Flow, Listener
from sipproxy.sip.ids import Ids
from sipproxy.sip.message import Request
from sipproxy.sip.transaction import InviteServerTransaction, ServerTransaction

UDP4 = Listener(0, UDP, "192.0.2.100", 5060, "proxy.example:5060")
TCP4 = Listener(1, TCP, "192.0.2.100", 5060, "proxy.example:5060")
UDP6 = Listener(2, UDP, "2001:db8::100", 5060, "[2001:db8::100]:5060")
CONTEXT = TraceContext("4bf92f3577f34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1)


class Unused:
    """A user whom nothing reaches."""

    def requested(self, tx: ServerTransaction, request: Request, now: float) -> None:
        raise AssertionError

    def acknowledged(self, ack: Request, flow: Flow, now: float) -> None:
        raise AssertionError

    def cancelled(self, tx: InviteServerTransaction, cancel: Request, now: float) -> None:
        raise AssertionError

    def count(self, what: str, flow: Flow | None = None) -> None:
        raise AssertionError


def shared_with(*listeners: Listener, names: frozenset[str] = frozenset()) -> Shared:
    """What calls share, without any."""
    ids = Ids(Random(1).randbytes)
    return Shared(
        Endpoint(list(listeners), ids, Unused()),
        ids,
        Router.of({}, ()),
        sample=lambda _trace_id, _parent: True,
        timeouts=Timeouts(),
        propagation=PropagationSettings(),
        names=names,
    )
