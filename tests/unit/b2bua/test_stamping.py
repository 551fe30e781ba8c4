"""What a REFER's Refer-To says when it goes on, what gives way for size, and what is expected then."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.replacing import Dialogue
from sipproxy.b2bua.routing import Trunk
from sipproxy.b2bua.settings import TransferSettings, TrunkSettings
from sipproxy.b2bua.stamping import LONG_TRACESTATE, expect, stamp_refer
from sipproxy.b2bua.transfer import Transfer
from sipproxy.propagation.settings import Carrier, TrunkTrace
from sipproxy.sip.refer import ReferTo, Replaces
from sipproxy.sip.uri import parse_uri
from tests.unit.b2bua.messages import request
from tests.unit.b2bua.support import CONTEXT
from tests.unit.b2bua.talking import as_known_by, engine_room, talking

CONTACT = "<sip:proxy.example:5060>"
CAROL = "<sip:carol@192.0.2.3>"
TP, TS, XTP = Carrier.TRACEPARENT, Carrier.TRACESTATE, Carrier.X_TRACEPARENT


class Stamped:
    """One Refer-To that was written anew."""

    def __init__(
        self,
        refer_to: str = CAROL,
        *,
        send: tuple[Carrier, ...] | None = (TP, TS),
        anchor: bool = True,
        tracestate: str = "",
        octets: int = 0,
        consulted: bool = False,
        contact: str = CONTACT,
    ) -> None:
        self.shared = engine_room(TransferSettings(refer_to_octets=octets))
        self.transferee, self.transferor = talking(self.shared)
        call = self.transferee.call
        consultation: Dialogue | None = None
        if consulted:
            consultation = Dialogue(*talking(self.shared, "bob", "carol", number=2))
            named = str(as_known_by(consultation.facing)).replace(";", "%3B").replace("=", "%3D")
            refer_to = refer_to.replace(">", f"?Replaces={named}>")
        self.transfer = Transfer(call, ReferTo.parse(refer_to), 0.0)
        self.transfer.context.tracestate = tracestate
        trunk: Trunk | None = None
        if send is not None:
            settings = TrunkSettings("192.0.2.1", trace=TrunkTrace(send=send), transfer_anchor=anchor)
            trunk = Trunk("alice", settings)
        out = request(f"Refer-To: {refer_to}", method="REFER")
        self.forms = stamp_refer(self.transfer, ReferTo.parse(refer_to), trunk, contact, out, consultation)
        (self.value,) = out.headers.values("refer-to")
        self.written = ReferTo.parse(self.value)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.written.headers]


def test_all_that_a_refer_to_holds() -> None:
    stamped = Stamped(tracestate="a=b")
    transfer = stamped.transfer
    assert len(transfer.token) == 32
    assert stamped.written.uri == f"sip:carol@proxy.example:5060;sipproxy-ref={transfer.token}"
    assert stamped.written.headers == [
        ("traceparent", transfer.context.traceparent()),
        ("tracestate", "a=b"),
        ("previous-trace-id", f"{CONTEXT.trace_id};span={transfer.context.span_id}"),
    ]


@pytest.mark.parametrize(
    ("send", "names"),
    [
        ((TP,), ["traceparent", "previous-trace-id"]),
        ((XTP, TS), ["x-traceparent", "x-tracestate", "previous-trace-id"]),
        ((TP, TS, XTP), ["traceparent", "tracestate", "x-traceparent", "x-tracestate", "previous-trace-id"]),
        ((Carrier.PAI, Carrier.BAGGAGE, Carrier.OTEL_TRACE_ID), []),  # none that a Refer-To can hold
        ((), []),
        (None, []),
    ],
)
def test_the_trunk_says_which_names_are_written(send: tuple[Carrier, ...] | None, names: list[str]) -> None:
    stamped = Stamped(send=send, tracestate="a=b")
    assert stamped.names == names
    assert stamped.transfer.token  # the marker stays


def test_a_trunk_without_an_anchor_gets_the_target_itself() -> None:
    stamped = Stamped("<sip:carol@192.0.2.3;x=y>", anchor=False)
    assert stamped.written.uri == "sip:carol@192.0.2.3;x=y"
    assert stamped.transfer.token == ""
    assert stamped.names == ["traceparent", "previous-trace-id"]


@pytest.mark.parametrize(
    ("refer_to", "contact", "uri"),
    [
        ("<sip:192.0.2.3>", CONTACT, "sip:proxy.example:5060"),
        ("<tel:+49-555-0100>", CONTACT, "sip:+49-555-0100@proxy.example:5060"),
        ("<sips:carol@h;transport=tcp>", CONTACT, "sip:carol@proxy.example:5060"),
        (CAROL, "<sip:proxy.example:5060;transport=tcp>", "sip:carol@proxy.example:5060;transport=tcp"),
    ],
)
def test_the_anchor_is_our_contact(refer_to: str, contact: str, uri: str) -> None:
    stamped = Stamped(refer_to, contact=contact)
    assert stamped.written.uri == f"{uri};sipproxy-ref={stamped.transfer.token}"
    assert parse_uri(stamped.written.uri).parameter("sipproxy-ref") == stamped.transfer.token


def test_a_tel_uri_has_no_room_for_headers() -> None:
    assert Stamped("<tel:+49-555-0100>", anchor=False).value == "<tel:+49-555-0100>"


@pytest.mark.parametrize(
    ("length", "names"),
    [
        (LONG_TRACESTATE, ["traceparent", "tracestate", "previous-trace-id"]),
        (LONG_TRACESTATE + 1, ["traceparent", "previous-trace-id"]),
    ],
)
def test_a_long_tracestate_is_left_out(length: int, names: list[str]) -> None:
    assert Stamped(tracestate="a=" + "b" * (length - 2)).names == names


GIVE_WAY = [
    ["traceparent", "tracestate", "x-traceparent", "x-tracestate", "previous-trace-id"],
    ["traceparent", "tracestate", "x-traceparent", "previous-trace-id"],
    ["traceparent", "x-traceparent", "previous-trace-id"],
    ["traceparent", "x-traceparent"],
    ["traceparent"],
    [],
]


@pytest.mark.parametrize("step", range(len(GIVE_WAY)))
def test_what_gives_way_first(step: int) -> None:
    """There is room for exactly so much, or for one octet less: then the next has to go."""
    full = Stamped(send=(TP, TS, XTP), tracestate="a=b")
    kept = [pair for pair in full.written.headers if pair[0] in GIVE_WAY[step]]
    size = len(ReferTo(full.written.uri, [], None).written(full.written.uri, kept, None))
    assert Stamped(send=(TP, TS, XTP), tracestate="a=b", octets=size).names == GIVE_WAY[step]
    less = Stamped(send=(TP, TS, XTP), tracestate="a=b", octets=size - 1)
    assert less.names == (GIVE_WAY[step + 1] if kept else [])


def test_what_the_transferor_asked_for_does_not_give_way() -> None:
    stamped = Stamped("<sip:carol@192.0.2.3?Subject=hello>", consulted=False, octets=1)
    assert stamped.names == ["Subject"]
    assert Stamped(consulted=True, octets=1).written.replaces is not None


def test_without_a_marker_nothing_gives_way() -> None:
    assert Stamped(anchor=False, octets=1).names == ["traceparent", "previous-trace-id"]


# Replaces


def test_a_consultation_is_named_as_the_target_knows_it() -> None:
    stamped = Stamped(consulted=True)
    assert str(stamped.written.replaces) == "call-carol2;to-tag=carol2;from-tag=us-carol2"
    as_asked, as_seen = stamped.forms
    assert (as_asked.call_id, as_seen.call_id) == ("call-bob2", "call-carol2")


def test_a_consultation_of_others_keeps_its_name() -> None:
    stamped = Stamped("<sip:carol@h?Replaces=x%3Bto-tag%3Da%3Bfrom-tag%3Db>")
    assert str(stamped.written.replaces) == "x;to-tag=a;from-tag=b"
    assert [str(form) for form in stamped.forms] == ["x;to-tag=a;from-tag=b"]


def test_a_blind_transfer_replaces_nothing() -> None:
    assert Stamped().forms == ()


def test_the_call_that_is_returned_is_named_as_the_far_side_knows_it() -> None:
    stamped = Stamped("<sip:carol@h?In-Reply-To=call-bob1&Subject=x>", send=())
    assert stamped.written.headers == [("In-Reply-To", "call-alice1"), ("Subject", "x")]


# The table


def test_the_new_call_is_expected() -> None:
    stamped = Stamped(consulted=True)
    shared, transfer = stamped.shared, stamped.transfer
    expect(transfer, "alice", "<sip:bob@192.0.2.2>", stamped.forms, 10.0)
    assert transfer.expires_at == 10.0 + shared.pending.settings.expires_s
    assert transfer.transferee == "alice"
    uri = parse_uri(stamped.written.uri)
    assert shared.pending.by_token(uri, "call tag")[0] is transfer
    for form in stamped.forms:
        assert shared.pending.by_replaces(form) is transfer
    assert shared.pending.by_replaces(Replaces("x", "a", "b")) is None
    assert shared.awaited == 1
