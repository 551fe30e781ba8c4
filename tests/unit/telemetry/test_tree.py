"""A trace in the terminal."""

from __future__ import annotations

import pytest

from sipproxy.propagation.context import TraceContext
from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.record import SpanRecord
from sipproxy.telemetry.settings import PrivacySettings
from sipproxy.telemetry.spans import SpanBook
from sipproxy.telemetry.tree import render
from tests.unit.telemetry.facts import CALLER, TRACE_ID, Call, request


def spans_of(*calls: Call) -> list[SpanRecord]:
    book = SpanBook(Masker(PrivacySettings()), 1_700_000_000.0)
    return [span for call in calls for facts in call.basic() for span in book.take(facts, 0.0004)]


BASIC = f"""\
trace {TRACE_ID}
under 00f067aa0ba902b7, which came from outside
INVITE SERVER 200                                          +0.0 ms     2000.0 ms
│  sip.trunk=sbc  sip.call_id=1-2345@192.0.2.1  sip.from.user=***34
│  sip.to.user=***ce  sip.request_uri.user=***ce  sip.trace.carrier=traceparent
│  sip.trace.decision=adopted  interaction.id=INT-4711
│  ● 180 +500.0 ms  ● 200 +2000.0 ms  ● ACK +2100.0 ms
├─ route INTERNAL                                          +0.0 ms        0.0 ms
│     sip.trunk=carrier-a
├─ INVITE CLIENT 200                                       +0.0 ms     2000.0 ms
│     sip.trunk=carrier-a  sip.call_id=0123456789abcdef0123456789abcdef
│     sip.proxy.delay_us=400
│     ● 100 +100.0 ms  ● 180 +500.0 ms  ● 200 +2000.0 ms  ● ACK +2100.0 ms
├─ dialog SERVER                                        +2000.0 ms     8000.0 ms
│     sip.trunk=sbc  sip.call_id=1-2345@192.0.2.1  sip.ring_ms=1500
│     sip.talk_ms=8000  sip.dialog.end=caller_bye
│     ● BYE +10000.0 ms
└─ dialog CLIENT                                        +2000.0 ms     8000.0 ms
      sip.trunk=carrier-a  sip.call_id=0123456789abcdef0123456789abcdef
      sip.ring_ms=1500  sip.talk_ms=8000  sip.dialog.end=caller_bye
      ● BYE +10000.0 ms"""


def test_a_basic_call() -> None:
    assert render(spans_of(Call(interaction_id="INT-4711"))) == BASIC


def test_the_order_of_the_records_does_not_matter() -> None:
    spans = spans_of(Call(interaction_id="INT-4711"))
    shuffled = [spans[index] for index in (4, 1, 0, 2, 3)]
    assert render(shuffled).splitlines()[2] == BASIC.splitlines()[2]
    assert sorted(render(shuffled).splitlines()) != []


def test_errors_links_and_repeats_are_seen() -> None:
    call = Call(parent=None, carrier="none", decision="linked")
    call.origin.links = [TraceContext("a" * 32, "b" * 16, 1)]
    book = SpanBook(Masker(PrivacySettings()), 0.0)
    told = [call.arrives(), call.is_tried(), call.concludes(call.attempt, 503, 1.0, repeats=3)]
    told += [call.concludes(call.root, 503, 1.0, error="transport"), call.is_forgotten()]
    text = render(book.take(told, 0.0))
    assert "which came from outside" not in text
    assert "INVITE SERVER 503 ERROR" in text
    assert "error.type=transport" in text
    assert f"│  link to {'a' * 32} {'b' * 16}" in text
    assert "● retransmission (3) +1000.0 ms" in text


def test_traces_stand_one_below_the_other() -> None:
    first, second = spans_of(Call()), spans_of(Call())
    other = [span._replace(trace_id="c" * 32) for span in second]
    assert [
        line for line in render([*first, *other]).splitlines() if line.startswith(("trace", "INVITE"))
    ] == [
        f"trace {TRACE_ID}",
        "INVITE SERVER 200                                          +0.0 ms     2000.0 ms",
        f"trace {'c' * 32}",
        "INVITE SERVER 200                                          +0.0 ms     2000.0 ms",
    ]


@pytest.mark.parametrize("width", [60, 80, 132])
def test_no_line_is_wider_than_asked_for(width: int) -> None:
    call = Call(request=request(call_id="a" * 200), interaction_id="x" * 128)
    assert max(map(len, render(spans_of(call), width).splitlines())) <= width


def test_nothing_is_shown_unmasked() -> None:
    assert CALLER.removeprefix("+") not in render(spans_of(Call(request=request(call_id=f"{CALLER}@h"))))


def test_no_records_are_no_text() -> None:
    assert render([]) == ""
