"""Trace context as values: what is read, what is refused and why."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sipproxy.propagation.context import (
    Previous,
    Rejected,
    TraceContext,
    is_span_id,
    is_trace_id,
    parse_previous,
    parse_traceparent,
    parse_tracestate,
)

T = "4bf92f3577f34da6a3ce929d0e0e4736"
S = "00f067aa0ba902b7"
CALL = TraceContext(T, S, 1)

trace_ids = st.integers(1, 2**128 - 1).map(lambda n: f"{n:032x}")
span_ids = st.integers(1, 2**64 - 1).map(lambda n: f"{n:016x}")
anything = st.text(max_size=200) | st.text("0123456789abcdef-=,; \t@", max_size=80)


def test_a_good_traceparent_is_read() -> None:
    assert parse_traceparent(f"00-{T}-{S}-01") == CALL


def test_blanks_around_the_value_are_tolerated() -> None:
    assert parse_traceparent(f" \t00-{T}-{S}-01\t ") == CALL


@pytest.mark.parametrize(
    "text", [f"cc-{T}-{S}-01", f"01-{T}-{S}-01-what-the-future-brings", f"fe-{T}-{S}-01-"]
)
def test_of_a_later_version_the_known_part_is_read(text: str) -> None:
    assert parse_traceparent(text) == CALL


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Rejected.BAD_FORMAT),
        ("4711", Rejected.BAD_FORMAT),
        (f"00-{T}-{S}", Rejected.BAD_FORMAT),
        (f"00-{T}-{S}-1", Rejected.BAD_FORMAT),
        (f"00-{T.upper()}-{S}-01", Rejected.BAD_FORMAT),
        (f"00-{T[:-1]}-{S}-01", Rejected.BAD_FORMAT),
        (f"00-{T}0-{S}-01", Rejected.BAD_FORMAT),
        (f"00-{T}-{S}0-01", Rejected.BAD_FORMAT),
        (f"00-{T[:-1]}\N{ARABIC-INDIC DIGIT ONE}-{S}-01", Rejected.BAD_FORMAT),
        (f"00-{T[:-1]}_-{S}-01", Rejected.BAD_FORMAT),
        (f"00-{T[:-1]}--{S}-01", Rejected.BAD_FORMAT),
        (f"00_{T}_{S}_01", Rejected.BAD_FORMAT),
        (f"00-{T}-{S}-01\n", Rejected.TOO_LONG),
        (f"00-{T}-{S}-01.", Rejected.TOO_LONG),
        (f"00-{T}-{S}-01-what-the-future-brings", Rejected.TOO_LONG),
        (f"00-{T}-{S}-01, 00-{T}-{S}-01", Rejected.TOO_LONG),
        (f"cc-{T}-{S}-01.what-the-future-brings", Rejected.BAD_FORMAT),
        (f"ff-{T}-{S}-01", Rejected.BAD_VERSION),
        (f".0-{T}-{S}-01", Rejected.BAD_VERSION),
        (f"000-{T}-{S}-01", Rejected.BAD_VERSION),
        (f"0-{T}-{S}-01", Rejected.BAD_VERSION),
        (f"-{T}-{S}-01", Rejected.BAD_VERSION),
        (f"00-{'0' * 32}-{S}-01", Rejected.ZERO_ID),
        (f"00-{T}-{'0' * 16}-01", Rejected.ZERO_ID),
    ],
)
def test_a_traceparent_that_is_not_exactly_right_is_refused_with_the_reason(
    text: str, reason: Rejected
) -> None:
    assert parse_traceparent(text) is reason


@given(trace_ids, span_ids, st.integers(0, 3))
def test_what_is_written_is_read_again(trace_id: str, span_id: str, flags: int) -> None:
    context = TraceContext(trace_id, span_id, flags)
    assert parse_traceparent(context.traceparent()) == context


@given(anything)
@example("\ud800" * 55)
@example("00-" + "\0" * 60)
def test_no_text_makes_reading_raise(text: str) -> None:
    read = parse_traceparent(text)
    assert isinstance(read, Rejected) or (is_trace_id(read.trace_id) and is_span_id(read.span_id))
    parse_previous(text)
    state = parse_tracestate([text, text])
    assert parse_tracestate([state]) == state


@pytest.mark.parametrize(
    ("flags", "written", "sampled"), [(0, "00", False), (1, "01", True), (2, "02", False), (0xFF, "03", True)]
)
def test_unknown_flags_are_zeroed_and_the_random_flag_is_kept(
    flags: int, written: str, sampled: bool
) -> None:
    context = TraceContext(T, S, flags)
    assert context.traceparent() == f"00-{T}-{S}-{written}"
    assert context.sampled is sampled


def test_a_child_is_the_same_trace_seen_from_another_span() -> None:
    context = TraceContext(T, S, 3, "rojo=1")
    assert context.child("b" * 16) == TraceContext(T, "b" * 16, 3, "rojo=1")
    assert context.span_id == S


def test_contexts_compare_by_value_and_show_themselves() -> None:
    assert len({CALL, TraceContext(T, S, 1), CALL.child("b" * 16)}) == 2
    assert TraceContext(T, S, 1, "rojo=1") != CALL
    assert T in repr(CALL)
    assert S in repr(CALL)


@pytest.mark.parametrize(
    ("rows", "joined"),
    [
        ([], ""),
        ([""], ""),
        (["rojo=1,congo=2"], "rojo=1,congo=2"),
        (["rojo=1", "congo=2", "azul=3"], "rojo=1,congo=2,azul=3"),
        ([" rojo=1\t,\tcongo=2 "], "rojo=1,congo=2"),
        (["rojo=1,,", ",", "congo=2"], "rojo=1,congo=2"),
        (["rojo=new,congo=2,rojo=old"], "rojo=new,congo=2"),
        (['4711@acme="<sip:x;y>;'], '4711@acme="<sip:x;y>;'),
    ],
)
def test_tracestate_rows_are_joined_in_order(rows: list[str], joined: str) -> None:
    assert parse_tracestate(rows) == joined


@pytest.mark.parametrize(
    "bad",
    [
        "rojo",
        "rojo=",
        "=1",
        "Rojo=1",
        "@rojo=1",
        "-rojo=1",
        "rojo =1",
        "rojo=1=2",
        "rojo=a\tb",
        "rojo=\x7f",
        "rojo=ä",
        "a" * 257 + "=1",
        "a=" + "1" * 257,
    ],
)
def test_one_bad_member_is_the_end_of_the_whole_tracestate(bad: str) -> None:
    assert parse_tracestate(["congo=2", bad]) == ""


def test_32_members_are_a_tracestate_and_33_are_none() -> None:
    members = [f"k{n}=v" for n in range(33)]
    assert parse_tracestate(members[:32]) == ",".join(members[:32])
    assert parse_tracestate(members) == ""
    assert parse_tracestate(["same=v"] * 33) == "", "repeating a key is no way around the limit"


@pytest.mark.parametrize(
    ("text", "previous"),
    [
        (f"{T};span={S}", Previous(T, S)),
        (f" {T} ; SPAN = {S} ", Previous(T, S)),
        (T, Previous(T, None)),
        (f"00-{T}-{S}-01", Previous(T, S)),
    ],
)
def test_previous_trace_id_is_read_in_three_forms(text: str, previous: Previous) -> None:
    assert parse_previous(text) == previous


@pytest.mark.parametrize(
    "text",
    [
        "",
        T.upper(),
        "0" * 32,
        T[:-1],
        f"{T};",
        f"{T};span={'0' * 16}",
        f"{T};span={S}0",
        f"{T};leg={S}",
        f"{T};span={S};more=1",
        f"ff-{T}-{S}-01",
        f"{T}\n",
    ],
)
def test_a_previous_trace_id_that_is_not_exactly_right_is_absent(text: str) -> None:
    assert parse_previous(text) is None
