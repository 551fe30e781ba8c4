"""Via, name-addr, CSeq, RAck, and the lists and parameters they are made of."""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipproxy.errors import RemoteProtocolError
from sipproxy.sip.values import (
    CSeq,
    NameAddr,
    RAck,
    Via,
    parse_number,
    split_commas,
    split_parameters,
)


class Reader(Protocol):
    def __call__(self, text: str) -> object: ...


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a", ["a"]),
        ("a, b ,c", ["a", "b", "c"]),
        ('"a, b" <sip:x>, c', ['"a, b" <sip:x>', "c"]),
        ('"a\\", b" <sip:x>, c', ['"a\\", b" <sip:x>', "c"]),
        ("<sip:a,b@x>, <sip:c>", ["<sip:a,b@x>", "<sip:c>"]),
        ("a,\r\n b", ["a", "b"]),
        (",", ["", ""]),
    ],
)
def test_commas_part_a_list_but_not_in_quotes_or_brackets(text: str, values: list[str]) -> None:
    assert split_commas(text) == values


def test_parameters_keep_order_and_values_and_lose_only_the_case_of_names() -> None:
    assert split_parameters(';A=1; b ;c="x;y";d = "\\";"') == [
        ("a", "1"), ("b", None), ("c", '"x;y"'), ("d", '"\\";"')
    ]  # fmt: skip


@pytest.mark.parametrize("text", [";", ";;a", ";a;", "a;b", ";=1", ";a=", ';a="x'])
def test_parameters_that_are_none(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        split_parameters(text)


@pytest.mark.parametrize(
    ("text", "transport", "host", "port", "branch"),
    [
        ("SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bKx", "UDP", "192.0.2.1", 5070, "z9hG4bKx"),
        ("sip/2.0/tcp Host.Example;rport;Branch=x", "TCP", "host.example", None, "x"),
        ("SIP / 2.0 / UDP   h : 5070 ; branch = z ", "UDP", "h", 5070, "z"),
        ("SIP/2.0/TLS\th", "TLS", "h", None, ""),
        ("SIP/2.0/SCTP [2001:DB8::9]:6050;received=[::1];branch=z", "SCTP", "2001:db8::9", 6050, "z"),
        ("SIP/2.0/UDP a;branch=1, nonsense", "UDP", "a", None, "1"),  # what is below is not ours to judge
    ],
)
def test_a_via(text: str, transport: str, host: str, port: int | None, branch: str) -> None:
    via = Via.parse(text)
    assert (via.transport, via.host, via.port, via.branch) == (transport, host, port, branch)


@pytest.mark.parametrize(
    "text",
    [
        "", "SIP/2.0", "SIP/2.0/UDP", "SIP/2.0/ host", "HTTP/2.0/UDP h", "SIP/2.0/UDP h;", "SIP/2.0/UDP h;;a",
        "SIP/2.0/UDP h;branch=", "SIP/2.0/UDP 2001:db8::1", "SIP/2.0/UDP h x", ",SIP/2.0/UDP h",
    ],
)  # fmt: skip
def test_what_is_no_via(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        Via.parse(text)


@pytest.mark.parametrize(
    ("branch", "unique"),
    [("z9hG4bKx", True), ("Z9HG4BKx", True), ("z9hG4bK", False), ("x", False), ("", False)],
)
def test_only_a_cookie_with_something_behind_it_is_unique(branch: str, unique: bool) -> None:
    assert Via("UDP", "h", None, {"branch": branch}).has_cookie is unique


@pytest.mark.parametrize(
    ("text", "display", "uri", "tag"),
    [
        ("<sip:a@h>;tag=1", "", "sip:a@h", "1"),
        ("Alice Smith <sip:a@h>;x=y;TAG=1", "Alice Smith", "sip:a@h", "1"),
        ('"A \\" <x>, ;" <sip:a@h;p=q?h=v> ; tag = 1 ', '"A \\" <x>, ;"', "sip:a@h;p=q?h=v", "1"),
        ("Alice<sip:a@h>", "Alice", "sip:a@h", ""),
        ("Zoë <sip:z@h>", "Zoë", "sip:z@h", ""),
        ("sip:a@h;tag=1", "", "sip:a@h", "1"),
        ("sip:a@h", "", "sip:a@h", ""),
        ("*", "", "*", ""),
    ],
)
def test_a_name_and_address(text: str, display: str, uri: str, tag: str) -> None:
    address = NameAddr.parse(text)
    assert (address.display, address.uri, address.tag) == (display, uri, tag)


@pytest.mark.parametrize(
    "text",
    [
        '"a <sip:x>', '"a" sip:x', "Bell, A <sip:x>", "<sip:x", "<sip:x>tag=1", 'a"b" <sip:x>', "sip:a@h?x=y",
        "sip:a,b@h", 'sip:"a@h',
    ],
)  # fmt: skip
def test_what_is_no_name_and_address(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        NameAddr.parse(text)


def test_another_tag_leaves_the_rest_alone() -> None:
    address = NameAddr.parse('"A;" <sip:a@h>;x=1;tag=old;y')
    assert address.with_tag("new") == '"A;" <sip:a@h>;x=1;y;tag=new'
    assert address.with_tag("") == '"A;" <sip:a@h>;x=1;y'


@pytest.mark.parametrize("tag", ["", '"open', "a b"])
def test_a_tag_that_cannot_be_rewritten_is_not_read_either(tag: str) -> None:
    """What `tag` accepts at the door, `with_tag` must not reject in the middle of a call."""
    try:
        address = NameAddr.parse(f"<sip:a@h>;tag={tag}")
        assert address.tag == tag
    except RemoteProtocolError:
        return
    assert address.with_tag("new") == "<sip:a@h>;tag=new"


@pytest.mark.parametrize("text", ["0 INVITE", "0009 \r\n INVITE", "4294967295 INVITE"])
def test_a_sequence_number(text: str) -> None:
    cseq = CSeq.parse(text)
    assert (cseq.number, cseq.method) == (int(text.split()[0]), "INVITE")


@pytest.mark.parametrize(
    "text", ["", "1", "INVITE", "4294967296 X", "-1 X", "1 X Y", "\u0661 X", "9" * 5000 + " X"]
)
def test_what_is_no_sequence_number(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        CSeq.parse(text)


def test_a_rack_names_a_response() -> None:
    rack = RAck.parse("776656 1 INVITE")
    assert (rack.rseq, rack.cseq, rack.method) == (776656, 1, "INVITE")
    with pytest.raises(RemoteProtocolError):
        RAck.parse("776656 INVITE")


def test_a_number_over_its_bound_is_none() -> None:
    assert parse_number(" 0070 ", "X", 255) == 70
    with pytest.raises(RemoteProtocolError, match="X"):
        parse_number("256", "X", 255)


@pytest.mark.parametrize(
    "reader", [Via.parse, NameAddr.parse, CSeq.parse, RAck.parse, split_commas, split_parameters]
)
@given(
    text=st.text(alphabet=st.one_of(st.sampled_from(' \t"\\<>;,=:/@[]?%*SIP20UDPtagbranch'), st.characters()))
)
def test_reading_anything_raises_nothing_else(reader: Reader, text: str) -> None:
    with suppress(RemoteProtocolError):
        reader(text)
