"""Collectors that fail in every way there is, all at once, and the real proxy, which is restarted meanwhile.

No span is lost, none comes twice, and no call feels anything of it.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sipproxy.telemetry.settings import Protocol
from tests.support.callers import Callers, Result
from tests.support.collectors import Absent, Answer, Collector, Judge, collector_of
from tests.support.ports import free_port
from tests.support.proxy import Proxy

pytestmark = pytest.mark.slow

HOST = "127.0.0.1"
RATE, SECONDS = 70, 5  # calls; each has three spans
CALLS, SPANS = RATE * SECONDS, 3
WITHIN_S = 60.0  # of the collectors' return: the longest pause is half of that
MOST_ADDED_US = 2000.0
TRIES = 3  # other things run on a machine that tests

FAULTS = {
    "redirects": Answer(302, {"Location": "https://login.example/"}),
    "400": Answer(400),
    "401": Answer(401),
    "429": Answer(429, retry_after_s=3),
    "500": Answer(500),
    "503": Answer(503),
    "breaks-off": Answer(cut=True),
}
ONLY_HTTP = {"redirects", "breaks-off"}
REFUSES, HANGS = "refuses", "hangs"


class City:
    """One collector for each fault and protocol, by the name of the destination that it is."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._absent: dict[str, Absent] = {}
        self.collectors: dict[str, Collector] = {}
        for protocol, short in ((Protocol.HTTP, "http"), (Protocol.GRPC, "grpc")):
            name = f"{REFUSES}-{short}"
            self._absent[name] = stack.enter_context(Absent(protocol))
            for fault in (HANGS, *FAULTS):
                if protocol is Protocol.HTTP or fault not in ONLY_HTTP:
                    collector = stack.enter_context(collector_of(protocol))
                    self.collectors[f"{fault}-{short}"] = collector

    def destinations(self) -> dict[str, dict[str, Any]]:
        places: dict[str, Absent | Collector] = {**self._absent, **self.collectors}
        return {
            name: {"endpoint": place.endpoint, "protocol": str(place.protocol), "timeout_s": 1.0}
            for name, place in places.items()
        }

    def fails(self) -> None:
        for name, collector in self.collectors.items():
            fault = name.rpartition("-")[0]
            collector.judge = _saying(FAULTS.get(fault, Answer(503)))
            if fault == HANGS:
                collector.hang()

    def recovers(self) -> None:
        for collector in self.collectors.values():
            collector.judge = lambda _: None
            collector.recover()  # what hangs gets the answer that was decided on when it came
        for name in self._absent.keys() - self.collectors.keys():
            self.collectors[name] = self._stack.enter_context(self._absent[name].arrive())


def _saying(answer: Answer) -> Judge:
    return lambda _: answer


class House:
    """The proxy, and whom it connects."""

    def __init__(self, folder: Path, destinations: dict[str, dict[str, Any]]) -> None:
        self._folder = folder
        self.caller, self.callee = free_port(HOST), free_port(HOST)
        self._config = {
            "listen": [f"udp:{HOST}:0"],
            "trunks": {
                "callers": {"address": f"{HOST}:{self.caller}", "match": [f"{HOST}:{self.caller}"]},
                "callees": {"address": f"{HOST}:{self.callee}"},
            },
            "routes": [{"from": "callers", "to": ["callees"]}],
            "store": {"path": str(folder / "store")},
            "tracing": {"exporter": "none", "destinations": destinations, "every_ms": 100, "batch": 128},
        }
        self.proxies: list[Proxy] = []

    @contextlib.contextmanager
    def proxy(self) -> Iterator[Proxy]:
        """The same one again, and its store."""
        proxy = Proxy(self._config, self._folder / f"{len(self.proxies)}")
        self.proxies.append(proxy)
        with proxy:
            proxy.page()
            yield proxy

    def calls(self, proxy: Proxy) -> Result:
        """All of them answered."""
        callers = Callers(proxy.address("udp"), self.caller, self.callee, CALLS, RATE)
        result = callers.finish(SECONDS + 20.0)
        assert result.answered == CALLS
        return result

    def events(self) -> Counter[tuple[str, str]]:
        """Of the logs, by destination."""
        lines = [json.loads(line) for proxy in self.proxies for line in proxy.log]
        return Counter((line["destination"], line["event"]) for line in lines if "destination" in line)


def test_nothing_is_lost_and_nothing_comes_twice_over_a_restart(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        city = City(stack)
        house = House(tmp_path, city.destinations())
        city.fails()
        with house.proxy() as proxy:
            house.calls(proxy)
        with house.proxy() as proxy:
            house.calls(proxy)
            city.recovers()
            for collector in city.collectors.values():
                collector.wait_for(2 * CALLS * SPANS, WITHIN_S)
        for name, collector in city.collectors.items():
            spans = Counter(span.span_id for span in collector.spans)
            assert (name, len(spans), spans.total()) == (name, 2 * CALLS * SPANS, 2 * CALLS * SPANS)
            boots = Counter(span.resource["service.instance.id"] for span in collector.spans)
            assert sorted(boots.values()) == [CALLS * SPANS, CALLS * SPANS], name
        events = house.events()
        for name in city.collectors:
            assert events[name, "collector is back"] == 1, name
            told = sum(count for (where, _), count in events.items() if where == name)
            assert told <= 5, (
                name,
                events,
            )  # twice that it is away, once that spans wait, once that it is back


@pytest.mark.alone
def test_calls_feel_nothing_of_it(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        city = City(stack)
        house = House(tmp_path, city.destinations())
        added: list[float] = []
        with house.proxy() as proxy:
            house.calls(proxy)  # both sides get warm
            for _ in range(TRIES):
                healthy = house.calls(proxy).p99_us()
                city.fails()
                added.append(house.calls(proxy).p99_us() - healthy)
                if added[-1] <= MOST_ADDED_US:
                    break
                city.recovers()
    assert min(added) <= MOST_ADDED_US, added
