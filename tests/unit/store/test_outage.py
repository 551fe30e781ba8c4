"""A collector is away for ten minutes at 200 spans a second, and the proxy is restarted meanwhile.

The volume is real; the minutes are not: the forwarder is told what time it is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from sipproxy.store.forwarder import Forwarder, open_forwarders
from sipproxy.telemetry.settings import Protocol, TracingSettings
from tests.support.collectors import Absent, Answer, Collector, collector_of
from tests.support.otlp import Receiver
from tests.unit.store.outboxes import Keeper, spans
from tests.unit.telemetry.sinks import DEADLINE_S, SOON_MS, Lines, numbers

ROOT = Path(__file__).resolve().parents[3]
RATE, SECONDS, BATCH = 200, 600, 512


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture(params=[*Protocol], ids=["http", "grpc"])
def protocol(request: pytest.FixtureRequest) -> Protocol:
    return Protocol(request.param)


def forwarder_to(endpoint: str, protocol: str, file: Path, log: Lines) -> Forwarder:
    settings = TracingSettings(
        protocol=Protocol(protocol), endpoint=endpoint, timeout_s=5.0, every_ms=1000, batch=BATCH
    )
    (forwarder,) = open_forwarders(file, settings, log)
    return forwarder


def ten_minutes(endpoint: str, protocol: str, file: Path, log: Lines) -> tuple[Keeper, Forwarder]:
    """Every twentieth of a second ten spans, every second a look whether something is due."""
    keeper, boot = Keeper(file), "boot-1"
    forwarder = forwarder_to(endpoint, protocol, file, log)
    for second in range(SECONDS):
        if second == SECONDS // 2:
            forwarder.close(0.0)
            keeper.close()
            keeper, boot = Keeper(file), "boot-2"
            forwarder = forwarder_to(endpoint, protocol, file, log)
        for start in range(second * RATE, second * RATE + RATE, 10):
            with keeper:
                keeper.box.add(spans(range(start, start + 10)), [], boot)
        keeper.maintain()
        forwarder.step(float(second))
    return keeper, forwarder


def deliver(keeper: Keeper, forwarder: Forwarder, now: float) -> None:
    """Until nothing waits."""
    while forwarder.figures()["queued"]:
        now += max(0.0, forwarder.step(now))
    keeper.maintain()


def assert_all_and_none_twice(receiver: Receiver) -> None:
    assert numbers(receiver) == list(range(RATE * SECONDS))
    boots = Counter(span.resource["service.instance.id"] for span in receiver.spans)
    assert boots == {"boot-1": RATE * SECONDS // 2, "boot-2": RATE * SECONDS // 2}


def test_nobody_is_there_for_ten_minutes(protocol: Protocol, file: Path, log: Lines) -> None:
    with Absent(protocol) as place:
        keeper, forwarder = ten_minutes(place.endpoint, protocol, file, log)
        assert forwarder.figures()["queued"] == RATE * SECONDS
        with place.arrive() as collector:
            deliver(keeper, forwarder, float(SECONDS) + 30.0)
            assert_all_and_none_twice(collector)
    assert forwarder.figures()["exported"] == RATE * SECONDS
    assert forwarder.figures()["dropped"] == 0
    assert log.names == [
        "collector unreachable",
        "spans wait in the store",
        "collector unreachable",
        "collector is back",
    ]
    assert keeper.count("rows") == 1
    forwarder.close(0.0)
    keeper.close()


FAULTS = {
    "302": Answer(302, {"Location": "https://login.example/"}),
    "400": Answer(400),
    "429": Answer(429, retry_after_s=20),
    "500": Answer(500),
    "503": Answer(503),
    "closes mid-body": Answer(cut=True),
}
ONLY_HTTP = {"302", "closes mid-body"}


@pytest.mark.parametrize(
    ("protocol", "fault"),
    [(Protocol.HTTP, fault) for fault in FAULTS]
    + [(Protocol.GRPC, fault) for fault in FAULTS if fault not in ONLY_HTTP],
)
def test_a_collector_that_refuses_for_a_while(protocol: Protocol, fault: str, file: Path, log: Lines) -> None:
    with collector_of(protocol, lambda _: FAULTS[fault]) as collector:
        keeper = Keeper(file)
        forwarder = forwarder_to(collector.endpoint, protocol, file, log)
        for second in range(60):
            keeper.add(spans(range(second * RATE, second * RATE + RATE)))
            forwarder.step(float(second))
        assert 3 <= len(collector.requests) <= 60  # of a 400 also for parts of a batch
        assert collector.spans == []
        collector.judge = lambda _: None
        deliver(keeper, forwarder, 100.0)
        assert sorted(numbers(collector), key=str) == sorted(range(60 * RATE), key=str)
        assert log.names[-1] == "collector is back"
        assert len(log.names) == 2
        forwarder.close(0.0)
        keeper.close()


def test_a_collector_that_hangs_for_a_while(protocol: Protocol, file: Path, log: Lines) -> None:
    with collector_of(protocol) as collector:
        collector.hang()
        settings = TracingSettings(
            protocol=protocol, endpoint=collector.endpoint, timeout_s=0.2, every_ms=1000
        )
        (forwarder,) = open_forwarders(file, settings, log)
        keeper = Keeper(file)
        keeper.add(spans(range(600)))
        now = 0.0
        for _ in range(3):
            now += max(0.0, forwarder.step(now))
        assert forwarder.figures()["failures"] == 3
        heard = len(collector.asked)
        collector.judge = lambda _: None
        hung = [*collector.asked]
        collector.recover()
        collector.wait_for(
            sum(len(ask.spans) for ask in hung), DEADLINE_S
        )  # it took them after all, too late
        collector.spans.clear()
        deliver(keeper, forwarder, now)
        assert sorted(numbers(collector), key=str) == sorted(range(600), key=str)
        assert heard == 3
        forwarder.close(0.0)
        keeper.close()


SENDER = """
import sys
from pathlib import Path
from sipproxy.store.forwarder import open_forwarders
from sipproxy.telemetry.settings import Protocol, TracingSettings
from tests.unit.telemetry.sinks import Lines
file, endpoint, protocol = sys.argv[1:]
settings = TracingSettings(protocol=Protocol(protocol), endpoint=endpoint, every_ms=10, batch=100)
(forwarder,) = open_forwarders(Path(file), settings, Lines())
forwarder.start()
sys.stdin.read()
"""


def test_a_crash_doubles_the_last_batch_at_most(protocol: Protocol, file: Path, log: Lines) -> None:
    keeper = Keeper(file, batch=100)
    for start in range(0, 20_000, 50):
        keeper.add(spans(range(start, start + 50)))
    with collector_of(protocol) as collector:
        for arrived in (2_000, 7_000, 12_000):
            arguments = [sys.executable, "-c", SENDER, str(file), collector.endpoint, protocol]
            process = subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE)
            collector.wait_for(arrived, DEADLINE_S)
            os.kill(process.pid, signal.SIGKILL)
            process.communicate(timeout=DEADLINE_S)
        settings = TracingSettings(
            protocol=protocol, endpoint=collector.endpoint, every_ms=SOON_MS, batch=100
        )
        (forwarder,) = open_forwarders(file, settings, log)
        deliver_all(keeper, forwarder, collector)
        counted = Counter(numbers(collector))
    assert sorted(counted, key=str) == sorted(range(20_000), key=str)
    assert counted.total() - len(counted) <= 3 * 100  # one batch for each crash
    forwarder.close(0.0)
    keeper.close()


def deliver_all(keeper: Keeper, forwarder: Forwarder, collector: Collector) -> None:
    """At least one step: a forwarder that has just been made has not looked yet."""
    forwarder.step(0.0)
    deliver(keeper, forwarder, 10.0)
    assert collector.spans
