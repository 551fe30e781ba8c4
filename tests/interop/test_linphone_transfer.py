"""linphonec as transferor, transferee and target. It turns the header part of Refer-To into header fields and
knows Replaces: the target of an attended transfer takes the new call by itself and ends the old one. Its own
Refer-To names the target without a port, and its transferee holds the old call before it dials.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.otlp import Receiver

from .exchange import (
    Exchange,
    attempt_below,
    below,
    invited_by,
    media_at,
    the_attended_transfer,
    the_transfer,
)
from .linphone import Linphone
from .people import HOSTS, heard

REGISTRAR = pytest.mark.parametrize("registrar", [True, False], ids=["behind kamailio", "alone"])


def connect(caller: Linphone, callee: Linphone) -> tuple[int, int]:
    """One calls the other; the number that each of them gives the call."""
    dialled = caller.call(callee.who)
    taken = callee.is_called(caller.who)
    callee.answer(taken)
    caller.wait_until_talking(dialled)
    return dialled, taken


def test_blind_by_relay(tmp_path: Path, receiver: Receiver) -> None:
    """Transferor is a baresip: its Refer-To has no angle brackets, and its REFER no Referred-By."""
    with Exchange(tmp_path, receiver, refer="relay", registrar=False) as exchange:
        alice, carol = exchange.linphone("alice"), exchange.linphone("carol")
        bob = exchange.baresip("bob")
        alice.call("bob")
        bob.wait_for("CALL_INCOMING")
        bob.answer()
        bob.wait_for("CALL_ESTABLISHED")
        bob.transfer("carol")
        call = carol.is_called("alice")
        carol.answer(call)
        alice.wait_until_talking(2)
        bob.wait_for("CALL_CLOSED")
        carol.hang_up(call)
        alice.wait_until_ended(2)

    transfer = the_transfer(receiver.spans, kind="blind", mode="relay", outcome="completed", stage="answered")
    root = below(receiver.spans, transfer, "INVITE server")
    assert root.attributes["sip.trace.carrier"] == "traceparent"
    assert exchange.carriers == 4  # marker, traceparent, previous-trace-id, Referred-By
    invite = invited_by(carol.messages, below(receiver.spans, root, "INVITE client"))
    assert media_at(invite) == HOSTS["alice"]
    assert "bob" in invite.values("Referred-By")[0]
    assert invite.values("previous-trace-id") == [f"{transfer.trace_id};span={transfer.span_id}"]


def test_blind_by_ourselves(tmp_path: Path, receiver: Receiver) -> None:
    with Exchange(tmp_path, receiver, refer="local", registrar=True) as exchange:
        alice, bob, carol = (exchange.linphone(who) for who in ("alice", "bob", "carol"))
        dialled, taken = connect(alice, bob)
        alice.transfer(dialled, "carol")
        call = carol.is_called("bob")
        carol.answer(call)
        alice.wait_until_ended(dialled)
        bob.wait_until_talking(taken, 2)
        carol.hang_up(call)
        bob.wait_until_ended(taken)

    transfer = the_transfer(receiver.spans, kind="blind", mode="local", outcome="completed", stage="answered")
    invite = invited_by(carol.messages, attempt_below(receiver.spans, transfer))
    assert invite.body == ""
    [reinvite] = heard(bob.messages, "re-INVITE")
    assert media_at(reinvite) == HOSTS["carol"]
    assert media_at(heard(carol.messages, "ACK")[0]) == HOSTS["bob"]


@pytest.mark.parametrize("mode", ["relay", "local"])
def test_who_is_declined_goes_on_talking(tmp_path: Path, receiver: Receiver, mode: str) -> None:
    with Exchange(tmp_path, receiver, refer=mode, registrar=True) as exchange:
        alice, bob, carol = (exchange.linphone(who) for who in ("alice", "bob", "carol"))
        dialled, taken = connect(alice, bob)
        bob.transfer(taken, "carol")
        carol.refuse(carol.is_called("alice"))
        bob.wait_until_told(603)
        if mode == "relay":
            bob.wait_for_acks(3)  # the transferee held the call while it dialled, then took it back
        bob.hold(taken)
        bob.resume(taken)
        bob.hang_up(taken)
        alice.wait_until_ended(dialled)

    transfer = the_transfer(receiver.spans, kind="blind", mode=mode, outcome="declined", stage="failed")
    assert transfer.attributes["sip.response.status_code"] == 603
    assert transfer.status == "error"


@REGISTRAR
def test_attended_by_relay(tmp_path: Path, receiver: Receiver, registrar: bool) -> None:
    with Exchange(tmp_path, receiver, refer="relay", registrar=registrar) as exchange:
        alice, bob, carol = (exchange.linphone(who) for who in ("alice", "bob", "carol"))
        _, taken = connect(alice, bob)
        bob.hold(taken)
        asking, asked = connect(bob, carol)
        bob.join(taken, asking)
        call = carol.is_called("alice")
        carol.wait_until_ended(asked)
        carol.wait_until_talking(call)
        alice.wait_until_talking(2)
        bob.wait_until_ended(taken)
        bob.wait_until_ended(asking)
        carol.hang_up(call)
        alice.wait_until_ended(2)

    spans = receiver.spans
    transfer = the_attended_transfer(spans, "relay")
    root = below(spans, transfer, "INVITE server")
    assert root.attributes["sip.trace.carrier"] == "traceparent"
    assert exchange.carriers == 4  # marker, traceparent, Referred-By, Replaces: there is no room for more
    invite = invited_by(carol.messages, below(spans, root, "INVITE client"))
    asked_by = heard(carol.messages, "INVITE")[0]
    assert invite.values("Replaces")[0].startswith(f"{asked_by.values('Call-ID')[0]};")


@REGISTRAR
def test_attended_by_ourselves(tmp_path: Path, receiver: Receiver, registrar: bool) -> None:
    with Exchange(tmp_path, receiver, refer="local", registrar=registrar) as exchange:
        alice, bob, carol = (exchange.linphone(who) for who in ("alice", "bob", "carol"))
        dialled, taken = connect(alice, bob)
        bob.hold(taken)
        asking, asked = connect(bob, carol)
        bob.join(taken, asking)
        bob.wait_until_ended(taken)
        bob.wait_until_ended(asking)
        alice.wait_until_talking(dialled, 2)
        carol.hang_up(asked)
        alice.wait_until_ended(dialled)

    the_attended_transfer(receiver.spans, "local")
    joined = heard(alice.messages, "re-INVITE")[-1]
    assert media_at(joined) == HOSTS["carol"]
    assert media_at(heard(carol.messages, "ACK")[-1]) == HOSTS["alice"]
