"""Whose request is it, where may it go, and how much may a trunk take?"""

from __future__ import annotations

import pytest

from sipproxy.b2bua.routing import Address, Router, Trunk, is_ip
from sipproxy.b2bua.settings import RouteSettings, TrunkLimits, TrunkSettings
from sipproxy.errors import ConfigurationError, RemoteProtocolError
from sipproxy.sip.flow import TCP, UDP, Flow
from sipproxy.sip.uri import Uri


def router_of(matches: dict[str, tuple[str, ...]], routes: tuple[RouteSettings, ...] = ()) -> Router:
    return Router.of(
        {name: TrunkSettings("192.0.2.1", match=match) for name, match in matches.items()}, routes
    )


def whose(router: Router, host: str, port: int = 5060) -> str:
    trunk = router.trunk_of(Flow(UDP, host, port))
    return "nobody" if trunk is None else trunk.name


# Whose address is that?


def test_an_address_with_its_port_comes_before_the_address_and_that_before_networks() -> None:
    router = router_of(
        {
            "wide": ("192.0.2.0/24",),
            "narrow": ("192.0.2.8/30",),
            "address": ("192.0.2.9",),
            "port": ("192.0.2.9:5070",),
        }
    )
    assert whose(router, "192.0.2.9", 5070) == "port"
    assert whose(router, "192.0.2.9", 5060) == "address"
    assert whose(router, "192.0.2.10") == "narrow"
    assert whose(router, "192.0.2.200") == "wide"
    assert whose(router, "192.0.3.1") == "nobody"


def test_of_two_trunks_with_the_same_network_the_first_has_it() -> None:
    assert whose(router_of({"one": ("192.0.2.0/24",), "two": ("192.0.2.0/24",)}), "192.0.2.1") == "one"


@pytest.mark.parametrize(
    ("match", "host", "port", "expected"),
    [
        ("2001:db8::1", "2001:db8::1", 5060, "sbc"),
        ("[2001:db8::1]", "2001:db8::1", 5060, "sbc"),
        ("[2001:db8::1]:5070", "2001:db8::1", 5070, "sbc"),
        ("[2001:db8::1]:5070", "2001:db8::1", 5060, "nobody"),
        ("[2001:DB8:0:0::1]:5070", "2001:db8::1", 5070, "sbc"),
        ("2001:DB8::/32", "2001:db8:7::1", 5060, "sbc"),
        ("2001:db8::/32", "192.0.2.1", 5060, "nobody"),
        ("0.0.0.0/0", "192.0.2.1", 5060, "sbc"),
        ("0.0.0.0/0", "2001:db8::1", 5060, "nobody"),
        ("192.0.2.77/24", "192.0.2.1", 5060, "sbc"),
        ("127.0.0.1", "127.0.0.1", 40000, "sbc"),
        ("127.0.0.1", "127.0.0.2", 5060, "nobody"),
    ],
)
def test_a_source_matches(match: str, host: str, port: int, expected: str) -> None:
    assert whose(router_of({"sbc": (match,)}), host, port) == expected


def test_a_trunk_without_sources_calls_from_nowhere() -> None:
    assert whose(router_of({"carrier": ()}), "192.0.2.1") == "nobody"


def test_sources_are_remembered_within_bounds() -> None:
    router = router_of({"sbc": ("192.0.2.0/24",)})
    for port in range(1, 5001):
        assert whose(router, "192.0.2.1", port) == "sbc"
        assert whose(router, "198.51.100.1", port) == "nobody"
    assert whose(router, "192.0.2.1", 1) == "sbc"


def test_faults_of_all_addresses_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Router.of(
            {"a": TrunkSettings("[::1"), "b": TrunkSettings("x;transport=smoke"), "c": TrunkSettings("c")}, ()
        )
    assert [fault.partition(":")[0] for fault in caught.value.faults] == [
        "trunks.a.address",
        "trunks.b.address",
    ]


# Where may it go?

TRUNKS: dict[str, tuple[str, ...]] = {"sbc": (), "one": (), "two": ()}
ROUTES = (
    RouteSettings(("one", "two"), source="sbc", user=r"^\+44"),
    RouteSettings(("two",), source="sbc"),
    RouteSettings(("sbc",), user="^0"),
)


@pytest.mark.parametrize(
    ("source", "uri", "expected"),
    [
        ("sbc", "sip:+4420@h", ["one", "two"]),
        ("sbc", "sip:%2B4420@h", ["one", "two"]),  # the same user (RFC 3261 section 19.1.4)
        ("sbc", "sip:+4920@h", ["two"]),
        ("sbc", "sip:h", ["two"]),
        ("sbc", "tel:+4420", ["one", "two"]),
        ("one", "sip:0800@h", ["sbc"]),
        ("one", "sip:800@h", None),
        (None, "sip:0800@h", ["sbc"]),
        (None, "sip:+4420@h", None),
    ],
)
def test_the_first_route_that_matches_is_taken(
    source: str | None, uri: str, expected: list[str] | None
) -> None:
    router = router_of(TRUNKS, ROUTES)
    chosen = router.choose(None if source is None else router.trunks[source], Uri.parse(uri))
    assert (None if chosen is None else [trunk.name for trunk in chosen]) == expected


def test_the_list_of_trunks_is_the_callers_to_use_up() -> None:
    router = router_of(TRUNKS, ROUTES)
    uri = Uri.parse("sip:+44@h")
    chosen = router.choose(router.trunks["sbc"], uri)
    assert chosen is not None
    chosen.clear()
    assert router.choose(router.trunks["sbc"], uri)


# How much may it take?


def trunk_with(limits: TrunkLimits) -> Trunk:
    return Trunk("sbc", TrunkSettings("192.0.2.1", limits=limits))


def test_without_limits_everything_is_admitted() -> None:
    trunk = trunk_with(TrunkLimits())
    assert all(trunk.admit(0.0) for _ in range(1000))
    assert trunk.calls == 1000


def test_calls_in_progress_are_limited() -> None:
    trunk = trunk_with(TrunkLimits(calls=2))
    assert [trunk.admit(0.0) for _ in range(3)] == [True, True, False]
    trunk.release()
    assert trunk.admit(0.0)
    assert trunk.calls == 2


def test_new_calls_per_second_are_limited() -> None:
    trunk = trunk_with(TrunkLimits(cps=5))
    admitted = [trunk.admit(1000.0 + n / 20) for n in range(200)]  # twenty a second for ten seconds
    assert sum(admitted[:20]) in (9, 10)  # a second's worth at once, and a second's worth
    assert sum(admitted[20:]) == 45
    assert trunk.calls == sum(admitted)


def test_less_than_one_call_per_second() -> None:
    trunk = trunk_with(TrunkLimits(cps=0.5))
    assert [trunk.admit(1000.0 + n) for n in range(6)] == [True, False, True, False, True, False]


def test_a_refused_call_costs_nothing() -> None:
    trunk = trunk_with(TrunkLimits(calls=1, cps=1))
    assert trunk.admit(1000.0)
    assert not trunk.admit(1010.0)
    trunk.release()
    assert trunk.admit(1010.0)


def test_a_trunk_is_usable_unless_it_is_down_or_asked_us_to_wait() -> None:
    trunk = trunk_with(TrunkLimits())
    assert trunk.usable(0.0)
    trunk.closed_until = 20.0
    assert not trunk.usable(19.9)
    assert trunk.usable(20.0)
    trunk.down = True
    assert not trunk.usable(20.0)


def test_round_trips_are_smoothed() -> None:
    trunk = trunk_with(TrunkLimits())
    assert trunk.rtt_ms is None
    trunk.measured(0.1)
    assert trunk.rtt_ms == pytest.approx(100.0)
    trunk.measured(0.02)
    assert trunk.rtt_ms == pytest.approx(60.0)
    trunk.answered_in(0.3)  # somebody thought
    assert trunk.rtt_ms == pytest.approx(60.0)
    trunk.answered_in(0.03)  # then the way is no longer than that
    assert trunk.rtt_ms == pytest.approx(30.0)


def test_a_late_first_answer_says_nothing_of_the_way() -> None:
    trunk = Trunk("carrier", TrunkSettings("192.0.2.9"))
    trunk.answered_in(12.0)
    assert trunk.rtt_ms is None
    trunk.answered_in(0.15)
    assert trunk.rtt_ms == pytest.approx(150.0)


# Addresses


@pytest.mark.parametrize(
    ("text", "host", "port", "transport", "shown", "literal"),
    [
        ("192.0.2.1", "192.0.2.1", None, None, "192.0.2.1", True),
        ("192.0.2.1:5070", "192.0.2.1", 5070, None, "192.0.2.1:5070", True),
        ("[2001:db8::1]:5070", "2001:db8::1", 5070, None, "[2001:db8::1]:5070", True),
        ("SIP.Carrier.example;transport=TCP", "sip.carrier.example", None, TCP, "sip.carrier.example", False),
        ("sbc:5060;transport=udp", "sbc", 5060, UDP, "sbc:5060", False),
    ],
)
def test_an_address(
    text: str, host: str, port: int | None, transport: str | None, shown: str, literal: bool
) -> None:
    address = Address(text)
    assert (address.host, address.port, address.transport) == (host, port, transport)
    assert (address.shown, address.literal) == (shown, literal)


@pytest.mark.parametrize(
    "text", ["", "192.0.2.1:", "192.0.2.1:70000", "h;transport=", "h;transport=sctp", "a b"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        Address(text)


def test_a_literal_needs_no_lookup_and_a_named_transport_pins() -> None:
    trunk = Trunk("a", TrunkSettings("192.0.2.1;transport=tcp"))
    assert trunk.flows == [Flow(TCP, "192.0.2.1", 5060)]
    assert trunk.pinned
    named = Trunk("b", TrunkSettings("sbc.example"))
    assert named.flows is None
    assert not named.pinned


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.1", True),
        ("2001:db8::1", True),
        ("1.2.3", False),
        ("999.1.1.1", False),
        ("h1", False),
        ("", False),
    ],
)
def test_an_ip_literal(host: str, expected: bool) -> None:
    assert is_ip(host) is expected
