"""An answer without a transaction, for requests too broken to have one (RFC 3261 section 8.2.7)."""

from __future__ import annotations

from ..errors import RemoteProtocolError
from .build import respond_to
from .flow import Flow
from .headers import VIA
from .matching import has_tag, reply_flow, stamp_via, stateless_tag
from .message import Request


def stateless_refusal(request: Request, error: RemoteProtocolError, flow: Flow) -> tuple[bytes, Flow] | None:
    """The bytes and their way, where the headers allow an answer at all."""
    if request.method == "ACK":
        return None
    for key in ("from", "to", "call-id", "cseq"):
        if request.headers.keys.count(key) < 1:
            return None
    try:
        via = request.headers.first(VIA)
        if via is None:
            return None
        stamp_via(request, via, flow)
        # Without a transaction the tag comes from the branch: each repeat gets the same.
        tag = "" if has_tag(request) else stateless_tag(via.branch)
        response = respond_to(request, error.status, error.reason)
    except RemoteProtocolError:
        return None
    # Of what is malformed nothing leaves that could pass for two lines.
    lines = response.headers.lines
    lines[:] = [" ".join(line.split()) if "\n" in line or "\r" in line else line for line in lines]
    if tag:
        lines[response.headers.keys.index("to")] += f";tag={tag}"
    return response.encode(), reply_flow(via, flow)
