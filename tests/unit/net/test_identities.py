"""Whom a certificate names (RFC 5922 section 7)."""

from __future__ import annotations

import pytest

from sipproxy.net.identities import canonical, host_names, identities


@pytest.mark.parametrize(
    ("alternatives", "names"),
    [
        ([("DNS", "SBC.Example")], ("sbc.example",)),
        ([("DNS", "a.example"), ("DNS", "b.example"), ("DNS", "a.example")], ("a.example", "b.example")),
        ([("URI", "sip:example.com"), ("DNS", "sbc.example.com")], ("example.com",)),
        ([("URI", "SIP:Example.com;transport=tls")], ("example.com",)),
        ([("URI", "sip:example.com:5061?x=y")], ("example.com",)),
        ([("URI", "sip:[2001:DB8::1]:5061")], ("2001:db8::1",)),
        ([("URI", "sip:alice@example.com"), ("DNS", "sbc.example")], ("sbc.example",)),
        ([("URI", "sips:example.com"), ("DNS", "sbc.example")], ("sbc.example",)),
        ([("URI", "https://example.com"), ("DNS", "sbc.example")], ("sbc.example",)),
        ([("DNS", "*.example.com")], ("*.example.com",)),
        ([("IP Address", "192.0.2.1"), ("IP Address", "0:0:0:0:0:0:0:1")], ("192.0.2.1", "::1")),
        ([("URI", "sip:example.com"), ("IP Address", "192.0.2.1")], ("example.com", "192.0.2.1")),
        ([("DNS", "sbc.example\0.evil.example")], ("sbc.example\0.evil.example",)),
        ([("email", "alice@example.com")], ()),
        ([], ()),
    ],
)
def test_a_certificate_names(alternatives: list[tuple[str, str]], names: tuple[str, ...]) -> None:
    subject = ((("commonName", "old.example"),),)
    assert identities({"subject": subject, "subjectAltName": tuple(alternatives)}) == names


@pytest.mark.parametrize(
    ("common_name", "names"), [("SBC.example", ("sbc.example",)), ("Our first SBC", ()), ("", ())]
)
def test_the_common_name_counts_where_there_are_no_alternatives(
    common_name: str, names: tuple[str, ...]
) -> None:
    assert identities({"subject": ((("commonName", common_name),),)}) == names


def test_a_certificate_that_was_not_verified_names_nobody() -> None:
    assert identities({}) == ()


def test_for_sni_all_hosts_of_a_certificate_count() -> None:
    alternatives = (("URI", "sip:example"), ("DNS", "*.Example"), ("DNS", "sbc.example"))
    assert host_names({"subjectAltName": alternatives}) == ("*.example", "sbc.example", "example")
    assert host_names({"subject": ((("commonName", "sbc.example"),),)}) == ("sbc.example",)


def test_names_are_compared_in_one_form() -> None:
    assert canonical("SBC.Example.") == "sbc.example"
