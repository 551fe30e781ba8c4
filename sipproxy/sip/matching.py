"""What makes messages one transaction, and which way responses go (RFC 3261 sections 17.1.3, 17.2.3, 18.2;
RFC 3581).
"""

from __future__ import annotations

from zlib import crc32

from ..errors import RemoteProtocolError
from .flow import DEFAULT_PORT, UDP, Flow, Listener
from .headers import CSEQ
from .message import Request
from .values import Via, split_commas


def via_line(listener: Listener, branch: str) -> str:
    """Our Via; rport asks for the answer to come back the way we sent (RFC 3581)."""
    return f"Via: SIP/2.0/{listener.transport} {listener.sent_by};branch={branch};rport"


def stamp_via(request: Request, via: Via, flow: Flow) -> None:
    """Note in the top Via where the request came from (RFC 3261 section 18.2.1, RFC 3581 section 4)."""
    rport = "rport" in via.parameters and via.parameters["rport"] is None
    received = via.parameters.get("received")
    if not rport and (received == flow.host or (received is None and via.host == flow.host)):
        return
    headers = request.headers
    at = headers.keys.index("via")
    value = f"SIP/2.0/{via.transport} {_sent_by(via)}"
    for name, argument in via.parameters.items():
        if name == "received":
            continue
        if name == "rport" and rport:
            argument = str(flow.port)
        value += f";{name}" if argument is None else f";{name}={argument}"
    value += f";received={flow.host}"
    rest = _below_top(headers.lines[at])
    headers.lines[at] = f"Via: {value}{', ' + rest if rest else ''}"


def _sent_by(via: Via) -> str:
    host = f"[{via.host}]" if ":" in via.host else via.host
    return host if via.port is None else f"{host}:{via.port}"


def _below_top(line: str) -> str:
    if "," not in line:
        return ""
    return ", ".join(split_commas(line.partition(":")[2])[1:])


def reply_flow(via: Via, flow: Flow) -> Flow:
    """Where responses go: back by the connection, and if that is gone to sent-by's port (RFC 3261 section
    18.2.2); on UDP to the source, by its port where rport is asked for. Never to maddr.
    """
    if flow.web or (flow.transport == UDP and "rport" in via.parameters):
        return flow
    port = via.port or DEFAULT_PORT[flow.transport]
    if port == flow.port:
        return flow
    return Flow(flow.transport, flow.host, port, flow.connection, flow.listener, flow.domain, flow.names)


def server_key(via: Via, request: Request, method: str) -> str:
    """What makes requests one transaction (RFC 3261 section 17.2.3)."""
    if via.has_cookie:
        return f"{via.branch} {via.host}:{via.port} {method}"
    cseq = request.headers.first(CSEQ)  # an RFC 2543 peer
    number = cseq.number if cseq else 0
    return f"{request.from_tag} {request.call_id} {number} {via.host}:{via.port} {via.branch} {method}"


def stateless_tag(branch: str) -> str:
    """The To-tag of an answer that nothing is kept for: each repeat of the request gets the same."""
    return f"{crc32(branch.encode('utf-8', 'surrogateescape')):08x}"


def has_tag(request: Request) -> bool:
    """Whether To has a tag, of a request that may be malformed."""
    try:
        return bool(request.to_tag)
    except RemoteProtocolError:
        return True  # unreadable: leave it as it is


def client_key(data: bytes) -> str:
    """The key of the transaction that sent these bytes, or "": our Via is the first line below the start."""
    start = data.find(b"\r\n") + 2
    via = data[start : data.find(b"\r\n", start)].decode("latin-1")
    branch = via.partition(";branch=")[2].partition(";")[0]
    if not branch:
        return ""
    return f"{branch} {data[: data.find(b' ')].decode('latin-1')}"
