"""`sipproxy trace`: what an operator reads of a call."""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from sipproxy.store import Story
from sipproxy.store.summary import OVER
from tests.support.ports import free_port
from tests.unit.admin.support import World, call
from tests.unit.cli.support import a_story, config, message, on_a_terminal, run, served, spans
from tests.unit.telemetry.facts import TRACE_ID

SHOWN = f"""\
call 0000000000000001  ***34 ▶ ***89  answered (200)
     2023-11-14 22:13:20 UTC, sbc ▶ carrier-a, set up in 2000 ms, talked 8.0 s

trace {TRACE_ID}
INVITE SERVER 200                                          +0.0 ms     2000.0 ms
│  sip.trunk=sbc  sip.call_id=1-2345@192.0.2.1  sip.from.user=***34
│  sip.to.user=***ce  sip.request_uri.user=***ce  sip.trace.carrier=none
│  sip.trace.decision=new  interaction.id=INT-1
│  ● 180 +500.0 ms  ● 200 +2000.0 ms  ● ACK +2100.0 ms
├─ route INTERNAL                                          +0.0 ms        0.0 ms
│     sip.trunk=carrier-a
├─ INVITE CLIENT 200                                       +0.0 ms     2000.0 ms
│     sip.trunk=carrier-a  sip.call_id=0123456789abcdef0123456789abcdef
│     sip.proxy.delay_us=0
│     ● 100 +100.0 ms  ● 180 +500.0 ms  ● 200 +2000.0 ms  ● ACK +2100.0 ms
├─ dialog SERVER                                        +2000.0 ms     8000.0 ms
│     sip.trunk=sbc  sip.call_id=1-2345@192.0.2.1  sip.ring_ms=1500
│     sip.talk_ms=8000  sip.dialog.end=caller_bye
│     ● BYE +10000.0 ms
└─ dialog CLIENT                                        +2000.0 ms     8000.0 ms
      sip.trunk=carrier-a  sip.call_id=0123456789abcdef0123456789abcdef
      sip.ring_ms=1500  sip.talk_ms=8000  sip.dialog.end=caller_bye
      ● BYE +10000.0 ms

       ms  sbc                         sipproxy                       carrier-a
     +0.0   │─────────INVITE (SDP)────────▶│                              │
     +0.3   │◀─────────100 Trying──────────│                              │
     +0.4   │                              │────────INVITE (SDP) x2──────▶│
  +2000.0   │                              │◀────────200 OK (SDP)─────────│
  +2000.4   │◀────────200 OK (SDP)─────────│                              │
 +10000.0   │──────────────BYE────────────▶│                              │
"""


def test_a_call_is_a_tree_and_a_ladder_in_80_columns(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.stories["4f2a@host"] = a_story()
    with served(world) as proxy:
        assert run("trace", "4f2a@host", "--url", proxy.url) == 0
    out = capsys.readouterr().out
    assert out == SHOWN
    assert max(map(len, out.splitlines())) <= 80


def test_json_is_what_the_api_says(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.stories["x"] = a_story()
    with served(world) as proxy:
        assert run("trace", "x", "--json", "--url", proxy.url) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["id"], len(told["spans"]), len(told["messages"])) == ("0000000000000001", 5, 7)


def test_a_call_that_lasts_is_shown_with_what_is_open(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [span._replace(end_ns=0) if span.name == "dialog" else span for span in spans()]
    live = call(1, outcome="answered", status=200, transfers=1, transferred=True)
    world.stories["x"] = Story([live], [TRACE_ID], records, [])
    with served(world) as proxy:
        assert run("trace", "x", "--url", proxy.url) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "call 0000000000000001  ***34 ▶ ***89  answered (200), talking"
    assert lines[1] == "     2023-11-14 22:13:20 UTC, sbc ▶ carrier-a, transfers: 1, not sampled"
    assert [line for line in lines if line.startswith("├─ dialog SERVER") and line.endswith(" open")]
    assert len(lines) == SHOWN.count("\n") - 8  # no ladder without messages


def test_that_there_is_more_is_said(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    story = a_story()
    story.truncated = True
    failed = call(2, state=OVER, outcome="timeout", error="timeout", sender="", receiver="", trunks=())
    story.calls.append(failed)
    world.stories["x"] = story
    with served(world) as proxy:
        assert run("trace", "x", "--url", proxy.url) == 0
    out = capsys.readouterr().out
    assert out.endswith("There is more than is shown here: ask for one trace or one call.\n")
    began = "     2023-11-14 22:13:20 UTC, not sampled\n"
    assert f"call 0000000000000002  somebody ▶ somebody  timeout, timeout\n{began}" in out


def test_an_unknown_id_is_a_failure(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with served(world) as proxy:
        assert run("trace", "a\x1bb", "--url", proxy.url) == 1
        assert run("trace", "nothing", "--url", proxy.url) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines()[1] == "sipproxy: nothing: nothing is known of that id"
    assert "\x1b" not in told.err


def test_without_a_proxy_and_a_store_there_is_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = f"127.0.0.1:{free_port('127.0.0.1')}"
    text = f"admin: {{listen: '{place}'}}\nstore: {{path: {tmp_path / 'nothing'}}}\n"
    assert run("trace", "x", "-c", config(tmp_path, text)) == 1
    silent = f"no proxy answers at http://{place}: Connection refused"
    assert capsys.readouterr().err == f"sipproxy: {silent}; and there is no store to read\n"
    assert run("trace", "x", "-c", config(tmp_path, text), "--url", f"http://{place}") == 1
    assert capsys.readouterr().err == f"sipproxy: {silent}\n"  # who names a proxy means that one


def test_what_could_steer_a_terminal_never_reaches_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\r\n\u202e\u009b"
    story = a_story()
    story.calls[0].sender = evil
    story.calls[0].trunks = (evil,)
    story.spans[0] = story.spans[0]._replace(name=f"INVITE{evil}")
    story.spans[1].attributes["sip.trunk"] = evil
    story.messages.append(message(8, 1, sent=False, key=77, start=f"INFO{evil}", method=evil))
    world.stories["x"] = story
    with served(world) as proxy:
        assert run("trace", "x", "--url", proxy.url) == 0
    out = capsys.readouterr().out
    assert "owned" in out
    assert all(char.isprintable() or char == "\n" for char in out)


def test_there_is_colour_on_a_terminal_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.stories["x"] = a_story()
    with served(world) as proxy:
        with on_a_terminal(columns=100) as drawn:
            assert run("trace", "x", "--url", proxy.url) == 0
        assert "\x1b[1mINVITE SERVER 200\x1b[0m" in "".join(drawn)
        assert "\x1b[32m200 OK (SDP)\x1b[0m" in "".join(drawn)
        monkeypatch.setenv("NO_COLOR", "1")
        with on_a_terminal() as drawn:
            assert run("trace", "x", "--url", proxy.url) == 0
        assert "\x1b[3" not in "".join(drawn)


def test_a_terminal_without_arrows_gets_what_it_can_show(world: World, tmp_path: Path) -> None:
    world.stories["x"] = a_story()
    with (
        served(world) as proxy,
        (tmp_path / "out").open("w", encoding="latin-1") as file,
        redirect_stdout(file),
    ):
        assert run("trace", "x", "--url", proxy.url) == 0
    assert "INVITE (SDP)" in (tmp_path / "out").read_text("latin-1")


def test_whoever_stops_reading_ends_it_quietly(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    world.stories["x"] = a_story()
    here, there = os.pipe()
    os.close(here)
    stdout, kept = sys.stdout, os.dup(1)
    with served(world) as proxy:
        os.dup2(there, 1)
        os.close(there)
        try:
            with open(1, "w", closefd=False) as sys.stdout:
                assert run("trace", "x", "--url", proxy.url) == 1
                sys.stdout.write("what is left at the interpreter's end")
        finally:
            sys.stdout = stdout
            os.dup2(kept, 1)
            os.close(kept)
    assert capfd.readouterr() == ("", "")
