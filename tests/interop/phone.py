"""A telephone of a few lines on a UDP socket, with one outbound proxy: it says what a story tells it to say,
when the story says so, and obeys the rules on which proxies in between depend (Via, Route, Record-Route).
By itself it answers BYE, INFO, MESSAGE and NOTIFY.

    with Phone("alice", "127.0.0.2", sbc) as alice, Phone("bob", "127.0.0.3", sbc) as bob: ...

    call = alice.calls("bob")
    answered = bob.is_called()
    answered.rings()
    answered.answers()
    call.is_answered()
    call.hangs_up()
    answered.hears("BYE")
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType
from typing import Self
from urllib.parse import quote, unquote

from tests.support.wire import Message, parse

PATIENCE_S = 8.0
_ANSWERED = ("BYE", "NOTIFY", "INFO", "MESSAGE")
_TAG = re.compile(r";tag=([^;>]*)$")
_URI = re.compile(r"<([^>]*)>|^([^;]*)")
_SDP = "v=0\r\no={who} 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n"
_numbers = count(1)


class Phone:
    """One telephone; everything it sends goes to `outbound`, as with an SBC that knows one address only."""

    def __init__(self, who: str, host: str, outbound: str) -> None:
        self.who = who
        self.heard: list[Message] = []  # each once, in order
        self.outbound = outbound
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self.at = f"{host}:{self._socket.getsockname()[1]}"
        self.host = host
        self._waiting: list[Message] = []
        self._news = threading.Condition()
        self._listener = threading.Thread(target=self._listen, daemon=True)

    def calls(self, whom: str, *, headers: Sequence[str] = (), call_id: str = "", uri: str = "") -> Dialog:
        """INVITE."""
        n = next(_numbers)
        uri = uri or f"sip:{whom}@{self.outbound}"
        local, remote = f"<sip:{self.who}@{self.at}>;tag={self.who}{n}", f"<{uri.partition(';')[0]}>"
        dialog = Dialog(self, call_id or f"call{n}-{self.who}", local, remote, uri)
        dialog.sends("INVITE", headers, offer=True)
        return dialog

    def asks(self, method: str, whom: str, call_id: str) -> None:
        """A request outside a call."""
        uri = f"sip:{whom}@{self.outbound}"
        local = f"<sip:{self.who}@{self.at}>;tag={self.who}{next(_numbers)}"
        Dialog(self, call_id, local, f"<{uri}>", uri).sends(method)

    def is_called(self) -> Dialog:
        """An INVITE that begins a dialog."""
        invite = self.hears("INVITE")
        local = f"{invite.values('To')[0]};tag={self.who}{next(_numbers)}"
        target = uri_of(invite.values("Contact")[0])
        dialog = Dialog(self, invite.values("Call-ID")[0], local, invite.values("From")[0], target)
        dialog.routes = invite.values("Record-Route")
        dialog.invite = invite
        return dialog

    def hears(self, kind: str, *, call_id: str = "", timeout_s: float = PATIENCE_S) -> Message:
        """The next message of that kind (method, `re-INVITE`, or `200 BYE`: status and method)."""

        def wanted() -> Message | None:
            for message in self._waiting:
                said = (message.kind, f"{message.kind} {message.method}")
                if kind in said and call_id in ("", message.values("Call-ID")[0]):
                    return message
            return None

        with self._news:
            found = self._news.wait_for(wanted, timeout_s)
            seen = [message.start_line for message in self.heard]
            assert found is not None, f"{self.who} heard no {kind!r} within {timeout_s} s, but {seen}"
            self._waiting.remove(found)
        return found

    def responds(
        self, request: Message, status: str, rows: Sequence[str] = (), *, to: str = "", body: str = ""
    ) -> None:
        """A response to it."""
        copied = [f"{n}: {v}" for n, v in request.rows if n in ("Via", "From", "Call-ID", "CSeq")]
        copied.append(f"To: {to or request.values('To')[0]}")
        if request.method == "INVITE" and status[0] in "12" and not status.startswith("100"):
            copied += [f"Record-Route: {value}" for value in request.values("Record-Route")]
            copied.append(f"Contact: <sip:{self.who}@{self.at}>")
        self.says([f"SIP/2.0 {status}", *copied, *rows], body)

    def says(self, rows: Sequence[str], body: str = "") -> None:
        """These lines."""
        typed = not body or any(row.startswith("Content-Type:") for row in rows)
        lines = [*rows, *([] if typed else ["Content-Type: application/sdp"])]
        lines.append(f"Content-Length: {len(body)}")
        host, _, port = self.outbound.rpartition(":")
        self._socket.sendto(("\r\n".join(lines) + f"\r\n\r\n{body}").encode(), (host, int(port)))

    def sdp(self) -> str:
        """Its offer or answer."""
        return _SDP.format(who=self.who, host=self.host)

    def _listen(self) -> None:
        while raw := self._socket.recv(65535):
            message = parse(raw, received=True, transport="UDP")
            known = any(message.text == before.text for before in self.heard)
            if message.kind in _ANSWERED:
                self.responds(message, "200 OK")
            with self._news:
                if not known:
                    self.heard.append(message)
                    self._waiting.append(message)
                self._news.notify_all()

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.sendto(b"", self._socket.getsockname())  # nothing: that was all
        self._listener.join()
        self._socket.close()


@dataclass(slots=True)
class Dialog:
    """One side of a call; `local` and `remote` are the values of From and To with which it speaks."""

    phone: Phone
    call_id: str
    local: str
    remote: str
    target: str
    routes: list[str] = field(default_factory=list)
    cseq: int = 0
    invite: Message | None = None
    sent: list[str] = field(default_factory=list)  # the last request, for whoever repeats it

    def sends(self, method: str, rows: Sequence[str] = (), *, offer: bool = False, body: str = "") -> None:
        """A request in it; the INVITE that begins it as well."""
        self.cseq += method not in ("ACK", "CANCEL")
        branch = f"z9hG4bK-{self.phone.who}-{next(_numbers)}"
        own = [f"Via: SIP/2.0/UDP {self.phone.at};branch={branch};rport", "Max-Forwards: 70"]
        own += [f"Route: {route}" for route in self.routes]
        own += [f"From: {self.local}", f"To: {self.remote}", f"Call-ID: {self.call_id}"]
        own += [f"CSeq: {self.cseq} {method}", f"Contact: <sip:{self.phone.who}@{self.phone.at}>"]
        self.sent = [f"{method} {self.target} SIP/2.0", *own, *rows]
        self.phone.says(self.sent, body or (self.phone.sdp() if offer else ""))

    def repeats(self) -> None:
        """The INVITE once more, as it was."""
        self.phone.says(self.sent, self.phone.sdp())

    def takes_back(self) -> None:
        """CANCEL: the INVITE's own Via, From, To, Call-ID and number (RFC 3261 section 9.1)."""
        kept = ("Via", "Max-Forwards", "From", "To", "Call-ID")
        rows = [row for row in self.sent[1:] if row.partition(":")[0] in kept]
        self.phone.says([f"CANCEL {self.target} SIP/2.0", *rows, f"CSeq: {self.cseq} CANCEL"])

    def is_answered(self) -> Message:
        """200 to the INVITE, and the ACK."""
        answer = self.hears("200 INVITE")
        self.remote, self.target = answer.values("To")[0], uri_of(answer.values("Contact")[0])
        self.routes = answer.values("Record-Route")[::-1]
        self.sends("ACK")
        return answer

    def is_refused(self, status: int) -> Message:
        """That final response, and its ACK."""
        answer = self.hears(f"{status} INVITE")
        kept = ("Via", "Max-Forwards", "From", "Call-ID")
        rows = [row for row in self.sent[1:] if row.partition(":")[0] in kept]
        to = f"To: {answer.values('To')[0]}"
        self.phone.says([f"ACK {self.target} SIP/2.0", *rows, to, f"CSeq: {self.cseq} ACK"])
        return answer

    def rings(self) -> None:
        """180."""
        assert self.invite is not None
        self.phone.responds(self.invite, "180 Ringing", to=self.local)

    def answers(self) -> None:
        """200; its ACK waits until somebody asks for it."""
        assert self.invite is not None
        self.phone.responds(self.invite, "200 OK", to=self.local, body=self.phone.sdp())

    def hangs_up(self) -> Message:
        """BYE, and its answer."""
        self.sends("BYE")
        return self.phone.hears("200 BYE", call_id=self.call_id)

    def hears(self, kind: str, timeout_s: float = PATIENCE_S) -> Message:
        """The next message of that kind in it."""
        return self.phone.hears(kind, call_id=self.call_id, timeout_s=timeout_s)

    def refers(self, to: str) -> None:
        """REFER."""
        self.sends("REFER", [f"Refer-To: <{to}>", f"Referred-By: <sip:{self.phone.who}@{self.phone.at}>"])

    def is_referred(self) -> Message:
        """REFER, which it takes."""
        refer = self.hears("REFER")
        self.phone.responds(refer, "202 Accepted", [f"Contact: <sip:{self.phone.who}@{self.phone.at}>"])
        return refer

    def notifies(self, sipfrag: str, state: str) -> None:
        """NOTIFY of how the transfer goes, and its answer."""
        rows = ["Event: refer", f"Subscription-State: {state}", "Content-Type: message/sipfrag"]
        self.sends("NOTIFY", rows, body=f"SIP/2.0 {sipfrag}\r\n")
        self.hears("200 NOTIFY")

    @property
    def as_replaces(self) -> str:
        """This dialog in the header part of a Refer-To (RFC 3891), as its other side knows it."""
        return "Replaces=" + quote(
            f"{self.call_id};to-tag={tag_of(self.remote)};from-tag={tag_of(self.local)}", safe="-."
        )

    @property
    def as_replaced(self) -> str:
        """This dialog in a Replaces that comes in here."""
        return f"{self.call_id};to-tag={tag_of(self.local)};from-tag={tag_of(self.remote)}"


def uri_of(value: str) -> str:
    """The URI of a Contact, From, To, Refer-To."""
    match = _URI.search(value)
    assert match is not None, value
    return (match[1] or match[2]).strip()


def tag_of(value: str) -> str:
    """The tag of a From or To."""
    match = _TAG.search(value)
    assert match is not None, value
    return match[1]


def referred_to(refer: Message) -> tuple[str, dict[str, str]]:
    """Where a REFER sends us: the URI, and the headers that a phone makes of its header part."""
    uri, _, headers = uri_of(refer.values("Refer-To")[0]).partition("?")
    pairs = (row.partition("=") for row in headers.split("&") if row)
    return uri, {name: unquote(value) for name, _, value in pairs}
