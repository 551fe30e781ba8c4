"""`sipproxy.propagation` as an application uses it, without the proxy."""

from __future__ import annotations

import doctest
import subprocess
import sys
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

import sipproxy.propagation
from sipproxy.errors import LocalProtocolError
from sipproxy.propagation import (
    Carrier,
    Previous,
    Rejected,
    TraceContext,
    extract,
    extract_call,
    inject,
)

ROOT = Path(sipproxy.propagation.__file__).parents[2]

T = "4bf92f3577f34da6a3ce929d0e0e4736"
S = "00f067aa0ba902b7"
TP = f"00-{T}-{S}-01"
CALL = TraceContext(T, S, 1, "rojo=1,congo=2")


@pytest.mark.interpreted
def test_the_documented_example_runs() -> None:
    results = doctest.testmod(sipproxy.propagation)
    assert results.attempted >= 6
    assert results.failed == 0


def test_headers_may_be_a_mapping_of_values() -> None:
    assert extract({"TraceParent": TP, "TRACESTATE": "rojo=1,congo=2"}) == CALL


def test_headers_may_be_a_mapping_of_lists() -> None:
    assert extract({"traceparent": [TP], "tracestate": ["rojo=1", "congo=2"]}) == CALL
    assert extract({"traceparent": [TP, TP]}) is None


def test_headers_may_be_pairs() -> None:
    assert (
        extract([("Via", "x"), ("Traceparent", TP), ("tracestate", "rojo=1"), ("Tracestate", "congo=2")])
        == CALL
    )
    assert extract(iter([("traceparent", TP), ("Traceparent", TP)])) is None
    assert extract([]) is None


def test_what_is_injected_is_extracted_again() -> None:
    headers: dict[str, str] = {}
    inject(headers, CALL)
    assert headers == {"traceparent": TP, "tracestate": "rojo=1,congo=2"}
    assert extract(headers) == CALL


def test_an_older_context_is_replaced_whatever_its_case() -> None:
    headers = {"Via": "x", "TraceParent": TP, "TraceState": "a=1", "X-Traceparent": TP, "Baggage": "a=1"}
    inject(headers, TraceContext(T, S, 1), span_id="b" * 16)
    assert headers == {"Via": "x", "Baggage": "a=1", "traceparent": f"00-{T}-{'b' * 16}-01"}


def test_an_application_behind_an_sbc_can_use_the_x_names() -> None:
    headers: dict[str, str] = {}
    inject(headers, CALL, send=(Carrier.X_TRACEPARENT,))
    assert headers == {"x-traceparent": TP}


@pytest.mark.parametrize("span_id", ["1", "0" * 16, "B" * 16])
def test_a_span_id_that_nobody_would_accept_is_refused_at_once(span_id: str) -> None:
    with pytest.raises(ValueError, match="span_id"):
        inject({}, CALL, span_id=span_id)


# What travels beside the context


def test_a_call_brings_more_than_its_parent() -> None:
    call = extract_call(
        [
            ("X-Traceparent", TP),
            ("X-Tracestate", "rojo=1,congo=2"),
            ("Previous-Trace-ID", f"{'a' * 32};span={'b' * 16}"),
            ("Baggage", "tenant=blue%20sky, bad"),
            ("baggage", "seat=7;ttl=1"),
            ("x-interaction-id", "visit-7f3a-2"),
        ]
    )
    assert call.parent == CALL
    assert (call.carrier, call.rejected) == ("x-traceparent", None)
    assert call.previous == Previous("a" * 32, "b" * 16)
    assert call.interaction_id == "visit-7f3a-2"
    assert call.baggage == {"tenant": "blue sky", "seat": "7", "interaction.id": "visit-7f3a-2"}


def test_a_call_that_says_nothing() -> None:
    call = extract_call({"Via": "x"})
    assert (call.parent, call.previous, call.interaction_id, call.baggage) == (None, None, "", {})
    assert call.carrier == "none"


def test_a_broken_context_says_why_and_leaves_the_rest() -> None:
    call = extract_call({"traceparent": TP.upper(), "tracestate": "a=1", "X-Interaction-ID": "v"})
    assert (call.parent, call.rejected, call.interaction_id) == (None, Rejected.BAD_FORMAT, "v")


@pytest.mark.parametrize(
    ("headers", "interaction"),
    [
        ({"X-Interaction-ID": " visit-7 ;a=b"}, "visit-7"),
        ({"X-Interaction-ID": "visit-7", "baggage": "interaction.id=other"}, "visit-7"),
        ({"baggage": "interaction.id=visit%207"}, "visit 7"),
        ({"baggage": "interaction.id=a%0d%0aEvil:%201"}, ""),
        ({"User-to-User": "visit-7;encoding=text"}, "visit-7"),
        ({"User-to-User": "+441632960961"}, ""),
        ({"User-to-User": "two words"}, ""),
        ({"X-Interaction-ID": "", "User-to-User": "visit-7"}, "visit-7"),
        ({"X-Interaction-ID": "x" * 200}, "x" * 128),
    ],
)
def test_the_interaction(headers: dict[str, str], interaction: str) -> None:
    call = extract_call(headers)
    assert call.interaction_id == interaction
    assert call.baggage.get("interaction.id", "") == interaction


def test_the_interaction_may_have_another_header() -> None:
    headers = {"X-Interaction-ID": "one", "X-Genesys-ID": "two"}
    assert extract_call(headers, interaction_header="x-genesys-ID").interaction_id == "two"


def test_other_names_and_p_asserted_identity_are_read_when_asked_for() -> None:
    assert extract_call({"X-My-Trace": TP}).parent is None
    assert extract_call({"x-my-trace": TP}, aliases=("X-My-Trace",)).parent == TraceContext(T, S, 1)
    identity = {"P-Asserted-Identity": f"<sip:alice@example.com;traceparent={TP}>"}
    assert extract_call(identity).parent is None
    assert extract_call(identity, read_pai=True).carrier == "pai"


def test_an_alias_that_disagrees_makes_both_doubtful() -> None:
    call = extract_call({"traceparent": TP, "X-Traceparent": TP.replace(S, "b" * 16)})
    assert (call.parent, call.rejected) == (None, Rejected.DUPLICATE)


# Forms


def test_headers_may_be_bytes() -> None:
    assert extract([(b"traceparent", TP.encode()), (b"tracestate", b"rojo=1,congo=2")]) == CALL
    assert extract({b"Traceparent": [TP.encode()]}) == TraceContext(T, S, 1)


def test_headers_may_be_those_of_the_standard_library() -> None:
    message = Message()
    message["Traceparent"] = TP
    message["tracestate"] = "rojo=1"
    message["tracestate"] = "congo=2"
    anything: Any = message
    assert extract(anything) == CALL


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        7,
        "traceparent",
        b"traceparent",
        [1, ("a",), ("a", "b", "c"), (None, TP), ("traceparent", None)],
        {"traceparent": None, 5: TP, "tracestate": [None, 7]},
        {"traceparent": {"a": 1}},
        {"traceparent": "\x00" * 100, "baggage": "=" * 9000, "previous-trace-id": "\ud800"},
        {"traceparent": [b"\xff" * 55]},
    ],
)
def test_what_cannot_be_a_header_is_left_out(garbage: Any) -> None:
    call = extract_call(garbage)
    assert (call.parent, call.previous, call.baggage) == (None, None, {})
    assert extract(garbage) is None


# Writing


def test_pairs_are_written_in_place() -> None:
    headers = [("Via", "x"), ("TRACEPARENT", TP), ("Via", "y"), ("X-Interaction-Id", "old")]
    inject(headers, CALL, interaction_id="visit-7")
    assert headers == [
        ("Via", "x"),
        ("Via", "y"),
        ("traceparent", TP),
        ("tracestate", "rojo=1,congo=2"),
        ("X-Interaction-ID", "visit-7"),
    ]


def test_what_travels_beside_it_is_written_where_it_is_given() -> None:
    headers = {"Baggage": "old=1", "Previous-Trace-Id": "old"}
    inject(headers, CALL)
    assert headers["Baggage"] == "old=1"
    inject(
        headers,
        CALL,
        previous=TraceContext("a" * 32, "b" * 16, 1),
        baggage={"tenant": "blue sky"},
        interaction_id="visit-7",
    )
    assert headers == {
        "traceparent": TP,
        "tracestate": "rojo=1,congo=2",
        "previous-trace-id": f"{'a' * 32};span={'b' * 16}",
        "baggage": "tenant=blue%20sky",
        "X-Interaction-ID": "visit-7",
    }
    call = extract_call(headers)
    assert (call.parent, call.interaction_id) == (CALL, "visit-7")
    assert call.baggage == {"tenant": "blue sky", "interaction.id": "visit-7"}
    inject(headers, CALL, baggage={})
    assert "baggage" not in headers


@pytest.mark.parametrize("interaction", ["a\r\nEvil: 1", "a\0", "a\u2028b"])
def test_an_interaction_of_several_lines_is_refused(interaction: str) -> None:
    with pytest.raises(ValueError, match="interaction_id"):
        inject({}, CALL, interaction_id=interaction)


def test_a_baggage_key_that_is_none_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="not a token"):
        inject({}, CALL, baggage={"a key": "1"})


# Alone

_ALONE = """
import sys

class NothingElse:
    def find_spec(self, name, path=None, target=None):
        first = name.partition(".")[0]
        ours = first == "sipproxy" or first.endswith("__mypyc")  # the compiled core's
        if not ours and first not in sys.stdlib_module_names:
            raise ImportError(f"{name} is none of Python's own")

sys.meta_path.insert(0, NothingElse())
sys.path.insert(0, sys.argv[1])
from sipproxy.propagation import extract, extract_call, inject
headers = {"X-Traceparent": sys.argv[2], "X-Interaction-ID": "visit-7"}
inject(headers, extract(headers), span_id="b" * 16)
print(headers["traceparent"], extract_call(headers).interaction_id)
print(*sorted(name for name in sys.modules if name.startswith("sipproxy.")))
"""


def test_it_needs_python_and_nothing_else() -> None:
    """In an interpreter that finds no third-party package, and refuses to import one."""
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _ALONE, str(ROOT), TP],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.stderr == ""
    said, modules = ran.stdout.splitlines()
    assert said == f"00-{T}-{'b' * 16}-01 visit-7"
    layers = {name.split(".")[1] for name in modules.split()}
    assert layers == {"errors", "sip", "propagation"}
