"""What a transfer may not do: REFERs that cannot be read, must not be honoured, or are not for this trunk."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.events import TransferBegan

from .lab import trunk
from .styles import Style
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
    still_talking,
    together,
    transfers,
)

CAROL = "sip:carol@192.0.2.100:5060"
UNREADABLE = {
    "none": {"Refer-To": ""},
    "two": {"Refer-To": f"<{CAROL}>\r\nRefer-To: <{CAROL}>"},
    "two in one line": {"Refer-To": f"<{CAROL}>, <{CAROL}>"},
    "a long and a short one": {"Refer-To": f"<{CAROL}>\r\nr: <{CAROL}>"},
    "nothing in brackets": {"Refer-To": "<>"},
    "an open bracket": {"Refer-To": f"<{CAROL}"},
    "a mere word": {"Refer-To": "carol"},
    "no host": {"Refer-To": "<sip:carol@>"},
    "a line break": {"Refer-To": f"<{CAROL}?X-A=1%0D%0AVia%3A%20x>"},
    "a line feed in a name": {"Refer-To": f"<{CAROL}?X%0AA=1>"},
    "a zero": {"Refer-To": f"<{CAROL}?X-A=1%00>"},
    "a header without a value": {"Refer-To": f"<{CAROL}?Replaces>"},
    "a Replaces without tags": {"Refer-To": f"<{CAROL}?Replaces=abc>"},
    "two Replaces": {
        "Refer-To": f"<{CAROL}?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc&Replaces=d%3Bto-tag%3De%3Bfrom-tag%3Df>"
    },
}


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("what", UNREADABLE)
def test_a_refer_that_cannot_be_read(make_lab: MakeLab, mode: str, by: str, what: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    referral = bob.refers(alice, to=carol, headers=UNREADABLE[what])
    assert referral.answered == 400
    assert not alice.all("REFER")
    assert not carol.heard
    assert not bob.all("NOTIFY")
    assert not len(lab.engine.shared.pending)
    still_talking(alice, bob)
    one_story(lab)


FORBIDDEN = (
    "From=%3Csip%3Aceo%40example.com%3E",
    "Call-ID=stolen",
    "CSeq=99%20BYE",
    "Via=SIP%2F2.0%2FUDP%20198.51.100.9",
    "Route=%3Csip%3A198.51.100.9%3Blr%3E",
    "Record-Route=%3Csip%3A198.51.100.9%3Blr%3E",
    "Contact=%3Csip%3A198.51.100.9%3E",
    "Content-Type=text%2Fplain",
    "content-length=99",
    "f=%3Csip%3Aceo%40example.com%3E",
    "Max-Forwards=1",
    "Authorization=Digest%20a",
    "Proxy-Authorization=Digest%20a",
    "P-Asserted-Identity=%3Csip%3Aceo%40example.com%3E",
    "body=v%3D0",
)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("header", FORBIDDEN, ids=[header.partition("=")[0] for header in FORBIDDEN])
def test_a_header_that_no_refer_to_may_set(make_lab: MakeLab, mode: str, header: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by="callee")
    referral = bob.refers(alice, refer_to=f"<{CAROL}?{header}&X-Case=7>")
    assert referral.answered == 202
    assert lab.count("refer_header") == 1
    if mode == "relay":
        asked = alice.got("REFER").header("Refer-To").partition("?")[2]
        assert header.partition("=")[0] not in [pair.partition("=")[0] for pair in asked.split("&")]
        assert "X-Case=7" in asked
    for wrong in (b"ceo", b"stolen", b"198.51.100.9", b"text/plain", b"Digest", b"Max-Forwards: 1\r\n"):
        assert wrong not in carol.got("INVITE").data
    assert carol.got("INVITE").header("X-Case") == "7"
    carol.answers()
    assert together(alice, carol)
    one_story(lab)


@pytest.mark.parametrize("mode", MODES)
def test_a_refer_to_a_method_that_is_no_call(make_lab: MakeLab, mode: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by="callee")
    referral = bob.refers(alice, refer_to=f"<{CAROL};method=BYE>")
    assert referral.answered in (405, 603)
    assert not carol.heard
    still_talking(alice, bob)
    one_story(lab)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("by", SIDES)
def test_no_hops_left(make_lab: MakeLab, mode: str, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    referral = bob.refers(alice, to=carol, headers={"Max-Forwards": "0"})
    assert referral.answered == 483
    assert outcome(lab)[:2] == ("refused", "refused")
    still_talking(alice, bob)
    one_story(lab)


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("others", MODES)
def test_a_trunk_that_may_not_transfer(make_lab: MakeLab, by: str, others: str) -> None:
    trunks = {"bob": trunk("bob", refer="reject")}
    lab, alice, bob, carol = cast(make_lab, others, by=by, trunks=trunks)
    referral = bob.refers(alice, to=carol)
    assert referral.answered == 603
    assert outcome(lab)[:2] == ("refused", "refused")
    assert transfers(lab)[-1].attributes["sip.response.status_code"] == 603
    assert transfers(lab)[-1].failed
    assert not alice.all("REFER")
    still_talking(alice, bob)
    one_story(lab, traces=1)


@pytest.mark.parametrize("by", SIDES)
def test_a_trunk_that_takes_no_refer_never_gets_one(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by=by, trunks={"alice": trunk("alice", refer="reject")})
    bob.refers(alice, to=carol)
    assert not alice.all("REFER")
    carol.answers()
    assert together(alice, carol)
    assert transfers(lab)[-1].attributes["sip.transfer.mode"] == "local"
    one_story(lab, traces=1)


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("status", [403, 405, 489, 603])
def test_a_transferee_that_will_not(make_lab: MakeLab, by: str, status: int) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    alice.style.answer = status
    referral = bob.refers(alice, to=carol)
    assert referral.answered == status
    assert not bob.all("NOTIFY")
    assert outcome(lab) == ("refused", "refused", "")
    assert transfers(lab)[-1].attributes["sip.response.status_code"] == status
    assert transfers(lab)[-1].attributes["error.type"] == str(status)
    still_talking(alice, bob)
    one_story(lab, traces=1)


@pytest.mark.parametrize("by", SIDES)
def test_a_transferee_that_is_silent(make_lab: MakeLab, by: str) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by=by)
    alice.style.answer = None
    referral = bob.refers(alice, to=carol)
    lab.run(33.0)
    assert referral.answered == 408
    assert outcome(lab) == ("refused", "refused", "")
    assert transfers(lab)[-1].attributes["error.type"] == "timeout"
    still_talking(alice, bob)
    one_story(lab, traces=1)


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("mode", MODES)
def test_nobody_replaces_a_call_of_others(make_lab: MakeLab, mode: str, by: str) -> None:
    """Carol talks to Dave, and Bob has no part in it."""
    lab, alice, bob, carol = cast(make_lab, mode, by=by)
    lab.talking("carol", "dave")
    referral = bob.refers(alice, to=carol, replaces=lab.phones["dave"].call_with(carol))
    assert referral.answered == 403
    assert outcome(lab)[:2] == ("refused", "refused")
    assert together(carol, lab.phones["dave"])
    still_talking(alice, bob)


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("mode", MODES)
def test_a_consultation_that_is_over(make_lab: MakeLab, mode: str, by: str) -> None:
    alice, bob, carol = cast(make_lab, mode, by=by)[1:]
    consults(bob, alice, carol)
    finished = bob.call_with(carol)
    hang_up(carol, bob)
    referral = bob.refers(alice, to=carol, replaces=finished)
    assert 603 in (referral.answered, referral.result)
    assert carol.count("INVITE") == 1
    assert bob.resumes(alice).answered == 200
    still_talking(alice, bob)


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("mode", MODES)
def test_a_consultation_that_nobody_knows(make_lab: MakeLab, mode: str, by: str) -> None:
    lab, alice, bob, _ = cast(make_lab, mode, by=by)
    unknown = "Replaces=nothing%40nowhere%3Bto-tag%3Da%3Bfrom-tag%3Db"
    referral = bob.refers(alice, refer_to=f"<{CAROL}?{unknown}>")
    assert 481 in (referral.answered, referral.result)
    still_talking(alice, bob)
    one_story(lab)


# The marker


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
