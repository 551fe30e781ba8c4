"""The sentences of a transfer, and what a phone does when it is part of one (RFC 3515, 3891, 5589).

bob.refers(alice, to=carol); carol.answers(); assert alice.hears(carol)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from .agent import Agent
from .dialog import Dialog
from .network import Place
from .referral import WAITS, Referral
from .seen import HOLD, OFFER, Seen, address, parameter
from .session import Called, Calling
from .styles import Style
from .transactions import Answering, Asking
from .triggered import Triggered
from .usage import Usage

if TYPE_CHECKING:
    from .lab import Lab

UNRESERVED = "-_.!~*'()"


class Transferring(Agent):
    """A user agent that refers, is referred, and is what others are referred to."""

    def __init__(self, lab: Lab, name: str, place: Place, proxy: Place) -> None:
        super().__init__(lab, name, place, proxy)
        self.lab = lab
        self.style = Style()
        self.referrals: list[Referral] = []
        self.triggered: list[Triggered] = []

    # Who is at the other end

    def call_with(self, other: Agent) -> Usage:
        """The newest call that is up with somebody, as the session descriptions tell."""
        for usage in reversed(self.usages.values()):
            if usage.live and usage.media.speaker == other.name:
                return usage
        raise AssertionError(f"{self.name} talks to {self.hearing or 'nobody'}, not to {other.name}")

    @property
    def hearing(self) -> set[str]:
        """Everybody who is heard."""
        return {usage.media.speaker for usage in self.usages.values() if usage.live and usage.media.heard}

    def hears(self, other: Agent) -> bool:
        """Whether what the other one says is to be heard here."""
        return other.name in self.hearing

    def holds(self, other: Agent) -> Asking:
        """re-INVITE: the other one has to wait."""
        asking = self.call_with(other).ask("INVITE", HOLD)
        self.lab.settle()
        return asking

    def resumes(self, other: Agent) -> Asking:
        """re-INVITE: the other one need not wait any more."""
        asking = self.call_with(other).ask("INVITE", OFFER)
        self.lab.settle()
        return asking

    # As transferor

    def refers(
        self,
        whom: Agent | Usage,
        to: Agent | str = "",
        *,
        replaces: Agent | Usage | None = None,
        headers: Mapping[str, str] | None = None,
        refer_to: str | None = None,
        outside: bool = False,
        then: str = WAITS,
    ) -> Referral:
        """REFER: in the call with somebody, or to him outside of it. `refer_to` is written as it stands."""
        usage = None
        if not outside:
            usage = whom if isinstance(whom, Usage) else self.call_with(whom)
        value = f"<{self.uri_of(to)}{self._replacing(replaces)}>" if refer_to is None else refer_to
        more = {"Refer-To": value, "Referred-By": f"<{self.uri}>", **(headers or {})}
        if usage is not None:
            dialog = usage.dialog
        else:
            assert isinstance(whom, Agent)
            uri = self.uri_of(whom)
            dialog = Dialog(self, self.new_id(), local=self.uri, local_tag=self.new_id(), remote=uri)
            dialog.target = uri
            more = {**dict(self.trace_rows()), **more}
        referral = Referral(self, dialog, usage, more, then)
        self.referrals.append(referral)
        referral.asking.start()
        self.lab.settle()
        return referral

    def uri_of(self, other: Agent | str) -> str:
        """Where others call somebody."""
        name = other if isinstance(other, str) else other.name
        if self.direct:
            return address(self.lab.phones[name].contact)
        return f"sip:{name}@{self.lab.proxy_host(self.proxy)}"

    def _replacing(self, what: Agent | Usage | None) -> str:
        """The header part of a Refer-To that names a dialog, as its other end knows it."""
        if what is None:
            return ""
        dialog = (what if isinstance(what, Usage) else self.call_with(what)).dialog
        value = f"{dialog.call_id};to-tag={dialog.remote_tag};from-tag={dialog.local_tag}"
        return f"?Replaces={quote(value, safe=UNRESERVED)}"

    # What comes

    def adopts(self, answering: Answering) -> bool:
        """A REFER outside of any dialog; or a NOTIFY that is here before the 2xx of ours."""
        request = answering.request
        if request.method == "REFER" and not request.to_tag:
            usage = Usage(self, Dialog.of_callee(self, request, self.new_id()), caller=False)
            self._referred(usage, answering)
            return True
        for referral in self.referrals:
            dialog = referral.dialog
            known = (dialog.call_id, dialog.local_tag) == (request.call_id, request.to_tag)
            if request.method == "NOTIFY" and known and referral.usage is None:
                referral.joins(request, request.from_tag)
                assert referral.usage is not None
                referral.usage.receive(answering)
                return True
        return False

    def takes(self, usage: Usage, answering: Answering) -> bool:
        """REFER, and NOTIFY and SUBSCRIBE of what it made: also when the call in that dialog is over."""
        request = answering.request
        event = request.header("Event").partition(";")[0].strip()
        if request.method != "REFER" and (request.method not in ("NOTIFY", "SUBSCRIBE") or event != "refer"):
            return False
        if not usage.dialog.in_order(request):
            answering.answer(500, tag=usage.dialog.local_tag)
        elif request.method == "REFER":
            self._referred(usage, answering)
        elif request.method == "NOTIFY":
            self._notified(usage, answering)
        else:
            self._subscribed(usage, answering)
        return True

    def _referred(self, usage: Usage, answering: Answering) -> None:
        request, status = answering.request, self.style.answer
        if usage.over or usage.bye is not None:
            status = 481
        elif status in (401, 407) and request.header("Proxy-Authorization"):
            status = 202
        if status is None:
            return
        if status >= 300:
            tag, rows = usage.dialog.local_tag, self.challenge_rows(status)
            answering.answer(status, tag=tag, rows=rows)
            return
        first = all(other.usage is not usage for other in self.triggered)
        triggered = Triggered(self, usage, answering, self.style, first=first)
        self.triggered.append(triggered)
        triggered.start()

    def _notified(self, usage: Usage, answering: Answering) -> None:
        for referral in self.referrals:
            if referral.meant_by(usage, answering.request):
                referral.notified(answering)
                return
        self.faults.append(f"NOTIFY for no REFER of {self.name}: {answering.request.header('Event')}")
        answering.answer(481, tag=usage.dialog.local_tag)

    def _subscribed(self, usage: Usage, answering: Answering) -> None:
        named = parameter(f"<>;{answering.request.header('Event').partition(';')[2]}", "id")
        for triggered in self.triggered:
            if triggered.usage is usage and named in ("", str(triggered.refer.cseq)):
                triggered.subscribed(answering)
                return
        answering.answer(481, tag=usage.dialog.local_tag)

    # As target

    def invited(self, answering: Answering) -> None:
        """An INVITE: a call of its own, or in place of one that is there (RFC 3891 section 3)."""
        request = answering.request
        named = request.headers("Replaces")
        if not named or self.style.replaces == "ignores":
            Called(self, answering)
            return
        usage = self.replaced_by(request)
        status = 400 if len(named) > 1 else self._why_not(usage, "early-only" in named[0])
        if status == 481 and not self.style.finds:
            status = 0
        called = Called(self, answering)
        if status:
            called.refuse(status)
        elif self.style.replaces == "answers" and usage is not None:
            called.answer("")
        else:
            called.progress(180, "", "", reliable=False)
        if usage is not None and not status:
            self._gives_up(usage)

    def replaced_by(self, invite: Seen) -> Usage | None:
        """The dialog that a Replaces names; our tag is to-tag."""
        value = invite.header("Replaces")
        call_id = value.partition(";")[0].strip()
        mine, theirs = (parameter(f"<>;{value.partition(';')[2]}", name) for name in ("to-tag", "from-tag"))
        return self.usages.get((call_id, mine, theirs))

    @staticmethod
    def _why_not(usage: Usage | None, early_only: bool) -> int:
        if usage is None or (not usage.confirmed and not usage.caller):
            return 481
        if usage.over or usage.bye is not None:
            return 603
        return 486 if early_only and usage.confirmed else 0

    def _gives_up(self, usage: Usage) -> None:
        """What was replaced ends."""
        if usage.confirmed:
            usage.hang_up()
            return
        for session in self.sessions:
            if isinstance(session, Calling) and usage in session.usages.values():
                session.cancel()
