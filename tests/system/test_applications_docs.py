"""docs/applications.md tells the truth: what one types works, its programs run, and its traps are there.

(Its commands and configuration are read by tests/test_docs_blocks.py, its applications are tested in
tests/system/test_applications.py, its tree is that of tests/system/test_whole_journey.py.)
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.npm import installed
from tests.support.pages import DOCS, blocks
from tests.support.story import ExpectedSpan, read
from tests.system.voice_apps import EXAMPLES

PAGE = DOCS / "applications.md"
TEXT = PAGE.read_text("utf-8")
BLOCKS = blocks(PAGE)
API = (DOCS / "api.md").read_text("utf-8")
JOURNEY = Path(__file__).parent / "journey/scenario.yaml"


def shown(language: str, containing: str = "") -> str:
    (found,) = (block.text for block in BLOCKS if block.language == language and containing in block.text)
    return found


def run(program: str, *, folder: Path | None = None, **environment: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


# Five minutes


def test_the_ports_are_those_of_the_applications() -> None:
    ports = {"python": "9001", "node": "9002"}
    assert f"listening on {ports['python']}" in TEXT
    assert f"http://127.0.0.1:{ports['python']}/route" in shown("yaml")
    assert f"listens on {ports['node']}" in TEXT
    assert f'"PORT", "{ports["python"]}"' in (EXAMPLES / "python/app.py").read_text()
    assert f"PORT ?? {ports['node']}" in (EXAMPLES / "node/app.js").read_text()
    balanced = (EXAMPLES.parent / "config/nginx.conf").read_text()
    assert all(f"server 127.0.0.1:{port} " in balanced for port in ports.values())


def test_it_is_started_as_it_says() -> None:
    package = json.loads((EXAMPLES / "node/package.json").read_text())
    assert f"`npm start` is `{package['scripts']['start']}`" in TEXT


def test_the_tree_is_the_one_that_is_tested() -> None:
    """Up to the second agent's call, which begins as the first one does."""
    (story,) = read(JOURNEY)
    found: list[str] = []

    def walk(span: ExpectedSpan, depth: int) -> None:
        name, _, kind = span.span.rpartition(" ")
        found.append(f"{depth} {'SELECT' if name in ('customers', 'lines') else name} {kind.upper()}")
        if depth < 2 or name == "POST /route":
            for child in span.children:
                walk(child, depth + 1)

    walk((story.spans or [])[0], 0)
    rows = [re.match(r"([ │├└─]*)(.+?) {2,}(\w+)", line) for line in shown("text").splitlines()]
    assert found == [f"{len(row[1]) // 3} {row[2]} {row[3]}" for row in rows if row]


# Programs


def test_what_the_library_prints() -> None:
    first, second = run(shown("python", "extract_call"))
    assert first == "4bf92f3577f34da6a3ce929d0e0e4736 x-traceparent visit-7f3a-2"
    assert second == "00-4bf92f3577f34da6a3ce929d0e0e4736-53995c3f42cd8ad8-01"


def test_a_voice_bot_takes_a_call() -> None:
    variables = re.findall(r"^\$ export (\w+)=(\S+)$", shown("console", "OTEL_PROPAGATORS"), re.MULTILINE)
    program = f"""
{shown("python", "previous_links")}
from opentelemetry import baggage
from opentelemetry.sdk.trace import TracerProvider

trace.set_tracer_provider(TracerProvider())
span = take({{
    "x-traceparent": "00-4bf92f3577f34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "Previous-Trace-ID": "{"a" * 32};span={"b" * 16}",
}})
(link,) = span.links
print(f"{{span.parent.span_id:016x}} {{span.context.trace_id:032x}} {{link.context.span_id:016x}}")
"""
    assert run(program, **dict(variables)) == [
        f"00f067aa0ba902b7 4bf92f3577f34da6a3ce929d0e0e4736 {'b' * 16}"
    ]


class Proxy(BaseHTTPRequestHandler):
    """Says of one call what docs/api.md says."""

    known = "1-4711@192.0.2.20"
    said = re.findall(
        r"^### GET /api/calls/\{id\}/context\n.*?```json\n(.*?)```", API, re.MULTILINE | re.DOTALL
    )[0]

    def do_GET(self) -> None:
        good = self.path == "/api/calls/1-4711%40192.0.2.20/context"
        allowed = self.headers["Authorization"] == "Bearer not-the-real-one"
        body = self.said.encode() if good else b'{"error": "no such call"}'
        self.send_response(200 if good and allowed else 404 if allowed else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep test output quiet."""


@pytest.fixture
def proxy() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_desktop_goes_on_with_the_call(proxy: str) -> None:
    said = json.loads(Proxy.said)
    program = f"""
import sys
sys.path.insert(0, {str(EXAMPLES / "python")!r})
import desktop
from opentelemetry import baggage, trace

context = desktop.context_of({Proxy.known!r})
span = trace.get_current_span(context).get_span_context()
print(f"{{span.trace_id:032x}} {{span.span_id:016x}}", baggage.get_baggage("interaction.id", context))
print(span.trace_state.to_header())
print(desktop.context_of("over"))
desktop.TOKEN = "another"
print(desktop.context_of({Proxy.known!r}))
desktop.PROXY = "http://127.0.0.1:1"
print(desktop.context_of({Proxy.known!r}))
"""
    assert run(program, SIPPROXY_URL=proxy, SIPPROXY_TOKEN="not-the-real-one") == [
        f"{said['trace_id']} {said['span_id']} {said['interaction_id']}",
        said["tracestate"],
        "None",
        "None",
        "None",
    ]


# Traps

_TRACED = """
import asyncio, sqlite3
from sqlite3 import connect as imported_before
from opentelemetry import trace
from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

told = InMemorySpanExporter()
trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(told))
SQLite3Instrumentor().instrument()
tracer = trace.get_tracer("trap")

def spans():
    found = [(span.name, span.parent is not None) for span in told.get_finished_spans()]
    told.clear()
    return found
"""


def test_pythons_traps_around_sqlite() -> None:
    program = """
def ask():
    sqlite3.connect(":memory:").cursor().execute("SELECT 1")

imported_before(":memory:").cursor().execute("SELECT 1")
print("imported before", spans())
sqlite3.connect(":memory:").execute("SELECT 1")
print("by the shortcut", spans())

async def in_threads():
    with tracer.start_as_current_span("call"):
        await asyncio.get_running_loop().run_in_executor(None, ask)
        print("run_in_executor", spans())
        await asyncio.to_thread(ask)
        print("to_thread", spans())

asyncio.run(in_threads())
"""
    assert run(_TRACED + program) == [
        "imported before []",
        "by the shortcut []",
        "run_in_executor [('SELECT', False)]",  # without a parent
        "to_thread [('SELECT', True)]",
    ]


def test_aiohttps_handlers_have_no_baggage_by_themselves() -> None:
    """When this fails, `baggage_bound` has become needless."""
    program = """
import asyncio, aiohttp
from opentelemetry import baggage
from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor
AioHttpServerInstrumentor().instrument()
from aiohttp import web

async def handler(request):
    return web.Response(text=str(dict(baggage.get_all())))

async def main():
    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        async with session.get(url, headers={"baggage": "interaction.id=visit-7"}) as answer:
            print(await answer.text())
    await runner.cleanup()

asyncio.run(main())
"""
    assert run(program) == ["{}"]


def test_python_does_not_start_with_a_propagator_that_is_not_there() -> None:
    program = "try:\n    import opentelemetry.propagate\nexcept ValueError as error:\n    print(error)"
    (said,) = run(program, OTEL_PROPAGATORS="tracecontext,no-such")
    assert said.startswith("Propagator no-such not found")
    assert "`Propagator sip not found`" in TEXT


def test_knex_tells_the_values_of_a_query_in_its_errors() -> None:
    """Unless it is told not to."""
    program = """
const knex = require('knex');
class Broken extends require('knex/lib/dialects/better-sqlite3') {
  _driver() { return require('libsql'); }
  async acquireRawConnection() { return new this.driver(':memory:'); }
}
(async () => {
  for (const compileSqlOnError of [true, false]) {
    const usual = { client: Broken, connection: { filename: ':memory:' }, useNullAsDefault: true };
    const database = knex({ ...usual, compileSqlOnError });
    const error = await database('nowhere').where({ number: '+441632960001' }).catch((error) => error);
    console.log(error.message.includes('+441632960001'));
    await database.destroy();
  }
})();
"""
    modules = installed(EXAMPLES / "node")
    ran = subprocess.run(
        ["node", "-e", program], cwd=modules.parent, capture_output=True, text=True, timeout=30, check=False
    )
    assert (ran.stdout.split(), ran.stderr) == (["true", "false"], "")


def test_nodejs_knows_no_sip_and_loses_baggage_with_it() -> None:
    program = """
const { propagation, context } = require('@opentelemetry/api');
const { NodeSDK } = require('@opentelemetry/sdk-node');
const sdk = new NodeSDK({ instrumentations: [] });
sdk.start();
const found = propagation.extract(context.active(), { baggage: 'interaction.id=visit-7' });
console.log(propagation.getBaggage(found)?.getEntry('interaction.id')?.value);
"""
    modules = installed(EXAMPLES / "node")
    said = []
    for propagators in ("tracecontext,sip", "tracecontext,baggage"):
        variables = {f"OTEL_{name}_EXPORTER": "none" for name in ("TRACES", "METRICS", "LOGS")}
        ran = subprocess.run(
            ["node", "-e", program],
            cwd=modules.parent,
            env={"PATH": "/usr/bin:/bin:/usr/local/bin", "OTEL_PROPAGATORS": propagators, **variables},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        said.append(ran.stdout.strip().splitlines()[-1])
    assert said == ["undefined", "visit-7"]
