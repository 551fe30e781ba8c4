"""Ids cut from random bytes."""

from __future__ import annotations

from itertools import count

from sipproxy.sip.ids import Ids


def test_ids_are_hex_of_the_length_asked_for_and_never_the_same() -> None:
    drawn = count(1)
    ids = Ids(lambda n: b"".join(next(drawn).to_bytes(8) for _ in range(n // 8)))
    seen = [ids.hex(16) for _ in range(1000)]
    assert len(set(seen)) == 1000
    assert all(len(each) == 16 and set(each) <= set("0123456789abcdef") for each in seen)


def test_one_draw_serves_many() -> None:
    draws: list[int] = []

    def draw(size: int) -> bytes:
        draws.append(size)
        return bytes(range(256)) * (size // 256)

    ids = Ids(draw)
    for _ in range(100):
        ids.hex(32)
    assert len(draws) == 1


def test_more_than_a_draw_can_be_asked_for() -> None:
    assert len(Ids(bytes).hex(8192)) == 8192


def test_span_and_trace_ids_are_never_all_zero() -> None:
    draws = iter([bytes(2048), b"\1" * 2048])
    ids = Ids(lambda size: next(draws))
    assert ids.span_id() == "01" * 8
    draws = iter([bytes(2048), b"\2" * 2048])
    ids = Ids(lambda size: next(draws))
    assert ids.trace_id() == "02" * 16
