"""The tap: every message is counted, by what it is and whose; a copy waits for the observer, bounded."""

from __future__ import annotations

import time
from random import Random

import pytest

from sipproxy.b2bua.engine import Engine
from sipproxy.b2bua.routing import Router
from sipproxy.net.driver import Driver
from sipproxy.net.resolver import Resolver
from sipproxy.net.tap import MOST_BYTES, OTHER, Counts, Tap
from sipproxy.net.transport import Transports
from sipproxy.sip.flow import TCP, UDP, Flow, Listener
from sipproxy.sip.ids import Ids
from sipproxy.telemetry.parcel import Message, Parcel, pack, unpack
from tests.unit.net.support import Run, arrived, datagram_socket, place

SBC = Flow(UDP, "192.0.2.1", 5070, 0, 0)
CARRIER = Flow(TCP, "2001:db8::2", 5060, 7, 1)
LISTENERS = [
    Listener(0, UDP, "192.0.2.100", 5060, "192.0.2.100:5060"),
    Listener(1, TCP, "2001:db8::100", 5060, "[2001:db8::100]:5060"),
]
INVITE = b"INVITE sip:bob@example.com SIP/2.0\r\nCall-ID: 1\r\n\r\n"
WALL = 1_700_000_000.0


def trunk_of(flow: Flow) -> str:
    return {"192.0.2.1": "sbc", "2001:db8::2": "carrier"}.get(flow.host, "")


class Tapped:
    """A tap, and what it counts."""

    def __init__(self, *, copies: bool = True) -> None:
        self.counts: Counts = {}
        self.offset = WALL
        self.tap = Tap(self.counts, trunk_of, LISTENERS, wall_offset=lambda: self.offset, copies=copies)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        *((f"{method} sip:x SIP/2.0", method) for method in ("INVITE", "ACK", "BYE", "SUBSCRIBE", "PRACK")),
        *((f"SIP/2.0 {status} Word", f"{status // 100}xx") for status in (100, 183, 200, 302, 486, 503, 603)),
        ("JUMP sip:x SIP/2.0", OTHER),
        ("invite sip:x SIP/2.0", OTHER),  # methods are case-sensitive (RFC 3261 section 7.1)
        ("INVITEsip:xSIP/2.0", OTHER),
        (" INVITE sip:x SIP/2.0", OTHER),
        ("SUBSCRIBERS sip:x SIP/2.0", OTHER),
        ("SIP/2.0 700 Word", OTHER),
        ("SIP/2.0 ", OTHER),
        ("", OTHER),
    ],
)
def test_a_message_is_counted_by_what_it_is(line: str, word: str) -> None:
    tapped = Tapped()
    tapped.tap.saw(line.encode() + b"\r\n\r\n", SBC, 1.0, sent=False)
    assert tapped.counts == {(word, False, "sbc"): 1}


def test_each_trunk_and_direction_has_its_count_and_strangers_share_one() -> None:
    tapped = Tapped(copies=False)
    for flow in (SBC, SBC, CARRIER, Flow(UDP, "198.51.100.9", 5060), Flow(UDP, "198.51.100.10", 5060)):
        tapped.tap.saw(INVITE, flow, 1.0, sent=False)
    tapped.tap.saw(INVITE, CARRIER, 1.0, sent=True)
    assert tapped.counts == {
        ("INVITE", False, "sbc"): 2,
        ("INVITE", False, "carrier"): 1,
        ("INVITE", False, ""): 2,
        ("INVITE", True, "carrier"): 1,
    }


def test_what_somebody_makes_up_makes_no_new_count() -> None:
    tapped = Tapped(copies=False)
    for number in range(1000):
        tapped.tap.saw(f"M{number} sip:x SIP/2.0\r\n\r\n".encode(), SBC, 1.0, sent=False)
    assert tapped.counts == {(OTHER, False, "sbc"): 1000}


def test_a_copy_says_when_between_whom_and_which_way() -> None:
    tapped = Tapped()
    tapped.tap.saw(INVITE, SBC, 1.5, sent=False)
    tapped.tap.saw(INVITE, CARRIER, 1.75, sent=True)
    expected = [
        Message(1_700_000_001_500_000_000, False, UDP, "192.0.2.1:5070", "192.0.2.100:5060", INVITE),
        Message(1_700_000_001_750_000_000, True, TCP, "[2001:db8::2]:5060", "[2001:db8::100]:5060", INVITE),
    ]
    taken = tapped.tap.taken()
    assert taken == expected
    assert unpack(pack(Parcel([], [], [], taken))).messages == expected
    assert tapped.tap.taken() == []


def test_messages_keep_their_order_also_at_the_same_moment() -> None:
    tapped = Tapped()
    data = [f"INFO sip:{number} SIP/2.0\r\n\r\n".encode() for number in range(50)]
    for number, each in enumerate(data):
        tapped.tap.saw(each, SBC, 1.0, sent=bool(number % 2))
    assert [message.data for message in tapped.tap.taken()] == data


def test_a_clock_that_was_set_anew_moves_what_is_taken_afterwards() -> None:
    tapped = Tapped()
    tapped.tap.saw(INVITE, SBC, 1.0, sent=False)
    tapped.offset += 3600.0
    (message,) = tapped.tap.taken()
    assert message.at_ns == int((WALL + 3601.0) * 1e9)


def test_the_copy_is_to_the_byte_what_was_on_the_wire() -> None:
    tapped = Tapped()
    data = b"MESSAGE sip:x SIP/2.0\r\nX: \xff\x00\xfe\r\n\r\nbody \xc3\x28"
    tapped.tap.saw(data, SBC, 1.0, sent=False)
    assert tapped.tap.taken()[0].data == data


def test_where_nobody_reads_them_there_are_no_copies() -> None:
    tapped = Tapped(copies=False)
    tapped.tap.saw(INVITE, SBC, 1.0, sent=False)
    assert (tapped.tap.bytes, tapped.tap.dropped, tapped.tap.taken()) == (0, 0, [])


def test_copies_that_nobody_takes_are_bounded_and_the_rest_counted() -> None:
    tapped = Tapped()
    large = b"INVITE sip:x SIP/2.0\r\n".ljust(65536, b".")
    fits = MOST_BYTES // len(large) + 1
    for _ in range(fits + 10):
        tapped.tap.saw(large, SBC, 1.0, sent=False)
    assert (tapped.tap.bytes, tapped.tap.dropped) == (fits * len(large), 10)
    assert tapped.counts == {("INVITE", False, "sbc"): fits + 10}
    assert len(tapped.tap.taken()) == fits
    tapped.tap.saw(INVITE, SBC, 2.0, sent=False)
    assert (len(tapped.tap.taken()), tapped.tap.bytes) == (1, 0)


def test_a_driver_shows_it_what_comes_and_what_goes(run: Run) -> None:
    """Also what gets no answer, and is no SIP at all."""

    async def story() -> None:
        transports = Transports()
        counts: Counts = {}
        driver = Driver(
            transports,
            Resolver(nameservers=[]),
            clock=time.monotonic,
            tell=lambda facts, sent_at: None,
            complain=lambda event, facts: None,
            refused=lambda peer, reason, now: None,
        )
        await transports.open([(UDP, "127.0.0.1", 0)], receiver=driver, advertise=None)
        (ours,) = transports.listeners
        driver.tap = Tap(counts, lambda flow: "sbc", transports.listeners, wall_offset=time.time, copies=True)
        router = Router.of({}, ())
        driver.attach(Engine(transports.listeners, Ids(Random(1).randbytes), router, sample=lambda *_: False))
        with datagram_socket() as peer:
            host, port = place(peer)
            rows = (
                f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n"
                f"To: <sip:{ours.sent_by}>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            )
            question = f"OPTIONS sip:{ours.sent_by} SIP/2.0\r\n{rows}".encode()
            for data in (b"no SIP at all\r\n\r\n", question):
                peer.sendto(data, (ours.host, ours.port))
            answer = await arrived(peer)
        assert counts == {(OTHER, False, "sbc"): 1, ("OPTIONS", False, "sbc"): 1, ("2xx", True, "sbc"): 1}
        taken = driver.tap.taken()
        assert [message.data for message in taken] == [b"no SIP at all\r\n\r\n", question, answer]
        assert {(message.peer, message.ours) for message in taken} == {(f"{host}:{port}", ours.sent_by)}
        await driver.close()
        await transports.close()

    run(story())
