"""What an application goes on with, in each moment of a call."""

from __future__ import annotations

import pytest

from sipproxy.telemetry.attributes import Attributes
from sipproxy.telemetry.record import CLIENT, PARENT_IS_REMOTE, SERVER, SpanRecord
from tests.unit.admin.support import Run, World, ask, call, opened

TRACE = f"{1:032x}"
ROOT = f"{1:016x}"
IN, OUT, NEW = 11, 12, 13  # hashes of the legs' Call-IDs; the stand-in hashes `key-11` to 11


def span(number: int, name: str, kind: str, leg: str, key: int, start_ns: int, flags: int = 1) -> SpanRecord:
    attributes: Attributes = {"sip.leg": leg, "sip.call_id": f"masked-{key}"} if leg else {}
    values = (TRACE, f"{number:016x}", "", flags, "vendor=1", name, kind, start_ns, 0, False, attributes)
    return SpanRecord(*values, (), 0, (), ROOT, key)


INVITE_IN = span(1, "INVITE", SERVER, "caller", IN, 0, flags=1 | PARENT_IS_REMOTE)
ROUTE = span(2, "route", "INTERNAL", "", 0, 0)
INVITE_OUT = span(3, "INVITE", CLIENT, "callee", OUT, 1)
DIALOG_IN = span(4, "dialog", SERVER, "caller", IN, 2)
DIALOG_OUT = span(5, "dialog", CLIENT, "callee", OUT, 2)
DIALOG_NEW = span(6, "dialog", CLIENT, "callee", NEW, 9)
RE_INVITE = span(7, "re-INVITE", CLIENT, "caller", IN, 9)


@pytest.mark.parametrize(
    ("spans", "ident", "found"),
    [
        ([INVITE_IN, ROUTE], "key-11", INVITE_IN),
        ([INVITE_IN, ROUTE], ROOT, INVITE_IN),
        ([INVITE_IN, INVITE_OUT], ROOT, INVITE_OUT),
        ([INVITE_IN, INVITE_OUT], "key-11", INVITE_IN),
        ([INVITE_IN, INVITE_OUT], "key-12", INVITE_OUT),
        ([INVITE_IN, INVITE_OUT], "masked-11", INVITE_IN),
        ([DIALOG_IN, DIALOG_OUT], TRACE, DIALOG_OUT),
        ([DIALOG_IN, DIALOG_OUT], "INT-1", DIALOG_OUT),
        ([DIALOG_IN, DIALOG_OUT], "key-11", DIALOG_IN),
        ([DIALOG_IN, DIALOG_OUT], "masked-12", DIALOG_OUT),
        ([DIALOG_NEW, DIALOG_IN, DIALOG_OUT, RE_INVITE], "INT-1", DIALOG_NEW),
        ([DIALOG_NEW, DIALOG_IN, DIALOG_OUT, RE_INVITE], "key-11", DIALOG_IN),
        ([DIALOG_NEW, DIALOG_IN, DIALOG_OUT], "key-12", DIALOG_OUT),
        ([RE_INVITE], "key-11", None),
        ([], ROOT, None),
        ([DIALOG_IN, DIALOG_OUT], "INT-2", None),
    ],
)
def test_each_id_leads_to_its_leg(
    run: Run, world: World, spans: list[SpanRecord], ident: str, found: SpanRecord | None
) -> None:
    legs = ("key-11", "key-12", "masked-11", "masked-12")
    world.live.now = [call(1, interaction_id="INT-1", call_ids=legs)]
    world.live.spans = spans

    async def story() -> None:
        async with opened(world) as site:
            reply = await ask(site, f"/api/calls/{ident}/context")
            if found is None:
                assert reply.status == 404
                return
            assert reply.json == {
                "traceparent": f"00-{TRACE}-{found.span_id}-01",
                "tracestate": "vendor=1",
                "trace_id": TRACE,
                "span_id": found.span_id,
                "interaction_id": "INT-1",
                "call_id": found.attributes["sip.call_id"],
                "leg": found.attributes["sip.leg"],
            }

    run(story())


def test_of_several_calls_of_an_interaction_the_latest_that_is_open_counts(run: Run, world: World) -> None:
    other = span(8, "dialog", CLIENT, "callee", NEW, 1)._replace(root_id=f"{2:016x}")
    world.live.now = [
        call(1, interaction_id="INT-1"),
        call(2, interaction_id="INT-1"),
        call(3, interaction_id="INT-1"),
    ]
    world.live.spans = [DIALOG_OUT, other]

    async def story() -> None:
        async with opened(world) as site:
            assert (await ask(site, "/api/calls/INT-1/context")).json["span_id"] == other.span_id

    run(story())


def test_what_is_not_sampled_says_so_in_its_flags(run: Run, world: World) -> None:
    world.live.now = [call(1)]
    world.live.spans = [DIALOG_OUT._replace(flags=0)]

    async def story() -> None:
        async with opened(world) as site:
            told = (await ask(site, f"/api/calls/{ROOT}/context")).json
            assert told["traceparent"].endswith("-00")

    run(story())
