"""config/kamailio when a proxy is killed, or drains: new calls go on, and nobody is called twice.

One house for both stories: the first one leaves it as it was, the second one empties it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.otlp import HttpReceiver

from .house import House
from .test_dispatcher import ALLOW_REFER, a_trace, follow, hang_up, talk, the_transfer, trace_of


@pytest.fixture(scope="module")
def receiver() -> Iterator[HttpReceiver]:
    with HttpReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, receiver: HttpReceiver) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house"), receiver) as house:
        yield house


def test_calls_go_on_when_a_proxy_is_killed(house: House, receiver: HttpReceiver) -> None:
    alice, bob, carol = (house.phone(who) for who in ("alice", "bob", "carol"))
    trace_id, traceparent = a_trace(15)
    old, _ = talk(alice, bob, house.call_id_at("first"), [traceparent])
    ids = [house.call_id_at("first") for _ in range(3)]
    receiver.wait_for(lambda spans: any(span.trace_id == trace_id for span in spans))  # it is on record
    house.kill("first")

    # One waits for an answer, and repeats its INVITE; another one is given up before anybody has heard of it.
    waiting, given_up = alice.calls("bob", call_id=ids[0]), alice.calls("carol", call_id=ids[1])
    for call in (waiting, given_up):
        call.hears("100")
    waiting.repeats()
    given_up.takes_back()
    given_up.hears("200 CANCEL")
    waiting.repeats()
    given_up.is_refused(487)
    answered = bob.is_called()
    answered.rings()
    answered.answers()
    waiting.is_answered()
    answered.hears("ACK")
    hang_up(waiting, answered)
    house.passed(waiting, "first", "second")
    assert [message.kind for message in bob.heard].count("INVITE") == 2  # the old call, and this one
    assert carol.heard == []

    # Now it is known: the next one does not wait.
    call, answered = talk(alice, bob, ids[2])
    hang_up(call, answered)
    house.passed(call, "second")

    # It is there again, and gets its share; a call of its former life is none that it knows.
    house.start("first")
    house.desk.wait_for_line(f"up: sip:{house.at['first']}")
    call, answered = talk(alice, bob, house.call_id_at("first"))
    old.sends("BYE")
    old.hears("481 BYE")
    hang_up(call, answered)
    house.passed(call, "first")
    ends = [span.attributes.get("sip.dialog.end") for span in trace_of(receiver, trace_id, dialogs=2)]
    assert ends.count("lost") == 2


def test_a_proxy_that_drains_ends_its_transfers_and_gets_no_new_calls(
    house: House, receiver: HttpReceiver
) -> None:
    """The consultation of an attended transfer is a new call: the other proxy has it, and is found there."""
    alice, bob, carol = (house.phone(who) for who in ("alice", "bob", "carol"))
    first, second = house.proxies["first"], house.proxies["second"]
    trace_id, traceparent = a_trace(16)
    call, answered = talk(alice, bob, house.call_id_at("first"), [traceparent, ALLOW_REFER])
    consulting, another, new = (house.call_id_at(name) for name in ("first", "first", "second"))
    first.terminate()
    first.wait_until_it_says("draining")

    consultation, consulted = talk(bob, carol, consulting)
    house.passed(consulted, "second")
    hang_up(*talk(alice, bob, another))
    answered.refers(f"{consultation.target}?{consultation.as_replaces}")
    transferred, carols = follow(house, call, answered, new, keeps_headers=False)
    house.passed(transferred, "first")

    # When the other one drains as well nobody is left, and the caller is told when to try again.
    second.terminate()
    second.wait_until_it_says("draining")
    assert alice.calls("bob").is_refused(503).values("Retry-After") == ["5"]
    hang_up(consulted, consultation)
    hang_up(call, answered)
    hang_up(transferred, carols)
    assert [proxy.wait() for proxy in (first, second)] == [0, 0]
    the_transfer(trace_of(receiver, trace_id, dialogs=6), "relay")
