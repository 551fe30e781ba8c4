"""HEP3 packets byte for byte."""

from __future__ import annotations

import socket

import pytest

from sipproxy.net.hep_encode import Agent, Encoder, sip
from tests.support.hep import NAME, PASSWORD, parse
from tests.unit.net.hep_messages import message, read


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
