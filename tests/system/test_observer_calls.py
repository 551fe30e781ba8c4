"""Calls of real user agents through the real proxy, while its observer is killed, hangs or cannot work."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sipproxy.store.place import Place
from sipproxy.store.settings import StoreSettings
from tests.support.otlp import HttpReceiver
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.sipp import Cast, Role
from tests.support.station import stored_calls, stored_spans

HOST = "127.0.0.1"
RATE, SECONDS = 60, 4
CALLS = RATE * SECONDS
SPANS = 5  # of a call
PATIENCE_S = 20.0

if shutil.which("sipp") is None and os.environ.get("CI") != "true":
    pytest.skip("the calls need SIPp (apt install sip-tester)", allow_module_level=True)


class House:
    """A proxy between a SIPp that calls and one that answers."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.folder = folder
        self.caller, self.callee = free_port(HOST), free_port(HOST)
        self.proxy = Proxy(
            {
                "listen": [f"udp:{HOST}:0"],
                "trunks": {
                    "uac": {"address": f"{HOST}:{self.caller}", "match": [f"{HOST}:{self.caller}"]},
                    "uas": {"address": f"{HOST}:{self.callee}"},
                },
                "routes": [{"from": "uac", "to": ["uas"]}],
                **more,
            },
            folder / "proxy",
        )

    def makes_calls(self) -> None:
        """CastError when one of them fails."""
        with Cast() as cast:
            cast.enter(Role("callee", self._scenario("uas"), HOST, self.callee, calls=CALLS), self.folder)
            cast.enter(
                Role(
                    "caller",
                    self._scenario("uac"),
                    HOST,
                    self.caller,
                    calls_at=self.proxy.address("udp"),
                    calls=CALLS,
                    args=("-r", str(RATE), "-d", "500", "-l", "1000"),
                ),
                self.folder,
            )
            cast.finish()

    def _scenario(self, name: str) -> Path:
        """SIPp's own, but it does not wait for four seconds when it is through."""
        file = self.folder / f"{name}.xml"
        own = subprocess.run(["sipp", "-sd", name], capture_output=True, check=False).stdout
        file.write_bytes(own.replace(b'milliseconds="4000"', b'milliseconds="10"'))
        return file

    def observer(self, other_than: int | None = None) -> int:
        """Its process id."""
        pid: int = until(lambda: next((pid for pid in children(self.proxy.pid) if pid != other_than), None))
        return pid

    def kills_observers(self, count: int) -> None:
        """Each as soon as it has its page."""
        pid = None
        for number in range(1, count + 1):
            self._until_pages(number)
            pid = self.observer(pid)
            os.kill(pid, signal.SIGKILL)

    def _until_pages(self, count: int) -> None:
        until(lambda: events(self, "page").count("page") >= count)

    def asks(self, path: str) -> Any:
        with urllib.request.urlopen(self.proxy.page() + path, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    @property
    def place(self) -> Place:
        """Its store, once it has ended."""
        place = Place.find(StoreSettings(path=str(self.folder / "proxy" / "store")))
        assert place is not None
        return place

    def line(self, event: str) -> dict[str, Any]:
        """The first such line of its log."""
        read: list[dict[str, Any]] = [json.loads(line) for line in self.proxy.log]
        return next(line for line in read if line["event"] == event)


def children(pid: int) -> list[int]:
    """Of all its threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def until(found: Callable[[], Any]) -> Any:
    """What it is, once it is anything."""
    ends_by = time.monotonic() + PATIENCE_S
    while not (what := found()):
        assert time.monotonic() < ends_by
        time.sleep(0.01)
    return what


def all_is_there(house: House) -> None:
    spans = stored_spans(house.place)
    assert set(spans.values()) == {1}
    assert spans.total() == CALLS * SPANS
    calls = stored_calls(house.place)
    assert Counter((call.state, call.outcome) for call in calls) == {("over", "answered"): CALLS}


def test_while_it_is_killed_again_and_again_no_call_fails_and_no_span_is_lost(tmp_path: Path) -> None:
    with HttpReceiver() as receiver:
        house = House(tmp_path, tracing={"endpoint": receiver.endpoint})
        with house.proxy:
            killer = threading.Thread(target=house.kills_observers, args=(3,))
            killer.start()
            house.makes_calls()
            killer.join()
        all_is_there(house)
        arrived = {(span.trace_id, span.span_id) for span in receiver.wait_for(CALLS * SPANS, PATIENCE_S)}
        assert len(arrived) == CALLS * SPANS  # some may have come twice
    assert house.line("stopped")["spans_dropped"] == 0
    assert sum(json.loads(line)["event"] == "observer ended" for line in house.proxy.log) == 3


def test_while_it_hangs_calls_go_on_and_then_all_is_told(tmp_path: Path) -> None:
    house = House(tmp_path, tracing={"exporter": "none"})
    with house.proxy:
        house.proxy.page()
        pid = house.observer()
        os.kill(pid, signal.SIGSTOP)
        try:
            house.makes_calls()
        finally:
            os.kill(pid, signal.SIGCONT)
        until(lambda: house.asks("/api/calls")["total"] == 0)
    assert house.line("stopped")["spans_dropped"] == 0  # what is owed is far less than what may be
    all_is_there(house)


def test_without_a_folder_and_a_port_calls_go_on(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    house = House(
        tmp_path,
        tracing={"endpoint": f"http://{HOST}:{free_port(HOST)}"},  # nobody is there either
        store={"path": str(blocked / "store")},
    )
    with house.proxy:
        house.makes_calls()
    assert house.line("stopped")["spans_dropped"] == 0
    assert events(house, "store") == ["store: temporary"]


def events(house: House, beginning: str) -> list[str]:
    read = [json.loads(line)["event"] for line in house.proxy.log]
    return [event for event in read if event.startswith(beginning)]
