"""What of a message crosses to the other leg.

Lines pass with the characters they came with, except those that form the dialog or the hop, those that carry
trace context, and those that a trunk's policy takes away.
"""

from __future__ import annotations

from ..propagation.carriers import CONTEXT_HEADERS, strip_pai
from ..sip.build import REASONS
from ..sip.headers import RACK, SUPPORTED, TO, key_of, learn
from ..sip.message import Headers, Request, Response
from ..sip.uri import parse_uri
from ..sip.values import NameAddr
from .settings import HeaderPolicy

# Option tags that work end to end through us, since we carry what they need (RFC 3262, 4028, 3312, 4488,
# ...).
TRANSPARENT_TAGS = frozenset(
    (
        "100rel",
        "timer",
        "precondition",
        "norefersub",
        "histinfo",
        "from-change",
        "early-session",
        "resource-priority",
        "privacy",
        "uui",
        "answermode",
        "eventlist",
        "pref",
    )
)
ALLOW = (
    "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, NOTIFY, SUBSCRIBE, PUBLISH, REGISTER"
)
OUR_SUPPORTED = "100rel, timer"

_DROP = 1
_FROM = 2
_TO = 3
_CALL_ID = 4
_CSEQ = 5
_CONTACT = 6
_MAX_FORWARDS = 7
_SUPPORTED = 8
_PAI = 9
_RACK = 10
_KEEP = 11  # passes even where only listed headers do

_BASE: dict[str, int] = {
    "via": _DROP,
    "route": _DROP,
    "record-route": _DROP,
    "proxy-require": _DROP,
    "timestamp": _DROP,
    "path": _DROP,
    "service-route": _DROP,
    "replaces": _DROP,
    "target-dialog": _DROP,
    "from": _FROM,
    "to": _TO,
    "call-id": _CALL_ID,
    "cseq": _CSEQ,
    "contact": _CONTACT,
    "max-forwards": _MAX_FORWARDS,
    "supported": _SUPPORTED,
    "p-asserted-identity": _PAI,
    "rack": _RACK,
    **{name: _DROP for name in CONTEXT_HEADERS},
    **{
        learn(name): _KEEP
        for name in (
            "Content-Type",
            "Content-Length",
            "Content-Encoding",
            "Content-Disposition",
            "MIME-Version",
            "Require",
            "RSeq",
            "Session-Expires",
            "Min-SE",
            "Allow",
            "Event",
            "Subscription-State",
            "Refer-To",
            "Expires",
            "WWW-Authenticate",
            "Proxy-Authenticate",
            "Authorization",
            "Proxy-Authorization",
            "Authentication-Info",
            "Retry-After",
            "Unsupported",
            "Reason",
        )
    },
}


class HeaderRules:
    """One trunk's policy, ready for use."""

    __slots__ = ("_set", "actions", "otherwise")

    def __init__(self, policy: HeaderPolicy, aliases: tuple[str, ...] = ()) -> None:
        self.actions = dict(_BASE)  # what happens to lines of that name
        self.otherwise = 0 if policy.allow is None else _DROP
        if policy.allow is not None:
            self.actions["p-asserted-identity"] = _DROP  # an identity passes only where it is listed
        for name in policy.allow or ():
            key = key_of(name)
            self.actions[key] = _PAI if key == "p-asserted-identity" else self.actions.get(key, 0)
        for name in aliases:
            self.actions[name.lower()] = _DROP
            self.actions[name.lower().replace("traceparent", "tracestate")] = _DROP
        for name in policy.strip:
            self.actions[key_of(name)] = _DROP
        self._set = list(policy.set.items())

    def apply_set(self, headers: Headers) -> None:
        """Write what the policy sets."""
        for name, value in self._set:
            headers.set(name, value)


DEFAULT_RULES = HeaderRules(HeaderPolicy())


class Identity:
    """What forms the dialog on the leg that a request leaves by."""

    __slots__ = (
        "call_id",
        "contact",
        "cseq",
        "from_value",
        "invite_cseq",
        "max_forwards",
        "routes",
        "rseq_shift",
        "to_value",
        "uri",
    )

    def __init__(self, uri: str, from_value: str, to_value: str, call_id: str, cseq: int) -> None:
        self.uri = uri
        self.from_value = from_value
        self.to_value = to_value
        self.call_id = call_id
        self.cseq = cseq
        self.contact = ""  # our Contact value; replaces one that came, and is added to an INVITE
        self.max_forwards = 70
        self.routes: tuple[str, ...] = ()
        self.invite_cseq = 0  # what RAck has to name on the leg it goes to
        self.rseq_shift = 0  # how much higher the RSeq is on the leg that RAck comes from


def cross_request(request: Request, identity: Identity, rules: HeaderRules) -> Request:
    """The request as it leaves by the other leg, without Via and without trace context."""
    keys: list[str] = []
    lines: list[str] = []
    missing_hops = True
    missing_contact = bool(identity.contact) and request.method == "INVITE"
    source = request.headers
    actions, otherwise = rules.actions, rules.otherwise
    for key, line in zip(source.keys, source.lines, strict=True):
        action = actions.get(key, otherwise)
        if action == 0 or action == _KEEP:
            pass
        elif action == _DROP:
            continue
        elif action == _FROM:
            line = f"From: {identity.from_value}"
        elif action == _TO:
            line = f"To: {identity.to_value}"
        elif action == _CALL_ID:
            line = f"Call-ID: {identity.call_id}"
        elif action == _CSEQ:
            line = f"CSeq: {identity.cseq} {request.method}"
        elif action == _MAX_FORWARDS:
            line = f"Max-Forwards: {identity.max_forwards}"
            missing_hops = False
        elif action == _CONTACT:
            if not identity.contact or key in keys:
                continue
            line = f"Contact: {identity.contact}"
            missing_contact = False
        else:
            kept = _filtered(action, line, source, identity)
            if not kept:
                continue
            line = kept
        keys.append(key)
        lines.append(line)
    headers = Headers(keys, lines)
    if missing_hops:
        headers.add_line("max-forwards", f"Max-Forwards: {identity.max_forwards}")
    if missing_contact:
        headers.add_line("contact", f"Contact: {identity.contact}")
    for route in identity.routes:
        headers.add_line("route", f"Route: {route}")
    rules.apply_set(headers)
    return Request(request.method, identity.uri, headers, request.body)


def _filtered(action: int, line: str, source: Headers, identity: Identity) -> str:
    if action == _SUPPORTED:
        return without_opaque_tags(line)
    if action == _PAI:
        return without_context(line)
    rack = source.first(RACK)
    if rack is None:
        return ""
    return f"RAck: {rack.rseq - identity.rseq_shift} {identity.invite_cseq} {rack.method}"


def without_context(line: str) -> str:
    """A P-Asserted-Identity line without the trace context that somebody put there (RFC 3325 knows none)."""
    if "traceparent" not in line.lower():
        return line
    name, _, value = line.partition(":")
    return f"{name}: {strip_pai(value.strip())}"


def without_opaque_tags(line: str) -> str:
    """A Supported line without option tags that would not work through us; "" when none is left."""
    name, _, value = line.partition(":")
    tags = SUPPORTED.parse(value.strip())
    kept = [tag for tag in tags if tag.lower() in TRANSPARENT_TAGS]
    if len(kept) == len(tags):
        return line
    return f"{name}: {', '.join(kept)}" if kept else ""


_RESPONSE_DROP = frozenset(
    (
        "via",
        "from",
        "to",
        "call-id",
        "cseq",
        "record-route",
        "timestamp",
        "path",
        "service-route",
        *CONTEXT_HEADERS,
    )
)
# Their Contacts say where else to look, and are nobody's remote target.
_POINTING = frozenset((300, 301, 302, 305, 380, 485))


def cross_response(base: Response, response: Response, rules: HeaderRules, contact: str) -> Response:
    """Fill `base`, our answer on the other leg, with what passes of the response that came.

    `contact` replaces a Contact; where it is empty only Contacts that point elsewhere pass (3xx, 485).
    """
    keys = base.headers.keys
    lines = base.headers.lines
    source = response.headers
    actions, otherwise = rules.actions, rules.otherwise
    for key, line in zip(source.keys, source.lines, strict=True):
        if key in _RESPONSE_DROP:
            continue
        action = actions.get(key, otherwise)
        if action == _DROP:
            continue
        if action == _CONTACT:
            if not contact:
                if response.status not in _POINTING:
                    continue
            elif key in keys:
                continue
            else:
                line = f"Contact: {contact}"
        elif action == _SUPPORTED:
            line = without_opaque_tags(line)
            if not line:
                continue
        elif action == _PAI:
            line = without_context(line)
        keys.append(key)
        lines.append(line)
    if contact and "contact" not in keys:
        base.headers.add("Contact", contact)
    base.body = response.body
    base.reason = response.reason or REASONS.get(response.status, "")
    return base


# Of a request outside our dialogs these are the peers' own, and pass as they came.
_FORWARDED = frozenset(
    (
        "from",
        "call-id",
        "cseq",
        "contact",
        "record-route",
        "path",
        "service-route",
        "timestamp",
        "replaces",
        "target-dialog",
    )
)


def forward_request(request: Request, uri: str, routes: list[str], hops: int, rules: HeaderRules) -> Request:
    """A request outside our dialogs as it leaves: without Via and trace context; `routes` are those behind
    us.
    """
    keys: list[str] = []
    lines: list[str] = []
    source = request.headers
    actions, otherwise = rules.actions, rules.otherwise
    for key, line in zip(source.keys, source.lines, strict=True):
        action = actions.get(key, otherwise)
        if key == "max-forwards" or key == "route":
            continue
        if key == "to":
            line = _without_header_part(request, line)
        elif action == _PAI:
            line = without_context(line)
        elif key not in _FORWARDED and action == _DROP:
            continue
        keys.append(key)
        lines.append(line)
    headers = Headers(keys, lines)
    headers.add_line("max-forwards", f"Max-Forwards: {hops}")
    for route in routes:
        headers.add_line("route", f"Route: {route}")
    rules.apply_set(headers)
    return Request(request.method, uri, headers, request.body)


def forward_response(base: Response, response: Response, rules: HeaderRules) -> Response:
    """Fill `base` with what passes of the response to such a request: all but the hop and trace context."""
    actions, otherwise = rules.actions, rules.otherwise
    for key, line in zip(response.headers.keys, response.headers.lines, strict=True):
        if key == "to":
            base.headers.lines[base.headers.keys.index("to")] = line
        elif key in ("via", "from", "call-id", "cseq", "timestamp"):
            continue
        elif key in _FORWARDED or actions.get(key, otherwise) != _DROP:
            base.headers.add_line(key, line)
    base.body = response.body
    base.reason = response.reason or REASONS.get(response.status, "")
    return base


def _without_header_part(request: Request, line: str) -> str:
    receiver = request.headers.first(TO)
    if receiver is None or "?" not in receiver.uri or not parse_uri(receiver.uri).headers:
        return line
    value = without_headers(receiver)
    return f"To: {value};tag={receiver.tag}" if receiver.tag else f"To: {value}"


def without_headers(address: NameAddr) -> str:
    """A To value for a leg of ours: no tag yet, and no header part in its URI (RFC 3261 section 19.1.1)."""
    if "?" in address.uri:
        headers = parse_uri(address.uri).headers
        if headers:
            address = NameAddr(address.uri[: -len(headers) - 1], address.parameters, address.display)
    return address.with_tag("")


def size_of(request: Request) -> int:
    """Bytes that the request takes with a Via of ours, near enough to judge by."""
    lines = request.headers.lines
    return sum(map(len, lines)) + 2 * len(lines) + len(request.uri) + len(request.body) + 140
