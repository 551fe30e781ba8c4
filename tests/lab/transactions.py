"""A phone's transactions, written from RFC 3261 section 17 and not from the code under test.

Asking     a request of the phone: repeated until heard, acknowledged when it is a refused INVITE
Answering  a request to the phone: its last answer is repeated, a refusal of an INVITE until the ACK
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .network import Place, is_stream
from .seen import Seen, text_of

if TYPE_CHECKING:
    from .agent import Agent

T1, T2, GIVE_UP = 0.5, 4.0, 32.0
Heard = Callable[[Seen], None]
REASONS = {
    100: "Trying",
    180: "Ringing",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    302: "Moved Temporarily",
    401: "Unauthorized",
    407: "Proxy Authentication Required",
    481: "Call/Transaction Does Not Exist",
    486: "Busy Here",
    487: "Request Terminated",
    491: "Request Pending",
    500: "Server Internal Error",
    503: "Service Unavailable",
}


class Asking:
    """`heard` gets each response that is no mere repeat, and every 2xx to INVITE; `silent`: none came."""

    def __init__(
        self, phone: Agent, wire: bytes, target: Place, *, heard: Heard, silent: Callable[[], None]
    ) -> None:
        self.phone = phone
        self.request = Seen(wire, phone.world.now)
        self.answered = 0  # the final status
        self.provisional = False
        self.over = False  # timed out
        self.on_provisional: list[Callable[[], None]] = []
        self._wire = wire
        self._target = target
        self._heard = heard
        self._silent = silent
        self._pause = T1
        self._ack = b""
        phone.asking[self.request.branch, self.request.method] = self

    @property
    def method(self) -> str:
        """What is asked."""
        return self.request.method

    def start(self) -> None:
        """Send."""
        self._send(self._wire)
        if not is_stream(self._target):
            self.phone.world.after(self._pause, self._again)
        self.phone.world.after(GIVE_UP, self._time_out)

    def _send(self, wire: bytes) -> None:
        if not self.phone.transmit(wire, self._target) and not self.answered:
            self.over = True
            self.phone.world.after(0.0, self._silent)

    def _again(self) -> None:
        if self.answered or self.over or self.phone.dead:
            return
        if self.method == "INVITE":
            if self.provisional:
                return
            self._pause *= 2
        else:
            self._pause = T2 if self.provisional else min(2 * self._pause, T2)
        self._send(self._wire)
        self.phone.world.after(self._pause, self._again)

    def _time_out(self) -> None:
        if self.answered or self.over or self.phone.dead or (self.method == "INVITE" and self.provisional):
            return
        self.over = True
        self._silent()

    def receive(self, response: Seen) -> None:
        """Take a response."""
        status = response.status
        if self.over:
            return
        if status < 200:
            if self.answered:
                return  # overtaken
            self.provisional = True
            waiting, self.on_provisional = self.on_provisional, []
            for what in waiting:
                what()
            self._heard(response)
        elif self.answered:
            if self.method == "INVITE" and status < 300 and self.answered < 300:
                self._heard(response)
            elif (self.answered < 300) != (status < 300) or (
                self.method != "INVITE" and status != self.answered
            ):
                self.phone.faults.append(f"{response.label} after a {self.answered}")
            elif self._ack:
                self.phone.transmit(self._ack, self._target)
        else:
            self.answered = status
            if self.method == "INVITE" and status >= 300:
                self._ack = self.follow("ACK", to=response.header("To"))
                self.phone.transmit(self._ack, self._target)
            self._heard(response)

    def follow(self, method: str, *, to: str = "") -> bytes:
        """The ACK of a refusal, or the CANCEL: in the INVITE's own branch (9.1, 17.1.1.3)."""
        sent = self.request
        rows = [
            ("Via", sent.header("Via")),
            ("Max-Forwards", "70"),
            ("From", sent.header("From")),
            ("To", to or sent.header("To")),
            ("Call-ID", sent.call_id),
            ("CSeq", f"{sent.cseq} {method}"),
        ]
        rows += [("Route", value) for value in sent.headers("Route")]
        return text_of(f"{method} {sent.uri} SIP/2.0", rows, None, "")


class Answering:
    """A request that came in, until the last repeat of its answer."""

    def __init__(self, phone: Agent, request: Seen, source: Place, stream: int) -> None:
        self.phone = phone
        self.request = request
        self.answered = 0
        self.acknowledged = False
        self._source = source
        self._stream = stream
        self._last = b""
        self._pause = T1

    def answer(
        self, status: int, *, tag: str = "", rows: list[tuple[str, str]] | None = None, body: str = ""
    ) -> bytes:
        """Respond."""
        asked = self.request
        to = asked.header("To")
        if tag and not asked.to_tag and status > 100:
            to += f";tag={tag}"
        head = [("Via", value) for value in asked.headers("Via")]
        head += [
            ("From", asked.header("From")),
            ("To", to),
            ("Call-ID", asked.call_id),
            ("CSeq", asked.header("CSeq")),
        ]
        wire = text_of(
            f"SIP/2.0 {status} {REASONS.get(status, 'Whatever')}", [*head, *(rows or [])], None, body
        )
        if not self.answered or 200 <= status < 300:
            self._last = wire
        self.send(wire)
        if status >= 200:
            self.answered = status
            if asked.method == "INVITE" and status >= 300:
                if self._stream == 0:
                    self.phone.world.after(T1, self._again)
                self.phone.world.after(GIVE_UP, self._unheard)
        return wire

    def send(self, wire: bytes) -> None:
        """Send bytes back the way the request came."""
        self.phone.transmit(wire, self._source, self._stream)

    def repeated(self) -> None:
        """The request came again. A 2xx to INVITE is the dialog's to repeat (RFC 6026 section 7.1)."""
        if self._last and not (self.request.method == "INVITE" and 200 <= self.answered < 300):
            self.send(self._last)

    def _again(self) -> None:
        if not self.acknowledged and not self.phone.dead:
            self.send(self._last)
            self._pause = min(2 * self._pause, T2)
            self.phone.world.after(self._pause, self._again)

    def _unheard(self) -> None:
        self.acknowledged = True  # it stops, whether or not it was heard
