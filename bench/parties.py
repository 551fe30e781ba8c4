"""Caller, callee and target of the transfers: what SIPp is to the basic figures.

Each call of a party is a script: a generator that sends, and waits for the next message with `yield`. Nothing
is sent again: on loopback nothing is lost, and what the system repeats is counted.
"""

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import count
from typing import TypeAlias

from .invite import INVITE

HOST = "127.0.0.1"
RUNS = count(1)  # so that no id comes twice

Script: TypeAlias = Generator[None, "Message", None]
Transmit: TypeAlias = Callable[[bytes], object]

_HEAD, _, SDP = INVITE.decode().partition("\r\n\r\n")
_DIALOGS_OWN = ("via:", "max-forwards:", "from:", "to:", "call-id:", "cseq:", "contact:", "content-length:")
# The benchmark's INVITE without what makes it part of a dialog; and what an answer has of it.
ROWS = [row for row in _HEAD.split("\r\n")[1:] if not row.lower().startswith(_DIALOGS_OWN)]
UNTRACED = [row for row in ROWS if not row.startswith("traceparent:")]
ANSWER_ROWS = [row for row in ROWS if row.startswith(("Allow:", "Supported:", "Content-Type:"))]
CALLING = "+441632960123"


class Unexpected(Exception):
    """A party got what its script does not know."""


class Message:
    """A message as far as a script looks at it. `what` is `INVITE`, or `200 INVITE` for a response."""

    __slots__ = ("body", "call_id", "headers", "status", "what")

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.decode().partition("\r\n\r\n")
        first, *rows = head.split("\r\n")
        self.headers: dict[str, str] = {}
        for row in rows:
            name, _, value = row.partition(":")
            self.headers[name.lower()] = value.strip()
        self.call_id = self.headers["call-id"]
        self.status = int(first[8:11]) if first.startswith("SIP/2.0 ") else 0
        method = self.headers["cseq"].partition(" ")[2]
        self.what = f"{self.status} {method}" if self.status else method

    @property
    def contact(self) -> str:
        return self.headers["contact"].partition("<")[2].partition(">")[0]


class Party:
    """One user agent at one port, with a script for each call that it is in, found by any of its Call-IDs."""

    def __init__(
        self, port: int, script: Callable[["Line"], Script], transmit: Transmit | None = None
    ) -> None:
        self.port = port
        self.name = f"{next(RUNS)}p{port}"
        self.transmit = transmit
        self._script = script
        self._scripts: dict[str, tuple[Script, list[str]]] = {}
        self._over: set[str] = set()
        self._seen: set[tuple[str, str, str]] = set()
        self.numbers = 0
        self.done = self.failed = self.resent = self.stray = 0
        self.received = self.sent = 0
        self.faults: Counter[str] = Counter()

    def send(self, text: str) -> None:
        assert self.transmit is not None, "it has no way out"
        self.sent += 1
        self.transmit(text.encode())

    def call(self) -> None:
        """Begin one more call; the script says who it is for."""
        self.numbers += 1
        self._begin(f"{self.name}-{self.numbers}@{HOST}", None)

    def receive(self, data: bytes) -> None:
        """Take a message."""
        self.received += 1
        self._take(Message(data))

    def _take(self, message: Message) -> None:
        tag = message.headers["from"].rpartition("tag=")[2]
        key = (f"{message.call_id} {tag}", message.headers["cseq"], message.what)
        if key in self._seen:
            self.resent += 1
            return
        self._seen.add(key)
        known = self._scripts.get(message.call_id)
        if known is not None:
            self._go_on(known[0], known[1], message)
        elif message.what == "INVITE" and message.call_id not in self._over:
            self.numbers += 1
            self._begin(message.call_id, message)
        else:
            self.stray += 1

    def _begin(self, call_id: str, invite: Message | None) -> None:
        line = Line(self, call_id)
        script = self._script(line)
        self._scripts[call_id] = (script, line.call_ids)
        try:
            next(script)
        except StopIteration:
            self._end(line.call_ids)
            return
        if invite is not None:
            self._go_on(script, line.call_ids, invite)

    def also_known_as(self, call_id: str, other: str) -> None:
        """Let the script of one Call-ID hear what comes with another, too."""
        known = self._scripts[call_id]
        known[1].append(other)
        self._scripts[other] = known

    def _go_on(self, script: Script, call_ids: list[str], message: Message) -> None:
        try:
            script.send(message)
        except StopIteration:
            self.done += 1
            self._end(call_ids)
        except Unexpected as fault:
            self.failed += 1
            self.faults[str(fault)] += 1
            self._end(call_ids)

    def _end(self, call_ids: list[str]) -> None:
        for call_id in call_ids:
            self._scripts.pop(call_id, None)
            self._over.add(call_id)


class Line:
    """A party's part in one call: where its script gets its dialogs and the ids for them."""

    def __init__(self, party: Party, call_id: str) -> None:
        self.party = party
        self.call_id = call_id
        self.call_ids = [call_id]
        self.tag = f"{party.name}-{party.numbers}"

    def dials(self, uri: str, *, second: bool = False) -> "Dialog":
        """Give the dialog of an INVITE that is still to be sent."""
        call_id, tag = self.call_id, self.tag
        if second:
            call_id, tag = f"second-{call_id}", f"second-{tag}"
            self.party.also_known_as(self.call_id, call_id)
        us = f'"Contact Centre" <sip:{CALLING}@{HOST}:{self.party.port};user=phone>;tag={tag}'
        return Dialog(self.party, call_id, tag, us, f"<{uri}>", uri)

    def answers(self, invite: Message) -> "Dialog":
        """Give the dialog that an INVITE asks for."""
        us = f"{invite.headers['to']};tag={self.tag}"
        return Dialog(self.party, invite.call_id, self.tag, us, invite.headers["from"], invite.contact)


@dataclass(slots=True)
class Dialog:
    """One side of a dialog; `us` and `them` are From and To of what it sends, `tag` is ours."""

    party: Party
    call_id: str
    tag: str
    us: str
    them: str
    target: str
    cseq: int = 0

    def request(self, method: str, rows: list[str] | None = None, body: str = "") -> None:
        if method != "ACK":
            self.cseq += 1
        port = self.party.port
        lines = [
            f"{method} {self.target} SIP/2.0",
            f"Via: SIP/2.0/UDP {HOST}:{port};branch=z9hG4bK-{self.tag}-{self.cseq}-{method};rport",
            "Max-Forwards: 69",
            f"From: {self.us}",
            f"To: {self.them}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {self.cseq} {method}",
            f"Contact: <sip:{CALLING}@{HOST}:{port}>",
            *(rows or ()),
            f"Content-Length: {len(body)}",
        ]
        self.party.send("\r\n".join(lines) + "\r\n\r\n" + body)

    def respond(self, request: Message, status: int, rows: list[str] | None = None, body: str = "") -> None:
        """Answer a request of this dialog, or one whose To says whose it is."""
        headers = request.headers
        to = headers["to"]
        if status > 100 and "tag=" not in to:
            to = self.us
        lines = [
            f"SIP/2.0 {status} Fine",
            f"Via: {headers['via']}",
            f"From: {headers['from']}",
            f"To: {to}",
            f"Call-ID: {request.call_id}",
            f"CSeq: {headers['cseq']}",
            f"Contact: <sip:{CALLING}@{HOST}:{self.party.port}>",
            *(rows or ()),
            f"Content-Length: {len(body)}",
        ]
        self.party.send("\r\n".join(lines) + "\r\n\r\n" + body)

    def invite(self, rows: list[str]) -> Generator[None, Message, None]:
        """Call, and be answered."""
        self.request("INVITE", rows, SDP)
        answer = yield from wanted("200 INVITE")
        self.them = answer.headers["to"]
        self.target = answer.contact
        self.request("ACK")

    def answer(self, invite: Message) -> Generator[None, Message, None]:
        """Ring and answer at once, as the callee of the basic figures does."""
        self.respond(invite, 100)
        self.respond(invite, 180)
        yield from self.accept(invite)

    def accept(self, invite: Message) -> Generator[None, Message, None]:
        """Say yes to an INVITE, also one within the dialog."""
        self.respond(invite, 200, ANSWER_ROWS, SDP)
        yield from wanted("ACK")

    def hang_up(self) -> Generator[None, Message, None]:
        self.request("BYE")
        yield from wanted("200 BYE")


def wanted(what: str) -> Generator[None, Message, Message]:
    """Wait for that message; provisional answers are let pass."""
    while True:
        message = yield
        if message.what == what:
            return message
        if not 100 <= message.status < 200:
            raise Unexpected(f"{message.what} instead of {what}")
