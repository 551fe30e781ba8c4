"""The API and the commands with everything real: SIPp calls through the proxy, an operator looks at them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.support.ports import free_port
from tests.support.proxy import ROOT, Proxy
from tests.support.sipp import Cast, Role

HOST = "127.0.0.1"
NUMBER = "+4915550002222"
CALL_ID = "a-call-of-ours@somewhere"
PATIENCE_S = 20.0
TOKEN = "only-for-this-test"

if shutil.which("sipp") is None and os.environ.get("CI") != "true":
    pytest.skip("the calls need SIPp (apt install sip-tester)", allow_module_level=True)

Found = TypeVar("Found")


class House:
    """A proxy between a SIPp that calls and one that answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._calls = 0
        self.caller, self.callee = free_port(HOST), free_port(HOST)
        self.admin = free_port(HOST)
        self.proxy = Proxy(
            {
                "listen": [f"udp:{HOST}:0"],
                "trunks": {
                    "uac": {"address": f"{HOST}:{self.caller}", "match": [f"{HOST}:{self.caller}"]},
                    "uas": {"address": f"{HOST}:{self.callee}"},
                },
                "routes": [{"from": "uac", "to": ["uas"]}],
                "admin": {"listen": f"{HOST}:{self.admin}", "token": TOKEN},
                "store": {"path": str(folder / "store")},
                "tracing": {"exporter": "none"},
            },
            folder / "proxy",
        )

    @contextmanager
    def talking(self, seconds: float) -> Iterator[Cast]:
        """A call, answered, that lasts so long. Who wants to see its end says `finish`."""
        self._calls += 1
        folder = self.folder / f"call-{self._calls}"
        with Cast() as cast:
            cast.enter(Role("callee", self._scenario("uas"), HOST, self.callee, calls=1), folder)
            talks = ("-d", str(round(seconds * 1000)), "-cid_str", CALL_ID, "-recv_timeout", "20000")
            role = Role(
                "caller",
                self._scenario("uac"),
                HOST,
                self.caller,
                calls_at=self.proxy.address("udp"),
                dials=NUMBER,
                args=talks,
            )
            cast.enter(role, folder)
            until(lambda: [call for call in self.get("/api/calls")["calls"] if call["state"] == "talking"])
            yield cast

    def _scenario(self, name: str) -> Path:
        """SIPp's own, without the four seconds that it waits for repetitions at the end."""
        text = subprocess.run(["sipp", "-sd", name], capture_output=True, text=True, check=False).stdout
        file = self.folder / f"{name}.xml"
        file.write_text(re.sub(r"<timewait [^>]*>", "", text))
        return file

    def get(self, path: str) -> Any:
        return json.loads(self.ask(path)[1])

    def ask(self, path: str, token: str = TOKEN) -> tuple[int, bytes]:
        """Status and body."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"http://{HOST}:{self.admin}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def command(self, *words: str) -> subprocess.Popen[str]:
        """A command that knows of the proxy by its file."""
        return subprocess.Popen(
            [sys.executable, "-m", "sipproxy", words[0], "-c", str(self.proxy.config_file), *words[1:]],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def done(self, *words: str) -> tuple[int, str, str]:
        """Its exit code, and what it said."""
        with self.command(*words) as process:
            out, err = process.communicate(timeout=PATIENCE_S)
            return process.returncode, out, err


def until(found: Callable[[], Found], *, patience_s: float = PATIENCE_S) -> Found:
    """What it is, once it is anything."""
    ends_by = time.monotonic() + patience_s
    while not (what := found()):
        assert time.monotonic() < ends_by
    return what


def alive(pid: int) -> bool:
    """Whether it runs, and has not only left its exit code behind."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    try:
        house.proxy.wait_until_ready()
        house.proxy.page()
        yield house
    finally:
        if alive(house.proxy.pid):
            house.proxy.stop()


def test_a_live_call_is_seen_and_then_read(house: House) -> None:
    with house.talking(2.0) as cast:
        code, out, _ = house.done("calls", "--json")
        (live,) = map(json.loads, out.splitlines())
        assert (code, live["state"], live["to"], live["trunks"]) == (0, "talking", "***22", ["uac", "uas"])
        context = house.get(f"/api/calls/{CALL_ID}/context")
        assert (context["leg"], context["trace_id"]) == ("caller", live["trace_id"])
        callees = house.get(f"/api/calls/{live['id']}/context")
        assert callees["leg"] == "callee"
        story = until(lambda: house.get(f"/api/traces/{CALL_ID}"))
        open_spans = {span["span_id"] for span in story["spans"] if span["end_us"] is None}
        assert {context["span_id"], callees["span_id"]} <= open_spans
        cast.finish()
    until(lambda: house.get("/api/calls")["total"] == 0)
    until(lambda: house.get(f"/api/traces/{CALL_ID}")["calls"][0]["state"] == "over")
    assert house.ask(f"/api/calls/{CALL_ID}/context")[0] == 404
    code, out, err = house.done("trace", CALL_ID)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    assert "sip.dialog.end=caller_bye" in out
    heads = [line.split() for line in out.splitlines() if "sipproxy" in line]
    assert heads == [["ms", "uac", "sipproxy", "uas"]]
    arrows = [line for line in out.splitlines() if "▶│" in line or "│◀" in line]
    assert sum("INVITE (SDP)" in line for line in arrows) == 2
    assert sum("BYE" in line and "200 OK" not in line for line in arrows) == 2
    found = house.get("/api/traces?outcome=answered&trunk=uas&since=5m")["calls"]
    assert [call["id"] for call in found] == [live["id"]]
    assert NUMBER[1:] not in out + json.dumps([story, found, live]) + house.proxy.output


def test_the_stream_tells_of_a_call_from_its_beginning_to_its_end(house: House) -> None:
    with house.command("calls", "--follow", "--json") as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["event"] == "state"
        with house.talking(1.0) as cast:
            cast.finish()
        told: list[tuple[str, str]] = []
        while not told or told[-1][0] != "ended":
            event = json.loads(following.stdout.readline())
            if event["event"] != "state":
                told.append((event["event"], event["call"]["state"]))
        assert told[0][0] == "added"
        assert ("changed", "talking") in told or told[0] == ("added", "talking")
        assert told[-1] == ("ended", "over")
        following.send_signal(signal.SIGINT)
        _, err = following.communicate(timeout=PATIENCE_S)
        assert (following.returncode, err) == (0, "")


def test_a_drain_is_watched_and_health_tells_it_from_death(house: House) -> None:
    assert [house.ask(path, "")[0] for path in ("/healthz", "/readyz", "/api/calls")] == [200, 200, 401]
    with house.talking(2.5) as cast, house.command("drain") as draining:
        assert draining.stdout is not None
        assert "new calls are refused" in draining.stdout.readline()
        assert draining.stdout.readline() == "1 calls left\n"
        until(lambda: house.ask("/readyz", "")[0] == 503)
        assert json.loads(house.ask("/readyz", "")[1])["status"] == "draining"
        assert house.ask("/healthz", "")[0] == 200
        cast.finish()
        out, err = draining.communicate(timeout=PATIENCE_S)
        assert (draining.returncode, err) == (0, "")
        assert out.endswith("the proxy has ended\n")
    assert house.proxy.wait() == 0


def test_the_log_level_changes_while_it_runs(house: House) -> None:
    with house.talking(0.2) as cast:
        cast.finish()
    assert house.done("log-level", "debug")[:2] == (0, "the log level is debug\n")
    with house.talking(0.2) as cast:
        cast.finish()

    def levels() -> set[str]:
        return {json.loads(line)["level"] for line in house.proxy.log}

    until(lambda: "debug" in levels())


def test_the_calls_of_a_proxy_that_was_killed_can_be_read(house: House) -> None:
    with house.talking(5.0):
        until(lambda: len(house.get(f"/api/traces/{CALL_ID}").get("messages", [])) >= 9)
        os.kill(house.proxy.pid, signal.SIGKILL)
        house.proxy.wait()
    code, out, err = house.done("trace", CALL_ID)
    assert code == 0, err
    assert err.startswith(
        f"sipproxy: no proxy answers at http://{HOST}:{house.admin}: Connection refused; reading"
    )
    assert [line for line in out.splitlines() if "dialog" in line and line.endswith(" open")]
    assert "INVITE (SDP)" in out
    assert house.done("trace", "another")[0] == 1
    assert house.done("calls")[0] == 1
