"""What the core tells of a call becomes the spans of the contract."""

from __future__ import annotations

import itertools

import pytest

from sipproxy.b2bua.events import Progressed, Settled, Transacted
from sipproxy.propagation.context import TraceContext
from sipproxy.sip.flow import TCP, Flow
from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.record import PARENT_IS_REMOTE
from sipproxy.telemetry.settings import PrivacySettings
from sipproxy.telemetry.spans import SpanBook
from tests.unit.telemetry.facts import SENDER, TRACE_ID, Call, request, span_id
from tests.unit.telemetry.telling import WALL, Telling, ms, names

ELSEWHERE = TraceContext("a" * 32, "b" * 16, 1)


@pytest.fixture
def tell() -> Telling:
    return Telling()


def test_a_call_is_five_spans_under_one_root(tell: Telling) -> None:
    call = Call()
    tell.all(call.basic())
    shape = {(span.name, span.kind, span.parent_id) for span in tell.spans}
    root_id = call.root.span_id
    assert shape == {
        ("INVITE", "SERVER", SENDER.span_id),
        ("route", "INTERNAL", root_id),
        ("INVITE", "CLIENT", root_id),
        ("dialog", "SERVER", root_id),
        ("dialog", "CLIENT", root_id),
    }
    assert {span.trace_id for span in tell.spans} == {TRACE_ID}
    assert tell.one("INVITE", "CLIENT").span_id == call.attempt.span_id
    assert tell.one("dialog", "SERVER").span_id == call.caller_dialog.span_id
    assert not any(span.failed for span in tell.spans)
    assert len(tell.book) == 0


def test_short_spans_leave_while_the_call_goes_on(tell: Telling) -> None:
    call = Call()
    tell.all(call.until_answered())
    assert {(span.name, span.kind) for span in tell.spans} == {
        ("INVITE", "SERVER"),
        ("route", "INTERNAL"),
        ("INVITE", "CLIENT"),
    }


def test_the_root_says_who_called_whom_masked(tell: Telling) -> None:
    tell.all(
        Call(
            request=request(
                more="User-Agent: Phone 4915550001234 with a name that is longer than sixty-four\n"
            )
        ).basic()
    )
    assert tell.one("INVITE", "SERVER").attributes == {
        "sip.request.method": "INVITE",
        "sip.response.status_code": 200,
        "sip.call_id": "1-2345@192.0.2.1",
        "sip.cseq": 7,
        "sip.leg": "caller",
        "sip.trunk": "sbc",
        "sip.from.user": "***34",
        "sip.to.user": "***ce",
        "sip.request_uri.user": "***ce",
        "sip.setup.duration_ms": 2000,
        "sip.trace.carrier": "traceparent",
        "sip.trace.decision": "adopted",
        "network.transport": "udp",
        "network.peer.address": "192.0.2.1",
        "network.peer.port": 5070,
        "server.address": "sip.example.com",
        "user_agent.original": "Phone ***34 with a name that is longer than sixty-four",
    }


def test_the_attempt_says_where_it_went_and_what_we_took(tell: Telling) -> None:
    call = Call(rtt_ms=12.34567)
    tell(call.arrives(0.0), call.is_routed("carrier-a"), call.is_tried(at=0.0), sent_at=0.00042)
    tell.all(call.basic()[1:])
    assert tell.one("INVITE", "CLIENT").attributes == {
        "sip.request.method": "INVITE",
        "sip.response.status_code": 200,
        "sip.call_id": "0123456789abcdef0123456789abcdef",
        "sip.cseq": 1,
        "sip.leg": "callee",
        "sip.trunk": "carrier-a",
        "sip.proxy.delay_us": 420,
        "sip.peer.rtt_ms": 12.346,
        "network.transport": "udp",
        "network.peer.address": "198.51.100.2",
        "network.peer.port": 5080,
        "server.address": "198.51.100.2",
    }


def test_dialogs_say_how_long_and_how_they_ended(tell: Telling) -> None:
    tell.all(Call().basic())
    for kind, leg, trunk in (("SERVER", "caller", "sbc"), ("CLIENT", "callee", "carrier-a")):
        dialog = tell.one("dialog", kind)
        said = {
            name: dialog.attributes[name]
            for name in ("sip.leg", "sip.trunk", "sip.dialog.end", "sip.ring_ms", "sip.talk_ms")
        }
        assert list(said.values()) == [leg, trunk, "caller_bye", 1500, 8000]
        assert (ms(dialog.start_ns), ms(dialog.end_ns)) == (2000, 10_000)
        assert names(dialog) == ["BYE"]


def test_the_root_ends_with_the_answer_and_still_has_its_ack(tell: Telling) -> None:
    call = Call()
    tell.all(call.until_answered()[:-1])
    assert [span.name for span in tell.spans] == ["route"]
    tell(*call.is_acknowledged(2.1))
    root = tell.one("INVITE", "SERVER")
    assert (ms(root.start_ns), ms(root.end_ns)) == (0, 2000)
    assert [(name, ms(at)) for name, at, _ in root.events] == [("180", 500), ("200", 2000), ("ACK", 2100)]
    assert names(tell.one("INVITE", "CLIENT")) == ["100", "180", "200", "ACK"]


def test_a_missing_ack_keeps_no_span(tell: Telling) -> None:
    call = Call()
    tell.all(call.until_answered()[:-1])
    tell(Settled(call.root.span_id), Settled(call.attempt.span_id))
    assert "ACK" not in names(tell.one("INVITE", "SERVER"))


def test_wall_clock_comes_from_an_offset_that_may_be_asked_for() -> None:
    clock = itertools.count(WALL)
    book = SpanBook(Masker(PrivacySettings()), lambda: float(next(clock)))
    call = Call()
    (route,) = book.take([call.arrives(0.25), call.is_routed(at=0.25)], 0.0)
    assert ms(route.start_ns) == 250


def test_one_event_counts_retransmissions(tell: Telling) -> None:
    call = Call()
    tell(call.arrives(), call.is_tried())
    tell(call.concludes(call.attempt, 486, 3.0, repeats=4))
    (attempt,) = tell.spans
    assert attempt.events[0][::2] == ("retransmission", {"sip.retransmissions": 4})
    assert names(attempt) == ["retransmission", "486"]


def test_failover_is_one_client_span_per_trunk_and_only_the_first_tells_our_share(tell: Telling) -> None:
    call = Call()
    second = call.root.child(span_id())
    tell(call.arrives(), call.is_routed("carrier-a", "carrier-b"), call.is_tried("carrier-a"))
    tell(call.concludes(call.attempt, 503, 5.0), call.is_tried("carrier-b", 5.0, second), sent_at=5.0)
    tell(call.concludes(second, 486, 6.0), call.concludes(call.root, 486, 6.0), call.is_forgotten())
    attempts = [span for span in tell.spans if span.kind == "CLIENT"]
    assert [span.attributes["sip.trunk"] for span in attempts] == ["carrier-a", "carrier-b"]
    assert [span.attributes["sip.response.status_code"] for span in attempts] == [503, 486]
    assert [span.failed for span in attempts] == [True, False]
    assert ["sip.proxy.delay_us" in span.attributes for span in attempts] == [True, False]
    assert tell.one("route", "INTERNAL").attributes["sip.trunk"] == "carrier-a"
    assert len(tell.book) == 0


def test_a_route_that_leads_nowhere_is_an_error(tell: Telling) -> None:
    call = Call()
    tell(
        call.arrives(),
        call.is_routed(error="no_route"),
        call.concludes(call.root, 403, 0.0),
        call.is_forgotten(),
    )
    route = tell.one("route", "INTERNAL")
    assert (route.failed, route.attributes) == (True, {"error.type": "403"})
    assert not tell.one("INVITE", "SERVER").failed


@pytest.mark.parametrize(
    ("method", "name", "wire"), [("re-INVITE", "re-INVITE", "INVITE"), ("UPDATE", "UPDATE", "UPDATE")]
)
def test_changes_within_a_dialog_hang_on_it(tell: Telling, method: str, name: str, wire: str) -> None:
    call = Call()
    tell.all(call.until_answered())
    change = call.caller_dialog.child(span_id())
    tell(
        Transacted(
            call.root,
            call.caller_dialog,
            change,
            ELSEWHERE,
            4.0,
            method,
            "caller",
            "sbc",
            "1-2345@192.0.2.1",
            8,
        )
    )
    tell(Progressed(change.span_id, 100, 4.1), call.concludes(change, 488, 4.2))
    span = tell.one(name, "SERVER")
    assert span.parent_id == call.caller_dialog.span_id
    assert span.links == ((ELSEWHERE.trace_id, ELSEWHERE.span_id, 1),)
    assert names(span) == ["100", "488"]
    assert span.attributes == {
        "sip.request.method": wire,
        "sip.response.status_code": 488,
        "sip.call_id": "1-2345@192.0.2.1",
        "sip.cseq": 8,
        "sip.leg": "caller",
        "sip.trunk": "sbc",
    }


@pytest.mark.parametrize(
    ("method", "name"), [("MESSAGE", "MESSAGE"), ("SUBSCRIBE", "SUBSCRIBE"), ("CALL4915550001234", "_OTHER")]
)
def test_requests_outside_a_dialog_are_named_by_their_method(tell: Telling, method: str, name: str) -> None:
    call = Call(request=request(method))
    tell(call.arrives(), call.is_tried(), call.concludes(call.attempt, 202, 0.1, settled=True))
    tell(call.concludes(call.root, 202, 0.1, settled=True), call.is_forgotten())
    assert {span.kind for span in tell.spans} == {"SERVER", "CLIENT"}
    assert {span.name for span in tell.spans} == {name}
    assert {span.attributes["sip.request.method"] for span in tell.spans} == {
        method.replace("4915550001234", "***34")
    }
    assert len(tell.book) == 0


def test_what_is_common_to_a_call_stands_on_each_of_its_spans(tell: Telling) -> None:
    local, remote = "ab30317f1a784dc48ff824d0d3715d86", "47755a9de7794ba387653f2099600ef2"
    call = Call(interaction_id="INT-4711", session_id=f"{local};remote={remote}")
    other = Call(interaction_id="INT-4712")
    for ours, theirs in zip(call.basic(), other.basic(), strict=True):
        tell(*ours)
        tell(*theirs)
    assert len(tell.spans) == 10
    ids = {call.root.span_id: "INT-4711", other.root.span_id: "INT-4712"}
    for span in tell.spans:
        whose = ids.get(span.span_id) or ids[span.parent_id]
        assert span.attributes["interaction.id"] == whose
        assert span.attributes.get("session.id") == (f"{local};{remote}" if whose == "INT-4711" else None)


def test_the_origin_of_the_trace_stands_on_the_root(tell: Telling) -> None:
    call = Call(parent=None, carrier="none", decision="linked")
    call.origin.links = [ELSEWHERE]
    call.origin.rejected = "duplicate"
    call.origin.previous_id = "c" * 32
    tell.all(call.basic())
    root = tell.one("INVITE", "SERVER")
    assert (root.parent_id, root.flags, root.tracestate) == ("", 1, "vendor=1")
    assert root.links == ((ELSEWHERE.trace_id, ELSEWHERE.span_id, 1),)
    assert root.attributes["sip.trace.carrier"] == "none"
    assert root.attributes["sip.trace.decision"] == "linked"
    assert root.attributes["sip.trace.rejected"] == "duplicate"
    assert root.attributes["sip.trace.previous_id"] == "c" * 32


@pytest.mark.parametrize(("decision", "remote"), [("adopted", True), ("recovered", False)])
def test_only_a_carried_parent_is_remote(tell: Telling, decision: str, remote: bool) -> None:
    tell.all(Call(decision=decision).basic())
    assert bool(tell.one("INVITE", "SERVER").flags & PARENT_IS_REMOTE) is remote
    assert not tell.one("INVITE", "CLIENT").flags & PARENT_IS_REMOTE


def test_the_transport_is_named_as_opentelemetry_does(tell: Telling) -> None:
    call = Call()
    call.callee_flow = Flow(TCP, "2001:db8::5", 5061, connection=3)
    tell.all(call.basic())
    attempt = tell.one("INVITE", "CLIENT").attributes
    assert (attempt["network.transport"], attempt["network.peer.address"]) == ("tcp", "2001:db8::5")
