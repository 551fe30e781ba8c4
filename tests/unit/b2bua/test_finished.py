"""The dialogs that ended last: known for a while, the oldest forgotten first."""

from __future__ import annotations

from sipproxy.b2bua.finished import REMEMBERED, Finished


def test_a_dialog_that_is_over_is_known() -> None:
    finished = Finished()
    assert "ours theirs" not in finished
    finished.add("ours theirs")
    assert "ours theirs" in finished
    assert "theirs ours" not in finished


def test_the_oldest_is_forgotten() -> None:
    finished = Finished()
    for number in range(REMEMBERED):
        finished.add(str(number))
    assert "0" in finished
    finished.add("one more")
    assert "0" not in finished
    assert "1" in finished
    assert "one more" in finished


def test_a_dialog_takes_one_place_however_often_it_ends() -> None:
    finished = Finished()
    finished.add("first")
    for _ in range(2 * REMEMBERED):
        finished.add("second")
    assert "first" in finished
