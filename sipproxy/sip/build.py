"""Messages made from other messages: responses, ACK and CANCEL (RFC 3261 sections 8.2.6, 9.1, 17.1.1.3)."""

from __future__ import annotations

from .headers import CSEQ, MAX_FORWARDS
from .message import Headers, Request, Response

REASONS: dict[int, str] = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    199: "Early Dialog Terminated",
    200: "OK",
    202: "Accepted",
    204: "No Notification",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    433: "Anonymity Disallowed",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    580: "Precondition Failure",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
    607: "Unwanted",
    608: "Rejected",
}

_COPIED = ("from", "to", "call-id", "cseq")
# ACK and CANCEL take the route and the trace context of their INVITE.
_CARRIED = frozenset(
    (
        "from",
        "call-id",
        "route",
        "traceparent",
        "tracestate",
        "x-traceparent",
        "x-tracestate",
        "otel-trace-id",
        "previous-trace-id",
        "baggage",
    )
)


def respond_to(request: Request, status: int, reason: str = "", *, to_tag: str = "") -> Response:
    """A response with what every response copies from its request; `to_tag` is added where To has none."""
    source = request.headers
    if source.keys.count("via") == 1:
        at = source.keys.index("via")
        keys, lines = ["via"], [source.lines[at]]
    else:
        vias = [line for key, line in zip(source.keys, source.lines, strict=True) if key == "via"]
        keys, lines = ["via"] * len(vias), vias
    for key in _COPIED:
        line = source.lines[source.keys.index(key)]
        keys.append(key)
        lines.append(with_to_tag(request, line, to_tag) if to_tag and key == "to" else line)
    if status == 100 and "timestamp" in source.keys:
        keys.append("timestamp")
        lines.append(source.lines[source.keys.index("timestamp")])
    return Response(status, reason or REASONS.get(status, "Unknown"), Headers(keys, lines))


def mended(request: Request, response: Response, faults: list[str]) -> Response | None:
    """A response with something malformed, for what it is worth: without the headers that cannot be read.

    Where that is To, a final response stands for 502, and a provisional one for nothing.
    """
    if "to" not in faults:
        for key in faults:
            response.headers.remove(key)
        return response
    if response.status < 200:
        return None
    base = respond_to(request, 502)
    to_line = response.headers.lines[response.headers.keys.index("to")]
    base.headers.lines[base.headers.keys.index("to")] = to_line
    return base


def with_to_tag(request: Request, line: str, tag: str) -> str:
    """The request's To line as it stands, with our tag where it has none."""
    return line if request.to_tag else f"{line.rstrip()};tag={tag}"


def ack_for(request: Request, response: Response) -> bytes:
    """The ACK that a client transaction sends for a response of 300 to 699."""
    return _follow(request, "ACK", response.headers.lines[response.headers.keys.index("to")])


def cancel_for(request: Request, reason: str | None = None) -> Request:
    """The CANCEL of an INVITE we sent; its top Via, and so its branch, is the INVITE's."""
    source = request.headers
    cancel = _follow_request(request, "CANCEL", source.lines[source.keys.index("to")])
    if reason:
        cancel.headers.add("Reason", reason)
    return cancel


def _follow(request: Request, method: str, to_line: str) -> bytes:
    return _follow_request(request, method, to_line).encode()


def _follow_request(request: Request, method: str, to_line: str) -> Request:
    source = request.headers
    keys = ["via", "max-forwards"]
    lines = [source.lines[0], "Max-Forwards: 70"]  # our Via is the only one, and the first line
    for key, line in zip(source.keys, source.lines, strict=True):
        if key in _CARRIED:
            keys.append(key)
            lines.append(line)
    cseq = source.first(CSEQ)
    keys += ["to", "cseq", "content-length"]
    lines += [to_line, f"CSeq: {cseq.number if cseq else 0} {method}", "Content-Length: 0"]
    return Request(method, request.uri, Headers(keys, lines))


def hops_left(request: Request) -> int:
    """Max-Forwards of what the request becomes on the other leg (RFC 7332), never below 0."""
    hops = request.headers.first(MAX_FORWARDS)
    return 70 if hops is None else max(hops - 1, 0)


def cseq_of(request: Request) -> int:
    """The CSeq number."""
    cseq = request.headers.first(CSEQ)
    return cseq.number if cseq else 0
