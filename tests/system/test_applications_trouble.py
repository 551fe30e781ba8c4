"""The applications of examples/ in trouble: a locked or lost database, closed connections, a collector that
is away or hangs, SIGTERM. They answer, say no number, and end in time.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sipproxy.b2bua.consulting import Consult, Webhook
from sipproxy.b2bua.settings import RouteSettings
from sipproxy.net.webhook import WebhookError, Webhooks
from sipproxy.propagation import TraceContext
from tests.support.otlp import HttpReceiver
from tests.support.ports import free_port, is_listening
from tests.support.programs import require
from tests.support.proxy import ROOT
from tests.system.voice_apps import KINDS, Database, VoiceApp
from tests.system.voice_questions import (
    BLOCKED,
    GOLD,
    Place,
    ask,
    asked,
    new_trace,
    placed,
)

LONGEST_END_S = 6  # systemd would wait for 90, Kubernetes for 30


@pytest.fixture(scope="module", params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with placed(request.param, tmp_path_factory.mktemp(request.param)) as place:
        yield place


def test_a_locked_database_is_a_503_in_time(place: Place) -> None:
    with place.database.locked():
        status, said, trace_id = ask(place.app, asked())
    assert (status, said) == (503, {"error": "the database does not answer"})
    (server,) = [span for span in place.trace(trace_id, 2) if span.kind == "server"]
    assert server.status == "error"
    assert (
        server.end_ns - server.start_ns
    ) / 1e6 < 1000  # of which the database had 150, the proxy waits for 300
    assert ask(place.app, asked())[0] == 200
    with place.database.locked():
        pass  # who has read it keeps nobody from writing


def test_the_proxy_is_answered_and_takes_a_503_for_no_answer(place: Place) -> None:
    """With the part of the proxy that asks."""
    webhook = Webhook(place.app.url, RouteSettings(("carrier",), webhook=place.app.url, timeout_ms=5000))

    async def ask_as_the_proxy(trace_id: str) -> object:
        context = TraceContext(trace_id, "00f067aa0ba902b7", 1)
        webhooks = Webhooks(time.monotonic)
        try:
            return await webhooks.ask(Consult(1, webhook, asked(), context, time.monotonic() + 5))
        finally:
            await webhooks.close()

    good, bad = (new_trace() for _ in range(2))
    assert asyncio.run(ask_as_the_proxy(good)) == {"to": ["office"], "headers": {"X-Queue": "gold"}}
    with place.database.locked(), pytest.raises(WebhookError, match=r"^error$"):
        asyncio.run(ask_as_the_proxy(bad))
    assert {span.attributes["interaction.id"] for span in place.trace(good, 3)} == {"visit-7f3a-2"}
    assert {span.attributes["interaction.id"] for span in place.trace(bad, 2)} == {"visit-7f3a-2"}


def test_a_database_that_has_gone_is_a_503_until_it_is_back(place: Place) -> None:
    aside = place.database.file.with_suffix(".aside")
    broken = place.database.file.rename(aside)
    place.database.file.write_bytes(b"this is no database" * 100)
    try:
        statuses = {ask(place.app, asked())[0] for _ in range(8)}  # connections from before may serve still
        assert statuses <= {503, 200}
        place.database.file.unlink()
        statuses |= {ask(place.app, asked())[0] for _ in range(8)}
        assert statuses <= {503, 200}
        if place.app.kind == "python":  # a connection each time
            assert statuses == {503}
    finally:
        broken.rename(place.database.file)
    assert ask(place.app, asked())[0] == 200


def test_whoever_hangs_up_in_the_middle_harms_nobody(place: Place) -> None:
    head = b"POST /route HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n"
    for sent in (b"", b"POST /rou", head, head + b'{"call_id": "', b"\x16\x03\x01\x02\x00garbage\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", place.app.port)) as connection:
            connection.sendall(sent)
    whole = json.dumps(asked()).encode()
    with socket.create_connection(("127.0.0.1", place.app.port)) as connection:
        connection.sendall(head.replace(b"5000", str(len(whole)).encode()) + whole)  # and does not read
    assert ask(place.app, asked())[0] == 200


def test_what_is_packed_wrongly_is_refused_and_not_shown(place: Place) -> None:
    """Its headers may hold a number."""
    zipped = b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nxxxx"
    for rest in (b"+441632960777\r\n\r\n", b"Content-Length: +44\r\n\r\n", zipped):
        with socket.create_connection(("127.0.0.1", place.app.port)) as connection:
            connection.settimeout(5)
            connection.sendall(b"POST /route HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + rest)
            assert connection.recv(4096).split()[1] == b"400"
    assert ask(place.app, {**asked(), "interaction_id": "half \ud800"})[0] == 200


def test_none_of_it_ends_the_process_or_is_told_with_a_number(place: Place) -> None:
    """What came before has left its traces."""
    assert place.app.is_alive
    assert place.receiver.requests
    assert place.numbers_told() == []
    assert "Traceback" not in place.app.log
    assert "a fault of ours" not in place.app.log


# From the first to the last moment: both at the same time, each in a folder of its own


def both(story: Callable[[str, Path], None], folder: Path) -> None:
    """Play it with either."""
    for kind in KINDS:
        (folder / kind).mkdir()
    with ThreadPoolExecutor(len(KINDS)) as pool:
        list(pool.map(story, KINDS, [folder / kind for kind in KINDS]))


def _alone(kind: str, folder: Path) -> None:
    page = (ROOT / "docs/applications.md").read_text()
    (command,) = re.findall(r"^\$ (curl .*)$", page, re.MULTILINE)
    (answer,) = re.findall(r"^```json\n(.*?)```", page, re.MULTILINE | re.DOTALL)
    nobody = f"http://127.0.0.1:{free_port('127.0.0.1')}"
    with VoiceApp(kind, folder, nobody, export_s=0.4) as app:
        words = command.replace("http://127.0.0.1:9001", f"http://127.0.0.1:{app.port}").split()
        words[0] = require("curl", "curl")
        said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True).stdout
        assert json.loads(said) == json.loads(answer)
        assert ask(app, asked(BLOCKED))[1]["reject"] == 403
        assert app.stop() < LONGEST_END_S


def test_without_collector_and_database_it_answers_and_ends_in_time(tmp_path: Path) -> None:
    """The database that it makes has the rows that docs/applications.md asks for."""
    both(_alone, tmp_path)


def _collector_hangs(kind: str, folder: Path) -> None:
    Database(folder / "customers.db").add([(GOLD, "gold", 0)], [])
    with HttpReceiver() as receiver, VoiceApp(kind, folder, receiver.endpoint, export_s=0.4) as app:
        receiver.hang()
        ask(app, asked())
        receiver.wait_for_requests(1)
        for _ in range(20):
            assert ask(app, asked())[0] == 200
        assert app.stop() < LONGEST_END_S


def test_a_collector_that_hangs_delays_no_answer_and_no_end(tmp_path: Path) -> None:
    both(_collector_hangs, tmp_path)


def _is_terminated(kind: str, folder: Path) -> None:
    database = Database(folder / "customers.db")
    database.add([(GOLD, "gold", 0)], [])
    body = json.dumps(asked()).encode()
    head = f"POST /route HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    with (
        HttpReceiver() as receiver,
        VoiceApp(kind, folder, receiver.endpoint, timeout_ms=10_000) as app,
        socket.create_connection(("127.0.0.1", app.port), timeout=10) as connection,
    ):
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        if kind == "node":
            app.terminate()
            until_it_takes_no_more(app)
            connection.sendall(body)
        else:  # once it ends, aiohttp reads nothing more: the question has come, and waits for the database
            with database.locked():
                connection.sendall(body)
                ask(app, b"", path="/healthz", method="GET")  # so it has read that, too
                app.terminate()
                until_it_takes_no_more(app)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        app.stop()
        assert sorted(span.kind for span in receiver.spans) == ["client", "client", "server"]


def until_it_takes_no_more(app: VoiceApp) -> None:
    """It has heard the signal."""
    ends_by = time.monotonic() + 10
    while is_listening("127.0.0.1", app.port, "tcp"):
        assert time.monotonic() < ends_by
        time.sleep(0.01)


def test_sigterm_lets_an_open_question_be_answered_and_sends_what_is_left(tmp_path: Path) -> None:
    both(_is_terminated, tmp_path)
