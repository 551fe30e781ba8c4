"""The callee of the probe's calls: who takes what arrives.

INVITE with a sign of ours      200, and again until the ACK          BYE     200
the same call once more         482                                   REFER   202, then NOTIFY
a call without a sign           603                                   OPTIONS outside of calls: 200

A call is answered, and never refused: a refusal would make many a path try its next carrier, and that call
could cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import RemoteProtocolError
from ..sip.build import respond_to
from ..sip.dialog import Dialog
from ..sip.endpoint import Endpoint, Transmit
from ..sip.flow import Flow
from ..sip.headers import VIA
from ..sip.message import Request, parse
from ..sip.timers import T1, T2, TRANSACTION_TIMEOUT, Timer
from ..sip.transaction import InviteServerTransaction, ServerTransaction
from .calls import Call, Heard, call_inside, call_of, is_new
from .fates import Row
from .messages import ALLOW, SIGN, Plant, sdp

if TYPE_CHECKING:
    from .agent import Agent


class Callee:
    """One end; `agent` is the other, and has the calls."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def requested(self, tx: ServerTransaction, request: Request, now: float) -> None:
        """Take a request that is new."""
        assert tx.source is not None and tx.flow is not None
        heard = Heard.of(request, self._agent.size, tx.source)
        if request.method == "OPTIONS":
            self._respond(tx, request, 200, now)
        elif request.to_tag:
            self._in_call(tx, request, heard, now)
        elif request.method != "INVITE":
            self._respond(tx, request, 405, now)
        else:
            self._invited(tx, request, heard, now)

    def _invited(self, tx: ServerTransaction, request: Request, heard: Heard, now: float) -> None:
        assert tx.source is not None
        call = call_of(self._agent.calls, heard)
        if call is None:
            self._agent.counts["strangers"] += 1
            for other in self._agent.calls:
                if other.referral is not None and not other.callee_over:
                    other.referral.strangers += 1
            self._respond(tx, request, 603, now)
            return
        referral = call.referral
        if referral is not None and is_new(heard, referral, call):
            referral.new.append(heard)
            call = Call("transferred", referral.secrets, [])
            self._agent.calls.append(call)
        elif call.arrivals:
            call.arrivals.append(heard)
            self._respond(tx, request, 482, now)
            return
        call.arrivals.append(heard)
        call.at_callee = Dialog.of_server(request, tx.local_tag)
        self._agent.came[call] = tx.source
        call.response = Plant("response", "traceparent", call.secrets.traceparent())
        rows = (Row(SIGN, call.secrets.token), Row(call.response.name, call.response.value))
        self._accept(tx, request, now, rows, call)

    def _in_call(self, tx: ServerTransaction, request: Request, heard: Heard, now: float) -> None:
        call, callee = call_inside(self._agent.calls, request)
        method = request.method
        if call is None:
            self._respond(tx, request, 481, now)
        elif method == "INVITE":
            self._accept(tx, request, now, (), call)  # the path refreshes its session
        elif method == "BYE":
            self._respond(tx, request, 200, now)
            if callee:
                call.callee_over = True
                call.bye = call.bye or heard
            else:
                call.caller_over = True
        elif method == "REFER" and callee and call.referral is not None:
            call.referral.arrived = heard
            call.referral.past = heard.vias == 1 and self._agent.we.listener.sent_by in heard.values("via")[0]
            self._respond(tx, request, 202, now)
            self._agent.report(call, 100, now)
        elif method == "NOTIFY" and call.referral is not None:
            self._respond(tx, request, 200, now)
            call.referral.notified.append(_reported(request))
        else:
            self._respond(tx, request, 200 if method in ("NOTIFY", "UPDATE", "INFO") else 405, now)

    def acknowledged(self, ack: Request, flow: Flow, now: float) -> None:
        """The ACK for a 2xx of ours."""
        call, _ = call_inside(self._agent.calls, ack)
        if call is not None:
            call.callee_told = True

    def cancelled(self, tx: InviteServerTransaction, cancel: Request, now: float) -> None:
        """Cannot be: a call is answered as soon as it comes."""
        self._respond(tx, tx.request, 487, now)

    def count(self, what: str, flow: Flow | None = None) -> None:
        """What the endpoint could not use."""
        self._agent.counts[what] += 1

    def note_branch(self, data: bytes, flow: Flow) -> None:
        """The endpoint itself refuses what comes again by another way (482), and does not say whose it is."""
        try:
            message = parse(data)
            if not isinstance(message, Request) or message.method != "INVITE" or message.to_tag:
                return
            via = message.headers.first(VIA)
            heard = Heard.of(message, len(data), flow)
            call = call_of(self._agent.calls, heard)
        except RemoteProtocolError:
            return  # the endpoint says what is wrong with it
        if call is None or via is None or (call.referral is not None and is_new(heard, call.referral, call)):
            return
        call.branches.add(f"{message.call_id} {via.branch}")

    # Answers

    def _respond(self, tx: ServerTransaction, request: Request, status: int, now: float) -> None:
        response = respond_to(request, status, to_tag=tx.local_tag)
        if status in (200, 202, 405):
            response.headers.add("Allow", ALLOW)
        if status == 202:
            response.headers.add("Contact", self._agent.we.contact)
        self._agent.endpoint.respond(tx, response, now)

    def _accept(
        self, tx: ServerTransaction, request: Request, now: float, rows: tuple[Row, ...], call: Call
    ) -> None:
        response = respond_to(request, 200, to_tag=tx.local_tag)
        for key, line in zip(request.headers.keys, request.headers.lines, strict=True):
            if key == "record-route":
                response.headers.add_line(key, line)
        response.headers.add("Contact", self._agent.we.contact)
        response.headers.add("Allow", ALLOW)
        for row in rows:
            response.headers.add(row.name, row.value)
        response.headers.add("Content-Type", "application/sdp")
        response.body = sdp(self._agent.we, call.secrets.token)
        self._agent.endpoint.respond(tx, response, now)
        assert tx.flow is not None
        Repeats(self._agent.endpoint, Transmit(response.encode(), tx.flow), call, now)


class Repeats:
    """A 2xx is sent again until its ACK comes (RFC 3261 section 13.3.1.4)."""

    def __init__(self, endpoint: Endpoint, sent: Transmit, call: Call, now: float) -> None:
        self._endpoint = endpoint
        self._sent = sent
        self._call = call
        self._interval = T1
        self._until = now + TRANSACTION_TIMEOUT
        endpoint.timers.start(Timer.REPEAT, now + T1, self)

    def expire(self, timer: Timer, now: float) -> None:
        """Once more, and later the next time."""
        if self._call.callee_told or self._call.callee_over or now > self._until:
            return
        self._endpoint.outbox.append(self._sent)
        self._interval = min(2 * self._interval, T2)
        self._endpoint.timers.start(Timer.REPEAT, now + self._interval, self)


def _reported(notify: Request) -> int:
    """The status in a sipfrag; 0 where it says none."""
    words = notify.body.decode("utf-8", "replace").split()
    return int(words[1]) if len(words) > 1 and words[1].isdecimal() and len(words[1]) == 3 else 0
