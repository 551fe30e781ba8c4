"""What is done with a REFER: the trunks' words and the peer's Allow, and what is read of its Refer-To."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.leg import Leg
from sipproxy.b2bua.referring import is_context, mode_of, refer_to
from sipproxy.b2bua.routing import Trunk
from sipproxy.b2bua.settings import Refer, TrunkSettings
from sipproxy.errors import RemoteProtocolError
from tests.unit.b2bua.messages import request
from tests.unit.b2bua.talking import engine_room, talking

RELAY, LOCAL, REJECT = Refer.RELAY, Refer.LOCAL, Refer.REJECT


def says(leg: Leg, word: Refer | None) -> None:
    leg.trunk = Trunk(leg.trunk_name, TrunkSettings("192.0.2.9", refer=word))


@pytest.mark.parametrize(
    ("own", "other", "without_refer", "with_refer"),
    [
        # transferor's trunk, transferee's: what is done where its Allow lists no REFER, and where it does
        (None, None, LOCAL, RELAY),
        (None, RELAY, RELAY, RELAY),
        (None, LOCAL, LOCAL, LOCAL),
        (None, REJECT, LOCAL, LOCAL),
        (RELAY, None, RELAY, RELAY),
        (RELAY, RELAY, RELAY, RELAY),
        (RELAY, LOCAL, LOCAL, LOCAL),
        (RELAY, REJECT, LOCAL, LOCAL),
        (LOCAL, None, LOCAL, LOCAL),
        (LOCAL, RELAY, LOCAL, LOCAL),
        (LOCAL, LOCAL, LOCAL, LOCAL),
        (LOCAL, REJECT, LOCAL, LOCAL),
        (REJECT, None, REJECT, REJECT),
        (REJECT, RELAY, REJECT, REJECT),
        (REJECT, LOCAL, REJECT, REJECT),
        (REJECT, REJECT, REJECT, REJECT),
    ],
)
def test_whose_word_counts(
    own: Refer | None, other: Refer | None, without_refer: Refer, with_refer: Refer
) -> None:
    transferee, transferor = talking(engine_room())
    says(transferor, own)
    says(transferee, other)
    assert mode_of(transferor, transferee) is without_refer
    transferee.learn_allow(request("Allow: INVITE, Refer, BYE"))
    assert mode_of(transferor, transferee) is with_refer


def test_somebody_without_a_trunk_or_a_partner() -> None:
    transferee, transferor = talking(engine_room())
    transferee.trunk = transferor.trunk = None
    assert mode_of(transferor, transferee) is LOCAL
    transferee.knows_refer = True
    assert mode_of(transferor, transferee) is RELAY
    assert mode_of(transferor, None) is LOCAL


@pytest.mark.parametrize(
    "rows",
    [
        (),
        ("Refer-To: <sip:carol@h>", "Refer-To: <sip:dave@h>"),
        ("Refer-To: <sip:carol@h>", "r: <sip:dave@h>"),
        ("Refer-To: <sip:carol@h>, <sip:dave@h>",),
        ("Refer-To: <>",),
    ],
)
def test_a_refer_has_one_refer_to(rows: tuple[str, ...]) -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        refer_to(request(*rows, method="REFER"), engine_room())
    assert raised.value.status == 400


@pytest.mark.parametrize(
    ("written", "uri"),
    [
        ("sip:carol@192.0.2.3", "sip:carol@192.0.2.3"),
        ("sip:carol@proxy.example;sipproxy-ref=1;x=y", "sip:carol@proxy.example;x=y"),
        ("sip:carol@other.example;sipproxy-ref=1", "sip:carol@other.example;sipproxy-ref=1"),
    ],
)
def test_a_marker_of_ours_belongs_to_another_transfer(written: str, uri: str) -> None:
    assert refer_to(request(f"Refer-To: <{written}>", method="REFER"), engine_room()).uri == uri


def test_nobody_but_us_writes_context_into_a_refer_to() -> None:
    row = (
        "Refer-To: <sip:carol@h?traceparent=00-1&X-Subject=a&TraceState=b&X-My-Traceparent=c&"
        "previous-trace-id=d&Subject=e>"
    )
    target = refer_to(request(row, method="REFER"), engine_room())
    assert target.headers == [("X-Subject", "a"), ("Subject", "e")]
    assert target.refused == 0


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("traceparent", True),
        ("TraceParent", True),
        ("X-Traceparent", True),
        ("x-tracestate", True),
        ("previous-trace-id", True),
        ("Subject", False),
        ("s", False),
        ("Traces", False),
    ],
)
def test_what_context_is_called(name: str, context: bool) -> None:
    assert is_context(name) is context
