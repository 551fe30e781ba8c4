"""Small print of transfers: who may use them up, what is required of them, and how long they are told."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.routing import Router

from .lab import route
from .phone import Phone
from .referral import LEAVES, STAYS
from .styles import Style
from .test_transfer_target_dialog import about
from .transfers import (
    MODES,
    SIDES,
    MakeLab,
    cast,
    caused,
    consults,
    hang_up,
    one_story,
    outcome,
    refer_to,
    still_talking,
    together,
    transfers,
)

EITHER = pytest.mark.parametrize("by", SIDES)


@EITHER
@pytest.mark.parametrize("carrier", ["traceparent", "previous-trace-id"])
@pytest.mark.parametrize("who", ["dave", "mallory"])
def test_who_saw_a_trace_uses_up_no_token(make_lab: MakeLab, by: str, carrier: str, who: str) -> None:
    """It passes many hands. Only from where the REFER went does it place the transfer's call."""
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    other = lab.phone("mallory", at="198.51.100.9") if who == "mallory" else lab.phone("dave")
    alice.style = Style(dials_after_s=5.0)
    referral = bob.refers(alice, to=carol)
    value = alice.got("REFER").header(carrier)
    assert value
    other.calls("carol", headers={"traceparent": "", carrier: value})
    assert not caused(lab).transferred
    carol.refuses(486)
    lab.run(6.0)
    assert lab.count("token_replayed") == 0
    carol.answers()
    assert together(alice, carol)
    assert referral.result == 200
    assert outcome(lab) == ("completed", "answered", "")
    lab.finish()


def test_a_refer_that_was_refused_takes_no_room(make_lab: MakeLab) -> None:
    """Nor has it a name any more, by which a call could be taken for its."""
    lab, alice, bob, carol = cast(make_lab, "relay", by="callee")
    alice.style.answer = 603
    for _ in range(3):
        assert bob.refers(alice, to=carol).answered == 603
    assert len(lab.engine.shared.pending) == 0
    alice.calls("carol", uri=refer_to(alice)[0], headers={"traceparent": ""})
    assert lab.count("token_unknown") == 1
    carol.refuses(486)
    still_talking(alice, bob)
    lab.finish()


@EITHER
def test_what_a_refer_about_a_call_may_not_require(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    headers = {"Target-Dialog": about(bob, alice), "Require": "tdialog, telepathy"}
    assert bob.refers(alice, to=carol, outside=True, then=STAYS, headers=headers).answered == 420
    assert bob.got("420").header("Unsupported") == "telepathy"
    assert not carol.heard
    still_talking(alice, bob)
    lab.finish()


@pytest.mark.parametrize("mode", MODES)
def test_a_refer_to_with_too_many_headers(make_lab: MakeLab, mode: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by="callee")
    many = "&".join(f"X-{number}=a" for number in range(100))
    referral = bob.refers(alice, refer_to=f"<{bob.uri_of(carol)}?{many}>")
    assert referral.answered == 400
    assert not alice.all("REFER")
    assert not carol.heard
    still_talking(alice, bob)
    lab.finish()


def test_a_header_of_refer_to_is_set_once(make_lab: MakeLab) -> None:
    """Whoever names it twice, or in two spellings, does not make an INVITE with two."""
    _, alice, bob, carol = cast(make_lab, "local", by="callee")
    bob.refers(alice, refer_to=f"<{bob.uri_of(carol)}?Subject=one&subject=two&s=three>")
    assert carol.got("INVITE").headers("Subject") == ["one"]
    carol.answers()
    assert together(alice, carol)


# Phones that are silent, or say too little


@EITHER
def test_a_transferee_that_is_dead(make_lab: MakeLab, by: str) -> None:
    """No answer at all ends its dialog (RFC 3261 section 12.2.1.2); nobody is kept for it."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    alice.dead = True
    referral = bob.refers(alice, to=carol, then=STAYS)
    carol.answers()
    lab.run(40.0)
    assert referral.result == 408
    assert outcome(lab)[0] == "timeout"
    assert bob.got("BYE")
    lab.run(40.0)
    assert (bob.idle, carol.idle, lab.engine.calls) == (True, True, 0)


def answers_without_a_body(phone: Phone, other: Phone) -> None:
    """200 to a re-INVITE that has waited for its answer."""
    usage = phone.call_with(other)
    answering, usage.invite_in = usage.invite_in, None
    assert answering is not None
    answering.answer(200, tag=usage.dialog.local_tag, rows=[("Contact", phone.contact)])
    phone.lab.settle()


@EITHER
@pytest.mark.parametrize("who", ["alice", "carol"])
def test_a_2xx_without_offer_or_answer(make_lab: MakeLab, by: str, who: str) -> None:
    """It has its ACK at once, and the transfer has failed."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    consults(bob, alice, carol)
    phone = lab.phones[who]
    phone.replies["INVITE"] = None
    referral = bob.refers(alice, to=carol, replaces=carol, then=STAYS)
    before = phone.count("ACK")
    answers_without_a_body(phone, bob)
    assert phone.count("ACK") == before + 1
    assert referral.result == 488
    phone.replies.clear()
    lab.run(3.0)
    assert lab.engine.calls == 2
    lab.finish()


# Subscriptions


@EITHER
def test_a_subscription_that_is_not_refreshed_ends(make_lab: MakeLab, by: str) -> None:
    """The transferor has asked for five seconds more, and then for none (RFC 6665 section 4.2.2)."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    referral = bob.refers(alice, to=carol, then=STAYS)
    carol.rings()
    asking = referral.subscribes(5)
    lab.settle()
    assert asking.answered == 200
    assert bob.got("NOTIFY").header("Subscription-State") == "active;expires=5"
    lab.run(6.0)
    assert bob.got("NOTIFY").header("Subscription-State") == "terminated;reason=timeout"
    told = bob.count("NOTIFY")
    carol.answers()
    lab.run(3.0)
    assert bob.count("NOTIFY") == told
    assert bob.idle
    assert together(alice, carol)
    one_story(lab, traces=1)


@EITHER
def test_a_subscribe_of_one_who_left_goes_nowhere(make_lab: MakeLab, by: str) -> None:
    """A route that takes whatever there is does not take what belongs to a dialog of ours that is over."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    dave = lab.phone("dave")
    lab.routes.append(route("dave"))
    lab.does(lambda now: lab.engine.reload(Router.of(lab.trunks, tuple(lab.routes)), now))
    referral = bob.refers(alice, to=carol, then=LEAVES)
    carol.rings()
    asking = referral.subscribes(60)
    lab.settle()
    assert asking.answered == 481
    assert not dave.heard
    carol.answers()
    assert together(alice, carol)
    assert len(transfers(lab)) == 1
    one_story(lab, traces=1)


@EITHER
@pytest.mark.parametrize("who", ["alice", "bob"])
@pytest.mark.parametrize("mode", MODES)
def test_a_dialog_that_is_gone_has_no_subscription(make_lab: MakeLab, mode: str, who: str, by: str) -> None:
    """481 ends it for the one who still thinks that there is one (RFC 6665 section 4.2.2)."""
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    usages = {"alice": alice.call_with(bob), "bob": bob.call_with(alice)}
    bob.refers(alice, to=carol)
    carol.answers()
    hang_up(alice, carol)
    lab.run(40.0)
    if who == "alice":
        more = {"Event": "refer", "Subscription-State": "active;expires=60"}
        asking = usages[who].ask("NOTIFY", "SIP/2.0 180 Ringing\r\n", more)
    else:
        asking = usages[who].ask("SUBSCRIBE", "", {"Event": "refer", "Expires": "60"})
    lab.settle()
    assert usages[who].over
    assert asking.answered == 481
    lab.finish()


@EITHER
@pytest.mark.parametrize("header", [{"Refer-Sub": "false"}, {"Require": "nosub"}], ids=["refer-sub", "nosub"])
def test_who_wanted_no_subscription_has_none(make_lab: MakeLab, by: str, header: dict[str, str]) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    referral = bob.refers(alice, to=carol, headers=header)
    carol.rings()
    asking = referral.subscribes(60)
    lab.settle()
    assert asking.answered == 481
    assert not bob.all("NOTIFY")
    carol.answers()
    assert together(alice, carol)
    one_story(lab)


@EITHER
@pytest.mark.parametrize("answered", [True, False])
def test_a_subscribe_behind_the_last_notify(make_lab: MakeLab, by: str, answered: bool) -> None:
    """What was ended is not begun anew, also while the NOTIFY that says so is still on its way."""
    lab, alice, bob, carol = cast(make_lab, "local", by=by)
    referral = bob.refers(alice, to=carol, then=STAYS)
    lab.holds("200 NOTIFY", sender="bob", times=0 if answered else 9)
    with lab.at_once():
        last = referral.subscribes(0)
        lab.run(0.1)
        again = referral.subscribes(60)
        lab.run(0.1)
        lab.network.rules.clear()
        lab.lets_go()
    assert (last.answered, again.answered) == (200, 481)
    told = bob.count("NOTIFY")
    carol.answers()
    lab.run(3.0)
    assert bob.count("NOTIFY") == told
    assert together(alice, carol)
    one_story(lab)


@EITHER
def test_a_second_refer_that_is_the_first_one_for_the_other_side(make_lab: MakeLab, by: str) -> None:
    """Alice need not say which REFER she means, having got one; Bob has sent two (RFC 3515 section 2.4.6)."""
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    alice.style.names_event = False
    assert bob.refers(alice, to=carol, headers={"Max-Forwards": "0"}).answered == 483
    referral = bob.refers(alice, to=carol)
    assert alice.count("REFER") == 1
    assert bob.got("NOTIFY").header("Event") == f"refer;id={referral.asking.request.cseq}"
    carol.answers()
    assert referral.result == 200
    assert together(alice, carol)
    lab.finish()
