"""Writing: which rows go out, what gives way to a datagram's size, how an identity is stamped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipproxy.errors import LocalProtocolError
from sipproxy.propagation.carriers import extract_sip, read_baggage, strip_pai
from sipproxy.propagation.context import TraceContext, parse_previous
from sipproxy.propagation.settings import Carrier, TrunkTrace
from sipproxy.propagation.writing import (
    Row,
    add_baggage,
    pai_parameter,
    previous_value,
    stamp_pai,
    write_baggage,
    write_sip,
)

T = "4bf92f3577f34da6a3ce929d0e0e4736"
S = "00f067aa0ba902b7"
TP = f"00-{T}-{S}-01"
CALL = TraceContext(T, S, 1, "rojo=1")
PREVIOUS = f"{T};span={S}"
ALL = tuple(Carrier)


def size(rows: list[Row]) -> int:
    return len("".join(f"{name}: {value}\r\n" for name, value in rows).encode())


def test_a_trunk_gets_traceparent_and_tracestate_by_default() -> None:
    assert write_sip(CALL, TrunkTrace().send) == ([("traceparent", TP), ("tracestate", "rojo=1")], [])


def test_all_names_go_out_in_a_fixed_order() -> None:
    rows, dropped = write_sip(CALL, ALL[::-1], previous=PREVIOUS, baggage="a=1")
    assert rows == [
        ("traceparent", TP),
        ("tracestate", "rojo=1"),
        ("x-traceparent", TP),
        ("x-tracestate", "rojo=1"),
        ("otel-trace-id", T),
        ("previous-trace-id", PREVIOUS),
        ("baggage", "a=1"),
    ]
    assert dropped == []


def test_what_is_empty_is_not_written() -> None:
    assert write_sip(TraceContext(T, S, 1), (Carrier.TRACEPARENT, *ALL))[0] == [
        ("traceparent", TP),
        ("x-traceparent", TP),
        ("otel-trace-id", T),
    ]


def test_an_empty_list_writes_nothing_at_all() -> None:
    assert write_sip(CALL, (), previous=PREVIOUS, baggage="a=1", room=0) == ([], [])


def test_tracestate_and_baggage_never_go_to_a_trunk_that_does_not_list_them() -> None:
    rows, _ = write_sip(CALL, (Carrier.TRACEPARENT, Carrier.X_TRACEPARENT), baggage="a=1")
    assert rows == [("traceparent", TP), ("x-traceparent", TP)]


def test_a_trunk_that_passes_x_headers_alone_gets_those_alone() -> None:
    rows, _ = write_sip(CALL, (Carrier.X_TRACEPARENT, Carrier.TRACESTATE))
    assert rows == [("x-traceparent", TP), ("x-tracestate", "rojo=1")]


# Size

LONG = "long=" + "x" * 200
BIG = TraceContext(T, S, 1, f"a=1,{LONG},b=2")
FULL = size(write_sip(BIG, ALL, previous=PREVIOUS, baggage="k=v")[0])
BARE = size(
    write_sip(TraceContext(T, S, 1), (Carrier.TRACEPARENT, Carrier.OTEL_TRACE_ID), previous=PREVIOUS)[0]
)
STATE = len("tracestate: \r\n")


@pytest.mark.parametrize(
    ("room", "tracestate", "dropped"),
    [
        (FULL, BIG.tracestate, []),
        (FULL - 1, BIG.tracestate, ["baggage"]),
        (BARE + STATE + len(BIG.tracestate), BIG.tracestate, ["baggage", "aliases"]),
        (BARE + STATE + len("a=1,b=2"), "a=1,b=2", ["baggage", "aliases", "tracestate-long"]),
        (BARE + STATE + len("a=1"), "a=1", ["baggage", "aliases", "tracestate-long", "tracestate"]),
        (BARE + STATE, "", ["baggage", "aliases", "tracestate-long", "tracestate"]),
        (BARE, "", ["baggage", "aliases", "tracestate-long", "tracestate"]),
    ],
)
def test_rows_give_way_from_the_least_to_the_most_useful(
    room: int, tracestate: str, dropped: list[str]
) -> None:
    rows, gone = write_sip(BIG, ALL, previous=PREVIOUS, baggage="k=v", room=room)
    assert size(rows) <= room
    assert gone == dropped
    assert dict(rows).get("tracestate", "") == tracestate
    assert ("x-traceparent" in dict(rows)) == ("aliases" not in dropped)


@pytest.mark.parametrize("room", [0, -1000])
def test_traceparent_and_previous_stay_when_nothing_fits(room: int) -> None:
    rows, _ = write_sip(BIG, ALL, previous=PREVIOUS, baggage="k=v", room=room)
    assert rows == [("traceparent", TP), ("otel-trace-id", T), ("previous-trace-id", PREVIOUS)]


def test_an_alias_that_is_the_only_carrier_stays() -> None:
    rows, dropped = write_sip(CALL, (Carrier.X_TRACEPARENT, Carrier.TRACESTATE), room=0)
    assert rows == [("x-traceparent", TP)]
    assert dropped == ["tracestate"]


members = st.lists(st.integers(1, 256).map(lambda n: "v" * n), max_size=32).map(
    lambda values: ",".join(f"k{n}={value}" for n, value in enumerate(values))
)


@given(members, st.integers(0, 3000))
def test_never_more_is_dropped_than_the_room_asks_for(tracestate: str, room: int) -> None:
    context = TraceContext(T, S, 1, tracestate)
    rows, dropped = write_sip(context, TrunkTrace().send, room=room)
    assert rows[0] == ("traceparent", TP)
    assert size(rows) <= room or rows == [("traceparent", TP)]
    kept = dict(rows).get("tracestate", "")
    assert bool(dropped) == (kept != tracestate)
    rest = iter(tracestate.split(","))
    assert all(member in rest for member in kept.split(",") if member), "the order is kept"


# previous-trace-id


def test_previous_value_names_trace_and_span() -> None:
    assert previous_value(CALL) == PREVIOUS
    assert parse_previous(previous_value(CALL)) is not None


# P-Asserted-Identity


@pytest.mark.parametrize(
    ("identity", "stamped"),
    [
        ("<sip:a@h>", "<sip:a@h;P>"),
        (
            '"A, <b>\\"" <sip:a@h;user=phone?x=y>;p, <tel:+49>',
            '"A, <b>\\"" <sip:a@h;user=phone;P?x=y>;p, <tel:+49>',
        ),
        ("Alice <tel:+49>", "Alice <tel:+49;P>"),
        ("<sip:a?b@h>", "<sip:a?b@h;P>"),
        ("sip:a@h", "<sip:a@h;P>"),
        ("sip:a@h?x=y , sip:b@h", "<sip:a@h;P?x=y>, sip:b@h"),
        ("<sip:a@h;traceparent=old>;traceparent=old", "<sip:a@h;P>"),
    ],
)
def test_an_identity_is_stamped_inside_its_uri(identity: str, stamped: str) -> None:
    assert stamp_pai(identity, CALL) == stamped.replace(";P", pai_parameter(CALL))


@pytest.mark.parametrize("identity", ["", " ", '"Alice"', '"Alice <sip:a@h>', "<sip:a@h"])
def test_what_is_no_identity_is_left_as_it_is(identity: str) -> None:
    assert stamp_pai(identity, CALL) == identity


@pytest.mark.parametrize(
    "identity", ["<sip:a@h>", '"x;y" <sip:a@h;user=phone>', "Alice <tel:+49>, <sip:b@h>"]
)
def test_a_stamped_identity_is_read_and_stripped_again(identity: str) -> None:
    stamped = stamp_pai(identity, CALL)
    found = extract_sip(
        lambda name: [stamped] if name == "p-asserted-identity" else [], TrunkTrace(read_pai=True)
    )
    assert found.context == TraceContext(T, S, 1)
    assert strip_pai(stamped) == identity


# Baggage


def test_baggage_values_are_escaped() -> None:
    assert write_baggage({"interaction.id": "4/7, 50% \r\n;ä", "b": ""}) == (
        "interaction.id=4/7%2C%2050%25%20%0D%0A%3B%C3%A4,b="
    )


@given(st.dictionaries(st.text("abz.-_0", min_size=1, max_size=8), st.text(max_size=20), max_size=5))
def test_baggage_that_is_written_is_read_again(members: dict[str, str]) -> None:
    expected = {key: value.encode(errors="replace").decode() for key, value in members.items()}
    assert read_baggage(write_baggage(members)) == expected


def test_a_baggage_key_that_is_no_token_is_a_bug_of_ours() -> None:
    with pytest.raises(LocalProtocolError, match="interaction id"):
        write_baggage({"interaction id": "1"})


@pytest.mark.parametrize(
    ("came", "goes"),
    [
        ("", "interaction.id=new"),
        ("a=1;ttl=2", "interaction.id=new,a=1;ttl=2"),
        ("a=1,interaction.id=old;ttl=2", "interaction.id=new,a=1"),
        ("interaction.id =old", "interaction.id=new"),
    ],
)
def test_the_interaction_id_joins_baggage_that_came_in(came: str, goes: str) -> None:
    assert add_baggage(came, "interaction.id", "new") == goes


def test_the_interaction_id_is_not_what_gives_way_to_the_limit() -> None:
    full = ",".join(f"k{n}=v" for n in range(64))
    assert add_baggage(full, "interaction.id", "new").startswith("interaction.id=new,k0=v,")
