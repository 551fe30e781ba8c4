"""The comparison that judges scenarios finds every kind of difference, and none where there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support import wire
from tests.support.expect import Expectation, count
from tests.support.spans import Event, Link, Span
from tests.support.story import NOBODY, SILENCE, Story, all_stories, read

TRACE = "4bf92f3577f34da6a3ce929d0e0e4736"
SCENARIO = f"""
story: A call.
cast:
  alice: {{side: caller, trunk: sbc, plays: common/caller.xml}}
  bob: {{side: callee, trunk: carrier, plays: common/callee.xml}}
spans:
  - span: INVITE server
    parent: 00-{TRACE}-00f067aa0ba902b7-01
    attributes: {{sip.response.status_code: 200, sip.leg: present, sip.trace.rejected: absent, at: '{{bob}}'}}
    events: [180, 200]
    no_events: [CANCEL]
    status: unset
    links: []
    children:
      - {{span: INVITE client, carried_by: [bob INVITE]}}
wire:
  - message: bob INVITE
    times: 1
    start_line: '~^INVITE sip:x@{{bob}} '
    transport: UDP
    headers: {{Subject: hello, X-Secret: absent}}
    rows: ['Subject:  hello', 'X-Last: 1']
    unchanged: [X-Last]
    body: ''
"""
ROOT = Span(
    name="INVITE",
    kind="server",
    trace_id=TRACE,
    span_id="a" * 16,
    parent_id="00f067aa0ba902b7",
    attributes={"sip.response.status_code": 200, "sip.leg": "caller", "at": "127.0.0.3:5070"},
    events=(Event("180", 1, {}), Event("200", 2, {})),
    links=(),
    status="unset",
    status_message="",
    start_ns=1,
    end_ns=3,
    trace_state="",
    resource={},
)
CLIENT = replace(ROOT, kind="client", span_id="b" * 16, parent_id=ROOT.span_id, attributes={})
HEARD = f"""INVITE sip:x@127.0.0.3:5070 SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1
Max-Forwards: 69
From: <sip:a@h>;tag=ours
To: <sip:x@h>
Call-ID: ours
CSeq: 1 INVITE
Contact: <sip:127.0.0.1:5060>
Subject:  hello
X-Last: 1
traceparent: 00-{TRACE}-{"b" * 16}-01

"""
SENT = HEARD.replace("69", "70").replace("ours", "theirs")


def message(text: str, *, received: bool) -> wire.Message:
    return wire.parse(text.replace("\n", "\r\n").encode(), received=received, transport="UDP")


def failures(folder: Path, spans: list[Span], *, heard: str = HEARD, scenario: str = SCENARIO) -> list[str]:
    (folder / "scenario.yaml").write_text(scenario)
    (story,) = read(folder / "scenario.yaml")
    seen = {"alice": [message(SENT, received=False)], "bob": [message(heard, received=True)]}
    return Expectation(story, spans, seen, {"bob": "127.0.0.3:5070"}).failures()


def test_what_is_as_it_should_be_passes(tmp_path: Path) -> None:
    assert failures(tmp_path, [CLIENT, ROOT]) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"attributes": {**ROOT.attributes, "sip.response.status_code": 487}}, "is 487 instead of 200"),
        ({"attributes": {**ROOT.attributes, "sip.response.status_code": "200"}}, "is '200' instead of 200"),
        ({"attributes": {**ROOT.attributes, "at": "127.0.0.4:5070"}}, "at is"),
        ({"attributes": {**ROOT.attributes, "sip.trace.rejected": "x"}}, "sip.trace.rejected is"),
        ({"attributes": {"sip.response.status_code": 200, "at": "127.0.0.3:5070"}}, "sip.leg is None"),
        ({"events": (Event("200", 1, {}), Event("180", 2, {}))}, "events ['200', '180']"),
        ({"events": (*ROOT.events, Event("CANCEL", 3, {}))}, "no event CANCEL"),
        ({"status": "error"}, "status error instead of unset"),
        ({"links": (Link(TRACE, "c" * 16, {}),)}, "links ["),
        ({"parent_id": "d" * 16}, "continues"),
        ({"name": "BYE"}, "1 x 'BYE server' instead of 0"),
        ({"end_ns": 0}, "ends before it starts"),
        ({"span_id": "b" * 16}, "the same id"),
    ],
)
def test_a_span_that_differs_is_found(tmp_path: Path, changes: dict[str, Any], found: str) -> None:
    assert any(found in failure for failure in failures(tmp_path, [CLIENT, replace(ROOT, **changes)]))


def test_a_span_too_many_or_too_few_is_found(tmp_path: Path) -> None:
    another = replace(CLIENT, span_id="c" * 16)
    assert "2 x 'INVITE client' instead of 1" in failures(tmp_path, [ROOT, CLIENT, another])[0]
    assert "0 x 'INVITE client' instead of 1" in failures(tmp_path, [ROOT])[0]
    orphan = replace(CLIENT, span_id="c" * 16, parent_id="e" * 16)
    assert "under the trace: 1 x 'INVITE client' instead of 0" in failures(tmp_path, [ROOT, CLIENT, orphan])


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("x@127.0.0.3", "x@127.0.0.4", "start line is"),
        ("Subject:  hello\nX-Last: 1", "X-Last: 1\nSubject:  hello", "rows changed or moved"),
        ("Subject:  hello", "Subject:  bye", "Subject is 'bye'"),
        ("X-Last: 1", "X-Last: 1\nX-Secret: 2", "X-Secret is '2' instead of 'absent'"),
        ("X-Last: 1", "X-Last: 2", "nobody wrote X-Last"),
        ("b" * 16, "a" * 16, "'bob INVITE' carries"),
        ("X-Last", "traceparent: 00-x\nX-Last", "stands there twice"),
        ("Max-Forwards: 69", "Max-Forwards: 70", "not one less"),
        ("Via: ", "Via: SIP/2.0/UDP h\nVia: ", "not only our Via"),
        ("Call-ID: ours", "Call-ID: theirs", "has a Call-ID of another leg"),
        ("<sip:127.0.0.1:5060>", '"us" <sip:127.0.0.1:5060>', "Contact"),
        ("To: <sip:x@h>", "To: <sip:x@h>;tag=1", "there was no 'bob INVITE'"),
        ("tag=ours", "tag=caller-1", "tags of another dialog"),
        ("INVITE", "UPDATE", "'bob INVITE' came 0 times"),
    ],
)
def test_a_message_that_differs_is_found(tmp_path: Path, old: str, new: str, found: str) -> None:
    heard = HEARD.replace(old, new)
    assert heard != HEARD
    assert any(found in failure for failure in failures(tmp_path, [CLIENT, ROOT], heard=heard))


def test_what_a_transfer_leaves_behind_is_compared(tmp_path: Path) -> None:
    other = replace(
        ROOT, trace_id="c" * 32, span_id="c" * 16, parent_id="", links=(Link(TRACE, "b" * 16, {}),)
    )
    linked = SCENARIO.replace("carried_by: [bob INVITE]}", "known_as: here, previous_of: [bob INVITE]}")
    linked = linked.replace("wire:", "  - {span: INVITE server, parent: none, links: [here]}\nwire:")
    heard = HEARD.replace("\n\n", f"\nprevious-trace-id: {TRACE};span={'b' * 16}\n\n")
    assert failures(tmp_path, [ROOT, CLIENT, other], heard=heard, scenario=linked) == []
    assert failures(tmp_path, [ROOT, CLIENT, replace(other, links=())], heard=heard, scenario=linked) == [
        "INVITE server: links [] instead of ['here']"
    ]
    wrong = heard.replace("span=b", "span=a")
    assert "says" in failures(tmp_path, [ROOT, CLIENT, other], heard=wrong, scenario=linked)[0]
    marked = heard.replace("To: <sip:x@h>", "To: <sip:x@h;sipproxy-ref=1>")
    assert failures(tmp_path, [ROOT, CLIENT, other], heard=marked, scenario=linked) == [
        "bob INVITE: the marker of a transfer went on"
    ]


def test_a_refer_that_says_two_things_is_found(tmp_path: Path) -> None:
    carried, asked = f"00-{TRACE}-{'b' * 16}-01", f"00-{TRACE}-{'a' * 16}-01"
    refer = SENT.replace("INVITE", "REFER").replace(
        "Subject", f"Refer-To: <sip:c@h;sipproxy-ref=1?traceparent={asked}&a=b>\nSubject"
    )
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    (story,) = read(tmp_path / "scenario.yaml")
    found = [message(HEARD, received=True), message(refer, received=True)]
    seen = {"alice": [message(SENT, received=False)], "bob": found}
    wrong = Expectation(story, [CLIENT, ROOT], seen, {"bob": "127.0.0.3:5070"}).failures()
    assert wrong == [f"bob REFER: Refer-To asks for {[asked]}, carries {[carried]}"]


def test_what_is_given_stands_for_itself_in_every_take(tmp_path: Path) -> None:
    takes = "takes:\n  one: {given: {subject: hello, who: bob}}\n  two: {given: {subject: bye, who: bob}}\n"
    text = SCENARIO.replace("Subject: hello, X-Secret", "Subject: '{subject}', X-Secret").replace(
        "message: bob INVITE", "message: '{who} INVITE'"
    )
    (tmp_path / "scenario.yaml").write_text(text + takes)
    seen = {"alice": [message(SENT, received=False)], "bob": [message(HEARD, received=True)]}
    for story in read(tmp_path / "scenario.yaml"):
        places = {"bob": "127.0.0.3:5070", **{name: str(value) for name, value in story.given.items()}}
        wrong = Expectation(story, [CLIENT, ROOT], seen, places).failures()
        assert wrong == (
            [] if story.given["subject"] == "hello" else ["bob INVITE: Subject is 'hello' instead of 'bye'"]
        )


def test_takes_change_the_scenario_and_its_first_span(tmp_path: Path) -> None:
    takes = "takes:\n  one: {}\n  two:\n    cast: {bob: {plays: silence}}\n    root: {status: error}\n"
    (tmp_path / "scenario.yaml").write_text(SCENARIO + takes)
    one, two = read(tmp_path / "scenario.yaml")
    assert one.spans is not None
    assert two.spans is not None
    assert (one.cast["bob"].plays, two.cast["bob"].plays) == ("common/callee.xml", "silence")
    assert (one.spans[0].status, two.spans[0].status) == ("unset", "error")
    assert count(one.spans) == count(two.spans) == 2


def test_a_slip_in_a_scenario_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "scenario.yaml").write_text(SCENARIO.replace("no_events:", "noevents:"))
    with pytest.raises(ValueError, match="noevents"):
        read(tmp_path / "scenario.yaml")


def test_messages_are_read_from_what_sipp_logs(tmp_path: Path) -> None:
    head = "----------------------------------------------- 2026-01-01 12:00:00.000001\n"
    first = "SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\nTo: <sip:x@h>;tag=1\r\n\r\nbody: not a header\r\n"
    second = HEARD.replace("\n", "\r\n")
    log = f"{head}UDP message received [{len(first)}] bytes :\n\n{first}\n"
    log += f"{head}TCP message sent ({len(second)} bytes):\n\n{second}\n"
    (tmp_path / "messages.log").write_bytes(log.encode())
    ok, invite = wire.read_log(tmp_path / "messages.log")
    assert (ok.kind, ok.method, ok.received, ok.transport) == ("200", "INVITE", True, "UDP")
    assert ok.body == "body: not a header\r\n"
    assert (invite.kind, invite.received, invite.transport) == ("INVITE", False, "TCP")
    assert invite.values("max-forwards") == ["69"]


def test_messages_are_picked_by_name() -> None:
    invite, again = message(HEARD, received=True), message(HEARD.replace("hello", "again"), received=True)
    changed = message(HEARD.replace("To: <sip:x@h>", "To: <sip:x@h>;tag=1"), received=True)
    seen = {"bob": [invite, invite, again, changed]}
    assert wire.pick(seen, "bob INVITE") == [invite, again]  # a retransmission counts once
    assert wire.pick(seen, "bob INVITE#2") == [again]
    assert wire.pick(seen, "bob re-INVITE") == [changed]
    assert wire.pick(seen, "bob BYE") == []
    with pytest.raises(ValueError, match="carol"):
        wire.pick(seen, "carol INVITE")


def test_every_scenario_file_can_be_read_and_finds_its_cast() -> None:
    stories: list[Story] = all_stories()
    assert len({story.name for story in stories}) == len(stories)
    for story in stories:
        for name, member in story.cast.items():
            if isinstance(member.plays, str):
                there = member.plays in (NOBODY, SILENCE) or story.script(member.plays).is_file()
                assert there, (story.name, member.plays)
            else:
                given = {place: "h" for each in story.cast for place in (each, f"{each}.number")}
                given |= {name: str(value) for name, value in story.given.items()}
                assert story.composed(name, {**given, "proxy": "h", "me": name, "contact": "h"})
