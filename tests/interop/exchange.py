"""The telephones' exchange: the proxy alone, each telephone a trunk of its own; or the proxy behind Kamailio,
with which the telephones are registered, and which sends every call through the proxy.

    with Exchange(folder, receiver, refer="relay", registrar=True) as exchange:
        alice, bob = exchange.baresip("alice"), exchange.baresip("bob")

Telephones that are still there at the end are ended, then the exchange, in which nothing may be left.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.otlp import Receiver
from tests.support.proxy import Proxy
from tests.support.spans import Span, by_start, children, drawn, roots
from tests.support.wire import Message

from .baresip import Baresip
from .kamailio import Kamailio
from .linphone import Linphone
from .people import HOSTS, final_words, heard, nothing_is_left, only, place, settings

PEOPLE = ("alice", "bob", "carol")


class Exchange:
    """Where alice, bob and carol reach each other; `refer` is the mode of all trunks."""

    def __init__(self, folder: Path, receiver: Receiver, *, refer: str, registrar: bool) -> None:
        self.kamailio: Kamailio | None = None
        self.domain = ""
        self._folder = folder
        self._stack = ExitStack()
        self._places = {who: place(who) for who in PEOPLE}
        self._sbc_at = place("sbc") if registrar else None
        trunks: dict[str, Any]
        routes: list[dict[str, Any]]
        if self._sbc_at is not None:
            trunks = {"sbc": {"address": self._sbc_at, "match": [HOSTS["sbc"]], "refer": refer}}
            routes = [{"from": "sbc", "to": ["sbc"]}]
        else:
            trunks = {
                who: {"address": at, "match": [HOSTS[who]], "refer": refer}
                for who, at in self._places.items()
            }
            routes = [{"user": f"^{who}$", "to": [who]} for who in PEOPLE]
        self._config = settings(receiver, trunks, routes)

    def baresip(self, who: str) -> Baresip:
        """A baresip that can be called."""
        outbound, registers = self.domain, self._sbc_at is not None
        phone = Baresip(
            who,
            self._places[who],
            self._folder / who,
            domain=self.domain,
            outbound=outbound,
            registers=registers,
        )
        self._stack.enter_context(phone)
        self._await(who)
        return phone

    def linphone(self, who: str) -> Linphone:
        """A linphonec that can be called."""
        phone = Linphone(
            who, self._places[who], self._folder / who, domain=self.domain, registrar=self._sbc_at
        )
        self._stack.enter_context(phone)
        self._await(who)
        return phone

    @property
    def carriers(self) -> int:
        """How many carriers of a transfer came back in new calls; known at the end."""
        found: int = final_words(self.proxy)["counts"]["refer_carriers"]
        return found

    def _await(self, who: str) -> None:
        if self.kamailio is not None:
            self.kamailio.wait_until_registered(who)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.proxy = stack.enter_context(Proxy(self._config, self._folder / "proxy"))
            self.domain = at = self.proxy.address("udp")
            if self._sbc_at is not None:
                self.domain = self._sbc_at
                self.kamailio = stack.enter_context(
                    Kamailio(self._sbc_at, self._folder / "kamailio", targets=[f"sip:{at}"], callee=None)
                )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if kind is None:
            assert nothing_is_left(self.proxy), self.proxy.output
            if self.kamailio is not None:
                assert self.kamailio.complaints == []


def the_transfer(spans: Sequence[Span], **attributes: str) -> Span:
    """The transfer of an interaction that is one trace, below the first call's root."""
    root = roots(spans)[0]
    assert {span.trace_id for span in spans} == {root.trace_id}, drawn(spans)
    assert roots(spans) == [root], drawn(spans)
    transfer = only(spans, "transfer internal")
    assert transfer.parent_id == root.span_id, drawn(spans)
    wanted = {f"sip.transfer.{name}": value for name, value in attributes.items()}
    assert wanted.items() <= transfer.attributes.items(), drawn(spans)
    return transfer


def the_attended_transfer(spans: Sequence[Span], mode: str) -> Span:
    """The transfer in which two traces met: the transferee's and the consultation's. Each of them says so."""
    transfer = only(spans, "transfer internal", sip__transfer__kind="attended", sip__transfer__mode=mode)
    assert transfer.attributes["sip.transfer.outcome"] == "completed", drawn(spans)
    ours = [span for span in spans if span.trace_id == transfer.trace_id]
    others = [span for span in spans if span.trace_id != transfer.trace_id]
    assert len(roots(ours)) == len(roots(others)) == 1, drawn(spans)
    [other] = {span.trace_id for span in others}
    assert any(link.trace_id == other for span in ours for link in span.links), drawn(spans)
    assert any(link.span_id == transfer.span_id for span in others for link in span.links), drawn(spans)
    ends = {span.attributes["sip.dialog.end"] for span in others if span.name == "dialog"}
    assert ends == {"transferred"}, drawn(spans)
    return transfer


def below(spans: Sequence[Span], parent: Span, title: str) -> Span:
    """The one span of that name and kind right below another."""
    found = [span for span in children(spans, parent) if span.title == title]
    assert len(found) == 1, drawn(by_start(spans))
    return found[0]


def invited_by(messages: Sequence[Message], attempt: Span) -> Message:
    """The INVITE that came with that span's context, cleared of what the way back to us had left in it."""
    context = f"00-{attempt.trace_id}-{attempt.span_id}-"
    [invite] = [m for m in heard(messages, "INVITE") if m.values("traceparent")[0].startswith(context)]
    for value in (invite.start_line, invite.values("To")[0]):
        assert "?" not in value, value
        assert "sipproxy-ref" not in value, value
    return invite


def attempt_below(spans: Sequence[Span], transfer: Span) -> Span:
    """The INVITE to the target, beside the re-INVITEs that a transfer by ourselves needs."""
    return only(children(spans, transfer), "INVITE client", sip__leg="callee")


def media_at(message: Message) -> str:
    """The host to which the sender of that SDP wants its audio."""
    [address] = [line.split()[-1] for line in message.body.splitlines() if line.startswith("c=")]
    return address
