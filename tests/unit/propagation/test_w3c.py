"""The cases of the W3C trace-context test-suite (`w3c/trace-context`, `test/test.py`), on one SIP hop.

A hop reads an INVITE's headers and writes those of the outgoing INVITE. `keep` means that the trace goes on
with a parent-id of ours, `new` that a new trace starts; beside it stands the tracestate that must go out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from sipproxy.propagation.carriers import extract_sip
from sipproxy.propagation.context import RANDOM, SAMPLED, TraceContext, parse_traceparent
from sipproxy.propagation.settings import TrunkTrace
from sipproxy.propagation.writing import write_sip

T = "12345678901234567890123456789012"
P = "1234567890123456"
TP = f"00-{T}-{P}-00"
OURS = range(1, 100)  # ids that the proxy below draws
LISTED = Path(__file__).parents[4] / "shared" / "data" / "w3c-cases.md"

Rows = list[tuple[str, str]]


class Proxy:
    """Takes INVITEs in and sends them on; its ids count upwards, so that no two are equal."""

    def __init__(self) -> None:
        self.ids = count(1)
        self.trunk = TrunkTrace()

    def hop(self, rows: Rows) -> Rows:
        found = extract_sip(lambda name: [v for n, v in rows if n.lower() == name], self.trunk)
        span_id = f"{next(self.ids):016x}"
        context = found.context or TraceContext(f"{next(self.ids):032x}", span_id, RANDOM | SAMPLED)
        outgoing, dropped = write_sip(context.child(span_id), self.trunk.send)
        assert not dropped
        return outgoing


def context_of(rows: Rows) -> TraceContext:
    """The one context that went out."""
    (value,) = [value for name, value in rows if name == "traceparent"]
    context = parse_traceparent(value)
    assert isinstance(context, TraceContext)
    return context


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    rows: Rows
    trace: str  # keep or new
    tracestate: str | None = None


def parents(name: str, trace: str, *values: str) -> list[Case]:
    return [Case(name, [("traceparent", value)], trace) for value in values]


def states(name: str, tracestate: str | None, *inputs: list[str]) -> list[Case]:
    """The trace goes on in all of them; the inputs are the tracestate rows."""
    return [
        Case(name, [("traceparent", TP), *(("tracestate", row) for row in rows)], "keep", tracestate)
        for rows in inputs
    ]


KEY = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
VALUE = "".join(chr(c) for c in range(0x20, 0x7F) if chr(c) not in ",=")
KEYS_256 = f"{'z' * 256}=1,{'t' * 241}@{'v' * 14}=1,{'t' * 242}@v=1,t@{'v' * 15}=1"
KEYS_257 = [f"{'z' * 257}=1", f"{'t' * 242}@{'v' * 14}=1", f"t@{'v' * 255}=1"]
MEMBERS_32 = ",".join(f"bar{n:02}={n:02}" for n in range(1, 33))

CASES = [
    Case("both_traceparent_and_tracestate_missing", [], "new"),
    *parents("traceparent_included_tracestate_missing", "keep", f"00-{T}-{P}-01"),
    Case(
        "traceparent_duplicated",
        [("traceparent", f"00-{T[:-1]}1-{P}-01"), ("traceparent", f"00-{T[:-1]}2-{P}-01")],
        "new",
    ),
    *[
        Case("traceparent_header_name", [(n, f"00-{T}-{P}-01")], "new")
        for n in ("trace-parent", "trace.parent")
    ],
    *[
        Case("traceparent_header_name_valid_casing", [(n, f"00-{T}-{P}-01")], "keep")
        for n in ("TraceParent", "TrAcEpArEnT", "TRACEPARENT")
    ],
    *parents(
        "traceparent_version_0x00", "new", f"00-{T}-{P}-01.", f"00-{T}-{P}-01-what-the-future-will-be-like"
    ),
    *parents(
        "traceparent_version_0xcc", "keep", f"cc-{T}-{P}-01", f"cc-{T}-{P}-01-what-the-future-will-be-like"
    ),
    *parents("traceparent_version_0xcc", "new", f"cc-{T}-{P}-01.what-the-future-will-be-like"),
    *parents("traceparent_version_0xff", "new", f"ff-{T}-{P}-01"),
    *parents("traceparent_version_illegal_characters", "new", f".0-{T}-{P}-01", f"0.-{T}-{P}-01"),
    *parents("traceparent_version_too_long", "new", f"000-{T}-{P}-01", f"0000-{T}-{P}-01"),
    *parents("traceparent_version_too_short", "new", f"0-{T}-{P}-01"),
    *parents("traceparent_trace_id_all_zero", "new", f"00-{'0' * 32}-{P}-01"),
    *parents("traceparent_trace_id_illegal_characters", "new", f"00-.{T[1:]}-{P}-01", f"00-{T[:-1]}.-{P}-01"),
    *parents("traceparent_trace_id_too_long", "new", f"00-{T}3-{P}-01"),
    *parents("traceparent_trace_id_too_short", "new", f"00-{T[:-1]}-{P}-01"),
    *parents("traceparent_parent_id_all_zero", "new", f"00-{T}-{'0' * 16}-01"),
    *parents(
        "traceparent_parent_id_illegal_characters", "new", f"00-{T}-.{P[1:]}-01", f"00-{T}-{P[:-1]}.-01"
    ),
    *parents("traceparent_parent_id_too_long", "new", f"00-{T}-{P}7-01"),
    *parents("traceparent_parent_id_too_short", "new", f"00-{T}-{P[:-1]}-01"),
    *parents("traceparent_trace_flags_illegal_characters", "new", f"00-{T}-{P}-.0", f"00-{T}-{P}-0."),
    *parents("traceparent_trace_flags_too_long", "new", f"00-{T}-{P}-001"),
    *parents("traceparent_trace_flags_too_short", "new", f"00-{T}-{P}-1"),
    *parents("traceparent_ows_handling", "keep", f" {TP}", f"\t{TP}", f"{TP} ", f"{TP}\t", f"\t {TP} \t"),
    Case("tracestate_included_traceparent_missing", [("tracestate", "foo=1")], "new"),
    Case("tracestate_included_traceparent_missing", [("tracestate", "foo=1,bar=2")], "new"),
    *states("tracestate_included_traceparent_included", "foo=1,bar=2", ["foo=1,bar=2"]),
    *[
        Case("tracestate_header_name", [("traceparent", TP), (n, "foo=1")], "keep")
        for n in ("trace-state", "trace.state")
    ],
    *[
        Case("tracestate_header_name_valid_casing", [("traceparent", TP), (n, "foo=1")], "keep", "foo=1")
        for n in ("TraceState", "TrAcEsTaTe", "TRACESTATE")
    ],
    *states("tracestate_empty_header", None, [""]),
    *states("tracestate_empty_header", "foo=1", ["foo=1", ""], ["", "foo=1"]),
    *states(
        "tracestate_multiple_headers_different_keys",
        "foo=1,bar=2,rojo=1,congo=2,baz=3",
        ["foo=1,bar=2", "rojo=1,congo=2", "baz=3"],
    ),
    *states("tracestate_duplicated_keys", "foo=1", ["foo=1,foo=1"], ["foo=1,foo=2"]),
    *states("tracestate_duplicated_keys", "foo=1", ["foo=1", "foo=1"], ["foo=1", "foo=2"]),
    *states("tracestate_all_allowed_characters", f"{KEY}={VALUE}", [f"{KEY}={VALUE}"]),
    *states("tracestate_all_allowed_characters", f"{KEY}@{KEY}={VALUE}", [f"{KEY}@{KEY}={VALUE}"]),
    *states(
        "tracestate_ows_handling",
        "foo=1,bar=2,baz=3",
        ["foo=1 \t , \t bar=2, \t baz=3"],
        ["foo=1\t \t,\t \tbar=2,\t \tbaz=3"],
    ),
    *states(
        "tracestate_ows_handling", "foo=1", [" foo=1"], ["\tfoo=1"], ["foo=1 "], ["foo=1\t"], ["\t foo=1 \t"]
    ),
    *states("tracestate_key_illegal_characters", None, ["foo =1"], ["FOO=1"], ["foo.bar=1"]),
    *states("tracestate_key_illegal_vendor_format", "foo@=1,bar=2", ["foo@=1,bar=2"]),
    *states("tracestate_key_illegal_vendor_format", "foo@@bar=1,bar=2", ["foo@@bar=1,bar=2"]),
    *states("tracestate_key_illegal_vendor_format", "foo@bar@baz=1,bar=2", ["foo@bar@baz=1,bar=2"]),
    *states("tracestate_key_illegal_vendor_format", None, ["@foo=1,bar=2"]),
    *states("tracestate_member_count_limit", MEMBERS_32, [MEMBERS_32], MEMBERS_32.split(",")),
    *states("tracestate_member_count_limit", None, [MEMBERS_32 + ",bar33=33"], [MEMBERS_32, "bar33=33"]),
    *states("tracestate_key_length_limit", KEYS_256, [KEYS_256]),
    *states("tracestate_key_length_limit", None, *([f"foo=1,{key}"] for key in KEYS_257)),
    *states("tracestate_value_illegal_characters", None, ["foo=bar=baz"], ["foo=,bar=3"]),
    *parents("propagates_random_flag", "keep", f"00-{T}-{P}-02"),
]

THREE_CALLS = {
    "multiple_requests_with_valid_traceparent": ([("traceparent", f"00-{T}-{P}-01")], "keep"),
    "multiple_requests_without_traceparent": ([], "new"),
    "multiple_requests_with_illegal_traceparent": ([("traceparent", f"00-{'0' * 32}-{P}-01")], "new"),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_call(case: Case) -> None:
    outgoing = Proxy().hop(case.rows)
    context = context_of(outgoing)
    assert context.trace_id == T if case.trace == "keep" else int(context.trace_id, 16) in OURS
    assert context.span_id != P
    assert dict(outgoing).get("tracestate") == case.tracestate


@pytest.mark.parametrize(("rows", "trace"), THREE_CALLS.values(), ids=THREE_CALLS)
def test_three_calls(rows: Rows, trace: str) -> None:
    proxy = Proxy()
    contexts = [context_of(proxy.hop(rows)) for _ in range(3)]
    assert len({context.span_id for context in contexts} - {P}) == 3
    trace_ids = {context.trace_id for context in contexts}
    assert trace_ids == {T} if trace == "keep" else {int(trace_id, 16) for trace_id in trace_ids} < {*OURS}


@pytest.mark.parametrize(("flags", "goes_on"), [("00", 0), ("01", 1), ("02", 2), ("03", 3), ("ff", 3)])
def test_the_flags_that_are_known_go_on(flags: str, goes_on: int) -> None:
    assert context_of(Proxy().hop([("traceparent", f"00-{T}-{P}-{flags}")])).flags == goes_on


def test_all_cases_of_the_suite_are_here() -> None:
    assert len({case.name for case in CASES} | THREE_CALLS.keys()) == 41


@pytest.mark.skipif(not LISTED.exists(), reason="the list of W3C cases is not beside this checkout")
def test_every_listed_case_has_a_test_here() -> None:
    table = LISTED.read_text().partition("|---|---|---|\n")[2].partition("\n\n")[0]
    listed = set()
    for line in table.splitlines():
        cell = line.split("|")[1]
        (name,) = re.findall(r"[a-z]\w*_\w+", cell.partition(" / ")[0])
        listed.add(name)
        if "/ _too_short" in cell:
            listed.add(name.replace("_too_long", "_too_short"))
    assert listed == {case.name for case in CASES} | THREE_CALLS.keys()
