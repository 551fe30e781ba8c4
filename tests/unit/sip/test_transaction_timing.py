"""The rhythm of the four transactions: what is repeated when, and what a stream makes needless."""

from __future__ import annotations

import pytest

from sipproxy.sip.message import Request, Response
from sipproxy.sip.timers import Timer
from sipproxy.sip.transaction import (
    Deliver,
    Effect,
    InviteClientTransaction,
    InviteServerTransaction,
    OtherClientTransaction,
    OtherServerTransaction,
    Send,
    StartTimer,
    State,
    Transaction,
)
from tests.unit.sip.support import request, response

INVITE, OPTIONS = request("INVITE"), request("OPTIONS")


def play(tx: Transaction, effects: list[Effect]) -> list[float]:
    """Fire every timer at its moment; when bytes went out."""
    sent_at: list[float] = []
    waiting: list[tuple[float, Timer]] = []
    now = 0.0
    while True:
        sent_at += [now for effect in effects if isinstance(effect, Send)]
        waiting += [(effect.at, effect.timer) for effect in effects if isinstance(effect, StartTimer)]
        if not waiting or tx.state is State.TERMINATED:
            return sent_at
        waiting.sort()
        now, timer = waiting.pop(0)
        effects = tx.expire(timer, now)


def started(effects: list[Effect]) -> dict[str, float]:
    return {effect.timer.name: effect.at for effect in effects if isinstance(effect, StartTimer)}


def client(sent: Request, *, reliable: bool) -> InviteClientTransaction | OtherClientTransaction:
    make = InviteClientTransaction if sent.method == "INVITE" else OtherClientTransaction
    return make(sent, sent.encode(), reliable=reliable)


def test_an_unheard_invite_goes_out_seven_times() -> None:
    tx = client(INVITE, reliable=False)
    assert play(tx, tx.start(0.0)) == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]


def test_an_unheard_options_goes_out_eleven_times() -> None:
    tx = client(OPTIONS, reliable=False)
    assert play(tx, tx.start(0.0)) == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


def test_an_unacknowledged_busy_goes_out_eleven_times() -> None:
    tx = InviteServerTransaction(INVITE, reliable=False)
    sent = play(tx, tx.respond(response(INVITE, 486), 0.0))
    assert sent == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


def test_a_request_that_nobody_answers_gets_its_100_after_three_and_a_half_seconds() -> None:
    tx = OtherServerTransaction(OPTIONS, reliable=False)
    assert play(tx, tx.start(0.0)) == [3.5]  # RFC 4320 section 4.1
    assert tx.state is State.TERMINATED


@pytest.mark.parametrize("sent", [INVITE, OPTIONS], ids=["INVITE", "OPTIONS"])
def test_on_a_stream_a_request_goes_out_once(sent: Request) -> None:
    tx = client(sent, reliable=True)
    assert play(tx, tx.start(0.0)) == [0]


def test_on_a_stream_a_refusal_goes_out_once_and_still_waits_for_its_ack() -> None:
    tx = InviteServerTransaction(INVITE, reliable=True)
    assert started(tx.respond(response(INVITE, 486), 0.0)) == {"H": 32.0}


def test_on_a_stream_nothing_lingers() -> None:
    invite, options = client(INVITE, reliable=True), client(OPTIONS, reliable=True)
    assert started(invite.receive(response(INVITE, 486), 7.0)) == {"D": 7.0}
    assert started(options.receive(response(OPTIONS, 200), 7.0)) == {"K": 7.0}
    busy, done = (
        InviteServerTransaction(INVITE, reliable=True),
        OtherServerTransaction(OPTIONS, reliable=True),
    )
    busy.respond(response(INVITE, 486), 7.0)
    assert started(busy.receive(request("ACK"), 7.0)) == {"I": 7.0}
    assert started(done.respond(response(OPTIONS, 200), 7.0)) == {"J": 7.0}


def test_on_a_stream_2xx_to_invite_are_awaited_all_the_same() -> None:
    tx = client(INVITE, reliable=True)
    assert started(tx.receive(response(INVITE, 200), 0.0)) == {"M": 32.0}  # forks may answer later
    taken = InviteServerTransaction(INVITE, reliable=True)
    assert started(taken.respond(response(INVITE, 200), 0.0)) == {"L": 32.0}


@pytest.mark.parametrize("sent", [INVITE, OPTIONS], ids=["INVITE", "OPTIONS"])
def test_a_restart_begins_anew_over_the_other_transport(sent: Request) -> None:
    tx = client(sent, reliable=True)
    tx.start(0.0)
    effects = tx.restart(b"other bytes", reliable=False, now=3.0)
    assert Send(b"other bytes") in effects
    first = "A" if sent.method == "INVITE" else "E"
    assert started(effects)[first] == 3.5


def test_an_acknowledgement_follows_its_invite() -> None:
    tx = client(INVITE, reliable=False)
    (ack,) = [e.wire for e in tx.receive(response(INVITE, 486, tag="busy"), 0.0) if isinstance(e, Send)]
    lines = ack.decode().split("\r\n")
    assert lines[0] == "ACK sip:bob@example.com SIP/2.0"
    assert "Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKone" in lines
    assert "To: <sip:bob@example.com>;tag=busy" in lines
    assert "CSeq: 1 ACK" in lines


@pytest.mark.parametrize("sent", [INVITE, OPTIONS], ids=["INVITE", "OPTIONS"])
@pytest.mark.parametrize("status", [200, 486])
def test_what_ends_a_state_is_started_before_the_user_hears(sent: Request, status: int) -> None:
    """A user that raises on a malformed answer must not leave a transaction that never ends."""
    kinds = [type(effect) for effect in client(sent, reliable=False).receive(response(sent, status), 0.0)]
    assert kinds.index(StartTimer) < kinds.index(Deliver)


def test_repeats_are_counted() -> None:
    tx = client(OPTIONS, reliable=False)
    tx.start(0.0)
    tx.expire(Timer.E, 0.5)
    tx.expire(Timer.E, 1.5)
    assert tx.repeats == 2
    taken = InviteServerTransaction(INVITE, reliable=False)
    taken.receive(INVITE, 0.1)
    assert taken.repeats == 1


def test_answers_carry_the_status_they_were_given() -> None:
    tx = OtherServerTransaction(OPTIONS, reliable=False)
    (send, _) = tx.respond(Response(299, "Fine", response(OPTIONS, 200).headers), 0.0)
    assert isinstance(send, Send)
    assert send.wire.startswith(b"SIP/2.0 299 Fine\r\n")
