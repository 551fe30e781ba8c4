"""Spans and messages leave for the observer: nothing is lost while there is room, and no call ever waits."""

from __future__ import annotations

import asyncio
import gc
import time
from itertools import pairwise

import pytest

from sipproxy.net.frames import COMMAND, END, HELLO, PAGE, PARCEL, SETTLED, STATE, frame
from sipproxy.net.handover import FULL_BYTES, FULL_RECORDS
from tests.unit.net.observing import numbers, record, worker
from tests.unit.net.support import Run, turn

A_SECOND = 0.2  # here


@pytest.fixture(autouse=True)
def _short_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipproxy.net.handover.STATE_EVERY_S", A_SECOND)


# What leaves, and when


def test_spans_notes_and_messages_reach_the_observer_within_moments(run: Run) -> None:
    async def story() -> None:
        async with worker() as it:
            observer = it.attached()
            it.book.begins(1)
            it.book.is_over(1)
            it.tap.hears(b"INVITE")
            it.handover.put([record(1), record(2)])
            await observer.until(lambda: observer.messages)
            (first, spans), (second, messages) = observer.owed
            assert (first, second) == (1, 2)
            assert (numbers(spans.opened), numbers(spans.finished)) == ([1], [1, 2])
            assert spans.notes == [("over", f"{1:016x}", 1)]
            assert messages.finished == []  # apart, so that they can be dropped alone
            assert [message.data for message in messages.messages] == [b"INVITE"]

    run(story())


def test_what_nobody_armed_for_leaves_within_a_second(run: Run) -> None:
    async def story() -> None:
        async with worker() as it:
            observer = it.attached()
            await observer.greeted()
            it.tap.hears(b"a retransmission")
            await observer.until(lambda: observer.messages)

    run(story())


def test_enough_of_it_leaves_at_once(run: Run) -> None:
    async def story() -> None:
        async with worker() as it:
            observer = it.attached()
            await observer.greeted()
            it.handover.put([record(number) for number in range(FULL_RECORDS)])
            await observer.reads()
            assert observer.last == 1
            it.tap.hears(bytes(FULL_BYTES))
            it.handover.put([])
            await observer.until(lambda: observer.messages)

    run(story())


def test_idle_nothing_is_armed_but_the_state_of_each_second(run: Run) -> None:
    async def story() -> None:
        async with worker() as it:
            observer = it.attached()
            began = time.monotonic()
            await observer.until(lambda: len(observer.states()) >= 2)
            assert time.monotonic() - began > A_SECOND / 2
            assert set(observer.kinds) == {HELLO, SETTLED, STATE}

    run(story())


def test_of_a_great_heap_all_begins_before_anything_ends(run: Run) -> None:
    async def story() -> None:
        count = 3 * FULL_RECORDS
        async with worker() as it:
            observer = it.attached()
            it.book.begins(*range(count))
            it.book.open.clear()
            it.book.is_over(0)
            it.handover.put([record(number) for number in range(count)])
            await observer.until(lambda: observer.last == 7)
            kinds = [(bool(p.opened), bool(p.finished), bool(p.notes)) for _, p in observer.parcels]
            begins, ends, notes = (True, False, False), (False, True, False), (False, False, True)
            assert kinds == [begins, begins, begins, ends, ends, ends, notes]
            assert numbers(observer.opened) == numbers(observer.finished) == [*range(count)]

    run(story())


def test_the_state_tells_how_the_handover_fares(run: Run) -> None:
    async def story() -> None:
        async with worker() as it:
            it.handover.put([record(1)])
            it.handover.flush()
            it.state["draining"] = True
            observer = it.attached()
            await observer.until(observer.states)
            state = observer.states()[0]
            assert state["draining"] is True
            assert state["handover"].items() >= {"spans": 1, "spans_waiting": 1, "spans_dropped": 0}.items()

    run(story())


# The observer comes and goes


def test_a_new_observer_hears_who_speaks_then_what_is_open_then_what_it_is_owed(run: Run) -> None:
    async def story() -> None:
        async with worker() as it:
            it.book.begins(1, 2)
            it.book.gathered()
            it.handover.put([record(3)])
            observer = it.attached()
            await observer.greeted()
            assert [kind for kind in observer.kinds if kind != STATE] == [HELLO, PARCEL, PARCEL, SETTLED]
            (told_again, openings), (first, owed) = observer.parcels
            assert (told_again, first) == (0, 1)
            assert numbers(openings.opened) == [1, 2]
            assert numbers(owed.finished) == [3]
            assert observer.hello() == (0, {"boot": "b1", "version": "1", "region": None, "pid": 1})

    run(story())


def test_what_was_not_acknowledged_is_sent_again_under_its_number(run: Run) -> None:
    async def story() -> None:
        async with worker() as it:
            first = it.attached()
            for number in (1, 2, 3):
                it.handover.put([record(number)])
                it.handover.flush()
            await first.spans(3)
            first.acknowledges(1)
            first.dies()
            await it.until(lambda: it.losses == 1)
            it.handover.put([record(4)])
            it.handover.flush()
            second = it.attached()
            assert numbers(await second.spans(3)) == [2, 3, 4]
            assert [number for number, _ in second.parcels] == [2, 3, 4]
            assert second.hello()[0] == 1
            second.acknowledges()
            await it.until(lambda: not it.handover.owes)
            assert it.handover.dropped == 0

    run(story())


def test_an_observer_that_dies_within_a_frame_gets_the_whole_of_it_again(run: Run) -> None:
    async def story() -> None:
        async with worker() as it:
            first = it.attached()
            it.handover.put([record(1, more="x" * 3_000_000)])
            it.handover.flush()
            await first.reads()  # some of it
            first.dies()
            await it.until(lambda: it.losses == 1)
            second = it.attached()
            assert numbers(await second.spans(1)) == [1]
            assert len(str(second.finished[0].attributes["user_agent.original"])) == 3_000_000

    run(story())


def test_the_last_words_of_an_observer_are_heard(run: Run) -> None:
    async def story() -> None:
        async with worker() as it:
            observer = it.attached()
            it.handover.put([record(1)])
            it.handover.flush()
            await observer.spans(1)
            observer.acknowledges()
            observer.dies()
            it.handover.detach()
            assert (it.losses, it.handover.owes) == (1, False)

    run(story())


@pytest.mark.alone
def test_20000_open_spans_at_a_reconnect_do_not_hold_up_calls(run: Run) -> None:
    async def story() -> None:
        count = 20_000
        async with worker() as it:
            it.book.begins(*range(count))
            it.book.gathered()
            loop, turns, over = asyncio.get_running_loop(), list[float](), False

            def call() -> None:
                turns.append(time.thread_time())
                if not over:
                    loop.call_soon(call)

            observer = it.attached()
            gc.collect()
            gc.disable()  # what a collection costs is not the handover's
            try:
                call()
                await asyncio.to_thread(observer.greeted_meanwhile)
            finally:
                over = True
                gc.enable()
            told = [parcel for number, parcel in observer.parcels if number == 0]
            assert sum(len(parcel.opened) for parcel in told) == count
            assert len(told) > 50
        lengths = sorted(after - before for before, after in pairwise(turns))  # own CPU time
        assert lengths[-1] < 0.005
        assert lengths[int(len(lengths) * 0.999)] < 0.002

    run(story())


# Too much


def test_an_observer_that_hangs_costs_the_oldest_and_they_are_counted(run: Run) -> None:
    async def story() -> None:
        bounds = {"most_spans": 1000, "most_bytes": 1 << 30}
        async with worker(**bounds) as it:
            observer = it.attached()  # it does not read
            total, at_once = 20_000, 100
            for start in range(0, total, at_once):
                it.handover.put([record(start + each, more="x" * 500) for each in range(at_once)])
                it.handover.flush()
            dropped = it.handover.dropped
            assert dropped > 0
            figures = it.handover.figures()
            assert figures["spans_waiting"] + dropped == total
            assert "observer does not keep up" in it.log.events
            await observer.until(lambda: len(observer.finished) >= total - dropped, storing=True)
            left = observer.finished
            assert len(left) == total - dropped
            assert numbers(left) == sorted(numbers(left))
            assert numbers(left)[-1] == total - 1  # the newest are there
            assert it.handover.dropped == dropped
            await it.until(lambda: "observer keeps up again" in it.log.events)

    run(story())


def test_messages_go_before_spans_do(run: Run) -> None:
    async def story() -> None:
        async with worker(most_bytes=1_000_000) as it:
            for number in range(50):
                it.tap.hears(bytes(50_000))
                it.handover.put([record(number)])
                it.handover.flush()
            assert it.handover.dropped == 0
            assert it.handover.messages_dropped > 0
            observer = it.attached()
            assert numbers(await observer.spans(50)) == [*range(50)]
            await observer.until(lambda: len(observer.messages) == 50 - it.handover.messages_dropped)

    run(story())


def test_after_spans_were_dropped_it_is_told_again_what_is_open(run: Run) -> None:
    async def story() -> None:
        async with worker(most_spans=512, window=1) as it:
            observer = it.attached()
            await observer.greeted()
            it.book.begins(7)
            it.book.still_going = [("going", "f" * 16, 5)]
            for number in range(1000):
                it.handover.put([record(number)])
                it.handover.flush()
            assert it.handover.dropped > 0

            await observer.until(lambda: observer.kinds.count(SETTLED) == 2, storing=True)
            told_again = observer.frames[[i for i, kind in enumerate(observer.kinds) if kind == HELLO][-1] :]
            assert [each.kind for each in told_again if each.kind != STATE] == [
                HELLO,
                PARCEL,
                PARCEL,
                SETTLED,
            ]
            assert numbers(observer.parcels[-2][1].opened) == [7]
            assert observer.parcels[-1][1].notes == [("going", "f" * 16, 5)]

    run(story())


def test_an_observer_that_cannot_store_still_hears_how_the_worker_fares(run: Run) -> None:
    async def story() -> None:
        async with worker(window=1000) as it:
            observer = it.attached()
            for number in range(10):
                it.handover.put([record(number, more="x" * 1000)])
                it.handover.flush()
            await observer.until(lambda: len(observer.states()) >= 3)
            assert numbers(observer.finished) == [0]  # no more than the window
            for _ in range(9):
                before = len(observer.finished)
                observer.acknowledges()
                await observer.spans(before + 1)
            assert numbers(observer.finished) == [*range(10)]

    run(story())


def test_a_value_that_cannot_be_packed_costs_its_parcel_and_no_more(run: Run) -> None:
    async def story() -> None:
        async with worker() as it:
            observer = it.attached()
            broken = record(1)._replace(attributes={"sip.trunk": object()})  # type: ignore[dict-item]  # the fault
            it.handover.put([broken])
            it.handover.flush()
            it.handover.put([record(2)])
            it.handover.flush()
            assert numbers(await observer.spans(1)) == [2]
            assert it.handover.dropped == 1
            assert it.log.facts("internal error")["where"] == "packing a parcel"

    run(story())


# What the observer says


def test_the_page_and_commands_are_passed_on(run: Run) -> None:
    async def story() -> None:
        async with worker() as it:
            observer = it.attached()
            observer.says(frame(PAGE, 0, b"http://127.0.0.1:8060/") + frame(COMMAND, 0, b'{"drain": true}'))
            await it.until(lambda: bool(it.commands))
            assert (it.pages, it.commands) == (["http://127.0.0.1:8060/"], [{"drain": True}])

    run(story())


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        frame(PARCEL, 1, b"x"),
        frame(COMMAND, 0, b"{"),
        frame(COMMAND, 0, b"[]"),
        frame(COMMAND, 0, b"\xff\xfe"),
        b"A".join([b"\0\0\0\x09", (99).to_bytes(8)]),  # what was never sent
    ],
)
def test_garbage_from_the_observer_ends_the_connection_and_loses_nothing(garbage: bytes, run: Run) -> None:
    async def story() -> None:
        async with worker() as it:
            observer = it.attached()
            it.handover.put([record(1)])
            it.handover.flush()
            observer.says(garbage)
            await it.until(lambda: it.losses == 1)
            assert "observer is not understood" in it.log.events
            assert numbers(await it.attached().spans(1)) == [1]

    run(story())


# The end


def test_at_the_end_all_is_sent_and_stored(run: Run) -> None:
    async def story() -> None:
        async with worker() as it:
            observer = it.attached()
            it.handover.put([record(1)])
            finishing = asyncio.ensure_future(it.handover.finish(5.0))
            await observer.ended()
            assert numbers(observer.finished) == [1]
            await turn()
            assert not finishing.done()  # sent is not stored
            observer.acknowledges()
            await finishing
            it.handover.close()
            assert (it.handover.dropped, it.handover.owes) == (0, False)

    run(story())


def test_an_observer_that_dies_at_the_end_may_be_replaced(run: Run) -> None:
    async def story() -> None:
        async with worker() as it:
            first = it.attached()
            it.handover.put([record(1)])
            finishing = asyncio.ensure_future(it.handover.finish(5.0))
            await first.ended()
            first.dies()
            await it.until(lambda: it.losses == 1)
            second = it.attached()
            await second.ended()
            assert numbers(second.finished) == [1]
            second.acknowledges()
            await finishing
            assert it.handover.dropped == 0

    run(story())


def test_an_observer_that_stores_nothing_is_not_waited_for_for_ever(run: Run) -> None:
    async def story() -> None:
        async with worker() as it:
            observer = it.attached()
            it.handover.put([record(1), record(2)])
            began = time.monotonic()
            await it.handover.finish(0.05)
            it.handover.close()
            assert time.monotonic() - began < 2.0
            assert it.handover.dropped == 2
            assert it.log.facts("spans were not stored") == {"spans": 2}
            it.handover.put([record(3)])  # too late
            assert it.handover.dropped == 3
            assert END in observer.kinds or not observer.closed

    run(story())


def test_with_nothing_owed_and_nobody_there_the_end_comes_at_once(run: Run) -> None:
    async def story() -> None:
        async with worker() as it:
            began = time.monotonic()
            await it.handover.finish(5.0)
            assert time.monotonic() - began < 1.0

    run(story())
