"""The routing webhook: what an application is asked about a call, and what of its answer is taken.

{to: [trunk, ...], uri?, headers?}     the call goes there, to that URI, with these headers
{reject: 403, reason?}                 the caller hears that
anything else, silence, no answer      the route's own `to`: never a lost call
"""

from __future__ import annotations

from ..errors import RemoteProtocolError
from ..propagation.carriers import CONTEXT_HEADERS
from ..propagation.context import TraceContext
from ..sip.headers import FROM, TO, key_of
from ..sip.message import Request
from ..sip.uri import TOKEN, parse_uri
from .rewrite import plain_uri
from .settings import RouteSettings

LONGEST_VALUE = 1024  # characters of a URI, or of a header that an application sets
MOST_HEADERS = 32
LONGEST_REASON = 64
MOST_TRUNKS = 32
_SCHEMES = ("sip:", "sips:", "tel:")
_CHALLENGES = (401, 407)  # these need a header that only the one who can check the answer can write
# These form the dialog or the hop, the body or the trace, or say what the caller can do: none of an
# application's business.
_OURS = CONTEXT_HEADERS | {
    *("via", "from", "to", "call-id", "cseq", "contact", "max-forwards", "max-breadth", "route"),
    *("record-route", "path", "service-route", "timestamp", "session-id"),
    *("content-length", "content-type", "content-encoding", "content-disposition", "content-language"),
    *("content-id", "mime-version", "require", "proxy-require", "supported", "allow", "allow-events"),
    *("session-expires", "min-se", "rseq", "rack", "event", "subscription-state", "refer-to", "refer-sub"),
    *("replaces", "join", "target-dialog", "in-reply-to"),
}


class Webhook:
    """One route's application."""

    __slots__ = ("headers", "timeout_s", "token", "url")

    def __init__(self, url: str, settings: RouteSettings) -> None:
        self.url = url
        self.timeout_s = settings.timeout_ms / 1000.0
        self.token = settings.webhook_token
        self.headers = settings.webhook_headers


class Consult:
    """Effect: ask, and call `Engine.consulted` with `token` and the answer, at the latest at `give_up_at`."""

    __slots__ = ("context", "give_up_at", "question", "token", "webhook")

    def __init__(
        self,
        token: int,
        webhook: Webhook,
        question: dict[str, object],
        context: TraceContext,
        give_up_at: float,
    ) -> None:
        self.token = token
        self.webhook = webhook
        self.question = question
        self.context = context  # of the route's span: what the application does hangs on it
        self.give_up_at = give_up_at


class Advice:
    """What an application wants. `reject` is a status, or 0."""

    __slots__ = ("headers", "reason", "reject", "to", "uri")

    def __init__(self) -> None:
        self.to: list[str] = []
        self.uri = ""
        self.headers: list[tuple[str, str]] = []
        self.reject = 0
        self.reason = ""


def question(
    request: Request, webhook: Webhook, trunk: str, interaction: str, target_uri: str = ""
) -> dict[str, object]:
    """What the application is told. It is part of the call, so nothing is masked. `target_uri` is where a
    transfer's call really goes: a marker of ours opens a call, and so is nobody's but the transferee's.
    """
    sender, receiver = request.headers.first(FROM), request.headers.first(TO)
    headers = {}
    for name in webhook.headers:
        values = request.headers.values(key_of(name))
        if values:
            headers[name] = ", ".join(values)
    return {
        "call_id": request.call_id,
        "from": "" if sender is None else sender.uri,
        "to": "" if receiver is None else plain_uri(receiver.uri),
        "uri": plain_uri(target_uri or request.uri),
        "trunk": trunk,
        "interaction_id": interaction,
        "headers": headers,
    }


def advice(answer: object) -> Advice:
    """Read an answer, decoded from JSON. Raises RemoteProtocolError for one that is not as it has to be."""
    found = Advice()
    if not isinstance(answer, dict):
        raise RemoteProtocolError("no object")
    status = answer.get("reject")
    if status is not None:
        reason = answer.get("reason")
        if not isinstance(status, int) or isinstance(status, bool) or not 400 <= status <= 699:
            raise RemoteProtocolError("reject is no status from 400 to 699")
        if status in _CHALLENGES:
            raise RemoteProtocolError("reject is a challenge")
        found.reject = status
        if isinstance(reason, str) and reason.isascii() and reason.isprintable():
            found.reason = reason[:LONGEST_REASON]
        return found
    trunks = answer.get("to")
    if not isinstance(trunks, list) or not 0 < len(trunks) <= MOST_TRUNKS:
        raise RemoteProtocolError("to is no list of trunks")
    for name in trunks:
        if not isinstance(name, str):
            raise RemoteProtocolError("to is no list of trunks")
        found.to.append(name)
    uri = answer.get("uri")
    if uri is not None:
        found.uri = _uri(uri)
    headers = answer.get("headers")
    if headers is not None:
        found.headers = _headers(headers)
    return found


def _uri(uri: object) -> str:
    if not isinstance(uri, str) or not uri.lower().startswith(_SCHEMES):
        raise RemoteProtocolError("uri is none of sip, sips, tel")
    if len(uri) > LONGEST_VALUE or not uri.isascii() or not uri.isprintable():
        raise RemoteProtocolError("uri is too long, or has characters that no URI has")
    parsed = parse_uri(uri)
    if not parsed.is_sip and not parsed.user:
        raise RemoteProtocolError("uri has no number")
    return uri


def _headers(headers: object) -> list[tuple[str, str]]:
    if not isinstance(headers, dict) or len(headers) > MOST_HEADERS:
        raise RemoteProtocolError("headers are no object, or too many")
    found: list[tuple[str, str]] = []
    for name, value in headers.items():
        if not isinstance(name, str) or not name or not TOKEN.issuperset(name) or key_of(name) in _OURS:
            raise RemoteProtocolError("a header that is not to be set")
        if not isinstance(value, str) or len(value) > LONGEST_VALUE or not value.isprintable():
            raise RemoteProtocolError("a header's value is one line of text")
        found.append((name, value))
    return found
