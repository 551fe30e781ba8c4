"""A linphonec transfers a baresip, attended. The transferee knows no Replaces: the proxy has kept what it
should have said, or does everything by itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.otlp import Receiver

from .baresip import Baresip
from .exchange import Exchange, below, invited_by, media_at, the_attended_transfer
from .linphone import Linphone
from .people import HOSTS, heard

LONGEST_REFER_TO = 255  # what baresip has room for, 1.0.0 as well as 4.x; given more, it calls nobody


def consult(alice: Baresip, bob: Linphone, carol: Baresip | Linphone) -> tuple[int, int]:
    """Alice has called bob, who holds her and asks carol; the numbers that he gives the two calls."""
    alice.dial("bob")
    taken = bob.is_called("alice")
    bob.answer(taken)
    alice.wait_for("CALL_ESTABLISHED")
    bob.hold(taken)
    asking = bob.call("carol")
    if isinstance(carol, Baresip):
        carol.wait_for("CALL_INCOMING")
        carol.answer()
        carol.wait_for("CALL_ESTABLISHED")
    else:
        carol.answer(carol.is_called("bob"))
    bob.wait_until_talking(asking)
    return taken, asking


def test_attended_by_relay(tmp_path: Path, receiver: Receiver) -> None:
    """The transferee hands back the marker; the target, a linphonec, takes the call by its Replaces."""
    with Exchange(tmp_path, receiver, refer="relay", registrar=True) as exchange:
        alice, bob, carol = exchange.baresip("alice"), exchange.linphone("bob"), exchange.linphone("carol")
        taken, asking = consult(alice, bob, carol)
        bob.join(taken, asking)
        call = carol.is_called("alice")
        carol.wait_until_talking(call)
        alice.wait_for("CALL_ESTABLISHED", 2)
        bob.wait_until_ended(asking)
        bob.wait_until_ended(taken)
        carol.hang_up(call)
        alice.wait_for("CALL_CLOSED", 2)

    [refer] = heard(alice.messages, "REFER")
    assert len(refer.values("Refer-To")[0]) <= LONGEST_REFER_TO
    transfer = the_attended_transfer(receiver.spans, "relay")
    root = below(receiver.spans, transfer, "INVITE server")
    invite = invited_by(carol.messages, below(receiver.spans, root, "INVITE client"))
    asked_by = heard(carol.messages, "INVITE")[0]
    assert invite.values("Replaces")[0].startswith(f"{asked_by.values('Call-ID')[0]};")


@pytest.mark.parametrize("target", ["baresip", "linphone"])
def test_attended_by_ourselves(tmp_path: Path, receiver: Receiver, target: str) -> None:
    with Exchange(tmp_path, receiver, refer="local", registrar=True) as exchange:
        alice, bob = exchange.baresip("alice"), exchange.linphone("bob")
        carol = exchange.baresip("carol") if target == "baresip" else exchange.linphone("carol")
        taken, asking = consult(alice, bob, carol)
        bob.join(taken, asking)
        bob.wait_until_ended(taken)
        bob.wait_until_ended(asking)
        alice.hang_up()
        if isinstance(carol, Baresip):
            carol.wait_for("CALL_CLOSED")
        else:
            carol.wait_until_ended(1)

    assert alice.count("TRANSFER") == 0
    the_attended_transfer(receiver.spans, "local")
    assert media_at(heard(alice.messages, "re-INVITE")[-1]) == HOSTS["carol"]
    assert media_at(heard(carol.messages, "ACK")[-1]) == HOSTS["alice"]
