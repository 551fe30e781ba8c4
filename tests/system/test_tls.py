"""The proxy between an SBC and a carrier that both speak TLS: one trace, names that are proved, certificates
that are replaced under a call.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.phone import Dialog, Phone
from tests.support.otlp import HttpReceiver
from tests.support.ports import free_port
from tests.system.stream_phones import SPAN_ID, assert_one_trace
from tests.system.tls_house import House
from tests.system.tls_kamailio import TlsKamailio


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("tls")
    with HttpReceiver() as receiver:
        house = House(folder, receiver)
        with house.carol, house.mallory, house.begin(folder / "proxy"):
            yield house


def talking(house: House, alice: Phone) -> tuple[Dialog, Dialog, str]:
    call, trace_id = house.call(alice, "carol")
    answered = house.carol.is_called()
    answered.rings()
    call.hears("180")
    answered.answers()
    call.is_answered()
    answered.hears("ACK")
    return call, answered, trace_id


def test_a_call_by_tls_is_one_trace_and_goes_back_by_the_connections_it_came_by(house: House) -> None:
    with house.phone(showing=house.sbc) as alice:
        call, answered, trace_id = talking(house, alice)
        invite = answered.invite
        assert invite is not None
        assert invite.values("Via")[0].startswith("SIP/2.0/TLS 127.0.0.1:")
        assert ";transport=tls" in invite.values("Contact")[0].lower()
        connections = house.carol.connections
        answered.sends("INFO")
        call.hears("INFO")
        answered.hears("200 INFO")
        call.sends("INVITE", offer=True)  # hold
        answered.invite = answered.hears("re-INVITE")
        answered.answers()
        call.is_answered()
        answered.hears("ACK")
        answered.hangs_up()
        call.hears("BYE")
        assert (alice.connections, house.carol.connections) == (1, connections)
    assert_one_trace(house.receiver, trace_id, invite)


def test_kamailio_calls_and_is_called_by_tls(house: House, tmp_path: Path) -> None:
    udp = f"127.0.0.1:{free_port('127.0.0.1')}"
    with Phone("alice", "127.0.0.1", udp) as alice:
        sbc = TlsKamailio(
            tmp_path / "kamailio",
            udp=udp,
            tls=house.sbc_at,
            phone=alice.at,
            proxy=house.proxy.address("tls"),
            shows=house.sbc,
        )
        with sbc:
            call, answered, trace_id = talking(house, alice)
            assert answered.invite is not None
            answered.sends("INFO")
            call.hears("INFO")
            answered.hears("200 INFO")
            call.hangs_up()
            answered.hears("BYE")
            assert_one_trace(house.receiver, trace_id, answered.invite)
            call, trace_id = house.call(house.carol, "alice")
            answered = alice.is_called()
            answered.answers()
            call.is_answered()
            answered.hears("ACK")
            answered.hangs_up()
            call.hears("BYE")
            assert answered.invite is not None
            assert_one_trace(house.receiver, trace_id, answered.invite)
        assert sbc.complaints == []


@pytest.mark.parametrize("who", ["nobody", "another"])
def test_who_has_not_proved_to_be_a_trunk_is_a_stranger(house: House, who: str) -> None:
    showing = house.authority.issue("other", "DNS:other.example") if who == "another" else None
    with house.phone(showing=showing) as eve:
        call, _ = house.call(eve, "carol")
        call.is_refused(403)


def test_a_carrier_that_is_another_gets_no_word_and_trace_and_log_say_why(house: House) -> None:
    why = (
        "cannot connect: the peer's certificate is for elsewhere.example, 127.0.0.1, not for carrier.example"
    )
    since = len(house.proxy.log)
    with house.phone(showing=house.sbc) as alice:
        call, trace_id = house.call(alice, "mallory")
        call.is_refused(503)
        told = json.loads(house.proxy.wait_for_log("trunk unreachable", since))
    assert house.mallory.heard == []
    assert (told["trunk"], told["reason"]) == ("impostor", why)
    spans = house.receiver.wait_for(
        lambda spans: any(span.trace_id == trace_id and span.parent_id == SPAN_ID for span in spans)
    )
    own = [span for span in spans if span.trace_id == trace_id]
    assert why in [span.attributes.get("error.message") for span in own]


def test_certificates_are_replaced_under_a_call(house: House) -> None:
    with house.phone(showing=house.sbc) as alice:
        call, answered, _ = talking(house, alice)
        names = [value for _, value in alice.certificate["subjectAltName"]]
        assert names == ["proxy.example"]
        house.shows(house.second)
        house.tell_to_read_again("configuration loaded")
        with house.phone("bob", house.sbc) as bob:
            assert [value for _, value in bob.certificate["subjectAltName"]] == [
                "proxy.example",
                "new.example",
            ]
            house.own.key.write_text("nonsense")
            told = house.tell_to_read_again("tls.certificates[0].key")
            assert f"no private key (PEM) in {house.own.key}" in told
        with house.phone("bob", house.sbc) as bob:
            assert [value for _, value in bob.certificate["subjectAltName"]] == [
                "proxy.example",
                "new.example",
            ]
        answered.hangs_up()
        call.hears("BYE")
        assert alice.connections == 1
    house.shows(house.first)
    house.tell_to_read_again("configuration loaded")
