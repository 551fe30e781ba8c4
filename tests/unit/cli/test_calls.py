"""`sipproxy calls`, once and on and on; `drain`, which watches them go."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any, TextIO, cast

import pytest

from sipproxy.admin import events as hub
from sipproxy.admin.http import WorkerState
from sipproxy.admin.settings import AdminSettings
from sipproxy.cli import calls as module
from sipproxy.cli.calls import ADDED, CHANGED, ENDED, STATE, Calls
from sipproxy.store.summary import OVER, RINGING, CallSummary, live_row
from tests.unit.admin.support import DEADLINE_S, World, call, changes
from tests.unit.cli.support import Served, on_a_terminal, run, served

DRAINING = WorkerState(age_s=0.1, listening=True, draining=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "JOINED_S", 0.02)
    monkeypatch.setattr(hub, "STATE_S", 0.02)
    monkeypatch.setattr(module, "PATIENCE_S", 0.2)
    monkeypatch.setattr(module, "DRAINED_S", 0.1)
    monkeypatch.setattr(module, "_PAUSE_S", 0.02)


def test_a_table_in_80_columns(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    began_ns = time.time_ns() - 3_725 * 10**9
    world.live.now = [
        call(1, began_ns=began_ns, state="transferring", transfers=2),
        call(2, began_ns=began_ns, sender="a name that is far too long for it", trunks=("sbc",)),
        call(3, began_ns=began_ns, trunks=("a-trunk-with-a-long-name", "another-one")),
    ]
    with served(world) as proxy:
        assert run("calls", "--url", proxy.url) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0].split() == ["call", "state", "for", "from", "to", "trunks"]
    assert re.split(" {2,}", lines[1])[:5] == [
        "0000000000000001",
        "transferring",
        "1:02:05",
        "***34",
        "***89",
    ]
    assert [line[:16] for line in lines[2:]] == ["0000000000000002", "0000000000000003"]
    assert max(map(len, lines)) <= 80


def test_no_calls_are_said_to_be_none(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with served(world) as proxy:
        assert run("calls", "--url", proxy.url) == 0
        assert run("calls", "--json", "--url", proxy.url) == 0
    assert capsys.readouterr().out == "no calls\n"


def test_json_is_a_line_for_each_call(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.live.now = [call(1), call(2)]
    with served(world) as proxy:
        assert run("calls", "--json", "--url", proxy.url) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [live_row(one) for one in world.live.now]


# What is known from lists and events


def listed(known: Calls, seq: int, *calls: CallSummary) -> list[tuple[str, str]]:
    body = {"seq": seq, "calls": [live_row(one) for one in calls]}
    return [(what, data["id"][-1]) for what, data in known.listed(body)]


def told(known: Calls, seq: int, **lists: list[CallSummary]) -> list[tuple[str, str]]:
    data = {name: [live_row(one) for one in lists.get(name, [])] for name in (ADDED, CHANGED, ENDED)}
    return [(what, one["id"][-1]) for what, one in known.told("calls", seq, data)]


def test_a_list_and_the_events_after_it_are_one_story() -> None:
    known = Calls()
    assert told(known, 4, added=[call(1)]) == [(ADDED, "1")]
    assert listed(known, 5, call(1), call(2)) == [(ADDED, "2")]
    assert told(known, 5, ended=[call(2)]) == []  # in the list already
    assert told(known, 6, added=[call(2)], changed=[call(1, transfers=1)]) == [(CHANGED, "1")]
    assert told(known, 7, added=[call(3)], ended=[call(1)]) == [(ADDED, "3"), (ENDED, "1")]
    assert sorted(known.known) == [call(2).root_id, call(3).root_id]


def test_after_a_restart_the_list_tells_what_was_missed() -> None:
    known = Calls()
    listed(known, 9, call(1), call(2))
    assert listed(known, 0, call(2, state=RINGING), call(3)) == [(ENDED, "1"), (CHANGED, "2"), (ADDED, "3")]
    assert told(known, 1, ended=[call(3)]) == [(ENDED, "3")]


# On and on


class Output:
    """What a command prints, while it runs in this thread, for the one that tells the story."""

    def __init__(self) -> None:
        self.text = ""
        self._new = threading.Condition()

    def write(self, text: str) -> int:
        with self._new:
            self.text += text
            self._new.notify_all()
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""

    def has(self, pattern: str) -> str:
        """Wait for it."""
        with self._new:
            assert self._new.wait_for(lambda: re.search(pattern, self.text), DEADLINE_S), (pattern, self.text)
            return self.text


@contextmanager
def told_meanwhile(
    story: Callable[[], None], output: Output | None = None, *, then_ctrl_c: bool = True
) -> Iterator[None]:
    """The story is told in a thread; the command runs here, where Ctrl-C is heard."""
    faults: list[BaseException] = []
    over = threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def tell() -> None:
        try:
            story()
        except BaseException as error:
            faults.append(error)
        while (then_ctrl_c or faults) and not over.is_set():
            signal.pthread_kill(main, signal.SIGINT)
            over.wait(0.5)  # one that comes just before the command waits for data is heard with the next

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        with redirect_stdout(cast(TextIO, output)) if output else nullcontext():
            yield
    finally:
        over.set()
        thread.join(DEADLINE_S)
    if faults:
        raise faults[0]


@pytest.fixture
def output() -> Output:
    return Output()


def tell(proxy: Served, **lists: list[CallSummary]) -> None:
    proxy.do(lambda: proxy.site.changed(changes(**lists)))


def test_followed_into_a_pipe_each_thing_is_a_line(world: World, output: Output) -> None:
    world.live.now = [call(1)]
    with served(world) as proxy:

        def story() -> None:
            output.has("0000000000000001  talking")
            tell(proxy, added=[call(2, state=RINGING)])
            output.has("0000000000000002  ringing")
            tell(proxy, changed=[call(2, state=RINGING, links=("1" * 32,))])
            tell(proxy, changed=[call(2)])
            output.has("0000000000000002  talking")
            tell(
                proxy, ended=[call(2, state=OVER, outcome="answered", ended_ns=call(2).began_ns + 61 * 10**9)]
            )
            output.has("0000000000000002  over answered")

        with told_meanwhile(story, output):
            assert run("calls", "--follow", "--url", proxy.url) == 0
    lines = [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in output.text.splitlines()]
    assert lines == [
        "ready, 1 calls",
        "0000000000000001  talking  ***34 ▶ ***89  sbc ▶ carrier-a",
        "0000000000000002  ringing  ***34 ▶ ***89  sbc ▶ carrier-a",
        "0000000000000002  talking  ***34 ▶ ***89  sbc ▶ carrier-a",
        "0000000000000002  over answered  ***34 ▶ ***89  sbc ▶ carrier-a  1:01",
    ]


def test_followed_as_json_each_event_is_a_line(world: World, output: Output) -> None:
    with served(world) as proxy:

        def story() -> None:
            output.has('"event": "state"')
            tell(proxy, added=[call(1)])
            output.has('"added"')
            tell(proxy, ended=[call(1, state=OVER)])
            output.has('"ended"')

        with told_meanwhile(story, output):
            assert run("calls", "--follow", "--json", "--url", proxy.url) == 0
    lines: list[dict[str, Any]] = [json.loads(line) for line in output.text.splitlines()]
    assert [line["event"] for line in lines] == [STATE, ADDED, ENDED]
    assert lines[0]["state"]["calls"] == 0
    assert lines[1]["call"] == live_row(call(1))


def test_followed_on_a_terminal_the_table_is_drawn_in_place(world: World) -> None:
    world.live.now = [call(number) for number in range(1, 41)]
    with served(world) as proxy, on_a_terminal(lines=20) as drawn:

        def has(pattern: str) -> None:
            until = time.monotonic() + DEADLINE_S
            while not re.search(pattern, "".join(drawn)):
                assert time.monotonic() < until, drawn

        def story() -> None:
            has("40 calls, 24 of them not shown; ready")
            tell(proxy, ended=[call(number, state=OVER) for number in range(2, 41)])
            has("1 calls; ready")

        with told_meanwhile(story):
            assert run("calls", "--follow", "--url", proxy.url) == 0
    text = "".join(drawn)
    assert "\x1b[2K" in text  # drawn over, not below
    assert "\x1b[32mtalking" in text
    assert text.rstrip().endswith("\x1b[?25h")  # the cursor is back


def test_a_restart_of_the_observer_is_lived_through(
    world: World, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", DEADLINE_S)
    world.live.now = [call(1), call(2)]
    with served(world) as first:
        settings = AdminSettings(listen=first.url.removeprefix("http://"))
        url = first.url

        def story() -> None:
            output.has("0000000000000002  talking")
            first.stop()
            world.live.now = [call(2), call(3)]
            with served(world, settings):
                output.has("0000000000000003  talking")

        with told_meanwhile(story, output):
            assert run("calls", "--follow", "--url", url) == 0
    assert output.text.count("0000000000000002") == 1
    assert output.text.count("0000000000000001") == 2  # it ended meanwhile


def test_a_proxy_that_has_drained_and_gone_is_no_failure(world: World, output: Output) -> None:
    world.state = DRAINING
    world.live.now = [call(1)]
    with served(world) as proxy:

        def story() -> None:
            output.has("draining, 1 calls")
            output.has("0000000000000001  talking")
            proxy.stop()

        with told_meanwhile(story, output, then_ctrl_c=False):
            assert run("calls", "--follow", "--url", proxy.url) == 0


def test_a_proxy_that_is_gone_for_good_is_a_failure(
    world: World, output: Output, capsys: pytest.CaptureFixture[str]
) -> None:
    world.live.now = [call(1)]
    with served(world) as proxy:

        def story() -> None:
            output.has("0000000000000001  talking")
            proxy.stop()

        with told_meanwhile(story, output, then_ctrl_c=False):
            assert run("calls", "--follow", "--url", proxy.url) == 1
    assert "no proxy answers at" in capsys.readouterr().err


# Drain, log level


def test_a_drain_is_watched_until_the_proxy_has_gone(world: World, output: Output) -> None:
    world.live.now = [call(1), call(2)]
    with served(world) as proxy:

        def story() -> None:
            proxy.until(lambda: world.commands == [{"drain": True}])
            output.has("2 calls left")
            tell(proxy, ended=[call(1, state=OVER)])
            output.has("1 calls left")
            tell(proxy, ended=[call(2, state=OVER)])
            output.has("0 calls left")
            proxy.stop()

        with told_meanwhile(story, output, then_ctrl_c=False):
            assert run("drain", "--url", proxy.url) == 0
    assert output.text.splitlines() == [
        "new calls are refused; Ctrl-C stops watching, not the drain",
        "2 calls left",
        "1 calls left",
        "0 calls left",
        "the proxy has ended",
    ]


def test_ctrl_c_stops_watching_a_drain_and_not_the_drain(world: World, output: Output) -> None:
    world.live.now = [call(1)]
    with served(world) as proxy:

        def story() -> None:
            output.has("1 calls left")

        with told_meanwhile(story, output):
            assert run("drain", "--url", proxy.url) == 0
    assert output.text.endswith("the drain goes on\n")


def test_a_drain_that_reaches_nobody_is_a_failure(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.worker = False
    with served(world) as proxy:
        assert run("drain", "--url", proxy.url) == 1
    assert capsys.readouterr().err == "sipproxy: the signalling process cannot be reached\n"


def test_the_log_level_is_changed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with served(world) as proxy:
        assert run("log-level", "debug", "--url", proxy.url) == 0
        assert capsys.readouterr().out == "the log level is debug\n"
        assert run("log-level", "loud", "--url", proxy.url) == 2
    assert world.commands == [{"log_level": "debug"}]


@pytest.mark.parametrize(
    "arguments", [["trace"], ["calls", "x"], ["replay"], ["log-level"], ["calls", "--json=1"]]
)
def test_wrong_use_is_told_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["trace", "calls", "replay", "drain", "log-level"])
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--help") == 0
    assert f"example: sipproxy {command}" in capsys.readouterr().out
