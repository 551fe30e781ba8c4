"""What a phone does in one dialog that an INVITE made: re-INVITE, UPDATE, PRACK, INFO and BYE, both ways.

Glare as RFC 3261 section 14 says: 491 while an INVITE of ours is open, 500 while one of theirs is. After a
491 the one who made the Call-ID tries again after 2.1 to 4 seconds, the other one within 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .dialog import Dialog
from .media import Media
from .seen import Seen
from .transactions import GIVE_UP, T1, T2, Answering, Asking

if TYPE_CHECKING:
    from .agent import Agent


class Usage:
    """Early until `confirmed`; `over` when a BYE was sent and answered, or received."""

    def __init__(self, phone: Agent, dialog: Dialog, *, caller: bool) -> None:
        self.phone = phone
        self.dialog = dialog
        self.caller = caller
        self.media = Media(phone.name)
        self.confirmed = False
        self.over = False
        self.bye: Asking | None = None
        self.invite_out: Asking | None = None
        self.invite_in: Answering | None = None
        self.update_out: Asking | None = None
        self.unacknowledged: dict[int, bytes] = {}  # our 2xx that wait for their ACK, by CSeq
        self.acks: dict[int, bytes] = {}  # ours, by CSeq
        self.rseq_in = 0
        self.rseq_out = 0
        self.unpracked: dict[int, int] = {}  # RSeq of our reliable 1xx: CSeq of the INVITE
        phone.usages[dialog.key] = self

    # What the phone asks

    def ask(self, method: str, body: str = "", more: Mapping[str, str] | None = None) -> Asking:
        """Any request in the dialog."""
        if body and method in ("INVITE", "UPDATE"):
            body = self.media.offers(body)
        wire = self.dialog.request(method, body, more)
        asking = Asking(
            self.phone,
            wire,
            self.dialog.hop,
            heard=lambda response: self._heard(asking, body, more, response),
            silent=lambda: self._silent(method),
        )
        if method == "INVITE":
            self.invite_out = asking
        elif method == "UPDATE":
            self.update_out = asking
        elif method == "BYE":
            self.bye = asking
            self.stop()
        asking.start()
        return asking

    def hang_up(self, more: Mapping[str, str] | None = None) -> None:
        """BYE, once."""
        if self.bye is None and not self.over:
            self.ask("BYE", more=more)

    @property
    def live(self) -> bool:
        """Whether the call is up."""
        return self.confirmed and not self.over and self.bye is None

    def stop(self) -> None:
        """Our 2xx need not be repeated any more."""
        self.unacknowledged.clear()
        self.unpracked.clear()

    def _heard(self, asking: Asking, body: str, more: Mapping[str, str] | None, response: Seen) -> None:
        status, method = response.status, response.method
        if status < 200:
            if method == "INVITE":
                self.prack(response)
            return
        if status in (401, 407) and self.phone.password and not (more and "Proxy-Authorization" in more):
            self.ask(method, body, {**(more or {}), "Proxy-Authorization": self.phone.password})
            return
        if method == "BYE":
            if status in (401, 407):
                self.bye = None
                return
            self.end()
        elif method in ("INVITE", "UPDATE"):
            self._heard_of_offer(method, body, more, response)
        elif status == 481 and method not in ("PRACK", "INFO", "NOTIFY"):
            self.hang_up()

    def _heard_of_offer(self, method: str, body: str, more: Mapping[str, str] | None, response: Seen) -> None:
        status = response.status
        if 200 <= status < 300:
            if response.contact:
                self.dialog.target = response.contact
            if body and response.cseq not in self.acks:
                self.media.answered(response.body)
            if method == "INVITE":
                self.acknowledge(response)
        elif status in (408, 481):
            self.hang_up()
        elif status == 491 or (status == 500 and response.header("Retry-After")):
            wait = 2.1 + 1.9 * self.phone.rng.random() if self.caller else 2.0 * self.phone.rng.random()
            if self.phone.retries:
                self.phone.world.after(wait, lambda: self._try_again(method, body, more))

    def _try_again(self, method: str, body: str, more: Mapping[str, str] | None) -> None:
        if self.may_offer and not self.phone.dead:
            self.ask(method, body, more)

    @property
    def may_offer(self) -> bool:
        """Whether nothing is open that forbids an offer of ours."""
        if self.over or self.bye or not self.confirmed or self.invite_in or self.unacknowledged:
            return False
        return not any(
            asked and not asked.answered and not asked.over for asked in (self.invite_out, self.update_out)
        )

    def _silent(self, method: str) -> None:
        if method == "BYE":
            self.end()
        elif method in ("INVITE", "UPDATE"):
            self.hang_up()

    def acknowledge(self, response: Seen) -> None:
        """ACK a 2xx; the same bytes again when it comes again (13.2.2.4)."""
        if "ACK" in self.phone.withholds:
            return
        cseq = response.cseq
        if cseq not in self.acks:
            body = self.media.answers(response.body) if self.phone.offered_late(response) else ""
            self.acks[cseq] = self.dialog.request("ACK", body, cseq=cseq)
        self.phone.transmit(self.acks[cseq], self.dialog.hop)

    def prack(self, response: Seen) -> None:
        """Acknowledge a reliable 1xx, once and in order (RFC 3262 section 4)."""
        if "100rel" not in response.header("Require") or "PRACK" in self.phone.withholds:
            return
        rseq = int(response.header("RSeq"))
        if self.rseq_in and rseq != self.rseq_in + 1:
            return
        self.rseq_in = rseq
        self.ask("PRACK", more={"RAck": f"{rseq} {response.cseq} INVITE"})

    def end(self) -> None:
        """The dialog is over."""
        self.over = True
        self.stop()
        invite, self.invite_in = self.invite_in, None
        if invite is not None and not invite.answered:
            invite.answer(487, tag=self.dialog.local_tag)

    # What it is asked

    def receive(self, answering: Answering) -> None:
        """Take a request that belongs here."""
        request = answering.request
        tag = self.dialog.local_tag
        if request.method == "BYE" and (self.bye is not None or not self.over):
            self._bye(answering)
        elif self.phone.takes(self, answering):
            pass
        elif self.over or self.bye is not None:
            answering.answer(481, tag=tag)
        elif not self.dialog.in_order(request):
            answering.answer(500, tag=tag)
        elif request.method == "INVITE":
            self._reinvited(answering)
        elif request.method == "PRACK":
            self._pracked(answering)
        elif request.method == "UPDATE" and request.body and not self.may_answer:
            answering.answer(491, tag=tag)
        else:
            status = self.phone.reply_to(request)
            if status is None:
                return
            rows: list[tuple[str, str]] = []
            body = ""
            if request.method == "UPDATE" and status < 300:
                self.dialog.target = request.contact or self.dialog.target
                rows = [("Contact", self.phone.contact), *self.phone.session_rows(request)]
                body = self.media.answers(request.body) if request.body else ""
            answering.answer(status, tag=tag, rows=rows + self.phone.challenge_rows(status), body=body)

    @property
    def may_answer(self) -> bool:
        """Whether no offer of ours is open (RFC 3311 section 5.2)."""
        return not any(
            asked is not None and not asked.answered and not asked.over
            for asked in (self.update_out, self.invite_out)
        )

    def _bye(self, answering: Answering) -> None:
        status = self.phone.reply_to(answering.request)
        if status is None:
            return
        if not self.dialog.in_order(answering.request):
            answering.answer(500, tag=self.dialog.local_tag)
            return
        answering.answer(status, tag=self.dialog.local_tag, rows=self.phone.challenge_rows(status))
        if status < 300:
            self.end()

    def _pracked(self, answering: Answering) -> None:
        rack = answering.request.header("RAck").split()
        rseq, cseq = int(rack[0]), int(rack[1])
        if self.unpracked.get(rseq) != cseq or rack[2] != "INVITE":
            self.phone.faults.append(f"PRACK for {' '.join(rack)} matches no 1xx of ours")
            answering.answer(481, tag=self.dialog.local_tag)
            return
        del self.unpracked[rseq]
        answering.answer(200, tag=self.dialog.local_tag)

    def _reinvited(self, answering: Answering) -> None:
        tag = self.dialog.local_tag
        if self.invite_in is not None or self.unacknowledged:
            answering.answer(500, tag=tag, rows=[("Retry-After", "1")])
        elif not self.may_answer:
            answering.answer(491, tag=tag)
        else:
            self.invite_in = answering
            answering.answer(100)
            status = self.phone.reply_to(answering.request)
            if status is not None:
                self.answer_invite(status)

    def answer_invite(self, status: int) -> None:
        """The final response to their re-INVITE."""
        answering, self.invite_in = self.invite_in, None
        if answering is None:
            return
        request = answering.request
        if status >= 300:
            answering.answer(status, tag=self.dialog.local_tag, rows=self.phone.challenge_rows(status))
            return
        self.dialog.target = request.contact or self.dialog.target
        self.accept(answering, status)

    def accept(self, answering: Answering, status: int) -> None:
        """2xx to an INVITE, repeated until its ACK (13.3.1.4)."""
        offer = answering.request.body
        body = self.media.answers(offer) if offer else self.media.offers_anew()
        rows = [("Contact", self.phone.contact), *self.phone.answer_rows(answering.request)]
        rows = list(dict(rows).items())  # of two with one name the later
        wire = answering.answer(status, tag=self.dialog.local_tag, rows=rows, body=body)
        cseq = answering.request.cseq
        self.unacknowledged[cseq] = wire
        started_at = self.phone.world.now

        def again(pause: float) -> None:
            if self.unacknowledged.get(cseq) is not wire or self.phone.dead:
                return
            if self.phone.world.now - started_at >= GIVE_UP:
                self.unacknowledged.pop(cseq)
                self.phone.never_acknowledged += 1
                self.hang_up()
                return
            answering.send(wire)
            pause = min(2 * pause, T2)
            self.phone.world.after(pause, lambda: again(pause))

        self.phone.world.after(T1, lambda: again(T1))

    def acknowledged(self, ack: Seen) -> None:
        """The ACK of a 2xx."""
        if self.unacknowledged.pop(ack.cseq, None) is not None:
            self.media.answered(ack.body)

    def progress_reliably(self, answering: Answering, wire: bytes, rseq: int) -> None:
        """Repeat a reliable 1xx until its PRACK (RFC 3262 section 3)."""
        self.unpracked[rseq] = answering.request.cseq

        def again(pause: float) -> None:
            if rseq in self.unpracked and not answering.answered and not self.phone.dead:
                answering.send(wire)
                self.phone.world.after(2 * pause, lambda: again(2 * pause))

        self.phone.world.after(T1, lambda: again(T1))
