"""A small, honest SIP user agent, written from the RFCs: what it says by itself, and how it hears."""

from __future__ import annotations

import hashlib
from random import Random
from typing import TYPE_CHECKING

from sipproxy.sip.flow import DEFAULT_PORT, TCP, TLS, UDP, WS, WSS, join_host
from sipproxy.sip.message import Request
from sipproxy.sip.uri import Uri

from .network import Network, Place, is_stream
from .seen import Seen
from .session import Called, Session
from .transactions import Answering, Asking
from .usage import Usage
from .world import World

if TYPE_CHECKING:
    from .core import Core


ALLOW = "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, INFO, MESSAGE, NOTIFY, REFER"

CONTACT_TRANSPORT = {UDP: "", TCP: ";transport=tcp", TLS: ";transport=tls", WS: ";transport=ws"}
CONTACT_TRANSPORT[WSS] = CONTACT_TRANSPORT[WS]


class Agent:
    """One user agent at one place. What it does by itself is set by the attributes in the middle of
    `__init__`.
    """

    def __init__(self, lab: Core, name: str, place: Place, proxy: Place) -> None:
        self.name = name
        self.place = place
        self.proxy = proxy
        self.world: World = lab.world
        self.network: Network = lab.network
        self.rng = Random(f"{lab.seed} {name}")
        self.number = f"+1555000{int(hashlib.sha256(name.encode()).hexdigest()[:4], 16) % 9000 + 1000}"
        self.uri = f"sip:{self.number}@example.com"
        self.display = f'"{name.title()} {self.number}" '
        self.host: str = join_host(place[1], place[2])  # in Via and Contact
        if place[0] in (WS, WSS):
            self.host = f"{name}.invalid"  # RFC 7118 section 5: a browser does not know its address
        self.contact = f"<sip:{name}@{self.host}{CONTACT_TRANSPORT[place[0]]}>"

        self.withholds: set[str] = set()  # of ACK, PRACK, 100: what it does not send although it should
        self.replies: dict[str, int | None] = {}  # by method; None: nothing for now; default 200
        self.password = ""  # what Proxy-Authorization says after a challenge; none: it gives up
        self.retries = True  # after 491
        self.direct = False  # calls others without the proxy
        self.forks_end = True  # its other early dialogs end with its 2xx
        self.session_expires = 0  # what its 2xx say
        self.answer_headers: dict[str, str] = {}  # of its 2xx to INVITE
        self.allow = ALLOW
        self.supported = "100rel, timer, replaces"
        self.traced = True  # its INVITEs carry a traceparent
        self.context = ""  # a traceparent for requests in a dialog
        self.trace_id = hashlib.sha256(name.encode()).hexdigest()[:32]
        self.span_id = hashlib.sha256(name.encode()).hexdigest()[32:48]

        self.dead = False  # hears and says nothing more
        self.heard: list[Seen] = []
        self.faults: list[str] = []  # of others
        self.never_acknowledged = 0
        self.sessions: list[Session] = []
        self.usages: dict[tuple[str, str, str], Usage] = {}
        self.asking: dict[tuple[str, str], Asking] = {}  # by branch and method, for ever
        self._answering: dict[tuple[str, str, str], Answering] = {}
        self._ids = 0
        self._port = 40000
        self.network.bind(name, place, self._take)

    # Parts of messages

    def new_id(self) -> str:
        """A Call-ID or tag."""
        self._ids += 1
        return f"{self.name}-{self._ids}"

    def via(self, branch: str = "") -> str:
        """A Via of its own."""
        self._ids += 1
        transport = self.place[0]
        return f"SIP/2.0/{transport} {self.host};branch={branch or f'z9hG4bK-{self.name}-{self._ids}'};rport"

    def trace_rows(self) -> list[tuple[str, str]]:
        """Context of a request that starts something."""
        return [("traceparent", f"00-{self.trace_id}-{self.span_id}-01")] if self.traced else []

    def context_rows(self) -> list[tuple[str, str]]:
        """Context of a request in a dialog."""
        return [("traceparent", self.context)] if self.context else []

    def session_rows(self, request: Seen) -> list[tuple[str, str]]:
        """Session-Expires of a 2xx, where it was asked for."""
        asked = request.header("Session-Expires")
        if self.session_expires:
            return [("Session-Expires", f"{self.session_expires};refresher=uac")]
        return (
            [("Session-Expires", asked if "refresher" in asked else f"{asked};refresher=uac")]
            if asked
            else []
        )

    def answer_rows(self, request: Seen) -> list[tuple[str, str]]:
        """What a 2xx to INVITE has besides."""
        rows = [("Allow", self.allow), ("Supported", self.supported)]
        return [*rows, *self.session_rows(request), *self.answer_headers.items()]

    def challenge_rows(self, status: int) -> list[tuple[str, str]]:
        """What a 401 or 407 needs."""
        name = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}.get(status)
        return [] if name is None else [(name, 'Digest realm="lab", nonce="1"')]

    def reply_to(self, request: Seen) -> int | None:
        """What a request in a dialog gets; a challenge only as long as it brings no credentials."""
        status = self.replies.get(request.method, 200)
        if status in (401, 407) and request.header("Proxy-Authorization"):
            return 200
        return status

    def offered_late(self, response: Seen) -> bool:
        """Whether a 2xx brought the offer, since our INVITE had none."""
        asking = self.asking[response.branch, "INVITE"]
        return bool(response.body) and not asking.request.body

    # What a phone with more sentences can do (transferring.py)

    def invited(self, answering: Answering) -> None:
        """An INVITE outside a dialog."""
        Called(self, answering)

    def takes(self, usage: Usage, answering: Answering) -> bool:
        """Whether a request in a dialog is about a transfer, not about the call; then it is dealt with."""
        return False

    def adopts(self, answering: Answering) -> bool:
        """Whether a request outside the dialogs we know is about a transfer; then it is dealt with."""
        return False

    # The wire

    def place_of(self, uri: str) -> Place:
        """Where a URI leads. The proxy gives addresses, never names."""
        parsed = Uri.parse(uri)
        transport = (parsed.parameter("transport") or UDP).upper()
        if transport == WS:
            transport = self.place[0]  # one parameter for both (RFC 7118 section 5)
        return transport, parsed.host, parsed.port or DEFAULT_PORT[transport]

    def way_to(self, uri: str) -> Place:
        """Where a request for a URI goes: to the proxy, unless there is none."""
        return self.place_of(uri) if self.direct else self.proxy

    def transmit(self, wire: bytes, target: Place, stream: int = 0) -> bool:
        """Send; False when that is known not to arrive."""
        if self.dead:
            return True
        if not is_stream(target):
            return self.network.send(wire, (UDP, *self.place[1:]), target)
        if stream not in self.network.streams:
            stream = self.network.stream_to(target)
        if not stream or self.name not in [self.network.name_of(end) for end in self.network.streams[stream]]:
            self._port += 1
            ours = (target[0], self.place[1], self._port)
            self.network.bind(self.name, ours, self._take)
            stream = self.network.connect(ours, target)
        source = next(
            (end for end in self.network.streams.get(stream, ()) if self.network.name_of(end) == self.name),
            None,
        )
        return source is not None and self.network.write(stream, wire, source)

    def _take(self, data: bytes, source: Place, stream: int) -> None:
        if self.dead:
            return
        seen = Seen(data, self.world.now)
        self.heard.append(seen)
        if not isinstance(seen.message, Request):
            asking = self.asking.get((seen.branch, seen.method))
            if asking is None:
                self.faults.append(f"{seen.label} for a transaction that does not exist")
            else:
                asking.receive(seen)
        elif seen.method == "ACK":
            self._acknowledged(seen)
        else:
            self._requested(seen, source, stream)

    def _acknowledged(self, ack: Seen) -> None:
        answering = self._answering.get((ack.branch, ack.sent_by, "INVITE"))
        if answering is not None:
            answering.acknowledged = True
            return
        usage = self.usages.get((ack.call_id, ack.to_tag, ack.from_tag))
        if usage is None:
            self.faults.append(f"ACK for no dialog of {self.name}")
        else:
            usage.acknowledged(ack)

    def _requested(self, request: Seen, source: Place, stream: int) -> None:
        key = (request.branch, request.sent_by, request.method)
        answering = self._answering.get(key)
        if answering is not None:
            answering.repeated()
            return
        answering = self._answering[key] = Answering(self, request, source, stream)
        if request.method == "CANCEL":
            self._cancelled(answering)
        elif request.to_tag:
            usage = self.usages.get((request.call_id, request.to_tag, request.from_tag))
            if usage is not None:
                usage.receive(answering)
            elif not self.adopts(answering):
                answering.answer(481)
        elif request.method == "INVITE":
            self.invited(answering)
        elif not self.adopts(answering):
            status = self.reply_to(request)
            if status is not None:
                answering.answer(status, tag=self.new_id(), rows=self.challenge_rows(status))

    def _cancelled(self, answering: Answering) -> None:
        cancel = answering.request
        invite = self._answering.get((cancel.branch, cancel.sent_by, "INVITE"))
        if invite is None:
            answering.answer(481, tag=self.new_id())
            return
        answering.answer(200, tag=self.new_id())
        for session in self.sessions:
            if isinstance(session, Called) and session.answering is invite:
                session.cancel()
        for usage in self.usages.values():
            if usage.invite_in is invite:
                usage.answer_invite(487)
