"""A browser calls by WebSocket (RFC 7118): nobody can connect to it, so all that is for it goes that way."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.routing import Router
from sipproxy.b2bua.settings import Refer, TrunkSettings
from sipproxy.sip.flow import TCP, WS, WSS, Flow

from .core import HOSTS, route
from .lab import Lab
from .phone import Phone
from .transfers import MakeLab, caused, refer_to, together

DESK = "203.0.113.7"


def desk_and(make_lab: MakeLab, *names: str, **settings: object) -> tuple[Lab, Phone, list[Phone]]:
    """A browser behind the trunk `desk`, which has no address; and other phones."""
    lab = make_lab(trunks={"desk": TrunkSettings(None, match=("wss",))}, **settings)
    desk = lab.phone("desk", at=DESK, transport=WSS, port=443)
    return lab, desk, lab.cast(*names)


def test_its_call_and_what_the_callee_does_with_it(make_lab: MakeLab) -> None:
    lab, desk, (bob,) = desk_and(make_lab, "bob")
    desk.calls("bob")
    bob.answers()
    assert bob.got("INVITE").trace_id == desk.trace_id
    assert desk.got("200 INVITE").contact == "sip:192.0.2.100:443;transport=ws"
    bob.reinvites()
    bob.sends("INFO")
    assert desk.got("INFO")
    bob.hangs_up()
    assert desk.got("BYE").uri == "sip:desk@desk.invalid;transport=ws"
    assert not lab.engine.calls


def test_it_hangs_up(make_lab: MakeLab) -> None:
    _, desk, (bob,) = desk_and(make_lab, "bob")
    desk.calls("bob")
    bob.answers()
    desk.hangs_up()
    assert bob.got("BYE")


def test_its_connection_breaks_and_it_comes_back(make_lab: MakeLab) -> None:
    lab, desk, (bob,) = desk_and(make_lab, "bob")
    desk.calls("bob")
    bob.answers()
    for stream in list(lab.network.streams):
        lab.network.cut(stream)
    desk.sends("INFO")  # by a new connection
    bob.hangs_up()
    assert desk.got("BYE")


def test_its_tab_is_closed(make_lab: MakeLab) -> None:
    lab, desk, (bob,) = desk_and(make_lab, "bob")
    desk.calls("bob")
    bob.answers()
    desk.dead = True
    for stream in list(lab.network.streams):
        lab.network.cut(stream)
    bob.hangs_up()
    lab.run(3.0)
    assert bob.got("200 BYE")
    assert not lab.engine.calls


@pytest.mark.parametrize("mode", [Refer.RELAY, Refer.LOCAL])
def test_the_callee_transfers_it(make_lab: MakeLab, mode: Refer) -> None:
    lab = make_lab(
        trunks={
            "desk": TrunkSettings(None, match=("wss",), refer=mode),
            "bob": TrunkSettings(f"{HOSTS['bob']}:5060", match=(HOSTS["bob"],), refer=mode),
        }
    )
    desk = lab.phone("desk", at=DESK, transport=WSS, port=443)
    bob, carol = lab.cast("bob", "carol")
    desk.calls("bob")
    bob.answers()
    bob.refers(desk, to=carol)
    if mode == "relay":
        uri, _ = refer_to(desk)
        assert uri.startswith("sip:carol@192.0.2.100:443;transport=ws;sipproxy-ref=")
    carol.answers()
    assert together(desk, carol)
    assert carol.got("INVITE").trace_id == desk.trace_id
    carol.hangs_up()
    assert desk.got("BYE")


def test_it_is_known_by_its_connection_when_it_keeps_nothing_of_the_refer(make_lab: MakeLab) -> None:
    lab = make_lab(
        trunks={
            "desk": TrunkSettings(None, match=("wss",), refer=Refer.RELAY),
            "bob": TrunkSettings(f"{HOSTS['bob']}:5060", match=(HOSTS["bob"],)),
        }
    )
    desk = lab.phone("desk", at=DESK, transport=WSS, port=443)
    bob, carol = lab.cast("bob", "carol")
    desk.calls("bob")
    bob.answers()
    desk.style.keeps, desk.traced = frozenset(), False  # JsSIP
    bob.refers(desk, to=carol)
    carol.answers()
    assert carol.got("INVITE").uri == "sip:carol@192.0.2.3:5060"
    assert carol.got("INVITE").trace_id == desk.trace_id
    assert caused(lab).origin.carrier == "connection"
    assert together(desk, carol)
    carol.hangs_up()


def test_it_transfers_the_callee(make_lab: MakeLab) -> None:
    _, desk, (bob, carol) = desk_and(make_lab, "bob", "carol")
    desk.calls("bob")
    bob.answers()
    desk.refers(bob, to=carol)
    carol.answers()
    assert together(bob, carol)
    assert carol.got("INVITE").trace_id == desk.trace_id
    carol.hangs_up()


def test_the_callees_other_phone_takes_over(make_lab: MakeLab) -> None:
    """The INVITE with Replaces that follows goes down the browser's connection, too."""
    lab, desk, (bob,) = desk_and(make_lab, "bob", routes=[route("bob", user="^desk$")])
    desk.calls("bob")
    bob.answers()
    other = lab.phone("other", at=HOSTS["bob"], port=5070)
    dialog = bob.usage.dialog
    named = f"{dialog.call_id};to-tag={dialog.remote_tag};from-tag={dialog.local_tag}"
    other.calls("desk", headers={"Require": "replaces", "Replaces": named, "traceparent": ""})
    assert together(desk, other)
    assert desk.got("INVITE").header("Replaces")
    assert desk.got("INVITE").trace_id == desk.trace_id
    other.hangs_up()


def test_its_tab_is_closed_while_it_rings(make_lab: MakeLab) -> None:
    """It gives its INVITE up by itself when the connection goes, and nobody can send CANCEL for it."""
    lab, desk, (bob,) = desk_and(make_lab, "bob")
    desk.calls("bob")
    bob.rings()
    desk.dead = True
    lab.disconnects("desk")
    lab.settle()
    assert bob.got("CANCEL").header("Reason") == 'SIP;cause=408;text="Connection lost"'
    lab.run(40.0)
    assert not lab.engine.calls


@pytest.mark.parametrize("back", [True, False])
def test_its_connection_is_lost_in_a_call(make_lab: MakeLab, back: bool) -> None:
    lab, desk, (bob,) = desk_and(make_lab, "bob")
    desk.calls("bob")
    bob.answers()
    lab.disconnects("desk")
    lab.run(50.0)
    assert not bob.all("BYE")
    if back:
        desk.sends("INFO")
        lab.run(60.0)
        assert lab.engine.calls == 1
        desk.hangs_up()
    else:
        desk.dead = True
        lab.run(15.0)
        ends = [span.attributes["sip.dialog.end"] for span in lab.spans if span.name == "dialog"]
        assert ends == ["timeout", "timeout"]
    assert bob.got("BYE")
    lab.run(40.0)
    assert not lab.engine.calls


def test_a_call_to_somebody_else_is_not_the_transfers(make_lab: MakeLab) -> None:
    """A page may dial another number in the context that the REFER brought."""
    lab = make_lab(
        trunks={
            "desk": TrunkSettings(None, match=("wss",), refer=Refer.RELAY),
            "bob": TrunkSettings(f"{HOSTS['bob']}:5060", match=(HOSTS["bob"],)),
        }
    )
    desk = lab.phone("desk", at=DESK, transport=WSS, port=443)
    bob, carol, dave = lab.cast("bob", "carol", "dave")
    desk.calls("bob")
    bob.answers()
    desk.style.answer = None  # it has not dialled carol yet
    bob.refers(desk, to=carol)
    context = desk.got("REFER").header("traceparent")
    desk.calls("dave", headers={"traceparent": context})
    assert dave.got("INVITE").uri == "sip:dave@192.0.2.4:5060"
    assert not carol.heard
    dave.refuses(486)
    bob.hangs_up()


def test_an_address_is_no_browsers_trunk() -> None:
    """Pages behind the SBC's address, or behind a web server on its machine, are not the SBC."""
    sbc, desk = TrunkSettings("192.0.2.1", match=("192.0.2.1", "192.0.2.0/24")), ("ws:192.0.2.0/24",)
    router = Router.of({"sbc": sbc, "desk": TrunkSettings(None, match=desk)}, ())
    assert name_of(router, Flow(TCP, "192.0.2.1", 40000, 1)) == "sbc"
    assert name_of(router, Flow(WS, "192.0.2.1", 40000, 1)) == "desk"
    assert name_of(router, Flow(WSS, "192.0.2.1", 40000, 1)) is None
    assert name_of(router, Flow(WSS, "192.0.2.1", 40000, 1, names=("sbc.example",))) is None


def name_of(router: Router, flow: Flow) -> str | None:
    found = router.trunk_of(flow)
    return None if found is None else found.name


def test_its_tab_is_closed_before_its_ack(make_lab: MakeLab) -> None:
    lab, desk, (bob,) = desk_and(make_lab, "bob")
    desk.withholds.add("ACK")
    desk.calls("bob")
    bob.answers()
    desk.dead = True
    lab.disconnects("desk")
    lab.run(61.0)
    assert bob.got("BYE").at == pytest.approx(1000.0 + 32.0, abs=1.0)  # no ACK
    lab.run(40.0)
    assert not lab.engine.calls


def test_its_tab_is_closed_in_the_moment_of_the_end(make_lab: MakeLab) -> None:
    """What was written to it and is not answered yet never will be."""
    lab, desk, (bob,) = desk_and(make_lab, "bob")
    desk.calls("bob")
    bob.answers()
    desk.dead = True
    bob.hangs_up()
    lab.disconnects("desk")
    lab.run(3.0)
    assert not lab.engine.calls
    assert bob.got("200 BYE")


def test_the_desk_rings_no_more_when_it_is_gone(make_lab: MakeLab) -> None:
    """An INVITE with Replaces went down its connection."""
    lab, desk, (bob,) = desk_and(make_lab, "bob", routes=[route("bob", user="^desk$")])
    desk.calls("bob")
    bob.answers()
    other = lab.phone("other", at=HOSTS["bob"], port=5070)
    dialog = bob.usage.dialog
    named = f"{dialog.call_id};to-tag={dialog.remote_tag};from-tag={dialog.local_tag}"
    desk.replies["INVITE"] = None
    desk.style.replaces = "rings"
    calling = other.calls("desk", headers={"Require": "replaces", "Replaces": named, "traceparent": ""})
    desk.dead = True
    lab.disconnects("desk")
    lab.run(2.0)
    assert calling.failed == 503
    lab.run(100.0)
    assert not lab.engine.calls
