"""The answers of the API, as an operator's tools see them."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sipproxy.admin import readers
from sipproxy.admin.http import WorkerState
from sipproxy.admin.settings import AdminSettings
from sipproxy.store import Query, StoredMessage, StoreError, Story
from sipproxy.store.summary import OVER
from tests.unit.admin.support import TOKEN, Reply, Run, World, ask, call, opened

# Health


@pytest.mark.parametrize(
    ("state", "healthy", "ready", "word"),
    [
        (WorkerState(), 503, 503, "starting"),
        (WorkerState(age_s=0.1), 200, 503, "starting"),
        (WorkerState(age_s=0.1, listening=True), 200, 200, "ready"),
        (WorkerState(age_s=5.1, listening=True), 503, 503, "failed"),
        (WorkerState(age_s=0.1, listening=True, draining=True), 200, 503, "draining"),
        (WorkerState(age_s=0.1, listening=True, degraded=("collector: refused",)), 200, 200, "degraded"),
    ],
)
def test_health_tells_alive_from_ready(
    run: Run, world: World, state: WorkerState, healthy: int, ready: int, word: str
) -> None:
    world.state = state

    async def story() -> None:
        async with opened(world) as site:
            assert (await ask(site, "/healthz")).status == healthy
            reply = await ask(site, "/readyz")
            assert (reply.status, reply.json["status"]) == (ready, word)
            assert bool(reply.json["reasons"]) is (word != "ready")

    run(story())


def test_silence_of_the_worker_is_told_with_its_length(run: Run, world: World) -> None:
    world.state = WorkerState(age_s=7.25, listening=True)

    async def story() -> None:
        async with opened(world) as site:
            assert (await ask(site, "/healthz")).json == {
                "status": "failed",
                "reasons": ["the signalling process said nothing for 7.2 s"],
            }

    run(story())


def test_metrics_are_handed_through_with_what_was_asked_for(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world) as site:
            wanted = "application/openmetrics-text; version=1.0.0"
            reply = await ask(site, "/metrics", headers={"Accept": wanted})
            assert reply.body.decode() == f"# {wanted}\n"
            assert reply.headers["content-type"] == "text/plain; version=0.0.4"

    run(story())


# Live calls


def test_live_calls_are_listed_oldest_first_with_their_number(run: Run, world: World) -> None:
    world.live.now = [call(number) for number in range(1, 701)]

    async def story() -> None:
        async with opened(world) as site:
            told = (await ask(site, "/api/calls")).json
            assert (told["total"], told["seq"], len(told["calls"])) == (700, 0, 700)
            assert [one["id"] for one in told["calls"]] == [one.root_id for one in world.live.now]
            assert told["calls"][0] == {
                "id": "0000000000000001",
                "trace_id": f"{1:032x}",
                "state": "talking",
                "began_us": 1_700_000_000_001_000,
                "answered_us": 1_700_000_001_001_000,
                "from": "***34",
                "to": "***89",
                "trunks": ["sbc", "carrier-a"],
                "call_ids": ["in-1@host", "out-1"],
                "interaction_id": "",
                "transfers": 0,
                "sampled": False,
            }
            few = (await ask(site, "/api/calls?limit=2")).json
            assert ([one["id"][-1] for one in few["calls"]], few["total"]) == (["1", "2"], 700)
            assert (await ask(site, "/api/calls?limit=0")).json["calls"] == []

    run(story())


def test_no_calls_are_an_empty_list(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world) as site:
            answer = (await ask(site, "/api/calls")).json
            assert answer.pop("now_us") > 0
            assert answer == {"calls": [], "total": 0, "seq": 0}

    run(story())


# Search


def test_a_search_asks_the_store_for_exactly_that(run: Run, world: World) -> None:
    world.found = [call(1, state=OVER, outcome="busy", status=486)]

    async def story() -> None:
        async with opened(world) as site:
            reply = await ask(
                site,
                "/api/traces?id=a%40b%2Fc&trunk=sbc&outcome=busy&slower_than_ms=2000&transferred=true"
                "&since=2023-11-14T22:13:20Z&until=2023-11-15T00:13:20.5%2B02:00&limit=7&before=123",
            )
            assert [row["outcome"] for row in reply.json["calls"]] == ["busy"]
            assert reply.json["next"] is None

    run(story())
    assert world.queries == [
        Query(
            id="a@b/c",
            trunk="sbc",
            outcome="busy",
            slower_than_ms=2000,
            transferred=True,
            since_ns=1_700_000_000 * 10**9,
            until_ns=1_700_000_000 * 10**9 + 500_000_000,
            before="123",
            limit=7,
        )
    ]


def test_a_search_without_parameters_is_for_the_newest(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world) as site:
            assert (await ask(site, "/api/traces")).json == {"calls": [], "next": None}

    run(story())
    assert world.queries == [Query()]


@pytest.mark.parametrize(
    ("query", "parameter", "error"),
    [
        ("colour=red", "colour", "unknown parameter; there are id, trunk, outcome"),
        ("id=1&id=2", "id", "given more than once"),
        ("id=", "id", "empty"),
        ("id=" + "a" * 513, "id", "longer than 512"),
        ("id=a%00b", "id", "no printable character"),
        ("outcome=great", "outcome", "none of answered, busy"),
        ("slower_than_ms=fast", "slower_than_ms", "not a whole number from 0 to"),
        ("slower_than_ms=-1", "slower_than_ms", "not a whole number"),
        ("slower_than_ms=%D9%A3", "slower_than_ms", "not a whole number"),
        ("transferred=yes", "transferred", "none of true, false"),
        ("since=yesterday", "since", "neither ISO 8601"),
        ("since=9999-12-31T23:59:59Z", "since", "not between 1970 and 2200"),
        ("until=1969-12-31", "until", "not between"),
        ("limit=0", "limit", "from 1 to 200"),
        ("limit=201", "limit", "from 1 to 200"),
        ("before=broken", "before", "no cursor of ours"),
        ("%3Cscript%3E=1", "<script>", "unknown parameter"),
    ],
)
def test_a_bad_parameter_is_named(run: Run, world: World, query: str, parameter: str, error: str) -> None:
    async def story() -> None:
        async with opened(world) as site:
            reply = await ask(site, f"/api/traces?{query}")
            assert (reply.status, reply.json["parameter"]) == (400, parameter)
            assert error in reply.json["error"]

    run(story())


@pytest.mark.parametrize(
    "path", ["/api/calls?x=1", "/api/calls/1/context?x=1", "/api/traces/1?x=1", "/api/propagation?x=1"]
)
def test_what_takes_no_parameter_says_so(run: Run, world: World, path: str) -> None:
    async def story() -> None:
        async with opened(world) as site:
            reply = await ask(site, path)
            assert (reply.status, reply.json["parameter"]) == (400, "x")

    run(story())


def test_a_store_that_cannot_be_read_is_told(run: Run, world: World) -> None:
    world.fault = StoreError("the disk is gone")

    async def story() -> None:
        async with opened(world) as site:
            reply = await ask(site, "/api/traces")
            assert (reply.status, reply.json) == (503, {"error": "the disk is gone"})

    run(story())


def test_a_search_that_takes_too_long_is_ended_and_holds_up_nobody(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "PATIENCE_S", 0.1)
    world.hold = True

    async def story() -> None:
        async with opened(world) as site:
            slow = [asyncio.ensure_future(ask(site, "/api/traces")) for _ in range(2)]
            for _ in slow:
                await asyncio.to_thread(world.reading.acquire)
            world.hold = False
            assert (await ask(site, "/api/traces")).status == 200
            assert (await ask(site, "/api/calls")).status == 200
            replies = [await one for one in slow]
            assert [reply.status for reply in replies] == [503, 503]
            assert "ask for less" in replies[0].json["error"]
        assert world.interrupted == 2

    run(story())


def test_a_search_ends_when_nobody_waits_for_it_any_more(run: Run, world: World) -> None:
    world.hold = True

    async def story() -> None:
        async with opened(world) as site:
            gone = asyncio.ensure_future(ask(site, "/api/traces"))
            await asyncio.to_thread(world.reading.acquire)
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            async with asyncio.timeout(5):
                while not world.interrupted:
                    await asyncio.sleep(0)

    run(story())


def test_too_many_searches_at_once_are_refused(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "_MOST_WAITING", 4)
    world.hold = True

    async def story() -> None:
        async with opened(world) as site:
            waiting = [asyncio.ensure_future(ask(site, "/api/traces")) for _ in range(4)]
            for _ in range(3):
                await asyncio.to_thread(world.reading.acquire)
            reply = await ask(site, "/api/traces")
            while reply.status == 200:
                reply = await ask(site, "/api/traces")
            assert (reply.status, reply.headers["retry-after"]) == (503, "1")
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    run(story())


# The story of a call


def test_a_story_is_found_by_an_id_with_any_character(run: Run, world: World) -> None:
    ident = "a/b?c#d%e@host:5060;<x>é"
    world.stories[ident] = Story(calls=[call()], traces=["t" * 32])

    async def story() -> None:
        settings = AdminSettings(
            listen="127.0.0.1:0",
            links={"Jaeger": "http://j.example/trace/{trace_id}", "bad": "javascript:alert({trace_id})"},
        )
        async with opened(world, settings) as site:
            told = (await ask(site, f"/api/traces/{quote(ident, safe='')}")).json
            assert told["id"] == "0000000000000001"
            assert told["deep_links"] == {"Jaeger": f"http://j.example/trace/{'t' * 32}"}
            assert (told["raw"], told["truncated"], told["spans"], told["messages"]) == (False, False, [], [])
            assert [one["id"] for one in told["calls"]] == ["0000000000000001"]

    run(story())


def test_an_unknown_id_is_404(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world) as site:
            for path in ("/api/traces/nothing", "/api/calls/nothing/context"):
                reply = await ask(site, path)
                assert (reply.status, reply.json["parameter"]) == (404, "id")
            assert (await ask(site, "/api/traces/")).status == 404
            assert (await ask(site, "/api/traces/%00")).status == 400

    run(story())


def test_a_message_is_shown_as_it_was_only_where_that_is_set_and_leaves_a_line(
    run: Run, world: World
) -> None:
    world.raw["1", 7] = b"INVITE sip:+4915550001234@host SIP/2.0\r\n\r\n"
    at = (7, 0, False, "UDP", "192.0.2.1:5060", "127.0.0.1:5060")
    invite = StoredMessage(*at, "INVITE", "INVITE", 1, 0, "***34@host", "INVITE ...", 1, call().root_id, 0)
    world.stories["1"] = Story(calls=[call()], messages=[invite])

    async def story() -> None:
        for closed in (
            AdminSettings(listen="127.0.0.1:0"),
            AdminSettings(listen="127.0.0.1:0", raw=True),
            AdminSettings(listen="127.0.0.1:0", token=TOKEN),
        ):
            async with opened(world, closed) as site:
                assert (await ask(site, "/api/traces/1/raw/7", token=TOKEN)).status == 403
                assert (await ask(site, "/api/traces/1", token=TOKEN)).json["raw"] is False
        assert world.log.lines == []
        async with opened(world, AdminSettings(listen="127.0.0.1:0", token=TOKEN, raw=True)) as site:
            assert (await ask(site, "/api/traces/1", token=TOKEN)).json["raw"] is True
            assert (await ask(site, "/api/traces/1/raw/7")).status == 401
            for number in ("8", "x", "-1", "9" * 30, "%D9%A3"):
                reply = await ask(site, f"/api/traces/1/raw/{number}", token=TOKEN)
                assert reply.status == (404 if number == "8" else 400)
            assert world.log.lines == []
            reply = await ask(site, "/api/traces/1/raw/7", token=TOKEN)
            assert (reply.status, reply.body) == (200, world.raw["1", 7])
            assert reply.headers["content-type"] == "text/plain; charset=utf-8"
        whose = {"trace_id": call().trace_id, "span_id": call().root_id, "call_id": "***34@host"}
        facts = {"n": 7, **whose, "peer": "127.0.0.1"}
        assert world.log.lines == [("warning", "raw message shown", facts)]

    run(story())


def test_the_propagation_matrix_is_told(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world) as site:
            told = (await ask(site, "/api/propagation")).json
            assert told == {"trunks": {"sbc": {"arrived": {}, "rejected": {}, "returned": {}}}}

    run(story())


# What changes something


def test_a_drain_reaches_the_worker(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world) as site:
            for body in (b"", b"{}"):
                reply = await ask(site, "/api/drain", "POST", body=body)
                assert (reply.status, reply.json) == (202, {"draining": True})
            world.worker = False
            reply = await ask(site, "/api/drain", "POST", body=b"{}")
            assert (reply.status, reply.json) == (503, {"error": "the signalling process cannot be reached"})

    run(story())
    assert world.commands == [{"drain": True}] * 3


def test_the_log_level_reaches_the_worker(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world) as site:
            kind = {"Content-Type": "Application/JSON; charset=utf-8"}
            reply = await ask(site, "/api/log-level", "PUT", body=b'{"level": "debug"}', headers=kind)
            assert (reply.status, reply.json) == (200, {"level": "debug"})

    run(story())
    assert world.commands == [{"log_level": "debug"}]
    assert [line[1] for line in world.log.lines] == ["log level changed"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", {"error": "none of debug, info, warning, error", "parameter": "level"}),
        (b'{"level": "loud"}', {"error": "none of debug, info, warning, error", "parameter": "level"}),
        (b'{"level": ["debug"]}', {"error": "none of debug, info, warning, error", "parameter": "level"}),
        (b'{"level": "info", "x": 1}', {"error": "unknown; there are level", "parameter": "x"}),
        (b"level=debug", {"error": "the body is not JSON"}),
        (b"\xff\xfe", {"error": "the body is not JSON"}),
        (b"[" * 4000, {"error": "the body is not JSON"}),
        (b'["level"]', {"error": "the body is no JSON object"}),
    ],
)
def test_a_bad_body_is_refused(run: Run, world: World, body: bytes, told: dict[str, Any]) -> None:
    async def story() -> None:
        async with opened(world) as site:
            reply = await ask(site, "/api/log-level", "PUT", body=body)
            assert (reply.status, reply.json) == (400, told)

    run(story())
    assert world.commands == []


# Whatever is sent

_PATHS = st.sampled_from(["/api/traces", "/api/calls", "/api/traces/{}", "/api/calls/{}/context", "/api/{}"])
_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=()), max_size=30)
_ODD = st.one_of(
    _TEXT, st.sampled_from(["..", "%", "%zz", "%00", "%ff%fe", "&", "=", ";", "#", "?a=b", "[", "1e9"])
)
_NAMES = st.one_of(
    st.sampled_from(["id", "since", "until", "limit", "before", "slower_than_ms", "trunk"]), _ODD
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=_PATHS, ident=_ODD, query=st.lists(st.tuples(_NAMES, _ODD), max_size=3), escape=st.booleans())
def test_nothing_that_is_sent_is_a_failure_of_ours(
    path: str, ident: str, query: list[tuple[str, str]], escape: bool
) -> None:
    def written(text: str) -> str:
        if escape:
            return quote(text, safe="", errors="surrogatepass")
        return "".join(char for char in text if char not in " \r\n\t" and char >= " ")

    target = path.format(written(ident))
    if query:
        target += "?" + "&".join(f"{written(name)}={written(value)}" for name, value in query)
    world = World()

    async def story() -> Reply:
        async with opened(world) as site:
            return await ask(site, target)

    reply = asyncio.run(story())
    assert reply.status in (200, 400, 404), (target, reply)
    if reply.status != 200:
        assert json.loads(reply.body)["error"]


@settings(max_examples=100, deadline=None)
@given(body=st.one_of(st.binary(max_size=60), st.recursive(st.none() | st.text(), st.lists).map(json.dumps)))
def test_no_body_is_a_failure_of_ours(body: bytes | str) -> None:
    world = World()
    data = body.encode() if isinstance(body, str) else body

    async def story() -> Reply:
        async with opened(world) as site:
            return await ask(site, "/api/log-level", "PUT", body=data)

    assert asyncio.run(story()).status in (400, 413)
