"""Session timers (RFC 4028): the phones agree and refresh, the proxy watches."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.events import DialogEnded

from .lab import Lab


def ends(lab: Lab) -> set[str]:
    return {fact.end for fact in lab.facts_of(DialogEnded)}


def test_the_session_expires_without_a_refresh(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", headers={"Session-Expires": "90", "Min-SE": "90"})
    assert bob.got("INVITE").header("Session-Expires") == "90"
    assert bob.got("INVITE").header("Min-SE") == "90"
    bob.answers()
    assert alice.got("200 INVITE").header("Session-Expires") == "90;refresher=uac"
    lab.run(89.0)
    assert alice.talking
    lab.run(2.0)
    assert alice.got("BYE")
    assert bob.got("BYE")
    assert "cause=408" in bob.got("BYE").header("Reason")
    assert ends(lab) == {"session_expired"}


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_refresh_keeps_the_session(lab: Lab, method: str) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", headers={"Session-Expires": "90"})
    bob.answers()
    for _ in range(4):
        lab.run(60.0)
        assert alice.sends(method, headers={"Session-Expires": "90;refresher=uac"}).answered == 200
    assert alice.talking
    assert bob.talking
    lab.run(91.0)
    assert not alice.talking


def test_a_refresh_can_shorten_the_session(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", headers={"Session-Expires": "1800"})
    bob.answers()
    lab.run(10.0)
    alice.sends("UPDATE", headers={"Session-Expires": "90;refresher=uac"})
    lab.run(91.0)
    assert not alice.talking
    assert not bob.talking


def test_a_failed_refresh_is_none(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", headers={"Session-Expires": "90"})
    bob.answers()
    lab.run(60.0)
    bob.replies["UPDATE"] = 488
    alice.sends("UPDATE", headers={"Session-Expires": "90;refresher=uac"})
    lab.run(31.0)
    assert not alice.talking


def test_a_session_interval_that_is_too_small_goes_back(lab: Lab) -> None:
    alice, bob = lab.ringing("alice", "bob")
    bob.refuses(422, {"Min-SE": "600"})
    assert alice.got("422").header("Min-SE") == "600"
