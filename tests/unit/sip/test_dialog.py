"""Dialogs from either side: ids, targets, routes, order."""

from __future__ import annotations

import pytest

from sipproxy.errors import RemoteProtocolError
from sipproxy.sip.dialog import Dialog
from sipproxy.sip.message import Request, Response
from tests.unit.sip.support import request, response

ROUTES = ("Record-Route: <sip:p1;lr>, <sip:p2;lr>", "Record-Route: <sip:p3;lr>")


def invited(*more: str, **parts: str) -> Request:
    return request("INVITE", "Contact: <sip:alice@192.0.2.9>", *more, **parts)


def answer(to: Request, *more: str, tag: str = "b") -> Response:
    message = response(to, 200, tag=tag)
    message.headers.add("Contact", "<sip:bob@192.0.2.8>")
    for line in more:
        name, _, value = line.partition(": ")
        message.headers.add(name, value)
    return message


def test_the_called_side_takes_the_request_as_its_peer() -> None:
    dialog = Dialog.of_server(invited(*ROUTES, sender='"A" <sip:alice@example.com>;x=1;tag=a'), "mine")
    assert (dialog.call_id, dialog.local_tag, dialog.remote_tag) == ("c@example.com", "mine", "a")
    assert dialog.from_value == "<sip:bob@example.com>;tag=mine"
    assert dialog.to_value == '"A" <sip:alice@example.com>;x=1;tag=a'
    assert dialog.route_set == ("<sip:p1;lr>", "<sip:p2;lr>", "<sip:p3;lr>")
    assert dialog.remote_target == "sip:alice@192.0.2.9"
    assert (dialog.remote_cseq, dialog.local_cseq) == (1, 0)


def test_the_calling_side_reverses_the_routes() -> None:
    sent = invited()
    dialog = Dialog.of_client(sent, answer(sent, *ROUTES))
    assert (dialog.local_tag, dialog.remote_tag) == ("a", "b")
    assert dialog.route_set == ("<sip:p3;lr>", "<sip:p2;lr>", "<sip:p1;lr>")
    assert dialog.remote_target == "sip:bob@192.0.2.8"
    assert (dialog.local_cseq, dialog.remote_cseq) == (1, None)
    assert dialog.next_cseq() == 2


def test_our_side_of_a_dialog_is_what_we_said_not_what_the_peer_makes_of_it() -> None:
    """RFC 3261 section 12.1.2: local tag and URI are those of the request's From."""
    sent = invited()
    forged = answer(sent)
    forged.headers.set("From", "<sip:mallory@example.net>;tag=of-another-call")
    dialog = Dialog.of_client(sent, forged)
    assert dialog.from_value == "<sip:alice@example.com>;tag=a"


def test_a_peer_without_a_tag_is_addressed_without_one() -> None:
    dialog = Dialog.of_server(invited(sender="sip:old@example.com"), "mine")
    assert dialog.to_value == "<sip:old@example.com>"


def test_loose_routes_keep_the_target_in_the_request_line() -> None:
    dialog = Dialog.of_server(invited("Record-Route: <sip:p1;lr>, <sip:p2>"), "t")
    target = "sip:alice@192.0.2.9"
    assert dialog.addressing() == (target, ("<sip:p1;lr>", "<sip:p2>"), "sip:p1;lr")


def test_a_strict_router_takes_the_place_of_the_target() -> None:
    dialog = Dialog.of_server(invited("Record-Route: <sip:p1>, <sip:p2;lr>"), "t")
    target = "<sip:alice@192.0.2.9>"
    assert dialog.addressing() == ("sip:p1", ("<sip:p2;lr>", target), "sip:p1")


def test_without_routes_the_target_is_the_next_hop() -> None:
    target = "sip:alice@192.0.2.9"
    assert Dialog.of_server(invited(), "t").addressing() == (target, (), target)


def test_requests_have_to_come_in_order() -> None:
    dialog = Dialog.of_server(invited(), "t")
    assert not dialog.accept_cseq(1)
    assert dialog.accept_cseq(2)
    assert dialog.accept_cseq(9)  # gaps are fine
    assert not dialog.accept_cseq(8)


def test_the_first_request_of_the_other_side_may_have_any_number() -> None:
    sent = invited()
    dialog = Dialog.of_client(sent, answer(sent))
    assert dialog.accept_cseq(4711)
    assert not dialog.accept_cseq(4711)


def test_a_target_refresh_moves_the_target_and_nothing_else() -> None:
    dialog = Dialog.of_server(invited(*ROUTES), "t")
    moved = request(
        "UPDATE", "m: <sip:alice@198.51.100.1:5070;transport=tcp>", "Record-Route: <sip:other;lr>"
    )
    dialog.refresh_target(moved)
    assert dialog.remote_target == "sip:alice@198.51.100.1:5070;transport=tcp"
    assert len(dialog.route_set) == 3
    dialog.refresh_target(request("INFO"))
    assert dialog.remote_target == "sip:alice@198.51.100.1:5070;transport=tcp"


@pytest.mark.parametrize("line", ["<broken", '"a <sip:x>', "sip:a?b"])
def test_a_target_that_is_none_is_refused_and_the_old_one_stays(line: str) -> None:
    dialog = Dialog.of_server(invited(), "t")
    with pytest.raises(RemoteProtocolError):
        dialog.refresh_target(request("UPDATE", f"Contact: {line}"))
    assert dialog.remote_target == "sip:alice@192.0.2.9"


@pytest.mark.parametrize("line", ["<broken", "<sip:[broken>", "broken"])
def test_a_route_that_is_none_is_refused_when_the_dialog_begins(line: str) -> None:
    """Later nobody could be told: a BYE of ours would find it in the middle of a timer."""
    with pytest.raises(RemoteProtocolError):
        Dialog.of_server(invited(f"Record-Route: {line}"), "t")
    sent = invited()
    with pytest.raises(RemoteProtocolError):
        Dialog.of_client(sent, answer(sent, f"Record-Route: {line}"))
