"""What the observer is owed: in order, until it is stored; the least valuable goes where there is no room."""

from __future__ import annotations

from sipproxy.net.backlog import Backlog, Owed

MANY = 1 << 30


def spans(number: int, count: int = 1, size: int = 10) -> Owed:
    return Owed(number, b"%010d" % number + bytes(size - 10), count, 0)


def messages(number: int, count: int = 1, size: int = 10) -> Owed:
    return Owed(number, b"%010d" % number + bytes(size - 10), 0, count)


def backlog(*owed: Owed, most_spans: int = MANY, most_bytes: int = MANY, window: int = MANY) -> Backlog:
    made = Backlog(most_spans=most_spans, most_bytes=most_bytes, window=window)
    for each in owed:
        made.add(each)
    return made


def unsent(made: Backlog) -> list[int]:
    """Sends all, and tells the numbers in that order."""
    numbers = []
    while data := made.next():
        numbers.append(int(data[:10]))
    return numbers


def test_parcels_leave_in_the_order_of_their_numbers() -> None:
    made = backlog(spans(1), messages(2), messages(3), spans(4), messages(5))
    assert not made.all_sent
    assert unsent(made) == [1, 2, 3, 4, 5]
    assert made.all_sent
    assert made.bytes == 50  # still owed


def test_what_is_stored_is_forgotten() -> None:
    made = backlog(spans(1, 7), messages(2), spans(3, 5))
    unsent(made)
    made.acknowledged(2)
    assert (made.spans, made.bytes) == (5, 10)
    made.acknowledged(3)
    made.acknowledged(3)
    assert (made.spans, made.bytes) == (0, 0)
    assert made.relaxed


def test_what_was_under_way_is_sent_again_first() -> None:
    made = backlog(spans(1), messages(2), spans(3), messages(4))
    for _ in range(3):
        made.next()
    made.acknowledged(1)
    made.disconnected()
    assert unsent(made) == [2, 3, 4]


def test_an_observer_gets_no_more_than_it_can_hold() -> None:
    made = backlog(*(spans(number) for number in range(1, 6)), window=25)
    assert unsent(made) == [1, 2, 3]
    assert not made.all_sent
    made.acknowledged(1)
    assert unsent(made) == [4]
    made.disconnected()  # the next one begins afresh
    assert unsent(made) == [2, 3, 4]


def test_half_of_the_spans_that_may_be_owed_wait_here_where_they_can_make_room() -> None:
    made = backlog(*(spans(number, 4) for number in range(1, 7)), most_spans=20)
    assert unsent(made) == [1, 2, 3]
    assert made.trim()  # the fourth
    assert (made.next_number, made.spans) == (5, 20)


def test_one_that_is_greater_than_the_window_passes() -> None:
    made = backlog(spans(1, size=100), spans(2), window=25)
    assert unsent(made) == [1]
    made.acknowledged(1)
    assert unsent(made) == [2]


def test_messages_make_room_for_spans() -> None:
    made = backlog(spans(1, 3), messages(2, 4), messages(3, 5), spans(4), most_bytes=25)
    assert not made.trim()  # no span was dropped
    assert (made.spans_dropped, made.messages_dropped) == (0, 9)
    assert unsent(made) == [1, 4]


def test_the_oldest_spans_go_when_there_are_no_messages() -> None:
    made = backlog(spans(1, 3), spans(2, 4), spans(3, 5), most_bytes=20)
    assert made.trim()
    assert (made.spans, made.spans_dropped) == (9, 3)
    assert unsent(made) == [2, 3]


def test_too_many_spans_cost_no_messages() -> None:
    made = backlog(messages(1), spans(2, 6), spans(3, 4), most_spans=9)
    assert made.trim()
    assert (made.spans_dropped, made.messages_dropped) == (6, 0)
    assert unsent(made) == [1, 3]


def test_what_is_under_way_is_not_dropped() -> None:
    made = backlog(spans(1, 6), most_spans=10)
    made.next()
    made.add(spans(2, 6))
    made.add(spans(3, 2))
    assert made.trim()
    assert (made.spans, made.spans_dropped) == (8, 6)  # the second: the first may have arrived by now
    made.disconnected()
    assert not made.trim()
    assert unsent(made) == [1]
    made.acknowledged(1)
    assert unsent(made) == [3]


def test_within_its_bounds_nothing_is_dropped() -> None:
    made = backlog(spans(1, 10), messages(2), most_spans=10, most_bytes=20)
    assert not made.trim()
    assert (made.spans_dropped, made.messages_dropped) == (0, 0)
    assert not made.relaxed


def test_at_the_end_all_that_is_owed_is_lost() -> None:
    made = backlog(spans(1, 3), messages(2, 4), spans(3, 5))
    made.next()
    made.clear()
    assert (made.spans_dropped, made.messages_dropped) == (8, 4)
    assert (made.spans, made.bytes, unsent(made)) == (0, 0, [])
