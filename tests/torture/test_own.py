"""Our own torture messages, by datagram and by stream; and broken answers of the trunk."""

from __future__ import annotations

import pytest

from sipproxy.sip.build import respond_to
from sipproxy.sip.flow import TCP, UDP
from sipproxy.sip.message import Request, Response
from tests.torture.hop import Hop, judge
from tests.torture.own import MESSAGES
from tests.torture.sample import Own, invite, other


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: str(message.name))
def test_the_proxy_does_what_the_message_earns(message: Own) -> None:
    judge(Hop(), message.data, UDP, message.outcomes)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: str(message.name))
def test_on_a_stream_it_leaves_the_proxy_in_order(message: Own) -> None:
    hop = Hop()
    hop.send(message.data, TCP)
    hop.pass_time()
    assert hop.answers_options()
    hop.pass_time()
    assert hop.left_over() == []


@pytest.mark.parametrize(
    "method", ["OPTIONS", "MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REGISTER", "INFO", "FOO"]
)
def test_whatever_is_relayed_is_over_in_the_end(method: str) -> None:
    assert judge(Hop(), other(method), UDP, ("forward",)).answers[-1].status == 200


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "MESSAGE"])
def test_a_trunk_that_says_nothing_leaves_nothing_behind(method: str) -> None:
    hop = Hop(answer=lambda request: [])
    hop.send(invite() if method == "INVITE" else other(method))
    hop.pass_time()
    assert hop.left_over() == []
    finals = [answer.status for answer in hop.reaction.answers if answer.status >= 200]
    assert finals[:1] == ([408] if method == "INVITE" else []), "RFC 4320 section 4.2: no 408 to these"


BROKEN_ANSWERS = [
    ("Contact: <sip:[broken>", 200),
    ("Contact: <sip:trunk@999.999.999.999>", 200),
    ("Contact: <sip:trunk@[2001:db8::7]>", 200),
    ("Contact: <sip:trunk@192.0.2.200;transport=sctp>", 200),
    ("Contact: <mailto:trunk@example.com>", 200),
    ("Contact: *", 200),
    ("Contact: <sip:a@192.0.2.200>, <sip:b@192.0.2.200>", 200),
    ("Record-Route: <nonsense", 200),
    ("Record-Route: <sip:[broken>", 200),
    ("Record-Route: nonsense", 200),
    ("Session-Expires: soon", 200),
    ("RSeq: nonsense", 183),
    ("Require: 100rel", 183),
    ("Retry-After: tomorrow", 503),
    ("Retry-After: 99999999999999999999999999999999999", 503),
    ("Contact: <broken", 302),
    ("To: <sip:bob@example.com>;tag=", 200),
    ('To: "bob <sip:bob@example.com>;tag=x', 200),
    ("To: <sip:bob@example.com>", 200),
    ("From: <sip:alice@example.com>;tag=foreign", 200),
    ("From: broken", 486),
    ("CSeq: 1 BYE", 200),
    ("CSeq: x INVITE", 200),
    ("Call-ID: another", 200),
    ("Via: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKbelow", 200),
]


@pytest.mark.parametrize(
    ("line", "status"), BROKEN_ANSWERS, ids=[f"{s} {line}" for line, s in BROKEN_ANSWERS]
)
def test_a_broken_answer_neither_harms_the_proxy_nor_strands_the_caller(line: str, status: int) -> None:
    """The line replaces the sound one of that name, or is added; Via is added below."""

    def answer(request: Request) -> list[Response]:
        response = respond_to(request, status, to_tag="t")
        name, _, value = line.partition(": ")
        if name == "Via":
            response.headers.add(name, value)
        else:
            response.headers.set(name, value)
        if status == 200 and "contact" not in response.headers and request.method == "INVITE":
            response.headers.add("Contact", "<sip:trunk@192.0.2.200>")
        return [response]

    hop = Hop(answer=answer)
    hop.send(invite())
    hop.pass_time()
    assert [answer for answer in hop.reaction.answers if answer.status >= 200], "the caller heard nothing"
    assert hop.answers_options()
    hop.pass_time()
    assert hop.left_over() == []
