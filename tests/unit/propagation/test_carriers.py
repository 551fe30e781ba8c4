"""Reading a request: which carrier wins, what disagrees, what is never believed."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipproxy.propagation.carriers import (
    CONTEXT_HEADERS,
    Found,
    extract_sip,
    parse_baggage,
    read_baggage,
    strip_pai,
)
from sipproxy.propagation.context import Previous, Rejected, TraceContext
from sipproxy.propagation.settings import Accept, TrunkTrace

T = "4bf92f3577f34da6a3ce929d0e0e4736"
S = "00f067aa0ba902b7"
TP = f"00-{T}-{S}-01"
CALL = TraceContext(T, S, 1)
OTHER_T = "1" * 32
OTHER_TP = f"00-{OTHER_T}-{S}-01"
BAD_TP = f"00-{T}-{S}-xx"

PLAIN = TrunkTrace()
READS_PAI = TrunkTrace(read_pai=True)
NOTHING = Found(None, "none", None, None, "")


def read(
    *rows: tuple[str, str], settings: TrunkTrace = PLAIN, uri_headers: str = "", to_headers: str = ""
) -> Found:
    """Read a request that has these header rows; their names are in lower case already."""

    def values(name: str) -> list[str]:
        assert name == name.lower()
        return [value for row, value in rows if row == name]

    return extract_sip(values, settings, uri_headers, to_headers)


# Headers


def test_a_request_without_context_brings_nothing() -> None:
    assert read() == NOTHING


def test_traceparent_and_tracestate_are_the_first_choice() -> None:
    found = read(("traceparent", TP), ("tracestate", "rojo=1"), ("tracestate", "congo=2"))
    assert found == Found(TraceContext(T, S, 1, "rojo=1,congo=2"), "traceparent", None, None, "")


def test_tracestate_alone_is_nothing() -> None:
    assert read(("tracestate", "rojo=1")) == NOTHING


def test_a_bad_tracestate_does_not_harm_traceparent() -> None:
    assert read(("traceparent", TP), ("tracestate", "ROJO=1")).context == CALL


def test_a_bad_traceparent_drops_tracestate_too() -> None:
    found = read(("traceparent", BAD_TP), ("tracestate", "rojo=1"))
    assert found == Found(None, "none", Rejected.BAD_FORMAT, None, "")


@pytest.mark.parametrize("second", [OTHER_TP, TP, BAD_TP])
def test_of_two_traceparent_rows_neither_is_adopted(second: str) -> None:
    found = read(("traceparent", TP), ("traceparent", second))
    assert (found.context, found.rejected) == (None, Rejected.DUPLICATE)


# Aliases


def test_an_alias_is_read_with_its_own_tracestate() -> None:
    found = read(("x-traceparent", TP), ("x-tracestate", "rojo=1"), ("tracestate", "congo=2"))
    assert found == Found(TraceContext(T, S, 1, "rojo=1"), "x-traceparent", None, None, "")


def test_a_trunk_names_its_aliases_in_any_case() -> None:
    trunk = TrunkTrace(aliases=("X-Acme-TraceParent",))
    found = read(("x-acme-traceparent", TP), ("x-acme-tracestate", "rojo=1"), settings=trunk)
    assert found == Found(TraceContext(T, S, 1, "rojo=1"), "x-acme-traceparent", None, None, "")


def test_an_alias_without_traceparent_in_its_name_has_no_tracestate() -> None:
    found = read(("x-trace", TP), settings=TrunkTrace(aliases=("X-Trace",)))
    assert found == Found(CALL, "x-trace", None, None, "")


def test_a_name_that_is_no_alias_is_not_read() -> None:
    assert read(("x-traceparent", TP), settings=TrunkTrace(aliases=())) == NOTHING


def test_traceparent_and_an_alias_that_agree_are_one_context() -> None:
    found = read(("traceparent", TP), ("x-traceparent", TP), ("x-tracestate", "rojo=1"))
    assert found == Found(TraceContext(T, S, 1, "rojo=1"), "traceparent", None, None, "")


@pytest.mark.parametrize("alias", [OTHER_TP, f"00-{T}-{'b' * 16}-01", f"00-{T}-{S}-00"])
def test_traceparent_and_an_alias_that_disagree_are_duplicates(alias: str) -> None:
    found = read(("traceparent", TP), ("x-traceparent", alias))
    assert (found.context, found.rejected) == (None, Rejected.DUPLICATE)


def test_an_alias_stands_in_for_a_damaged_traceparent() -> None:
    found = read(("traceparent", BAD_TP), ("x-traceparent", TP))
    assert found == Found(CALL, "x-traceparent", Rejected.BAD_FORMAT, None, "")


# P-Asserted-Identity


@pytest.mark.parametrize(
    "identity",
    [
        f"<sip:+49@h;traceparent={TP}>",
        f'"Alice; <a>" <sip:alice@h;user=phone;TraceParent={TP}?x=y>',
        f"<tel:+49;traceparent={TP}>",
        f"<sip:alice@h>;traceparent={TP}",
        f"<sip:alice@h> ; traceparent = {TP} ;more=1",
        f'<sip:alice@h>;traceparent="{TP}"',
        f"sip:alice@h;traceparent={TP}",
        f"<sip:alice@h;traceparent={TP}>, <tel:+49;traceparent={TP}>",
        f"<sip:+49;traceparent={TP}@h>",
    ],
)
def test_an_identity_carries_context_where_the_trunk_says_so(identity: str) -> None:
    row = ("p-asserted-identity", identity)
    assert read(row, settings=READS_PAI) == Found(CALL, "pai", None, None, "")
    assert read(row) == NOTHING


def test_a_header_goes_before_an_identity() -> None:
    identity = ("p-asserted-identity", f"<sip:a@h;traceparent={OTHER_TP}>")
    assert read(identity, ("traceparent", TP), settings=READS_PAI).context == CALL


def test_identities_that_disagree_are_duplicates() -> None:
    rows = [("p-asserted-identity", f"<sip:a@h;traceparent={value}>") for value in (TP, OTHER_TP)]
    assert read(*rows, settings=READS_PAI) == Found(None, "none", Rejected.DUPLICATE, None, "")


@pytest.mark.parametrize(
    "identity", [f'";traceparent={TP}" <sip:a@h>', f"<sip:a@h;xtraceparent={TP}>", "<sip:a@h>"]
)
def test_what_only_looks_like_the_parameter_is_left_alone(identity: str) -> None:
    assert read(("p-asserted-identity", identity), settings=READS_PAI) == NOTHING
    assert strip_pai(identity) == identity


@pytest.mark.parametrize(
    ("identity", "stripped"),
    [
        (f"<sip:a@h;traceparent={TP}>", "<sip:a@h>"),
        (f"<sip:a@h;user=phone;traceparent={TP};x?y=z>;p", "<sip:a@h;user=phone;x?y=z>;p"),
        (f'"A\\";" <sip:a@h;TRACEPARENT={TP}> , <tel:+49;traceparent={TP}>', '"A\\";" <sip:a@h> , <tel:+49>'),
        (f"<sip:a@h>;traceparent={TP} , <tel:+49>", "<sip:a@h> , <tel:+49>"),
        (f'<sip:a@h>;traceparent="{TP};x";p', "<sip:a@h>;p"),
        ("<sip:a@h>;traceparent", "<sip:a@h>"),
        (f"<sip:a;traceparent={TP}@h>", "<sip:a@h>"),
        (f'"A <sip:a@h;traceparent={TP}>', '"A <sip:a@h>'),
        ("<sip:a@h;traceparent=garbage>", "<sip:a@h>"),
    ],
)
def test_an_identity_goes_on_without_the_parameter_and_otherwise_as_it_came(
    identity: str, stripped: str
) -> None:
    assert strip_pai(identity) == stripped


@given(st.text(st.sampled_from('ab;="\\<>,?@ \t:'), max_size=40), st.integers(0, 40))
def test_no_identity_makes_stripping_raise_and_nothing_is_left_to_strip(text: str, at: int) -> None:
    stripped = strip_pai(f"{text[:at]};traceparent={TP}{text[at:]}")
    assert strip_pai(stripped) == stripped
    if "traceparent" not in text:
        assert strip_pai(text) == text


# The header part of a URI


def test_a_user_agent_that_left_our_names_in_the_uri_is_understood() -> None:
    text = f"Replaces=1%40h&Traceparent={TP}&tracestate={quote('rojo=1,congo=2', safe='')}"
    found = read(uri_headers=text)
    assert found == Found(TraceContext(T, S, 1, "rojo=1,congo=2"), "uri-header", None, None, "")
    assert read(to_headers=text) == found


def test_the_request_uri_goes_before_to() -> None:
    assert read(uri_headers=f"traceparent={TP}", to_headers=f"traceparent={OTHER_TP}").context == CALL


def test_uri_headers_are_decoded_once_only() -> None:
    found = read(uri_headers=f"traceparent={TP}&tracestate=rojo%3D%2525&x-traceparent={quote(quote(TP))}")
    assert found.context == TraceContext(T, S, 1, "rojo=%25")
    assert read(uri_headers=f"traceparent={TP.replace('-', '%252D')}").rejected is Rejected.BAD_FORMAT


def test_the_first_rejection_is_the_one_that_is_told() -> None:
    found = read(("traceparent", f"ff-{T}-{S}-01"), uri_headers=f"traceparent={BAD_TP}")
    assert found == Found(None, "none", Rejected.BAD_VERSION, None, "")


def test_a_line_break_hidden_in_a_uri_goes_nowhere() -> None:
    found = read(uri_headers=f"traceparent={TP}&tracestate=a%3Db%0D%0AVia:x&baggage=k%3Dv%0D%0AVia:x")
    assert found == Found(CALL, "uri-header", None, None, "")


# previous-trace-id


def test_previous_trace_id_alone_is_never_a_parent() -> None:
    found = read(("previous-trace-id", f"{T};span={S}"))
    assert found == Found(None, "previous-trace-id", None, Previous(T, S), "")


def test_previous_trace_id_beside_a_context_is_kept_when_it_differs() -> None:
    found = read(("traceparent", TP), ("previous-trace-id", OTHER_T))
    assert found == Found(CALL, "traceparent", None, Previous(OTHER_T, None), "")


def test_previous_trace_id_that_names_the_same_trace_says_nothing() -> None:
    assert read(("traceparent", TP), ("previous-trace-id", f"{T};span={'b' * 16}")).previous is None


def test_previous_trace_id_is_found_in_the_uri_too() -> None:
    found = read(uri_headers=f"previous-trace-id={T}%3Bspan%3D{S}")
    assert found == Found(None, "previous-trace-id", None, Previous(T, S), "")


def test_two_previous_trace_ids_must_agree() -> None:
    rows = [("previous-trace-id", T), ("previous-trace-id", T)]
    assert read(*rows).previous == Previous(T, None)
    assert read(*rows, ("previous-trace-id", OTHER_T)) == NOTHING


# Trust


@pytest.mark.parametrize(
    "row", [("traceparent", TP), ("traceparent", BAD_TP), ("x-traceparent", TP), ("previous-trace-id", T)]
)
def test_an_ignored_trunk_brings_nothing_and_that_is_told(row: tuple[str, str]) -> None:
    ignored = TrunkTrace(accept=Accept.IGNORE)
    found = read(row, ("baggage", "a=1"), settings=ignored)
    assert found == Found(None, "none", Rejected.UNTRUSTED, None, "")
    assert read(settings=ignored) == NOTHING


def test_a_linked_trunk_is_read_like_any_other() -> None:
    assert read(("traceparent", TP), settings=TrunkTrace(accept=Accept.LINK)).context == CALL


def test_every_name_that_is_read_or_written_by_default_stays_on_its_hop() -> None:
    names = {"traceparent", "tracestate", "x-traceparent", "x-tracestate"}
    assert names | {"otel-trace-id", "previous-trace-id", "baggage"} == CONTEXT_HEADERS


# Baggage


def test_baggage_passes_as_it_came() -> None:
    found = read(("baggage", "interaction.id=4%2F7;ttl=1;x , a=1"), ("baggage", "b="))
    assert found.baggage == "interaction.id=4%2F7;ttl=1;x,a=1,b="
    assert read_baggage(found.baggage) == {"interaction.id": "4/7", "a": "1", "b": ""}


@pytest.mark.parametrize(
    "bad", ["", "a", "=1", "a b=1", "a=x y", 'a="x"', "a=x\\", "a=ä", "a=1;=2", "a=1;b=c d", "a=\r\n"]
)
def test_a_bad_baggage_member_is_left_out(bad: str) -> None:
    assert parse_baggage([f"k=1,{bad},l=2"]) == "k=1,l=2"


def test_baggage_has_a_limit() -> None:
    members = [f"k{n}=v" for n in range(70)]
    assert parse_baggage(members) == ",".join(members[:64])
    assert parse_baggage(["a=1", "b=" + "x" * 8186]) == "a=1,b=" + "x" * 8186
    assert parse_baggage(["a=1", "b=" + "x" * 8187]) == "a=1"


# Anything at all


@given(
    st.dictionaries(
        st.sampled_from([*sorted(CONTEXT_HEADERS), "p-asserted-identity"]),
        st.lists(
            st.text(max_size=60) | st.sampled_from([TP, OTHER_TP, BAD_TP, f"<sip:a@h;traceparent={TP}>"])
        ),
    ),
    st.text(max_size=60) | st.just(f"traceparent={TP}"),
)
def test_no_request_makes_reading_raise(headers: dict[str, list[str]], uri_headers: str) -> None:
    found = extract_sip(lambda name: headers.get(name, []), READS_PAI, uri_headers, uri_headers)
    assert found.context is None or found.context.trace_id in (T, OTHER_T)
    assert (found.carrier == "none") == (found.context is None and found.previous is None)
    assert found.baggage.isascii()
    assert found.baggage.isprintable() or not found.baggage
