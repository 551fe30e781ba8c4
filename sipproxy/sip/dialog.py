"""One side's view of a dialog (RFC 3261 section 12): who, in what order, and by which way."""

from __future__ import annotations

from ..errors import RemoteProtocolError
from .flow import Flow
from .headers import CONTACT, CSEQ, FROM, RECORD_ROUTE, TO
from .message import Message, Request, Response
from .uri import parse_uri
from .values import NameAddr


class Dialog:
    """`local` and `remote` are From or To values without their tags, as written."""

    __slots__ = (
        "call_id",
        "flow",
        "local",
        "local_cseq",
        "local_tag",
        "remote",
        "remote_cseq",
        "remote_tag",
        "remote_target",
        "route_set",
    )

    def __init__(self, call_id: str, local: str, local_tag: str, remote: str, remote_tag: str) -> None:
        self.call_id = call_id
        self.local = local
        self.local_tag = local_tag
        self.remote = remote
        self.remote_tag = remote_tag
        self.local_cseq = 0
        self.remote_cseq: int | None = None
        self.remote_target = ""
        self.route_set: tuple[str, ...] = ()
        self.flow: Flow | None = None  # where its last request came from, for streams

    @classmethod
    def of_server(cls, request: Request, local_tag: str) -> Dialog:
        """The dialog that our response with `local_tag` to this request creates (12.1.1). Raises
        RemoteProtocolError.
        """
        remote, local = _both(request)
        dialog = cls(request.call_id, local.with_tag(""), local_tag, remote.with_tag(""), remote.tag)
        cseq = request.headers.first(CSEQ)
        dialog.remote_cseq = cseq.number if cseq else None
        dialog.remote_target = remote.uri  # for those that send no Contact
        dialog.refresh_target(request)
        if "record-route" in request.headers:
            dialog.route_set = _routes(request)
        return dialog

    @classmethod
    def of_client(cls, request: Request, response: Response) -> Dialog:
        """The dialog that this response to our request creates (12.1.2). Raises RemoteProtocolError."""
        local, _ = _both(request)
        _, remote = _both(response)
        dialog = cls(request.call_id, local.with_tag(""), local.tag, remote.with_tag(""), remote.tag)
        cseq = request.headers.first(CSEQ)
        dialog.local_cseq = cseq.number if cseq else 0
        dialog.remote_target = request.uri  # for those that send no Contact
        dialog.refresh_target(response)
        if "record-route" in response.headers:
            dialog.set_routes(response)
        return dialog

    def set_routes(self, response: Response) -> None:
        """Take the route set from a response to our request: the reverse of its Record-Route."""
        self.route_set = _routes(response)[::-1]

    def refresh_target(self, message: Message) -> None:
        """Take the remote target from a Contact, where there is one (12.2.1.2, 12.2.2)."""
        contact = message.headers.first(CONTACT)
        if contact is not None:
            parse_uri(contact.uri)
            self.remote_target = contact.uri

    def accept_cseq(self, number: int) -> bool:
        """Whether a request with that number is in order; if so, it is the newest now (12.2.2)."""
        if self.remote_cseq is not None and number <= self.remote_cseq:
            return False
        self.remote_cseq = number
        return True

    def next_cseq(self) -> int:
        """The number of our next request."""
        self.local_cseq += 1
        return self.local_cseq

    @property
    def key(self) -> str:
        """What tells our dialogs apart: both tags, since forks of one INVITE share ours."""
        return f"{self.local_tag} {self.remote_tag}"

    @property
    def from_value(self) -> str:
        """From of our requests."""
        return f"{self.local};tag={self.local_tag}"

    @property
    def to_value(self) -> str:
        """To of our requests."""
        return f"{self.remote};tag={self.remote_tag}" if self.remote_tag else self.remote

    def addressing(self) -> tuple[str, tuple[str, ...], str]:
        """Request-URI, Route values, and the URI of the next hop (12.2.1.1, strict routers included)."""
        if not self.route_set:
            return self.remote_target, (), self.remote_target
        first = NameAddr.parse(self.route_set[0]).uri
        if parse_uri(first).parameter("lr") is not None:
            return self.remote_target, self.route_set, first
        return first, (*self.route_set[1:], f"<{self.remote_target}>"), first


def _routes(message: Message) -> tuple[str, ...]:
    """Record-Route values, checked now: later nobody could be told."""
    routes = message.headers.every(RECORD_ROUTE)
    for route in routes:
        parse_uri(route.uri)
    return tuple([route.with_tag("") for route in routes])


def _both(message: Message) -> tuple[NameAddr, NameAddr]:
    sender, receiver = message.headers.first(FROM), message.headers.first(TO)
    if sender is None or receiver is None:
        raise RemoteProtocolError("no From or no To")
    return sender, receiver
