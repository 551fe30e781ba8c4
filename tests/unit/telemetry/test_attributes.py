"""The table of what may be exported is whole, and nothing passes it by."""

from __future__ import annotations

import pytest

from sipproxy.telemetry.attributes import ALLOWED, ROWS, Attributes, Masking, Place, Row, permitted

by_name = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])


def test_every_name_stands_there_once() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


@by_name
def test_every_row_can_be_documented(row: Row) -> None:
    assert row.places
    assert row.type in (str, int, float, bool)
    assert row.text.endswith(".")
    assert "\n" not in row.text


@by_name
def test_names_are_opentelemetrys_or_under_sip(row: Row) -> None:
    others = (
        "interaction.id",
        "session.id",
        "error.message",
        "error.type",
        "server.address",
        "user_agent.original",
    )
    assert row.name.startswith(("sip.", "network.")) or row.name in others


@by_name
def test_whatever_a_peer_writes_is_masked(row: Row) -> None:
    if row.name.endswith(".user"):
        assert row.masking is Masking.USER
    if row.name in (
        "sip.call_id",
        "sip.request.method",
        "user_agent.original",
        "server.address",
        "interaction.id",
    ):
        assert row.masking is not Masking.NONE


def test_what_may_stand_on_a_span_is_looked_up_by_its_place() -> None:
    assert "sip.from.user" in ALLOWED[Place.REQUEST]
    assert "sip.from.user" not in ALLOWED[Place.ATTEMPT]
    for place in Place:
        assert ("interaction.id" in ALLOWED[place]) is (place is not Place.EVENT)


def test_an_attribute_without_a_row_is_left_out() -> None:
    fine: Attributes = {"sip.trunk": "sbc"}
    assert permitted(Place.ROUTE, fine) is fine
    assert (
        permitted(Place.ROUTE, {"sip.trunk": "sbc", "sip.from.user": "alice", "authorization": "x"}) == fine
    )
