"""Sending the outbox: the pace, what becomes of a refusal, and what the operator hears.

Most stories have no thread: `step` is told what time it is, and says when it wants to be asked again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sipproxy.store.forwarder import Forwarder, open_forwarders
from sipproxy.telemetry.answers import Fault, Outcome, Partial, Refusal
from sipproxy.telemetry.encode import Envelope
from sipproxy.telemetry.settings import DestinationSettings, Exporter, Protocol, TracingSettings
from tests.support.collectors import Answer, Collector, collector_of
from tests.unit.store.outboxes import Keeper, Scripted, spans, taken_by
from tests.unit.telemetry.sinks import DEADLINE_S, SOON_MS, Lines, numbers

AWAY = Refusal("Connection refused")
BUSY = Refusal("HTTP 429", retry_after_s=100.0)
SETUP = Refusal("HTTP 401", Fault.SETUP)
BAD = Refusal("HTTP 400", Fault.DATA)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def keeper(file: Path) -> Iterator[Keeper]:
    keeper = Keeper(file)
    yield keeper
    keeper.close()


_made: list[Forwarder] = []


def forwarder_to(sender: Scripted, file: Path, log: Lines, batch: int = 512) -> Forwarder:
    forwarder = Forwarder(file, sender, batch=batch, every_s=1.0, log=log, jitter=lambda: 1.0)
    _made.append(forwarder)
    return forwarder


@pytest.fixture(autouse=True)
def _end() -> Iterator[None]:
    yield
    while _made:
        _made.pop().close(0.0)


def run(forwarder: Forwarder, now: float = 0.0) -> float:
    """Step until it wants to wait; for how long."""
    while (pause_s := forwarder.step(now)) <= 0:
        pass
    return pause_s


# The pace


def test_a_full_batch_leaves_at_once_and_a_smaller_one_when_it_has_waited(
    keeper: Keeper, file: Path, log: Lines
) -> None:
    sender = Scripted()
    forwarder = forwarder_to(sender, file, log, batch=100)
    assert run(forwarder, now=0.0) == 1.0
    for start in range(0, 250, 50):
        keeper.add(spans(range(start, start + 50)))
    assert run(forwarder, now=5.0) == 1.0
    assert [len(numbers) for numbers in sender.sent] == [100, 100]
    assert run(forwarder, now=5.5) == 0.5
    assert run(forwarder, now=6.0) == 1.0
    assert sender.arrived == list(range(250))
    assert log.events == []
    assert forwarder.figures() == {
        "endpoint": "http://collector.example:4318",
        "exported": 250,
        "refused": 0,
        "dropped": 0,
        "sampled_out": 0,
        "queued": 0,
        "failures": 0,
        "last_reason": "",
    }


def test_attempts_grow_rarer_and_nothing_is_asked_in_between(keeper: Keeper, file: Path, log: Lines) -> None:
    sender = Scripted(*[AWAY] * 9)
    forwarder = forwarder_to(sender, file, log)
    keeper.add(spans(range(512)))
    now, pauses = 0.0, []
    for _ in range(9):
        pause_s = forwarder.step(now)
        pauses.append(pause_s)
        assert forwarder.step(now + pause_s / 2) == pause_s / 2
        now += pause_s
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert len(sender.sent) == 9
    assert forwarder.figures()["failures"] == 9
    assert forwarder.figures()["last_reason"] == "Connection refused"
    assert run(forwarder, now) == 1.0
    assert sender.arrived == list(range(512))
    assert [(level, event) for level, event, _ in log.events] == [
        ("warning", "collector unreachable"),
        ("info", "collector is back"),
    ]
    assert log.events[0][2] == {
        "reason": "Connection refused",
        "destination": "main",
        "endpoint": "http://collector.example:4318",
    }
    assert log.events[1][2]["after_s"] == 121.5
    assert forwarder.figures()["last_reason"] == ""


def test_pauses_are_not_the_same_for_everybody(keeper: Keeper, file: Path, log: Lines) -> None:
    keeper.add(spans(range(512)))
    pauses = {Forwarder(file, Scripted(AWAY), batch=512, every_s=1.0, log=log).step(0.0) for _ in range(20)}
    assert len(pauses) > 10
    assert all(0.4 <= pause_s <= 0.6 for pause_s in pauses)


@pytest.mark.parametrize(("wanted_s", "pause_s"), [(0.1, 0.5), (100.0, 100.0), (86400.0, 300.0)])
def test_a_collector_may_name_the_time_within_reason(
    keeper: Keeper, file: Path, log: Lines, wanted_s: float, pause_s: float
) -> None:
    forwarder = forwarder_to(Scripted(Refusal("HTTP 429", retry_after_s=wanted_s)), file, log)
    keeper.add(spans(range(512)))
    assert forwarder.step(0.0) == pause_s


def test_a_success_makes_it_patient_again(keeper: Keeper, file: Path, log: Lines) -> None:
    sender = Scripted(AWAY, AWAY, None, AWAY)
    forwarder = forwarder_to(sender, file, log, batch=10)
    keeper.add(spans(range(10)))
    keeper.add(spans(range(10, 20)))
    assert [forwarder.step(n * 10.0) for n in range(4)] == [0.5, 1.0, 0.0, 0.5]


# What becomes of a refusal


@pytest.mark.parametrize(
    ("refusal", "event"),
    [
        (AWAY, "collector unreachable"),
        (SETUP, "collector refuses us"),
        (Refusal("HTTP 302 to https://login.example", Fault.SETUP), "collector refuses us"),
        (BUSY, "collector unreachable"),
    ],
)
def test_nothing_is_lost_while_a_collector_refuses(
    keeper: Keeper, file: Path, log: Lines, refusal: Refusal, event: str
) -> None:
    sender = Scripted(refusal, refusal)
    forwarder = forwarder_to(sender, file, log)
    keeper.add(spans(range(3)))
    for now in (0.0, 1.0, 200.0):
        run(forwarder, now)
    keeper.add(spans(range(3, 5)))
    for now in (400.0, 401.0):
        run(forwarder, now)
    assert sender.arrived == [0, 1, 2, 3, 4]
    assert log.names == [event, "collector is back"]


def test_another_trouble_is_another_line(keeper: Keeper, file: Path, log: Lines) -> None:
    sender = Scripted(AWAY, AWAY, SETUP, SETUP, AWAY)
    forwarder = forwarder_to(sender, file, log)
    keeper.add(spans(range(512)))
    for now in range(0, 600, 100):
        run(forwarder, float(now))
    assert log.names == [
        "collector unreachable",
        "collector refuses us",
        "collector unreachable",
        "collector is back",
    ]
    assert log.events[-1][2]["after_s"] == 500.0


class Picky(Scripted):
    """Refuses every request with one of these in it; `Fault.SIZE`: with more than so many."""

    def __init__(self, *bad: int, most: int = 10**6) -> None:
        super().__init__()
        self.bad = {*bad}
        self.most = most

    def judge(self, numbers: list[int]) -> Outcome:
        if self.answers:
            return self.answers.pop(0)
        if len(numbers) > self.most:
            return Refusal("HTTP 413", Fault.SIZE)
        return BAD if self.bad.intersection(numbers) else None


def test_the_span_that_a_collector_refuses_is_set_aside_and_all_others_arrive(
    keeper: Keeper, file: Path, log: Lines
) -> None:
    sender = Picky(7, 300)
    forwarder = forwarder_to(sender, file, log)
    keeper.add(spans(range(512)))
    keeper.add(spans(range(512, 600)))
    for now in (0.0, 1.0):
        run(forwarder, now)
    assert sorted(sender.arrived) == [n for n in range(600) if n not in (7, 300)]
    assert log.names == ["collector refuses spans"]
    assert log.events[0][2]["spans"] == 2
    figures = forwarder.figures()
    assert (figures["exported"], figures["refused"], figures["queued"]) == (598, 2, 0)
    rows = keeper.sql.execute("SELECT destination, reason FROM outbox_refused").fetchall()
    assert rows == [("main", "HTTP 400")] * 2


def test_a_collector_that_refuses_everything_loses_nothing(keeper: Keeper, file: Path, log: Lines) -> None:
    sender = Picky(*range(1000))
    forwarder = forwarder_to(sender, file, log)
    keeper.add(spans(range(512)))
    now = 0.0
    for _ in range(5):
        now += run(forwarder, now)
    assert len(sender.sent) <= 5 * 19
    assert log.names == ["collector refuses every span"]
    assert keeper.count("refused") == 0
    sender.bad.clear()
    run(forwarder, now)
    assert sorted(sender.arrived) == list(range(512))
    assert log.names == ["collector refuses every span", "collector is back"]


def test_a_refused_span_alone_waits_for_others_to_compare_with(
    keeper: Keeper, file: Path, log: Lines
) -> None:
    sender = Picky(0)
    forwarder = forwarder_to(sender, file, log)
    keeper.add(spans(range(1)))
    run(forwarder, 0.0)
    assert run(forwarder, 1.0) == 0.5
    assert keeper.count("refused") == 0
    keeper.add(spans(range(1, 5)))
    for now in (10.0, 11.0):
        run(forwarder, now)
    assert sorted(sender.arrived) == [1, 2, 3, 4]
    assert keeper.count("refused") == 1


@pytest.mark.parametrize("size", [0, 1_100_000])
def test_one_that_fills_a_batch_by_itself_holds_up_nobody(file: Path, log: Lines, size: int) -> None:
    keeper = Keeper(file, batch=1)
    sender = Picky(0)
    forwarder = forwarder_to(sender, file, log, batch=1 if not size else 512)
    keeper.add([*spans(range(1), size), *spans(range(1, 5))])
    for now in (0.0, 1.0, 10.0, 20.0):
        run(forwarder, now)
    assert sorted(sender.arrived) == [1, 2, 3, 4]
    assert keeper.count("refused") == 1
    keeper.close()


def test_an_outage_in_the_middle_of_the_search_sends_nothing_twice(
    keeper: Keeper, file: Path, log: Lines
) -> None:
    sender = Picky(7)
    sender.answers = [BAD, AWAY]  # then half of it, and so on
    forwarder = forwarder_to(sender, file, log)
    keeper.add(spans(range(512)))
    assert forwarder.step(0.0) == 0.0
    assert forwarder.step(0.0) == 0.5
    while forwarder.step(10.0) <= 0:
        if len(sender.sent) == 6:
            sender.answers = [AWAY]
    assert len(sender.sent) == 7
    run(forwarder, 20.0)
    assert sorted(sender.arrived) == [n for n in range(512) if n != 7]


def test_a_collector_that_takes_no_large_requests_gets_smaller_ones(
    keeper: Keeper, file: Path, log: Lines
) -> None:
    sender = Picky(most=128)
    forwarder = forwarder_to(sender, file, log)
    for start in range(0, 5120, 32):
        keeper.add(spans(range(start, start + 32), size=1500))
    for now in (0.0, 1.0):
        run(forwarder, now)
    assert sorted(sender.arrived) == list(range(5120))
    assert log.events == []
    too_large = sum(len(numbers) > 128 for numbers in sender.sent)
    assert too_large < 6  # it learns


def test_what_a_collector_throws_away_is_counted_and_not_sent_again(
    keeper: Keeper, file: Path, log: Lines
) -> None:
    sender = Scripted(Partial(3, "too old"), Partial(3, "too old"), Partial(0, "slow down"), Partial(99, ""))
    forwarder = forwarder_to(sender, file, log, batch=10)
    for start in range(0, 40, 10):
        keeper.add(spans(range(start, start + 10)))
    run(forwarder)
    assert len(sender.sent) == 4
    assert (forwarder.figures()["exported"], forwarder.figures()["refused"]) == (24, 16)
    assert log.names == ["collector threw spans away", "collector warns", "collector threw spans away"]
    assert (log.events[0][2]["reason"], log.events[0][2]["spans"]) == ("too old", 3)


def test_nobody_is_told_again_and_again_that_the_disk_is_used_up(file: Path, log: Lines) -> None:
    keeper = Keeper(file, unsent_mb=16, batch=9)
    sender = Scripted(*[AWAY] * 20)
    forwarder = forwarder_to(sender, file, log, batch=9)
    for n in range(4):
        keeper.add(spans(range(n * 100, n * 100 + 100), size=100_000))
        keeper.maintain()
        run(forwarder, n * 100.0)
    assert log.names == ["collector unreachable", "spans are dropped"]
    assert forwarder.figures()["dropped"] == 400 - int(forwarder.figures()["queued"])
    keeper.close()


# The store


def test_there_may_be_no_store_yet(file: Path, log: Lines) -> None:
    sender = Scripted()
    forwarder = forwarder_to(sender, file, log)
    assert run(forwarder, 0.0) == 1.0
    keeper = Keeper(file)
    keeper.add(spans(range(512)))
    run(forwarder, 1.0)
    assert sender.arrived == list(range(512))
    assert log.events == []
    keeper.close()


def test_a_store_that_is_damaged_and_then_replaced(file: Path, log: Lines) -> None:
    keeper = Keeper(file)
    keeper.add(spans(range(512)))
    keeper.close()
    whole = file.read_bytes()
    file.write_bytes(b"no database" * 1000)
    sender = Scripted()
    forwarder = forwarder_to(sender, file, log)
    assert run(forwarder, 0.0) == 0.5
    assert run(forwarder, 10.0) == 1.0
    assert log.names == ["store cannot be used"]
    file.unlink()
    file.write_bytes(whole)
    run(forwarder, 20.0)
    assert sender.arrived == list(range(512))
    assert log.names == ["store cannot be used", "store is back"]


def test_a_batch_of_a_store_that_was_set_aside_is_forgotten(file: Path, log: Lines) -> None:
    keeper = Keeper(file)
    keeper.add(spans(range(512)))
    sender = Scripted(AWAY)
    forwarder = forwarder_to(sender, file, log)
    run(forwarder, 0.0)
    keeper.close()
    for path in [*file.parent.glob("store.db*")]:
        path.rename(path.with_name("broken-" + path.name))
    keeper = Keeper(file)
    keeper.add(spans(range(1000, 1512)))
    run(forwarder, 10.0)
    assert sender.arrived == list(range(1000, 1512))
    keeper.close()


def test_the_keeper_s_transaction_is_waited_for(keeper: Keeper, file: Path, log: Lines) -> None:
    sender = Scripted()
    forwarder = forwarder_to(sender, file, log)
    keeper.add(spans(range(512)))
    keeper.sql.execute("BEGIN IMMEDIATE")
    keeper.box.add(spans(range(512, 515)), [], "boot-1")
    timer = threading.Timer(0.1, keeper.sql.execute, ("COMMIT",))
    timer.start()
    assert run(forwarder) == 1.0
    timer.join()
    assert sender.arrived == list(range(512))
    assert log.events == []


def test_a_batch_that_cannot_be_read_at_all_holds_up_nothing(keeper: Keeper, file: Path, log: Lines) -> None:
    sender = Scripted()
    forwarder = forwarder_to(sender, file, log)
    keeper.add(spans(range(512)))
    keeper.sql.execute("UPDATE outbox_rows SET data = x'00'")
    run(forwarder, 0.0)
    keeper.add(spans(range(512, 1024)))
    run(forwarder, 1.0)
    assert sender.arrived == list(range(512, 1024))
    assert forwarder.figures()["dropped"] == 512
    assert log.names == ["spans are dropped"]


class Faulty(Scripted):
    """Has a bug, for a while."""

    def judge(self, numbers: list[int]) -> Outcome:
        if len(self.sent) < 3:
            raise ZeroDivisionError
        return None


def test_a_bug_is_told_and_loses_nothing(keeper: Keeper, file: Path, log: Lines) -> None:
    sender = Faulty()
    forwarder = forwarder_to(sender, file, log)
    keeper.add(spans(range(512)))
    assert [forwarder.step(now) for now in (0.0, 10.0)] == [0.5, 1.0]
    run(forwarder, 20.0)
    assert sender.arrived == list(range(512))
    assert log.names == ["internal error", "collector is back"]


# The thread


def settings_for(collector: Collector, **more: object) -> TracingSettings:
    return TracingSettings(
        protocol=Protocol(collector.protocol),
        endpoint=collector.endpoint,
        timeout_s=60.0,
        every_ms=SOON_MS,
        **more,  # type: ignore[arg-type]  # each test names its own
    )


@pytest.fixture(params=[*Protocol], ids=["http", "grpc"])
def collector(request: pytest.FixtureRequest) -> Iterator[Collector]:
    with collector_of(request.param) as collector:
        yield collector


def test_it_is_woken_sends_and_ends(keeper: Keeper, file: Path, log: Lines, collector: Collector) -> None:
    (forwarder,) = open_forwarders(file, settings_for(collector), log)
    forwarder.start()
    for start in range(0, 300, 30):
        keeper.add(spans(range(start, start + 30)))
        forwarder.wake()
    collector.wait_for(300, DEADLINE_S)
    keeper.add(spans(range(300, 303)))
    forwarder.close(DEADLINE_S)
    assert numbers(collector) == list(range(303))
    assert log.events == []


def test_a_collector_that_hangs_does_not_hold_up_the_end(
    keeper: Keeper, file: Path, log: Lines, collector: Collector
) -> None:
    collector.hang()
    (forwarder,) = open_forwarders(file, settings_for(collector), log)
    forwarder.start()
    keeper.add(spans(range(5)))
    forwarder.wake()
    collector.wait_for_requests(1, DEADLINE_S)
    began = time.monotonic()
    forwarder.close(0.2)
    assert time.monotonic() - began < 3.0
    assert log.names[-1] == "spans wait in the store"
    assert log.events[-1][2]["spans"] == 5
    collector.recover()
    assert taken_by(file) == [0, 1, 2, 3, 4]


def test_a_collector_that_is_away_is_tried_once_more_at_the_end(
    keeper: Keeper, file: Path, log: Lines, collector: Collector
) -> None:
    collector.judge = lambda _: Answer(503)
    (forwarder,) = open_forwarders(file, settings_for(collector), log)
    forwarder.start()
    keeper.add(spans(range(5)))
    forwarder.wake()
    log.wait_for("collector unreachable")
    collector.judge = lambda _: None
    forwarder.close(DEADLINE_S)
    assert numbers(collector) == [0, 1, 2, 3, 4]


def test_destinations_do_not_wait_for_one_another(file: Path, log: Lines) -> None:
    with collector_of(Protocol.GRPC) as good, collector_of(Protocol.HTTP) as bad:
        bad.hang()
        further = {"archive": DestinationSettings(good.endpoint, Protocol.GRPC)}
        settings = settings_for(bad, destinations=further)
        keeper = Keeper(file, "archive")
        forwarders = open_forwarders(file, settings, log)
        assert [forwarder.name for forwarder in forwarders] == ["main", "archive"]
        for forwarder in forwarders:
            forwarder.start()
        keeper.add(spans(range(5)))
        good.wait_for(5, DEADLINE_S)
        for forwarder in forwarders:
            forwarder.close(0.1)
        bad.recover()
        keeper.close()


def test_an_idle_forwarder_does_next_to_nothing(keeper: Keeper, file: Path, log: Lines) -> None:
    """The keeper wakes it twenty times a second, also while it waits for a collector."""
    sender = Scripted(*[Refusal("HTTP 429", retry_after_s=300.0)])
    forwarder = forwarder_to(sender, file, log)
    keeper.add(spans(range(512)))
    began = time.process_time()
    forwarder.step(0.0)
    for n in range(6000):  # five minutes
        forwarder.step(n * 0.05)
    assert time.process_time() - began < 0.5
    assert len(sender.sent) == 1


def test_without_a_destination_there_is_no_forwarder(file: Path, log: Lines) -> None:
    assert open_forwarders(file, TracingSettings(Exporter.NONE), log) == []


class Slow(Scripted):
    """Holds a request until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self._closed = threading.Event(), threading.Event()

    def send(self, envelope: Envelope, encoded: list[bytes]) -> Outcome:
        self.asked.set()
        self._closed.wait(DEADLINE_S)
        return AWAY

    def close(self) -> None:
        self._closed.set()


def test_closing_cuts_a_request_off(keeper: Keeper, file: Path, log: Lines) -> None:
    sender = Slow()
    forwarder = forwarder_to(sender, file, log)
    keeper.add(spans(range(512)))
    forwarder.start()
    assert sender.asked.wait(DEADLINE_S)
    forwarder.close(0.0)
    assert taken_by(file) == list(range(512))


def test_a_destination_that_cannot_be_opened_leaves_the_others_theirs(tmp_path: Path, log: Lines) -> None:
    broken = DestinationSettings("https://127.0.0.1:1", certificate=str(tmp_path / "missing.pem"))
    whole = DestinationSettings("http://127.0.0.1:1")
    tracing = TracingSettings(Exporter.NONE, destinations={"broken": broken, "whole": whole})
    found = open_forwarders(tmp_path / "store.db", tracing, log)
    assert [forwarder.name for forwarder in found] == ["whole"]
    waiting = [facts["collector"] for _, event, facts in log.events if "wait in the store" in event]
    assert waiting == ["broken"]
    for forwarder in found:
        forwarder.close(0.0)
