"""Kamailio as the session border controller in front: alice -> Kamailio -> the proxy -> bob."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.otlp import Receiver
from tests.support.proxy import Proxy
from tests.support.sipp import Cast
from tests.support.spans import Span
from tests.support.wire import Message

from .kamailio import Hop, Kamailio, Reply
from .people import (
    ALICE,
    ALICES_SPAN,
    BOB,
    HOSTS,
    NAMES,
    TRACE_ID,
    TRACEPARENT,
    heard,
    nothing_is_left,
    only,
    party,
    place,
    settings,
    traceparent_of,
)
from .script import Script


@dataclass(slots=True)
class Played:
    """What came of one call."""

    spans: list[Span]
    alice: list[Message]
    bob: list[Message]
    hops: list[Hop]
    replies: list[Reply]
    alice_at: str
    sbc_at: str
    proxy_at: str

    def ladder(self) -> list[str]:
        """What Kamailio sent on, arrow by arrow."""
        return [f"{_name(hop.source)} {hop.method} {_name(hop.target)}" for hop in self.hops]


def _name(address: str) -> str:
    return NAMES[address.rpartition(":")[0]]


def play(
    folder: Path,
    receiver: Receiver,
    alice: Script,
    bob: Script,
    *,
    headers: Sequence[str] = (f"traceparent: {TRACEPARENT}",),
    send: Sequence[str] = ("traceparent", "tracestate"),
    transport: str = "udp",
    strip: Sequence[str] = (),
    advertise: str = "",
    back: bool = False,
) -> Played:
    """One call; `back`: on its way to bob it passes Kamailio again."""
    sbc_at, alice_at, bob_at = place("sbc"), place("alice"), place("bob")
    suffix = "" if transport == "udp" else f";transport={transport}"
    sbc = {"address": sbc_at + suffix, "match": [HOSTS["sbc"]], "trace": {"send": list(send)}}
    beyond = {"address": sbc_at + suffix if back else bob_at, "trace": {"send": list(send)}}
    config = settings(receiver, {"sbc": sbc, "beyond": beyond}, [{"from": "sbc", "to": ["beyond"]}])
    with Proxy(config, folder / "proxy") as proxy, Cast() as cast:
        target = f"sip:{proxy.address(transport)}{suffix}"
        with Kamailio(
            sbc_at,
            folder / "kamailio",
            targets=[target],
            callee=f"sip:{bob_at}",
            strip=strip,
            advertise=advertise,
        ) as kamailio:
            bob_acts = cast.enter(party(bob, folder, bob_at), folder)
            alice_acts = cast.enter(party(alice, folder, alice_at, calls_at=sbc_at, headers=headers), folder)
            cast.finish()
        proxy_at = proxy.address(transport)
    assert kamailio.complaints == []
    assert nothing_is_left(proxy)
    return Played(
        list(receiver.spans),
        alice_acts.messages,
        bob_acts.messages,
        kamailio.hops,
        kamailio.replies,
        alice_at,
        sbc_at,
        proxy_at,
    )


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_requests_inside_the_call_go_back_through_kamailio(
    tmp_path: Path, receiver: Receiver, transport: str
) -> None:
    alice = Script("alice").calls().hears_it_ring().hears_answer("bob")
    alice.reinvites("bob").is_reinvited("bob").hangs_up()
    bob = Script("bob").is_called("alice").rings().answers()
    bob.is_reinvited("alice").reinvites("alice").is_hung_up_on()

    played = play(tmp_path, receiver, alice, bob, transport=transport)

    assert played.ladder() == [
        "alice INVITE proxy",
        "alice ACK proxy",
        "alice INVITE proxy",
        "alice ACK proxy",
        "proxy INVITE alice",
        "proxy ACK alice",
        "alice BYE proxy",
    ]
    assert {hop.transport for hop in played.hops if _name(hop.target) == "proxy"} == {transport}
    answer, [reinvite] = heard(played.alice, "200")[0], heard(played.alice, "re-INVITE")
    route_set = tuple(answer.values("Record-Route"))
    assert {hop.route for hop in played.hops if _name(hop.source) == "proxy"} == {route_set}
    assert len(reinvite.values("Via")) == 2
    assert reinvite.start_line == f"INVITE sip:alice@{played.alice_at};transport=UDP SIP/2.0"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_the_callee_hangs_up_through_kamailio(tmp_path: Path, receiver: Receiver, transport: str) -> None:
    alice = Script("alice").calls().hears_it_ring().hears_answer("bob").is_hung_up_on()
    bob = Script("bob").is_called("alice").rings().answers().hangs_up()

    played = play(tmp_path, receiver, alice, bob, transport=transport)

    assert played.ladder() == ["alice INVITE proxy", "alice ACK proxy", "proxy BYE alice"]
    [bye] = heard(played.alice, "BYE")
    assert len(bye.values("Via")) == 2
    assert bye.values("Route") == []
    dialog = only(played.spans, "dialog server")
    assert dialog.attributes["sip.dialog.end"] == "callee_bye"


def test_the_trace_passes_kamailio(tmp_path: Path, receiver: Receiver) -> None:
    headers = [f"traceparent: {TRACEPARENT}", "tracestate: vendor=1,other=2"]

    played = play(tmp_path, receiver, ALICE, BOB, headers=headers)

    root, attempt = only(played.spans, "INVITE server"), only(played.spans, "INVITE client")
    assert (root.trace_id, root.parent_id) == (TRACE_ID, ALICES_SPAN)
    [invite] = heard(played.bob, "INVITE")
    assert invite.values("traceparent") == [traceparent_of(attempt)]
    assert invite.values("tracestate") == ["vendor=1,other=2"]
    assert {span.trace_id for span in played.spans} == {TRACE_ID}


def test_the_alias_survives_where_kamailio_strips_traceparent(tmp_path: Path, receiver: Receiver) -> None:
    alice = Script("alice").calls().hears_it_ring().hears_answer("bob").is_hung_up_on()
    bob = Script("bob").is_called("alice").rings().answers().hangs_up()

    played = play(
        tmp_path,
        receiver,
        alice,
        bob,
        headers=[f"traceparent: {TRACEPARENT}", f"X-Traceparent: {TRACEPARENT}"],
        send=["traceparent", "x-traceparent"],
        strip=["traceparent"],
        back=True,
    )

    root, attempt = only(played.spans, "INVITE server"), only(played.spans, "INVITE client")
    assert (root.trace_id, root.parent_id) == (TRACE_ID, ALICES_SPAN)
    assert root.attributes["sip.trace.carrier"] == "x-traceparent"
    [invite] = heard(played.bob, "INVITE")
    assert invite.values("traceparent") == []
    assert invite.values("X-Traceparent") == [traceparent_of(attempt)]
    [bye] = heard(played.alice, "BYE")
    assert bye.values("X-Traceparent") == [traceparent_of(only(played.spans, "dialog server"))]


def test_both_legs_pass_kamailio_and_keep_their_own_route(tmp_path: Path, receiver: Receiver) -> None:
    """Towards bob the route set comes from the 200, the last Record-Route first; towards alice from the
    INVITE.
    """
    alice = Script("alice").calls().hears_it_ring().hears_answer("bob")
    alice.reinvites("bob").is_reinvited("bob").hangs_up()
    bob = Script("bob").is_called("alice").rings().answers()
    bob.is_reinvited("alice").reinvites("alice").is_hung_up_on()

    played = play(tmp_path, receiver, alice, bob, transport="tcp", back=True)

    assert sorted(played.ladder()) == sorted(
        ["alice INVITE proxy", "proxy INVITE bob", "alice ACK proxy", "proxy ACK bob"] * 2
        + ["bob INVITE proxy", "proxy INVITE alice", "bob ACK proxy", "proxy ACK alice"]
        + ["alice BYE proxy", "proxy BYE bob"]
    )
    # Kamailio stands in the route twice, once for each side of it: ours, TCP, comes first.
    ours = [hop.route for hop in played.hops if _name(hop.source) == "proxy" and hop.route]
    assert len(ours) == 6
    assert all(";transport=tcp" in first and ";transport=tcp" not in second for first, second in ours)
    [invite] = heard(played.bob, "INVITE")
    assert len(invite.values("Via")) == 2
    assert all(HOSTS["sbc"] in row for row in invite.values("Record-Route"))


def test_answers_go_to_where_kamailio_really_is(tmp_path: Path, receiver: Receiver) -> None:
    """Its Via names an address at which nobody listens, and asks for `rport` (RFC 3581)."""
    alice = Script("alice").calls().trying().is_refused(486)
    bob = Script("bob").is_called("alice").refuses("486 Busy Here")

    played = play(tmp_path, receiver, alice, bob, advertise="127.0.0.99:9")

    sbc_port = played.sbc_at.rpartition(":")[2]
    assert [(reply.status, reply.source) for reply in played.replies] == [
        (100, played.proxy_at),
        (486, played.proxy_at),
    ]
    for reply in played.replies:
        assert reply.via.startswith("SIP/2.0/UDP 127.0.0.99:9;")
        assert reply.via.endswith(f";rport={sbc_port};received={HOSTS['sbc']}")


def test_a_call_that_kamailio_sends_back_is_a_loop(tmp_path: Path, receiver: Receiver) -> None:
    """A proxy in between keeps our Via, by which we know our own request (RFC 3261 section 16.3)."""
    sbc_at = place("sbc")
    alice = Script("alice").calls().trying().is_refused(482)
    trunks = {"sbc": {"address": sbc_at, "match": [HOSTS["sbc"]]}}
    config = settings(receiver, trunks, [{"from": "sbc", "to": ["sbc"]}])
    with Proxy(config, tmp_path / "proxy") as proxy, Cast() as cast:
        at = f"sip:{proxy.address('udp')}"
        with Kamailio(sbc_at, tmp_path / "kamailio", targets=[at], callee=at) as kamailio:
            headers = [f"traceparent: {TRACEPARENT}"]
            cast.enter(party(alice, tmp_path, place("alice"), calls_at=sbc_at, headers=headers), tmp_path)
            cast.finish()
    assert [_name(hop.source) for hop in kamailio.hops if hop.method == "INVITE"] == ["alice", "proxy"]
    assert {span.trace_id for span in receiver.spans} == {TRACE_ID}
    assert nothing_is_left(proxy)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_cancel_passes_both(tmp_path: Path, receiver: Receiver, transport: str) -> None:
    alice = Script("alice").calls().hears_it_ring().gives_up()
    bob = Script("bob").is_called("alice").rings().is_cancelled()

    played = play(tmp_path, receiver, alice, bob, transport=transport)

    assert len(heard(played.bob, "CANCEL")) == 1
    root, attempt = only(played.spans, "INVITE server"), only(played.spans, "INVITE client")
    assert root.attributes["sip.response.status_code"] == 487
    assert (root.status, attempt.status) == ("unset", "unset")
    [invite], [cancel] = heard(played.bob, "INVITE"), heard(played.bob, "CANCEL")
    assert cancel.values("traceparent") == invite.values("traceparent") == [traceparent_of(attempt)]
