"""The transaction layer for what arrives: bytes in, calls of the user, bytes out."""

from __future__ import annotations

import pytest

from sipproxy.errors import RemoteProtocolError
from sipproxy.sip.build import respond_to
from sipproxy.sip.flow import TCP, UDP, Flow
from sipproxy.sip.message import Response
from sipproxy.sip.transaction import (
    ServerTransaction,
)
from tests.unit.sip.bench import STREAM, TO_TAG, Bench, statuses
from tests.unit.sip.support import wire


def test_a_request_reaches_its_user_once_and_its_repetition_gets_the_answer_again() -> None:
    bench = Bench()
    assert bench.arrives(wire("INVITE")) == []
    assert statuses(bench.answer(180)) == [180]
    assert statuses(bench.arrives(wire("INVITE"))) == [180]
    assert statuses(bench.answer(486)) == [486]
    assert statuses(bench.arrives(wire("INVITE"))) == [486]
    assert bench.arrives(wire("ACK", to=TO_TAG)) == []
    assert bench.arrives(wire("INVITE")) == []
    assert bench.user.heard == ["INVITE"]
    assert bench.is_over()


def test_the_ack_of_a_2xx_is_the_users() -> None:
    bench = Bench()
    bench.arrives(wire("INVITE"))
    bench.answer(200)
    bench.arrives(wire("ACK", to=TO_TAG, via="SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKack"))
    bench.arrives(wire("ACK", to=TO_TAG))  # with the branch of its INVITE, as some peers do
    assert bench.user.heard == ["INVITE", "ACK", "ACK"]
    assert bench.is_over()


def test_answers_go_where_the_request_came_from() -> None:
    bench = Bench()
    source = Flow(UDP, "198.51.100.1", 7777, 0, 0)
    bench.endpoint.receive(wire("OPTIONS", via="SIP/2.0/UDP h:5070;branch=z9hG4bKa;rport"), source, 0.0)
    bench.endpoint.receive(wire("OPTIONS", via="SIP/2.0/UDP h:5070;branch=z9hG4bKb", cseq=2), source, 0.0)
    bench.endpoint.receive(wire("OPTIONS", via="SIP/2.0/TCP h;branch=z9hG4bKc", cseq=3), STREAM, 0.0)
    for tx in bench.user.open:
        bench.endpoint.respond(tx, respond_to(tx.request, 200), 0.0)
    sent = bench.sent()
    back = Flow(TCP, STREAM.host, 5060, STREAM.connection, STREAM.listener)  # sent-by's port, if it has gone
    assert [each.flow for each in sent] == [source, Flow(UDP, "198.51.100.1", 5070, 0, 0), back]
    assert b"rport=7777;received=198.51.100.1" in sent[0].data


def test_the_same_request_by_another_way_is_merged_away() -> None:
    bench = Bench()
    bench.arrives(wire("INVITE"))
    other_way = wire("INVITE", via="SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKother")
    assert statuses(bench.arrives(other_way)) == [482]
    assert bench.arrives(wire("INVITE", via="SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKnext", cseq=2)) == []
    assert bench.user.heard == ["INVITE", "INVITE"]


def test_inside_a_dialog_and_after_the_first_is_over_nothing_is_merged() -> None:
    bench = Bench()
    bench.arrives(wire("INFO", to=TO_TAG))
    bench.arrives(wire("INFO", to=TO_TAG, via="SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKtwo"))
    assert bench.user.heard == ["INFO", "INFO"]
    bench.arrives(wire("OPTIONS"))
    assert bench.is_over()
    bench.arrives(wire("OPTIONS", via="SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKlater"))
    assert bench.user.heard[2:] == ["OPTIONS", "OPTIONS"]


def test_a_peer_of_rfc_2543_is_matched_without_a_branch() -> None:
    bench = Bench()
    old = "SIP/2.0/UDP 192.0.2.9"
    bench.arrives(wire("INVITE", via=old))
    bench.answer(486)
    assert statuses(bench.arrives(wire("INVITE", via=old))) == [486]
    bench.arrives(wire("ACK", via=old, to=TO_TAG))
    assert bench.arrives(wire("INVITE", via=old)) == []
    assert bench.user.heard == ["INVITE"]
    assert bench.is_over()


def test_a_cancel_finds_its_invite() -> None:
    bench = Bench()
    bench.arrives(wire("INVITE"))
    (answer,) = bench.arrives(wire("CANCEL"))
    assert statuses([answer]) == [200]
    assert answer.headers.text("cseq") == "1 CANCEL"
    assert bench.user.heard == ["INVITE", "CANCEL"]
    assert statuses(bench.arrives(wire("CANCEL"))) == [200]  # repeated: answered, not told again
    assert bench.user.heard == ["INVITE", "CANCEL"]


def test_a_cancel_that_comes_too_late_changes_nothing() -> None:
    bench = Bench()
    bench.arrives(wire("INVITE"))
    bench.answer(200)
    assert statuses(bench.arrives(wire("CANCEL"))) == [200]
    assert bench.user.heard == ["INVITE"]


@pytest.mark.parametrize(
    "via", ["SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKnone", "SIP/2.0/UDP 203.0.113.1;branch=z9hG4bKone"]
)
def test_a_cancel_of_nothing_is_told_so(via: str) -> None:
    bench = Bench()
    bench.arrives(wire("INVITE"))
    assert statuses(bench.arrives(wire("CANCEL", via=via))) == [481]
    assert bench.user.heard == ["INVITE"]


def test_a_cancel_does_not_reach_a_request_that_is_no_invite() -> None:
    bench = Bench()
    bench.arrives(wire("OPTIONS"))
    assert statuses(bench.arrives(wire("CANCEL"))) == [481]


def test_what_is_malformed_is_refused_with_the_reason_and_counted() -> None:
    bench = Bench()
    (refusal,) = bench.arrives(wire("INVITE", sender="<sip:a@h"))
    assert isinstance(refusal, Response)
    assert (refusal.status, refusal.reason) == (400, "unterminated angle bracket")
    assert refusal.to_tag
    assert statuses(bench.arrives(wire("OPTIONS", uri="isbn:1"))) == [416]
    assert statuses(bench.arrives(wire("OPTIONS", *(f"X: {n}" for n in range(40))))) == [400]
    assert bench.user.counts == ["malformed"] * 3
    assert bench.user.heard == []
    assert bench.endpoint.transactions == 0


@pytest.mark.parametrize(
    "data",
    [
        wire("ACK", sender="<broken"),
        wire("INVITE").replace(b"Via", b"X"),
        wire("INVITE", via="nonsense"),
        wire("INVITE", "Nonsense").replace(b"To:", b"X:"),
        b"\xff" * 100,
    ],
)
def test_what_cannot_be_answered_is_dropped_and_counted(data: bytes) -> None:
    bench = Bench()
    assert bench.arrives(data) == []
    assert bench.user.counts in (["malformed"], ["malformed", "malformed"])


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"\0", b"\0\0\0\0", b" \r\n"])
def test_a_keep_alive_is_nothing(data: bytes) -> None:
    bench = Bench()
    assert bench.arrives(data) == []
    assert bench.user.counts == []


def test_a_user_that_finds_a_fault_later_still_has_it_answered() -> None:
    bench = Bench()

    def refuse(tx: ServerTransaction) -> None:
        raise RemoteProtocolError("no such thing", status=420)

    bench.user.on_request = refuse
    assert statuses(bench.arrives(wire("INVITE"))) == [420]
    assert statuses(bench.arrives(wire("INVITE"))) == [420]
    assert bench.is_over()


def test_a_request_that_nobody_answers_is_over_in_the_end() -> None:
    bench = Bench()
    bench.arrives(wire("MESSAGE"))
    assert bench.is_over()
    assert statuses(bench.left()) == [100]
