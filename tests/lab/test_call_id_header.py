"""`call_id_header: X-CID`: the callee's INVITE names the caller's Call-ID, by which HOMER and sngrep join the
legs of a call. A Call-ID of ours, or of a network behind us, is nobody else's.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .lab import HOSTS, Lab, route, trunk
from .session import Calling
from .transfers import MakeLab as Transfers
from .transfers import cast, consults, together

MakeLab = Callable[..., Lab]
X_CID = "X-CID"
BOTH = (route("bob", "carol", source="alice"),)


def names(*trunks: str, header: str = X_CID, refer: str | None = None) -> dict[str, object]:
    """These trunks want it."""
    return {name: trunk(name, call_id_header=header, refer=refer) for name in trunks}


def test_the_callee_is_told_the_callers_call_id(make_lab: MakeLab) -> None:
    lab = make_lab(trunks=names("bob"))
    alice, bob = lab.cast("alice", "bob")
    calling = alice.calls("bob")
    invite = bob.got("INVITE")
    assert invite.headers(X_CID) == [calling.call_id]
    assert invite.call_id != calling.call_id
    bob.answers()
    alice.reinvites()
    alice.hangs_up()
    assert not bob.got("BYE").header(X_CID)
    assert not alice.got("200 INVITE").header(X_CID)


def test_who_does_not_want_it_does_not_get_it(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    assert not bob.got("INVITE").header(X_CID)
    bob.refuses(486)


def test_the_name_is_the_trunks(make_lab: MakeLab) -> None:
    lab = make_lab(trunks=names("bob", header="X-Correlation"))
    alice, bob = lab.cast("alice", "bob")
    calling = alice.calls("bob")
    assert bob.got("INVITE").header("X-Correlation") == calling.call_id
    bob.refuses(486)


@pytest.mark.parametrize("wants", [("bob",), ("carol",), ("bob", "carol")])
def test_each_trunk_of_a_failover_has_its_own_wish(make_lab: MakeLab, wants: tuple[str, ...]) -> None:
    lab = make_lab(routes=BOTH, trunks=names(*wants))
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    calling = alice.calls("bob")
    bob.refuses(503)
    carol.answers()
    for phone in (bob, carol):
        expected = [calling.call_id] if phone.name in wants else []
        assert phone.got("INVITE").headers(X_CID) == expected


def test_what_the_caller_says_of_another_call_goes_nowhere(make_lab: MakeLab) -> None:
    """A proxy behind us may have written it for us; nobody before us is to know."""
    lab = make_lab(routes=BOTH, trunks=names("carol"))
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    calling = alice.calls("bob", headers={"x-cid": "inner-call-1"})
    assert not bob.got("INVITE").header(X_CID)
    bob.refuses(503)
    assert carol.got("INVITE").headers(X_CID) == [calling.call_id]
    assert b"inner-call-1" not in bob.got("INVITE").data + carol.got("INVITE").data
    carol.refuses(486)


def test_where_nobody_uses_the_name_it_is_a_header_like_others(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", headers={X_CID: "theirs"})
    assert bob.got("INVITE").headers(X_CID) == ["theirs"]
    bob.refuses(486)


@pytest.mark.parametrize("by", ["caller", "callee"])
def test_the_target_of_a_transfer_of_ours_is_told_the_transferees(make_lab: Transfers, by: str) -> None:
    """It is who the target talks to."""
    _, alice, bob, carol = cast(make_lab, "local", by=by, trunks=names("carol"))
    dialog = alice.call_with(bob).dialog
    bob.refers(alice, to=carol)
    assert carol.got("INVITE").headers(X_CID) == [dialog.call_id]
    carol.answers()
    assert together(alice, carol)


def test_the_call_that_a_relayed_transfer_makes_is_one_like_others(make_lab: Transfers) -> None:
    _, alice, bob, carol = cast(make_lab, "relay", by="callee", trunks=names("carol"))
    bob.refers(alice, to=carol)
    (again,) = alice.sessions[1:]
    assert isinstance(again, Calling)
    assert carol.got("INVITE").headers(X_CID) == [again.call_id]
    carol.answers()
    assert together(alice, carol)


def test_an_attended_transfer_joins_two_that_know_each_other_already(make_lab: Transfers) -> None:
    _, alice, bob, carol = cast(make_lab, "local", by="callee", trunks=names(*HOSTS, refer="local"))
    consults(bob, alice, carol)
    before = carol.count("INVITE")
    bob.refers(alice, to=carol, replaces=carol)
    assert together(alice, carol)
    for seen in carol.all("INVITE")[before:]:
        assert not seen.header(X_CID)
