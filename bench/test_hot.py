"""What one INVITE costs on its way through: read, check, take its context, rewrite, add ours, write.

`pytest bench/test_hot.py`; the goal is a median of at most 60 µs on the interpreter.
"""

from pytest_benchmark.fixture import BenchmarkFixture

from sipproxy.b2bua.rewrite import Identity, cross_request
from sipproxy.b2bua.rules import DEFAULT_RULES
from sipproxy.propagation.carriers import extract_sip
from sipproxy.propagation.settings import TrunkTrace
from sipproxy.propagation.writing import write_sip
from sipproxy.sip.checking import check_request
from sipproxy.sip.flow import UDP, Listener
from sipproxy.sip.headers import FROM, MAX_FORWARDS, TO, VIA
from sipproxy.sip.matching import via_line
from sipproxy.sip.message import Request, parse

from .invite import INVITE

LISTENER = Listener(0, UDP, "127.0.0.1", 5060, "127.0.0.1:5060")
TRACE = TrunkTrace()
SPAN_ID = "53ce929d0e0e4736"


def through(data: bytes) -> bytes:
    """Do to an INVITE what the two legs do to it; ids are given, since drawing them is not measured."""
    request = parse(data)
    assert isinstance(request, Request)
    check_request(request)
    headers = request.headers
    found = extract_sip(headers.values, TRACE, request.parsed_uri.headers)
    sender, receiver, hops = headers.first(FROM), headers.first(TO), headers.first(MAX_FORWARDS)
    assert found.context and sender and receiver and hops and headers.first(VIA)
    uri = request.parsed_uri.with_host("127.0.0.1:5080")
    identity = Identity(uri, sender.with_tag("4f2c8a61d03b97e5"), receiver.with_tag(""), "5d0e" * 8, 1)
    identity.contact = "<sip:127.0.0.1:5060>"
    identity.max_forwards = hops - 1
    crossed = cross_request(request, identity, DEFAULT_RULES)
    rows, _dropped = write_sip(found.context.child(SPAN_ID), TRACE.send)
    for name, value in rows:
        crossed.headers.add(name, value)
    crossed.headers.keys.insert(0, "via")
    crossed.headers.lines.insert(0, via_line(LISTENER, "z9hG4bK5d0e4f2c8a61"))
    return crossed.encode()


def test_an_invite_goes_through(benchmark: BenchmarkFixture) -> None:
    sent: bytes = benchmark(through, INVITE)
    assert sent.endswith(INVITE[INVITE.index(b"\r\n\r\n") :])
    assert f"-{SPAN_ID}-01\r\n".encode() in sent
    assert INVITE[INVITE.index(b"Allow:") : INVITE.index(b"Session-ID:")] in sent
