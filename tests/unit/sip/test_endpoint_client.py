"""The transaction layer for what we ask: matching of answers, CANCEL, and which way a request leaves."""

from __future__ import annotations

import pytest

from sipproxy.errors import LocalProtocolError, RemoteProtocolError
from sipproxy.sip.build import cancel_for, respond_to
from sipproxy.sip.endpoint import Transmit
from sipproxy.sip.flow import TCP, UDP, Flow
from sipproxy.sip.headers import VIA
from sipproxy.sip.message import Request, Response, parse
from sipproxy.sip.transaction import (
    ClientTransaction,
    InviteClientTransaction,
)
from tests.unit.sip.bench import PEER, Bench, User, bare
from tests.unit.sip.support import request, response


def test_an_answer_reaches_who_asked() -> None:
    bench = Bench()
    _, sent = bench.asks(bare())
    via = sent.headers.first(VIA)
    assert via is not None
    assert (via.host, via.port, via.has_cookie) == ("192.0.2.1", 5060, True)
    for status in (100, 180, 200):
        assert bench.arrives(response(sent, status).encode()) == []
    assert bench.user.heard == ["100", "180", "200"]
    assert bench.is_over()


def test_a_refusal_is_acknowledged_every_time_and_told_once() -> None:
    bench = Bench()
    _, sent = bench.asks(bare())
    for _ in range(2):
        (ack,) = bench.arrives(response(sent, 486).encode())
        assert isinstance(ack, Request)
        assert ack.method == "ACK"
    assert bench.user.heard == ["486"]
    assert bench.is_over()


def test_a_response_to_nothing_is_dropped_and_counted() -> None:
    bench = Bench()
    _, sent = bench.asks(bare("OPTIONS"))
    other_method = response(sent, 200).encode().replace(b"1 OPTIONS", b"1 INVITE")
    for stray in (response(request(), 200).encode(), other_method):
        assert bench.arrives(stray) == []
    assert bench.user.counts == ["stray_response"] * 2
    assert bench.user.heard == []


@pytest.mark.parametrize(
    ("sound", "broken"),
    [
        (b"\r\nCSeq: 1", b"\r\nCSeq: x"),
        (b"\r\nFrom:", b"\r\nX:"),
        (b"l: ", b"l:x"),
    ],
)
def test_a_broken_response_is_dropped_and_the_transaction_goes_on(sound: bytes, broken: bytes) -> None:
    bench = Bench()
    _, sent = bench.asks(bare("OPTIONS"))
    data = response(sent, 200).encode().replace(b"Content-Length: ", b"l: ").replace(sound, broken)
    assert bench.arrives(data) == []
    assert bench.user.heard == []
    bench.arrives(response(sent, 200).encode())
    assert bench.user.heard == ["200"]


def test_a_final_response_that_matches_but_cannot_be_used_is_a_bad_gateway() -> None:
    for method in ("INVITE", "OPTIONS"):
        bench = Bench()
        _, sent = bench.asks(bare(method))
        bench.arrives(response(sent, 200).encode().replace(b"\r\nTo: <", b'\r\nTo: "'))
        assert bench.user.heard == ["502"]
        assert bench.user.counts == ["malformed"]
        assert bench.is_over()


def test_a_final_response_that_no_dialog_can_use_stands_for_502() -> None:
    """Dropped it would strand the caller: after a 1xx no timer waits for it."""
    bench = Bench()
    _, sent = bench.asks(bare("OPTIONS"))
    bench.arrives(response(sent, 200).encode().replace(b"\r\nTo: <", b"\r\nTo: "))
    assert bench.user.heard == ["502"]


def test_a_user_that_raises_on_an_answer_leaves_no_transaction_behind() -> None:
    bench = Bench()

    def raises(tx: ClientTransaction, response: Response, now: float) -> None:
        raise RemoteProtocolError("cannot use that")

    bench.user.responded = raises  # type: ignore[method-assign]  # a user that finds a fault in what it reads
    for method in ("INVITE", "OPTIONS"):
        _, sent = bench.asks(bare(method))
        bench.arrives(response(sent, 200).encode())
    assert bench.is_over()


def test_silence_is_told_after_32_seconds() -> None:
    bench = Bench()
    bench.asks(bare("OPTIONS"))
    bench.endpoint.expire(31.9)
    assert bench.user.heard == []
    bench.endpoint.expire(32.0)
    assert bench.user.heard == ["timed out"]
    assert bench.is_over()


def test_a_cancel_goes_the_way_of_its_invite_with_its_branch() -> None:
    bench = Bench()
    tx, sent = bench.asks(bare())
    bench.arrives(response(sent, 180).encode())
    assert isinstance(tx, InviteClientTransaction)
    bench.endpoint.send_cancel(cancel_for(tx.request), tx, bench.user, 0.0)
    (cancel,) = bench.left()
    assert cancel.headers.values("via") == sent.headers.values("via")
    bench.arrives(response(sent, 487).encode())
    assert isinstance(cancel, Request)
    bench.arrives(respond_to(cancel, 200).encode())
    assert bench.user.heard == ["180", "487", "200"]
    assert bench.is_over()


def test_a_cancelled_invite_without_a_final_answer_is_given_up() -> None:
    bench = Bench()
    tx, sent = bench.asks(bare())
    bench.arrives(response(sent, 180).encode())
    assert isinstance(tx, InviteClientTransaction)
    bench.endpoint.send_cancel(cancel_for(tx.request), tx, bench.user, 0.0)
    assert bench.is_over()
    assert bench.user.heard == ["180", "timed out", "timed out"]


# Which way we ask


def padded(bench: Bench, size: int, *, pinned: bool = False) -> Transmit:
    """An INVITE of that many bytes, if it leaves by datagram."""
    least = Bench()
    least.endpoint.send(bare(call_id=""), PEER, least.user, 0.0)
    call_id = "x" * (size - len(least.sent()[0].data))
    bench.endpoint.send(bare(call_id=call_id), PEER, bench.user, 0.0, pinned=pinned)
    (sent,) = bench.sent()
    return sent


def test_a_request_over_1300_bytes_leaves_by_tcp() -> None:
    small, large = padded(Bench(), 1300), padded(Bench(), 1301)
    assert (len(small.data), small.flow.transport) == (1300, UDP)
    assert large.flow == Flow(TCP, "192.0.2.9", 5060, 0, 1)
    assert b"Via: SIP/2.0/TCP 192.0.2.1:5060;" in large.data


def test_it_stays_when_the_transport_is_given_or_there_is_no_other() -> None:
    assert padded(Bench(), 2000, pinned=True).flow.transport == UDP
    assert padded(Bench(UDP), 2000).flow.transport == UDP


def test_it_comes_back_to_udp_when_tcp_does_not_work() -> None:
    bench = Bench()
    by_tcp = padded(bench, 2000)
    bench.endpoint.unsent(by_tcp.data, by_tcp.flow, "refused", 0.5)
    (by_udp,) = bench.sent()
    assert by_udp.flow == Flow(UDP, "192.0.2.9", 5060, 0, 0)
    assert by_udp.data == by_tcp.data.replace(b"SIP/2.0/TCP", b"SIP/2.0/UDP")
    bench.endpoint.expire(1.0)
    (again,) = bench.sent()
    assert again.data == by_udp.data  # repeated now, as datagrams are
    bench.arrives(response(parse(by_udp.data), 200).encode())  # type: ignore[arg-type]  # a Request
    assert bench.user.heard == ["200"]


def test_what_cannot_be_sent_at_all_is_told_once() -> None:
    bench = Bench()
    by_tcp = padded(bench, 2000)
    bench.endpoint.unsent(by_tcp.data, by_tcp.flow, "refused", 0.0)
    (by_udp,) = bench.sent()
    bench.endpoint.unsent(by_udp.data, by_udp.flow, "unreachable", 0.0)
    bench.endpoint.unsent(by_udp.data, by_udp.flow, "unreachable", 0.0)
    assert bench.user.heard == ["unsent: unreachable"]
    assert bench.user.counts == ["unsent"]
    assert bench.is_over()


def test_what_cannot_be_sent_any_more_after_an_answer_changes_nothing() -> None:
    bench = Bench()
    tx, sent = bench.asks(bare())
    bench.arrives(response(sent, 180).encode())
    assert tx.flow is not None
    bench.endpoint.unsent(sent.encode(), tx.flow, "unreachable", 0.0)
    assert bench.user.heard == ["180"]


def test_an_address_that_no_socket_reaches_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        Bench().endpoint.send(bare(), Flow(UDP, "2001:db8::9", 5060), User(), 0.0)


def test_an_ack_of_a_2xx_has_no_transaction_and_can_be_sent_again() -> None:
    bench = Bench()
    sent = bench.endpoint.send_once(bare("ACK"), PEER)
    assert bench.sent() == [sent]
    assert bench.endpoint.transactions == 0
    assert sent.data.startswith(b"ACK sip:bob@example.com SIP/2.0\r\nVia: ")
