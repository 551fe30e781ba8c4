"""What is wrong, comes twice, or goes round in circles."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sipproxy.b2bua.settings import HeaderPolicy
from sipproxy.sip.flow import UDP

from .lab import Lab, route, trunk
from .seen import ANSWER

MakeLab = Callable[..., Lab]


def test_a_repeated_invite_gets_the_last_answer_again(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    lab.loses("100", receiver="alice", times=2)
    alice.calls("bob")
    lab.run(2.0)
    assert bob.count("INVITE") == 1
    assert alice.got("100")


def test_a_request_that_comes_twice_is_acted_on_once(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    for label in ("INVITE", "180", "200 INVITE", "ACK", "INFO", "BYE"):
        lab.loses(label, times=2, fate="twice")
    lab.talking("alice", "bob")
    alice.sends("INFO")
    alice.hangs_up()
    assert bob.count("INVITE") == bob.count("ACK") == bob.count("INFO") == bob.count("BYE") == 1
    assert len(bob.sessions) == 1


def test_a_merged_request_gets_482(lab: Lab) -> None:
    """8.2.2.2: the same request by two ways."""
    alice, bob = lab.cast("alice", "bob")
    calling = alice.calls("bob")
    wire = calling.asking.request.data.replace(b"z9hG4bK-alice", b"z9hG4bK-fork")
    alice.asks_again(wire)
    assert alice.got("482 INVITE")
    assert len(bob.sessions) == 1


def test_a_loop_gets_482(make_lab: MakeLab) -> None:
    """The next hop is a proxy that sends the request back to us, with its Via on top of ours."""
    lab = make_lab(routes=(route("mirror", user="^loop$"),), trunks={"mirror": trunk("192.0.2.77:5060")})
    alice = lab.phone("alice")
    bounces = 0

    def mirror(data: bytes, source: tuple[str, str, int], stream: int) -> None:
        nonlocal bounces
        via = b"Via: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bKmirror"
        if data.startswith(b"INVITE "):
            bounces += 1
            assert bounces < 10, "nobody notices"
            hops = lab_hops(data)
            wire = data.replace(b"\r\n", b"\r\n" + via + b"%d\r\n" % bounces, 1)
            wire = wire.replace(b"Max-Forwards: %d" % hops, b"Max-Forwards: %d" % (hops - 1))
            wire = wire.replace(b"192.0.2.77", b"192.0.2.100", 1)
            lab.network.send(wire, (UDP, "192.0.2.77", 5060), source)
        elif data.startswith(b"SIP/2.0 "):
            head, _, rest = data.partition(b"Via: ")
            line, _, rest = rest.partition(b"\r\n")
            if b"mirror" in line:
                lab.network.send(head + rest, (UDP, "192.0.2.77", 5060), source)

    lab.network.bind("mirror", (UDP, "192.0.2.77", 5060), mirror)
    calling = alice.calls("loop")
    lab.run(2.0)
    assert calling.failed == 482
    lab.referee.faults.clear()  # a stateless mirror acknowledges nothing


def lab_hops(data: bytes) -> int:
    return int(data.partition(b"Max-Forwards: ")[2].partition(b"\r\n")[0])


def test_max_forwards_is_counted_down(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", headers={"Max-Forwards": "12"})
    assert bob.got("INVITE").header("Max-Forwards") == "11"


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_max_forwards_zero_gets_483(lab: Lab, method: str) -> None:
    alice, bob = lab.cast("alice", "bob")
    if method == "INVITE":
        alice.calls("bob", headers={"Max-Forwards": "0"})
    else:
        alice.asks(method, "bob", {"Max-Forwards": "0"})
    assert alice.got("483")
    assert not bob.heard


def test_a_required_extension_that_we_would_break_gets_420(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", headers={"Require": "outbound, timer"})
    assert alice.got("420").header("Unsupported") == "outbound"
    assert not bob.heard


def test_supported_tells_only_what_works(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", headers={"Supported": "replaces, 100rel, outbound, timer"})
    assert bob.got("INVITE").header("Supported") == "replaces, 100rel, timer"


@pytest.mark.parametrize("method", ["BYE", "PRACK", "UPDATE", "REFER"])
def test_what_makes_no_sense_outside_a_dialog(lab: Lab, method: str) -> None:
    alice, bob = lab.cast("alice", "bob")
    status = alice.asks(method, "bob").answered
    assert status == (400 if method == "REFER" else 481)  # a REFER could, with a Refer-To
    assert not bob.heard


@pytest.mark.parametrize("method", ["MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REGISTER", "INFO", "PING"])
def test_other_requests_are_relayed(lab: Lab, method: str) -> None:
    alice, bob = lab.cast("alice", "bob")
    asking = alice.asks(method, "bob", {"Contact": alice.contact, "Event": "presence"}, "hello")
    assert asking.answered == 200
    assert bob.got(method).body == "hello"
    assert bob.got(method).call_id == asking.request.call_id
    assert bob.got(method).trace_id == alice.trace_id
    assert bob.got(method).contact == alice.contact[1:-1]


def test_a_relayed_request_finds_the_next_trunk(make_lab: MakeLab) -> None:
    lab = make_lab(routes=(route("bob", "carol", source="alice"),))
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    bob.replies["MESSAGE"] = 503
    assert alice.asks("MESSAGE", "bob").answered == 200
    assert carol.got("MESSAGE")


def test_a_relayed_request_that_nobody_answers(lab: Lab) -> None:
    """RFC 4320: no 408."""
    alice, bob = lab.cast("alice", "bob")
    bob.replies["MESSAGE"] = None
    asking = alice.asks("MESSAGE", "bob")
    lab.run(60.0)
    assert asking.over
    assert not asking.answered
    assert alice.got("100 MESSAGE")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Contact", "<sip:alice@[::>"),
        ("Contact", "<sip:a b@192.0.2.1>"),
        ("Contact", "<sip:alice@>"),
        ("Record-Route", "<sip:192.0.2.1;lr"),
        ("Max-Forwards", "many"),
    ],
)
def test_a_malformed_request_gets_400_at_once(lab: Lab, name: str, value: str) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", headers={name: value})
    if bob.sessions:
        bob.rings()
    assert alice.got("400")
    assert lab.engine.calls == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Contact", "<sip:bob@[::>"),
        ("Contact", '"bob <sip:bob@192.0.2.2>'),
        ("Record-Route", "<sip:192.0.2.2;lr"),
        ("Session-Expires", "long"),
        ("RSeq", "one"),
    ],
)
def test_a_malformed_answer_does_not_kill_the_call(lab: Lab, name: str, value: str) -> None:
    """It is taken for what it is worth, or the caller hears of it at once: nobody hangs for minutes."""
    alice, bob = lab.cast("alice", "bob")
    bob.answer_headers = {name: value}
    alice.calls("bob")
    bob.answers()
    lab.run(35.0)
    assert alice.talking or alice.session.failed
    assert bob.called.answering.answered
    assert bob.usage.over or not bob.usage.unacknowledged


@pytest.mark.parametrize(
    ("name", "value"), [("Contact", "<sip:bob@[::>"), ("Session-Expires", "long"), ("Record-Route", "<sip:")]
)
def test_a_malformed_answer_to_a_reinvite_does_not_kill_the_call(lab: Lab, name: str, value: str) -> None:
    alice, bob = lab.talking("alice", "bob")
    bob.answer_headers = {name: value}
    reinvite = alice.reinvites()
    lab.run(2.0)
    assert reinvite.answered
    lab.run(40.0)
    assert bob.never_acknowledged == 0


def test_garbage_is_counted_and_nothing_else(lab: Lab) -> None:
    alice, _ = lab.talking("alice", "bob")
    for junk in (
        b"\x00\xff" * 40,
        b"HELLO\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"INVITE sip:x SIP/2.0\r\n\r\n",
    ):
        lab.network.send(junk, alice.place, alice.proxy)
        lab.settle()
    assert lab.count("malformed") + lab.count("stray_response") >= 3
    assert alice.talking


def test_a_stray_ack_is_counted(lab: Lab) -> None:
    alice, _ = lab.talking("alice", "bob")
    wire = alice.usage.acks[1]
    alice.hangs_up()
    alice.network.send(wire, alice.place, alice.proxy)
    lab.settle()
    assert lab.count("stray_ack") == 1


def test_what_a_trunk_may_not_see_is_taken_away(make_lab: MakeLab) -> None:
    policy = HeaderPolicy(strip=("X-Secret", "s"), set={"X-Proxy": "yes"})
    lab = make_lab(trunks={"bob": trunk("bob", headers=policy)})
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", headers={"X-Secret": "1", "X-Open": "2", "Subject": "hidden"})
    invite = bob.got("INVITE")
    assert (invite.header("X-Secret"), invite.header("X-Open"), invite.header("X-Proxy")) == ("", "2", "yes")
    assert not invite.header("Subject")


def test_a_fork_that_lost_does_not_end_the_call_that_won(lab: Lab) -> None:
    """An UPDATE is open on one fork while the other one answers."""
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    bob.progresses(183, fork="-desk", body=ANSWER, reliable=True)
    bob.progresses(183, fork="-mobile", body=ANSWER, reliable=True)
    bob.replies["UPDATE"] = None
    desk = next(iter(alice.session.usages.values()))
    desk.ask("UPDATE", ANSWER)
    lab.settle()
    bob.answers(fork="-mobile")
    lab.run(40.0)
    assert alice.talking
    assert bob.talking


def test_a_contact_of_another_scheme(lab: Lab) -> None:
    alice, _bob = lab.cast("alice", "bob")
    alice.calls("bob", headers={"Contact": "<tel:+15550001234>"})
    assert alice.session.failed == 400
