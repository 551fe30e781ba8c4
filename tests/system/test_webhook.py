"""The routing webhook with real parts: the proxy's process, SIPp on both sides, and the application of
docs/webhook.md, which is slow, is killed, and comes back.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import wire
from tests.support.application import Application
from tests.support.otlp import HttpReceiver
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.sipp import Cast, Role
from tests.support.spans import Span, children
from tests.support.story import SCENARIOS

HOST = "127.0.0.1"
TIMEOUT_MS = 300
PATIENCE_S = 20.0
TRACE_ID, CALLERS_SPAN = "4bf92f3577f34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
Messages = dict[str, Sequence[wire.Message]]

if shutil.which("sipp") is None and os.environ.get("CI") != "true":
    pytest.skip("the calls need SIPp (apt install sip-tester)", allow_module_level=True)


class Office:
    """A proxy that asks the application where Alice's calls go: to one of two carriers."""

    def __init__(self, folder: Path, receiver: HttpReceiver, app: Application) -> None:
        self.folder = folder
        self.receiver = receiver
        self.app = app
        self.caller, self.carriers = free_port(HOST), (free_port(HOST), free_port(HOST))
        addresses = [f"{HOST}:{port}" for port in self.carriers]
        self.proxy = Proxy(
            {
                "listen": [f"udp:{HOST}:0"],
                "trunks": {
                    "sbc": {"address": f"{HOST}:{self.caller}", "match": [f"{HOST}:{self.caller}"]},
                    "carrier-a": {"address": addresses[0]},
                    "carrier-b": {"address": addresses[1]},
                },
                "routes": [
                    {
                        "from": "sbc",
                        "to": ["carrier-a"],
                        "webhook": app.url,
                        "timeout_ms": TIMEOUT_MS,
                        "webhook_headers": ["X-Tenant"],
                    }
                ],
                "tracing": {"exporter": "otlp", "endpoint": receiver.endpoint, "every_ms": 50},
                "timeouts": {"drain_s": 2},
            },
            folder / "proxy",
        )

    def calls(self, tenant: str, *, plays: str = "caller", reaches: int | None) -> Messages:
        """One call from that tenant, and the carrier that it reaches; what each has seen."""
        folder = self.folder / tenant
        headers = f"X-Tenant: {tenant}\r\ntraceparent: 00-{TRACE_ID}-{CALLERS_SPAN}-01"
        with Cast() as cast:
            if reaches is not None:
                cast.enter(self._role("callee", "callee", self.carriers[reaches]), folder)
            cast.enter(self._role("caller", plays, self.caller, headers), folder)
            cast.finish()
            return {actor.role.name: actor.messages for actor in cast.actors}

    def _role(self, name: str, plays: str, port: int, headers: str = "") -> Role:
        calls_at = self.proxy.address("udp") if headers else None
        keys = {"contact": f"{HOST}:{port}", "headers": headers}
        return Role(name, SCENARIOS / "common" / f"{plays}.xml", HOST, port, calls_at=calls_at, keys=keys)

    def many(self, count: int, rate: int, *, meanwhile: Callable[[], object] = lambda: None) -> None:
        """So many calls a second, none of which may fail, whatever happens meanwhile."""
        folder = self.folder / f"many-{time.monotonic_ns()}"
        folder.mkdir()
        with Cast() as cast:
            for number, port in enumerate(self.carriers):  # nobody knows how many calls each gets
                cast.enter(Role(f"callee-{number}", _own("uas", folder), HOST, port, calls=count), folder)
            address = self.proxy.address("udp")
            args = ("-r", str(rate), "-d", "100", "-l", "1000")
            uac = _own("uac", folder)
            role = Role("caller", uac, HOST, self.caller, calls_at=address, calls=count, args=args)
            caller = cast.enter(role, folder)
            meanwhile()
            assert caller.wait(PATIENCE_S + count / rate) == 0, caller.report()

    def line(self, event: str) -> str:
        """The first such line of the proxy's log, once it is there."""
        return str(until(lambda: next((line for line in self.proxy.log if f'"{event}"' in line), None)))

    def spans(self, name: str, count: int = 1) -> list[Span]:
        """All of that name, once there are so many."""
        found = self.receiver.wait_for(lambda spans: _count(spans, name) >= count, PATIENCE_S)
        return [span for span in found if span.name == name]


def _count(spans: Sequence[Span], name: str) -> int:
    return sum(span.name == name for span in spans)


def _own(name: str, folder: Path) -> Path:
    """SIPp's own scenario, but it does not wait for four seconds when it is through."""
    file = folder / f"{name}.xml"
    own = subprocess.run(["sipp", "-sd", name], capture_output=True, check=False).stdout
    file.write_bytes(own.replace(b'milliseconds="4000"', b'milliseconds="10"'))
    return file


def until(found: Callable[[], Any]) -> Any:
    """What it is, once it is anything."""
    ends_by = time.monotonic() + PATIENCE_S
    while not (what := found()):
        assert time.monotonic() < ends_by
        time.sleep(0.01)
    return what


def has(span: Span, event: str) -> bool:
    return event in [each.name for each in span.events]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with HttpReceiver() as receiver, Application(tmp_path, receiver.endpoint) as app:
        office = Office(tmp_path, receiver, app)
        with office.proxy:
            yield office


def test_the_application_decides_and_its_spans_are_part_of_the_call(office: Office) -> None:
    seen = office.calls("acme", reaches=1)
    (invite,) = wire.pick(seen, "callee INVITE")
    assert invite.values("X-Queue") == ["gold"]
    (chosen,) = office.spans("choose trunk")
    (database,) = office.spans("database")
    (routed,) = office.spans("route")
    (asked,) = office.spans("webhook")
    assert {span.trace_id for span in (chosen, database, routed, asked)} == {TRACE_ID}
    assert (chosen.kind, chosen.resource["service.name"]) == ("server", "routing")
    assert chosen.parent_id == asked.parent_id == routed.span_id
    assert database.parent_id == chosen.span_id
    assert asked.start_ns <= chosen.start_ns <= chosen.end_ns <= asked.end_ns
    (root,) = [span for span in office.spans("INVITE", 2) if span.kind == "server"]
    assert (root.parent_id, routed.parent_id) == (CALLERS_SPAN, root.span_id)
    assert routed.attributes["sip.trunk"] == "carrier-b"
    assert not has(routed, "fallback")
    assert {span.title for span in children(office.receiver.spans, routed)} == {
        "choose trunk server",
        "webhook client",
    }
    for said in (*office.receiver.requests, office.proxy.output.encode()):
        assert b"555098765" not in said  # the caller's number, which the application was told


def test_whom_it_does_not_know_goes_as_it_says_too(office: Office) -> None:
    office.calls("stranger", reaches=0)
    (routed,) = office.spans("route")
    assert routed.attributes["sip.trunk"] == "carrier-a"
    assert not has(routed, "fallback")


def test_the_application_rejects(office: Office) -> None:
    seen = office.calls("debtor", plays="caller-gets-403", reaches=None)
    (refusal,) = wire.pick(seen, "caller 403")
    assert refusal.start_line == "SIP/2.0 403 Account suspended"
    (chosen,), (routed,) = office.spans("choose trunk"), office.spans("route")
    assert chosen.parent_id == routed.span_id
    (root,) = office.spans("INVITE")
    assert root.attributes["sip.response.status_code"] == 403


def test_the_application_is_too_slow(office: Office) -> None:
    """What it does at last has its place in the trace all the same."""
    office.app.stop()
    office.calls("acme", reaches=0)
    (routed,) = office.spans("route")
    (asked,) = office.spans("webhook")
    assert has(routed, "fallback")
    assert (asked.status, asked.attributes["error.type"]) == ("error", "webhook")
    # The wall clock runs a little beside the loop's.
    assert TIMEOUT_MS - 5 < (asked.end_ns - asked.start_ns) / 1e6 < TIMEOUT_MS + 500
    office.app.wake()
    (chosen,) = office.spans("choose trunk")
    assert (chosen.trace_id, chosen.parent_id) == (TRACE_ID, routed.span_id)
    assert chosen.end_ns > asked.end_ns


def test_the_application_is_killed_under_load(office: Office) -> None:
    calls = 200

    def kill_it() -> None:
        office.spans("choose trunk", 30)
        office.app.kill()

    office.many(calls, 50, meanwhile=kill_it)
    office.line("application left alone")
    routed = office.spans("route", calls)
    fallbacks = [span for span in routed if has(span, "fallback")]
    assert 0 < len(fallbacks) < calls
    assert len(routed) == calls
    asked = office.spans("webhook", calls)
    assert sum(span.status == "error" for span in asked) == len(fallbacks)


def test_the_application_hangs_under_load_and_comes_back(office: Office) -> None:
    """Soon nobody waits for it; when it is back it is asked again."""
    calls = 150
    office.app.stop()
    office.many(calls, 50)
    office.line("application left alone")
    waited = [(span.end_ns - span.start_ns) / 1e6 for span in office.spans("webhook", calls)]
    assert max(waited) < TIMEOUT_MS + 500
    assert sum(each < 50 for each in waited) > calls / 2
    office.app.wake()
    ends_by = time.monotonic() + PATIENCE_S
    while not any("application answers again" in line for line in office.proxy.log):
        assert time.monotonic() < ends_by
        office.many(5, 10)
    before = len(office.spans("route", 1))
    office.many(20, 20)
    latest = sorted(office.spans("route", before + 20), key=lambda span: span.start_ns)[-20:]
    assert not any(has(span, "fallback") for span in latest)
