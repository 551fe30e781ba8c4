"""A user agent with the sentences that stories are told in.

alice.calls("bob"); bob.rings(); bob.answers(); alice.hangs_up(); assert bob.got("BYE")
"""

from __future__ import annotations

from collections.abc import Mapping

from .seen import HOLD, OFFER, Seen, text_of
from .session import Called, Calling, Session
from .transactions import Asking
from .transferring import Transferring
from .usage import Usage


class Phone(Transferring):
    """Each sentence lets what is on its way arrive, unless the lab says `at_once`."""

    def calls(
        self, user: str, *, body: str = OFFER, headers: Mapping[str, str] | None = None, uri: str = ""
    ) -> Calling:
        """INVITE."""
        calling = Calling(self, uri or self.uri_of(user), body, headers or {})
        calling.start()
        self.lab.settle()
        return calling

    def cancels(self, headers: Mapping[str, str] | None = None, *, at_once: bool = False) -> None:
        """CANCEL."""
        session = self.session
        assert isinstance(session, Calling)
        session.cancel(headers, at_once=at_once)
        self.lab.settle()

    def rings(
        self, *, fork: str = "", reliable: bool = False, headers: Mapping[str, str] | None = None
    ) -> None:
        """180."""
        self.progresses(180, fork=fork, reliable=reliable, headers=headers)

    def progresses(
        self,
        status: int = 183,
        *,
        fork: str = "",
        body: str = "",
        reliable: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """1xx."""
        self.called.progress(status, fork, body, reliable=reliable, more=headers)
        self.lab.settle()

    def answers(self, *, fork: str = "") -> None:
        """200."""
        self.called.answer(fork)
        self.lab.settle()

    def refuses(self, status: int = 486, headers: Mapping[str, str] | None = None, body: str = "") -> None:
        """3xx to 6xx."""
        self.called.refuse(status, headers, body)
        self.lab.settle()

    def acknowledges(self) -> None:
        """The ACK that was withheld."""
        self.withholds.discard("ACK")
        self.usage.acknowledge(self.got("200 INVITE"))
        self.lab.settle()

    def hangs_up(self, headers: Mapping[str, str] | None = None) -> None:
        """BYE."""
        self.usage.hang_up(headers)
        self.lab.settle()

    def reinvites(self, body: str = HOLD, headers: Mapping[str, str] | None = None) -> Asking:
        """re-INVITE."""
        return self.sends("INVITE", body, headers)

    def updates(self, body: str = HOLD, headers: Mapping[str, str] | None = None) -> Asking:
        """UPDATE."""
        return self.sends("UPDATE", body, headers)

    def sends(self, method: str, body: str = "", headers: Mapping[str, str] | None = None) -> Asking:
        """Any request in the dialog."""
        asking = self.usage.ask(method, body, headers)
        self.lab.settle()
        return asking

    def asks(
        self,
        method: str,
        user: str = "",
        headers: Mapping[str, str] | None = None,
        body: str = "",
        *,
        uri: str = "",
    ) -> Asking:
        """A request outside of any dialog."""
        target = uri or f"sip:{user + '@' if user else ''}{self.lab.proxy_host(self.proxy)}"
        more = dict(headers or {})
        rows = [
            ("Via", self.via()),
            ("Max-Forwards", more.pop("Max-Forwards", "70")),
            ("From", f"<{self.uri}>;tag={self.new_id()}"),
            ("To", more.pop("To", f"<{target}>")),
            ("Call-ID", more.pop("Call-ID", self.new_id())),
            ("CSeq", f"1 {method}"),
            *self.trace_rows(),
        ]
        wire = text_of(f"{method} {target} SIP/2.0", rows, more, body)
        asking = Asking(self, wire, self.proxy, heard=lambda _: None, silent=lambda: None)
        asking.start()
        self.lab.settle()
        return asking

    def asks_to_cancel(self, invite: Asking) -> Asking:
        """CANCEL of a re-INVITE."""
        return self.asks_again(invite.follow("CANCEL"))

    def asks_again(self, wire: bytes) -> Asking:
        """Any request, ready made."""
        asking = Asking(self, wire, self.proxy, heard=lambda _: None, silent=lambda: None)
        asking.start()
        self.lab.settle()
        return asking

    # What it has heard

    def got(self, label: str) -> Seen:
        """The last message of that kind (`BYE`, `180`, `200 INVITE`)."""
        for seen in reversed(self.heard):
            if seen.matches(label):
                return seen
        raise AssertionError(f"{self.name} got no {label}, only {self.heard}")

    def all(self, label: str) -> list[Seen]:
        """All messages of that kind, repeats included."""
        return [seen for seen in self.heard if seen.matches(label)]

    def count(self, label: str) -> int:
        """How many different messages of that kind."""
        return len({seen.data for seen in self.all(label)})

    @property
    def session(self) -> Session:
        """The newest call."""
        assert self.sessions, f"{self.name} has no call"
        return self.sessions[-1]

    @property
    def called(self) -> Called:
        """The newest call to it; one that can still be answered comes first."""
        found = [session for session in self.sessions if isinstance(session, Called)]
        assert found, f"nobody called {self.name}"
        return ([called for called in found if called.open] or found)[-1]

    @property
    def usage(self) -> Usage:
        """The newest call's dialog."""
        usage = self.session.usage
        assert usage is not None, f"{self.name} has no dialog"
        return usage

    @property
    def talking(self) -> bool:
        """Whether the newest call is up."""
        usage = self.session.usage if self.sessions else None
        return usage is not None and usage.live

    @property
    def idle(self) -> bool:
        """Whether every call is over."""
        return all(session.over for session in self.sessions)
