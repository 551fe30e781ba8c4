"""A trunk's `headers` policy: strip, pass, set."""

from __future__ import annotations

from sipproxy.b2bua.rewrite import cross_request
from sipproxy.b2bua.rules import HeaderRules
from sipproxy.b2bua.settings import HeaderPolicy
from sipproxy.sip.message import parse
from tests.unit.b2bua.messages import TP, crossed, identity, request


def test_strip_takes_lines_away_in_every_spelling() -> None:
    policy = HeaderPolicy(strip=("X-Secret", "subject", "P-Asserted-Identity"))
    assert crossed(
        "x-secret: 1",
        "X-SECRET: 2",
        "s: x",
        "Subject: y",
        "P-Asserted-Identity: <sip:a>",
        "X: 3",
        policy=policy,
    ) == ["X: 3"]


def test_a_compact_name_in_a_policy_means_its_header_and_harms_nobody() -> None:
    assert crossed("Subject: x", "s: y", "X: 1", policy=HeaderPolicy(strip=("s",))) == ["X: 1"]
    parsed = parse(b"OPTIONS sip:x SIP/2.0\r\ns: tea\r\n\r\n")
    assert parsed.headers.text("subject") == "tea"


def test_pass_lets_through_what_is_listed_and_what_a_call_needs() -> None:
    rows = [
        "X-One: 1",
        "X-Two: 2",
        "Subject: x",
        "Content-Type: application/sdp",
        "Supported: timer",
        "Require: 100rel",
    ]
    assert crossed(*rows, policy=HeaderPolicy(allow=("x-one",))) == [
        "X-One: 1",
        "Content-Type: application/sdp",
        "Supported: timer",
        "Require: 100rel",
    ]


def test_pass_keeps_an_identity_back_that_is_not_listed() -> None:
    row = "P-Asserted-Identity: <tel:+15550001234>"
    assert crossed(row, policy=HeaderPolicy(allow=("X-One",))) == []
    assert crossed(row, policy=HeaderPolicy(allow=("P-Asserted-Identity",))) == [row]


def test_pass_of_nothing() -> None:
    assert crossed("X-One: 1", "Subject: x", policy=HeaderPolicy(allow=())) == []


def test_pass_does_not_bring_back_what_belongs_to_the_hop() -> None:
    policy = HeaderPolicy(allow=("Via", "Route", "traceparent", "Replaces"))
    assert crossed("Route: <sip:x>", f"traceparent: {TP}", "Replaces: x", policy=policy) == []


def test_strip_comes_before_pass_and_set_before_both() -> None:
    policy = HeaderPolicy(
        strip=("X-A", "X-C"), allow=("X-A", "X-B", "X-C"), set={"X-C": "ours", "X-D": "new"}
    )
    assert crossed("X-A: 1", "X-B: 2", "X-C: 3", policy=policy) == ["X-B: 2", "X-C: ours", "X-D: new"]


def test_set_replaces_where_the_first_line_stood() -> None:
    policy = HeaderPolicy(set={"X-A": "ours"})
    assert crossed("X-A: 1", "X-B: 2", "X-A: 3", policy=policy) == ["X-A: ours", "X-B: 2"]


def test_aliases_of_a_trunk_stay_behind_with_their_tracestate() -> None:
    rules = HeaderRules(HeaderPolicy(), aliases=("X-Our-Traceparent", "X-Trace"))
    out = cross_request(
        request(f"X-Our-Traceparent: {TP}", "x-our-tracestate: a=1", f"X-Trace: {TP}"), identity(), rules
    )
    assert out.headers.keys == ["from", "to", "call-id", "cseq", "max-forwards"]
