"""Calls as they should be."""

from __future__ import annotations

from collections.abc import Callable

from sipproxy.sip.flow import TCP

from .lab import Lab, trunk
from .ladder import check
from .media import signed
from .seen import ANSWER, OFFER


def test_a_call_from_invite_to_bye(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    alice.hangs_up()
    assert bob.got("BYE")
    assert alice.got("200 BYE")
    check("basic", lab.ladder())


def test_each_leg_has_ids_of_its_own(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    invite, ok = bob.got("INVITE"), alice.got("200 INVITE")
    assert invite.call_id != ok.call_id
    assert invite.from_tag != ok.from_tag
    assert invite.contact == "sip:192.0.2.100:5060"
    assert ok.contact == "sip:192.0.2.100:5060"
    assert ok.to_tag != bob.usage.dialog.local_tag


def test_the_session_descriptions_pass_untouched(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    assert bob.got("INVITE").body == signed(OFFER, "alice")
    assert alice.got("200 INVITE").body == signed(ANSWER, "bob")


def test_a_late_offer_is_answered_in_the_ack(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob", body="")
    assert bob.got("INVITE").body == ""
    bob.answers()
    assert alice.got("200 INVITE").body == signed(OFFER, "bob")
    assert bob.got("ACK").body == signed(ANSWER, "alice")
    assert bob.got("ACK").header("Content-Type") == "application/sdp"
    check("late-offer", lab.ladder())


def test_busy_reaches_the_caller(lab: Lab) -> None:
    alice, bob = lab.ringing("alice", "bob")
    bob.refuses(486, {"Reason": "Q.850;cause=17"})
    assert alice.got("486").header("Reason") == "Q.850;cause=17"
    assert bob.got("ACK").branch == bob.got("INVITE").branch
    assert lab.engine.calls == 0


def test_a_redirection_passes_with_its_contacts(lab: Lab) -> None:
    alice, bob = lab.ringing("alice", "bob")
    bob.refuses(302, {"Contact": "<sip:elsewhere@198.51.100.7>"})
    assert alice.got("302").contact == "sip:elsewhere@198.51.100.7"


def test_a_challenge_of_the_invite_is_met_end_to_end(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.password = 'Digest username="alice"'
    alice.calls("bob")
    bob.refuses(407)
    assert alice.got("407").header("Proxy-Authenticate")
    assert bob.got("INVITE").header("Proxy-Authorization") == alice.password
    bob.answers()
    assert alice.talking
    first, second = bob.all("INVITE")
    assert first.trace_id == second.trace_id == alice.trace_id
    assert first.span_id != second.span_id


def test_everybody_keeps_quiet_about_a_call_that_nobody_answers(lab: Lab) -> None:
    alice, bob = lab.ringing("alice", "bob")
    lab.run(181.0)
    assert alice.got("408")
    assert bob.got("CANCEL")


def test_info_and_message_pass_inside_a_dialog(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    info = alice.sends("INFO", "Signal=5", {"Content-Type": "application/dtmf-relay"})
    assert info.answered == 200
    assert bob.got("INFO").body == "Signal=5"
    assert bob.got("INFO").header("Content-Type") == "application/dtmf-relay"
    bob.replies["MESSAGE"] = 415
    assert alice.sends("MESSAGE", "hello", {"Content-Type": "text/plain"}).answered == 415
    assert bob.sends("NOTIFY", "", {"Event": "talk", "Subscription-State": "active"}).answered == 200
    assert alice.got("NOTIFY").header("Event") == "talk"
    assert alice.talking
    assert bob.talking


def test_a_request_out_of_order_gets_500(lab: Lab) -> None:
    alice, _ = lab.talking("alice", "bob")
    alice.sends("INFO")
    alice.usage.dialog.local_seq -= 2
    assert alice.sends("INFO").answered == 500


def test_a_request_for_another_dialog_gets_481(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    alice.usage.dialog.remote_tag = "nobody"
    assert alice.sends("UPDATE").answered == 481
    bob.hangs_up()
    alice.sessions.clear()


def test_a_call_over_tcp(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(trunks={"bob": trunk("192.0.2.2:5060;transport=tcp", match=("192.0.2.2",))})
    alice = lab.phone("alice", transport=TCP)
    bob = lab.phone("bob", transport=TCP)
    lab.talking("alice", "bob")
    assert bob.got("INVITE").header("Via").startswith("SIP/2.0/TCP")
    assert bob.got("INVITE").contact == "sip:192.0.2.100:5060;transport=tcp"
    bob.hangs_up()
    assert alice.got("BYE")


def test_a_call_over_ipv6(make_lab: Callable[..., Lab]) -> None:
    six = {"alice": trunk("[2001:db8::1]:5060", match=("2001:db8::1",)), "bob": trunk("[2001:db8::2]:5060")}
    lab = make_lab(trunks=six | {"bob": trunk("[2001:db8::2]:5060", match=("2001:db8::2",))})
    alice, bob = lab.talking("alice", "bob")
    assert bob.got("INVITE").uri == "sip:bob@[2001:db8::2]:5060"
    bob.hangs_up()
    assert alice.got("BYE")


def test_options_to_us_are_answered_on_both_families(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(trunks={"carol": trunk("[2001:db8::3]:5060", match=("2001:db8::3",))})
    alice, carol = lab.cast("alice", "carol")
    assert alice.asks("OPTIONS").answered == 200
    assert "INVITE" in alice.got("200 OPTIONS").header("Allow")
    assert carol.asks("OPTIONS").answered == 200


def test_a_caller_without_contact_can_be_called_back(lab: Lab) -> None:
    """A UA of RFC 2543's days: its requests carry no Contact, so From is where it is."""
    alice, bob = lab.cast("alice", "bob")
    alice.contact = ""
    alice.uri = "sip:alice@192.0.2.1:5060"
    alice.calls("bob", headers={"Contact": ""})
    bob.answers()
    bob.hangs_up()
    assert alice.got("BYE").uri == "sip:alice@192.0.2.1:5060"


def test_a_callee_without_contact_is_reached_by_the_invites_way(lab: Lab) -> None:
    """12.1.1 wants a Contact in what makes a dialog. Some come without, and the caller still needs one."""
    alice, bob = lab.cast("alice", "bob")
    contact, bob.contact = bob.contact, ""
    alice.calls("bob")
    bob.rings()
    assert alice.got("180").contact == "sip:192.0.2.100:5060"
    bob.answers()
    assert alice.talking
    bob.contact = contact
    alice.hangs_up()
    assert bob.got("BYE").uri == bob.got("INVITE").uri
