"""The routing webhook: what an application is told, and what of its answer can be taken without harm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipproxy.b2bua.consulting import (
    LONGEST_REASON,
    LONGEST_VALUE,
    MOST_HEADERS,
    MOST_TRUNKS,
    Webhook,
    advice,
    question,
)
from sipproxy.b2bua.settings import RouteSettings
from sipproxy.errors import RemoteProtocolError
from sipproxy.propagation.carriers import CONTEXT_HEADERS
from sipproxy.sip.build import respond_to
from sipproxy.sip.message import Request, Response, parse
from sipproxy.sip.uri import parse_uri
from tests.unit.b2bua.messages import request

TO = {"to": ["carrier"]}
# As a peer that wants to say more than one thing would write it.
INJECTIONS = [
    "\r\nVia: x",
    "\nVia: x",
    "\rVia: x",
    "\x0bx",
    "\x0cx",
    "\x1cx",
    "\x85x",
    "\u2028x",
    "\x00x",
    "\x7f",
]


def webhook(*headers: str) -> Webhook:
    settings = RouteSettings(("fallback",), webhook="http://127.0.0.1:9000/route", webhook_headers=headers)
    return Webhook("http://127.0.0.1:9000/route", settings)


# The question


def test_an_application_is_told_who_calls_whom() -> None:
    assert question(request(), webhook(), "sbc", "case-7") == {
        "call_id": "theirs",
        "from": "sip:a@theirs",
        "to": "sip:b@theirs",
        "uri": "sip:b@proxy",
        "trunk": "sbc",
        "interaction_id": "case-7",
        "headers": {},
    }


def test_of_the_headers_it_is_told_those_that_are_listed_and_there() -> None:
    asked = question(
        request("X-Tenant: acme", "x-pin: 1234", "X-Other: no", "s: lunch"),
        webhook("X-Tenant", "X-Pin", "X-Missing", "Subject"),
        "sbc",
        "",
    )
    assert asked["headers"] == {"X-Tenant": "acme", "X-Pin": "1234", "Subject": "lunch"}


def test_rows_of_one_name_are_told_as_one_list() -> None:
    asked = question(
        request("Diversion: <sip:1@x>", "Diversion: <sip:2@x>,", " <sip:3@x>"), webhook("diversion"), "", ""
    )
    assert asked["headers"] == {"diversion": "<sip:1@x>, <sip:2@x>, <sip:3@x>"}


def test_a_transfers_call_is_asked_about_where_it_really_goes() -> None:
    marked = request()
    marked.uri = "sip:carol@proxy;sipproxy-ref=00112233445566778899aabbccddeeff"
    marked.headers.set("To", f"<{marked.uri}>")
    asked = question(marked, webhook(), "sbc", "", "sip:carol@example.com")
    assert (asked["uri"], asked["to"]) == ("sip:carol@example.com", "sip:carol@proxy")
    assert "sipproxy-ref" not in json.dumps(asked)


def test_a_header_part_of_the_uri_is_not_told() -> None:
    plain = request()
    plain.uri = "sip:b@proxy?traceparent=x"
    assert question(plain, webhook(), "", "")["uri"] == "sip:b@proxy"


# A good answer


def test_trunks_alone() -> None:
    found = advice({"to": ["a", "b"]})
    assert (found.to, found.uri, found.headers, found.reject, found.reason) == (["a", "b"], "", [], 0, "")


def test_a_uri_and_headers() -> None:
    found = advice(
        {**TO, "uri": "sip:agent-7@10.0.0.7:5080;x=1", "headers": {"X-Queue": "gold", "X-Empty": ""}}
    )
    assert found.uri == "sip:agent-7@10.0.0.7:5080;x=1"
    assert found.headers == [("X-Queue", "gold"), ("X-Empty", "")]


@pytest.mark.parametrize(
    "uri", ["sip:x@h", "SIP:x@h", "sips:h", "tel:+4915550001234", "sip:x@[2001:db8::1]:5060"]
)
def test_uris_that_are_taken(uri: str) -> None:
    assert advice({**TO, "uri": uri}).uri == uri


def test_null_is_as_good_as_absent() -> None:
    found = advice({**TO, "uri": None, "headers": None, "reject": None, "reason": None})
    assert (found.to, found.uri, found.headers, found.reject) == (["carrier"], "", [], 0)


def test_what_nobody_knows_is_let_be() -> None:
    assert advice({**TO, "note": "from the CRM", "version": 2}).to == ["carrier"]


def test_text_of_other_languages_is_a_headers_value() -> None:
    assert advice({**TO, "headers": {"Subject": "Grüße, 東京"}}).headers == [("Subject", "Grüße, 東京")]


@pytest.mark.parametrize("status", [400, 403, 404, 480, 486, 503, 600, 603, 608, 699])
def test_a_rejection(status: int) -> None:
    found = advice({"reject": status})
    assert (found.reject, found.reason, found.to) == (status, "", [])


def test_a_rejection_counts_more_than_trunks() -> None:
    assert advice({**TO, "reject": 403}).to == []


@pytest.mark.parametrize(
    ("reason", "taken"),
    [
        ("Account suspended", "Account suspended"),
        ("x" * 200, "x" * LONGEST_REASON),
        *((f"No{injection}", "") for injection in INJECTIONS),
        ("Zürich", ""),
        (7, ""),
        (None, ""),
    ],
)
def test_a_reason_that_cannot_be_written_is_left_out(reason: object, taken: str) -> None:
    assert advice({"reject": 403, "reason": reason}).reason == taken


# A bad answer


@pytest.mark.parametrize("answer", [None, True, 7, "carrier", ["carrier"], [], {}, {"trunk": "carrier"}])
def test_what_is_no_answer_at_all(answer: object) -> None:
    refuses(answer)


@pytest.mark.parametrize(
    "to",
    [None, [], "carrier", {"carrier": 1}, ["carrier", 7], [None], [["carrier"]], ["a"] * (MOST_TRUNKS + 1)],
)
def test_what_is_no_list_of_trunks(to: object) -> None:
    refuses({"to": to})


@pytest.mark.parametrize(
    "status", [0, 100, 200, 302, 399, 401, 407, 700, -403, True, False, "403", 403.0, [403], {}]
)
def test_what_is_no_rejection(status: object) -> None:
    """Also a challenge: without the header that goes with it no caller can meet it."""
    refuses({**TO, "reject": status})


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "",
            "bob",
            "bob@example.com",
            "sip:",
            "sip:@h",
            "tel:",
            "sip:h:99999",
            "sip:h:",
            "sip:[::1",
            "sip:h;",
        ),
        *(
            "http://h/",
            "mailto:a@b",
            "javascript:1",
            "sip:a b@h",
            "sip:a@h>",
            "<sip:a@h>",
            'sip:"a"@h',
            "sip:ü@h",
        ),
        *(f"sip:a@h{injection}" for injection in INJECTIONS),
        *(f"tel:+49{injection}" for injection in INJECTIONS),
        "sip:" + "a" * LONGEST_VALUE + "@h",
        *(7, [], ["sip:a@h"], True, {}),
    ],
)
def test_what_is_no_uri(uri: object) -> None:
    refuses({**TO, "uri": uri})


@pytest.mark.parametrize(
    "name",
    [
        *("Via", "From", "f", "TO", "t", "Call-ID", "i", "CSeq", "Contact", "m", "Max-Forwards", "Route"),
        *("Record-Route", "Content-Length", "l", "Content-Type", "c", "Content-Encoding", "e", "Require"),
        *("Proxy-Require", "Supported", "k", "Allow", "Replaces", "Target-Dialog", "Join", "Session-ID"),
        *("Session-Expires", "x", "Min-SE", "Refer-To", "r", "Event", "o", "RSeq", "RAck", "Timestamp"),
        *sorted(CONTEXT_HEADERS),
        "TraceParent",
    ],
)
def test_headers_that_form_the_dialog_or_the_trace_are_not_an_applications(name: str) -> None:
    refuses({**TO, "headers": {"X-Fine": "yes", name: "anything"}})


@pytest.mark.parametrize(
    "name",
    ["", " ", "X Y", "X:", "X-Ä", "Via ", " Via", "X\tY", *(f"X{injection}" for injection in INJECTIONS)],
)
def test_what_is_no_headers_name(name: str) -> None:
    refuses({**TO, "headers": {name: "value"}})


@pytest.mark.parametrize(
    "value",
    [
        *(f"a{injection}" for injection in INJECTIONS),
        "\ud800",
        "a" * (LONGEST_VALUE + 1),
        7,
        None,
        True,
        ["a"],
        {},
    ],
)
def test_what_is_no_headers_value(value: object) -> None:
    refuses({**TO, "headers": {"X-A": value}})


@pytest.mark.parametrize("headers", [[], "X-A: 1", 7, True, {f"X-{n}": "1" for n in range(MOST_HEADERS + 1)}])
def test_what_is_no_object_of_headers(headers: object) -> None:
    refuses({**TO, "headers": headers})


def refuses(answer: object) -> None:
    with pytest.raises(RemoteProtocolError):
        advice(answer)


# Whatever an application says

_TEXT = st.text(max_size=20) | st.sampled_from([f"sip:a@h{injection}" for injection in INJECTIONS])
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
_URI = st.sampled_from(["sip:a@h", "tel:+49", "sips:h:5061"]) | _TEXT | _JSON
_ANSWER = st.fixed_dictionaries(
    {},
    optional={
        "to": st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=3) | _JSON,
        "uri": _URI,
        "headers": st.dictionaries(st.sampled_from(["X-A", "x-b", "Via"]) | _TEXT, _TEXT | _JSON, max_size=3)
        | _JSON,
        "reject": st.integers(400, 699) | _JSON,
        "reason": _TEXT | _JSON,
    },
)


@given(_ANSWER | _JSON)
def test_an_answer_is_refused_or_adds_to_the_invite_just_what_it_says(answer: object) -> None:
    try:
        found = advice(answer)
    except RemoteProtocolError:
        return
    invite = request("Max-Forwards: 70")
    if found.reject:
        written = parse(respond_to(invite, found.reject, found.reason).encode())
        assert isinstance(written, Response)
        assert written.status == found.reject
        assert written.headers.keys == ["via", "from", "to", "call-id", "cseq", "content-length"]
        assert not found.reason or written.reason == found.reason
        return
    before = list(invite.headers.lines)
    if found.uri:
        parse_uri(found.uri)
        invite.uri = found.uri
    for name, value in found.headers:
        invite.headers.set(name, value)
    read = parse(invite.encode())
    assert isinstance(read, Request)
    assert (read.uri, read.method, read.body) == (invite.uri, "INVITE", b"")
    names = {name.lower() for name, _ in found.headers} | {"content-length"}
    assert read.headers.lines[: len(before)] == before
    assert set(read.headers.keys[len(before) :]) == names
