"""Two regions, and 120 ms between them: alice and a proxy in the one, another proxy and bob in the other.

Two calls: bob rings at once, or thinks for 400 ms first. Where the time goes must be told apart: the way, the
proxies, bob. And a third one, by TCP.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from sipproxy import __version__
from tests.support.otlp import HttpReceiver
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.sipp import Cast, Role
from tests.support.spans import Span, children, drawn, roots
from tests.support.story import SCENARIOS

from .region_path import Region, two_regions

if shutil.which("sipp") is None and os.environ.get("CI") != "true":
    pytest.skip("the calls need SIPp (apt install sip-tester)", allow_module_level=True)

ONE_WAY_S = 0.060
WAY_MS = 120.0
SLACK_MS = 100.0  # what a busy machine may add; no round trip can hide in it
THINKS_MS = 400  # longer than the way, shorter than the time until an INVITE is repeated
LATE_US = 20_000  # of a proxy: somebody else had the processor
ENOUGH = 4  # OPTIONS that are answered
SPANS = 5  # of a call in a proxy
PATIENCE_S = 10.0
ALICE, BOB = "127.0.0.2", "127.0.0.3"
QUICK, SLOW, BY_TCP = CALLS = ("quick", "slow", "by TCP")
ROUNDS = 3  # how often all calls are placed, at most
CALLERS_SPAN = "00f067aa0ba902b7"
NAMES = {"eu": "eu-west-2", "us": "us-east-1"}


@dataclass(frozen=True, slots=True)
class Played:
    """What both collectors have, and what was measured before any call."""

    spans: Mapping[str, Sequence[Span]]
    traces: Mapping[str, str]  # the calls' trace ids
    way: str  # what delayed it: netem or tun
    figures: str  # of eu, before the first call

    def all(self, call: str) -> list[Span]:
        """A whole trace."""
        return [s for region in self.spans.values() for s in region if s.trace_id == self.traces[call]]

    def one(self, region: str, title: str, call: str) -> Span:
        """The span of that name and kind."""
        trace_id = self.traces[call]
        found = [s for s in self.spans[region] if s.title == title and s.trace_id == trace_id]
        assert len(found) == 1, drawn(self.all(call))
        return found[0]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """Both calls, once for all stories."""
    folder = tmp_path_factory.mktemp("regions")
    with ExitStack() as stack:
        eu, us, way = stack.enter_context(two_regions(ONE_WAY_S))
        collectors = {}
        for name, region in (("eu", eu), ("us", us)):
            with region.inside():
                collectors[name] = stack.enter_context(HttpReceiver())
        bob_at = f"{BOB}:5070"  # nobody else is in his region: no port is taken there
        theirs: dict[str, Any] = {"eu": _neighbour(eu), "bob": {"address": bob_at}}
        with us.inside():
            there = Proxy(_settings("us", us, collectors["us"], theirs), folder / "us")
        ours: dict[str, Any] = {
            "us": _neighbour(us),
            "us-tcp": {"address": f"{us.address}:5060;transport=tcp"},
            "alice": {"address": f"{ALICE}:5070", "match": [ALICE]},
        }
        with eu.inside():
            here = Proxy(_settings("eu", eu, collectors["eu"], ours), folder / "eu")
        stack.enter_context(there)
        stack.enter_context(here)
        with eu.inside():
            figures = _until_answered(here, "us")
        with us.inside():
            _until_answered(there, "eu")
        for _ in range(ROUNDS):
            traces = {call: secrets.token_hex(16) for call in CALLS}
            for call, trace_id in traces.items():
                _call(eu, us, folder / trace_id, bob_at, trace_id, call)
            spans = {name: _spans_of(collectors[name], list(traces.values())) for name in collectors}
            if not any(map(_is_late, [*spans["eu"], *spans["us"]])):
                break
        for proxy in (here, there):
            proxy.stop()
        yield Played(spans, traces, way, figures)


def _spans_of(collector: HttpReceiver, traces: Sequence[str]) -> list[Span]:
    """Of these calls, once they are all there."""

    def ours(spans: Sequence[Span]) -> list[Span]:
        return [span for span in spans if span.trace_id in traces]

    return ours(collector.wait_for(lambda spans: len(ours(spans)) == SPANS * len(traces)))


def _is_late(span: Span) -> bool:
    """Whether this machine was too busy meanwhile for anything to be measured on it."""
    delay_us = span.attributes.get("sip.proxy.delay_us", 0)
    return isinstance(delay_us, int) and delay_us > LATE_US


def _neighbour(region: Region) -> dict[str, Any]:
    at = f"{region.address}:5060"
    return {"address": at, "match": [region.address], "health": {"options_every_s": 0.25}}


def _settings(name: str, region: Region, collector: HttpReceiver, trunks: dict[str, Any]) -> dict[str, Any]:
    source, target = ("eu", "bob") if name == "us" else ("alice", "us")
    by_tcp = [] if name == "us" else [{"user": "^tcp$", "to": ["us-tcp"]}]
    return {
        "listen": [f"udp:{region.address}:5060", f"tcp:{region.address}:5060"],
        "region": NAMES[name],
        "trunks": trunks,
        "routes": [*by_tcp, {"from": source, "to": [target]}],
        "tracing": {"endpoint": collector.endpoint, "every_ms": 50},
    }


def _until_answered(proxy: Proxy, trunk: str) -> str:
    """Its figures, once enough of its OPTIONS have come back: the first ones met a busy start."""
    counted = re.compile(
        rf'^sip_messages_total{{direction="received",method="2xx",trunk="{trunk}"}} (\d+)', re.MULTILINE
    )
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        with urlopen(f"{proxy.page()}/metrics", timeout=PATIENCE_S) as answer:
            figures: str = answer.read().decode()
        answered = counted.search(figures)
        if answered is not None and int(answered[1]) >= ENOUGH:
            return figures
        assert time.monotonic() < give_up_at, f"{trunk} has answered {answered and answered[1]} OPTIONS"


def _call(eu: Region, us: Region, folder: Path, bob_at: str, trace_id: str, call: str) -> None:
    """From alice to bob, who may let her wait."""
    thinks_ms = THINKS_MS if call == SLOW else 0
    folder.mkdir()
    text = (SCENARIOS / "common/callee.xml").read_text()
    before, first_answer, after = text.partition("  <send>")
    plays = folder / "bob.xml"
    plays.write_text(f'{before}  <pause milliseconds="{thinks_ms}"/>\n{first_answer}{after}')
    headers = f"traceparent: 00-{trace_id}-{CALLERS_SPAN}-01"
    with Cast() as cast:
        with us.inside():
            cast.enter(Role("bob", plays, BOB, 5070, keys={"contact": bob_at}), folder)
        with eu.inside():
            port = free_port(ALICE)
            keys = {"contact": f"{ALICE}:{port}", "headers": headers}
            plays = SCENARIOS / "common/caller.xml"
            at = f"{eu.address}:5060"
            cast.enter(
                Role(
                    "alice",
                    plays,
                    ALICE,
                    port,
                    calls_at=at,
                    dials="tcp" if call == BY_TCP else "bob",
                    keys=keys,
                ),
                folder,
            )
        cast.finish()


def lasted_ms(span: Span) -> float:
    """Its length."""
    return (span.end_ns - span.start_ns) / 1e6


def after_ms(span: Span, event: str) -> float:
    """When that happened, from the span's start."""
    [at] = [found.time_ns for found in span.events if found.name == event]
    return (at - span.start_ns) / 1e6


def rtt_ms(span: Span) -> float:
    """What it says of the way to its peer."""
    value = span.attributes["sip.peer.rtt_ms"]
    assert isinstance(value, float)
    return value


def is_the_way(ms: float) -> bool:
    """One way and back, and little more."""
    return WAY_MS <= ms < WAY_MS + SLACK_MS


def test_the_way_is_known_before_the_first_call(played: Played, record_property: Callable[..., None]) -> None:
    """OPTIONS have measured it."""
    record_property("delayed by", played.way)
    assert 'sip_calls_total{outcome="answered",trunk="alice"} 0' in played.figures
    assert is_the_way(rtt_ms(played.one("eu", "INVITE client", QUICK)))
    assert is_the_way(rtt_ms(played.one("us", "INVITE server", QUICK)))


@pytest.mark.parametrize("call", [QUICK, SLOW])
def test_the_way_is_on_the_span_that_goes_there(played: Played, call: str) -> None:
    """The attempt of the one proxy takes longer than the call of the other, by the way."""
    attempt, there = played.one("eu", "INVITE client", call), played.one("us", "INVITE server", call)
    assert is_the_way(lasted_ms(attempt) - lasted_ms(there))
    assert is_the_way(after_ms(attempt, "100"))
    assert is_the_way(rtt_ms(attempt))
    assert WAY_MS / 2 <= (there.start_ns - attempt.start_ns) / 1e6 < WAY_MS / 2 + SLACK_MS


@pytest.mark.parametrize("call", [QUICK, SLOW])
def test_the_way_is_on_no_other_span(played: Played, call: str) -> None:
    thinks_ms = THINKS_MS if call == SLOW else 0
    for title in ("INVITE server", "INVITE client"):
        in_his_region = played.one("us", title, call)
        assert thinks_ms <= lasted_ms(in_his_region) < thinks_ms + SLACK_MS
    hers = played.one("eu", "INVITE server", call)
    assert lasted_ms(hers) - lasted_ms(played.one("eu", "INVITE client", call)) < SLACK_MS
    for region in NAMES:
        assert lasted_ms(played.one(region, "route internal", call)) < SLACK_MS


def test_neither_proxy_takes_the_time(played: Played) -> None:
    for call in (QUICK, SLOW):
        for region in NAMES:
            delay_us = played.one(region, "INVITE client", call).attributes["sip.proxy.delay_us"]
            assert isinstance(delay_us, int)
            assert 0 < delay_us < SLACK_MS * 1000


def test_a_callee_that_thinks_is_no_long_way(played: Played) -> None:
    """Bob says nothing until he rings: what he thinks must not pass for the network."""
    attempt, dialog = played.one("us", "INVITE client", SLOW), played.one("us", "dialog client", SLOW)
    assert after_ms(attempt, "180") >= THINKS_MS
    for span in (attempt, dialog):
        assert span.attributes.get("sip.peer.rtt_ms", 0.0) < SLACK_MS  # type: ignore[operator]
    for region, title in (("eu", "dialog client"), ("us", "dialog server")):
        assert is_the_way(rtt_ms(played.one(region, title, SLOW)))


def test_a_handshake_is_no_round_trip(played: Played) -> None:
    """The call that had to connect first took two of them, and says so, but not of the way."""
    attempt = played.one("eu", "INVITE client", BY_TCP)
    assert attempt.attributes["network.transport"] == "tcp"
    assert after_ms(attempt, "100") >= 2 * WAY_MS
    assert "sip.peer.rtt_ms" not in played.one("eu", "dialog client", BY_TCP).attributes


def test_dialogs_tell_the_way_to_their_peer(played: Played) -> None:
    assert is_the_way(rtt_ms(played.one("eu", "dialog client", QUICK)))
    assert is_the_way(rtt_ms(played.one("us", "dialog server", QUICK)))
    for region, title in (("eu", "dialog server"), ("us", "dialog client")):
        near = played.one(region, title, QUICK).attributes.get("sip.peer.rtt_ms", 0.0)
        assert near < SLACK_MS  # type: ignore[operator]


def test_it_is_one_trace(played: Played) -> None:
    for call in (QUICK, SLOW):
        spans = played.all(call)
        [root] = roots(spans)
        assert root.parent_id == CALLERS_SPAN
        attempt = played.one("eu", "INVITE client", call)
        assert children(spans, attempt) == [played.one("us", "INVITE server", call)]
        assert len(spans) == 2 * SPANS, drawn(spans)


def test_each_span_says_where_it_was_made(played: Played) -> None:
    instances = set()
    for name, spans in played.spans.items():
        resources = {(s.resource["cloud.region"], s.resource["service.version"]) for s in spans}
        assert resources == {(NAMES[name], f"{__version__}+{NAMES[name]}")}
        instances |= {span.resource["service.instance.id"] for span in spans}
        assert {span.resource["service.name"] for span in spans} == {"sipproxy"}
        assert not any("region" in attribute for span in spans for attribute in span.attributes)
    assert len(instances) == 2
