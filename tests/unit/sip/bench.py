"""An endpoint with a user that writes down what it hears."""

from __future__ import annotations

from collections.abc import Callable

from sipproxy.sip.build import respond_to
from sipproxy.sip.endpoint import Endpoint, Transmit
from sipproxy.sip.flow import TCP, UDP, Flow, Listener
from sipproxy.sip.message import Request, Response, parse
from sipproxy.sip.transaction import (
    ClientTransaction,
    InviteServerTransaction,
    ServerTransaction,
)
from tests.unit.sip.support import ids, request

PEER = Flow(UDP, "192.0.2.9", 5060, 0, 0)
STREAM = Flow(TCP, "192.0.2.9", 40000, 7, 1)
TO_TAG = "<sip:bob@example.com>;tag=b"


class User:
    """Writes down what it hears; answers when told how."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.open: list[ServerTransaction] = []
        self.counts: list[str] = []
        self.on_request: Callable[[ServerTransaction], None] = self.open.append

    def requested(self, tx: ServerTransaction, request: Request, now: float) -> None:
        self.heard.append(request.method)
        self.on_request(tx)

    def acknowledged(self, ack: Request, flow: Flow, now: float) -> None:
        self.heard.append("ACK")

    def cancelled(self, tx: InviteServerTransaction, cancel: Request, now: float) -> None:
        self.heard.append("CANCEL")

    def count(self, what: str, flow: Flow | None = None) -> None:
        self.counts.append(what)

    def responded(self, tx: ClientTransaction, response: Response, now: float) -> None:
        self.heard.append(str(response.status))

    def timed_out(self, tx: ClientTransaction, now: float) -> None:
        self.heard.append("timed out")

    def unsent(self, tx: ClientTransaction, reason: str, now: float) -> None:
        self.heard.append(f"unsent: {reason}")


class Bench:
    """An endpoint with a UDP and a TCP socket, and its user."""

    def __init__(self, *transports: str) -> None:
        self.user = User()
        listeners = [
            Listener(index, transport, "192.0.2.1", 5060, "192.0.2.1:5060")
            for index, transport in enumerate(transports or (UDP, TCP))
        ]
        self.endpoint = Endpoint(listeners, ids(), self.user, max_headers=32)

    def arrives(self, data: bytes, flow: Flow = PEER, now: float = 0.0) -> list[Request | Response]:
        """What goes out because of these bytes."""
        self.endpoint.receive(data, flow, now)
        return self.left()

    def left(self) -> list[Request | Response]:
        return [parse(sent.data) for sent in self.sent()]

    def sent(self) -> list[Transmit]:
        taken, self.endpoint.outbox = self.endpoint.outbox, []
        return taken

    def answer(self, status: int, now: float = 0.0) -> list[Request | Response]:
        tx = self.user.open[-1]
        self.endpoint.respond(tx, respond_to(tx.request, status, to_tag="b"), now)
        return self.left()

    def asks(
        self, sent: Request, flow: Flow = PEER, *, pinned: bool = False
    ) -> tuple[ClientTransaction, Request]:
        tx = self.endpoint.send(sent, flow, self.user, 0.0, pinned=pinned)
        (message,) = self.left()
        assert isinstance(message, Request)
        return tx, message

    def is_over(self) -> bool:
        """Whether nothing is left once all timers have fired."""
        while (at := self.endpoint.timers.next_at) is not None:
            self.endpoint.expire(at)
        return self.endpoint.transactions == 0


def bare(method: str = "INVITE", call_id: str = "c@example.com") -> Request:
    """A request of ours before the endpoint puts its Via on top."""
    message = request(method, call_id=call_id)
    message.headers.remove("via")
    return message


def statuses(messages: list[Request | Response]) -> list[int]:
    return [message.status for message in messages if isinstance(message, Response)]
