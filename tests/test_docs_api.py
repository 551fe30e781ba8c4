"""docs/api.md tells the truth: its examples look as what a real observer answers, its tables are whole."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvloop

from sipproxy.admin.api import MOST_LIVE
from sipproxy.admin.events import MOST_LISTENERS
from sipproxy.admin.settings import AdminSettings
from sipproxy.b2bua.events import Linked
from sipproxy.store import MOST_ROWS
from sipproxy.store.story import MOST_CALLS, MOST_MESSAGES, MOST_SPANS
from sipproxy.store.summary import OUTCOMES, outcome_of
from sipproxy.telemetry.attributes import ROWS
from sipproxy.telemetry.families import CARRIERS, DECISIONS, REASONS, REFER_CARRIERS
from sipproxy.telemetry.tally import FAILED, OUTCOME
from tests.support import pages
from tests.support.pages import ROOT, words
from tests.support.station import DEADLINE_S, Station
from tests.unit.telemetry.facts import SENDER

TEXT = (ROOT / "docs/api.md").read_text()
TOKEN = "a-token-of-the-operator"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}

# What else may stand there than a value of the example's type: null, and only where the page says so.
NULLABLE = {"answered_us", "ended_us", "end_us", "setup_ms", "talk_ms", "next", "status"}
# Names in these are no fields, but words, trunks or attributes.
NAMED = {"attributes", "deep_links", "trunks", "arrived", "rejected", "returned"} | set(CARRIERS)


class Answer(NamedTuple):
    status: int
    body: bytes
    type: str
    allow: str

    def json(self) -> Any:
        return json.loads(self.body)


Answers = Mapping[str, Answer]


def section(heading: str) -> str:
    """What stands below it."""
    return pages.section(TEXT, f"### {heading}")


def example(heading: str) -> Any:
    (block,) = re.findall(r"^```json\n(.*?)^```", section(heading), re.MULTILINE | re.DOTALL)
    return json.loads(block)


def table(heading: str, title: str) -> list[list[str]]:
    """The rows of a table below that heading, or of the page's only one of that kind."""
    return pages.table(section(heading) if heading else TEXT, title)


# A real observer is asked


def ask(
    page: str, path: str, method: str = "GET", body: object = None, headers: Mapping[str, str] = HEADERS
) -> Answer:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(page + path, data, dict(headers), method=method)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return Answer(answer.status, answer.read(), answer.headers.get_content_type(), "")
    except urllib.error.HTTPError as error:
        with error:
            kind = error.headers.get_content_type()
            return Answer(error.code, error.read(), kind, error.headers.get("Allow", ""))


def events_of(page: str, joined: asyncio.Event, loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
    """The first of each name; `joined` is set when the first has come."""
    connection = http.client.HTTPConnection(page.removeprefix("http://"), timeout=DEADLINE_S)
    connection.request("GET", "/api/events", headers=HEADERS)
    found: dict[str, Any] = {}
    name = ""
    with connection.getresponse() as response:
        for line in response:
            key, _, value = line.decode().strip().partition(": ")
            if key == "event":
                name = value
            elif key == "data" and value:
                found.setdefault(name, json.loads(value))
                loop.call_soon_threadsafe(joined.set)
                if {"state", "calls"} <= found.keys():
                    break
    connection.close()
    return found


async def answers_of(folder: Path) -> dict[str, Answer]:
    links = {"jaeger": "http://127.0.0.1:16686/trace/{trace_id}"}
    admin = AdminSettings(listen="127.0.0.1:0", token=TOKEN, raw=True, links=links)
    found: dict[str, Answer] = {}
    async with Station(folder, admin=admin) as it:

        async def get(heading: str, path: str, **more: Any) -> Answer:
            method = heading.split()[0]
            found[heading] = await asyncio.to_thread(ask, it.page, path, method, **more)
            return found[heading]

        it.calls(1)
        call = it.call()
        call.interaction_id = "demo-1"
        it.hears(call)
        it.tells(*call.until_answered(), [Linked(call.caller_dialog.span_id, SENDER)])
        await it.everything_is_stored()
        await it.until(lambda: it.page)
        await get("GET /api/calls", "/api/calls")
        await get("GET /api/calls/{id}/context", "/api/calls/demo-1/context")
        joined = asyncio.Event()
        events = asyncio.create_task(
            asyncio.to_thread(events_of, it.page, joined, asyncio.get_running_loop())
        )
        async with asyncio.timeout(DEADLINE_S):
            await joined.wait()
        it.tells(call.hangs_up())
        await it.everything_is_stored()
        body = json.dumps(await events).encode()
        found["GET /api/events"] = Answer(200, body, "text/event-stream", "")
        await get("GET /api/traces", "/api/traces?limit=1")
        story = (await get("GET /api/traces/{id}", "/api/traces/demo-1")).json()
        number = story["messages"][0]["n"]
        await get("GET /api/traces/{id}/raw/{n}", f"/api/traces/demo-1/raw/{number}")
        for path in ("/api/propagation", "/healthz", "/readyz", "/metrics", "/"):
            await get(f"GET {path}", path)
        await get("POST /api/drain", "/api/drain", body={})
        await get("PUT /api/log-level", "/api/log-level", body=example("PUT /api/log-level"))
        # Refused
        await get("GET limit", "/api/traces?limit=201")
        await get("GET unknown", "/api/traces?nonsense=1")
        await get("GET without", "/api/calls", headers={})
        await get("GET health", "/healthz", headers={})
        await get("GET ready", "/readyz", headers={})
        await get("GET page", "/", headers={})
        await get("GET foreign", "/api/calls", headers={**HEADERS, "Sec-Fetch-Site": "cross-site"})
        await get("GET nowhere", "/api/nowhere")
        await get("GET nobody", "/api/traces/nobody")
        await get("DELETE calls", "/api/calls")
        await get("PUT text", "/api/log-level", body={}, headers=HEADERS | {"Content-Type": "text/plain"})
        await get("PUT long", "/api/log-level", body={"level": "x" * 5000})
    return found


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return uvloop.run(answers_of(tmp_path_factory.mktemp("observer")))


def differences(shown: object, real: object, path: str = "") -> Iterator[str]:
    """Where two values have not the same shape."""
    name = path.rpartition(".")[2]
    if shown is None or real is None:
        if (shown is None) != (real is None) and name not in NULLABLE:
            yield f"{path}: {shown!r}, really {real!r}"
    elif type(shown) is not type(real):
        yield f"{path}: {shown!r}, really {real!r}"
    elif isinstance(shown, dict) and isinstance(real, dict):
        if name in NAMED:
            for key, inner in shown.items() if name != "attributes" else ():
                for other in real.values():
                    yield from differences(inner, other, f"{path}.{key}")
            return
        yield from (f"{path}: {key} is missing" for key in real.keys() - shown.keys())
        yield from (f"{path}: {key} is not there" for key in shown.keys() - real.keys())
        for key in shown.keys() & real.keys():
            yield from differences(shown[key], real[key], f"{path}.{key}")
    elif isinstance(shown, list) and isinstance(real, list):
        for inner in shown:
            yield from (text for other in real[:1] for text in differences(inner, other, path))


WITH_EXAMPLE = [
    title for title in re.findall(r"^### (.*)$", TEXT, re.MULTILINE) if "```json" in section(title)
]


@pytest.mark.parametrize("heading", WITH_EXAMPLE)
def test_example(heading: str, answers: Answers) -> None:
    answer = answers[heading]
    assert answer.status in (200, 202)
    assert answer.type == "application/json"
    assert [*differences(example(heading), answer.json())] == []


def test_the_lists_that_were_compared_are_not_empty(answers: Answers) -> None:
    story = answers["GET /api/traces/{id}"].json()
    assert any(span["events"] for span in story["spans"])
    assert any(span["links"] for span in story["spans"])
    assert story["messages"]
    assert answers["GET /api/calls"].json()["calls"]
    assert answers["GET /api/traces"].json()["calls"]
    assert answers["GET /api/traces"].json()["next"]


def test_a_span_of_the_example_is_as_one_with_links_and_events(answers: Answers) -> None:
    real = answers["GET /api/traces/{id}"].json()["spans"]
    span = next(span for span in real if span["links"] and span["events"])
    assert [*differences(example("GET /api/traces/{id}")["spans"][0], span)] == []


def test_the_events_are_as_the_page_shows_them(answers: Answers) -> None:
    blocks = re.findall(r"event: (\w+)\n +id: \d+\n +data: (.*)", section("GET /api/events"))
    real = answers["GET /api/events"].json()
    for name, data in blocks:
        assert [*differences(json.loads(data), real[name])] == []
    for call in real["calls"]["ended"]:
        assert [*differences(example("GET /api/traces")["calls"][0], call)] == []
    assert real["calls"]["ended"]


def test_words_in_the_examples_are_ours() -> None:
    types = {row.name: row.type for row in ROWS}
    for span in example("GET /api/traces/{id}")["spans"]:
        for name, value in span["attributes"].items():
            assert type(value) is types[name]
    for trunk in example("GET /api/propagation")["trunks"].values():
        assert trunk["arrived"].keys() <= set(CARRIERS)
        assert all(counts.keys() <= set(DECISIONS) for counts in trunk["arrived"].values())
        assert trunk["rejected"].keys() <= set(REASONS)
        assert trunk["returned"].keys() <= set(REFER_CARRIERS)


def test_what_is_no_json_is_there_too(answers: Answers) -> None:
    raw = answers["GET /api/traces/{id}/raw/{n}"]
    assert (raw.status, raw.type) == (200, "text/plain")
    assert raw.body.startswith(b"INVITE sip:")
    assert answers["GET /metrics"].body.startswith(b"# ")
    assert answers["GET /"].type == "text/html"
    assert answers["POST /api/drain"].status == 202


def test_every_path_of_the_listener_has_a_section() -> None:
    source = (ROOT / "sipproxy/admin/http.py").read_text()
    routes = {f"{method} {path}" for method, path in re.findall(r'\("([A-Z]+)", "(/[^"]*)"', source)}
    headings = {title for title in re.findall(r"^### (.*)$", TEXT, re.MULTILINE)}
    assert {re.sub(r"\{\w+\}", "([^/]+)", title) for title in headings} == routes | {
        "GET /api/events",
        "GET /",
    }


# What is refused


def test_the_reason_is_json_and_names_the_parameter(answers: Answers) -> None:
    (shown,) = re.findall(r"## When something is refused.*?```json\n(.*?)\n```", TEXT, re.DOTALL)
    assert answers["GET limit"].status == 400
    assert answers["GET limit"].json() == json.loads(shown)


def test_statuses(answers: Answers) -> None:
    refused = {
        name: answer.status
        for name, answer in answers.items()
        if answer.status >= 400 and name != "GET limit"
    }
    assert refused == {
        "GET unknown": 400,
        "GET without": 401,
        "GET foreign": 403,
        "GET nowhere": 404,
        "GET nobody": 404,
        "DELETE calls": 405,
        "PUT text": 415,
        "PUT long": 413,
    }
    assert answers["DELETE calls"].allow == "GET"
    shown = {int(status) for row in table("", "status") for status in re.findall(r"\d{3}", row[0])}
    assert set(refused.values()) <= shown


def test_health_and_the_page_need_no_token(answers: Answers) -> None:
    assert [answers[f"GET {name}"].status for name in ("health", "ready", "page")] == [200, 200, 200]


# Tables


def test_the_parameters_of_the_search_are_all_there(answers: Answers) -> None:
    known = answers["GET unknown"].json()["error"].rpartition("there are ")[2].split(", ")
    assert [word for row in table("GET /api/traces", "parameter") for word in words(row[0])] == known


def test_fields_that_are_explained_exist(answers: Answers) -> None:
    for heading in ("GET /api/calls", "GET /api/traces", "GET /api/traces/{id}"):
        told = json.dumps(answers[heading].json())
        for row in table(heading, "field"):
            for word in words(row[0]):
                assert f'"{word.rpartition(".")[2]}"' in told, word


def test_outcomes_are_those_of_the_code() -> None:
    rows = table("", "`outcome`")
    assert [words(row[0])[0] for row in rows] == list(OUTCOMES)
    classes: dict[str, set[str]] = {outcome: set() for outcome in OUTCOMES}
    for status in range(200, 700):
        classes[outcome_of(status, "")].add(OUTCOME.get(status, FAILED))
    for row in rows:
        assert set(words(row[2])) == classes[words(row[0])[0]], row
    for row in rows:
        for status in map(int, re.findall(r"\b[2-6]\d\d\b", row[1])):
            assert outcome_of(status, "") == words(row[0])[0]


def test_bounds_are_those_of_the_code() -> None:
    for heading, numbers in {
        "GET /api/calls": [MOST_LIVE],
        "GET /api/traces": [MOST_ROWS],
        "GET /api/traces/{id}": [MOST_CALLS, MOST_SPANS, MOST_MESSAGES],
        "GET /api/events": [MOST_LISTENERS],
    }.items():
        for number in numbers:
            assert f"{number:,}" in section(heading)
