"""What a comparison is called."""

from __future__ import annotations

import pytest

from sipproxy.probe.fates import ALIVE, Fate, Finding, Row, compare, difference, judge

TRACE = "4bf92f3577f34da6a3ce929d0e0e4736"
SENT = f"00-{TRACE}-00f067aa0ba902b7-01"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("rows", "fate", "how"),
    [
        ([Row("traceparent", SENT)], Fate.SURVIVED, ""),
        ([Row("Traceparent", SENT)], Fate.RECASED, "as Traceparent"),
        ([Row("traceparent", SENT.replace("00f0", "11f0"))], Fate.CONTINUED, "same trace, new parent-id"),
        ([Row("traceparent", OTHER)], Fate.ALTERED, "another trace-id: the path begins a trace of its own"),
        ([Row("traceparent", SENT[:-1] + "0")], Fate.ALTERED, "other flags: 00"),
        ([Row("traceparent", SENT.upper())], Fate.ALTERED, "upper and lower case changed"),
        ([Row("traceparent", SENT)] * 2, Fate.ALTERED, "2 rows of it arrive"),
        (
            [Row("traceparent", SENT), Row("traceparent", OTHER)],
            Fate.ALTERED,
            "2 rows of it arrive, one as sent",
        ),
        ([Row("X-Trace", SENT)], Fate.MOVED, "to X-Trace"),
        ([Row("X-All", f"a={SENT};b")], Fate.MOVED, "into X-All"),
        ([Row("X-B3", f"{TRACE}-00f067aa0ba902b7-1")], Fate.MOVED, "the trace goes on in X-B3"),
        ([Row("Via", "1.1 edge")], Fate.STRIPPED, ""),
        ([], Fate.STRIPPED, ""),
    ],
)
def test_a_traceparent(rows: list[Row], fate: Fate, how: str) -> None:
    assert judge("traceparent", SENT, rows) == (fate, how)


def test_a_header_that_has_the_same_trace_anyway_is_no_place_that_it_moved_to() -> None:
    rows = [Row("Refer-To", f"<sip:a@b?traceparent={SENT.replace('00f0', '11f0')}>")]
    assert judge("traceparent", SENT, rows)[0] is Fate.MOVED
    assert judge("traceparent", SENT, rows, besides=("refer-to",)) == (Fate.STRIPPED, "")


@pytest.mark.parametrize(
    ("sent", "got", "how"),
    [
        ("a=1,b=2", "", "empty"),
        ("a=1,b=2", "A=1,B=2", "upper and lower case changed"),
        ("a=1,b=2", "a=1, b=2", "blanks changed"),
        ("a=1", '"a=1"', "in quotes"),
        ("a=1,b=2", "a%3D1%2Cb%3D2", "escaped"),
        ("a%3D1", "a=1", "unescaped"),
        ("a=1,b=2", "a=1", "cut after 3 of 7 characters"),
        ("a=1,b=2", "a=1,b=2,c=3", "something is added behind it"),
        ("a=1,b=2", "c=3,a=1,b=2", "something is added in front of it"),
        ("a=1,b=2", "c=3,a=1,b=2,d=4", "something is added around it"),
        ("a=1,b=2,c=3", "c=3", "1 of 3 members are left"),
        ("a=1", "zzz", "another value"),
    ],
)
def test_a_difference_is_named_and_what_arrived_is_not_quoted(sent: str, got: str, how: str) -> None:
    assert compare(sent, got) == (Fate.ALTERED, how)
    assert difference(sent, got) == how


def test_a_trace_that_goes_on_got_through() -> None:
    alive = {fate for fate in Fate if Finding("traceparent", "INVITE", fate).alive}
    assert alive == ALIVE == {Fate.SURVIVED, Fate.CONTINUED, Fate.RECASED}
