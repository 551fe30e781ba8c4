"""The keeper, the outbox, a forwarder and replay together, on real calls."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sipproxy.errors import ConfigurationError
from sipproxy.store.forwarder import open_forwarders
from sipproxy.store.outbox import outbox_of
from sipproxy.store.replay import Replayed, replay
from sipproxy.store.settings import StoreSettings
from sipproxy.telemetry.settings import DestinationSettings, Exporter, KeepSettings, Protocol, TracingSettings
from tests.support.collectors import Answer, Collector, collector_of
from tests.support.spans import Span
from tests.unit.store.support import Observer, Worker, ns
from tests.unit.telemetry.facts import Call
from tests.unit.telemetry.sinks import Lines, settings_for

OTHER_TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collector_of(Protocol.HTTP) as collector:
        yield collector


def observer_of(folder: Path, tracing: TracingSettings, boot: str = "boot-1") -> Observer:
    outbox = outbox_of(tracing, StoreSettings(), version="0.1.0", region=None)
    observer = Observer(folder, outbox=outbox)
    observer.begin(boot)
    return observer


def forward(observer: Observer, tracing: TracingSettings, log: Lines) -> None:
    """All that waits."""
    for forwarder in open_forwarders(observer.place.file, tracing, log):
        forwarder.step(0.0)
        now = 10.0
        while forwarder.figures()["queued"] and now < 1000.0:
            now += max(0.0, forwarder.step(now))
        forwarder.close(0.0)


def boots(spans: list[Span]) -> Counter[object]:
    return Counter(span.resource["service.instance.id"] for span in spans)


def test_a_call_is_exported_as_it_goes_on(tmp_path: Path, collector: Collector, log: Lines) -> None:
    tracing = settings_for(collector)
    observer, worker, call = observer_of(tmp_path, tracing), Worker(), Call()
    observer.stores(worker.all(call.until_answered()))
    forward(observer, tracing, log)
    assert sorted(span.title for span in collector.spans) == [
        "INVITE client",
        "INVITE server",
        "route internal",
    ]
    observer.stores(worker.all([call.hangs_up()]))
    forward(observer, tracing, log)
    assert len(collector.spans) == 5
    assert len(collector.roots()) == 1
    observer.close()


def test_an_observer_that_is_restarted_neither_loses_nor_doubles(
    tmp_path: Path, collector: Collector, log: Lines
) -> None:
    tracing = settings_for(collector)
    observer, worker, call = observer_of(tmp_path, tracing), Worker(), Call()
    parcel = worker.all(call.until_answered())
    observer.stores(parcel)
    forward(observer, tracing, log)
    beginning = observer.restarts()
    assert beginning.last == 1
    observer.stores(worker.all([call.hangs_up()]))
    forward(observer, tracing, log)
    assert sorted(Counter(span.span_id for span in collector.spans).values()) == [1] * 5
    observer.close()


def test_what_a_crash_left_open_keeps_its_own_start(tmp_path: Path, collector: Collector, log: Lines) -> None:
    tracing = settings_for(collector)
    observer, worker, call = observer_of(tmp_path, tracing), Worker(), Call()
    observer.stores(worker.all(call.until_answered()))
    beginning = observer.restarts("boot-2")
    assert len(beginning.lost) == 2
    observer.stores(worker.all(Call(trace_id=OTHER_TRACE).basic()))
    forward(observer, tracing, log)
    assert boots(collector.spans) == {"boot-1": 5, "boot-2": 5}
    ends = [span.attributes.get("sip.dialog.end") for span in collector.spans if span.name == "dialog"]
    assert sorted(map(str, ends)) == ["caller_bye", "caller_bye", "lost", "lost"]
    observer.close()


def test_calls_without_a_reason_stay_in_the_store(tmp_path: Path, collector: Collector, log: Lines) -> None:
    tracing = settings_for(collector, keep=KeepSettings(slower_than_ms=1000))
    observer, worker = observer_of(tmp_path, tracing), Worker()
    quick, slow = Call(), Call(trace_id=OTHER_TRACE)
    observer.stores(
        worker.all(
            [
                [quick.arrives(0.0), quick.is_tried(at=0.0)],
                [quick.concludes(quick.attempt, 486, 0.5), quick.concludes(quick.root, 486, 0.5)],
                [quick.is_forgotten()],
            ]
        ),
        worker.all(slow.basic()),
    )
    forward(observer, tracing, log)
    assert {span.trace_id for span in collector.spans} == {OTHER_TRACE}
    story = observer.reader.story(quick.root.trace_id)
    assert story is not None
    observer.close()


def test_a_damaged_store_is_replaced_and_exporting_goes_on(
    tmp_path: Path, collector: Collector, log: Lines
) -> None:
    tracing = settings_for(collector)
    observer, worker = observer_of(tmp_path, tracing), Worker()
    (forwarder,) = open_forwarders(observer.place.file, tracing, log)
    observer.stores(worker.all(Call().basic()))
    forwarder.step(0.0)
    forwarder.step(10.0)
    assert len(collector.spans) == 5
    observer.keeper.close()
    observer.place.file.write_bytes(b"damaged" * 2000)
    observer.restarts()
    observer.stores(worker.all(Call(trace_id=OTHER_TRACE).basic()))
    for now in (100.0, 200.0, 300.0):
        forwarder.step(now)
    assert len(collector.spans) == 10
    forwarder.close(0.0)
    observer.close()


# Replay


def replayed(
    observer: Observer, tracing: TracingSettings, since: float, until: float, to: str | None = None
) -> Replayed:
    return replay(
        observer.place,
        tracing,
        ns(since),
        ns(until),
        to,
        version="0.2.0",
        region=None,
        wait=lambda _: None,
    )


@pytest.fixture
def archive() -> Iterator[Collector]:
    with collector_of(Protocol.GRPC) as collector:
        yield collector


def test_stored_calls_are_sent_again_while_the_proxy_runs(
    tmp_path: Path, collector: Collector, log: Lines
) -> None:
    tracing = settings_for(collector)
    observer, worker = observer_of(tmp_path, tracing), Worker()
    early, late = Call(), Call(trace_id=OTHER_TRACE)
    observer.stores(worker.all(early.basic()))
    observer.stores(worker([late.arrives(50.0), late.is_tried(at=50.0)], at=50.0))
    observer.stores(worker([late.concludes(late.attempt, 486, 51.0), late.concludes(late.root, 486, 51.0)]))
    done = replayed(observer, tracing, 0.0, 40.0)
    assert done == (5, 1, 0, 0, "")
    assert {span.trace_id for span in collector.spans} == {early.root.trace_id}
    assert boots(collector.spans) == {"boot-1": 5}
    assert {span.resource["service.version"] for span in collector.spans} == {"0.1.0"}  # as it was then
    assert replayed(observer, tracing, 40.0, 99.0).spans == 2
    assert replayed(observer, tracing, 99.0, 999.0) == (0, 0, 0, 0, "")
    observer.close()


def test_also_when_it_does_not_run_and_what_was_never_exported(
    tmp_path: Path, collector: Collector, log: Lines
) -> None:
    observer = observer_of(tmp_path, TracingSettings(Exporter.NONE))
    observer.stores(Worker().all(Call().basic()))
    observer.close()
    assert replayed(observer, settings_for(collector), 0.0, 99.0).spans == 5
    assert boots(collector.spans) == {"boot-1": 5}
    assert {span.resource["service.version"] for span in collector.spans} == {"0.2.0"}


def test_one_destination_or_all(tmp_path: Path, collector: Collector, archive: Collector) -> None:
    further = {"archive": DestinationSettings(archive.endpoint, Protocol.GRPC)}
    tracing = settings_for(collector, destinations=further)
    observer = observer_of(tmp_path, tracing)
    observer.stores(Worker().all(Call().basic()))
    assert replayed(observer, tracing, 0.0, 99.0, "archive").spans == 5
    assert (len(archive.spans), len(collector.spans)) == (5, 0)
    assert replayed(observer, tracing, 0.0, 99.0).spans == 10
    assert (len(archive.spans), len(collector.spans)) == (10, 5)
    with pytest.raises(ConfigurationError, match="'vault'; there is main, archive"):
        replayed(observer, tracing, 0.0, 99.0, "vault")
    observer.close()


def test_only_what_tail_sampling_keeps_and_what_is_linked_with_it(
    tmp_path: Path, collector: Collector
) -> None:
    tracing = settings_for(collector, keep=KeepSettings())
    observer, worker = observer_of(tmp_path, tracing), Worker()
    dull = Call(trace_id="d" * 32)
    plain, caused = Call(), Call(transferred=True)  # of one trace
    observer.stores(*[worker.all(call.basic()) for call in (dull, plain, caused)])
    done = replayed(observer, tracing, 0.0, 99.0)
    assert (done.spans, done.calls) == (10, 2)
    assert {span.trace_id for span in collector.spans} == {plain.root.trace_id}
    observer.close()


def test_calls_that_are_not_sampled_are_not_sent(tmp_path: Path, collector: Collector) -> None:
    tracing = settings_for(collector)
    observer = observer_of(tmp_path, tracing)
    observer.stores(Worker().all(Call(sampled=False).basic()))
    assert replayed(observer, tracing, 0.0, 99.0) == (0, 0, 0, 0, "")
    observer.close()


def test_a_collector_that_is_busy_is_asked_again(tmp_path: Path, collector: Collector) -> None:
    tracing = settings_for(collector)
    observer = observer_of(tmp_path, tracing)
    observer.stores(Worker().all(Call().basic()))
    answers: list[Answer | None] = [Answer(503), Answer(429, retry_after_s=1), None]
    collector.judge = lambda _: answers.pop(0)
    assert replayed(observer, tracing, 0.0, 99.0).spans == 5
    observer.close()


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        (Answer(503), (0, 2, 0, 10, "main: HTTP 503")),
        (Answer(401), (0, 2, 0, 10, "main: HTTP 401")),
        (Answer(400), (0, 2, 0, 10, "main: HTTP 400")),
        (Answer(rejected=4, message="too old"), (6, 2, 4, 0, "")),
    ],
)
def test_what_does_not_arrive_is_told(
    tmp_path: Path, collector: Collector, answer: Answer, counts: tuple[object, ...]
) -> None:
    tracing = settings_for(collector)
    observer, worker = observer_of(tmp_path, tracing), Worker()
    observer.stores(*[worker.all(call.basic()) for call in (Call(), Call(trace_id=OTHER_TRACE))])
    collector.judge = lambda _: answer
    assert replayed(observer, tracing, 0.0, 99.0) == counts
    observer.close()


def test_the_store_is_only_read(tmp_path: Path, collector: Collector) -> None:
    tracing = settings_for(collector)
    observer = observer_of(tmp_path, tracing)
    observer.stores(Worker().all(Call().basic()))
    observer.keeper.commit()
    sql = sqlite3.connect(observer.place.file)
    before = sql.execute("SELECT * FROM outbox_destinations").fetchall()
    replayed(observer, tracing, 0.0, 99.0)
    assert sql.execute("SELECT * FROM outbox_destinations").fetchall() == before
    sql.close()
    observer.close()
