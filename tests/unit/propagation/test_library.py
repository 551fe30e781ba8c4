"""`sipproxy.propagation` as an application uses it, without the proxy."""

from __future__ import annotations

import doctest

import pytest

import sipproxy.propagation
from sipproxy.propagation import Carrier, TraceContext, extract, inject

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
