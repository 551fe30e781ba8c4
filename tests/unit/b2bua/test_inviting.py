"""The INVITE that we send a transfer's target ourselves, and what the REFER said about NOTIFYs."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.inviting import invitation, is_silent, known_as
from sipproxy.b2bua.leg import Leg
from sipproxy.b2bua.transfer import Transfer
from sipproxy.sip.message import Request
from sipproxy.sip.refer import ReferTo
from tests.unit.b2bua.messages import request
from tests.unit.b2bua.talking import engine_room, talking


def invited(refer_to: str, *rows: str, interaction: str = "", hops: int = 70) -> tuple[Leg, Request]:
    """Who is transferred, and the INVITE for it."""
    transferee, _ = talking(engine_room())
    transferee.call.interaction = interaction
    transferee.call.hops = hops
    target = ReferTo.parse(refer_to)
    transfer = Transfer(transferee.call, target, 0.0)
    return transferee, invitation(transferee, request(*rows, method="REFER"), transfer, target)


def test_it_speaks_for_the_transferee() -> None:
    transferee, invite = invited("<sip:carol@192.0.2.3>", "Referred-By: <sip:bob@192.0.2.2>")
    assert (invite.method, invite.uri, invite.body) == ("INVITE", "sip:carol@192.0.2.3", b"")
    headers = invite.headers
    assert headers.text("from") == transferee.dialog.remote
    assert headers.text("to") == "<sip:carol@192.0.2.3>"
    assert headers.text("contact") == "<sip:alice@192.0.2.1:5060>"
    assert headers.text("call-id") == "call-alice1"
    assert headers.values("referred-by") == ["<sip:bob@192.0.2.2>"]
    assert "REFER" in (headers.text("allow") or "")


def test_without_a_word_of_the_transferor_it_says_whom_the_transferee_talked_to() -> None:
    transferee, invite = invited("<sip:carol@192.0.2.3>")
    assert invite.headers.values("referred-by") == ["<sip:us@proxy.example>"]
    assert known_as(transferee) == "<sip:us@proxy.example>"


@pytest.mark.parametrize(("hops", "left"), [(70, "70"), (2, "2"), (1, "1"), (0, "1")])
def test_it_has_the_hops_that_its_call_has_left(hops: int, left: str) -> None:
    """One of them is taken off when it leaves."""
    assert invited("<sip:carol@192.0.2.3>", hops=hops)[1].headers.text("max-forwards") == left


def test_the_interaction_goes_on() -> None:
    assert invited("<sip:c@h>", interaction="i-1")[1].headers.text("x-interaction-id") == "i-1"
    assert "x-interaction-id" not in invited("<sip:c@h>")[1].headers.keys


def test_headers_of_refer_to_are_set_but_none_of_ours() -> None:
    headers = invited("<sip:c@h?Subject=hello&X-Interaction-ID=theirs&X-A=1>", interaction="ours")[1].headers
    assert headers.values("subject") == ["hello"]
    assert headers.values("x-a") == ["1"]
    assert headers.values("x-interaction-id") == ["ours"]


@pytest.mark.parametrize(
    ("rows", "silent"),
    [
        ((), False),
        (("Refer-Sub: false",), True),
        (("Refer-Sub:  FALSE ;x=y",), True),
        (("Refer-Sub: true",), False),
        (("Refer-Sub: ",), False),
        (("Require: nosub",), True),
        (("Require: replaces, nosub",), True),
        (("Supported: nosub",), False),
        (("Require: explicitsub",), False),
    ],
)
def test_who_wants_no_notify(rows: tuple[str, ...], silent: bool) -> None:
    assert is_silent(request(*rows, method="REFER")) is silent
