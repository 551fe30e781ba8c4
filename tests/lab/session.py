"""A call as a phone sees it: the initial INVITE, and the dialogs that came of it.

Calling   the phone asks: early dialogs by To-tag, CANCEL as soon as it is allowed, BYE after a second 2xx
Called    the phone is asked: it rings, answers, refuses; as a forking proxy would, under several To-tags
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .dialog import Dialog
from .media import signed
from .network import is_stream
from .seen import Seen, text_of
from .transactions import GIVE_UP, Answering, Asking
from .usage import Usage

if TYPE_CHECKING:
    from .agent import Agent


class Session:
    """What both kinds share. `usage` is the dialog that counts."""

    def __init__(self, phone: Agent) -> None:
        self.phone = phone
        self.usages: dict[str, Usage] = {}  # Calling: by To-tag; Called: by the fork's name
        self.usage: Usage | None = None
        self.failed = 0  # the final status that refused it, 408 for silence
        phone.sessions.append(self)

    @property
    def over(self) -> bool:
        """Nothing is left of it."""
        if not self.failed and not any(usage.confirmed or usage.over for usage in self.usages.values()):
            return False
        return all(usage.over or not usage.confirmed for usage in self.usages.values())

    def refused(self, status: int) -> None:
        """The INVITE failed, and its early dialogs with it."""
        self.failed = status
        for usage in self.usages.values():
            if not usage.confirmed:
                usage.end()


class Calling(Session):
    """The phone's own call. `told` hears each status but 100; 408 stands for silence too."""

    def __init__(
        self, phone: Agent, uri: str, body: str, more: Mapping[str, str], *, traced: bool = True
    ) -> None:
        super().__init__(phone)
        self.told: Callable[[int], None] = lambda status: None
        self.call_id = f"{phone.number[1:]}.{phone.new_id()}"
        self.tag = phone.new_id()
        self.cancelled = False
        self._uri = uri
        self._body = signed(body, phone.name)
        self._traced = traced
        self._more = dict(more)
        self._cseq = 0
        self.asking = self._invite()

    def _invite(self) -> Asking:
        phone = self.phone
        self._cseq += 1
        rows = [
            ("Via", phone.via()),
            ("Max-Forwards", self._more.get("Max-Forwards", "70")),
            ("From", f"{phone.display}<{phone.uri}>;tag={self.tag}"),
            ("To", self._more.get("To", f"<{self._uri}>")),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self._cseq} INVITE"),
            ("Contact", phone.contact),
            ("Supported", phone.supported),
            ("Allow", phone.allow),
        ]
        given = {name.lower() for name in self._more}
        rows = [row for row in rows if row[0].lower() not in given or row[0] in ("Max-Forwards", "To")]
        if self._traced:
            rows += [row for row in phone.trace_rows() if row[0].lower() not in given]
        more = {name: value for name, value in self._more.items() if name not in ("Max-Forwards", "To")}
        wire = text_of(f"INVITE {self._uri} SIP/2.0", rows, more, self._body)
        return Asking(
            phone, wire, phone.way_to(self._uri), heard=self._heard, silent=lambda: self.refused(408)
        )

    def refused(self, status: int) -> None:
        """The INVITE failed."""
        super().refused(status)
        self.told(status)

    def start(self) -> None:
        """Send the INVITE."""
        self.asking.start()

    def _heard(self, response: Seen) -> None:
        status = response.status
        if status < 200:
            if status > 100 and response.to_tag:
                usage = self._usage_for(response)
                if not usage.over:
                    usage.prack(response)
                self.told(status)
        elif status < 300:
            self._answered(self._usage_for(response), response)
            self.told(status)
        elif status in (401, 407) and self.phone.password and "Proxy-Authorization" not in self._more:
            self._more["Proxy-Authorization"] = self.phone.password
            self.asking = self._invite()
            self.asking.start()
        else:
            self.refused(status)

    def _usage_for(self, response: Seen) -> Usage:
        usage = self.usages.get(response.to_tag)
        if usage is None:
            dialog = Dialog.of_caller(self.phone, self.asking.request, response)
            usage = self.usages[response.to_tag] = Usage(self.phone, dialog, caller=True)
            usage.media.offers(self._body)
            self.usage = self.usage or usage
        elif response.contact and not usage.confirmed:
            usage.dialog.target = response.contact
        if self._body and not usage.confirmed:
            usage.media.answered(response.body)
        return usage

    def _answered(self, usage: Usage, response: Seen) -> None:
        if usage.confirmed:
            usage.acknowledge(response)
            return
        usage.confirmed = True
        usage.acknowledge(response)
        winner = self.usage
        if self.cancelled or usage.bye is not None or (winner and winner.confirmed and winner is not usage):
            if usage.bye is None:
                usage.hang_up()
            return
        self.usage = usage
        for other in self.usages.values():
            if not other.confirmed:
                other.end()  # early dialogs end with the first 2xx, as far as this phone cares (13.2.2.4)

    def cancel(self, more: Mapping[str, str] | None = None, *, at_once: bool = False) -> None:
        """CANCEL, now or with the first provisional response (9.1)."""
        if self.cancelled or self.asking.answered or self.asking.over:
            return
        self.cancelled = True
        if self.asking.provisional or at_once:
            self._cancel(more)
        else:
            self.asking.on_provisional.append(lambda: self._cancel(more))

    def _cancel(self, more: Mapping[str, str] | None) -> None:
        phone, invite = self.phone, self.asking
        wire = invite.follow("CANCEL")
        if more:
            extra = "".join(f"{name}: {value}\r\n" for name, value in more.items()).encode()
            wire = wire.replace(b"Content-Length", extra + b"Content-Length")
        Asking(phone, wire, phone.way_to(self._uri), heard=lambda _: None, silent=lambda: None).start()

        def given_up() -> None:
            if not invite.answered and not invite.over and not phone.dead:
                invite.over = True
                if not is_stream(phone.place):  # a stream may have taken it down with it
                    phone.faults.append("no final response to a cancelled INVITE")
                self.refused(408)

        phone.world.after(GIVE_UP, given_up)


class Called(Session):
    """A call to the phone."""

    def __init__(self, phone: Agent, answering: Answering) -> None:
        super().__init__(phone)
        self.answering = answering
        if "100" not in phone.withholds:
            answering.answer(100)

    @property
    def invite(self) -> Seen:
        """What rings."""
        return self.answering.request

    @property
    def open(self) -> bool:
        """Whether it can still be answered."""
        return not self.answering.answered

    def fork(self, name: str) -> Usage:
        """The dialog under one To-tag."""
        usage = self.usages.get(name)
        if usage is None:
            dialog = Dialog.of_callee(self.phone, self.invite, self.phone.new_id() + name)
            usage = self.usages[name] = Usage(self.phone, dialog, caller=False)
            self.usage = self.usage or usage
        return usage

    def progress(
        self, status: int, fork: str, body: str, *, reliable: bool, more: Mapping[str, str] | None = None
    ) -> None:
        """1xx."""
        if not self.open:
            return
        usage = self.fork(fork)
        rows = [("Contact", self.phone.contact), *(more or {}).items()]
        if reliable:
            usage.rseq_out += 1
            rows += [("Require", "100rel"), ("RSeq", str(usage.rseq_out))]
        rows = [row for row in rows if row[1]]
        body = usage.media.says(body, self.invite.body)
        wire = self.answering.answer(status, tag=usage.dialog.local_tag, rows=rows, body=body)
        if reliable:
            usage.progress_reliably(self.answering, wire, usage.rseq_out)

    def answer(self, fork: str) -> None:
        """200, also once more under another To-tag."""
        if self.answering.answered >= 300:
            return
        usage = self.fork(fork)
        if usage.confirmed or usage.over:
            return
        usage.confirmed = True
        self.usage = usage
        usage.accept(self.answering, 200)
        for other in self.usages.values():
            if not other.confirmed and self.phone.forks_end:
                other.end()

    def refuse(self, status: int, more: Mapping[str, str] | None = None, body: str = "") -> None:
        """3xx to 6xx."""
        if self.open:
            rows = [*(more or {}).items(), *self.phone.challenge_rows(status)]
            self.answering.answer(status, tag=self.phone.new_id(), rows=rows, body=body)
            self.refused(status)

    def cancel(self) -> None:
        """A CANCEL came."""
        self.refuse(487)
