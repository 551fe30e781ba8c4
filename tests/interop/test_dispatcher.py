"""config/kamailio in front of two proxies: calls are spread and stay whole, traces and transfers survive."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.otlp import HttpReceiver
from tests.support.programs import require
from tests.support.spans import Span, children, drawn, roots

from .house import CONFIG, House
from .people import ALICES_SPAN, TRACE_ID, only, traceparent_of
from .phone import Dialog, Phone, referred_to

MALLORY = "127.0.0.9"  # nobody's address
ALLOW_REFER = "Allow: INVITE, ACK, CANCEL, BYE, REFER, NOTIFY"


@pytest.fixture(scope="module")
def receiver() -> Iterator[HttpReceiver]:
    with HttpReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, receiver: HttpReceiver) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house"), receiver) as house:
        yield house


def talk(caller: Phone, callee: Phone, call_id: str, headers: Sequence[str] = ()) -> tuple[Dialog, Dialog]:
    """A call, until both talk; the caller's side and the callee's."""
    call = caller.calls(callee.who, call_id=call_id, headers=headers)
    answered = callee.is_called()
    answered.rings()
    answered.answers()
    call.is_answered()
    answered.hears("ACK")
    return call, answered


def hang_up(call: Dialog, answered: Dialog) -> None:
    """The caller does."""
    call.hangs_up()
    answered.hears("BYE")


def trace_of(receiver: HttpReceiver, trace_id: str, dialogs: int) -> list[Span]:
    """A trace, once so many of its dialogs are over."""

    def ours(spans: Sequence[Span]) -> list[Span]:
        return [span for span in spans if span.trace_id == trace_id]

    return ours(receiver.wait_for(lambda s: sum(span.name == "dialog" for span in ours(s)) >= dialogs))


def a_trace(number: int) -> tuple[str, str]:
    """A trace id, and a header that says it."""
    trace_id = f"{TRACE_ID[:-2]}{number:02x}"
    return trace_id, f"traceparent: 00-{trace_id}-{ALICES_SPAN}-01"


@pytest.mark.parametrize("options", ["as they are", "with all options"])
def test_kamailio_takes_the_files(tmp_path: Path, options: str) -> None:
    program = require("kamailio", "kamailio")
    text = (CONFIG / "kamailio.cfg").read_text()
    if options == "with all options":
        text, count = re.subn(r"(?m)^##!define (WITH_\w+)$", r"#!define \1", text)
        assert count == 3
    file = tmp_path / "kamailio.cfg"
    file.write_text(text)
    command = [program, "-c", "-f", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "config file ok" in checked.stdout + checked.stderr


def test_every_trunk_has_its_socket_and_every_proxy_is_watched() -> None:
    """As the comments of both files say."""
    rows = [
        line.split() for line in (CONFIG / "dispatcher.list").read_text().splitlines() if line[:1].isdigit()
    ]
    sockets = set(re.findall(r'(?m)^listen=\S+ name "trunk(\d+)"$', (CONFIG / "kamailio.cfg").read_text()))
    assert {row[0] for row in rows} == {"1", *sockets}
    proxies = [row for row in rows if row[0] == "1"]
    assert len(proxies) == 2
    for _, destination, flags, _, attributes in proxies:
        assert re.fullmatch(r"sip:[\d.]+:\d+", destination)  # as Contacts name it
        assert flags == "8"
        assert attributes.partition("sockname=trunk")[2] in sockets


def test_calls_are_spread_and_each_stays_at_one_proxy(house: House) -> None:
    alice, bob = house.phone("alice"), house.phone("bob")
    for name in ("first", "second"):
        call, answered = talk(alice, bob, house.call_id_at(name))
        answered.sends("INFO")
        answered.hears("200 INFO")
        call.sends("INVITE", offer=True)
        reinvite = answered.hears("re-INVITE")
        bob.responds(reinvite, "200 OK", body=bob.sdp())
        call.is_answered()
        answered.hears("ACK")
        hang_up(call, answered)
        house.passed(call, name)
        house.passed(answered, name)


def test_the_trace_passes_both_ways(house: House, receiver: HttpReceiver) -> None:
    """And whatever else has to: in its spelling, its case, its order. Who calls is Kamailio's own word."""
    alice, bob = house.phone("alice"), house.phone("bob")
    trace_id, traceparent = a_trace(1)
    state, own = "vendor=1,other=Two", ["X-Tenant: Blue; q=0.5", "x-ODD-name: 0", "X-Interaction-ID: visit-7"]
    headers = [traceparent, f"tracestate: {state}", *own, "X-Real-IP: 203.0.113.66"]
    call, answered = talk(alice, bob, house.call_id_at("first"), headers)
    hang_up(call, answered)

    spans = trace_of(receiver, trace_id, dialogs=2)
    root, attempt = only(spans, "INVITE server"), only(spans, "INVITE client")
    assert root.parent_id == ALICES_SPAN
    assert (root.attributes["sip.trunk"], attempt.attributes["sip.trunk"]) == ("alice", "bob")
    invite = answered.invite
    assert invite is not None
    assert invite.start_line == f"INVITE sip:bob@{bob.at} SIP/2.0"
    assert invite.values("traceparent") == [traceparent_of(attempt)]
    assert invite.values("tracestate") == [state]
    assert [f"{name}: {value}" for name, value in invite.rows if name.lower().startswith("x-")] == [
        *own,
        f"X-Real-IP: {alice.host}",
    ]
    [answer] = [
        m
        for m in alice.heard
        if m.kind == "200" and m.values("Call-ID") == [call.call_id] and m.method == "INVITE"
    ]
    assert answer.values("traceparent") == [traceparent_of(root)]
    [bye] = [m for m in bob.heard if m.kind == "BYE" and m.values("Call-ID") == [answered.call_id]]
    assert bye.values("traceparent") == [traceparent_of(only(spans, "dialog client"))]


def test_the_anchor_of_somebody_else_s_transfer_passes(house: House) -> None:
    """Where another operator's proxies stand beyond: only they know the token."""
    carol, anchor = house.phone("carol"), "sip:carol@198.51.100.99:5070;sipproxy-ref=0123456789abcdef"
    call = house.phone("alice").calls("carol", uri=anchor)
    called = carol.is_called()
    assert called.invite is not None
    assert called.invite.start_line == f"INVITE {anchor} SIP/2.0"
    carol.responds(called.invite, "486 Busy Here", to=called.local)
    called.hears("ACK")
    call.is_refused(486)


def test_a_large_invite_passes(house: House) -> None:
    alice, bob = house.phone("alice"), house.phone("bob")
    filler = [f"X-Filler-{n}: {'f' * 150}" for n in range(18)]
    call, answered = talk(alice, bob, house.call_id_at("second"), filler)
    assert answered.invite is not None
    assert len(answered.invite.text) > 3000
    hang_up(call, answered)


def test_a_stranger_hears_nothing(house: House) -> None:
    alice, bob = house.phone("alice"), house.phone("bob")
    with Phone("mallory", MALLORY, house.outside) as mallory:
        mallory.calls("bob")
        hang_up(*talk(alice, bob, house.call_id_at("first")))
        mallory.outbound = house.inside["bob"]  # the proxies' way in
        mallory.calls("bob")
        hang_up(*talk(bob, alice, house.call_id_at("first")))
        assert mallory.heard == []


def test_what_the_callee_says_is_not_the_proxy_s_word(house: House) -> None:
    """503 with Retry-After of a callee: nobody is called again, and the proxy goes on to get calls."""
    alice, bob = house.phone("alice"), house.phone("bob")
    refused = alice.calls("bob", call_id=house.call_id_at("first"))
    called = bob.is_called()
    assert called.invite is not None
    bob.responds(called.invite, "503 Service Unavailable", ["Retry-After: 120"], to=called.local)
    called.hears("ACK")
    refused.is_refused(500)  # RFC 3261 section 16.7: not 503, which would speak of Kamailio
    house.passed(refused, "first")
    call, answered = talk(alice, bob, house.call_id_at("first"))
    hang_up(call, answered)
    house.passed(call, "first")


@pytest.mark.parametrize("kept", ["all", "nothing"])
def test_a_relayed_transfer_comes_back_to_its_proxy(house: House, receiver: HttpReceiver, kept: str) -> None:
    """The new call's Call-ID leads to the other proxy; its URI to the one that knows the transfer."""
    alice, bob = house.phone("alice"), house.phone("bob")
    trace_id, traceparent = a_trace(2 if kept == "all" else 3)
    call, answered = talk(alice, bob, house.call_id_at("first"), [traceparent, ALLOW_REFER])
    answered.refers(f"sip:carol@{house.outside}")
    new, carols = follow(house, call, answered, house.call_id_at("second"), keeps_headers=kept == "all")
    hang_up(call, answered)
    hang_up(new, carols)

    house.passed(new, "first")
    spans = trace_of(receiver, trace_id, dialogs=4)
    transfer = only(spans, "transfer internal", sip__transfer__mode="relay", sip__transfer__kind="blind")
    [caused] = children(spans, transfer)
    assert caused.attributes["sip.trace.carrier"] == ("traceparent" if kept == "all" else "marker")
    assert len(roots(spans)) == 1, drawn(spans)


@pytest.mark.parametrize("consulted_at", ["first", "second"])
def test_a_relayed_attended_transfer_finds_the_consultation(
    house: House, receiver: HttpReceiver, consulted_at: str
) -> None:
    """Also where the other proxy has it: that one knows whom Replaces means."""
    alice, bob, carol = (house.phone(who) for who in ("alice", "bob", "carol"))
    trace_id, traceparent = a_trace(4 if consulted_at == "first" else 5)
    call, answered = talk(alice, bob, house.call_id_at("first"), [traceparent, ALLOW_REFER])
    consultation, consulted = talk(bob, carol, house.call_id_at(consulted_at))
    answered.refers(f"{consultation.target}?{consultation.as_replaces}")
    new, carols = follow(house, call, answered, house.call_id_at("second"), keeps_headers=False)
    hang_up(consulted, consultation)  # by carol, whose dialog with bob is replaced
    hang_up(call, answered)
    hang_up(new, carols)

    assert carols.invite is not None
    assert carols.invite.values("Replaces") == [consulted.as_replaced]
    assert carols.invite.values("traceparent")[0].split("-")[1] == trace_id
    spans = trace_of(receiver, trace_id, dialogs=4 if consulted_at == "first" else 6)
    the_transfer(spans, "relay")


@pytest.mark.parametrize("consulted_at", ["first", "second"])
def test_a_local_attended_transfer_finds_the_consultation(
    house: House, receiver: HttpReceiver, consulted_at: str
) -> None:
    """Where one proxy has both calls it joins them; where not, it calls carol through the other one."""
    alice, bob, carol = (house.phone(who) for who in ("alice", "bob", "carol"))
    trace_id, traceparent = a_trace(6 if consulted_at == "first" else 7)
    call, answered = talk(alice, bob, house.call_id_at("first"), [traceparent])
    consultation, consulted = talk(bob, carol, house.call_id_at(consulted_at))
    answered.refers(f"{consultation.target}?{consultation.as_replaces}")
    answered.hears("202")
    if consulted_at == "first":
        carols = consulted
        carol.responds(carols.hears("re-INVITE"), "200 OK", body=carol.sdp())
    else:
        carols = carol.is_called()
        carols.answers()
    alice.responds(call.hears("re-INVITE"), "200 OK", body=alice.sdp())
    call.hears("ACK")
    carols.hears("ACK")
    answered.hears("BYE")
    if carols is not consulted:
        hang_up(consulted, consultation)  # by carol, whose dialog with bob is replaced
    hang_up(call, carols)

    spans = trace_of(receiver, trace_id, dialogs=3 if consulted_at == "first" else 5)
    the_transfer(spans, "local")


def follow(
    house: House, call: Dialog, answered: Dialog, call_id: str, *, keeps_headers: bool
) -> tuple[Dialog, Dialog]:
    """Alice is referred and places the new call, of that Call-ID. Her phone makes all headers of Refer-To its
    own, or none but Replaces.
    """
    refer = call.is_referred()
    answered.hears("202")
    uri, headers = referred_to(refer)
    kept = [f"{name}: {value}" for name, value in headers.items() if keeps_headers or name == "Replaces"]
    call.notifies("100 Trying", "active")
    new = call.phone.calls("carol", call_id=call_id, uri=uri, headers=kept)
    carols = house.phone("carol").is_called()
    carols.rings()
    carols.answers()
    new.is_answered()
    carols.hears("ACK")
    call.notifies("200 OK", "terminated;reason=noresource")
    return new, carols


def the_transfer(spans: Sequence[Span], mode: str) -> Span:
    """The attended transfer of a trace in one piece."""
    transfer = only(spans, "transfer internal", sip__transfer__mode=mode, sip__transfer__kind="attended")
    assert transfer.attributes["sip.transfer.outcome"] == "completed", drawn(spans)
    assert len(roots(spans)) == 1, drawn(spans)
    return transfer
