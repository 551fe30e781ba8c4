"""What of a message crosses to the other leg.

Lines pass with the characters they came with, except those that form the dialog or the hop, those that carry
trace context, and those that a trunk's policy takes away.
"""

from __future__ import annotations

from ..propagation.carriers import CONTEXT_HEADERS, strip_pai
from ..sip.build import REASONS
from ..sip.headers import RACK, SUPPORTED, TO
from ..sip.message import Headers, Request, Response
from ..sip.refer import MARKER, without_parameters
from ..sip.uri import parse_uri
from ..sip.values import NameAddr
from .rules import (
    ACTION_CALL_ID,
    ACTION_CONTACT,
    ACTION_CSEQ,
    ACTION_DROP,
    ACTION_FROM,
    ACTION_KEEP,
    ACTION_MAX_FORWARDS,
    ACTION_PAI,
    ACTION_SUPPORTED,
    ACTION_TO,
    TRANSPARENT_TAGS,
    HeaderRules,
)


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
        if action == 0 or action == ACTION_KEEP:
            pass
        elif action == ACTION_DROP:
            continue
        elif action == ACTION_FROM:
            line = f"From: {identity.from_value}"
        elif action == ACTION_TO:
            line = f"To: {identity.to_value}"
        elif action == ACTION_CALL_ID:
            line = f"Call-ID: {identity.call_id}"
        elif action == ACTION_CSEQ:
            line = f"CSeq: {identity.cseq} {request.method}"
        elif action == ACTION_MAX_FORWARDS:
            line = f"Max-Forwards: {identity.max_forwards}"
            missing_hops = False
        elif action == ACTION_CONTACT:
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
    if action == ACTION_SUPPORTED:
        return without_opaque_tags(line)
    if action == ACTION_PAI:
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
        if action == ACTION_DROP:
            continue
        if action == ACTION_CONTACT:
            if not contact:
                if response.status not in _POINTING:
                    continue
            elif key in keys:
                continue
            else:
                line = f"Contact: {contact}"
        elif action == ACTION_SUPPORTED:
            line = without_opaque_tags(line)
            if not line:
                continue
        elif action == ACTION_PAI:
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
        elif action == ACTION_PAI:
            line = without_context(line)
        elif key not in _FORWARDED and action == ACTION_DROP:
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
        elif key in _FORWARDED or actions.get(key, otherwise) != ACTION_DROP:
            base.headers.add_line(key, line)
    base.body = response.body
    base.reason = response.reason or REASONS.get(response.status, "")
    return base


def _without_header_part(request: Request, line: str) -> str:
    receiver = request.headers.first(TO)
    if receiver is None or plain_uri(receiver.uri) == receiver.uri:
        return line
    value = without_headers(receiver)
    return f"To: {value};tag={receiver.tag}" if receiver.tag else f"To: {value}"


def without_headers(address: NameAddr) -> str:
    """A To value for a leg of ours: no tag yet, neither a header part nor a marker of ours in its URI (RFC
    3261
    section 19.1.1).
    """
    uri = plain_uri(address.uri)
    return NameAddr(uri, address.parameters, address.display).with_tag("")


def plain_uri(text: str) -> str:
    """A URI without its header part, and without a transfer's marker."""
    if "?" in text:
        headers = parse_uri(text).headers
        if headers:
            text = text[: -len(headers) - 1]
    return without_parameters(text, MARKER) if MARKER in text else text


def size_of(request: Request) -> int:
    """Bytes that the request takes with a Via of ours, near enough to judge by."""
    lines = request.headers.lines
    return sum(map(len, lines)) + 2 * len(lines) + len(request.uri) + len(request.body) + 140
