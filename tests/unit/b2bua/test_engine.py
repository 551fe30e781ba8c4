"""What crosses the whole core from one trunk to another: identities, routing of others, the word of
strangers.
"""

from __future__ import annotations

import random

import pytest

from sipproxy.b2bua.engine import Engine
from sipproxy.b2bua.routing import Router
from sipproxy.b2bua.settings import HeaderPolicy, RouteSettings, TrunkSettings
from sipproxy.propagation.settings import Carrier, TrunkTrace
from sipproxy.sip.build import respond_to
from sipproxy.sip.flow import UDP, Flow, Listener
from sipproxy.sip.ids import Ids
from sipproxy.sip.message import Request, Response, parse

A, B = Flow(UDP, "192.0.2.1", 5060), Flow(UDP, "192.0.2.2", 5060)
US = "192.0.2.53:5060"
CONTEXT = "00-4bf92f3577f34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Pair:
    """A proxy between trunk a and trunk b."""

    def __init__(self, a: TrunkSettings | None = None, b: TrunkSettings | None = None) -> None:
        trunks = {
            "a": a or TrunkSettings("192.0.2.1:5060", match=("192.0.2.1",)),
            "b": b or TrunkSettings("192.0.2.2:5060", match=("192.0.2.2",)),
        }
        routes = (RouteSettings(("b",), source="a"), RouteSettings(("a",), source="b", user="^alice$"))
        listeners = [Listener(0, UDP, "192.0.2.53", 5060, US)]
        ids = Ids(random.Random(1).randbytes)
        self.engine = Engine(listeners, ids, Router.of(trunks, routes), sample=lambda *_: True)

    def hears(self, data: bytes, source: Flow = A) -> list[Request | Response]:
        self.engine.receive(data, source, 0.0)
        return [parse(transmit.data) for transmit in self.engine.take()[0]]

    def forwards(self, data: bytes, source: Flow = A) -> Request:
        (request,) = [each for each in self.hears(data, source) if isinstance(each, Request)]
        return request


def wire(
    *more: str, method: str = "INVITE", via: str = "192.0.2.1", uri: str = f"sip:bob@{US}", call: int = 1
) -> bytes:
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP {via};branch=z9hG4bK{method}{call}{len(uri)}",
        "From: <sip:alice@192.0.2.1>;tag=a",
        *([] if any(line.startswith("To:") for line in more) else [f"To: <sip:bob@{US}>"]),
        f"Call-ID: call-{call}",
        f"CSeq: {call} {method}",
        "Contact: <sip:alice@192.0.2.1>",
        *more,
        "Content-Length: 0",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def test_a_trunk_is_told_by_where_a_request_comes_from_not_by_its_via() -> None:
    pair = Pair(a=TrunkSettings("192.0.2.1:5070", match=("192.0.2.1:5070",)))
    assert pair.forwards(wire(), Flow(UDP, "192.0.2.1", 5070))
    (refusal,) = pair.hears(wire(via="192.0.2.1:5070", call=2), Flow(UDP, "192.0.2.1", 40000))
    assert isinstance(refusal, Response)
    assert refusal.status == 403


def test_what_one_trunk_reads_context_from_does_not_cross_to_another() -> None:
    a = TrunkSettings("192.0.2.1", match=("192.0.2.1",), trace=TrunkTrace(aliases=("X-Trace-Ctx",)))
    b = TrunkSettings("192.0.2.2:5060", trace=TrunkTrace(send=()))
    assert "4bf92f35" not in Pair(a, b).forwards(wire(f"X-Trace-Ctx: {CONTEXT}")).encode().decode()


def test_a_second_identity_stays_beside_the_stamped_one() -> None:
    b = TrunkSettings("192.0.2.2:5060", trace=TrunkTrace(send=(Carrier.TRACEPARENT, Carrier.PAI)))
    rows = ("P-Asserted-Identity: <sip:a@x>", "P-Asserted-Identity: <tel:+1>")
    sip, tel = Pair(b=b).forwards(wire(*rows)).headers.values("p-asserted-identity")
    assert sip.startswith("<sip:a@x;traceparent=00-")
    assert tel == "<tel:+1>"


def test_a_relayed_request_may_come_by_again_for_somebody_else() -> None:
    pair = Pair()
    assert pair.forwards(wire(method="MESSAGE"))
    spiral = wire(method="MESSAGE", uri=f"sip:alice@{US}", via="192.0.2.2")
    assert pair.forwards(spiral, B).uri == "sip:alice@192.0.2.1:5060"


def test_the_routing_of_others_survives_a_relayed_request() -> None:
    rows = (
        "Record-Route: <sip:192.0.2.9;lr>",
        "Path: <sip:edge;lr>",
        f"Route: <sip:{US};lr>, <sip:192.0.2.66;lr>",
    )
    request = Pair().forwards(wire(*rows, method="SUBSCRIBE"))
    ours, theirs = request.headers.values("record-route")
    assert ours.startswith(f"<sip:{US};lr")
    assert theirs == "<sip:192.0.2.9;lr>"
    assert request.headers.values("path") == ["<sip:edge;lr>"]
    assert request.headers.values("route") == ["<sip:192.0.2.66;lr>"]
    back = wire(f"Route: {ours}", method="NOTIFY", uri="sip:192.0.2.1", via="192.0.2.2", call=3)
    assert pair_route(back) == "sip:192.0.2.1"


def pair_route(data: bytes) -> str:
    """Where a request from b leads that no route takes but our Record-Route does."""
    return Pair().forwards(data, B).uri


def test_context_in_the_header_part_of_to_goes_no_further() -> None:
    to = f"To: <sip:bob@x?traceparent={CONTEXT}>"
    assert Pair().forwards(wire(to, method="MESSAGE")).headers.values("to") == ["<sip:bob@x>"]


def test_all_reasons_cross_with_a_cancel() -> None:
    pair = Pair()
    invite = pair.forwards(wire())
    pair.hears(respond_to(invite, 180, to_tag="b").encode(), B)
    cancel = wire("Reason: SIP;cause=200", "Reason: Q.850;cause=16").replace(b" INVITE\r\n", b" CANCEL\r\n")
    crossed = pair.forwards(cancel.replace(b"INVITE sip", b"CANCEL sip"))
    assert crossed.headers.values("reason") == ["SIP;cause=200, Q.850;cause=16"]


def test_a_challenge_passes_where_only_listed_headers_do() -> None:
    pair = Pair(a=TrunkSettings("192.0.2.1:5060", match=("192.0.2.1",), headers=HeaderPolicy(allow=())))
    challenge = respond_to(pair.forwards(wire()), 407, to_tag="b")
    challenge.headers.add("Proxy-Authenticate", 'Digest realm="x"')
    answers = [each for each in pair.hears(challenge.encode(), B) if isinstance(each, Response)]
    assert answers[-1].headers.values("proxy-authenticate") == ['Digest realm="x"']


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("X-Interaction-ID: i-1", "i-1"),
        ("User-to-User: 3f0c9a77-21;encoding=ascii", "3f0c9a77-21"),
        ("User-to-User: +4915550001234", ""),
    ],
)
def test_the_interaction_is_named_by_its_header_or_by_user_to_user(row: str, found: str) -> None:
    pair = Pair(
        b=TrunkSettings("192.0.2.2:5060", trace=TrunkTrace(send=(Carrier.TRACEPARENT, Carrier.BAGGAGE)))
    )
    baggage = pair.forwards(wire(row)).headers.text("baggage") or ""
    assert baggage == (f"interaction.id={found}" if found else "")
