"""Three baresip 1.0.0: blind transfers. It knows REFER, neither Replaces nor Referred-By, and hands the
header part of Refer-To back inside Request-URI and To, every escape in it damaged: the marker stays whole.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.otlp import Receiver

from .baresip import Baresip
from .exchange import PEOPLE, Exchange, attempt_below, below, invited_by, media_at, the_transfer
from .people import HOSTS, heard

REGISTRAR = pytest.mark.parametrize("registrar", [True, False], ids=["behind kamailio", "alone"])
TRANSFEROR = pytest.mark.parametrize("transferor", ["callee", "caller"])


def talking(exchange: Exchange, transferor: str) -> tuple[Baresip, Baresip, Baresip]:
    """Alice has called bob. The one who is to transfer the other, the other, and carol."""
    alice, bob, carol = (exchange.baresip(who) for who in PEOPLE)
    alice.dial("bob")
    bob.wait_for("CALL_INCOMING")
    bob.answer()
    for phone in (alice, bob):
        phone.wait_for("CALL_ESTABLISHED")
    return (bob, alice, carol) if transferor == "callee" else (alice, bob, carol)


@REGISTRAR
@TRANSFEROR
def test_blind_by_relay(tmp_path: Path, receiver: Receiver, registrar: bool, transferor: str) -> None:
    with Exchange(tmp_path, receiver, refer="relay", registrar=registrar) as exchange:
        giver, given, carol = talking(exchange, transferor)
        giver.transfer("carol")
        carol.wait_for("CALL_INCOMING")
        carol.answer()
        carol.wait_for("CALL_ESTABLISHED")
        given.wait_for("CALL_ESTABLISHED", 2)
        giver.wait_for("CALL_CLOSED")
        carol.hang_up()
        given.wait_for("CALL_CLOSED", 2)

    spans = receiver.spans
    transfer = the_transfer(spans, kind="blind", mode="relay", outcome="completed", stage="answered")
    call = below(spans, transfer, "INVITE server")
    assert call.attributes["sip.trace.carrier"] == "marker"
    assert exchange.carriers == 2  # the marker, and traceparent in the header part
    assert call.attributes["sip.transfer"] is True
    invite = invited_by(carol.messages, below(spans, call, "INVITE client"))
    assert media_at(invite) == HOSTS[given.who]
    notified = [m.body.splitlines()[0] for m in heard(giver.messages, "NOTIFY")]
    assert notified[0] == "SIP/2.0 100 Trying"
    assert notified[-1].startswith("SIP/2.0 200 ")


@REGISTRAR
@TRANSFEROR
def test_blind_by_ourselves(tmp_path: Path, receiver: Receiver, registrar: bool, transferor: str) -> None:
    with Exchange(tmp_path, receiver, refer="local", registrar=registrar) as exchange:
        giver, given, carol = talking(exchange, transferor)
        giver.transfer("carol")
        carol.wait_for("CALL_INCOMING")
        carol.answer()
        carol.wait_for("CALL_ESTABLISHED")
        giver.wait_for("CALL_CLOSED")
        carol.hang_up()
        given.wait_for("CALL_CLOSED")

    assert given.count("TRANSFER") == 0
    transfer = the_transfer(receiver.spans, kind="blind", mode="local", outcome="completed", stage="answered")
    invite = invited_by(carol.messages, attempt_below(receiver.spans, transfer))
    assert invite.body == ""
    assert given.who in invite.values("From")[0]
    [reinvite] = heard(given.messages, "re-INVITE")
    [ack] = heard(carol.messages, "ACK")
    assert media_at(reinvite) == HOSTS["carol"]
    assert media_at(ack) == HOSTS[given.who]


@pytest.mark.parametrize("mode", ["relay", "local"])
@TRANSFEROR
def test_a_busy_target(tmp_path: Path, receiver: Receiver, mode: str, transferor: str) -> None:
    """The transferor is told why, and hangs up: baresip 1.0.0 does so."""
    with Exchange(tmp_path, receiver, refer=mode, registrar=True) as exchange:
        giver, given, carol = talking(exchange, transferor)
        giver.transfer("carol")
        carol.wait_for("CALL_INCOMING")
        carol.hang_up()
        failed = giver.wait_for("TRANSFER_FAILED")
        given.wait_for(
            "CALL_CLOSED", 2 if mode == "relay" else 1
        )  # the one that it placed itself, the old one

    assert failed["param"].startswith("486 ")
    transfer = the_transfer(receiver.spans, kind="blind", mode=mode, outcome="busy", stage="failed")
    assert transfer.attributes["sip.response.status_code"] == 486
    assert transfer.status == "error"
