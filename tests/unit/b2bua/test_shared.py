"""What calls share: lookups, our names, counters, challenged INVITEs."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.events import Counted
from sipproxy.b2bua.shared import LOOKUP_S, Shared
from sipproxy.sip.flow import TCP, UDP, Flow
from sipproxy.sip.message import Request, parse
from tests.unit.b2bua.support import CONTEXT, TCP4, UDP4, UDP6, shared_with

Found = list[tuple[list[Flow], float]]


def located_of(shared: Shared, host: str, port: int | None = None, transport: str | None = None) -> Found:
    found: Found = []
    shared.locate(host, port, transport, UDP, lambda flows, at: found.append((flows, at)), 10.0)
    return found


@pytest.mark.parametrize(
    ("host", "port", "transport", "expected"),
    [
        ("192.0.2.1", None, None, [Flow(UDP, "192.0.2.1", 5060, 0, 0)]),
        ("192.0.2.1", 5070, TCP, [Flow(TCP, "192.0.2.1", 5070, 0, 1)]),
        ("2001:db8::1", None, None, [Flow(UDP, "2001:db8::1", 5060, 0, 2)]),
        ("2001:db8::1", None, TCP, []),  # nothing of ours leads there
    ],
)
def test_an_address_is_found_at_once(
    host: str, port: int | None, transport: str | None, expected: list[Flow]
) -> None:
    shared = shared_with(UDP4, TCP4, UDP6)
    assert located_of(shared, host, port, transport) == [(expected, 10.0)]
    assert shared.lookups == []


def test_a_name_is_looked_up_and_answered_once() -> None:
    shared = shared_with(UDP4, TCP4)
    found = located_of(shared, "sbc.example", 5070, TCP)
    assert found == []
    (lookup,) = shared.lookups
    assert (lookup.host, lookup.port, lookup.transport) == ("sbc.example", 5070, TCP)
    assert lookup.give_up_at == 10.0 + LOOKUP_S
    flows = [Flow(TCP, "192.0.2.1", 5070), Flow(UDP, "2001:db8::1", 5060), Flow(UDP, "192.0.2.2", 5060)]
    shared.located(lookup.token, flows, 11.0)
    shared.located(lookup.token, flows, 12.0)
    assert found == [([Flow(TCP, "192.0.2.1", 5070, 0, 1), Flow(UDP, "192.0.2.2", 5060, 0, 0)], 11.0)]


def test_lookups_are_told_apart() -> None:
    shared = shared_with(UDP4)
    one, two = located_of(shared, "one.example"), located_of(shared, "two.example")
    first, second = shared.lookups
    shared.located(second.token, [], 11.0)
    assert (one, two) == ([], [([], 11.0)])
    shared.located(first.token, [Flow(UDP, "192.0.2.1", 5060)], 12.0)
    assert one == [([Flow(UDP, "192.0.2.1", 5060, 0, 0)], 12.0)]


def test_an_answer_to_no_lookup_is_nothing() -> None:
    shared_with(UDP4).located(7, [], 1.0)


def test_a_connection_stays_with_its_flow() -> None:
    shared = shared_with(UDP4, TCP4)
    assert shared.bound([Flow(TCP, "192.0.2.1", 40000, connection=9)]) == [
        Flow(TCP, "192.0.2.1", 40000, 9, 1)
    ]


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("proxy.example", None, True),
        ("proxy.example", 5060, True),
        ("proxy.example", 5061, False),
        ("other.example", None, False),
    ],
)
def test_our_names(host: str, port: int | None, expected: bool) -> None:
    names = frozenset(("proxy.example:5060",))
    assert shared_with(UDP4, names=names).is_us(host, port) is expected


def test_contact_names_the_listener_that_the_flow_leaves_by() -> None:
    shared = shared_with(UDP4, TCP4, UDP6)
    assert shared.contact(Flow(UDP, "192.0.2.1", 5060, 0, 0)) == "<sip:proxy.example:5060>"
    assert shared.contact(Flow(TCP, "192.0.2.1", 5060, 3, 1)) == "<sip:proxy.example:5060;transport=tcp>"
    assert shared.contact(Flow(UDP, "2001:db8::1", 5060, 0, 2)) == "<sip:[2001:db8::100]:5060>"


def test_what_is_counted_is_also_told() -> None:
    shared = shared_with(UDP4)
    shared.count("failover", "sbc")
    shared.count("failover", "carrier")
    assert shared.counts == {"failover": 2}
    assert shared.facts == [Counted("failover", "sbc"), Counted("failover", "carrier")]


def invite(call_id: str, tag: str) -> Request:
    head = (
        f"INVITE sip:b@h SIP/2.0\r\nFrom: <sip:a@h>;tag={tag}\r\nTo: <sip:b@h>\r\nCall-ID: {call_id}\r\n\r\n"
    )
    message = parse(head.encode())
    assert isinstance(message, Request)
    return message


def test_a_challenged_invite_is_known_by_call_id_and_tag_for_a_while() -> None:
    shared = shared_with(UDP4)
    challenges = shared.challenges
    assert challenges.find(invite("c", "a")) is None
    challenges.remember(invite("c", "a"), CONTEXT, 1.0)
    assert challenges.find(invite("c", "a")) == (CONTEXT, "retry")
    assert challenges.find(invite("c", "b")) is None
    assert challenges.find(invite("d", "a")) is None
    shared.endpoint.expire(32.9)
    assert len(challenges) == 1
    shared.endpoint.expire(33.0)
    assert len(challenges) == 0
    assert challenges.find(invite("c", "a")) is None
