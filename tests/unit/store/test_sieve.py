"""Finding the spans that a collector refuses."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipproxy.store.sieve import Sieve


def batch_of(size: int) -> list[bytes]:
    return [n.to_bytes(2) for n in range(size)]


def as_it_is(_: list[bytes]) -> None:
    """No lots are drawn."""


def sift(
    spans: list[bytes], bad: set[bytes], shuffle: Callable[[list[bytes]], None] = as_it_is
) -> tuple[Sieve, list[bytes], int]:
    """What a collector that refuses every request with one of `bad` in it has taken, in how many requests."""
    sieve, taken, requests = Sieve(spans, shuffle), [], 0
    while group := sieve.group:
        requests += 1
        if bad.intersection(group):
            sieve.refused("HTTP 400")
        else:
            taken += group
            sieve.taken()
    return sieve, taken, requests


def test_a_good_batch_is_one_request() -> None:
    sieve, taken, requests = sift(batch_of(512), set())
    assert (len(taken), requests, sieve.aside, sieve.is_hopeless) == (512, 1, [], False)


def test_one_bad_span_is_found_and_the_others_arrive() -> None:
    spans = batch_of(512)
    sieve, taken, requests = sift(spans, {spans[300]})
    assert sieve.aside == [(spans[300], "HTTP 400")]
    assert sorted(taken) == sorted(spans[:300] + spans[301:])
    assert requests <= 1 + 2 * 9


def test_a_collector_that_refuses_everything_refuses_no_span() -> None:
    spans = batch_of(512)
    sieve, taken, requests = sift(spans, {*spans})
    assert sieve.is_hopeless
    assert taken == []
    assert requests <= 1 + 2 * 9  # not one for every span


def test_a_span_alone_proves_nothing() -> None:
    sieve, _, requests = sift(batch_of(1), {*batch_of(1)})
    assert (sieve.is_hopeless, requests) == (True, 1)


def test_nothing_at_all() -> None:
    assert Sieve([], as_it_is).group == []


def test_spans_that_are_refused_do_not_lie_in_a_heap() -> None:
    """In the order in which they came the first request of every size would hold a bad one."""
    spans = batch_of(512)
    bad = {spans[n] for n in range(0, 512, 8)}
    lots = random.Random(7)
    sieve, taken, _ = sift(spans, bad, lots.shuffle)
    assert {span for span, _ in sieve.aside} == bad
    assert sorted(taken) == sorted({*spans} - bad)


@given(st.integers(1, 70).flatmap(lambda size: st.tuples(st.just(size), st.sets(st.integers(0, size - 1)))))
def test_nothing_is_sent_twice_and_nothing_is_lost(case: tuple[int, set[int]]) -> None:
    size, refused = case
    spans = batch_of(size)
    bad = {spans[n] for n in refused}
    sieve, taken, _ = sift(spans, bad)
    assert len(taken) == len({*taken}) == sieve.taken_count
    if sieve.is_hopeless:
        assert taken == []
    else:
        assert sorted([*taken, *[span for span, _ in sieve.aside]]) == spans
        assert {span for span, _ in sieve.aside} == bad


@pytest.mark.parametrize("good", [1, 2, 100])
def test_few_good_ones_among_many_are_found_in_the_end(good: int) -> None:
    """An attempt may see none of them; each draws new lots."""
    spans, lots = batch_of(128), random.Random(1)
    bad = {*spans[good:]}
    for attempt in range(200):
        sieve, taken, _ = sift(spans, bad, lots.shuffle)
        if taken:
            assert sorted(taken) == spans[:good]
            assert len(sieve.aside) == 128 - good
            return
        assert sieve.is_hopeless, attempt
    pytest.fail("never")
