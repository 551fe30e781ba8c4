"""Rows of spans: as they went in, or nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sipproxy.store.bundle import bundle, unbundle

SPANS = st.lists(st.binary(max_size=40), max_size=6)


@given(SPANS)
def test_what_goes_in_comes_out(spans: list[bytes]) -> None:
    assert unbundle(bundle(spans)) == spans


@given(SPANS.filter(bool), st.data())
def test_one_damaged_octet_is_no_spans(spans: list[bytes], data: st.DataObject) -> None:
    row = bytearray(bundle(spans))
    at = data.draw(st.integers(0, len(row) - 1))
    row[at] ^= data.draw(st.integers(1, 255))
    assert unbundle(bytes(row)) == []
    assert unbundle(bytes(row[:at])) == []


def test_what_is_no_row_at_all() -> None:
    for value in (b"", b"1234567", None, "text", b"\xff" * 64):
        assert unbundle(value) == []
