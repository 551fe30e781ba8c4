"""The applications of examples/: what they answer, what their spans say, and that calls at the same time are
never mixed.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sipproxy.b2bua.consulting import advice
from sipproxy.propagation.writing import write_baggage
from tests.support.proxy import ROOT
from tests.support.spans import children
from tests.system.voice_apps import EXAMPLES, KINDS, Database, VoiceApp
from tests.system.voice_questions import BLOCKED, GOLD, LINE, NOBODY, Place, ask, asked, placed

QUERIES = {
    "python": ["SELECT", "SELECT"],
    "node": ["select customers.db.customers", "select customers.db.lines"],
}
STATEMENTS = (
    r"(?i)^select `?queue.* from `?customers`? where `?number`? = \?",
    r"(?i)^select `?trunk`? from `?lines",
)
AT_ONCE, WAVE = 200, 50


@pytest.fixture(scope="module", params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with placed(request.param, tmp_path_factory.mktemp(request.param)) as place:
        yield place


# Answers


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (asked(), {"to": ["office"], "headers": {"X-Queue": "gold"}}),
        (asked(NOBODY), {"to": ["office"], "headers": {"X-Queue": "standard"}}),
        (asked(BLOCKED), {"reject": 403, "reason": "Account suspended"}),
        (asked(uri="tel:+441632960999"), {"to": ["carrier"], "headers": {"X-Queue": "gold"}}),
        (
            asked(**{"from": f"tel:{GOLD};phone-context=x"}),
            {"to": ["office"], "headers": {"X-Queue": "gold"}},
        ),
        (asked(**{"from": "sip:%2B441632960001@x"}), {"to": ["office"], "headers": {"X-Queue": "gold"}}),
        (asked(**{"from": "sip:%zz@x"}), {"to": ["office"], "headers": {"X-Queue": "standard"}}),
        (asked(**{"from": "sip:\ud800@x"}), {"to": ["office"], "headers": {"X-Queue": "standard"}}),
        (asked(**{"from": "' OR 1=1 --"}), {"to": ["office"], "headers": {"X-Queue": "standard"}}),
        (asked(**{"from": ""}), {"to": ["office"], "headers": {"X-Queue": "standard"}}),
        (asked(another=["field"]), {"to": ["office"], "headers": {"X-Queue": "gold"}}),
    ],
)
def test_its_answer_is_one_that_the_proxy_takes(
    place: Place, question: dict[str, Any], answer: dict[str, Any]
) -> None:
    status, said, _ = ask(place.app, question)
    assert (status, said) == (200, answer)
    advice(said)  # raises where it is none


BAD: list[Any] = [
    (b"", "the body is no JSON"),
    (b"{", "the body is no JSON"),
    (b"\xff\xfe", "the body is no JSON"),
    (b"[" * 20_000, "the body is no JSON"),
    ([], "the question is no object"),
    (None, "the question is no object"),
    ("text", "the question is no object"),
    ({}, "call_id is missing, or no text"),
    (asked(call_id=7), "call_id is missing, or no text"),
    ({**asked(), "from": None}, "from is missing, or no text"),
    (asked(uri={"a": 1}), "uri is missing, or no text"),
    (asked(interaction_id=["visit"]), "interaction_id is missing, or no text"),
    (asked(headers=[]), "headers is missing, or no object"),
    (asked(headers=None), "headers is missing, or no object"),
]


@pytest.mark.parametrize(("body", "reason"), BAD)
def test_a_question_that_is_none_is_refused_with_its_reason(place: Place, body: Any, reason: str) -> None:
    status, said, _ = ask(place.app, body)
    assert (status, said) == (400, {"error": reason})


def test_another_path_another_method_too_long(place: Place) -> None:
    assert ask(place.app, asked(), path="/nowhere")[:2] == (404, {"error": "Not Found"})
    assert ask(place.app, b"", method="GET")[:2] == (405, {"error": "Method Not Allowed"})
    assert ask(place.app, b" " * 70_000)[0] == 413
    assert ask(place.app, b"", path="/healthz", method="GET")[:2] == (200, {"status": "alive"})


# Spans


def test_its_spans_stand_under_the_one_that_asked(place: Place) -> None:
    _, _, trace_id = ask(place.app, asked(), tracestate="contact=center")
    server, *queries = sorted(place.trace(trace_id, 3), key=lambda span: span.kind != "server")
    assert (server.title, server.parent_id) == ("POST /route server", "00f067aa0ba902b7")
    assert server.trace_state == "contact=center"
    assert server.attributes["http.response.status_code"] == 200
    assert [span.name for span in children(queries, server)] == QUERIES[place.app.kind]
    for span, statement in zip(children(queries, server), STATEMENTS, strict=True):
        assert span.kind == "client"
        assert span.attributes["db.system.name"] == "sqlite"
        assert re.search(statement, str(span.attributes["db.query.text"]))
    assert {span.attributes["interaction.id"] for span in (server, *queries)} == {"visit-7f3a-2"}
    assert "interaction.id" not in server.resource
    assert server.resource["service.name"] == f"voice-app-{place.app.kind}"


def test_the_interaction_may_come_as_baggage(place: Place) -> None:
    """Then the request's span has it from its first moment on."""
    headers = {"baggage": write_baggage({"interaction.id": "visit 9", "tenant": "blue"})}
    _, _, trace_id = ask(place.app, asked(interaction=""), **headers)
    spans = place.trace(trace_id, 3)
    assert [span.attributes["interaction.id"] for span in spans] == ["visit 9"] * 3


def test_a_call_without_an_interaction_has_none(place: Place) -> None:
    _, _, trace_id = ask(place.app, asked(interaction=""))
    assert not any("interaction.id" in span.attributes for span in place.trace(trace_id, 3))


def test_no_health_check_leaves_a_span(place: Place) -> None:
    _, _, health = ask(place.app, b"", path="/healthz", method="GET")
    _, _, trace_id = ask(place.app, asked())
    place.trace(trace_id, 3)
    assert health not in {span.trace_id for span in place.receiver.spans}


async def _calls(app: VoiceApp) -> dict[str, str]:
    """Interaction by trace-id: so many calls, a wave at a time, over connections that others have used."""
    interactions = {f"{0xC0DE0000 + number:032x}": f"visit-{number}" for number in range(AT_ONCE)}
    connector = aiohttp.TCPConnector(limit=WAVE)
    all_are_open = asyncio.Barrier(WAVE)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def body(question: dict[str, Any]) -> AsyncIterator[bytes]:
            await all_are_open.wait()  # each has been told to go on (100), so its span has begun
            yield json.dumps(question).encode()

        async def call(trace_id: str, interaction: str) -> None:
            headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
            if int(trace_id, 16) % 2:  # every other one says it in the body alone
                headers["baggage"] = write_baggage({"interaction.id": interaction})
            data = body(asked(interaction=interaction))
            async with session.post(app.url, data=data, headers=headers, expect100=True) as response:
                assert response.status == 200, await response.text()

        await asyncio.gather(*(call(*pair) for pair in interactions.items()))
    return interactions


def test_calls_at_the_same_time_are_never_mixed(place: Place, tmp_path: Path) -> None:
    """And they were at the same time: their spans overlap."""
    database = Database(tmp_path / "customers.db")
    database.add([(GOLD, "gold", 0)], [(LINE, "office")])
    with VoiceApp(place.app.kind, tmp_path, place.receiver.endpoint, timeout_ms=20_000) as app:
        interactions = asyncio.run(_calls(app))
        place.receiver.wait_for(
            lambda spans: sum(span.trace_id in interactions for span in spans) >= 3 * AT_ONCE, 20
        )
    found = defaultdict(list)
    for span in place.receiver.spans:
        if span.trace_id in interactions:
            found[span.trace_id].append(span)
    for trace_id, interaction in interactions.items():
        (server,) = [span for span in found[trace_id] if span.kind == "server"]
        queries = [span for span in found[trace_id] if span.kind == "client"]
        assert [span.parent_id for span in queries] == [server.span_id] * 2
        assert {span.attributes["interaction.id"] for span in found[trace_id]} == {interaction}
    servers = [span for spans in found.values() for span in spans if span.kind == "server"]
    moments = sorted([(span.start_ns, 1) for span in servers] + [(span.end_ns, -1) for span in servers])
    together = most = 0
    for _, step in moments:
        together += step
        most = max(most, together)
    assert most >= WAVE, "they came one after the other: that proves nothing"


def test_nothing_of_it_is_told_with_a_number(place: Place) -> None:
    """What came before has left its traces, bad questions too."""
    assert place.receiver.requests
    assert place.numbers_told() == []
    assert place.app.log == ""


# Files


def test_the_python_example_is_typed() -> None:
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        str(ROOT / ".mypy_cache/examples"),
        "main.py",
    ]
    ran = subprocess.run(command, cwd=EXAMPLES / "python", capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def test_requirements_are_what_is_tested() -> None:
    rows = re.findall(r"^([\w-]+)==(\S+)$", (EXAMPLES / "python/requirements.txt").read_text(), re.MULTILINE)
    assert len(rows) == 6
    for name, pinned in rows:
        assert version(name).split(".")[:2] == pinned.split(".")[:2], name


def test_the_lock_names_versions_and_no_registry() -> None:
    package = json.loads((EXAMPLES / "node/package.json").read_text())
    text = (EXAMPLES / "node/package-lock.json").read_text()
    lock = json.loads(text)["packages"]
    assert lock[""]["dependencies"] == package["dependencies"]
    for name, pinned in package["dependencies"].items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", pinned)
        assert lock[f"node_modules/{name}"]["version"] == pinned
    assert "resolved" not in text
    assert "://" not in re.sub(r'"url": "[^"]*"', "", text)  # where to give money is no registry
