"""Who places a call: what an attempt needs of it, and tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..propagation.context import TraceContext
from ..sip.message import Request, Response
from ..sip.uri import parse_uri
from .rewrite import plain_uri

if TYPE_CHECKING:
    from .attempt import Attempt
    from .call import Call
    from .leg import Leg
    from .routing import Trunk


class Placing:
    """`request` is the INVITE that goes out, as it came or as we made it; `target_uri` is where it goes when
    that is not its Request-URI, `advised_uri` where an application wants it to go, `replaces` the Replaces it
    carries, `previous` its previous-trace-id.

    `parent` is what the spans of its attempts hang on.
    """

    __slots__ = (
        "advised_uri",
        "arrived_at",
        "call",
        "loop_mark",
        "parent",
        "previous",
        "replaces",
        "request",
        "shared",
        "target_uri",
        "web",
    )

    def __init__(self, call: Call, request: Request, now: float) -> None:
        self.call = call
        self.shared = call.shared
        self.request = request
        self.arrived_at = now
        self.parent: TraceContext = call.root
        self.loop_mark = ""
        self.web = False  # a browser's
        self.target_uri = ""
        self.advised_uri = ""
        self.replaces = ""
        self.previous = ""

    def attempt_context(self) -> tuple[TraceContext, TraceContext | None]:
        """The context of the next attempt's span, and its parent; None: the span begins a trace of its
        own.
        """
        return self.parent.child(self.shared.ids.span_id()), self.parent

    def outgoing_uri(self, trunk: Trunk) -> str:
        """The Request-URI towards a trunk: where it named us it names the trunk now; neither a header part
        nor a marker of ours passes.
        """
        text = self.advised_uri or self.target_uri or self.request.uri
        uri = parse_uri(text)
        ours = self.shared.names_us(uri) or (
            self.web and uri.port is None and uri.host in self.shared.web_names
        )
        if uri.is_sip and ours:
            return plain_uri(uri.with_host(trunk.shown))  # a marker of somebody else's is for him
        return text[: -len(uri.headers) - 1] if uri.headers else text

    def caller_leg(self) -> Leg | None:
        """A dialog of its own towards the caller, for one of the callee's."""
        raise NotImplementedError

    def progressed(self, attempt: Attempt, response: Response, now: float) -> None:
        """The callee rings, or talks before it answers."""
        raise NotImplementedError

    def connected(self, attempt: Attempt, leg: Leg, response: Response, now: float) -> None:
        """Somebody answered."""
        raise NotImplementedError

    def refused(self, attempt: Attempt, response: Response, now: float) -> None:
        """A final response that is no success."""
        raise NotImplementedError

    def lost(self, attempt: Attempt, error: str, now: float) -> None:
        """Silence, or no way there."""
        raise NotImplementedError
