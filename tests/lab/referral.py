"""A REFER as the phone that sends it sees it: its answer, and the NOTIFYs of the subscription (RFC 3515)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .dialog import Dialog
from .seen import Seen, parameter
from .transactions import Answering, Asking
from .usage import Usage

if TYPE_CHECKING:
    from .agent import Agent

STAYS, LEAVES, WAITS = "stays", "leaves", "waits"


class Referral:
    """`then` is what the transferor does: it WAITS for the result and hangs up if it is a good one, LEAVES as
    soon as the REFER is accepted, or STAYS until somebody else hangs up.
    """

    def __init__(
        self, phone: Agent, dialog: Dialog, usage: Usage | None, more: Mapping[str, str], then: str
    ) -> None:
        self.phone = phone
        self.dialog = dialog
        self.usage = usage  # None: a REFER of its own, until its dialog is there
        self.then = then
        self.answered = 0
        self.statuses: list[int] = []  # what NOTIFY told
        self.refused = False
        self.over = False  # refused, or the subscription is
        self.silent = more.get("Refer-Sub", "").lower() == "false"
        self._more = dict(more)
        self._old = usage
        self.asking = self._ask()

    @property
    def result(self) -> int:
        """What the last NOTIFY told, 0 for none."""
        return self.statuses[-1] if self.statuses else 0

    def _ask(self) -> Asking:
        dialog, phone = self.dialog, self.phone
        wire = dialog.request("REFER", "", self._more)
        hop = dialog.hop if dialog.remote_tag else phone.way_to(dialog.target)
        return Asking(phone, wire, hop, heard=self._heard, silent=self._gave_up)

    def _gave_up(self) -> None:
        self.over = True
        self.answered = self.answered or 408

    def _heard(self, response: Seen) -> None:
        status = response.status
        if status < 200:
            return
        if status in (401, 407) and self.phone.password and "Proxy-Authorization" not in self._more:
            self._more["Proxy-Authorization"] = self.phone.password
            self.asking = self._ask()
            self.asking.start()
            return
        self.answered = status
        if status >= 300:
            self.over = self.refused = True
            return
        if response.header("Refer-Sub").lower() == "false":
            self.silent = self.over = True
        self.joins(response, response.to_tag)
        if self.then == LEAVES and self._old is not None:
            self._old.hang_up()

    def joins(self, message: Seen, tag: str) -> None:
        """The dialog that a REFER of its own makes: by its 2xx, or by a NOTIFY that came before."""
        if self.usage is not None:
            return
        dialog = self.dialog
        dialog.remote_tag = tag
        dialog.target = message.contact or dialog.target
        self.usage = Usage(self.phone, dialog, caller=True)

    def subscribes(self, expires_s: int) -> Asking:
        """SUBSCRIBE: the subscription is to last, or (0) to end."""
        more = {"Event": f"refer;id={self.asking.request.cseq}", "Expires": str(expires_s)}
        asking = Asking(
            self.phone,
            self.dialog.request("SUBSCRIBE", "", more),
            self.dialog.hop,
            heard=lambda _: None,
            silent=lambda: None,
        )
        asking.start()
        return asking

    def meant_by(self, usage: Usage, notify: Seen) -> bool:
        """Whether a NOTIFY is about this REFER. Without an id it is about the only one."""
        named = parameter(f"<>;{notify.header('Event').partition(';')[2]}", "id")
        if self.usage is not usage or (not named and self.refused):
            return False
        return named in ("", str(self.asking.request.cseq))

    def notified(self, answering: Answering) -> None:
        """A NOTIFY came."""
        notify, phone = answering.request, self.phone
        state = notify.header("Subscription-State")
        status = _status(notify.body)
        for what, wrong in (
            (f"NOTIFY {status} after the last one", self.over and self.answered < 300),
            ("NOTIFY of a REFER that was refused", self.refused),
            ("NOTIFY although none was wanted", self.silent),
            (f"NOTIFY with Subscription-State {state!r}", not state.startswith(("active", "terminated"))),
            ("NOTIFY without a status line", not status),
            (f"NOTIFY {status} although {self.result} was final", self.result >= 200),
        ):
            if wrong:
                phone.faults.append(what)
        reply = phone.reply_to(notify)
        if reply is None:
            return
        answering.answer(reply, tag=self.dialog.local_tag, rows=phone.challenge_rows(reply))
        if reply >= 300:
            return
        self.statuses.append(status)
        self.over = self.over or state.startswith("terminated")
        if self.then == WAITS and 200 <= status < 300 and self._old is not None:
            self._old.hang_up()


def _status(fragment: str) -> int:
    """Of a message/sipfrag (RFC 3420)."""
    words = fragment.split()
    return int(words[1]) if len(words) > 1 and words[0] == "SIP/2.0" and words[1].isdigit() else 0
