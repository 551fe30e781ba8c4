"""The API on a real store, written by a real keeper: what it tells, and how fast."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sipproxy.admin import readers
from sipproxy.admin.answers import Refused
from sipproxy.admin.http import Site, Sources, start
from sipproxy.admin.readers import Readers
from sipproxy.admin.settings import AdminSettings
from sipproxy.store.live import LiveCalls
from sipproxy.store.reader import Reader
from sipproxy.store.summary import CallSummary
from sipproxy.telemetry.parcel import Parcel
from tests.unit.admin.support import TOKEN, World, ask, changes, opened
from tests.unit.store.support import KEYS, MASKER, Observer, Worker, joined, ladder, message, sip
from tests.unit.telemetry.facts import CALLEE, CALLER, Call, request
from tests.unit.telemetry.transfers import Transfer

MESSAGES, LIVE = 500, 10_000


@pytest.fixture
def observer(tmp_path: Path) -> Iterator[Observer]:
    observer = Observer(tmp_path, raw=True)
    observer.begin()
    yield observer
    observer.close()


@asynccontextmanager
async def told_by(observer: Observer, world: World, *, raw: bool = False) -> AsyncIterator[Site]:
    """An API of what the observer has."""
    settings = AdminSettings(listen="127.0.0.1:0", token=TOKEN if raw else None, raw=raw)
    sources: Sources = replace(
        world.sources(), live=lambda: observer.live, keys=KEYS, readers=Readers(lambda: reader_of(observer))
    )
    site = await start(settings, sources)
    try:
        yield site
    finally:
        await site.close()


def reader_of(observer: Observer) -> Reader:
    return Reader(observer.place, reference=MASKER.mask_reference)


def of_call(worker: Worker, call: Call) -> Parcel:
    """All of it, with its messages."""
    lists = zip(call.basic(), ladder(call), strict=False)
    return joined(worker(*facts, messages=messages) for facts, messages in lists)


def test_a_call_is_found_by_each_of_its_ids_and_told_without_numbers(
    observer: Observer, world: World
) -> None:
    call = Call(request=request(call_id=f"{CALLER}@sbc"), interaction_id="INT-1")
    observer.stores(of_call(Worker(), call))

    async def story() -> None:
        async with told_by(observer, world) as site:
            for ident in ("%2B4915550001234@sbc", call.trace_id, "INT-1", call.root.span_id):
                reply = await ask(site, f"/api/traces/{ident}")
                assert reply.status == 200, ident
                told = reply.json
                assert [one["id"] for one in told["calls"]] == [call.root.span_id]
                assert {span["call"] for span in told["spans"]} == {call.root.span_id}
                assert told["traces"] == [call.trace_id]
                names = {(one["from_name"], one["to_name"]) for one in told["messages"]}
                assert names == {
                    ("sbc", "sipproxy"),
                    ("sipproxy", "sbc"),
                    ("carrier-a", "sipproxy"),
                    ("sipproxy", "carrier-a"),
                }
                assert told["id"] == (call.root.span_id if "@" in ident else ident)
                assert CALLER[1:] not in reply.body.decode()
                assert f"{CALLEE}@" not in reply.body.decode()
            for query in ("trunk=carrier-a", "outcome=answered", "slower_than_ms=1000", "id=INT-1"):
                found = (await ask(site, f"/api/traces?{query}")).json["calls"]
                assert [one["id"] for one in found] == [call.root.span_id], query
            for query in ("trunk=other", "outcome=busy", "transferred=true", "since=1s", "id=INT-2"):
                assert (await ask(site, f"/api/traces?{query}")).json["calls"] == [], query

    asyncio.run(story())


def test_pages_of_a_search_join_without_a_gap(observer: Observer, world: World) -> None:
    worker = Worker()
    calls = [Call(trace_id=f"{number:032x}") for number in range(1, 8)]
    observer.stores(worker.all([facts for call in calls for facts in call.basic()]))

    async def story() -> None:
        async with told_by(observer, world) as site:
            seen: list[str] = []
            cursor = ""
            while cursor is not None:
                more = f"&before={cursor}" if cursor else ""
                page = (await ask(site, f"/api/traces?limit=3{more}")).json
                seen += [one["id"] for one in page["calls"]]
                cursor = page["next"]
            assert seen == [call.root.span_id for call in calls[::-1]]
            reply = await ask(site, "/api/traces?before=x")
            assert (reply.status, reply.json["parameter"]) == (400, "before")

    asyncio.run(story())


def test_a_transfer_is_told_with_the_call_that_it_made(observer: Observer, world: World) -> None:
    worker = Worker()
    transfer = Transfer(Call(), mode="relay")
    observer.stores(worker.all(transfer.call.until_answered()), worker(transfer.begins(), transfer.ends()))
    new = Call(
        request=request(call_id="new@sbc"), parent=transfer.context, decision="recovered", transferred=True
    )
    observer.stores(worker.all(new.basic()), worker.all([transfer.call.hangs_up()]))

    async def story() -> None:
        async with told_by(observer, world) as site:
            told = (await ask(site, "/api/traces/new@sbc")).json
            assert {one["id"] for one in told["calls"]} == {transfer.call.root.span_id, new.root.span_id}
            assert [span["name"] for span in told["spans"]].count("transfer") == 1

    asyncio.run(story())


def test_a_call_that_is_open_is_told_by_the_store_and_gives_its_context(
    observer: Observer, world: World
) -> None:
    call = Call(request=request(call_id="live@sbc"))
    observer.stores(Worker().all(call.until_answered()))

    async def story() -> None:
        async with told_by(observer, world) as site:
            told = (await ask(site, "/api/traces/live@sbc")).json
            assert [span["name"] for span in told["spans"] if span["end_us"] is None] == ["dialog"] * 2
            assert told["calls"][0]["state"] == "talking"
            context = (await ask(site, "/api/calls/live@sbc/context")).json
            assert context["traceparent"] == call.caller_dialog.traceparent()
            by_trace = (await ask(site, f"/api/calls/{call.trace_id}/context")).json
            assert by_trace["traceparent"] == call.callee_dialog.traceparent()

    asyncio.run(story())


def test_a_message_is_shown_as_it_was(observer: Observer, world: World) -> None:
    call = Call(request=request(call_id="a@sbc"))
    observer.stores(of_call(Worker(), call))

    async def story() -> None:
        async with told_by(observer, world, raw=True) as site:
            told = (await ask(site, "/api/traces/a@sbc", token=TOKEN)).json
            (invite,) = (one for one in told["messages"] if one["start"] == "INVITE" and not one["sent"])
            raw = await ask(site, f"/api/traces/a@sbc/raw/{invite['n']}", token=TOKEN)
            assert raw.body == ladder(call)[0][0].data
            assert (await ask(site, "/api/traces/a@sbc/raw/7", token=TOKEN)).status == 404
            assert (await ask(site, f"/api/traces/b@sbc/raw/{invite['n']}", token=TOKEN)).status == 404
        assert [line[1] for line in world.log.lines] == ["raw message shown"]

    asyncio.run(story())


def test_a_heavy_question_is_ended_in_time(observer: Observer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "PATIENCE_S", 0.1)
    observer.stores(of_call(Worker(), Call()))
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

    def heavy(reader: Reader) -> None:
        with reader._reading() as opened:
            assert opened is not None
            opened[0].execute(endless).fetchone()

    async def story() -> None:
        pool = Readers(lambda: reader_of(observer))
        waiting = [asyncio.ensure_future(pool.ask(heavy)) for _ in range(3)]
        for one in waiting:
            with pytest.raises(Refused, match="ask for less"):
                await one
        assert await pool.ask(lambda reader: reader.story("nothing")) is None  # all can be used again
        await pool.close()

    asyncio.run(story())


def test_a_long_call_is_told_within_100_ms(observer: Observer, world: World) -> None:
    call = Call(request=request(call_id="long@sbc"))
    observer.stores(Worker().all(call.basic()))
    said = [
        message(n * 0.02, "200 OK" if n % 2 else "INFO", "long@sbc", 100 + n // 2, "INFO", sent=bool(n % 2))
        for n in range(MESSAGES)
    ]
    observer.stores(Parcel([], [], [], said))

    async def story() -> None:
        async with told_by(observer, world) as site:
            told = (await ask(site, "/api/traces/long@sbc")).json
            assert len(told["messages"]) == MESSAGES
            assert sip("INFO", "long@sbc", 100, "INFO").decode()[:4] == told["messages"][0]["text"][:4]
            began = time.process_time()
            await ask(site, "/api/traces/long@sbc")
            assert time.process_time() - began < 0.1

    asyncio.run(story())


@pytest.mark.alone
def test_10000_live_calls_are_told_within_150_ms_and_a_hundred_changes_within_5(world: World) -> None:
    live = [
        CallSummary(
            n, f"{n:016x}", f"{n:032x}", n, trunks=("a", "b"), call_keys=(n,), call_ids=(f"call-{n}@host",)
        )
        for n in range(1, LIVE + 1)
    ]
    world.live.now = live

    async def story() -> None:
        async with opened(world) as site:
            began = time.process_time()
            reply = await ask(site, "/api/calls")
            took = time.process_time() - began
            assert len(reply.json["calls"]) == LIVE
            assert took < 0.15
            listener = site.hub.join(lambda: None)
            assert listener is not None
            began = time.process_time()
            for _ in range(10):
                site.changed(changes(changed=live[:100]))
                site.hub.flush()
            assert time.process_time() - began < 10 * 0.005

    asyncio.run(story())


def test_live_calls_of_a_real_worker_are_listed(observer: Observer, world: World) -> None:
    worker = Worker()
    calls = [Call(request=request(call_id=f"{n}@sbc"), trace_id=f"{n:032x}") for n in range(1, 4)]
    observer.stores(*(worker.all(call.until_answered()) for call in calls))
    assert isinstance(observer.live, LiveCalls)

    async def story() -> None:
        async with told_by(observer, world) as site:
            told = (await ask(site, "/api/calls")).json
            assert (told["total"], [one["state"] for one in told["calls"]]) == (3, ["talking"] * 3)

    asyncio.run(story())
