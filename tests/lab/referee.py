"""Watches each message that the proxy sends and gets, and notes what breaks the RFCs, whatever the story.

a repeat is the same bytes           17.1.1.2, 17.1.2.2, 17.2.1, 17.2.2, 13.3.1.4
CSeq grows within a dialog           12.2.1.1
CANCEL only behind a 1xx, and before the final response   9.1
ACK for each 2xx, in a transaction of its own              13.2.2.4
one final response, nothing 1xx behind it, To-tag in all but 100   8.2.6, 17.2
Contact where a dialog is made or refreshed                12.1.1, 12.2.1.1, RFC 3311
every request has its answer (408 to others than INVITE is silence, RFC 4320)
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sipproxy.errors import SipProxyError

from .network import Place
from .seen import Seen

Key = tuple[str, str, str]


@dataclass(slots=True)
class Sent:
    """A request of the proxy."""

    wire: bytes
    seen: Seen
    provisional: bool = False
    final: int = 0
    successes: set[str] = field(default_factory=set)  # To-tags of the 2xx that came in time
    succeeded_at: float | None = None
    cancelled_at: float | None = None

    def over(self, now: float) -> bool:
        """Whether our transaction may be gone: timers B and M, and the wait after a CANCEL."""
        began_at = self.seen.at if not self.provisional and not self.final else None
        return any(
            at is not None and now > at + 31.9 for at in (began_at, self.succeeded_at, self.cancelled_at)
        )


@dataclass(slots=True)
class Got:
    """A request to the proxy."""

    seen: Seen
    final: bytes = b""
    status: int = 0


class Referee:
    """`faults` is empty as long as the proxy plays by the book."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._sent: dict[tuple[str, str], Sent] = {}
        self._got: dict[Key, Got] = {}
        self._last_cseq: dict[Key, int] = {}
        self._acknowledged: set[tuple[str, str, int]] = set()
        self._theirs: set[tuple[str, str]] = set()  # Call-ID and From tag: passed on, not ours

    def _fault(self, seen: Seen, what: str) -> None:
        self.faults.append(f"{seen.at:.3f} {seen.label} ({seen.call_id}): {what}")

    # What the proxy gets

    def arrives(self, data: bytes, now: float) -> None:
        """A message reached the proxy; garbage is no business of ours."""
        try:
            seen = Seen(data, now)
            branch, method = seen.branch, seen.method
        except (SipProxyError, IndexError, ValueError):  # a test may well send nonsense
            return
        if not seen.status:
            self._theirs.add((seen.call_id, seen.from_tag))
            if method != "ACK":
                self._got.setdefault((branch, seen.sent_by, method), Got(seen))
            return
        sent = self._sent.get((branch, method))
        if sent is None or sent.over(now):
            return
        if seen.status < 200:
            sent.provisional = True
        else:
            sent.final = sent.final or seen.status
            if method == "INVITE" and seen.status < 300:
                sent.successes.add(seen.to_tag)
                sent.succeeded_at = sent.succeeded_at or now

    # What it sends

    def leaves(self, data: bytes, target: Place, now: float) -> None:
        """The proxy sent a message."""
        seen = Seen(data, now)
        for name in ("From", "To", "Call-ID", "CSeq", "Content-Length"):
            if len(seen.headers(name)) != 1:
                self._fault(seen, f"{len(seen.headers(name))} {name}")
        if int(seen.header("Content-Length")) != len(seen.message.body):
            self._fault(seen, "wrong Content-Length")
        if seen.status:
            self._response(seen)
        elif seen.method == "ACK":
            self._ack(seen)
        else:
            self._request(seen, target)

    def _request(self, seen: Seen, target: Place) -> None:
        method = seen.method
        key = (seen.branch, method)
        known = self._sent.get(key)
        if known is not None:
            if _without_via(known.wire) != _without_via(seen.data):
                self._fault(seen, "a repeat with other bytes")
            return
        self._sent[key] = Sent(seen.data, seen)
        if len(seen.headers("Via")) != 1 or "," in seen.header("Via"):
            self._fault(seen, "more than our own Via")
        if not seen.header("Max-Forwards"):
            self._fault(seen, "no Max-Forwards")
        if not seen.uri or (f"SIP/2.0/{target[0]} " not in seen.header("Via")):
            self._fault(seen, "no Request-URI, or a Via for another transport")
        if method == "CANCEL":
            self._cancel(seen)
            return
        if method in ("INVITE", "UPDATE") and not seen.contact:
            self._fault(seen, "no Contact")
        own = self._last_cseq.get((seen.call_id, seen.from_tag, ""), 0)
        last = self._last_cseq.get((seen.call_id, seen.from_tag, seen.to_tag), own)
        if seen.to_tag and seen.cseq <= last and (seen.call_id, seen.from_tag) not in self._theirs:
            self._fault(seen, f"CSeq {seen.cseq} after {last}")
        self._last_cseq[seen.call_id, seen.from_tag, seen.to_tag] = seen.cseq

    def _cancel(self, seen: Seen) -> None:
        invite = self._sent.get((seen.branch, "INVITE"))
        if invite is None or invite.seen.cseq != seen.cseq or invite.seen.uri != seen.uri:
            self._fault(seen, "CANCEL of nothing")
        elif not invite.provisional:
            self._fault(seen, "CANCEL before any 1xx")
        elif invite.final:
            self._fault(seen, f"CANCEL after {invite.final}")
        else:
            invite.cancelled_at = seen.at

    def _ack(self, seen: Seen) -> None:
        invite = self._sent.get((seen.branch, "INVITE"))
        if invite is not None:
            if invite.final < 300:
                self._fault(seen, f"ACK of {invite.final} in the INVITE's own transaction")
            return
        for sent in self._sent.values():
            if (
                sent.seen.method == "INVITE"
                and sent.seen.call_id == seen.call_id
                and sent.seen.cseq == seen.cseq
            ):
                if seen.to_tag not in sent.successes:
                    self._fault(seen, "ACK of no 2xx")
                self._acknowledged.add((seen.call_id, seen.to_tag, seen.cseq))
                return
        self._fault(seen, "ACK of no INVITE")

    def _response(self, seen: Seen) -> None:
        method, status = seen.method, seen.status
        got = self._got.get((seen.branch, seen.sent_by, method))
        if got is None:
            self._fault(seen, "a response to nothing")
            return
        if status > 100 and not seen.to_tag:
            self._fault(seen, "no To-tag")
        makes_dialog = method == "INVITE" and 100 < status < 300
        if (makes_dialog or (method == "UPDATE" and 200 <= status < 300)) and not seen.contact:
            self._fault(seen, "no Contact")
        if got.status >= 200:
            if seen.data != got.final:
                self._fault(seen, f"behind a {got.status}, and not the same")
        elif status >= 200:
            got.status, got.final = status, seen.data

    # The end

    def unfinished(self) -> list[str]:
        """What should have happened by now."""
        left = [
            f"{sent.seen.label} ({sent.seen.call_id}): 2xx from {tag or 'no tag'} was never acknowledged"
            for sent in self._sent.values()
            for tag in sent.successes
            if (sent.seen.call_id, tag, sent.seen.cseq) not in self._acknowledged
        ]
        return left + [
            f"{got.seen.label} ({got.seen.call_id}) was never answered"
            for got in self._got.values()
            if not got.status and got.seen.method in ("INVITE", "CANCEL", "BYE")
        ]


def _without_via(wire: bytes) -> bytes:
    """All but the Via, which changes when a request falls back from TCP to UDP."""
    return b"\r\n".join(line for line in wire.split(b"\r\n") if not line.startswith(b"Via:"))
