"""What a message must have before anybody acts on it: the one door where malformed ones are found.

request      check_request     raises with the status that it earns
response     check_response    raises where no transaction could use it
response     faults_of         names the headers that a dialog could not use
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import RemoteProtocolError
from .headers import (
    CONTACT,
    CSEQ,
    FROM,
    MAX_FORWARDS,
    RACK,
    RECORD_ROUTE,
    RETRY_AFTER,
    SESSION_EXPIRES,
    TO,
    VIA,
)
from .message import NEEDED, Message, Request, Response
from .uri import parse_uri
from .values import LWS, split_commas

_ONCE = ("from", "to", "call-id", "cseq", "max-forwards", "content-length")
_TARGETS = ("INVITE", "UPDATE")  # methods whose Contact becomes the remote target


def check_response(response: Response) -> None:
    """Raise RemoteProtocolError unless a transaction can use it."""
    keys = response.headers.keys
    for key in NEEDED:
        if key not in keys:
            raise RemoteProtocolError(f"no {key}")
    response.headers.first(VIA)
    response.headers.first(CSEQ)


def check_request(request: Request) -> None:
    """Raise RemoteProtocolError with the status that the request earns (RFC 3261 sections 8.1.1 and 8.2)."""
    headers = request.headers
    keys = headers.keys
    for key in NEEDED:
        if key not in keys:
            raise RemoteProtocolError(f"no {key}")
    if len(set(keys)) != len(keys):
        for key in _ONCE:
            if keys.count(key) > 1:
                raise RemoteProtocolError(f"more than one {key}")
    cseq = headers.first(CSEQ)
    if cseq is not None and cseq.method != request.method:
        raise RemoteProtocolError("CSeq is for another method")
    if not request.call_id:
        raise RemoteProtocolError("empty Call-ID")
    for kind in (FROM, TO):
        address = headers.first(kind)
        if address is not None:
            if not address.uri.strip(LWS):
                raise RemoteProtocolError(f"no address in {kind.name}")
            parse_uri(address.uri)
    headers.first(VIA)
    headers.first(MAX_FORWARDS)
    if "contact" in keys:
        _check_contacts(request, request.method)
    if "record-route" in keys:
        _check_routes(request)
    headers.first(RACK)
    headers.first(SESSION_EXPIRES)
    uri = request.parsed_uri
    if not uri.is_sip and uri.scheme != "tel":
        raise RemoteProtocolError("unsupported URI scheme", status=416)


def _check_contacts(message: Message, method: str) -> None:
    """Where a Contact becomes a remote target there is one, a SIP address (RFC 3261 section 8.1.1.8)."""
    texts = [part for text in message.headers.values("contact") for part in split_commas(text)]
    for text in texts:
        if text != "*":
            parse_uri(CONTACT.parse(text).uri)
    if method in _TARGETS and (len(texts) > 1 or not parse_uri(CONTACT.parse(texts[0]).uri).is_sip):
        raise RemoteProtocolError("Contact is no single SIP address")


def _check_routes(message: Message) -> None:
    for route in message.headers.every(RECORD_ROUTE):
        parse_uri(route.uri)


def _check_to(response: Response) -> None:
    receiver = response.headers.first(TO)
    if receiver is not None:
        parse_uri(receiver.uri)


def _check_target(response: Response) -> None:
    cseq = response.headers.first(CSEQ)
    if response.status < 300:
        _check_contacts(response, cseq.method if cseq else "")


# What a dialog reads of a response.
_READ: dict[str, Callable[[Response], object]] = {
    "to": _check_to,
    "contact": _check_target,
    "record-route": _check_routes,
    "session-expires": lambda response: response.headers.first(SESSION_EXPIRES),
    "retry-after": lambda response: response.headers.first(RETRY_AFTER),
}


def faults_of(response: Response) -> list[str]:
    """The keys of headers that a dialog would read, and cannot."""
    faults: list[str] = []
    for key in response.headers.keys:
        check = _READ.get(key)
        if check is not None and key not in faults:
            try:
                check(response)
            except RemoteProtocolError:
                faults.append(key)
    return faults
