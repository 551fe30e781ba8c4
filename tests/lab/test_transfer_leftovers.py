"""What transfers lose, leave behind, or leave out: names, contexts, dialogs and objects."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.settings import TransferSettings
from sipproxy.propagation.settings import Carrier, TrunkTrace

from .core import HOSTS
from .lab import Lab, trunk
from .phone import Phone
from .referral import STAYS
from .seen import HOLD, OFFER, address
from .styles import EVERYTHING, Style
from .test_hostile import garbage
from .test_transfer_target_dialog import about
from .transfers import (
    MODES,
    SIDES,
    MakeLab,
    carriers_seen,
    cast,
    caused,
    one_story,
    outcome,
    refer_to,
    still_talking,
    together,
)

EITHER = pytest.mark.parametrize("by", SIDES)
FOREIGN = ";sipproxy-ref=" + "0123456789abcdef" * 2
SHORT, LONG = "a=1,b=2", ",".join(f"vendor{number}={'x' * 20}" for number in range(10))
SENDS = (Carrier.TRACEPARENT, Carrier.TRACESTATE)


# Two proxies of this kind in a row


def beyond(user: str) -> str:
    """A Refer-To that another proxy has marked; its place is Carol's."""
    return f"<sip:{user}@{HOSTS['carol']}:5060{FOREIGN}>"


@EITHER
@pytest.mark.parametrize("mode", MODES)
def test_the_marker_of_another_proxy_comes_back_to_it(make_lab: MakeLab, mode: str, by: str) -> None:
    _, alice, bob, carol = cast(make_lab, mode, by=by)
    bob.refers(alice, refer_to=beyond("carol"))
    assert FOREIGN in carol.got("INVITE").uri
    if mode == "relay":
        assert FOREIGN not in refer_to(alice)[0]  # ours stands there
        assert ";sipproxy-ref=" in refer_to(alice)[0]
    carol.answers()
    assert together(alice, carol)


@EITHER
def test_the_marker_of_another_proxy_stays_where_we_anchor_nothing(make_lab: MakeLab, by: str) -> None:
    trunks = {"alice": trunk("alice", refer="relay", anchor=False)}
    lab, alice, bob, carol = cast(make_lab, "relay", by=by, trunks=trunks)
    bob.refers(alice, refer_to=beyond("carol"))
    assert refer_to(alice)[0].endswith(FOREIGN)
    assert carol.got("INVITE").uri.endswith(FOREIGN)
    carol.answers()
    assert together(alice, carol)
    assert outcome(lab) == ("completed", "answered", "")
    one_story(lab)


@EITHER
@pytest.mark.parametrize("mode", MODES)
def test_a_marker_of_ours_marks_one_transfer(make_lab: MakeLab, mode: str, by: str) -> None:
    """Bob gives one on to Alice that he has got himself: it is not there any more."""
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    bob.refers(alice, refer_to=f"<sip:carol@{lab.proxy_host(bob.proxy)}{FOREIGN}>")
    assert FOREIGN not in carol.got("INVITE").uri
    if mode == "relay":
        assert FOREIGN not in refer_to(alice)[0]
    carol.answers()
    assert together(alice, carol)
    assert lab.count("token_unknown") == 0
    one_story(lab)


# tracestate


def told(make_lab: MakeLab, by: str, state: str, octets: int = 0) -> tuple[Lab, Phone, Phone, Phone]:
    """A call whose trace has a tracestate."""
    trunks = {name: trunk(name, refer="relay", trace=TrunkTrace(send=SENDS)) for name in HOSTS}
    lab = make_lab(trunks=trunks, transfer=TransferSettings(refer_to_octets=octets))
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    caller, callee = (bob, alice) if by == "caller" else (alice, bob)
    caller.calls(callee.name, headers={"tracestate": state})
    callee.answers()
    return lab, alice, bob, carol


@EITHER
@pytest.mark.parametrize(("state", "octets"), [(SHORT, 0), (LONG, 0), (SHORT, 150)])
@pytest.mark.parametrize("keeps", [EVERYTHING, frozenset(("marker",)), EVERYTHING - {"marker"}])
def test_what_refer_to_had_no_room_for(
    make_lab: MakeLab, by: str, state: str, octets: int, keeps: frozenset[str]
) -> None:
    """tracestate is long, or Refer-To is to be short: the call that comes has it again all the same."""
    lab, alice, bob, carol = told(make_lab, by, state, octets)
    alice.style.keeps = keeps
    bob.refers(alice, to=carol)
    assert ("tracestate" in refer_to(alice)[1]) is (state == SHORT and not octets)
    assert alice.got("REFER").header("tracestate") == state
    if carriers_seen(lab) & {"traceparent", "marker"}:
        assert carol.got("INVITE").header("tracestate") == state
        assert carol.got("INVITE").trace_id == (alice if by == "callee" else bob).trace_id
    carol.answers()
    assert together(alice, carol)
    one_story(lab)


@EITHER
def test_a_tracestate_that_changed_on_the_way_stays(make_lab: MakeLab, by: str) -> None:
    """The transferee is in the trace too, and has put itself in: its word is newer."""
    lab, alice, bob, carol = told(make_lab, by, SHORT)
    alice.style = Style(dials_after_s=60.0)
    bob.refers(alice, to=carol, then=STAYS)
    uri, headers = refer_to(alice)
    alice.calls("", uri=uri, headers={"traceparent": headers["traceparent"], "tracestate": "alice=1,a=1"})
    assert carol.got("INVITE").header("tracestate") == "alice=1,a=1"
    assert caused(lab).transferred
    carol.refuses(486)
    assert outcome(lab)[0] == "busy"


# What the answers lack


@EITHER
@pytest.mark.parametrize("mode", MODES)
def test_a_2xx_that_makes_or_keeps_a_subscription_has_a_contact(
    make_lab: MakeLab, mode: str, by: str
) -> None:
    """RFC 3515 table 1, RFC 6665 section 8.2.1: ours, since requests in that dialog come to us."""
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    referral = bob.refers(alice, to=carol, then=STAYS)
    carol.rings()
    asking = referral.subscribes(60)
    lab.settle()
    assert (referral.answered, asking.answered) == (202, 200)
    for label in ("202 REFER", "200 SUBSCRIBE"):
        assert lab.proxy_host(bob.proxy) in address(bob.got(label).header("Contact"))
    carol.refuses(486)
    still_talking(alice, bob)
    one_story(lab)


# What stays behind


@EITHER
@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"Require": "explicitsub"}, 420),
        ({"Max-Forwards": "0"}, 483),
        ({"Refer-To": "<sip:carol@192.0.2.100>\r\nRefer-To: <sip:dave@192.0.2.100>"}, 400),
    ],
    ids=["420", "483", "400"],
)
def test_a_refused_refer_about_a_call_leaves_no_dialog(
    make_lab: MakeLab, by: str, more: dict[str, str], status: int
) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    legs = len(lab.engine.shared.legs)
    for _ in range(3):
        headers = {"Target-Dialog": about(bob, alice), **more}
        assert bob.refers(alice, to=carol, outside=True, then=STAYS, headers=headers).answered == status
    assert len(lab.engine.shared.legs) == legs
    still_talking(alice, bob)
    lab.finish()


@pytest.mark.parametrize("status", [491, 500, 483])
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_refused_offer_goes_without_the_collector(make_lab: MakeLab, method: str, status: int) -> None:
    """An offer that crosses another one (491), comes behind one that is open (500), or has no hops left
    (483).
    """
    lab = make_lab()
    alice, bob = lab.cast("alice", "bob")
    alice.retries = bob.retries = False
    with garbage() as found:
        lab.talking("alice", "bob")
        mine, theirs = bob.call_with(alice), alice.call_with(bob)
        alice.replies = {"INVITE": None, "UPDATE": 491 if status == 491 else 500}
        first = None if status == 483 else mine.ask("INVITE", HOLD)
        lab.settle()
        asker = theirs if status == 491 else mine
        bob.replies["UPDATE"] = 491
        second = asker.ask(method, OFFER, {"Max-Forwards": "0"} if status == 483 else None)
        lab.settle()
        theirs.answer_invite(200)
        lab.settle()
        assert second.answered == status
        assert first is None or first.answered == 200
        lab.finish()
    assert found == []
