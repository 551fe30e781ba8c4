"""Requests and responses as they reach the rewriting, and what comes out of it."""

from __future__ import annotations

from sipproxy.b2bua.rewrite import Identity, cross_request, cross_response
from sipproxy.b2bua.rules import DEFAULT_RULES, HeaderRules
from sipproxy.b2bua.settings import HeaderPolicy
from sipproxy.sip.build import respond_to
from sipproxy.sip.message import Request, Response, parse

TP = "00-4bf92f3577f34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
DIALOG = ["From: <sip:a@ours>;tag=ours", "To: <sip:b@ours>", "Call-ID: ours", "CSeq: 7 INVITE"]


def request(*rows: str, method: str = "INVITE", body: str = "") -> Request:
    lines = [
        f"{method} sip:b@proxy SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1",
        "From: <sip:a@theirs>;tag=theirs",
        "To: <sip:b@theirs>",
        "Call-ID: theirs",
        f"CSeq: 1 {method}",
        *rows,
    ]
    parsed = parse(("\r\n".join(lines) + f"\r\n\r\n{body}").encode("utf-8", "surrogateescape"))
    assert isinstance(parsed, Request)
    return parsed


def response(*rows: str, status: int = 200, body: str = "") -> Response:
    lines = [
        f"SIP/2.0 {status} Fine",
        "Via: SIP/2.0/UDP 192.0.2.100;branch=z9hG4bK2",
        "From: <sip:a@ours>;tag=ours",
        "To: <sip:b@ours>;tag=callee",
        "Call-ID: ours",
        "CSeq: 7 INVITE",
        *rows,
    ]
    parsed = parse(("\r\n".join(lines) + f"\r\n\r\n{body}").encode())
    assert isinstance(parsed, Response)
    return parsed


def identity(**more: object) -> Identity:
    made = Identity("sip:b@target", "<sip:a@ours>;tag=ours", "<sip:b@ours>", "ours", 7)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def crossed(
    *rows: str, policy: HeaderPolicy | None = None, method: str = "INVITE", **more: object
) -> list[str]:
    """The header lines that come out, without those that form the dialog or the hop."""
    rules = DEFAULT_RULES if policy is None else HeaderRules(policy)
    out = cross_request(request(*rows, method=method), identity(**more), rules)
    ours = {"from", "to", "call-id", "cseq", "max-forwards"}
    return [line for key, line in zip(out.headers.keys, out.headers.lines, strict=True) if key not in ours]


def back(*rows: str, contact: str = "", policy: HeaderPolicy | None = None, status: int = 200) -> list[str]:
    rules = DEFAULT_RULES if policy is None else HeaderRules(policy)
    base = respond_to(request(), status, to_tag="ours")
    out = cross_response(base, response(*rows, status=status), rules, contact)
    return out.headers.lines[5:]
