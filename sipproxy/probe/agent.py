"""The caller of the probe's calls, on the proxy's own SIP core; callee.py is at the same endpoint.

INVITE ... 2xx: ACK ─ [REFER] ─ BYE            nothing within the time: CANCEL

Like the core it has no sockets and no clock.
"""

from __future__ import annotations

from collections import Counter

from ..b2bua.routing import is_ip
from ..errors import LocalProtocolError, RemoteProtocolError
from ..sip.build import cancel_for
from ..sip.dialog import Dialog
from ..sip.endpoint import Endpoint, Transmit
from ..sip.flow import DEFAULT_PORT, Flow, Listener
from ..sip.ids import Ids
from ..sip.message import Request, Response
from ..sip.transaction import ClientTransaction, InviteClientTransaction
from ..sip.uri import parse_uri
from .callee import Callee
from .calls import Call, Heard, Referral
from .fates import Row
from .messages import SIGN, Ourselves, Plant, Secrets, Wanted, in_dialog, invite, notify, refer_rows


class Agent:
    """`we` says who we are. Everything that is heard is noted in `calls`."""

    def __init__(self, we: Ourselves, listeners: list[Listener], ids: Ids) -> None:
        self.we = we
        self.ids = ids
        self.calls: list[Call] = []
        self.counts: Counter[str] = Counter()
        self.came: dict[Call, Flow] = {}  # by which the INVITE came
        self.size = 0  # of the message that is being taken
        self._callee = Callee(self)
        self.endpoint = Endpoint(listeners, ids, self._callee)
        self._invites: dict[ClientTransaction, Call] = {}
        self._cancels: dict[Call, InviteClientTransaction] = {}
        self._ways: dict[Call, Flow] = {}  # by which the INVITE went
        self._acks: dict[str, Transmit] = {}

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """Take one datagram, or one message cut from a stream."""
        self.size = len(data)
        if data.lstrip(b"\r\n").startswith(b"INVITE "):
            self._callee.note_branch(data, flow)
        self.endpoint.receive(data, flow, now)

    # What the caller does

    def place(self, call: Call, flow: Flow, now: float, *, size: int = 0) -> None:
        """Send the INVITE."""
        self.calls.append(call)
        request = invite(Wanted(call.secrets, call.plants, call.uri, size), self.we)
        tx = self.endpoint.send(request, flow, self, now)
        assert isinstance(tx, InviteClientTransaction) and tx.flow is not None
        call.sent = Heard.of(request, len(request.encode()), tx.flow)
        self._invites[tx] = call
        self._cancels[call] = tx
        self._ways[call] = flow

    def give_up(self, call: Call, now: float) -> None:
        """Nobody answered in time: CANCEL, where somebody is at work on it (RFC 3261 section 9.1)."""
        if call.statuses and not call.decided and not call.cancelled:
            call.cancelled = True
            invite_tx = self._cancels[call]
            self.endpoint.send_cancel(cancel_for(invite_tx.request), invite_tx, self, now)

    def refer(self, call: Call, now: float) -> Referral:
        """Ask the callee to call where we call."""
        secrets = Secrets(self.ids.hex(32), call.secrets.trace_id, self.ids)
        header = Plant("refer", "traceparent", call.secrets.traceparent())
        inside = Plant("refer-to", "traceparent", call.secrets.traceparent())
        marker = Plant("refer-to-marker", "", self.ids.hex(32))
        referral = call.referral = Referral(secrets, header, inside, marker)
        rows = (
            *refer_rows(call.secrets, secrets, self.we, [inside, marker]),
            Row(header.name, header.value),
        )
        self._send(in_dialog("REFER", call.dialogs[0], self.we, rows), call, now)
        return referral

    def hang_up(self, call: Call, now: float) -> None:
        """BYE to everybody who answered; the callee's end too, where the caller has none."""
        for dialog in call.dialogs:
            call.goodbye = Plant("bye", "traceparent", call.secrets.traceparent())
            rows = (Row(SIGN, call.secrets.token), Row(call.goodbye.name, call.goodbye.value))
            self._send(in_dialog("BYE", dialog, self.we, rows), call, now)
        if not call.dialogs:
            self.leave(call, now)

    def leave(self, call: Call, now: float) -> None:
        """BYE from the callee's end."""
        if call.at_callee is not None and not call.callee_over:
            call.callee_over = True
            self._send(in_dialog("BYE", call.at_callee, self.we), call, now, callee=True)

    def report(self, call: Call, status: int, now: float) -> None:
        """Tell the caller what became of its REFER."""
        if call.at_callee is not None and not call.callee_over:
            self._send(notify(call.at_callee, self.we, status), call, now, callee=True)

    def _send(self, request: Request, call: Call, now: float, *, callee: bool = False) -> None:
        dialog = call.at_callee if callee else _dialog_of(call, request)
        assert dialog is not None
        known = self.came[call] if callee else self._ways[call]
        tx = self.endpoint.send(request, self._flow(dialog, known), self, now, otherwise=known)
        self._invites[tx] = call

    def _flow(self, dialog: Dialog, known: Flow) -> Flow:
        """To the next hop by its address; a name is where the call went, or came from."""
        _, _, hop = dialog.addressing()
        uri = parse_uri(hop)
        transport = (uri.parameter("transport") or known.transport).upper()
        if not is_ip(uri.host) or self.endpoint.listener_for(transport, uri.host) is None:
            return known
        port = uri.port or DEFAULT_PORT[transport]
        if (transport, uri.host, port) == (known.transport, known.host, known.port):
            return known
        return Flow(transport, uri.host, port, domain=known.domain)

    # What the caller hears (ClientUser)

    def responded(self, tx: ClientTransaction, response: Response, now: float) -> None:
        """Take a response to whatever we sent."""
        call = self._invites.get(tx)
        if call is None:
            return  # to a CANCEL
        method, status = tx.request.method, response.status
        if method == "INVITE":
            self._answer(call, tx, response, now)
        elif status >= 200 and method == "BYE":
            call.caller_over = True
        elif status >= 200 and method == "REFER" and call.referral is not None:
            call.referral.status = status

    def _answer(self, call: Call, tx: ClientTransaction, response: Response, now: float) -> None:
        status = response.status
        if not 200 <= status < 300:
            call.statuses.append(status)
            return
        tag = response.to_tag
        again = self._acks.get(f"{call.secrets.token} {tag}")
        if again is not None:
            self.endpoint.outbox.append(again)
            return
        try:
            dialog = Dialog.of_client(tx.request, response)
        except RemoteProtocolError:
            call.garbled = True  # nobody can be told that the call is over: there is no dialog to do it in
            return
        call.statuses.append(status)
        call.moved = tx.moved
        assert call.sent is not None and tx.flow is not None
        call.sent.transport = tx.flow.transport
        if call.answered is None:
            call.answered = Heard.of(response, self.size, tx.flow)
        call.dialogs.append(dialog)
        self._ways[call] = tx.flow
        ack = in_dialog("ACK", dialog, self.we)
        self._acks[f"{call.secrets.token} {tag}"] = self.endpoint.send_once(ack, self._flow(dialog, tx.flow))
        if call.cancelled:  # it crossed our CANCEL
            self.hang_up(call, now)

    def timed_out(self, tx: ClientTransaction, now: float) -> None:
        """Silence, to the end of the transaction's time."""
        self.unsent(tx, "no answer", now)

    def unsent(self, tx: ClientTransaction, reason: str, now: float) -> None:
        """It could not be delivered."""
        call = self._invites.get(tx)
        if call is None:
            return
        if tx.request.method == "INVITE":
            call.failed = reason
        elif tx.request.method == "BYE":
            call.caller_over = True
        elif tx.request.method == "REFER" and call.referral is not None:
            call.referral.failed = reason


def _dialog_of(call: Call, request: Request) -> Dialog:
    tag = request.to_tag
    for dialog in call.dialogs:
        if dialog.remote_tag == tag:
            return dialog
    raise LocalProtocolError("a request in no dialog of ours")
