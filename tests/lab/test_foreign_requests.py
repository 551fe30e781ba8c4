"""Who knows the ids of a dialog is not its peer yet: an attended transfer tells them to the transferee."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.settings import TrunkSettings
from sipproxy.sip.flow import WSS

from .core import HOSTS
from .lab import Lab, trunk
from .phone import Phone
from .seen import Seen
from .transfers import MakeLab


def in_the_name_of(phone: Phone, method: str, sender: Phone) -> Seen | None:
    """A request in a dialog of `phone`, as it would write it, sent by somebody else."""
    dialog = phone.usage.dialog
    rows = [
        f"{method} {dialog.target} SIP/2.0",
        f"Via: {sender.via()}",
        f"From: <{phone.uri}>;tag={dialog.local_tag}",
        f"To: <sip:x@example.com>;tag={dialog.remote_tag}",
        f"Call-ID: {dialog.call_id}",
        f"CSeq: {dialog.local_seq + 7} {method}",
        f"Contact: {sender.contact}",
        "Max-Forwards: 70",
        "Refer-To: <sip:premium@192.0.2.4>",
        "Content-Length: 0",
    ]
    sender.transmit(("\r\n".join(rows) + "\r\n\r\n").encode(), sender.proxy)
    sender.faults.clear()  # it did not ask by its own rules
    lab = sender.lab
    assert isinstance(lab, Lab)
    lab.settle()
    sender.faults.clear()
    return sender.heard[-1] if sender.heard else None


@pytest.mark.parametrize("method", ["BYE", "INFO", "REFER", "UPDATE"])
@pytest.mark.parametrize("who", ["another trunk's", "a stranger"])
def test_in_somebody_elses_dialog(make_lab: MakeLab, who: str, method: str) -> None:
    lab = make_lab()
    alice, bob = lab.talking("alice", "bob")
    mallory = lab.phone("carol") if who == "another trunk's" else lab.phone("mallory", at="203.0.113.66")
    answer = in_the_name_of(alice, method, mallory)
    assert answer is not None
    assert answer.status == 481
    assert not bob.all(method)
    assert lab.count("foreign_request") == 1
    assert lab.engine.calls == 1
    alice.hangs_up()


def test_from_another_address_of_the_same_trunk(make_lab: MakeLab) -> None:
    lab = make_lab(trunks={"alice": trunk("192.0.2.1:5060", match=("192.0.2.1", "192.0.2.11"))})
    alice, bob = lab.talking("alice", "bob")
    in_the_name_of(alice, "BYE", lab.phone("alice-2", at="192.0.2.11"))
    assert bob.got("BYE")
    alice.sessions.clear()


@pytest.mark.parametrize("match", [(), ("203.0.113.5",)])
def test_from_where_its_contact_says(make_lab: MakeLab, match: tuple[str, ...]) -> None:
    """A registrar in front that does not stay in the dialog; its phones may be a trunk of their own."""
    lab = make_lab(trunks={"phones": TrunkSettings("203.0.113.5:5060", match=match)})
    alice, bob = lab.talking("alice", "bob")
    phone = lab.phone("phone", at="203.0.113.5")
    alice.contact = phone.contact
    alice.reinvites()
    in_the_name_of(alice, "BYE", phone)
    assert bob.got("BYE")
    alice.sessions.clear()


@pytest.mark.parametrize("lost", [False, True])
def test_another_page_speaks_for_none_that_is_there(make_lab: MakeLab, lost: bool) -> None:
    lab = make_lab(trunks={"desk": TrunkSettings(None, match=("wss",)), "bob": trunk(f"{HOSTS['bob']}:5060")})
    desk = lab.phone("desk", at="203.0.113.7", transport=WSS, port=443)
    other = lab.phone("other", at="203.0.113.8", transport=WSS, port=443)
    bob = lab.phone("bob")
    desk.calls("bob")
    bob.answers()
    if lost:
        lab.disconnects("desk")  # and it may come back from another network
    answer = in_the_name_of(desk, "INFO", other)
    assert answer is not None
    assert answer.status == (200 if lost else 481)
    assert len(bob.all("INFO")) == lost
    bob.hangs_up()
    desk.sessions.clear()
    lab.forgiven = ("",)
