"""From the voice event to the database query: one call, one trace.

    SIPp (SBC) -> sipproxy -> webhook -> nginx -> application -> SQLite
               -> first agent -> REFER -> second agent, by way of all that once more

Every part is the real one: the proxy's process, nginx with config/nginx.conf, the applications of examples/
with OpenTelemetry's own instrumentation. Proxy and application send their spans to one receiver, as to a
collector.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.otlp import HttpReceiver
from tests.support.spans import Span, children, drawn, roots
from tests.support.stage import Performance, Stage
from tests.support.story import NUMBER_CALLED, ExpectedSpan, Story, read
from tests.system.load_balancers import Nginx
from tests.system.voice_apps import KINDS, Database, VoiceApp

SCENARIO = Path(__file__).parent / "journey/scenario.yaml"
TRACE_ID, SBCS_SPAN = "4bf92f3577f34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ROUNDING_NS = 1_000_000  # Node.js' spans begin at whole milliseconds
CUSTOMER, SECOND_AGENT = "+4930555098765", "+4915550007777"
QUERIES = {  # as the instrumentation of each language names them
    "python": {"customers": "SELECT", "lines": "SELECT"},
    "node": {"customers": "select customers.db.customers", "lines": "select customers.db.lines"},
}
SECRETS = [
    CUSTOMER[1:],
    NUMBER_CALLED[1:],
    SECOND_AGENT[1:],
    "Sommerfeld",
    "offer-of-alice",
    "m=audio",
]
# What nginx gives an application is meant for 300 ms; here other tests may be running beside it.
PATIENT = [
    (f"{name} 250ms;", f"{name} 5s;") for name in ("proxy_read_timeout", "proxy_next_upstream_timeout")
]

if shutil.which("sipp") is None and os.environ.get("CI") != "true":
    pytest.skip("the calls need SIPp (apt install sip-tester)", allow_module_level=True)


@dataclass(slots=True)
class Journey:
    """What came of one."""

    kind: str
    performance: Performance
    spans: Sequence[Span]  # of the proxy and the application, when both have ended
    told: dict[str, bytes]  # what left anybody, except SIP and the question itself
    nginx: list[dict[str, Any]]

    def path(self, span: Span) -> list[str]:
        """From the trace's first span down to this one."""
        above = [each for each in self.spans if each.span_id == span.parent_id]
        return [*(self.path(above[0]) if above else [f"({span.parent_id})"]), span.title]


class Journeys:
    """Both at the same time, each with parts of its own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._receivers = {kind: stack.enter_context(HttpReceiver()) for kind in KINDS}
        self._apps = {kind: stack.enter_context(self._application(kind)) for kind in KINDS}
        self._nginx = {
            kind: Nginx(folder / kind, f"127.0.0.1:{app.port}", PATIENT) for kind, app in self._apps.items()
        }
        for nginx in self._nginx.values():
            stack.enter_context(nginx)

    def authorities(self) -> Path:
        """The certificates that the proxies have to trust."""
        bundle = self._folder / "authorities.pem"
        bundle.write_text("".join(nginx.authority.read_text() for nginx in self._nginx.values()))
        return bundle

    def take(self, kind: str) -> Journey:
        """Play it, end everything, and gather what was told."""
        receiver, app, nginx = self._receivers[kind], self._apps[kind], self._nginx[kind]
        story = _story(kind, f"{nginx.url}/route")
        performance = Stage(story, receiver, self._folder / kind / "stage").perform()
        app.stop()
        logged = nginx.logged()
        told = {
            "OTLP": b"".join(receiver.requests),
            "log of the proxy": performance.output.encode(),
            "log of the application": app.log.encode(),
            "log of nginx": repr(logged).encode(),
        }
        return Journey(kind, performance, list(receiver.spans), told, logged)

    def _application(self, kind: str) -> VoiceApp:
        place = self._folder / kind
        place.mkdir()
        database = Database(place / "customers.db")
        database.add([(CUSTOMER, "gold", 0)], [(NUMBER_CALLED, "carrier"), (SECOND_AGENT, "office")])
        return VoiceApp(kind, place, self._receivers[kind].endpoint, timeout_ms=4000)


def _story(kind: str, webhook: str) -> Story:
    (story,) = read(SCENARIO)
    story.given["webhook"] = webhook
    _name_queries(story.spans or [], QUERIES[kind])
    return story


def _name_queries(spans: Sequence[ExpectedSpan], names: dict[str, str]) -> None:
    for span in spans:
        name, _, kind = span.span.rpartition(" ")
        span.span = f"{names.get(name, name)} {kind}"
        _name_queries(span.children, names)


@pytest.fixture(scope="module")
def journeys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Journey]]:
    with ExitStack() as stack, pytest.MonkeyPatch.context() as environment:
        both = Journeys(tmp_path_factory.mktemp("journey"), stack)
        environment.setenv("SSL_CERT_FILE", str(both.authorities()))
        with ThreadPoolExecutor(len(KINDS)) as pool:
            yield dict(zip(KINDS, pool.map(both.take, KINDS), strict=True))


@pytest.fixture(params=KINDS)
def journey(request: pytest.FixtureRequest, journeys: dict[str, Journey]) -> Journey:
    return journeys[request.param]


def one(journey: Journey, name: str, number: int = 0, kind: str = "") -> Span:
    """The first span of that name, or a later one."""
    found = [span for span in journey.spans if span.name == name and kind in ("", span.kind)]
    return sorted(found, key=lambda span: span.start_ns)[number]


def test_everything_is_as_the_story_says(journey: Journey) -> None:
    """The tree span by span, and what both agents' phones got."""
    if journey.performance.failures:
        pytest.fail(journey.performance.report(), pytrace=False)


def test_it_is_one_trace_without_an_orphan(journey: Journey) -> None:
    assert {span.trace_id for span in journey.spans} == {TRACE_ID}, drawn(journey.spans)
    (top,) = roots(journey.spans)
    assert (top.title, top.parent_id) == ("INVITE server", SBCS_SPAN)
    services = {span.resource["service.name"] for span in journey.spans}
    assert services == {"sipproxy", f"voice-app-{journey.kind}"}
    assert len(journey.spans) == 19


def test_from_the_sbc_down_to_the_query(journey: Journey) -> None:
    customers, lines = QUERIES[journey.kind].values()
    first = ["INVITE server", "route internal", "POST /route server"]
    assert journey.path(one(journey, customers)) == [f"({SBCS_SPAN})", *first, f"{customers} client"]
    last = one(journey, lines, -1)
    second = ["INVITE server", "transfer internal", "INVITE server", "route internal", "POST /route server"]
    assert journey.path(last) == [f"({SBCS_SPAN})", *second, f"{lines} client"]
    agent = one(journey, "INVITE", -1, "client")
    assert journey.path(agent) == [f"({SBCS_SPAN})", *second[:3], "INVITE client"]
    assert agent.attributes["sip.trunk"] == "office"


def test_the_times_fit(journey: Journey) -> None:
    """The application was asked, asked its database, and answered; then the agent's phone rang."""
    for number in (0, 1):
        asked, served = one(journey, "webhook", number), one(journey, "POST /route", number)
        moments = [asked.start_ns, served.start_ns]
        for query in children(journey.spans, served):
            moments += [query.start_ns, query.end_ns]
        moments += [asked.end_ns, one(journey, "INVITE", number, "client").end_ns]
        for earlier, later in pairwise(moments):
            assert earlier <= later + ROUNDING_NS, drawn(journey.spans)


def test_one_interaction_on_every_span_and_on_no_resource(journey: Journey) -> None:
    assert {span.attributes["interaction.id"] for span in journey.spans} == {"visit-7f3a-2"}
    assert all("interaction.id" not in span.resource for span in journey.spans)


def test_tracestate_came_all_the_way(journey: Journey) -> None:
    assert one(journey, "POST /route").trace_state == "contact=center"


def test_nginx_let_it_through(journey: Journey) -> None:
    asked = [(row["place"], row["status"], row["trace_id"], row["span_id"]) for row in journey.nginx]
    routes = [one(journey, "route", number).span_id for number in (0, 1)]
    assert asked == [("route", 200, TRACE_ID, span_id) for span_id in routes]


def test_nobody_tells_a_number_a_name_or_a_body(journey: Journey) -> None:
    sip = "".join(message.text for seen in journey.performance.seen.values() for message in seen)
    for secret in SECRETS:
        assert secret in sip, "nobody says it: to search for it would prove nothing"
        for where, data in journey.told.items():
            assert secret.encode() not in data, f"{secret} in {where}"
    assert journey.told["OTLP"]
    assert journey.told["log of nginx"]
