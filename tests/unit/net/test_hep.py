"""HEP3 packets byte for byte, and a collector that is there, slow, refusing, or gone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from sipproxy.errors import SipProxyError
from sipproxy.net import hep as module
from sipproxy.net.hep import Collector, HepEmitter
from sipproxy.net.hep_encode import Agent, Encoder, sip
from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.parcel import Message
from sipproxy.telemetry.settings import HepSettings, Mask, PrivacySettings
from sipproxy.telemetry.wire import Wire, WireMessage
from tests.support.hep import NAME, PASSWORD, packets, parse
from tests.unit.net.support import DEADLINE_S, Run, accepted, arrived, datagram_socket, listening, place, turn

AT_NS = 1_700_000_000_123_456_789
BYE = (
    b"BYE sip:+4915550001234@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n"
    b"From: <sip:+4930555098765@192.0.2.1>;tag=a\r\nTo: <sip:+4915550001234@192.0.2.9>;tag=b\r\n"
    b"Call-ID: one\r\nCSeq: 2 BYE\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nlilac"
)
READ = {mask: Wire(Masker(PrivacySettings(mask, "a key"))).read(BYE) for mask in Mask}


def message(
    *, sent: bool = False, peer: str = "192.0.2.1:5070", ours: str = "192.0.2.9:5060", transport: str = "UDP"
) -> Message:
    return Message(AT_NS, sent, transport, peer, ours, BYE)


def read(mask: Mask = Mask.LAST2) -> WireMessage:
    found = READ[mask]
    assert found is not None
    return found


class Log:
    def __init__(self) -> None:
        self.events: list[str] = []
        self.changed = asyncio.Event()

    def info(self, event: str, **facts: object) -> None:
        self.events.append(event)
        self.changed.set()

    def warning(self, event: str, **facts: object) -> None:
        self.events.append(f"{event}: {facts['reason']}")
        self.changed.set()

    def error(self, event: str, **facts: object) -> None:
        raise AssertionError(event)

    async def until(self, count: int) -> list[str]:
        async with asyncio.timeout(DEADLINE_S):
            while len(self.events) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.events


# Packets


def test_a_packet_byte_for_byte() -> None:
    packet = Encoder(Agent(2001, "secret", "proxy-1")).packet(message(), "BYE sip:h SIP/2.0", "one")
    assert packet is not None
    payload = b"BYE sip:h SIP/2.0\r\nContent-Length: 0\r\n\r\n"
    assert packet == b"".join(
        [
            b"HEP3" + len(packet).to_bytes(2),
            bytes.fromhex("0000 0001 0007 02"),
            bytes.fromhex("0000 0002 0007 11"),
            bytes.fromhex("0000 0003 000a c0000201"),
            bytes.fromhex("0000 0004 000a c0000209"),
            bytes.fromhex("0000 0007 0008 13ce"),
            bytes.fromhex("0000 0008 0008 13c4"),
            bytes.fromhex("0000 0009 000a 6553f100"),
            bytes.fromhex("0000 000a 000a 0001e240"),
            bytes.fromhex("0000 000b 0007 01"),
            bytes.fromhex("0000 000c 000a 000007d1"),
            bytes.fromhex("0000 000e 000c") + b"secret",
            bytes.fromhex("0000 0013 000d") + b"proxy-1",
            bytes.fromhex("0000 0011 0009") + b"one",
            bytes.fromhex("0000 000f") + (6 + len(payload)).to_bytes(2) + payload,
        ]
    )


def test_what_we_sent_goes_the_other_way() -> None:
    packet = parse(Encoder(Agent(1)).packet(message(sent=True, transport="TCP"), "x", "") or b"")
    assert (packet.source, packet.target) == (("192.0.2.9", 5060), ("192.0.2.1", 5070))
    assert packet.protocol == socket.IPPROTO_TCP
    assert packet.correlation == ""
    assert PASSWORD not in packet.chunks
    assert NAME not in packet.chunks


@pytest.mark.parametrize(
    ("peer", "ours", "source", "target"),
    [
        ("[2001:db8::1]:5070", "[::]:5060", ("2001:db8::1", 5070), ("::", 5060)),
        ("[fe80::1%eth0]:5070", "[fe80::2]:5060", ("fe80::1", 5070), ("fe80::2", 5060)),
        ("192.0.2.1:5070", "sip.example.com:5060", ("192.0.2.1", 5070), ("0.0.0.0", 5060)),
        ("[2001:db8::1]:5070", "192.0.2.9:5060", ("2001:db8::1", 5070), ("::ffff:192.0.2.9", 5060)),
        ("[2001:db8::1]:5070", "sip.example.com:x", ("2001:db8::1", 5070), ("::", 0)),
    ],
)
def test_addresses_of_both_families(
    peer: str, ours: str, source: tuple[str, int], target: tuple[str, int]
) -> None:
    packet = parse(Encoder(Agent(1)).packet(message(peer=peer, ours=ours), "x", "") or b"")
    assert packet.source == source
    assert packet.target[1] == target[1]
    assert packet.target[0] in (target[0], "::ffff:c000:209")


def test_the_payload_is_a_valid_message_without_its_body() -> None:
    text = read().text
    assert text.split("\n")[-2:] == ["Content-Length: 5", "[body: 5 bytes, text/plain]"]
    assert sip(text).decode().split("\r\n") == [
        "BYE sip:***34@192.0.2.9 SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa",
        "From: <sip:***65@192.0.2.1>;tag=a",
        "To: <sip:***34@192.0.2.9>;tag=b",
        "Call-ID: one",
        "CSeq: 2 BYE",
        "Content-Type: text/plain",
        "Content-Length: 0",
        "",
        "",
    ]
    assert sip("ACK sip:h SIP/2.0\nl: 17") == b"ACK sip:h SIP/2.0\r\nContent-Length: 0\r\n\r\n"


def test_a_hash_is_no_password_of_a_user_and_ends_no_tag() -> None:
    user = "h:e3c984d158320731"
    text = f"BYE sip:{user}@h SIP/2.0\nTo: <sips:{user}@h;x=***>;tag=a{user};y\nCall-ID: {user}@h\nFoo: h:1"
    assert sip(text).decode().split("\r\n")[:4] == [
        "BYE sip:h-e3c984d158320731@h SIP/2.0",
        "To: <sips:h-e3c984d158320731@h;x=***>;tag=ah-e3c984d158320731;y",
        "Call-ID: h:e3c984d158320731@h",
        "Foo: h:1",
    ]
    packet = parse(Encoder(Agent(1)).packet(message(), text, f"{user}@h") or b"")
    assert packet.correlation == "h:e3c984d158320731@h"


def test_a_message_that_fits_no_packet_is_none() -> None:
    assert Encoder(Agent(1)).packet(message(), "x" * 65_400, "") is not None
    assert Encoder(Agent(1)).packet(message(), "x" * 65_500, "") is None


# Where to


@pytest.mark.parametrize(
    ("text", "collector"),
    [
        ("192.0.2.1", Collector("192.0.2.1", 9060, False)),
        ("homer.example:9061;transport=tcp", Collector("homer.example", 9061, True)),
        ("[2001:db8::1]:9060;transport=UDP", Collector("2001:db8::1", 9060, False)),
    ],
)
def test_an_address(text: str, collector: Collector) -> None:
    assert Collector.parse(text) == collector


@pytest.mark.parametrize("text", ["", "h;transport=tls", "h;x=1", "h:99999", "ho st"])
def test_no_address(text: str) -> None:
    with pytest.raises(SipProxyError):
        Collector.parse(text)


# Sending


@contextlib.asynccontextmanager
async def emitting(address: str, log: Log, **settings: Any) -> AsyncIterator[HepEmitter]:
    emitter = HepEmitter(HepSettings(address=address, **settings), log, first_pause_s=0.02)
    await emitter.start()
    try:
        yield emitter
    finally:
        async with asyncio.timeout(DEADLINE_S):
            await emitter.close()


def datagrams(peer: socket.socket) -> str:
    host, port = place(peer)
    return f"{host}:{port}"


def stream(peer: socket.socket) -> str:
    return f"{datagrams(peer)};transport=tcp"


async def until(emitter: HepEmitter, enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The figures, once they are as the test wants them."""
    async with asyncio.timeout(DEADLINE_S):
        while not enough(emitter.figures()):
            await turn()
    return emitter.figures()


async def received(connection: socket.socket, count: int) -> list[bytes]:
    data = b""
    while len(packets(data)) < count:
        data += await arrived(connection)
    return packets(data)


def test_over_udp(run: Run) -> None:
    async def story() -> None:
        log = Log()
        with datagram_socket() as peer:
            async with emitting(datagrams(peer), log, agent_id=7, name="edge") as emitter:
                for _leg in ("caller", "callee"):
                    emitter.put(message(), read(), "one")
                for _ in range(2):
                    packet = parse(await arrived(peer))
                    assert (packet.correlation, packet.agent, packet.chunks[NAME]) == ("one", 7, b"edge")
                    assert packet.payload.startswith("BYE sip:***34@192.0.2.9 SIP/2.0\r\n")
                assert emitter.figures() == {
                    "sent": 2,
                    "dropped": 0,
                    "refused": 0,
                    "queued": 0,
                    "connected": 1,
                    "last_reason": "",
                }
        assert log.events == []

    run(story())


def test_over_tcp_by_name(run: Run) -> None:
    async def story() -> None:
        async with listening() as peer:
            port = place(peer)[1]
            async with emitting(f"localhost:{port};transport=tcp", Log()) as emitter:
                for number in range(100):
                    emitter.put(message(), read(), f"call-{number}")
                with await accepted(peer) as connection:
                    found = [parse(each).correlation for each in await received(connection, 100)]
                    assert found == [f"call-{number}" for number in range(100)]
                assert emitter.figures()["sent"] == 100

    run(story())


def test_udp_that_is_refused_is_counted_and_goes_on(run: Run) -> None:
    async def story() -> None:
        log = Log()
        with datagram_socket() as peer:
            host, port = place(peer)
        async with emitting(f"{host}:{port}", log) as emitter:

            async def put_until(enough: Callable[[], bool]) -> None:
                async with asyncio.timeout(DEADLINE_S):
                    while not enough():
                        emitter.put(message(), read(), "one")
                        await turn()

            await put_until(lambda: int(emitter.figures()["refused"]) >= 3)
            assert emitter.figures()["last_reason"] == "connection refused"
            assert log.events == ["HEP collector away: connection refused"]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
                back.bind((host, port))
                back.setblocking(False)
                emitter.put(message(), read(), "it is back")
                while parse(await arrived(back)).correlation != "it is back":
                    pass

    run(story())


def test_udp_that_is_no_longer_refused_is_said_to_be_back(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_S", 0.05)

    async def story() -> None:
        log = Log()
        with datagram_socket() as peer:
            host, port = place(peer)
        async with emitting(f"{host}:{port}", log) as emitter:
            while not log.events:
                emitter.put(message(), read(), "one")
                await turn()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
                back.bind((host, port))
                while len(log.events) < 2:
                    emitter.put(message(), read(), "one")
                    await turn()
            assert log.events == ["HEP collector away: connection refused", "HEP collector back"]

    run(story())


def test_a_tcp_collector_that_comes_later_gets_all_that_waited(run: Run) -> None:
    async def story() -> None:
        log = Log()
        with socket.socket() as peer:
            peer.bind(("127.0.0.1", 0))  # not listening: refused
            host, port = place(peer)
            async with emitting(f"{host}:{port};transport=tcp", log) as emitter:
                for number in range(10):
                    emitter.put(message(), read(), f"call-{number}")
                figures = await until(emitter, lambda figures: figures["refused"] >= 2)
                assert (figures["queued"], figures["sent"], figures["connected"]) == (10, 0, 0)
                peer.listen()
                peer.setblocking(False)
                with await accepted(peer) as connection:
                    found = [parse(each).correlation for each in await received(connection, 10)]
                assert found == [f"call-{number}" for number in range(10)]
                assert await log.until(2) == [
                    "HEP collector away: connection refused",
                    "HEP collector back",
                ]

    run(story())


def test_a_tcp_collector_that_closes_is_connected_to_again(run: Run) -> None:
    async def story() -> None:
        log = Log()
        async with listening() as peer, emitting(stream(peer), log) as emitter:
            emitter.put(message(), read(), "first")
            with await accepted(peer) as connection:
                assert parse((await received(connection, 1))[0]).correlation == "first"
            assert (await log.until(1))[0].startswith("HEP collector away: connection reset")
            emitter.put(message(), read(), "second")
            with await accepted(peer) as connection:
                assert parse((await received(connection, 1))[0]).correlation == "second"
            assert emitter.figures()["dropped"] == 0

    run(story())


def test_a_tcp_collector_that_does_not_read_is_left(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)

    async def story() -> None:
        log = Log()
        async with listening() as peer, emitting(stream(peer), log) as emitter:
            with await accepted(peer):
                while not log.events:
                    for _ in range(50):
                        emitter.put(message(), read(), "x" * 20_000)
                    await turn()
            assert log.events[0] == "HEP collector away: no answer"
            with await accepted(peer) as connection:  # and it begins with a whole packet
                assert parse((await received(connection, 1))[0]).correlation == "x" * 20_000

    run(story())


def test_what_waits_is_bounded_and_the_oldest_goes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PACKETS", 3)

    async def story() -> None:
        async with listening() as peer, emitting(stream(peer), Log()) as emitter:
            for number in range(5):  # before the loop had a turn
                emitter.put(message(), read(), f"call-{number}")
            assert (emitter.figures()["queued"], emitter.figures()["dropped"]) == (3, 2)
            with await accepted(peer) as connection:
                found = [parse(each).correlation for each in await received(connection, 3)]
            assert found == ["call-2", "call-3", "call-4"]

    run(story())


def test_what_waits_is_bounded_in_bytes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 100_000)

    async def story() -> None:
        async with emitting("192.0.2.1:9;transport=tcp", Log()) as emitter:
            for _ in range(10):
                emitter.put(message(), read(), "x" * 30_000)
            assert (emitter.figures()["queued"], emitter.figures()["dropped"]) == (3, 7)

    run(story())


def test_a_message_too_long_for_a_datagram_is_dropped(run: Run) -> None:
    async def story() -> None:
        with datagram_socket() as peer:
            async with emitting(datagrams(peer), Log()) as emitter:
                emitter.put(message(), read()._replace(text="x" * 65_410), "")
                emitter.put(message(), read(), "short")
                assert parse(await arrived(peer)).correlation == "short"
                assert emitter.figures()["dropped"] == 1

    run(story())


def test_a_name_that_is_not_known_stops_nobody(run: Run) -> None:
    async def story() -> None:
        log = Log()
        async with emitting("no-such-host.invalid", log) as emitter:
            emitter.put(message(), read(), "one")
            assert await log.until(1) == ["HEP collector away: its name is not known"]
            assert emitter.figures()["queued"] == 1
        assert emitter.figures() | {"last_reason": ""} == {
            "sent": 0,
            "dropped": 1,
            "refused": emitter.figures()["refused"],
            "queued": 0,
            "connected": 0,
            "last_reason": "",
        }

    run(story())


def test_what_was_said_last_is_sent_before_it_closes(run: Run) -> None:
    async def story() -> None:
        with datagram_socket() as peer:
            async with emitting(datagrams(peer), Log()) as emitter:
                emitter.put(message(), read(), "last words")
            assert parse(await arrived(peer)).correlation == "last words"
            emitter.put(message(), read(), "too late")
            assert emitter.figures()["dropped"] == 1

    run(story())
