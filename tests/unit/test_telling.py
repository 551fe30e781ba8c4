"""What the log says of what happens again and again."""

from __future__ import annotations

from sipproxy.telling import MOST_STRANGERS, STRANGER_S, Seldom


def test_the_same_is_told_once_a_minute() -> None:
    seldom = Seldom()
    told = [now for now in range(0, 130, 10) if seldom.due(("carrier", "refused"), float(now))]
    assert told == [0, 60, 120]


def test_two_reasons_that_alternate_are_two_lines_a_minute() -> None:
    """A trunk of two dead targets that fail for different reasons."""
    seldom = Seldom()
    reasons = ("refused", "timed out") * 50
    assert sum(seldom.due(("carrier", reason), index * 0.1) for index, reason in enumerate(reasons)) == 2


def test_so_many_are_remembered_the_oldest_goes() -> None:
    seldom = Seldom()
    assert all(seldom.due((f"192.0.2.{n}", ""), 1.0) for n in range(MOST_STRANGERS + 1))
    assert not seldom.due(("192.0.2.1", ""), 1.0)
    assert seldom.due(("192.0.2.0", ""), 1.0)
    assert seldom.due(("192.0.2.5", ""), 1.0 + STRANGER_S)
