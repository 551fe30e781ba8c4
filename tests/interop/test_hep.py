"""Operators' own tools read our HEP packets: sngrep, and Kamailio's sipcapture as HOMER has it.

A call through the core, in which numbers, names and bodies are said; what the tools show is masked, and valid
SIP, and both legs are found together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sipproxy.net.hep import HepEmitter
from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.parcel import Message
from sipproxy.telemetry.settings import HepSettings, Mask, PrivacySettings
from sipproxy.telemetry.wire import Wire, WireMessage
from tests.lab.core import HOSTS, PROXY
from tests.lab.lab import Lab, trunk

from .sipcapture import Sipcapture
from .sngrep import Sngrep

BEGAN_NS = 1_700_000_000_000_000_000
NUMBER, CALLER = "+4915550001234", "Jane Roe"
HEADERS = {
    "P-Asserted-Identity": f'"{CALLER}" <sip:{NUMBER}@192.0.2.1>, <tel:{NUMBER}>',
    "Proxy-Authorization": 'Digest username="jane", response="f84f1cec41e6cbe5aea9c8e88d359"',
    "X-Customer": NUMBER,
    "Subject": f"from {NUMBER}",
}
MASKERS = {mask: Masker(PrivacySettings(mask, "a key")) for mask in Mask}
WIRES = {mask: Wire(masker) for mask, masker in MASKERS.items()}


class Silence:
    """A log that must stay empty."""

    def info(self, event: str, **facts: object) -> None:
        raise AssertionError((event, facts))

    warning = error = info


def call() -> list[Message]:
    """Alice calls Bob, holds him, and hangs up; the callee's INVITE names the caller's Call-ID."""
    lab = Lab(trunks={"bob": replace(trunk("bob"), call_id_header="X-CID")})
    alice, bob = lab.phone("alice"), lab.phone("bob")
    alice.calls("bob", headers=HEADERS)
    bob.rings()
    bob.answers()
    assert alice.holds(bob).answered == 200
    alice.hangs_up()
    places = {name: f"{host}:5060" for name, host in (HOSTS | {"proxy": PROXY}).items()}
    return [
        Message(
            BEGAN_NS + number * 1_000_123_000,
            packet.sender == "proxy",
            "UDP",
            places[packet.receiver if packet.sender == "proxy" else packet.sender],
            places["proxy"],
            packet.data,
        )
        for number, packet in enumerate(lab.network.log)
    ]


def send(messages: Sequence[Message], address: str, mask: Mask = Mask.LAST2) -> list[WireMessage]:
    """As the observer does: all under the Call-ID of the caller's leg."""

    async def story() -> list[WireMessage]:
        emitter = HepEmitter(HepSettings(address=address, password="a password", name="edge-1"), Silence())
        await emitter.start()
        read = [WIRES[mask].read(message.data) for message in messages]
        shown = [each for each in read if each is not None]
        for message, each in zip(messages, shown, strict=True):
            emitter.put(message, each, shown[0].call_id)
        await emitter.close()
        figures = emitter.figures()
        assert (figures["sent"], figures["dropped"], figures["refused"]) == (len(messages), 0, 0)
        return shown

    return asyncio.run(story())


@pytest.mark.parametrize("mask", Mask, ids=str)
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_kamailio_stores_what_homer_needs(tmp_path: Path, transport: str, mask: Mask) -> None:
    messages = call()
    with Sipcapture(tmp_path / "kamailio", transport=transport) as receiver:
        shown = send(messages, f"{receiver.address};transport={transport}", mask)
        receiver.wait_for(len(messages))
        rows = receiver.rows()
        assert receiver.complaints == []
    assert [row["method"] for row in rows] == [str(each.status or each.start) for each in shown]
    assert [row["callid"] for row in rows] == [each.call_id for each in shown]
    assert {row["correlation_id"] for row in rows} == {shown[0].call_id}
    assert len({row["callid"] for row in rows}) == 2  # two legs
    first, forwarded = (row for row in rows if row["method"] == "INVITE" and not row["to_tag"])
    assert (first["source_ip"], first["source_port"]) == (HOSTS["alice"], "5060")
    assert (first["destination_ip"] if transport == "udp" else PROXY) == PROXY
    assert first["date"] == str(BEGAN_NS // 10**9)
    times = [message.at_ns // 1000 % 2**32 for message in messages]  # db_text keeps 32 bits
    assert [int(row["micro_ts"]) % 2**32 for row in rows] == times
    assert first["pid_user"] == MASKERS[mask].mask_user(NUMBER).replace("h:", "h-")
    assert first["msg"].endswith("Content-Length: 0\r\n\r\n")
    assert forwarded["callid_aleg"] == first["callid"]  # X-CID
    for row in rows:
        for secret in ("m=audio", "f84f1cec", CALLER, NUMBER):
            assert secret not in str(row) or (mask is Mask.NONE and secret in (CALLER, NUMBER))


def test_sngrep_shows_both_legs_as_one_flow() -> None:
    with Sngrep() as sngrep:
        shown = send(call(), sngrep.address)
        screen = sngrep.until("COMPLETED", times=2)
        assert "Dialogs: 2" in screen
        assert NUMBER not in screen
        sngrep.press("Down", "x")
        flow = sngrep.until(f"Extended Call flow for {shown[0].call_id}")
    for host in (HOSTS["alice"], PROXY, HOSTS["bob"]):
        assert f"{host}:5060" in flow
    invites = [line for line in flow.splitlines() if " INVITE" in line and "│" in line]
    assert len(invites) >= 4, flow  # the call's and the hold's, on both legs
    for secret in (NUMBER, CALLER, "f84f1cec", "m=audio"):
        assert secret not in flow
