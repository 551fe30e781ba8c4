"""A phone's view of one dialog: who, which number is next, and by which way (RFC 3261 section 12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .network import Place
from .seen import Seen, address, text_of

if TYPE_CHECKING:
    from .agent import Agent


class Dialog:
    """Early or confirmed. `local` and `remote` are URIs."""

    def __init__(self, phone: Agent, call_id: str, *, local: str, local_tag: str, remote: str) -> None:
        self.phone = phone
        self.call_id = call_id
        self.local = local
        self.local_tag = local_tag
        self.remote = remote
        self.remote_tag = ""
        self.local_seq = 0
        self.remote_seq = 0
        self.target = ""
        self.routes: list[str] = []

    @classmethod
    def of_caller(cls, phone: Agent, invite: Seen, response: Seen) -> Dialog:
        """What a response to our INVITE makes (12.1.2)."""
        dialog = cls(
            phone,
            invite.call_id,
            local=address(invite.header("From")),
            local_tag=invite.from_tag,
            remote=address(response.header("To")),
        )
        dialog.remote_tag = response.to_tag
        dialog.local_seq = invite.cseq
        dialog.target = response.contact
        dialog.routes = _routes(response)[::-1]
        return dialog

    @classmethod
    def of_callee(cls, phone: Agent, invite: Seen, tag: str) -> Dialog:
        """What our response to an INVITE makes (12.1.1)."""
        dialog = cls(
            phone,
            invite.call_id,
            local=address(invite.header("To")),
            local_tag=tag,
            remote=address(invite.header("From")),
        )
        dialog.remote_tag = invite.from_tag
        dialog.remote_seq = invite.cseq
        dialog.target = invite.contact
        dialog.routes = _routes(invite)
        return dialog

    @property
    def key(self) -> tuple[str, str, str]:
        """Call-ID, our tag, their tag."""
        return self.call_id, self.local_tag, self.remote_tag

    def in_order(self, request: Seen) -> bool:
        """Whether a request's number is a new one (12.2.2)."""
        if request.cseq <= self.remote_seq:
            return False
        self.remote_seq = request.cseq
        return True

    def request(
        self,
        method: str,
        body: str = "",
        more: Mapping[str, str] | None = None,
        *,
        cseq: int = 0,
        branch: str = "",
    ) -> bytes:
        """A request's bytes; it takes the next number unless one is given."""
        if not cseq:
            self.local_seq += 1
            cseq = self.local_seq
        phone = self.phone
        rows = [
            ("Via", phone.via(branch)),
            ("Max-Forwards", (more or {}).get("Max-Forwards", "70")),
            ("From", f"<{self.local}>;tag={self.local_tag}"),
            ("To", f"<{self.remote}>" + (f";tag={self.remote_tag}" if self.remote_tag else "")),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"),
        ]
        rows += [("Route", route) for route in self.routes]
        if method not in ("BYE", "ACK", "PRACK"):
            rows.append(("Contact", phone.contact))
        rows += phone.context_rows()
        more = {name: value for name, value in (more or {}).items() if name != "Max-Forwards"}
        return text_of(f"{method} {self.target} SIP/2.0", rows, more, body)

    @property
    def hop(self) -> Place:
        """Where requests go."""
        return self.phone.place_of(address(self.routes[0]) if self.routes else self.target)


def _routes(message: Seen) -> list[str]:
    return [route.strip() for line in message.headers("Record-Route") for route in line.split(",")]
