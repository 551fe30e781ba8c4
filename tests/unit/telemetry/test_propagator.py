"""The propagator `sip` as OpenTelemetry uses it: alone, beside others, with all kinds of carriers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import Getter, Setter, TextMapPropagator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sipproxy.propagation.settings import Carrier
from sipproxy.telemetry.propagator import SipPropagator, previous_links

T = "4bf92f3577f34da6a3ce929d0e0e4736"
S = "00f067aa0ba902b7"
TP = f"00-{T}-{S}-01"
OTHER = f"00-{'a' * 32}-{'b' * 16}-00"
SIP = SipPropagator()
W3C = TraceContextTextMapPropagator()


def span_of(context: Context) -> SpanContext:
    return trace.get_current_span(context).get_span_context()


def said(context: Context) -> str:
    """The context as a traceparent; nothing where there is none."""
    span = span_of(context)
    if not span.is_valid:
        return ""
    ids = f"{trace.format_trace_id(span.trace_id)}-{trace.format_span_id(span.span_id)}"
    return f"00-{ids}-{span.trace_flags:02x}"


def talking(tracestate: str = "", **members: str) -> Context:
    """A context in which a span is current."""
    state = TraceState.from_header([tracestate]) if tracestate else None
    span = NonRecordingSpan(SpanContext(int(T, 16), int(S, 16), False, TraceFlags(1), state))
    context = trace.set_span_in_context(span, Context())
    for key, value in members.items():
        context = baggage.set_baggage(key.replace("_", "."), value, context)
    return context


# Reading


@pytest.mark.parametrize(
    "name", ["traceparent", "Traceparent", "TRACEPARENT", "X-Traceparent", "x-TRACEparent"]
)
def test_a_context_under_any_of_its_names(name: str) -> None:
    context = SIP.extract({"Via": "x", name: TP})
    assert said(context) == TP
    assert span_of(context).is_remote


def test_tracestate_comes_along() -> None:
    context = SIP.extract({"X-Traceparent": TP, "x-tracestate": ["rojo=1", "congo=2"]})
    assert span_of(context).trace_state.to_header() == "rojo=1,congo=2"


def test_headers_may_be_pairs() -> None:
    pairs: Any = [("Via", "x"), ("Traceparent", TP)]
    assert said(SIP.extract(pairs)) == TP
    assert said(SIP.extract([*pairs, ("traceparent", OTHER)])) == ""


def test_the_interaction_is_baggage() -> None:
    context = SIP.extract({"x-interaction-id": "visit-7", "baggage": "tenant=blue%20sky,seat=7;ttl=1"})
    assert baggage.get_all(context) == {"interaction.id": "visit-7", "tenant": "blue sky", "seat": "7"}
    assert said(context) == ""


def test_previous_trace_id_is_a_link_and_no_parent() -> None:
    context = SIP.extract({"previous-trace-id": f"{T};span={S}"})
    assert said(context) == ""
    (link,) = previous_links(context)
    assert trace.format_trace_id(link.context.trace_id) == T
    assert trace.format_span_id(link.context.span_id) == S
    assert previous_links(SIP.extract({"previous-trace-id": T})) == []  # a span id is never invented
    assert previous_links(Context()) == []


def test_p_asserted_identity_when_asked_for() -> None:
    identity = {"P-Asserted-Identity": f"<sip:alice@example.com;traceparent={TP}>"}
    assert said(SIP.extract(identity)) == ""
    assert said(SipPropagator(read_pai=True).extract(identity)) == TP


BROKEN: list[Any] = [
    {},
    {"traceparent": TP.upper()},
    {"traceparent": f"00-{'0' * 32}-{S}-01"},
    {"traceparent": TP + "-more"},
    {"traceparent": [TP, OTHER]},
    {"traceparent": [None, 7]},
    {"traceparent": None, "baggage": "=,;;,a", "previous-trace-id": ";;;"},
    {"traceparent": {"a": 1}, 7: TP},
    [("traceparent",), 5, ("traceparent", None)],
    None,
    7,
    "traceparent",
]


@pytest.mark.parametrize("carrier", BROKEN)
def test_garbage_leaves_what_is_there(carrier: Any) -> None:
    before = talking(interaction_id="visit-7")
    after = SIP.extract(carrier, before)
    assert said(after) == TP
    assert baggage.get_all(after) == {"interaction.id": "visit-7"}
    assert said(SIP.extract(carrier)) == ""


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["traceparent", "X-Traceparent", "tracestate", "baggage", "previous-trace-id", "User-to-User"]
        )
        | st.text(max_size=5),
        st.text(max_size=80)
        | st.lists(st.text(max_size=60), max_size=3)
        | st.none()
        | st.binary(max_size=60),
    )
)
def test_whatever_comes_it_does_not_raise(carrier: Mapping[str, Any]) -> None:
    context = SIP.extract(carrier)
    SIP.inject({}, context)


# Writing


def test_the_current_span_is_written() -> None:
    headers: dict[str, str] = {}
    SIP.inject(headers, talking("rojo=1", interaction_id="visit-7", tenant="blue sky"))
    assert headers == {
        "traceparent": TP,
        "tracestate": "rojo=1",
        "baggage": "interaction.id=visit-7,tenant=blue%20sky",
        "X-Interaction-ID": "visit-7",
    }


def test_without_a_span_or_anything_nothing_is_written() -> None:
    headers: dict[str, str] = {}
    SIP.inject(headers, Context())
    assert headers == {}


@pytest.mark.parametrize("interaction", ["a\r\nEvil: 1", "\n", "ä", ""])
def test_an_interaction_that_is_no_header_is_not_one(interaction: str) -> None:
    headers: dict[str, str] = {}
    SIP.inject(headers, talking(interaction_id=interaction))
    assert "X-Interaction-ID" not in headers
    assert all(value.isascii() and value.isprintable() for value in headers.values())


def test_a_path_that_lets_other_names_through() -> None:
    propagator = SipPropagator(
        send=(Carrier.X_TRACEPARENT, Carrier.OTEL_TRACE_ID), interaction_header="X-Visit"
    )
    headers: dict[str, str] = {}
    propagator.inject(headers, talking(interaction_id="visit-7"))
    assert headers["x-traceparent"] == TP
    assert headers["otel-trace-id"] == T
    assert headers["X-Visit"] == "visit-7"
    assert propagator.fields == {"x-traceparent", "otel-trace-id", "baggage", "X-Visit"}


def test_what_it_cannot_write_is_refused_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="pai"):
        SipPropagator(send=(Carrier.PAI,))


def test_its_fields_are_what_it_writes() -> None:
    headers: dict[str, str] = {}
    SIP.inject(headers, talking("rojo=1", interaction_id="visit-7"))
    assert SIP.fields == set(headers)


def test_a_carrier_that_is_used_again() -> None:
    headers = {"Via": "x", "TraceParent": OTHER, "x-interaction-id": "old"}
    SIP.inject(headers, talking(interaction_id="visit-7"))
    assert headers == {
        "Via": "x",
        "traceparent": TP,
        "baggage": "interaction.id=visit-7",
        "X-Interaction-ID": "visit-7",
    }
    pairs: Any = [("Traceparent", OTHER), ("Via", "x")]
    SIP.inject(pairs, talking())
    assert pairs == [("Via", "x"), ("traceparent", TP)]


# Anybody's getters and setters


class Environ(Getter[Mapping[str, str]], Setter[dict[str, str]]):
    """As WSGI does it: another spelling on the inside, and no case."""

    def get(self, carrier: Mapping[str, str], key: str) -> list[str] | None:
        value = carrier.get("HTTP_" + key.upper().replace("-", "_"))
        return None if value is None else [value]

    def keys(self, carrier: Mapping[str, str]) -> list[str]:
        return [key[5:].lower().replace("_", "-") for key in carrier if key.startswith("HTTP_")]

    def set(self, carrier: dict[str, str], key: str, value: str) -> None:
        carrier["HTTP_" + key.upper().replace("-", "_")] = value


class AnyCase(Getter[CIMultiDict[str]]):
    """As aiohttp does it: several values of a name, and no case."""

    def get(self, carrier: CIMultiDict[str], key: str) -> list[str] | None:
        return carrier.getall(key, None)

    def keys(self, carrier: CIMultiDict[str]) -> list[str]:
        return list(carrier.keys())


class Sloppy(Getter[Mapping[str, Any]]):
    """Gives what it has, as it has it, under the name as it is written."""

    def get(self, carrier: Mapping[str, Any], key: str) -> Any:
        return carrier.get(key)

    def keys(self, carrier: Mapping[str, Any]) -> list[str]:
        return list(carrier)


def test_a_getter_with_names_of_its_own() -> None:
    environ = Environ()
    headers: dict[str, str] = {}
    SIP.inject(headers, talking("rojo=1", interaction_id="visit-7"), environ)
    assert set(headers) == {"HTTP_TRACEPARENT", "HTTP_TRACESTATE", "HTTP_BAGGAGE", "HTTP_X_INTERACTION_ID"}
    context = SIP.extract(headers, getter=environ)
    assert said(context) == TP
    assert baggage.get_baggage("interaction.id", context) == "visit-7"


def test_a_getter_that_pays_no_heed_to_case() -> None:
    headers = CIMultiDict([("Traceparent", TP), ("Tracestate", "rojo=1"), ("TRACESTATE", "congo=2")])
    context = SIP.extract(headers, getter=AnyCase())
    assert said(context) == TP
    assert span_of(context).trace_state.to_header() == "rojo=1,congo=2"
    headers.add("traceparent", OTHER)
    assert said(SIP.extract(headers, getter=AnyCase())) == ""


def test_a_getter_that_gives_anything() -> None:
    assert said(SIP.extract({"Traceparent": TP.encode()}, getter=Sloppy())) == TP
    assert said(SIP.extract({"traceparent": TP}, getter=Sloppy())) == TP
    assert said(SIP.extract({"traceparent": 7, "Traceparent": [TP]}, getter=Sloppy())) == TP
    assert said(SIP.extract({"traceparent": TP, "Traceparent": OTHER}, getter=Sloppy())) == ""


# Beside others


@pytest.mark.parametrize("propagators", [(W3C, SIP), (SIP, W3C), (W3C, W3CBaggagePropagator(), SIP)])
@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"traceparent": TP}, TP),
        ({"X-Traceparent": TP}, TP),
        ({"traceparent": TP, "X-Traceparent": OTHER}, TP),  # ours finds none; what the other found stays
        ({"traceparent": TP, "X-Traceparent": "nonsense"}, TP),
        ({"traceparent": "nonsense", "X-Traceparent": TP}, TP),
        ({"traceparent": "nonsense"}, ""),
        ({}, ""),
    ],
)
def test_composed(propagators: tuple[TextMapPropagator, ...], headers: dict[str, str], found: str) -> None:
    assert said(CompositePropagator(propagators).extract(headers)) == found


def test_composed_with_baggage_neither_takes_from_the_other() -> None:
    both = CompositePropagator([W3CBaggagePropagator(), SIP])
    context = both.extract({"baggage": "seat=7", "X-Interaction-ID": "visit-7"})
    assert baggage.get_all(context) == {"seat": "7", "interaction.id": "visit-7"}
    headers: dict[str, str] = {}
    both.inject(headers, context)
    assert headers == {"baggage": "seat=7,interaction.id=visit-7", "X-Interaction-ID": "visit-7"}


# As OpenTelemetry finds it


def _python(program: str, **environment: str) -> list[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.stderr == ""
    return ran.stdout.splitlines()


def test_the_environment_variable_is_all_that_it_takes() -> None:
    program = f"""
from opentelemetry import baggage, propagate, trace
context = propagate.extract({{"X-Traceparent": "{TP}", "X-Interaction-ID": "visit-7"}})
headers = {{}}
propagate.inject(headers, context)
print(headers)
print(sorted(propagate.get_global_textmap().fields))
"""
    headers, fields = _python(program, OTEL_PROPAGATORS="tracecontext,sip")
    assert headers == str(
        {"traceparent": TP, "baggage": "interaction.id=visit-7", "X-Interaction-ID": "visit-7"}
    )
    assert fields == "['X-Interaction-ID', 'baggage', 'traceparent', 'tracestate']"


def test_it_brings_the_api_of_opentelemetry_and_nothing_else() -> None:
    """An application without the SDK pays for no SDK; one with a protobuf of its own gets no other."""
    program = """
import sys
from importlib.metadata import entry_points
(found,) = entry_points(group="opentelemetry_propagator", name="sip")
print(found.value, found.load()().__class__.__name__)
print(*sys.modules)
"""
    found, modules = _python(program)
    assert found == "sipproxy.telemetry.propagator:SipPropagator SipPropagator"
    loaded = set(modules.split())
    assert not loaded & {
        "opentelemetry.sdk",
        "opentelemetry.exporter",
        "google.protobuf",
        "aiohttp",
        "requests",
    }
    assert {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names <= {
        *("__main__", "sipproxy", "opentelemetry", "typing_extensions"),
        *(name for name in loaded if name.startswith(("_distutils_hack", "__editable", "_virtualenv"))),
    }
    ours = {name.split(".")[1] for name in loaded if name.startswith("sipproxy.")}
    assert ours == {"errors", "sip", "propagation", "telemetry"}
    telemetry = {name for name in loaded if name.startswith("sipproxy.telemetry.")}
    assert telemetry == {"sipproxy.telemetry.propagator"}
