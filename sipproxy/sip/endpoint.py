"""The transaction layer of one process (RFC 3261 sections 17 and 18): bytes in, users called, bytes out.

receive    bytes      -> transaction, or a new one -> its user
send       request    -> client transaction        -> outbox
respond    response   -> server transaction        -> outbox
expire     due timers -> transactions and other owners
"""

from __future__ import annotations

from typing import Protocol

from ..errors import LocalProtocolError, RemoteProtocolError
from .build import mended, respond_to
from .by_websocket import ByWebSocket
from .checking import check_request, check_response, faults_of
from .flow import TCP, UDP, Flow, Listener
from .headers import CSEQ, VIA
from .ids import Ids
from .matching import client_key, reply_flow, server_key, stamp_via, stateless_tag, via_line
from .message import BadMessage, Request, Response, parse
from .refusal import stateless_refusal
from .timers import TimerQueue
from .transaction import (
    ClientTransaction,
    Deliver,
    Effect,
    InviteClientTransaction,
    InviteServerTransaction,
    OtherClientTransaction,
    OtherServerTransaction,
    Send,
    ServerTransaction,
    StartTimer,
    State,
    Transaction,
)

MAGIC_COOKIE = "z9hG4bK"  # begins a branch that is unique (RFC 3261 section 8.1.1.7)
MOST_AT_ONCE = 500  # timers: some milliseconds
UDP_LIMIT = 1300  # bytes; a larger request leaves over TCP (RFC 3261 section 18.1.1)


class ClientUser(Protocol):
    """Who sent a request."""

    def responded(self, tx: ClientTransaction, response: Response, now: float) -> None: ...

    def timed_out(self, tx: ClientTransaction, now: float) -> None: ...

    def unsent(self, tx: ClientTransaction, reason: str, now: float) -> None: ...


class ServerUser(Protocol):
    """Who takes what arrives."""

    def requested(self, tx: ServerTransaction, request: Request, now: float) -> None: ...

    def acknowledged(self, ack: Request, flow: Flow, now: float) -> None: ...

    def cancelled(self, tx: InviteServerTransaction, cancel: Request, now: float) -> None: ...

    def count(self, what: str, flow: Flow | None = None) -> None: ...


class Transmit:
    """Effect: these bytes leave by that flow."""

    __slots__ = ("data", "flow")

    def __init__(self, data: bytes, flow: Flow) -> None:
        self.data = data
        self.flow = flow


class Endpoint:
    """All transactions and all timers. Effects gather in `outbox`; the driver empties it."""

    def __init__(
        self, listeners: list[Listener], ids: Ids, user: ServerUser, *, max_headers: int = 256
    ) -> None:
        self.listeners = listeners
        self.outbox: list[Transmit] = []
        self.timers = TimerQueue()
        self._ids = ids
        self._user = user
        self._max_headers = max_headers
        self._clients: dict[str, ClientTransaction] = {}
        self._by_web = ByWebSocket()
        self._users: dict[ClientTransaction, ClientUser] = {}
        self._servers: dict[str, ServerTransaction] = {}
        self._merged: dict[str, str] = {}

    @property
    def transactions(self) -> int:
        """How many there are now."""
        return len(self._clients) + len(self._servers)

    def listener_for(self, transport: str, host: str) -> Listener | None:
        """The socket that can reach that address."""
        ipv6 = ":" in host
        for listener in self.listeners:
            if listener.transport == transport and listener.ipv6 == ipv6:
                return listener
        return None

    # What comes in

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """Take one datagram, or one message cut from a stream."""
        if len(data) < 12 and not data.strip(b"\r\n\0 "):
            return  # a keep-alive
        try:
            message = parse(data, max_headers=self._max_headers)
        except BadMessage as error:
            self._user.count("malformed", flow)
            if error.request is not None:
                self._refuse(error.request, error, flow)
            return
        try:
            if isinstance(message, Request):
                self._receive_request(message, flow, now)
            else:
                self._receive_response(message, flow, now)
        except RemoteProtocolError as fault:
            self._user.count("malformed", flow)
            if isinstance(message, Request):
                self._refuse(message, fault, flow)

    def _receive_response(self, response: Response, flow: Flow, now: float) -> None:
        check_response(response)
        top = response.headers.text("via") or ""
        if response.headers.keys.count("via") > 1 or "," in top:  # misrouted (RFC 3261 section 8.1.3.3)
            self._user.count("stray_response", flow)
            return
        via, cseq = response.headers.first(VIA), response.headers.first(CSEQ)
        assert via is not None and cseq is not None
        tx = self._clients.get(f"{via.branch} {cseq.method}")
        if tx is None:
            self._user.count("stray_response", flow)
            return
        faults = faults_of(response)
        if faults:
            self._user.count("malformed", flow)
            usable = mended(tx.request, response, faults)
            if usable is None:
                return
            response = usable
        self._run(tx, tx.receive(response, now), now)

    def _receive_request(self, request: Request, flow: Flow, now: float) -> None:
        via = request.headers.first(VIA)
        if via is None:
            raise RemoteProtocolError("no via")
        method = request.method
        key = server_key(via, request, "INVITE" if method == "ACK" else method)
        tx = self._servers.get(key)
        if tx is not None:
            self._run(tx, tx.receive(request, now), now)
            return
        check_request(request)
        if method == "ACK":
            self._user.acknowledged(request, flow, now)
            return
        stamp_via(request, via, flow)
        merge_key = ""
        if not request.to_tag:
            cseq = request.headers.first(CSEQ)
            merge_key = f"{request.call_id} {request.from_tag} {cseq.number if cseq else 0} {method}"
            if method != "INVITE":
                merge_key += (
                    f" {request.uri}"  # what is relayed as it is may come by again, for somebody else
                )
            if method != "CANCEL" and merge_key in self._merged:
                raise RemoteProtocolError("merged request", status=482)
        reliable = flow.transport != UDP
        if method == "INVITE":
            tx = InviteServerTransaction(request, reliable=reliable)
        else:
            tx = OtherServerTransaction(request, reliable=reliable)
        tx.key = key
        tx.local_tag = self._ids.hex(16)
        tx.source = flow
        tx.flow = reply_flow(via, flow)
        self._servers[key] = tx
        if merge_key and method != "CANCEL":
            tx.merge_key = merge_key
            self._merged[merge_key] = key
        self._run(tx, tx.start(now), now)
        if method == "CANCEL":
            self._cancel(tx, server_key(via, request, "INVITE"), request, now)
        else:
            try:
                self._user.requested(tx, request, now)
            except RemoteProtocolError as error:
                if tx.answered:
                    raise LocalProtocolError(f"{error.reason} after the answer") from error
                self._user.count("malformed", tx.source)
                self.respond(tx, respond_to(request, error.status, error.reason, to_tag=tx.local_tag), now)

    def _cancel(self, tx: ServerTransaction, invite_key: str, cancel: Request, now: float) -> None:
        invite = self._servers.get(invite_key)
        if not isinstance(invite, InviteServerTransaction):
            self.respond(tx, respond_to(cancel, 481, to_tag=tx.local_tag), now)
            return
        self.respond(tx, respond_to(cancel, 200, to_tag=invite.local_tag), now)
        if not invite.answered:
            self._user.cancelled(invite, cancel, now)

    def _refuse(self, request: Request, error: RemoteProtocolError, flow: Flow) -> None:
        refusal = stateless_refusal(request, error, flow)
        if refusal is not None:
            self.outbox.append(Transmit(*refusal))

    # What goes out

    def send(
        self,
        request: Request,
        flow: Flow,
        user: ClientUser,
        now: float,
        *,
        mark: str = "",
        pinned: bool = False,
        otherwise: Flow | None = None,
    ) -> ClientTransaction:
        """Send a request in a transaction of its own; Via is put on top here.

        `mark` ends the branch and is what loop detection reads; `pinned` forbids the change from UDP to TCP
        for size (RFC 3261 section 18.1.1); `otherwise` is the way to try when the flow's connection is gone.
        Raises LocalProtocolError where no listener can reach the flow.
        """
        branch = f"{MAGIC_COOKIE}{self._ids.hex(16)}{mark}"
        wire, used = self._encode(request, flow, branch, pinned=pinned)
        make = InviteClientTransaction if request.method == "INVITE" else OtherClientTransaction
        tx = make(request, wire, reliable=used.transport != UDP)
        tx.flow = used
        tx.otherwise = flow if used.transport != flow.transport else otherwise
        tx.key = f"{branch} {request.method}"
        self._clients[tx.key] = tx
        self._users[tx] = user
        if used.web:
            self._by_web.add(tx, used)
        self._run(tx, tx.start(now), now)
        return tx

    def send_once(self, request: Request, flow: Flow, *, pinned: bool = False) -> Transmit:
        """Send a request that has no transaction: an ACK for a 2xx. What is returned can be sent again."""
        wire, used = self._encode(request, flow, f"{MAGIC_COOKIE}{self._ids.hex(16)}", pinned=pinned)
        sent = Transmit(wire, used)
        self.outbox.append(sent)
        return sent

    def send_cancel(
        self, cancel: Request, invite: InviteClientTransaction, user: ClientUser, now: float
    ) -> None:
        """Send the CANCEL of an INVITE, by the INVITE's way and with its branch."""
        assert invite.flow is not None
        tx = OtherClientTransaction(cancel, cancel.encode(), reliable=invite.flow.transport != UDP)
        tx.flow = invite.flow
        tx.key = f"{invite.key.partition(' ')[0]} CANCEL"
        self._clients[tx.key] = tx
        self._users[tx] = user
        self._run(tx, tx.start(now), now)
        self._run(invite, invite.cancelled(now), now)

    def respond(self, tx: ServerTransaction, response: Response, now: float) -> None:
        """Answer a request; one whose client has given up meanwhile needs no answer any more."""
        if tx.state is State.TERMINATED:
            return
        self._run(tx, tx.respond(response, now), now)

    def refuse_once(self, tx: ServerTransaction, status: int, now: float) -> None:
        """Answer and forget (RFC 3261 section 8.2.7): for strangers, who must not cost memory or repeats."""
        via = tx.request.headers.first(VIA)
        response = respond_to(tx.request, status, to_tag=stateless_tag(via.branch if via else ""))
        if tx.flow is not None:
            self.outbox.append(Transmit(response.encode(), tx.flow))
        tx.request.slim()
        tx.state = State.TERMINATED
        self._forget(tx, timed_out=False, now=now)

    def _encode(
        self, request: Request, flow: Flow, branch: str, *, pinned: bool = False
    ) -> tuple[bytes, Flow]:
        headers = request.headers
        listener = self._listener(flow)
        headers.keys.insert(0, "via")
        headers.lines.insert(0, via_line(listener, branch))
        wire = request.encode()
        if len(wire) > UDP_LIMIT and flow.transport == UDP and not pinned:
            streams = self.listener_for(TCP, flow.host)
            if streams is not None:
                headers.lines[0] = via_line(streams, branch)
                return request.encode(), flow.over(TCP, streams.index)
        return wire, Flow(
            flow.transport, flow.host, flow.port, flow.connection, listener.index, flow.domain, flow.names
        )

    def _listener(self, flow: Flow) -> Listener:
        if flow.listener < len(self.listeners):
            listener = self.listeners[flow.listener]
            if listener.transport == flow.transport and listener.ipv6 == (":" in flow.host):
                return listener
        found = self.listener_for(flow.transport, flow.host)
        if found is None:
            raise LocalProtocolError(f"no listener for {flow.transport}")
        return found

    def unsent(self, data: bytes, flow: Flow, reason: str, now: float) -> None:
        """The transport could not deliver bytes of ours. A request may have a second way."""
        tx = self._clients.get(client_key(data))
        if tx is None or tx.state > State.TRYING:
            self._user.count("unsent", flow)
            return
        if tx.otherwise is not None and self._send_otherwise(tx, tx.otherwise, now):
            return
        user = self._users.get(tx)
        self._run(tx, tx.fail(), now)
        if user is not None:
            user.unsent(tx, reason, now)

    def _send_otherwise(self, tx: ClientTransaction, flow: Flow, now: float) -> bool:
        tx.otherwise = None
        listener = self.listener_for(flow.transport, flow.host)
        if listener is None:
            return False
        tx.request.headers.lines[0] = via_line(listener, tx.key.partition(" ")[0])
        tx.flow = flow.over(flow.transport, listener.index)
        self._run(tx, tx.restart(tx.request.encode(), reliable=tx.flow.reliable, now=now), now)
        return True

    def closed(self, flow: Flow, now: float) -> None:
        """A WebSocket client is gone (RFC 7118): what it has not answered it never will."""
        for tx in self._by_web.taken(flow):
            user = self._users.get(tx)
            if user is not None and tx.state <= State.PROCEEDING:
                self._run(tx, tx.deserted(), now)
                user.unsent(tx, "the connection is gone", now)

    # Time

    def expire(self, now: float) -> None:
        """Fire timers that are due: so many at one go, since messages wait meanwhile. The rest is due at
        once.
        """
        for _ in range(MOST_AT_ONCE):
            due = self.timers.pop(now)
            if due is None:
                return
            owner, timer = due
            if isinstance(owner, Transaction):
                self._run(owner, owner.expire(timer, now), now)
            else:
                owner.expire(timer, now)

    def _run(self, tx: Transaction, effects: list[Effect], now: float) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                if tx.flow is not None:
                    self.outbox.append(Transmit(effect.wire, tx.flow))
            elif isinstance(effect, StartTimer):
                self.timers.start(effect.timer, effect.at, tx)
            elif isinstance(effect, Deliver):
                self._deliver(tx, effect.message, now)
            else:
                self._forget(tx, timed_out=effect.timed_out, now=now)

    def _deliver(self, tx: Transaction, message: Request | Response, now: float) -> None:
        if isinstance(message, Response):
            if isinstance(tx, ClientTransaction):
                user = self._users.get(tx)
                if user is not None:
                    user.responded(tx, message, now)
        elif tx.flow is not None:
            self._user.acknowledged(message, tx.flow, now)

    def _forget(self, tx: Transaction, *, timed_out: bool, now: float) -> None:
        if isinstance(tx, ClientTransaction):
            self._clients.pop(tx.key, None)
            user = self._users.pop(tx, None)
            if tx.flow is not None and tx.flow.web:
                self._by_web.remove(tx, tx.flow)
            if timed_out and user is not None:
                user.timed_out(tx, now)
        elif isinstance(tx, ServerTransaction):
            self._servers.pop(tx.key, None)
            if tx.merge_key:
                self._merged.pop(tx.merge_key, None)
