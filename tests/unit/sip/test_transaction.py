"""The four transactions: every input in every state, once; then their rhythm over time.

A pair that no table lists does nothing and changes no state, except an answer of ours where none may follow.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from sipproxy.errors import LocalProtocolError
from sipproxy.sip.message import Request, parse
from sipproxy.sip.timers import Timer
from sipproxy.sip.transaction import (
    ClientTransaction,
    Deliver,
    Effect,
    InviteClientTransaction,
    InviteServerTransaction,
    OtherClientTransaction,
    OtherServerTransaction,
    Send,
    ServerTransaction,
    StartTimer,
    Terminated,
)
from tests.unit.sip.support import request, response

NOW = 100.0
INVITE, OPTIONS, ACK = request("INVITE"), request("OPTIONS"), request("ACK")
TIMERS = [f"timer {timer.name}" for timer in Timer]
ANSWERS = ["100", "180", "200", "302", "408", "603"]
FORBIDDEN = "LocalProtocolError"
NOTHING: list[str] = []

Pair = tuple[str, str]
Table = dict[Pair, tuple[list[str], str]]


def told(effects: list[Effect]) -> list[str]:
    """Effects as words, in any order."""
    return sorted(_word(effect) for effect in effects)


def _word(effect: Effect) -> str:
    if isinstance(effect, Send):
        message = parse(effect.wire)
        return f"send {message.method if isinstance(message, Request) else message.status}"
    if isinstance(effect, StartTimer):
        return f"start {effect.timer.name} {effect.at - NOW:g}"
    if isinstance(effect, Deliver):
        message = effect.message
        return f"deliver {message.method if isinstance(message, Request) else message.status}"
    assert isinstance(effect, Terminated)
    return "end, timed out" if effect.timed_out else "end"


def client(method: str, state: str, *, reliable: bool = False) -> ClientTransaction:
    """A client transaction brought into a state."""
    sent = INVITE if method == "INVITE" else OPTIONS
    make = InviteClientTransaction if method == "INVITE" else OtherClientTransaction
    tx = make(sent, sent.encode(), reliable=reliable)
    tx.start(NOW)
    for status in {"PROCEEDING": [180], "ACCEPTED": [200], "COMPLETED": [486]}.get(state, []):
        tx.receive(response(sent, status), NOW)
    if state == "TERMINATED":
        tx.fail()
    assert tx.state.name == state
    return tx


def server(method: str, state: str, *, reliable: bool = False) -> ServerTransaction:
    """A server transaction brought into a state."""
    tx: ServerTransaction
    if method == "INVITE":
        tx = InviteServerTransaction(INVITE, reliable=reliable)
    else:
        tx = OtherServerTransaction(OPTIONS, reliable=reliable)
    tx.start(NOW)
    final = 486 if method == "INVITE" else 200
    given = {"PROCEEDING": [180], "ACCEPTED": [200], "TRYING": []}.get(state, [final])
    for status in given:
        tx.respond(response(tx.request, status), NOW)
    if state in ("CONFIRMED", "TERMINATED") and method == "INVITE":
        tx.receive(ACK, NOW)
    if state == "TERMINATED":
        tx.expire(Timer.I if method == "INVITE" else Timer.J, NOW)
    assert tx.state.name == state
    return tx


def at_client(tx: ClientTransaction, what: str) -> list[Effect]:
    if what.startswith("timer "):
        return tx.expire(Timer[what[6:]], NOW)
    if what == "transport failure":
        return tx.fail()
    if what == "cancelled":
        assert isinstance(tx, InviteClientTransaction)
        return tx.cancelled(NOW)
    return tx.receive(response(tx.request, int(what)), NOW)


def at_server(tx: ServerTransaction, what: str) -> list[Effect]:
    if what.startswith("timer "):
        return tx.expire(Timer[what[6:]], NOW)
    if what == "ACK":
        return tx.receive(ACK, NOW)
    if what == "repeated":
        return tx.receive(tx.request, NOW)
    return tx.respond(response(tx.request, int(what)), NOW)


def pairs(states: str, inputs: list[str]) -> list[Pair]:
    return list(product(states.split(), inputs))


def rows(state: str, inputs: str, effects: list[str], after: str) -> Table:
    return {(state, what): ([e.replace("*", what) for e in effects], after) for what in inputs.split("|")}


def check(
    table: Table, pair: Pair, tx: ClientTransaction | ServerTransaction, act: Callable[[], list[Effect]]
) -> None:
    effects, after = table.get(pair, (NOTHING, pair[0]))
    if effects == [FORBIDDEN]:
        with pytest.raises(LocalProtocolError):
            act()
    else:
        assert told(act()) == sorted(effects)
    assert tx.state.name == after


INVITE_CLIENT: Table = {
    **rows("CALLING", "timer A", ["send INVITE", "start A 1"], "CALLING"),
    **rows("CALLING", "timer B", ["end, timed out"], "TERMINATED"),
    **rows("CALLING", "transport failure", ["end"], "TERMINATED"),
    **rows("CALLING", "100|180", ["deliver *"], "PROCEEDING"),
    **rows("CALLING", "200", ["deliver *", "start M 32"], "ACCEPTED"),
    **rows("CALLING", "302|408|603", ["send ACK", "start D 32", "deliver *"], "COMPLETED"),
    **rows("PROCEEDING", "100|180", ["deliver *"], "PROCEEDING"),
    **rows("PROCEEDING", "200", ["deliver *", "start M 32"], "ACCEPTED"),
    **rows("PROCEEDING", "302|408|603", ["send ACK", "start D 32", "deliver *"], "COMPLETED"),
    **rows("PROCEEDING", "cancelled", ["start GIVE_UP 32"], "PROCEEDING"),
    **rows("PROCEEDING", "timer GIVE_UP", ["end, timed out"], "TERMINATED"),
    **rows("ACCEPTED", "200", ["deliver *"], "ACCEPTED"),
    **rows("ACCEPTED", "timer M", ["end"], "TERMINATED"),
    **rows("COMPLETED", "302|408|603", ["send ACK"], "COMPLETED"),
    **rows("COMPLETED", "timer D", ["end"], "TERMINATED"),
}


@pytest.mark.parametrize(
    "pair",
    pairs(
        "CALLING PROCEEDING ACCEPTED COMPLETED TERMINATED",
        [*TIMERS, *ANSWERS, "transport failure", "cancelled"],
    ),
    ids=" + ".join,
)
def test_invite_client(pair: Pair) -> None:
    tx = client("INVITE", pair[0])
    check(INVITE_CLIENT, pair, tx, lambda: at_client(tx, pair[1]))


OTHER_CLIENT: Table = {
    **rows("TRYING", "timer E", ["send OPTIONS", "start E 1"], "TRYING"),
    **rows("TRYING", "timer F", ["end, timed out"], "TERMINATED"),
    **rows("TRYING", "transport failure", ["end"], "TERMINATED"),
    **rows("TRYING", "100|180", ["deliver *"], "PROCEEDING"),
    **rows("TRYING", "200|302|408|603", ["deliver *", "start K 5"], "COMPLETED"),
    **rows("PROCEEDING", "timer E", ["send OPTIONS", "start E 4"], "PROCEEDING"),
    **rows("PROCEEDING", "timer F", ["end, timed out"], "TERMINATED"),
    **rows("PROCEEDING", "100|180", ["deliver *"], "PROCEEDING"),
    **rows("PROCEEDING", "200|302|408|603", ["deliver *", "start K 5"], "COMPLETED"),
    **rows("COMPLETED", "timer K", ["end"], "TERMINATED"),
}


@pytest.mark.parametrize(
    "pair",
    pairs("TRYING PROCEEDING COMPLETED TERMINATED", [*TIMERS, *ANSWERS, "transport failure"]),
    ids=" + ".join,
)
def test_other_client(pair: Pair) -> None:
    tx = client("OPTIONS", pair[0])
    check(OTHER_CLIENT, pair, tx, lambda: at_client(tx, pair[1]))


ANY_ANSWER = "|".join(ANSWERS)
INVITE_SERVER: Table = {
    **rows("PROCEEDING", "repeated", ["send 180"], "PROCEEDING"),
    **rows("PROCEEDING", "100|180", ["send *"], "PROCEEDING"),
    **rows("PROCEEDING", "200", ["send *", "start L 32"], "ACCEPTED"),
    **rows("PROCEEDING", "302|408|603", ["send *", "start H 32", "start G 0.5"], "COMPLETED"),
    **rows("ACCEPTED", ANY_ANSWER, [FORBIDDEN], "ACCEPTED"),
    **rows("ACCEPTED", "200", ["send *"], "ACCEPTED"),
    **rows("ACCEPTED", "ACK", ["deliver ACK"], "ACCEPTED"),
    **rows("ACCEPTED", "timer L", ["end"], "TERMINATED"),
    **rows("COMPLETED", ANY_ANSWER, [FORBIDDEN], "COMPLETED"),
    **rows("COMPLETED", "repeated", ["send 486"], "COMPLETED"),
    **rows("COMPLETED", "timer G", ["send 486", "start G 1"], "COMPLETED"),
    **rows("COMPLETED", "timer H", ["end, timed out"], "TERMINATED"),
    **rows("COMPLETED", "ACK", ["start I 5"], "CONFIRMED"),
    **rows("CONFIRMED", ANY_ANSWER, [FORBIDDEN], "CONFIRMED"),
    **rows("CONFIRMED", "timer I", ["end"], "TERMINATED"),
    **rows("TERMINATED", ANY_ANSWER, [FORBIDDEN], "TERMINATED"),
}


@pytest.mark.parametrize(
    "pair",
    pairs("PROCEEDING ACCEPTED COMPLETED CONFIRMED TERMINATED", [*TIMERS, *ANSWERS, "repeated", "ACK"]),
    ids=" + ".join,
)
def test_invite_server(pair: Pair) -> None:
    tx = server("INVITE", pair[0])
    check(INVITE_SERVER, pair, tx, lambda: at_server(tx, pair[1]))


OTHER_SERVER: Table = {
    **rows("TRYING", "timer E", ["send 100", "start F 32"], "PROCEEDING"),
    **rows("TRYING", "timer F", ["end"], "TERMINATED"),
    **rows("TRYING", "100|180", ["send *"], "PROCEEDING"),
    **rows("TRYING", "200|302|603", ["send *", "start J 32"], "COMPLETED"),
    **rows("TRYING", "408", ["end"], "TERMINATED"),  # RFC 4320 section 4.2
    **rows("PROCEEDING", "repeated", ["send 180"], "PROCEEDING"),
    **rows("PROCEEDING", "timer F", ["end"], "TERMINATED"),
    **rows("PROCEEDING", "100|180", ["send *"], "PROCEEDING"),
    **rows("PROCEEDING", "200|302|603", ["send *", "start J 32"], "COMPLETED"),
    **rows("PROCEEDING", "408", ["end"], "TERMINATED"),
    **rows("COMPLETED", ANY_ANSWER, [FORBIDDEN], "COMPLETED"),
    **rows("COMPLETED", "repeated", ["send 200"], "COMPLETED"),
    **rows("COMPLETED", "timer J", ["end"], "TERMINATED"),
    **rows("TERMINATED", ANY_ANSWER, [FORBIDDEN], "TERMINATED"),
    **rows("TERMINATED", "repeated", ["send 200"], "TERMINATED"),
}


@pytest.mark.parametrize(
    "pair",
    pairs("TRYING PROCEEDING COMPLETED TERMINATED", [*TIMERS, *ANSWERS, "repeated"]),
    ids=" + ".join,
)
def test_other_server(pair: Pair) -> None:
    tx = server("OPTIONS", pair[0])
    check(OTHER_SERVER, pair, tx, lambda: at_server(tx, pair[1]))
