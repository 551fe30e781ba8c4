"""URIs: read into parts, written back with the characters they came with."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipproxy.errors import RemoteProtocolError
from sipproxy.sip.uri import Uri, parse_host_port, unescape


def test_a_uri_in_all_its_parts() -> None:
    uri = Uri.parse("sips:al%69ce;x=1?y:s%3aecret@Example.COM:5061;transport=tcp;lr?Subject=a&To=b")
    assert (uri.scheme, uri.user, uri.password) == ("sips", "al%69ce;x=1?y", "s%3aecret")
    assert (uri.host, uri.port) == ("example.com", 5061)
    assert (uri.parameter("transport"), uri.parameter("lr"), uri.parameter("maddr")) == ("tcp", "", None)
    assert uri.headers == "Subject=a&To=b"


@pytest.mark.parametrize(
    "text",
    [
        "sip:example.com",
        "sip:alice@example.com",
        "sip:alice:secret@example.com:5060;a=b;c?d=e",
        "sip:[2001:db8::1]:5070",
        "sip:user@[::ffff:192.0.2.1]",
        "sips:%00@host;user=phone",
        "tel:+1-201-555-0123;phone-context=example.com",
        "urn:service:sos",
        "http://example.com/a?b",
    ],
)
def test_what_was_read_is_written_the_same(text: str) -> None:
    assert str(Uri.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "alice@example.com",
        ":x",
        "1sip:x",
        "s p:x",
        "sip:",
        "sip:@host",
        "sip:alice@",
        "sip:a b@host",
        "sip:host ",
        " sip:host",
        "<sip:host>",
        'sip:"a"@host',
        "sip:2001:db8::1",
        "sip:[2001:db8::1",
        "sip:[]",
        "sip:[0]",
        "sip:[::g]",
        "sip:[::1]x",
        "sip:host:",
        "sip:host:x",
        "sip:host:65536",
        "sip:host:-1",
        "sip:host:\u0661",
        "sip:ho/st",
        "sip:host;",
        "sip:a@b@c",
        "sip:host\r\n",
        "sip:h\0st",
    ],
)
def test_what_is_no_uri(text: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        Uri.parse(text)
    assert caught.value.status == 400


@given(st.text(alphabet=st.characters(codec="latin-1"), max_size=40))
def test_reading_anything_raises_nothing_else(text: str) -> None:
    for candidate in (text, f"sip:{text}", f"sip:a@{text}", f"tel:{text}", f"sip:[{text}]"):
        with suppress(RemoteProtocolError):
            assert str(Uri.parse(candidate)).lower() == candidate.lower() or ":0" in candidate


def test_a_port_behind_a_bracket_is_a_port_and_inside_it_is_none() -> None:
    assert parse_host_port("[2001:db8::10]:5070") == ("2001:db8::10", 5070)
    assert parse_host_port("[2001:db8::10:5070]") == ("2001:db8::10:5070", None)


def test_towards_another_host_the_user_stays_and_the_addressing_goes() -> None:
    uri = Uri.parse("sip:+49;npdi:pw@us:5060;user=phone;transport=udp;maddr=1.2.3.4;ttl=1;lr?Route=x")
    assert uri.with_host("192.0.2.1:5070") == "sip:+49;npdi:pw@192.0.2.1:5070;user=phone"
    assert Uri.parse("sip:us").with_host("[::1]") == "sip:[::1]"


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [
        ("alice", "alice"),
        ("%61lice", "alice"),
        ("a%2541", "a%41"),  # once only
        ("%c3%9cser", "Üser"),
        ("100%", "100%"),
        ("%Z%45", "%ZE"),
        ("%4", "%4"),
        ("%00", "\0"),
        ("%  a", "%  a"),
        ("% 1a", "% 1a"),
    ],
)
def test_escapes_are_decoded_once(escaped: str, plain: str) -> None:
    assert unescape(escaped) == plain
