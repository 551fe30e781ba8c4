"""Calls by TLS: whose certificate counts, where sips: may go, and what our addresses say."""

from __future__ import annotations

from sipproxy.b2bua.events import RequestArrived
from sipproxy.b2bua.settings import TrunkSettings
from sipproxy.sip.flow import TCP, TLS, WSS, Flow
from sipproxy.sip.uri import parse_uri

from .lab import trunk
from .transfers import MakeLab


def test_a_call_over_tls(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"bob": trunk("192.0.2.2;transport=tls", match=("192.0.2.2",))})
    alice, bob = lab.phone("alice", transport=TLS), lab.phone("bob", transport=TLS)
    lab.talking("alice", "bob")
    assert bob.got("INVITE").header("Via").startswith("SIP/2.0/TLS 192.0.2.100:5061")
    assert bob.got("INVITE").contact == "sip:192.0.2.100:5061;transport=tls"
    assert alice.got("200 INVITE").contact == "sip:192.0.2.100:5061;transport=tls"
    bob.hangs_up()
    assert alice.got("BYE")
    assert lab.domains == {""}  # an address must stand in the certificate itself


def test_the_certificate_must_name_the_host_of_the_trunk(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"bob": trunk("sip.bob.example;transport=tls", match=("192.0.2.2",))})
    lab.hosts["sip.bob.example"] = [(TLS, "192.0.2.2", 5061)]
    bob = lab.phone("bob", at="192.0.2.2", transport=TLS, port=5061)
    alice, _ = lab.talking("alice", "bob")
    for stream in list(
        lab.network.streams
    ):  # his Contact is an address: the name to check is still the trunk's
        lab.network.cut(stream)
    alice.hangs_up()
    assert bob.got("BYE")
    assert lab.domains == {"sip.bob.example"}


def test_the_certificate_may_have_another_name(make_lab: MakeLab) -> None:
    bob_settings = TrunkSettings(
        "192.0.2.2;transport=tls", match=("192.0.2.2",), tls_name="voice.bob.example"
    )
    lab = make_lab(trunks={"bob": bob_settings})
    lab.phone("bob", transport=TLS)
    alice, _ = lab.talking("alice", "bob")
    alice.hangs_up()
    assert lab.domains == {"voice.bob.example"}


def test_a_certificate_says_whose_request_it_is(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"alice": TrunkSettings(None, match=("alice.example",))})
    alice, bob = lab.phone("alice", at="203.0.113.7", transport=TLS), lab.phone("bob")
    for names in ((), ("pbx.example", "alice.example")):
        lab.certificates["203.0.113.7"] = names
        alice.calls("bob")
        bob.answers()
        bob.hangs_up()
    stranger, known = lab.facts_of(RequestArrived)
    assert (stranger.trunk, known.trunk) == ("unknown", "alice")


def test_sips_goes_where_every_hop_is_tls(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"bob": trunk("192.0.2.2;transport=tls", match=("192.0.2.2",))})
    alice, bob = lab.phone("alice", transport=TLS), lab.phone("bob", transport=TLS)
    alice.calls("bob", uri="sips:bob@192.0.2.100")
    bob.answers()
    invite = bob.got("INVITE")
    assert invite.uri.startswith("sips:bob@192.0.2.2")
    assert invite.contact.startswith("sips:192.0.2.100:5061")
    assert alice.got("200 INVITE").contact.startswith("sips:192.0.2.100:5061")
    bob.hangs_up()
    assert alice.got("BYE")


def test_sips_does_not_go_in_the_clear(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"bob": trunk("192.0.2.2;transport=tcp", match=("192.0.2.2",))})
    alice, bob = lab.phone("alice", transport=TLS), lab.phone("bob", transport=TCP)
    alice.calls("bob", uri="sips:bob@192.0.2.100")
    assert alice.got("480 INVITE")
    assert not bob.heard


def test_sips_that_comes_in_the_clear_is_refused(make_lab: MakeLab) -> None:
    """Our Contact would have to be SIPS too, and there is no TLS where it came from (RFC 5630)."""
    lab = make_lab(trunks={"bob": trunk("192.0.2.2;transport=tls", match=("192.0.2.2",))})
    alice = lab.phone("alice")
    alice.calls("bob", uri="sips:bob@192.0.2.100")
    assert alice.got("416 INVITE")


def test_our_host_without_a_port_is_port_5060(make_lab: MakeLab) -> None:
    lab = make_lab()
    shared = lab.engine.shared
    assert shared.names_us(parse_uri("sip:bob@192.0.2.100"))
    assert shared.names_us(parse_uri("sips:bob@192.0.2.100"))  # 5061
    shared.names = frozenset(("192.0.2.100:5070", "192.0.2.100:443"))
    assert not shared.names_us(parse_uri("sip:bob@192.0.2.100"))  # somebody else on this machine
    assert not shared.names_us(parse_uri("sips:bob@192.0.2.100"))
    assert shared.names_us(parse_uri("sip:bob@192.0.2.100"), Flow(WSS, "203.0.113.7", 40000, 1))


def test_why_nothing_left_stands_in_the_span(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"bob": trunk("192.0.2.2;transport=tls", match=("192.0.2.2",))})
    lab.reason = "cannot connect: the peer's certificate has expired, ask +15550001234"
    alice = lab.phone("alice")
    lab.network.unreachable.add(("192.0.2.2", 5061))
    alice.calls("bob")
    lab.settle()
    (attempt,) = (span for span in lab.spans if span.name == "INVITE" and "error.message" in span.attributes)
    assert (
        attempt.attributes["error.message"] == "cannot connect: the peer's certificate has expired, ask ***34"
    )
    assert alice.got("503 INVITE")
