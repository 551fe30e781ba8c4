"""A REFER as the phone that obeys it sees it: the subscription it makes, and the call that it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from .seen import OFFER, Seen, address
from .session import Calling
from .styles import Style
from .transactions import Answering
from .usage import Usage

if TYPE_CHECKING:
    from .agent import Agent

MARKER = ";sipproxy-ref="
OPEN, FINAL = "active;expires=60", "terminated"


class Triggered:
    """From the REFER to its last NOTIFY; `usage` is the dialog that it came in, or that it made."""

    def __init__(
        self, phone: Agent, usage: Usage, answering: Answering, style: Style, *, first: bool
    ) -> None:
        self.phone = phone
        self.usage = usage
        self.refer = answering.request
        self.style = style
        self.calling: Calling | None = None
        self.status = 100
        self._named = style.names_event or not first  # 2.4.6: only the first one in a dialog needs no id
        self.unwanted = self.refer.header("Refer-Sub").lower() == "false"
        self.over = self.unwanted  # the subscription
        self._answering = answering

    @property
    def event(self) -> str:
        """The subscription's name."""
        return f"refer;id={self.refer.cseq}" if self._named else "refer"

    def start(self) -> None:
        """Accept, say so, and dial."""
        style, world = self.style, self.phone.world
        if style.early_notify:
            self._notify(100)
            world.after(0.050, self._accept)
        else:
            self._accept()
            self._notify(100)
        if style.lies:
            self._notify(200)
        world.after(0.050 * style.early_notify + style.dials_after_s, self._dial)

    def _accept(self) -> None:
        rows = [("Contact", self.phone.contact)]
        if self.unwanted:
            rows.append(("Refer-Sub", "false"))
        self._answering.answer(
            200 if self.style.answer == 200 else 202, tag=self.usage.dialog.local_tag, rows=rows
        )

    def _notify(self, status: int) -> None:
        """Tell how far it is, as long as anybody listens."""
        final = status >= 200
        if self.over or self.phone.dead or (final and not self.style.ends):
            return
        self.status = status
        self.over = final
        self._say(f"{FINAL};reason={self.style.reason}" if final else OPEN)

    def _say(self, state: str) -> None:
        more = {
            "Event": self.event,
            "Subscription-State": state,
            "Content-Type": "message/sipfrag;version=2.0",
        }
        self.usage.ask("NOTIFY", f"SIP/2.0 {self.status} Whatever\r\n", more)

    def subscribed(self, answering: Answering) -> None:
        """A SUBSCRIBE for it: NOTIFY says where it is; with Expires: 0 for the last time (RFC 6665)."""
        expires = answering.request.header("Expires") or "60"
        if self.over:
            answering.answer(481, tag=self.usage.dialog.local_tag)
            return
        rows = [("Contact", self.phone.contact), ("Expires", expires)]
        answering.answer(200, tag=self.usage.dialog.local_tag, rows=rows)
        self.over = expires == "0"
        self._say(f"{FINAL};reason=timeout" if self.over else f"active;expires={expires}")

    # The new call

    def _dial(self) -> None:
        if self.phone.dead:
            return
        uri, headers = dialled(self.refer, self.style.keeps)
        self.calling = Calling(self.phone, uri, OFFER, headers, traced=False)
        self.calling.told = self._told
        self.calling.start()

    def _told(self, status: int) -> None:
        self._notify(status)
        if 200 <= status < 300 and self.style.leaves:
            self.usage.hang_up()


def dialled(refer: Seen, keeps: frozenset[str]) -> tuple[str, dict[str, str]]:
    """The URI that a REFER has dialled, and what its INVITE says besides: as much as this phone keeps."""
    uri, _, part = address(refer.header("Refer-To")).partition("?")
    if MARKER in uri and "marker" not in keeps:
        before, _, behind = uri.partition(MARKER)
        uri = before + "".join(f";{rest}" for rest in behind.split(";")[1:])
    headers: dict[str, str] = {}
    for pair in part.split("&") if part and "uri" not in keeps else ():
        name, _, value = pair.partition("=")
        if _kept(unquote(name).lower(), keeps):
            headers[unquote(name)] = unquote(value)
    if part and "uri" in keeps:
        pieces = part.split("%")  # what is escaped does not survive it (baresip 1.0.0)
        uri += "?" + pieces[0] + "".join(piece[2:] for piece in pieces[1:])
    if "referred-by" in keeps and refer.header("Referred-By"):
        headers["Referred-By"] = refer.header("Referred-By")
    return uri, headers


def _kept(name: str, keeps: frozenset[str]) -> bool:
    """Whether a header of Refer-To becomes one of the INVITE."""
    if name in ("replaces", "previous-trace-id"):
        return name in keeps
    return "traceparent" in keeps  # and whatever else is there
