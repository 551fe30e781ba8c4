"""`sipproxy replay`: what was stored goes to a collector once more."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sipproxy.cli.replay import replay
from sipproxy.config import load
from tests.support.otlp import HttpReceiver
from tests.support.ports import free_port
from tests.unit.cli.support import config, run
from tests.unit.store.support import KEY, Observer, Worker
from tests.unit.telemetry.facts import Call
from tests.unit.telemetry.telling import WALL


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HTTP_PROXY")  # collectors are asked by way of it, if it is there


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with three calls."""
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "key").write_bytes(KEY)
    observer = Observer(folder)
    observer.begin()
    worker = Worker()
    for number in range(1, 4):
        observer.stores(worker.all(Call(trace_id=f"{number:032x}").basic()))
    observer.close()
    return folder


def file_of(tmp_path: Path, folder: Path, endpoint: str) -> str:
    return config(tmp_path, f"store: {{path: {folder}}}\ntracing: {{endpoint: '{endpoint}'}}\n")


def test_what_was_stored_goes_to_the_collector_once_more(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with HttpReceiver() as receiver:
        file = file_of(tmp_path, folder, receiver.endpoint)
        days = round((time.time() - WALL) / 86400) + 2
        assert run("replay", "-c", file, "--since", f"{days}d") == 0
        spans = receiver.wait_for(15)
    assert {span.trace_id for span in spans} == {f"{number:032x}" for number in range(1, 4)}
    assert capsys.readouterr().out == "15 spans of 3 calls sent again\n"


def test_only_that_time_is_sent(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with HttpReceiver() as receiver:
        file = file_of(tmp_path, folder, receiver.endpoint)
        assert run("replay", "-c", file, "--since", "1h") == 0
        assert run("replay", "-c", file, "--since", "2020-01-01", "--until", "2021-01-01T00:00:00Z") == 0
    assert capsys.readouterr().out == "0 spans of 0 calls sent again\n" * 2


def test_a_collector_that_is_away_is_a_failure(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipproxy.store.replay._WAITS_S", ())
    file = file_of(tmp_path, folder, f"http://127.0.0.1:{free_port('127.0.0.1')}")
    assert replay(load(file), 0, 2**62, None) == 1
    out = capsys.readouterr().out
    assert out.startswith("0 spans of 3 calls sent again\n15 not sent: ")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--since", "yesterday"], "--since: neither ISO 8601"),
        (["--since", "1h", "--until", "2h"], "--until: not after --since"),
        (["--since", "1h", "--until", "x"], "--until: neither ISO 8601"),
        (["--since", "1h", "--to", "nowhere"], "no destination 'nowhere'"),
    ],
)
def test_wrong_use_is_told(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], fault: str
) -> None:
    file = file_of(tmp_path, folder, "http://127.0.0.1:1")
    assert run("replay", "-c", file, *arguments) == 2
    assert fault in capsys.readouterr().err


def test_without_a_store_there_is_nothing_to_send(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = file_of(tmp_path, tmp_path / "nothing", "http://127.0.0.1:1")
    assert run("replay", "-c", file, "--since", "1h") == 1
    assert capsys.readouterr().err == "sipproxy: there is no store to read\n"
