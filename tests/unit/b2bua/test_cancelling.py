"""Taking back an INVITE: when the CANCEL leaves, and that it leaves once (RFC 3261 section 9.1)."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.cancelling import Withdrawal
from sipproxy.b2bua.shared import NOBODY, Shared
from sipproxy.sip.build import respond_to
from sipproxy.sip.flow import UDP, Flow
from sipproxy.sip.message import Request, parse
from sipproxy.sip.transaction import InviteClientTransaction
from tests.unit.b2bua.support import UDP4, shared_with

ROWS = "Max-Forwards: 70\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n"


def invite_of(shared: Shared) -> InviteClientTransaction:
    request = parse(f"INVITE sip:b@h SIP/2.0\r\n{ROWS}".encode())
    assert isinstance(request, Request)
    tx = shared.endpoint.send(request, Flow(UDP, "192.0.2.1", 5060), NOBODY, 0.0)
    assert isinstance(tx, InviteClientTransaction)
    shared.endpoint.outbox.clear()
    return tx


def hear(shared: Shared, tx: InviteClientTransaction, status: int) -> None:
    shared.endpoint.receive(
        respond_to(tx.request, status, to_tag="b").encode(), Flow(UDP, "192.0.2.1", 5060), 1.0
    )
    shared.endpoint.outbox.clear()


def cancels(shared: Shared) -> list[str]:
    sent = [transmit.data.decode() for transmit in shared.endpoint.outbox]
    return [text for text in sent if text.startswith("CANCEL ")]


@pytest.mark.parametrize(
    ("heard", "at_once"),
    [([], False), ([100], True), ([180], True), ([200], False), ([486], False), ([180, 486], False)],
)
def test_cancel_leaves_at_once_only_where_it_is_allowed(heard: list[int], at_once: bool) -> None:
    shared = shared_with(UDP4)
    tx = invite_of(shared)
    for status in heard:
        hear(shared, tx, status)
    withdrawal = Withdrawal(shared.endpoint)
    assert withdrawal.want(tx, "Q.850;cause=16", 1.0) is at_once
    assert withdrawal.wanted
    assert len(cancels(shared)) == int(at_once)
    if at_once:
        assert "\r\nReason: Q.850;cause=16\r\n" in cancels(shared)[0]


def test_cancel_waits_for_the_first_provisional_response_and_leaves_once() -> None:
    shared = shared_with(UDP4)
    tx = invite_of(shared)
    withdrawal = Withdrawal(shared.endpoint)
    assert not withdrawal.want(tx, None, 0.5)
    hear(shared, tx, 180)
    assert withdrawal.try_now(tx, 1.0)
    assert not withdrawal.try_now(tx, 1.1)
    assert len(cancels(shared)) == 1


def test_without_a_wish_there_is_no_cancel() -> None:
    shared = shared_with(UDP4)
    tx = invite_of(shared)
    hear(shared, tx, 180)
    assert not Withdrawal(shared.endpoint).try_now(tx, 1.0)


def test_what_has_not_left_yet_cannot_be_cancelled() -> None:
    withdrawal = Withdrawal(shared_with(UDP4).endpoint)
    assert not withdrawal.want(None, None, 1.0)
