"""What the probe says of a path, for each thing that a path can do to a call."""

from __future__ import annotations

import pytest

from sipproxy.probe.fates import Fate
from sipproxy.probe.messages import LARGE, SMALL
from sipproxy.probe.report import in_yaml
from sipproxy.probe.sip_verdict import CARRIERS
from sipproxy.sip.message import Request

from .support import Change, Path, found, probe, strip


def test_a_path_that_passes_everything() -> None:
    path = Path()
    seen, report = probe(path)
    assert {each.carrier for each in report.findings} == set(CARRIERS)
    assert {each.fate for each in report.findings} == {Fate.SURVIVED}
    assert report.good
    assert report.verdict[0] == "The trace gets through: traceparent."
    assert report.switch_on == {
        "trace": {"send": ["traceparent", "tracestate", "baggage"]},
        "refer": "relay",
    }
    assert report.verdict[-1].endswith(in_yaml(report.switch_on))
    assert report.facts["call_id"] == "kept"
    assert report.facts["hops"] == "1 by Via, 1 by Max-Forwards"
    assert path.requests.count("INVITE") == 7, "six calls, and the one that is transferred"
    assert path.requests.count("BYE") == 7
    assert seen.counts == {}


def test_the_long_invites_are_as_long_as_they_say() -> None:
    seen, _ = probe(Path())
    for name, size, transport in (("trace", SMALL, "UDP"), ("large", LARGE, "TCP")):
        call = seen.call(name)
        assert call is not None
        assert call.sent is not None
        assert abs(call.sent.size - size) < 24
        assert call.sent.transport == transport


def test_a_path_that_takes_headers_away() -> None:
    _, report = probe(Path(strip("traceparent", "tracestate", "baggage")), wanted=["traceparent", "baggage"])
    assert [each.carrier for each in report.findings if each.fate is Fate.STRIPPED] == [
        *("traceparent", "tracestate", "baggage", "large", "bye", "refer", "transfer"),
    ]
    assert (report.good, report.exit_code) == (False, 1)
    lost = "traceparent is stripped, baggage is stripped"
    assert report.verdict[0] == f"Not everything that is wanted gets through: {lost}."
    assert report.switch_on["trace"] == {"send": ["x-traceparent", "tracestate"]}
    assert report.switch_on["refer"] == "relay", "Refer-To is left alone"


def test_a_path_that_passes_x_names_alone_and_what_is_wanted_is_one_of_them() -> None:
    headers = ("traceparent", "tracestate", "baggage", "previous-trace-id", "otel-trace-id")
    _, report = probe(Path(strip(*headers)), wanted=["x-traceparent"])
    assert report.good
    assert report.switch_on["trace"] == {"send": ["x-traceparent", "tracestate"]}


def renamed(request: Request) -> None:
    value = request.headers.text("traceparent")
    if value is not None:
        request.headers.remove("traceparent")
        request.headers.add("X-Trace-Context", value)


def test_a_path_that_renames() -> None:
    _, report = probe(Path(renamed))
    assert found(report, "traceparent").fate is Fate.MOVED
    assert found(report, "traceparent").how == "to X-Trace-Context"
    assert not report.good
    assert report.switch_on["trace"]["aliases"] == ["X-Trace-Context"]


def recased(request: Request) -> None:
    lines = request.headers.lines
    lines[:] = ["Traceparent" + line[11:] if line.startswith("traceparent:") else line for line in lines]


def test_letters_of_a_name_do_no_harm() -> None:
    _, report = probe(Path(recased))
    assert found(report, "traceparent").fate is Fate.RECASED
    assert report.good


def with_a_trace_of_its_own(request: Request) -> None:
    if "traceparent" in request.headers:
        request.headers.set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


def test_a_path_with_a_trace_of_its_own() -> None:
    _, report = probe(Path(with_a_trace_of_its_own))
    assert found(report, "traceparent").fate is Fate.ALTERED
    assert "trace of its own" in found(report, "traceparent").how
    assert "b7ad6b7169203331" not in str(report.shape()), "what arrives is not quoted"


def with_a_span_of_its_own(request: Request) -> None:
    value = request.headers.text("traceparent")
    if value is not None:
        request.headers.set("traceparent", value[:36] + "b7ad6b7169203331" + value[52:])


def test_a_path_that_takes_part_in_the_trace() -> None:
    _, report = probe(Path(with_a_span_of_its_own))
    assert found(report, "traceparent").fate is Fate.CONTINUED
    assert report.good


# P-Asserted-Identity, and what stands in URIs


def identity(value: str) -> Change:
    def change(request: Request) -> None:
        was = request.headers.text("p-asserted-identity")
        if was is not None:
            trace = was.partition("traceparent=")[2].rstrip(">")
            request.headers.set("P-Asserted-Identity", value.format(trace))

    return change


@pytest.mark.parametrize(
    ("becomes", "fate", "how"),
    [
        ("<sip:alice@192.0.2.1>", Fate.STRIPPED, "the identity arrives without it"),
        ("<sip:alice@192.0.2.1>;traceparent={}", Fate.MOVED, "behind the brackets"),
        ("<sip:alice@192.0.2.1;traceparent=gone>", Fate.ALTERED, "another value"),
        ("<sip:a@h;traceparent={0}>, <tel:+441632960001;traceparent={0}>", Fate.ALTERED, "2 of them arrive"),
    ],
)
def test_the_parameter_in_an_identity(becomes: str, fate: Fate, how: str) -> None:
    _, report = probe(Path(identity(becomes)))
    assert found(report, "pai").fate is fate
    assert found(report, "pai").how.startswith(how)


def test_an_identity_that_an_untrusted_side_does_not_get() -> None:
    _, report = probe(Path(strip("p-asserted-identity")))
    assert found(report, "pai").fate is Fate.STRIPPED
    assert found(report, "pai").how == "no P-Asserted-Identity arrives"


def test_a_path_that_lets_only_the_identity_through() -> None:
    def change(request: Request) -> None:
        strip("traceparent", "tracestate", "baggage", "x-traceparent", "x-tracestate")(request)

    _, report = probe(Path(change), wanted=["pai"])
    assert report.good
    assert report.switch_on["trace"] == {"send": ["pai"], "read_pai": True}


def test_a_path_that_cuts_parameters_off_the_request_uri() -> None:
    def change(request: Request) -> None:
        request.uri = request.uri.partition(";")[0]

    _, report = probe(Path(change))
    assert found(report, "marker").fate is Fate.STRIPPED
    assert found(report, "refer-to-marker").fate is Fate.SURVIVED, "in Refer-To it is not the path's business"
