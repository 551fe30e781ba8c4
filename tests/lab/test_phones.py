"""The phones themselves, without the proxy between them: what stories about transfers rest on."""

from __future__ import annotations

import pytest

from .lab import Lab
from .phone import Phone
from .referral import LEAVES, STAYS
from .styles import EVERYTHING, Style


@pytest.fixture
def three(lab: Lab) -> list[Phone]:
    """Alice and Bob talk, Carol is there; nobody needs a proxy."""
    phones = lab.cast("alice", "bob", "carol")
    for phone in phones:
        phone.direct = True
        phone.traced = False
    phones[0].calls("bob")
    phones[1].answers()
    return phones


def test_who_hears_whom(three: list[Phone]) -> None:
    alice, bob, _ = three
    assert alice.hearing == {"bob"}
    assert bob.hears(alice)
    assert bob.holds(alice).answered == 200
    assert not bob.hears(alice)
    assert alice.hears(bob)  # music
    alice.call_with(bob).ask("INVITE", "")  # the one who holds goes on holding
    alice.lab.settle()
    assert not bob.hears(alice)
    assert bob.resumes(alice).answered == 200
    assert alice.hears(bob)
    assert bob.hears(alice)


def test_an_offer_that_is_refused_changes_nothing(three: list[Phone]) -> None:
    alice, bob, _ = three
    bob.replies["INVITE"] = 488
    assert alice.holds(bob).answered == 488
    assert alice.hears(bob)
    assert bob.hears(alice)


@pytest.mark.parametrize("then", ["waits", LEAVES, STAYS])
@pytest.mark.parametrize("early", [False, True])
def test_a_blind_transfer(three: list[Phone], then: str, early: bool) -> None:
    alice, bob, carol = three
    alice.style = Style(early_notify=early)
    referral = bob.refers(alice, to=carol, then=then)
    bob.lab.run(0.2)
    carol.rings()
    carol.answers()
    assert referral.answered == 202
    assert referral.statuses == [100, 180, 200]
    assert alice.hears(carol)
    assert carol.hears(alice)
    assert carol.got("INVITE").header("Referred-By") == f"<{bob.uri}>"
    assert alice.hears(bob) == (then == STAYS)


def test_an_attended_transfer(three: list[Phone]) -> None:
    alice, bob, carol = three
    bob.holds(alice)
    bob.calls("carol")
    carol.answers()
    bob.refers(alice, to=carol, replaces=carol)
    assert carol.got("INVITE").header("Replaces")
    assert alice.hearing == {"carol"}
    assert carol.hearing == {"alice"}
    assert bob.idle


@pytest.mark.parametrize(("status", "told"), [(486, 486), (603, 603), (0, 408)])
def test_a_transfer_that_fails_is_told_of(three: list[Phone], status: int, told: int) -> None:
    alice, bob, carol = three
    if not status:
        carol.dead = True
    referral = bob.refers(alice, to=carol)
    if status:
        carol.refuses(status)
    bob.lab.run(40.0)
    assert referral.result == told
    assert alice.hears(bob)
    assert bob.resumes(alice).answered == 200


@pytest.mark.parametrize("status", [405, 407, 603])
def test_a_refused_refer(three: list[Phone], status: int) -> None:
    alice, bob, carol = three
    alice.style.answer = status
    bob.password = "secret"
    referral = bob.refers(alice, to=carol)
    assert referral.answered == (202 if status == 407 else status)
    if status == 407:
        carol.answers()
        assert referral.result == 200


def test_nothing_is_told_where_nobody_wants_it(three: list[Phone]) -> None:
    alice, bob, carol = three
    referral = bob.refers(alice, to=carol, headers={"Refer-Sub": "false"})
    carol.answers()
    assert referral.silent
    assert not bob.all("NOTIFY")
    assert alice.hears(carol)


def test_a_subscription_is_ended_by_its_subscriber(three: list[Phone]) -> None:
    alice, bob, carol = three
    referral = bob.refers(alice, to=carol)
    asking = referral.subscribes(0)
    bob.lab.settle()
    assert asking.answered == 200
    assert referral.over
    assert bob.got("NOTIFY").header("Subscription-State") == "terminated;reason=timeout"
    carol.answers()
    assert alice.hears(carol)


def test_a_refer_outside_of_any_call(three: list[Phone]) -> None:
    alice, bob, carol = three
    alice.style = Style(early_notify=True)
    referral = bob.refers(alice, to=carol, outside=True)
    bob.lab.run(0.2)
    carol.answers()
    assert referral.statuses == [100, 200]
    assert alice.hears(carol)
    assert alice.hears(bob)


@pytest.mark.parametrize("style", [Style(), Style(replaces="rings"), Style(finds=False)])
def test_a_replaces_that_matches_nothing(three: list[Phone], style: Style) -> None:
    alice, _, carol = three
    carol.style = style
    calling = alice.calls("carol", headers={"Replaces": "a;to-tag=b;from-tag=c"})
    assert calling.failed == (481 if style.finds else 0)
    if not style.finds:
        carol.refuses(486)


def test_a_replaces_of_a_call_that_is_over_or_rings(three: list[Phone]) -> None:
    alice, bob, carol = three
    bob.calls("carol")
    carol.rings()
    ringing = bob.usage
    bob.refers(alice, to=carol, replaces=ringing)
    assert bob.referrals[-1].result == 481
    carol.answers()
    bob.hangs_up()
    bob.refers(alice, to=carol, replaces=ringing)
    assert bob.referrals[-1].result == 603


def test_what_a_user_agent_keeps(three: list[Phone]) -> None:
    alice, bob, carol = three
    aim = f"<{bob.uri_of(carol)};sipproxy-ref=12?traceparent=00-1&previous-trace-id=a%3Bspan%3Db&X-Case=7>"

    def invite(*keeps: str) -> tuple[str, list[str]]:
        alice.style.keeps = frozenset(keeps)
        bob.refers(alice, refer_to=aim)
        carol.refuses(486)
        got = carol.got("INVITE")
        names = ("traceparent", "previous-trace-id", "X-Case", "Referred-By")
        return got.uri, [name for name in names if got.header(name)]

    marked, plain = "sip:carol@192.0.2.3:5060;sipproxy-ref=12", "sip:carol@192.0.2.3:5060"
    assert invite(*EVERYTHING)[1] == ["traceparent", "previous-trace-id", "X-Case", "Referred-By"]
    assert carol.got("INVITE").header("previous-trace-id") == "a;span=b"
    assert invite("marker") == (marked, [])
    assert invite("previous-trace-id") == (plain, ["previous-trace-id"])
    assert invite("uri") == (f"{plain}?traceparent=00-1&previous-trace-id=aspanb&X-Case=7", [])
