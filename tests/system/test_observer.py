"""The observer as a process: what it is told it stores once, whatever happens to it, and calls never wait."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from sipproxy.admin.settings import AdminSettings
from sipproxy.net.frames import END, HELLO, PARCEL, frame
from sipproxy.observer.__main__ import NICE
from sipproxy.observer.orders import Orders
from sipproxy.store.place import Place
from sipproxy.telemetry.settings import HepSettings, TracingSettings
from tests.support.otlp import HttpReceiver
from tests.support.station import (
    DEADLINE_S,
    NOT_EXPORTED,
    SPANS,
    Station,
    span_ids,
    stored_calls,
    stored_records,
    stored_spans,
)

ROOT = Path(__file__).parents[2]
CALLEES_CALL_ID = "0123456789abcdef0123456789abcdef"  # as tests.unit.telemetry.facts has it
STATION = Path(__file__).parents[1] / "support" / "station.py"


def run(story: Coroutine[Any, Any, None]) -> None:
    uvloop.run(story)


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Of both processes' logs, so far."""
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# As it should be


def test_calls_are_in_the_store_on_the_page_and_at_the_collector(tmp_path: Path) -> None:
    async def story(receiver: HttpReceiver) -> None:
        async with Station(tmp_path, tracing=TracingSettings(endpoint=receiver.endpoint)) as it:
            over, going_on = it.calls(20), it.begins(3)
            for call in (*over, *going_on):
                it.hears(call)
            await it.everything_is_stored()
            live = await it.asks("/api/calls")
            assert live["total"] == 3
            assert {call["state"] for call in live["calls"]} == {"talking"}
            told = await it.asks(f"/api/traces/{over[0].root.trace_id}")
            assert len(told["spans"]) == SPANS
            assert [message["start"] for message in told["messages"]] == ["INVITE"]
            assert (await it.asks("/readyz"))["status"] == "ready"
            it.end(going_on)
            await it.ends()
            calls = {call.root.trace_id for call in (*over, *going_on)}
            spans = receiver.wait_for(len(calls) * SPANS)  # they left before the observer did
            assert {span.trace_id for span in spans} == calls
            assert len(spans) == len(calls) * SPANS
        assert stored_spans(it.place).total() == len(calls) * SPANS

    with HttpReceiver() as receiver:
        run(story(receiver))


def test_lines_about_calls_have_their_ids_and_no_numbers(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        async with Station(tmp_path) as it:
            await it.asks("/api/log-level", {"level": "debug"}, "PUT")
            await it.until(lambda: it.asked)
            assert it.asked == [{"log_level": "debug"}]  # the worker hears it too
            it.calls(1)
            await it.ends()

    run(story())
    told = lines(capfd)
    assert "+4915550001234"[1:] not in json.dumps(told)
    about = [line for line in told if line["event"] in ("call began", "call ended")]
    assert [line["event"] for line in about] == ["call began", "call ended"]
    assert {"trace_id", "span_id", "call_id"} <= about[0].keys()


def test_messages_go_to_homer_under_one_id_for_both_legs(tmp_path: Path) -> None:
    async def story(homer: socket.socket) -> None:
        address = f"127.0.0.1:{homer.getsockname()[1]}"
        async with Station(tmp_path, hep=HepSettings(address=address)) as it:
            call = it.call()
            it.tells(*call.until_answered())
            it.hears(call)
            it.hears(call, "INVITE sip:alice@carrier.example SIP/2.0", call_id=CALLEES_CALL_ID)
            packets = [await asyncio.wait_for(asyncio.to_thread(homer.recv, 65535), DEADLINE_S) for _ in "12"]
            assert all(packet.startswith(b"HEP3") for packet in packets)
            assert all(call.request.call_id.encode() in packet for packet in packets)
            assert CALLEES_CALL_ID.encode() in packets[1]
            assert not any(b"15550001234" in packet for packet in packets)
            it.tells(call.hangs_up())

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as homer:
        homer.bind(("127.0.0.1", 0))
        homer.settimeout(DEADLINE_S)
        run(story(homer))


def test_its_orders_cannot_be_read_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with Station(tmp_path) as it:
            await it.until(lambda: it.page)
            assert os.readlink(f"/proc/{await it.observer()}/fd/0") == os.devnull

    run(story())


def test_what_ends_a_process_group_does_not_reach_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with Station(tmp_path) as it:
            it.calls(5)
            await it.everything_is_stored()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(await it.observer(), number)
            it.calls(5)
            await it.everything_is_stored()
            assert it.supervisor.restarts == 0
        assert stored_spans(it.place).total() == 10 * SPANS

    run(story())


@pytest.mark.alone
def test_it_leaves_the_core_to_the_calls(tmp_path: Path) -> None:
    async def story() -> None:
        async with Station(tmp_path) as it:
            pid = await it.observer()
            await it.until(lambda: it.page)
            assert os.getpriority(os.PRIO_PROCESS, pid) >= min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICE)

    run(story())


# It is killed


@pytest.mark.parametrize("times", [1, 4])
def test_killed_under_load_it_loses_nothing_and_doubles_nothing(tmp_path: Path, times: int) -> None:
    async def story() -> None:
        async with Station(tmp_path) as it:
            made, pid = [*it.begins(50)], None
            for _ in range(times):
                pid = await it.observer(pid)
                for _ in range(20):
                    made += it.calls(10)
                    await asyncio.sleep(0.005)
                os.kill(pid, signal.SIGKILL)
                made += it.calls(50)
            it.end(made[:50])
            await it.everything_is_stored()
            assert it.supervisor.restarts == times
            assert it.handover.dropped == 0
        spans = stored_spans(it.place)
        assert set(spans.values()) == {1}
        assert span_ids(made) <= spans.keys()
        assert spans.total() == len(made) * SPANS
        calls = stored_calls(it.place)
        assert len(calls) == len({call.root_id for call in calls}) == len(made)
        assert {call.state for call in calls} == {"over"}

    run(story())


@pytest.mark.alone
def test_20000_open_spans_at_a_reconnect_are_live_again_and_calls_do_not_feel_it(tmp_path: Path) -> None:
    count = 10_000

    async def story() -> None:
        async with Station(tmp_path) as it:
            for _ in range(count // 500):
                it.begins(500)
                await it.everything_is_stored()
            await it.until(lambda: it.page)
            gc.collect()
            gc.freeze()  # as the proxy does: what a collection costs is not the handover's
            pid, it.page = await it.observer(), ""
            turns = Turns()
            os.kill(pid, signal.SIGKILL)
            await it.observer(pid)
            await it.until(lambda: it.page)
            while (await it.asks("/api/calls?limit=0"))["total"] < count:
                await asyncio.sleep(0.01)
            assert turns.longer_than(0.002) <= 2  # other threads of this process are measured as well

    run(story())


class Turns:
    """CPU time of the loop's turns; one each millisecond, so that the observer has a core as well."""

    def __init__(self) -> None:
        self._lengths: list[float] = []
        self._began = time.thread_time()
        self._loop = asyncio.get_running_loop()
        self._loop.call_later(0.001, self._turn)

    def _turn(self) -> None:
        now = time.thread_time()
        self._lengths.append(now - self._began)
        self._began = now
        self._loop.call_later(0.001, self._turn)

    def longer_than(self, seconds: float) -> int:
        return sum(length > seconds for length in self._lengths)


def test_calls_that_end_while_it_is_away_are_not_live_when_it_is_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with Station(tmp_path, first_wait_s=0.3) as it:
            calls = it.begins(20)
            await it.everything_is_stored()
            await it.until(lambda: it.page)
            address = it.page
            pid, it.page = await it.observer(), ""
            os.kill(pid, signal.SIGKILL)
            await it.until(lambda: it.supervisor.pid is None)
            it.end(calls[:15])
            await it.everything_is_stored()
            assert (await it.asks("/api/calls"))["total"] == 5
            assert it.page == address
            it.end(calls[15:])
        assert {(call.state, call.outcome) for call in stored_calls(it.place)} == {("over", "answered")}
        assert len(stored_calls(it.place)) == 20

    run(story())


# It hangs


@pytest.mark.alone
def test_while_it_hangs_the_worker_keeps_what_it_may_and_counts_the_rest(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        async with Station(
            tmp_path, tracing=TracingSettings(exporter=NOT_EXPORTED.exporter, max_queue=5000)
        ) as it:
            it.calls(10)
            await it.everything_is_stored()
            pid, made, longest = await it.observer(), 10, 0.0
            going_on = it.begins(20)
            await it.everything_is_stored()
            os.kill(pid, signal.SIGSTOP)
            for _ in range(100):
                it.calls(30)
                made += 30
                began = time.thread_time()
                it.handover.flush()
                longest = max(longest, time.thread_time() - began)
                await asyncio.sleep(0)
            it.end(going_on)  # of these it may never hear
            it.handover.flush()
            figures = it.handover.figures()
            assert figures["spans_dropped"] > 0
            assert figures["spans_waiting"] <= 5000 + 500
            assert longest < 0.05
            assert it.supervisor.pid == pid
            os.kill(pid, signal.SIGCONT)
            await it.everything_is_stored()
            assert it.handover.dropped == figures["spans_dropped"]
            assert it.supervisor.restarts == 0
            while (await it.asks("/api/calls"))["total"]:  # nothing it missed is shown for ever
                await asyncio.sleep(0.01)
            more = it.calls(10)
        spans = stored_spans(it.place)
        assert set(spans.values()) == {1}
        assert spans.total() + it.handover.dropped == (made + 20 + 10) * SPANS
        assert span_ids(more) <= spans.keys()

    run(story())
    assert "observer does not keep up" in [line["event"] for line in lines(capfd)]


def test_at_the_end_a_hanging_one_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    async def story() -> None:
        async with Station(tmp_path) as it:
            pid = await it.observer()
            await it.until(lambda: it.page)
            os.kill(pid, signal.SIGSTOP)
            it.calls(10)
            began = time.monotonic()
            await it.ends(0.2)
            assert time.monotonic() - began < 5.0
            assert not is_there(pid)
            assert it.handover.dropped == 10 * SPANS

    run(story())


# It cannot do all of its work


def test_without_its_port_it_stores_and_forwards_and_later_has_its_page(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    complaints: list[dict[str, Any]] = []

    def complained() -> bool:
        complaints.extend(line for line in lines(capfd) if line["level"] in ("warning", "error"))
        return bool(complaints)

    async def story(receiver: HttpReceiver) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            admin = AdminSettings(listen=f"127.0.0.1:{taken.getsockname()[1]}")
            it = Station(tmp_path, tracing=TracingSettings(endpoint=receiver.endpoint), admin=admin)
            await it.__aenter__()
            it.calls(5)
            await it.everything_is_stored()
            await asyncio.to_thread(receiver.wait_for, 5 * SPANS)
            await it.until(complained)
            assert it.page == ""
        await it.until(lambda: it.page)
        assert (await it.asks("/api/calls"))["total"] == 0
        await it.ends()
        assert stored_spans(it.place).total() == 5 * SPANS

    with HttpReceiver() as receiver:
        run(story(receiver))
    complained()
    assert [line["event"] for line in complaints] == ["no page, no API, no metrics"]
    assert "address already in use" in str(complaints[0]["reason"]).lower()


def test_while_nothing_can_be_written_spans_wait_with_the_worker_and_everybody_is_well(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        async with Station(tmp_path) as it:
            it.calls(20)
            await it.everything_is_stored()
            await it.until(lambda: it.page)
            pid = await it.observer()
            unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, unlimited[1]))  # no file may grow
            for _ in range(20):
                it.calls(50)
                it.handover.flush()
            while (told := await it.asks("/readyz"))["status"] != "degraded":
                await asyncio.sleep(0.01)
            assert told["reasons"][0].startswith("store: ")
            assert (await it.asks("/healthz"))["status"] == "alive"
            assert it.handover.owes
            resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
            await it.everything_is_stored()
            assert (await it.asks("/readyz"))["status"] == "ready"
            assert it.supervisor.restarts == it.handover.dropped == 0
        assert set(stored_spans(it.place).values()) == {1}
        assert stored_spans(it.place).total() == 1020 * SPANS

    run(story())
    events = [line["event"] for line in lines(capfd) if line["event"].startswith("store: ")]
    assert len(events) == 2  # cannot be written to, can be written to again


# Its worker is killed


def test_when_the_worker_is_killed_it_stores_the_rest_and_ends_and_what_was_open_is_lost(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    count = 40
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(STATION), str(tmp_path), str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as worker:
        assert worker.stdout is not None
        observer = int(worker.stdout.readline())
        worker.kill()
        worker.wait()
        ends_by = time.monotonic() + DEADLINE_S
        while is_there(observer):
            assert time.monotonic() < ends_by
            time.sleep(0.01)
    finished = stored_spans(Place(tmp_path, bytes(32))).total()
    assert finished == 2 * count * SPANS + count * 3  # of those that go on: root, route, attempt

    async def story() -> None:
        async with Station(tmp_path) as it:
            it.calls(1)
            await it.everything_is_stored()
            assert (await it.asks("/api/calls"))["total"] == 0
        records = stored_records(it.place)
        lost = [record for record in records if record.attributes.get("sip.dialog.end") == "lost"]
        assert len(lost) == 2 * count
        assert len(records) == 3 * count * SPANS + SPANS
        assert {call.state for call in stored_calls(it.place)} == {"over"}

    run(story())
    assert "an earlier run did not end its spans; they are lost" in [line["event"] for line in lines(capfd)]


# Garbage


def spawned(folder: Path, theirs: socket.socket) -> subprocess.Popen[bytes]:
    """An observer without a supervisor."""
    orders = Orders.of(
        Station(folder).settings, Place(folder, bytes(32)), boot="b1", version="1", log_level="info"
    )
    sheet = orders.sheet()
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "sipproxy.observer", str(theirs.fileno())],
            stdin=sheet,
            stderr=subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
            cwd=ROOT,
        )
    finally:
        os.close(sheet)


@pytest.mark.parametrize(
    "garbage",
    [
        b"OPTIONS sip:observer SIP/2.0\r\n\r\n",
        b"\xff" * 100_000,
        frame(HELLO, 0, b"garbage"),
        frame(PARCEL, 7, b"garbage") + frame(END),
        b"",
    ],
)
def test_garbage_ends_it_without_a_crash(tmp_path: Path, garbage: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        observer = spawned(tmp_path, theirs)
        theirs.close()
        ours.sendall(garbage)
        ours.shutdown(socket.SHUT_WR)
        _, told = observer.communicate(timeout=DEADLINE_S)
    assert observer.returncode == 0
    events = [json.loads(line)["event"] for line in told.splitlines()]
    expected = {
        b"": [],
        frame(PARCEL, 7, b"garbage") + frame(END): ["a parcel cannot be read and is left out"],
    }.get(garbage, ["worker is not understood"])
    assert [event for event in events if event != "page"] == expected
