"""Ways to a peer: names in trunks and Contacts, connections that break, datagrams that are too large."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sipproxy.b2bua.settings import Timeouts
from sipproxy.sip.flow import TCP, UDP

from .lab import Lab, route, trunk
from .seen import OFFER

MakeLab = Callable[..., Lab]
TO_BOTH = (route("bob", "carol", source="alice"),)


def test_a_name_is_looked_up_and_its_targets_are_tried_in_order(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"bob": trunk("sip.bob.example", match=("192.0.2.2",))})
    lab.hosts["sip.bob.example"] = [(UDP, "192.0.2.22", 5060), (UDP, "192.0.2.2", 5060)]
    lab.network.unreachable.add(("192.0.2.22", 5060))
    alice, bob = lab.phone("alice"), lab.phone("bob", at="192.0.2.2")
    alice.calls("bob")
    lab.settle()
    bob.answers()
    assert bob.got("INVITE").uri == "sip:bob@sip.bob.example"
    assert alice.talking
    (looked_up,) = [span for span in lab.spans if span.name == "dns"]
    (routed,) = [span for span in lab.spans if span.name == "route"]
    assert (looked_up.parent_id, looked_up.kind, looked_up.failed) == (routed.span_id, "INTERNAL", False)
    assert looked_up.attributes["sip.trunk"] == "bob"


@pytest.mark.parametrize("answer", [[], None], ids=["unknown", "never answered"])
def test_a_name_that_leads_nowhere(make_lab: MakeLab, answer: None) -> None:
    lab = make_lab(trunks={"bob": trunk("sip.bob.example", match=("192.0.2.2",))}, routes=TO_BOTH)
    lab.hosts["sip.bob.example"] = answer
    alice, carol = lab.cast("alice", "carol")
    alice.calls("bob")
    lab.run(4.5)
    assert lab.count("unresolved") == 1
    carol.answers()
    assert alice.talking
    (looked_up,) = [span for span in lab.spans if span.name == "dns"]
    assert (looked_up.failed, looked_up.attributes["error.type"]) == (True, "dns")


def test_a_cancel_while_the_name_is_looked_up(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"bob": trunk("sip.bob.example", match=("192.0.2.2",))})
    lab.hosts["sip.bob.example"] = None
    alice = lab.phone("alice")
    alice.calls("bob")
    alice.cancels()
    assert alice.got("487")
    lab.run(5.0)


def test_an_address_that_no_listener_reaches_counts_as_unreachable(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"bob": trunk("[2001:db8::2]:5060")}, routes=TO_BOTH, ipv6=False)
    alice, carol = lab.cast("alice", "carol")
    alice.calls("bob")
    carol.answers()
    assert alice.talking


def test_a_name_in_contact_is_looked_up(lab: Lab) -> None:
    lab.hosts["pc.bob.example"] = [(UDP, "192.0.2.2", 5060)]
    alice, bob = lab.cast("alice", "bob")
    bob.contact = "<sip:bob@pc.bob.example>"
    alice.calls("bob")
    bob.answers()
    assert bob.got("ACK").uri == "sip:bob@pc.bob.example"
    assert alice.sends("INFO").answered == 200
    alice.hangs_up()
    assert bob.got("BYE")


def test_two_requests_wait_for_one_name_and_leave_in_order(lab: Lab) -> None:
    lab.hosts["pc.bob.example"] = [(UDP, "192.0.2.2", 5060)]
    lab.hosts["pc2.bob.example"] = [(UDP, "192.0.2.2", 5060)]
    alice, bob = lab.cast("alice", "bob")
    bob.contact = "<sip:bob@pc.bob.example>"
    alice.calls("bob")
    bob.answers()
    bob.contact = "<sip:bob@pc2.bob.example>"
    bob.updates()
    lab.lookup_s, lab.lookups_backwards = 3.0, True
    with lab.at_once():
        alice.sends("INFO")
        alice.hangs_up()
    lab.run(8.0)
    assert [seen.label for seen in bob.heard if seen.label in ("INFO", "BYE")] == ["INFO", "BYE"]


@pytest.mark.parametrize("answer", [[], None], ids=["unknown", "never answered"])
def test_a_contact_that_leads_nowhere_ends_the_call(lab: Lab, answer: None) -> None:
    lab.hosts["pc.bob.example"] = answer
    alice, bob = lab.cast("alice", "bob")
    bob.contact = "<sip:bob@pc.bob.example>"
    alice.calls("bob")
    bob.answers()
    reinvite = alice.reinvites()
    lab.run(40.0)
    assert reinvite.answered >= 400
    assert alice.idle
    assert lab.engine.calls == 0
    lab.forgiven = ("never acknowledged",)


@pytest.mark.parametrize("host", ["1.2.3", "999.1.1.1", "[2001:db8::2]", "192.0.2.2;transport=tcp"])
def test_a_contact_that_makes_no_sense_is_no_accident(make_lab: MakeLab, host: str) -> None:
    """Whatever it says, requests to it fail, and nothing flies."""
    lab = make_lab(ipv6=False, streams=False)
    alice, bob = lab.cast("alice", "bob")
    bob.contact = f"<sip:bob@{host}>"
    alice.calls("bob")
    bob.answers()
    lab.run(3.0)
    alice.sends("INFO")
    lab.run(40.0)
    alice.hangs_up()
    lab.run(40.0)
    assert alice.idle
    lab.forgiven = ("never acknowledged",)


def test_info_waits_for_a_name_longer_than_its_transaction_lives(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    bob.contact = "<sip:bob@pc.bob.example>"
    lab.hosts["pc.bob.example"] = [(UDP, "192.0.2.2", 5060)]
    alice.calls("bob")
    bob.answers()
    bob.contact = "<sip:bob@late.bob.example>"
    lab.hosts["late.bob.example"] = [(UDP, "192.0.2.2", 5060)]
    bob.updates()
    lab.lookup_s = 3.9
    bob.replies["INFO"] = None
    alice.sends("INFO")
    lab.run(45.0)
    assert alice.talking
    assert bob.talking


def test_a_peer_that_is_gone_is_told_of_at_once(lab: Lab) -> None:
    """A port that is closed now: the asker hears it, though it repeats its request meanwhile."""
    alice, bob = lab.talking("alice", "bob")
    lab.network.unreachable.add(("192.0.2.2", 5060))
    info = alice.sends("INFO")
    lab.run(2.0)
    assert info.answered == 503
    alice.hangs_up()
    lab.run(1.0)
    assert alice.idle
    bob.dead = True


def test_a_connection_is_gone_and_the_peer_listens(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"bob": trunk("192.0.2.2:5060;transport=tcp", match=("192.0.2.2",))})
    alice = lab.phone("alice", transport=TCP)
    bob = lab.phone("bob", transport=TCP)
    lab.talking("alice", "bob")
    for stream in list(lab.network.streams):
        lab.network.cut(stream)
    bob.hangs_up()
    assert alice.got("BYE")
    assert bob.got("200 BYE")


def test_a_connection_is_gone_and_nobody_listens(make_lab: MakeLab) -> None:
    lab = make_lab()
    alice, bob = lab.phone("alice", transport=TCP), lab.phone("bob")
    lab.talking("alice", "bob")
    for stream in list(lab.network.streams):
        lab.network.cut(stream)
    lab.network.unreachable.add(("192.0.2.1", 5060))
    bob.hangs_up()
    lab.run(3.0)
    assert bob.got("200 BYE")
    assert lab.engine.calls == 0
    alice.dead = True


def test_a_large_request_leaves_over_tcp(make_lab: MakeLab) -> None:
    lab = make_lab()
    alice = lab.phone("alice")
    bob = lab.phone("bob", transport=TCP)
    alice.calls("bob", body=OFFER + "a=x\r\n" * 300)
    assert bob.got("INVITE").header("Via").startswith("SIP/2.0/TCP")
    bob.answers()
    assert alice.talking


def test_a_large_request_falls_back_to_udp(make_lab: MakeLab) -> None:
    lab = make_lab()
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", body=OFFER + "a=x\r\n" * 300)
    lab.settle()
    assert bob.got("INVITE").header("Via").startswith("SIP/2.0/UDP")
    bob.answers()
    assert alice.talking


def test_a_reload_changes_new_calls_and_no_old_one(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    carol = lab.phone("carol")
    old = lab.engine.shared.router.trunks["bob"]
    router = type(lab.engine.shared.router).of(lab.trunks, (route("carol", source="alice"), *lab.routes))
    lab.does(lambda now: lab.engine.reload(router, now))
    assert alice.sends("INFO").answered == 200
    alice.hangs_up()
    assert bob.got("BYE")
    assert old.calls == 0
    alice.calls("bob")
    assert carol.sessions


def test_the_time_to_the_next_trunk_is_a_setting(make_lab: MakeLab) -> None:
    lab = make_lab(routes=TO_BOTH, timeouts=Timeouts(first_response_s=1.0, ring_s=20.0))
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    bob.dead = True
    alice.calls("bob")
    lab.run(1.1)
    carol.rings()
    lab.run(20.0)
    assert alice.got("408")
    assert carol.got("CANCEL")
