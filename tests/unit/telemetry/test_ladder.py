"""The ladder in the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipproxy.telemetry.ladder import US, Line, Step, Tone, ladder, tone


def step(
    at_ms: float,
    sender: str,
    receiver: str,
    start: str,
    method: str = "INVITE",
    body: str = "",
    key: object = None,
) -> Step:
    return Step(round(at_ms * 1e6), sender, receiver, start, method, body, key or (at_ms, start))


CALL = [
    step(0, "customer", US, "INVITE", body="SDP"),
    step(0.3, US, "customer", "100 Trying"),
    step(0.4, US, "agent", "INVITE", body="SDP", key="INVITE"),
    step(500.4, US, "agent", "INVITE", body="SDP", key="INVITE"),
    step(501, "agent", US, "180 Ringing"),
    step(501.4, US, "customer", "180 Ringing"),
    step(900, "agent", US, "200 OK", body="SDP"),
    step(1900, "agent", US, "REFER", "REFER"),
    step(1901, US, "agent", "202 Accepted", "REFER"),
]
TRANSFER = [
    *CALL,
    step(2000, US, "expert", "INVITE"),
    step(2100, "expert", US, "486 Busy Here"),
    step(2100.5, US, "expert", "ACK", "ACK"),
]

LADDER = """\
       ms customer                       sipproxy                         agent
     +0.0     │─────────INVITE (SDP)────────▶│                              │
     +0.3     │◀─────────100 Trying──────────│                              │
     +0.4     │                              │────────INVITE (SDP) x2──────▶│
   +501.0     │                              │◀─────────180 Ringing─────────│
   +501.4     │◀─────────180 Ringing─────────│                              │
   +900.0     │                              │◀────────200 OK (SDP)─────────│
  +1900.0     │                              │◀────────────REFER────────────│
  +1901.0     │                              │──────202 Accepted REFER─────▶│"""


def text(steps: list[Step], width: int = 80) -> str:
    return "\n".join(line.text for line in ladder(steps, width=width))


def test_a_call_with_its_transfer_and_a_repetition() -> None:
    assert text(CALL) == LADDER


def test_the_order_in_which_messages_come_does_not_matter() -> None:
    assert text(CALL[::-1]) == LADDER


def test_an_arrow_crosses_the_lanes_of_others() -> None:
    *_, invite, busy, _ = text(TRANSFER, 100).splitlines()
    assert invite.count("┼") + busy.count("┼") <= 2
    assert "INVITE" in invite
    assert invite.endswith("▶│")
    assert "◀" in busy
    assert "486 Busy Here" in busy
    assert text(TRANSFER, 100).splitlines()[0].split() == ["ms", "customer", "sipproxy", "agent", "expert"]


def test_who_calls_us_stands_on_the_left() -> None:
    consult = [step(0, "a", US, "INVITE"), step(1, US, "b", "INVITE"), step(2, "c", US, "INVITE")]
    assert text(consult).splitlines()[0].split() == ["ms", "a", "c", "sipproxy", "b"]


def test_too_many_participants_are_told_in_words() -> None:
    steps = [*TRANSFER, *(step(3000 + n, US, f"carrier-number-{n}", "INVITE") for n in range(6))]
    lines = text(steps).splitlines()
    assert lines[0].split() == ["+0.0", "INVITE", "(SDP)", "customer", "▶", "sipproxy"]
    assert lines[-1].split() == ["+3005.0", "INVITE", "sipproxy", "▶", "carrier-number-5"]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("width", [60, 80, 132])
@pytest.mark.parametrize("more", [0, 1, 2, 5, 20])
def test_no_line_is_wider_than_asked_for(width: int, more: int) -> None:
    names = [f"{'n' * 60}-{number}" for number in range(more)]
    steps = [*TRANSFER, *(step(7_200_000 + n, US, name, "INVITE") for n, name in enumerate(names))]
    assert max(len(line.text) for line in ladder(steps, width=width)) <= width


def test_a_long_label_gives_way_in_steps() -> None:
    def label(width: int) -> str:
        steps = [step(0, "a", US, "INVITE"), step(1, US, "b", "183 Session Progress", "PRACK", "SDP")]
        (*_, line) = ladder([*steps, step(2, US, "b", "ACK", "ACK")][:2], width=width)
        return line.text[line.start : line.end]

    assert label(120) == "183 Session Progress PRACK"
    assert label(80) == "183 Session Progress PRACK"
    assert label(60) == "183 PRACK"
    assert label(44) == "183 PRACK"


def test_each_line_says_where_its_message_is_named_and_what_it_means() -> None:
    lines = ladder(TRANSFER, width=100)
    assert [(line.text[line.start : line.end], line.tone) for line in lines[:4]] == [
        ("", Tone.NAMES),
        ("INVITE (SDP)", Tone.REQUEST),
        ("100 Trying", Tone.PROVISIONAL),
        ("INVITE (SDP) x2", Tone.REQUEST),
    ]
    assert [line.tone for line in lines[5:7]] == [Tone.PROVISIONAL, Tone.SUCCESS]
    assert [tone(start) for start in ("302 Moved", "486 Busy", "603 Decline", "")] == [
        *[Tone.FAILURE] * 3,
        Tone.REQUEST,
    ]


def test_nothing_is_nothing() -> None:
    assert ladder([]) == []


def test_times_count_from_where_they_are_told_to() -> None:
    (_, line) = ladder([step(1500, "a", US, "BYE", "BYE")], began_ns=10**9)
    assert line.text.split()[0] == "+500.0"


def test_what_could_steer_a_terminal_is_not_shown() -> None:
    evil = "\x1b]0;owned\x07\r\n"
    steps = [step(0, f"a{evil}", US, f"INVITE{evil}"), step(1, US, "b", f"200 {evil}", f"BYE{evil}")]
    for width in (30, 80):
        assert all(line.text.isprintable() for line in ladder(steps, width=width))


def test_a_trunk_that_has_our_name_is_drawn_all_the_same() -> None:
    (_, line) = ladder([step(0, US, US, "INVITE")])
    assert "↺INVITE" in line.text


_NAME = st.text(st.characters(codec="utf-8"), max_size=12)


@given(
    st.lists(st.tuples(st.integers(0, 10**16), _NAME, _NAME, _NAME, _NAME), max_size=12),
    st.integers(60, 140),
)
def test_whatever_comes_is_drawn(rows: list[tuple[int, str, str, str, str]], width: int) -> None:
    lines = ladder([Step(at, a, b, start, m, "", (a, start)) for at, a, b, start, m in rows], width=width)
    for line in lines:
        assert isinstance(line, Line)
        assert line.text.isprintable()
        assert len(line.text) <= width


def test_a_message_that_came_just_before_its_span_began_came_with_it() -> None:
    (_, line) = ladder([step(0.99, "a", US, "INVITE")], began_ns=10**6)
    assert line.text.split()[0] == "+0.0"
