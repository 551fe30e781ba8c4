"""A story as JSON, and back."""

from __future__ import annotations

import json

from sipproxy.admin.shapes import span_of, span_shape, step_of, story_shape
from sipproxy.store import StoredMessage, Story
from sipproxy.telemetry.attributes import Attributes
from sipproxy.telemetry.ladder import Step
from sipproxy.telemetry.record import PARENT_IS_REMOTE, SpanRecord
from sipproxy.telemetry.tree import render
from tests.unit.admin.support import WALL_NS, call
from tests.unit.telemetry.facts import Call
from tests.unit.telemetry.telling import Telling
from tests.unit.telemetry.transfers import Transfer


def message(
    n: int,
    *,
    sent: bool,
    key: int = 0,
    spans: tuple[str, ...] = (),
    start: str = "INVITE",
    status: int = 0,
    text: str = "INVITE ...",
) -> StoredMessage:
    at = (n, WALL_NS + n * 1000, sent, "UDP", "192.0.2.9:5060", "127.0.0.1:5060")
    return StoredMessage(*at, start, "INVITE", 1, status, "c", text, 1, "r", key, spans)


def spans() -> list[SpanRecord]:
    tell = Telling()
    return tell.all(Transfer(Call(interaction_id="INT-1")).local())


def test_spans_come_back_from_json_as_they_were_drawn() -> None:
    records = spans()
    back = [span_of(json.loads(json.dumps(span_shape(record)))) for record in records]
    assert render(back) == render(records)


def test_an_open_span_has_no_end() -> None:
    record = spans()[0]._replace(end_ns=0, flags=1)
    shape = span_shape(record)
    assert (shape["end_us"], shape["remote"]) == (None, False)
    assert span_of(shape).end_ns == 0
    assert "open" in render([span_of(shape)])
    assert span_shape(record._replace(flags=PARENT_IS_REMOTE))["remote"] is True


def leg(span_id: str, trunk: str, key: int) -> SpanRecord:
    attributes: Attributes = {"sip.trunk": trunk, "sip.leg": "callee"}
    values = ("t", span_id, "", 1, "", "dialog", "CLIENT", 1, 2, False, attributes)
    return SpanRecord(*values, (), 0, (), "r", key)


def test_a_message_is_between_us_and_a_trunk() -> None:
    story = Story(
        calls=[call()],
        traces=["t"],
        spans=[leg("s1", "sbc", 11), leg("s2", "carrier-a", 12)],
        messages=[
            message(1, sent=False, key=11),
            message(2, sent=True, key=12, spans=("s2",)),
            message(3, sent=False, key=99, spans=("s2",), start="180 Ringing", status=180),
            message(4, sent=True, key=99),
        ],
    )
    told = story_shape("x", story, {}, raw=False)["messages"]
    assert [(one["from_name"], one["to_name"]) for one in told] == [
        ("sbc", "sipproxy"),
        ("sipproxy", "carrier-a"),
        ("carrier-a", "sipproxy"),
        ("sipproxy", "192.0.2.9:5060"),
    ]
    assert told[0] | {"from_name": "", "to_name": ""} == {
        "n": 1,
        "at_us": WALL_NS // 1000 + 1,
        "sent": False,
        "transport": "UDP",
        "from": "192.0.2.9:5060",
        "to": "127.0.0.1:5060",
        "from_name": "",
        "to_name": "",
        "start": "INVITE",
        "method": "INVITE",
        "cseq": 1,
        "status": None,
        "call_id": "c",
        "call": "r",
        "text": "INVITE ...",
        "spans": [],
    }
    assert (told[1]["from"], told[1]["to"]) == ("127.0.0.1:5060", "192.0.2.9:5060")
    assert told[2]["status"] == 180


def test_a_route_lends_its_trunk_to_no_message() -> None:
    """It names the first choice, not whose leg this is."""
    route = leg("s1", "carrier-a", 0)._replace(attributes={"sip.trunk": "carrier-a"})
    story = Story(spans=[route], messages=[message(1, sent=False, spans=("s1",))])
    assert story_shape("x", story, {}, raw=False)["messages"][0]["from_name"] == "192.0.2.9:5060"


def test_a_step_of_the_ladder_knows_its_repetition_and_its_body() -> None:
    sdp = "INVITE sip:***89@host SIP/2.0\r\n\r\n[body: 132 bytes, application/sdp]"
    story = Story(messages=[message(1, sent=True, text=sdp), message(2, sent=True, text=sdp)])
    first, second = map(step_of, story_shape("x", story, {}, raw=False)["messages"])
    assert first == Step(WALL_NS + 1000, "sipproxy", "192.0.2.9:5060", "INVITE", "INVITE", "SDP", sdp)
    assert second.key == first.key
