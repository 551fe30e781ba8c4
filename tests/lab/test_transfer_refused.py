"""What a transfer may not do: REFERs that cannot be read, must not be honoured, or are not for this trunk."""

from __future__ import annotations

import pytest

from .lab import trunk
from .transfers import (
    MODES,
    SIDES,
    MakeLab,
    cast,
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
