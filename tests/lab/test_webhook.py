"""A route asks an application where a call goes: what it is told, what is taken of its answer, and what a
caller hears when there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sipproxy.b2bua.events import Consulted
from sipproxy.b2bua.settings import HeaderPolicy, TrunkLimits
from sipproxy.telemetry.record import SpanRecord

from .core import ERROR, TIMEOUT, Application
from .lab import Lab, asks, trunk
from .phone import Phone

MakeLab = Callable[..., Lab]
OFFICE = asks(
    "bob", source="alice", headers=("X-Tenant",)
)  # calls of Alice's go to Bob, unless it knows better


def says(answer: object) -> Application:
    return lambda question: answer


def cast(make_lab: MakeLab, application: Application, **settings: Any) -> tuple[Lab, Phone, Phone, Phone]:
    """Alice calls; her route leads to Bob; the application may send her to Carol."""
    settings.setdefault("routes", [OFFICE])
    lab = make_lab(**settings)
    lab.application = application
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    return lab, alice, bob, carol


def span(lab: Lab, name: str, kind: str = "") -> SpanRecord:
    (found,) = [span for span in lab.spans if span.name == name and kind in ("", span.kind)]
    return found


def results(lab: Lab) -> list[str]:
    return [fact.result for fact in lab.facts_of(Consulted)]


# What it is told


def test_the_application_is_told_who_calls_whom(make_lab: MakeLab) -> None:
    lab, alice, bob, _ = cast(make_lab, says({"to": ["bob"]}))
    calling = alice.calls("bob", headers={"X-Tenant": "acme", "X-Pin": "1", "X-Interaction-ID": "case-7"})
    assert [consult.question for consult in lab.asked] == [
        {
            "call_id": calling.call_id,
            "from": alice.uri,
            "to": "sip:bob@192.0.2.100:5060",
            "uri": "sip:bob@192.0.2.100:5060",
            "trunk": "alice",
            "interaction_id": "case-7",
            "headers": {"X-Tenant": "acme"},
        }
    ]
    bob.answers()


def test_what_the_application_does_hangs_on_the_route(make_lab: MakeLab) -> None:
    lab, alice, bob, _ = cast(make_lab, says({"to": ["bob"]}))
    alice.calls("bob", headers={"tracestate": "rojo=1"})
    bob.answers()
    (consult,) = lab.asked
    root, routed, asked = span(lab, "INVITE", "SERVER"), span(lab, "route"), span(lab, "webhook")
    assert (routed.parent_id, asked.parent_id) == (root.span_id, routed.span_id)
    assert consult.context.traceparent() == f"00-{alice.trace_id}-{routed.span_id}-01"
    assert consult.context.tracestate == "rojo=1"
    assert asked.kind == "CLIENT"
    assert asked.end_ns - asked.start_ns == pytest.approx(20e6, abs=1e5)
    assert (asked.failed, routed.failed, routed.events) == (False, False, ())
    assert routed.end_ns >= asked.end_ns


def test_a_call_that_is_not_recorded_is_asked_about_as_well(make_lab: MakeLab) -> None:
    lab, alice, _, carol = cast(make_lab, says({"to": ["carol"]}))
    alice.calls("bob", headers={"traceparent": f"00-{alice.trace_id}-{alice.span_id}-00"})
    carol.answers()
    assert lab.asked[0].context.traceparent().endswith("-00")
    assert lab.spans == []


def test_each_call_is_asked_about_and_nothing_else(make_lab: MakeLab) -> None:
    lab, alice, bob, carol = cast(make_lab, says({"to": ["bob"]}))
    alice.asks("MESSAGE", "bob")  # a route's trunks are what it has, for all but calls
    alice.asks("OPTIONS", "bob")
    assert bob.got("MESSAGE")
    carol.calls("bob")  # by another route
    bob.refuses(486)
    assert lab.asked == []
    alice.calls("bob")
    bob.answers()
    alice.reinvites()
    bob.sends("INFO")
    assert len(lab.asked) == 1


def test_a_challenged_caller_is_asked_about_again(make_lab: MakeLab) -> None:
    lab, alice, bob, _ = cast(make_lab, says({"to": ["bob"]}))
    alice.password = "Digest"
    alice.calls("bob")
    bob.refuses(407, {"Proxy-Authenticate": 'Digest realm="lab", nonce="1"'})
    bob.answers()
    assert alice.talking
    assert [consult.context.trace_id for consult in lab.asked] == [alice.trace_id] * 2


def test_a_stranger_whom_a_route_takes_is_asked_about_as_nobodys(make_lab: MakeLab) -> None:
    lab = make_lab(routes=[asks("bob", user="^bob$")])
    lab.application = says({"to": ["bob"]})
    bob, mallory = lab.phone("bob"), lab.phone("mallory", at="198.51.100.9")
    mallory.calls("bob")
    bob.answers()
    assert [consult.question["trunk"] for consult in lab.asked] == [""]


# What is taken of its answer


def test_the_call_goes_where_the_application_says(make_lab: MakeLab) -> None:
    answer = {
        "to": ["carol"],
        "uri": "sip:agent-7@10.0.0.7:5080",
        "headers": {"X-Queue": "gold", "Subject": "A"},
    }
    lab, alice, bob, carol = cast(make_lab, says(answer))
    alice.calls("bob", headers={"Subject": "B"})
    carol.answers()
    assert not bob.heard
    invite = carol.got("INVITE")
    assert invite.uri == "sip:agent-7@10.0.0.7:5080"
    assert (invite.headers("X-Queue"), invite.headers("Subject")) == (["gold"], ["A"])
    assert span(lab, "route").attributes["sip.trunk"] == "carol"
    assert (results(lab), span(lab, "route").events) == (["ok"], ())
    alice.reinvites()
    assert carol.got("INVITE").header("X-Queue") == ""  # it spoke of the call's beginning


def test_its_trunks_are_tried_in_its_order(make_lab: MakeLab) -> None:
    full = trunk("dave", limits=TrunkLimits(calls=1))
    lab, alice, bob, carol = cast(make_lab, says({"to": ["dave", "carol", "bob"]}), trunks={"dave": full})
    dave = lab.phone("dave")
    dave.calls("carol")
    alice.calls("bob")
    assert (dave.all("INVITE"), bob.heard) == ([], [])
    carol.refuses(503)
    bob.answers()
    assert alice.talking
    carol.refuses(486)  # Dave's call


def test_all_its_trunks_refuse_and_the_routes_own_are_not_tried(make_lab: MakeLab) -> None:
    _, alice, bob, carol = cast(make_lab, says({"to": ["carol"]}))
    alice.calls("bob")
    carol.refuses(503)
    assert alice.got("503")
    assert not bob.heard


def test_a_uri_that_names_us_names_the_trunk_as_any_other(make_lab: MakeLab) -> None:
    _, alice, _, carol = cast(
        make_lab,
        says({"to": ["carol"], "uri": "sip:sales@192.0.2.100:5060;user=phone;transport=tcp?Subject=x"}),
    )
    alice.calls("bob")
    assert carol.got("INVITE").uri == "sip:sales@192.0.2.3:5060;user=phone"
    carol.refuses(486)


def test_a_trunks_own_policy_stands_above_the_application(make_lab: MakeLab) -> None:
    policy = HeaderPolicy(strip=("X-Secret",), set={"X-Queue": "ours"})
    _, alice, _, carol = cast(
        make_lab,
        says({"to": ["carol"], "headers": {"X-Secret": "1", "X-Queue": "theirs", "X-Free": "1"}}),
        trunks={"carol": trunk("carol", headers=policy)},
    )
    alice.calls("bob")
    invite = carol.got("INVITE")
    assert [invite.headers(name) for name in ("X-Secret", "X-Queue", "X-Free")] == [[], ["ours"], ["1"]]
    carol.refuses(486)


def test_a_rejection_is_the_callers_to_hear(make_lab: MakeLab) -> None:
    lab, alice, bob, carol = cast(make_lab, says({"reject": 403, "reason": "Account suspended"}))
    alice.calls("bob")
    assert alice.got("403").data.startswith(b"SIP/2.0 403 Account suspended\r\n")
    assert not bob.heard
    assert not carol.heard
    assert results(lab) == ["rejected"]
    assert (lab.count("webhook_rejected"), lab.engine.calls) == (1, 0)
    root, routed, asked = span(lab, "INVITE", "SERVER"), span(lab, "route"), span(lab, "webhook")
    assert root.attributes["sip.response.status_code"] == 403
    assert (asked.failed, root.failed) == (False, False)
    assert (routed.events, routed.attributes["error.type"]) == ((), "403")


def test_a_rejection_without_a_reason_says_what_the_status_means(make_lab: MakeLab) -> None:
    _, alice, _, _ = cast(make_lab, says({"reject": 486}))
    alice.calls("bob")
    assert alice.got("486").data.startswith(b"SIP/2.0 486 Busy Here\r\n")


def test_who_was_rejected_takes_up_no_room(make_lab: MakeLab) -> None:
    answers: list[object] = [{"reject": 403}, {"to": ["carol"]}]
    limits = {"alice": trunk("alice", limits=TrunkLimits(calls=1))}
    _, alice, _, carol = cast(make_lab, lambda question: answers.pop(0), trunks=limits)
    alice.calls("bob")
    assert alice.got("403")
    alice.calls("bob")
    carol.answers()
    assert alice.talking


# No answer, or none that can be taken

BAD = {
    "a trunk that is not there": {"to": ["carol", "nowhere"]},
    "no trunk": {"to": []},
    "no object": ["carol"],
    "a uri that is none": {"to": ["carol"], "uri": "carol"},
    "a line break in the uri": {"to": ["carol"], "uri": "sip:x@h\r\nVia: x"},
    "a line break in a header": {"to": ["carol"], "headers": {"X-A": "1\r\nVia: x"}},
    "a header of the dialog": {"to": ["carol"], "headers": {"Call-ID": "mine"}},
    "a header of the trace": {"to": ["carol"], "headers": {"traceparent": "mine"}},
    "what the caller can do": {"to": ["carol"], "headers": {"Allow": "INVITE"}},
    "a success as a rejection": {"reject": 200},
    "a challenge as a rejection": {"reject": 407},
}


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD)
def test_a_bad_answer_is_none(make_lab: MakeLab, answer: object) -> None:
    lab, alice, bob, carol = cast(make_lab, says(answer))
    falls_back(lab, alice, bob, "bad_answer")
    assert not carol.heard


@pytest.mark.parametrize("failure", [TIMEOUT, ERROR])
def test_no_answer_loses_no_call(make_lab: MakeLab, failure: str) -> None:
    lab, alice, bob, _ = cast(make_lab, says(failure))
    falls_back(lab, alice, bob, failure)


def falls_back(lab: Lab, alice: Phone, bob: Phone, result: str) -> None:
    """The call goes by the route's own trunks, as it came, and the trace says so."""
    alice.calls("bob")
    lab.run(0.4)
    bob.answers()
    assert alice.talking
    invite = bob.got("INVITE")
    assert (invite.uri, invite.header("X-A")) == ("sip:bob@192.0.2.2:5060", "")
    assert len(invite.headers("Via")) == 1
    assert results(lab) == [result]
    routed, asked = span(lab, "route"), span(lab, "webhook")
    assert [name for name, _, _ in routed.events] == ["fallback"]
    assert (routed.failed, routed.attributes["sip.trunk"]) == (False, "bob")
    assert (asked.failed, asked.attributes["error.type"]) == (True, "webhook")
    assert (asked.end_ns - asked.start_ns) / 1e6 <= 300.1


def test_a_thousand_calls_and_a_dead_application(make_lab: MakeLab) -> None:
    lab, alice, bob, _ = cast(make_lab, says(TIMEOUT))
    with lab.at_once():
        for _ in range(1000):
            alice.calls("bob")
    lab.run(0.35)
    assert len(bob.sessions) == 1000
    assert results(lab) == [TIMEOUT] * 1000
    for called in bob.sessions:
        assert hasattr(called, "refuse")
        called.refuse(486)
    lab.settle()
    assert len(alice.all("486")) == 1000
