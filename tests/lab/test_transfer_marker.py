"""The marker: whose it is, how often and how long it is good; and transfers that go in circles."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.events import TransferBegan

from .lab import trunk
from .styles import Style
from .transfers import (
    MODES,
    MakeLab,
    cast,
    caused,
    one_story,
    outcome,
    still_talking,
    together,
    transfers,
)


def marked(user: str, token: str) -> str:
    return f"sip:{user}@192.0.2.100:5060;sipproxy-ref={token}"


def test_a_token_that_nobody_gave_out(make_lab: MakeLab) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by="callee")
    dave = lab.phone("dave")
    dave.calls("carol", uri=marked("carol", "0" * 32))
    assert lab.count("token_unknown") == 1
    assert "sipproxy-ref" not in carol.got("INVITE").uri + carol.got("INVITE").header("To")
    assert carol.got("INVITE").trace_id == dave.trace_id
    assert not caused(lab).transferred
    carol.answers()
    assert together(dave, carol)
    assert together(alice, bob)


@pytest.mark.parametrize("late_s", [0.0, 130.0], ids=["replayed", "expired"])
def test_a_token_is_good_once_and_for_a_while(make_lab: MakeLab, late_s: float) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by="callee")
    dave = lab.phone("dave")
    dave.traced = False
    bob.refers(alice, to=carol)
    token = alice.got("REFER").header("Refer-To").partition("sipproxy-ref=")[2][:32]
    carol.answers()
    lab.run(late_s)
    dave.calls("carol", uri=marked("carol", token))
    assert lab.count("token_unknown" if late_s else "token_replayed") == 1
    assert carol.got("INVITE").trace_id not in ("", alice.trace_id)
    assert not caused(lab).transferred
    carol.refuses(486)
    assert alice.hears(carol)


def test_a_token_that_was_never_used_expires(make_lab: MakeLab) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by="callee")
    alice.style = Style(dials_after_s=125.0, ends=False, keeps=frozenset(("marker",)))
    bob.refers(alice, to=carol)
    lab.run(122.0)
    assert outcome(lab) == ("unknown", "expired", "")
    assert not transfers(lab)[-1].failed
    assert not len(lab.engine.shared.pending)
    lab.run(5.0)
    assert lab.count("token_unknown") == 1
    assert carol.got("INVITE").trace_id not in ("", alice.trace_id)
    carol.refuses(486)
    still_talking(alice, bob)


def test_a_challenged_call_may_use_its_token_again(make_lab: MakeLab) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by="callee")
    alice.password = "secret"
    alice.style.keeps = frozenset(("marker",))
    referral = bob.refers(alice, to=carol)
    carol.refuses(407)
    assert carol.got("INVITE").header("Proxy-Authorization") == "secret"
    carol.answers()
    assert referral.statuses == [100, 200]
    assert outcome(lab) == ("completed", "answered", "")
    assert lab.count("token_replayed") == 0
    assert {invite.trace_id for invite in carol.all("INVITE")} == {alice.trace_id}
    one_story(lab, traces=1)


# Loops


@pytest.mark.parametrize("mode", MODES)
def test_transfers_that_go_round_and_round(make_lab: MakeLab, mode: str) -> None:
    """The hops of the first call are all there are: at the end of them the REFER gets 483."""
    trunks = {name: trunk(name, refer=mode) for name in ("alice", "bob", "carol", "dave")}
    lab = make_lab(trunks=trunks)
    alice, *agents = lab.cast("alice", "bob", "carol", "dave")
    alice.calls("bob", headers={"Max-Forwards": "5"})
    agents[0].answers()
    for number in range(6):
        here, there = agents[number % 3], agents[(number + 1) % 3]
        referral = here.refers(alice, to=there)
        if referral.answered == 483 or referral.result == 483:
            break
        there.answers()
        assert together(alice, there)
    assert 483 in (referral.answered, referral.result)
    assert 2 <= number <= 5
    still_talking(alice, here)
    one_story(lab)


@pytest.mark.parametrize("mode", MODES)
def test_a_target_that_is_ourselves(make_lab: MakeLab, mode: str) -> None:
    """The way to Carol leads back to us: it ends with the hops, or as a loop, and the old two still talk."""
    trunks = {"carol": trunk("192.0.2.100:5060", match=("192.0.2.100",))}
    lab, alice, bob, _ = cast(make_lab, mode, by="callee", trunks=trunks)
    referral = bob.refers(alice, to="carol")
    lab.run(5.0)
    assert referral.result in (482, 483)
    assert outcome(lab)[:2] == ("failed", "failed")
    assert len(lab.facts_of(TransferBegan)) == 1
    still_talking(alice, bob)
