"""Sound messages with octets changed at random: nothing is raised, and nothing stays."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sipproxy.sip.build import respond_to
from sipproxy.sip.message import BadMessage, Request, Response, parse
from tests.torture.hop import Hop
from tests.torture.own import MESSAGES
from tests.torture.sample import invite, other

SOUND = [m.data for m in MESSAGES if m.outcomes == ("forward",)] + [
    other("OPTIONS", uri="sip:192.0.2.53"),
    other("MESSAGE"),
    other("SUBSCRIBE", "Event: presence"),
    invite(
        "Record-Route: <sip:192.0.2.98;lr>, <sip:[2001:db8::5];lr>",
        "Supported: 100rel, timer",
        "Require: timer",
    ),
    invite("RAck: 1 1 INVITE", "P-Asserted-Identity: <sip:alice@example.com>", "Session-ID: " + "a" * 32),
    invite(f"traceparent: 00-{'a' * 32}-{'b' * 16}-01", "tracestate: k=v", "previous-trace-id: " + "c" * 32),
]
PIECES = st.one_of(
    st.binary(max_size=4),
    st.sampled_from(
        [
            b"\r\n",
            b"\r\n ",
            b"\n",
            b"\r",
            b";",
            b";;",
            b",",
            b'"',
            b"\\",
            b"<",
            b">",
            b"@",
            b":",
            b"=",
            b"%",
            b"[",
            b"]",
            b"?",
            b"*",
            b" ",
            b"\t",
            b"\0",
            b"\xff",
            b"tag=",
            b";tag=x",
            b"z9hG4bK",
            b"/",
            b"sip:",
        ]
    ),
)


@st.composite
def mutated(draw: st.DrawFn, sources: st.SearchStrategy[bytes]) -> bytes:
    """A message with up to four stretches replaced, mostly in its headers."""
    data = draw(sources)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from((0, 0, 1, 1, 2, 5, 20)))
        data = data[:at] + draw(PIECES) + data[at + length :]
    return data


QUICK = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(mutated(st.sampled_from(SOUND)))
@QUICK
def test_a_mutated_request_raises_nothing_and_leaves_nothing(data: bytes) -> None:
    hop = Hop()
    hop.send(data)
    hop.pass_time()
    assert hop.answers_options()
    hop.pass_time()
    assert hop.left_over() == []


@given(st.data(), st.sampled_from((180, 183, 200, 200, 302, 401, 486, 503)))
@QUICK
def test_a_mutated_response_raises_nothing_and_leaves_nothing(data: st.DataObject, status: int) -> None:
    def answer(request: Request) -> list[Response]:
        response = respond_to(request, status, to_tag="t")
        response.headers.add("Contact", "<sip:trunk@192.0.2.200>")
        response.headers.add("Record-Route", "<sip:192.0.2.201;lr>")
        response.headers.add("Session-Expires", "1800;refresher=uac")
        response.headers.add("Require", "timer")
        try:
            changed = parse(data.draw(mutated(st.just(response.encode()))))
        except BadMessage:
            return []
        return [changed] if isinstance(changed, Response) else []

    hop = Hop(answer=answer)
    hop.send(invite("Supported: timer"))
    hop.pass_time()
    assert hop.answers_options()
    hop.pass_time()
    assert hop.left_over() == []


IN_DIALOG = (
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "INFO",
    "UPDATE",
    "PRACK",
    "NOTIFY",
    "MESSAGE",
    "OPTIONS",
    "REFER",
)


@given(st.data(), st.booleans())
@QUICK
def test_mutated_requests_inside_a_call_raise_nothing_and_leave_nothing(
    data: st.DataObject, by_the_trunk: bool
) -> None:
    hop = Hop()
    talking = hop.send(invite())
    theirs, answered = talking.forwarded[0], talking.answers[-1]
    ours = f"<sip:bob@example.com>;tag={answered.to_tag}", "<sip:alice@example.com>;tag=a1", "own@192.0.2.99"
    if by_the_trunk:
        ours = str(theirs.headers.text("from")), "<sip:bob@example.com>;tag=the-trunk", theirs.call_id
    to, sender, call_id = ours
    for number in range(2, 5):
        method = data.draw(st.sampled_from(IN_DIALOG))
        sound = other(
            method,
            "RAck: 1 1 INVITE",
            "Session-Expires: 90",
            Via=f"Via: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKin-{number}",
            To=f"To: {to}",
            From=f"From: {sender}",
            Call_ID=f"Call-ID: {call_id}",
            CSeq=f"CSeq: {number if method not in ('ACK', 'CANCEL') else 1} {method}",
        )
        hop.send(data.draw(st.one_of(st.just(sound), mutated(st.just(sound)))), by_the_trunk=by_the_trunk)
        hop.pass_time(data.draw(st.sampled_from((0.0, 0.6, 40.0))))
    hop.engine.end_all(hop.now)  # an ACK that got through has made it a call that goes on
    hop.pass_time()
    assert hop.answers_options()
    hop.pass_time()
    assert hop.left_over() == []
