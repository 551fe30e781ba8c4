"""The one queue of all deadlines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sipproxy.sip.timers import T1, T2, T4, TRANSACTION_TIMEOUT, Timer, TimerQueue


class Owner:
    """Somebody with timers."""

    def expire(self, timer: Timer, now: float) -> None:
        """Nothing to do."""


def test_the_lengths_are_those_of_rfc_3261() -> None:
    assert (T1, T2, T4, TRANSACTION_TIMEOUT) == (0.5, 4.0, 5.0, 32.0)


def test_the_earliest_comes_first_and_not_before_its_time() -> None:
    queue, late, early = TimerQueue(), Owner(), Owner()
    assert queue.next_at is None
    assert queue.pop(100.0) is None
    queue.start(Timer.B, 32.0, late)
    queue.start(Timer.A, 0.5, early)
    assert len(queue) == 2
    assert [queue.next_at] == [0.5]
    assert queue.pop(0.4) is None
    assert queue.pop(0.5) == (early, Timer.A)
    assert queue.pop(0.5) is None
    assert queue.pop(99.0) == (late, Timer.B)
    assert queue.next_at is None


@given(st.lists(st.floats(0, 100)))
def test_whatever_is_started_comes_out_once_in_order_and_equals_as_they_went_in(moments: list[float]) -> None:
    queue = TimerQueue()
    owners = [Owner() for _ in moments]
    for at, owner in zip(moments, owners, strict=True):
        queue.start(Timer.A, at, owner)
    popped = []
    while (due := queue.pop(100.0)) is not None:
        popped.append(owners.index(due[0]))  # type: ignore[arg-type]  # all are Owners here
    assert popped == sorted(range(len(moments)), key=lambda index: moments[index])
