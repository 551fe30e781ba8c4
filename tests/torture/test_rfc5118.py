"""RFC 5118: twelve messages with IPv6 where parsers expect a name or four numbers."""

from __future__ import annotations

import pytest

from sipproxy.sip.flow import TCP
from sipproxy.sip.message import Request, parse
from tests.torture.hop import Hop, judge
from tests.torture.messages import Torture, load, needs_shared

MESSAGES = {message.name: message for message in load("rfc5118")}
# A BYE outside of any dialog: 481 (RFC 3261 section 15.1.2), which the index lists for the second only.
BYES = ("via-received-param-with-delim", "mult-ip-in-header")

pytestmark = needs_shared


def allowed(message: Torture) -> tuple[str, ...]:
    return (*message.outcomes, "481") if message.name in BYES else message.outcomes


def test_all_twelve_are_here() -> None:
    assert len(MESSAGES) == 12


@pytest.mark.parametrize("ipv6", [False, True], ids=["over IPv4", "over IPv6"])
@pytest.mark.parametrize("message", MESSAGES.values(), ids=str)
def test_the_proxy_does_what_the_message_earns(message: Torture, ipv6: bool) -> None:
    judge(Hop(ipv6=ipv6), message.data, message.transport, allowed(message))


@pytest.mark.parametrize("message", MESSAGES.values(), ids=str)
def test_the_same_on_a_stream(message: Torture) -> None:
    judge(Hop(ipv6=True), message.data, TCP, allowed(message))


@pytest.mark.parametrize("message", MESSAGES.values(), ids=str)
def test_all_can_be_read_and_written_unchanged(message: Torture) -> None:
    assert parse(message.data).encode() == message.data


@pytest.mark.parametrize(
    ("name", "port"), [("ipv6-good", None), ("port-ambiguous", None), ("port-unambiguous", 5070)]
)
def test_a_port_is_what_stands_behind_the_bracket(name: str, port: int | None) -> None:
    request = parse(MESSAGES[name].data)
    assert isinstance(request, Request)
    assert request.parsed_uri.host == ("2001:db8::10:5070" if name == "port-ambiguous" else "2001:db8::10")
    assert request.parsed_uri.port == port


@pytest.mark.parametrize("name", ["ipv6-in-sdp", "mult-ip-in-sdp", "ipv4-mapped-ipv6"])
def test_session_descriptions_pass_untouched(name: str) -> None:
    invite = Hop(ipv6=True).send(MESSAGES[name].data).forwarded[0]
    assert invite.body == parse(MESSAGES[name].data).body
