"""A trace in the terminal."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.events import Linked
from sipproxy.propagation.context import TraceContext
from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.record import SpanRecord
from sipproxy.telemetry.settings import PrivacySettings
from sipproxy.telemetry.spans import SpanBook
from sipproxy.telemetry.tree import render
from tests.unit.telemetry.facts import CALLER, TRACE_ID, Call, request
from tests.unit.telemetry.telling import Telling
from tests.unit.telemetry.transfers import Transfer, talking

OTHER_TRACE = "c" * 32


def spans_of(*calls: Call) -> list[SpanRecord]:
    book = SpanBook(Masker(PrivacySettings()), 1_700_000_000.0)
    return [span for call in calls for facts in call.basic() for span in book.take(facts, 0.0004)]


def attended() -> list[SpanRecord]:
    """A transfer whose target was called before, in a trace of its own; each is linked with the other."""
    tell = Telling()
    transfer = talking(tell)
    transfer.kind = "attended"
    consultation = Call(parent=None, carrier="none", decision="new", trace_id=OTHER_TRACE)
    tell.all(consultation.until_answered())
    ours, theirs = transfer.context, consultation.callee_dialog
    tell(transfer.begins(), *transfer.tells("accepted", "notify"))
    tell(Linked(ours.span_id, theirs), Linked(theirs.span_id, ours))
    tell(Linked(consultation.caller_dialog.span_id, ours))
    tell(transfer.ends("failed", source="reported", stage="failed", status=488))
    tell.all([consultation.hangs_up(9.0, end="transferred"), transfer.call.hangs_up()])
    return tell.spans


BASIC = f"""\
trace {TRACE_ID}
under 00f067aa0ba902b7, which came from outside
INVITE SERVER 200                                          +0.0 ms     2000.0 ms
│  sip.trunk=sbc  sip.call_id=1-2345@192.0.2.1  sip.from.user=***34
│  sip.to.user=***ce  sip.request_uri.user=***ce  sip.trace.carrier=traceparent
│  sip.trace.decision=adopted  interaction.id=INT-4711
│  ● 180 +500.0 ms  ● 200 +2000.0 ms  ● ACK +2100.0 ms
├─ route INTERNAL                                          +0.0 ms        0.0 ms
│     sip.trunk=carrier-a
├─ INVITE CLIENT 200                                       +0.0 ms     2000.0 ms
│     sip.trunk=carrier-a  sip.call_id=0123456789abcdef0123456789abcdef
│     sip.proxy.delay_us=400
│     ● 100 +100.0 ms  ● 180 +500.0 ms  ● 200 +2000.0 ms  ● ACK +2100.0 ms
├─ dialog SERVER                                        +2000.0 ms     8000.0 ms
│     sip.trunk=sbc  sip.call_id=1-2345@192.0.2.1  sip.ring_ms=1500
│     sip.talk_ms=8000  sip.dialog.end=caller_bye
│     ● BYE +10000.0 ms
└─ dialog CLIENT                                        +2000.0 ms     8000.0 ms
      sip.trunk=carrier-a  sip.call_id=0123456789abcdef0123456789abcdef
      sip.ring_ms=1500  sip.talk_ms=8000  sip.dialog.end=caller_bye
      ● BYE +10000.0 ms"""


def test_a_basic_call() -> None:
    assert render(spans_of(Call(interaction_id="INT-4711"))) == BASIC


def test_the_order_of_the_records_does_not_matter() -> None:
    spans = spans_of(Call(interaction_id="INT-4711"))
    shuffled = [spans[index] for index in (4, 1, 0, 2, 3)]
    assert render(shuffled).splitlines()[2] == BASIC.splitlines()[2]
    assert sorted(render(shuffled).splitlines()) != []


def test_errors_links_and_repeats_are_seen() -> None:
    call = Call(parent=None, carrier="none", decision="linked")
    call.origin.links = [TraceContext("a" * 32, "b" * 16, 1)]
    book = SpanBook(Masker(PrivacySettings()), 0.0)
    told = [call.arrives(), call.is_tried(), call.concludes(call.attempt, 503, 1.0, repeats=3)]
    told += [call.concludes(call.root, 503, 1.0, error="transport"), call.is_forgotten()]
    text = render(book.take(told, 0.0))
    assert "which came from outside" not in text
    assert "INVITE SERVER 503 ERROR" in text
    assert "error.type=transport" in text
    assert f"│  link to trace {'a' * 32}  span {'b' * 16}" in text
    assert "● retransmission (3) +1000.0 ms" in text


def test_traces_stand_one_below_the_other() -> None:
    first, second = spans_of(Call()), spans_of(Call())
    other = [span._replace(trace_id="c" * 32) for span in second]
    assert [
        line for line in render([*first, *other]).splitlines() if line.startswith(("trace", "INVITE"))
    ] == [
        f"trace {TRACE_ID}",
        "INVITE SERVER 200                                          +0.0 ms     2000.0 ms",
        f"trace {'c' * 32}",
        "INVITE SERVER 200                                          +0.0 ms     2000.0 ms",
    ]


@pytest.mark.parametrize("width", [60, 80, 132])
def test_no_line_is_wider_than_asked_for(width: int) -> None:
    call = Call(request=request(call_id="a" * 200), interaction_id="x" * 128)
    assert max(map(len, render(spans_of(call), width).splitlines())) <= width
    assert max(map(len, render(attended(), width).splitlines())) <= width


@pytest.mark.parametrize("width", [60, 80])
def test_a_long_chain_of_transfers_keeps_its_times(width: int) -> None:
    """Each new call hangs on the transfer that caused it, and so does the tree lean to the right."""
    tell, call = Telling(), Call()
    for _ in range(10):
        transfer = Transfer(call, mode="relay")
        tell.all(call.until_answered())
        tell(transfer.begins(), transfer.ends("busy", 6.0, stage="failed", status=486), *call.hangs_up())
        call = Call(parent=transfer.context, decision="recovered", transferred=True)
    text = render(tell.spans, width)
    assert text.count("transfer INTERNAL 486 ERROR") == 10
    assert text.count("sip.transfer.outcome=busy") == 10
    assert text.count("+3000.0 ms     3000.0 ms") == 10
    assert text.count("is not here") == 0


def test_nothing_is_shown_unmasked() -> None:
    assert CALLER.removeprefix("+") not in render(spans_of(Call(request=request(call_id=f"{CALLER}@h"))))


def test_no_records_are_no_text() -> None:
    assert render([]) == ""


LOCAL = """\
└─ transfer INTERNAL 200                                +3000.0 ms     3000.0 ms
   │  sip.trunk=carrier-a  sip.transfer=true  sip.transfer.kind=blind
   │  sip.transfer.mode=local  sip.transfer.outcome=completed
   │  sip.transfer.stage=answered
   │  ● accepted +3000.0 ms  ● notify +3000.0 ms  ● notify +6000.0 ms
   │  ● outcome +6000.0 ms
   ├─ INVITE CLIENT 200                                 +3200.0 ms     2000.0 ms
   │     sip.trunk=agents  sip.call_id=fedcba9876543210fedcba9876543210
   │     ● 200 +5200.0 ms  ● ACK +5200.0 ms
   ├─ re-INVITE CLIENT 200                              +5000.0 ms      200.0 ms
   │     sip.trunk=sbc  sip.call_id=1-2345@192.0.2.1
   │     ● 200 +5200.0 ms  ● ACK +5200.0 ms
   └─ dialog CLIENT                                     +5200.0 ms     3800.0 ms
         sip.trunk=agents  sip.call_id=fedcba9876543210fedcba9876543210
         sip.ring_ms=900  sip.talk_ms=3800  sip.dialog.end=callee_bye"""


def test_a_transfer_stands_below_its_call_and_the_new_leg_below_the_transfer() -> None:
    tell = Telling()
    assert render(tell.all(Transfer(Call()).local())).endswith(LOCAL)


def test_a_call_that_a_transfer_caused_stands_below_it() -> None:
    tell = Telling()
    transfer = talking(tell)
    new = Call(parent=transfer.context, carrier="marker", decision="recovered", transferred=True)
    tell.all([[transfer.begins()], *new.basic(), [transfer.ends()], transfer.call.hangs_up()])
    lines = render(tell.spans).splitlines()
    (arrived,) = (number for number, line in enumerate(lines) if line.startswith("   └─ INVITE SERVER 200"))
    assert "transfer INTERNAL" in lines[arrived - 5]
    assert "sip.trace.carrier=marker" in lines[arrived + 2]
    assert "sip.transfer=true" in lines[arrived + 3]
    assert [line for line in lines if line.startswith("under")] == [
        "under 00f067aa0ba902b7, which came from outside"
    ]


def test_a_parent_that_is_still_open_is_not_said_to_be_foreign() -> None:
    transfer = Transfer(Call())
    new = Call(parent=transfer.context, carrier="marker", decision="recovered", transferred=True)
    assert f"under {transfer.context.span_id}, which is not here" in render(spans_of(new))


def test_linked_traces_stand_together_with_their_links_at_both_ends() -> None:
    stranger = [span._replace(trace_id="b" * 32) for span in spans_of(Call())]
    spans = attended()
    text = render([*spans[:4], *stranger, *spans[4:]])
    heads = [line for line in text.splitlines() if line.startswith("trace")]
    assert sorted(heads) == [
        f"trace {TRACE_ID}",
        f"trace {'b' * 32}",
        f"trace {OTHER_TRACE}, linked to the above",
    ]
    assert heads.index(f"trace {OTHER_TRACE}, linked to the above") == heads.index(f"trace {TRACE_ID}") + 1
    said = [
        line.strip(" │")
        for line in text.splitlines()
        if "link " in line or (line.endswith("ms") and "[" in line)
    ]
    assert [" ".join(line.split()) for line in said] == [
        "└─ transfer INTERNAL 488 ERROR [1] +3000.0 ms 3000.0 ms",
        "link to and from [3] dialog CLIENT in trace cccccccc…",
        "link from [2] dialog SERVER in trace cccccccc…",
        "├─ dialog SERVER [2] +2000.0 ms 7000.0 ms",
        "link to [1] transfer INTERNAL in trace 4bf92f35…",
        "└─ dialog CLIENT [3] +2000.0 ms 7000.0 ms",
        "link to and from [1] transfer INTERNAL in trace 4bf92f35…",
    ]
    assert "sip.transfer.outcome=failed  sip.transfer.outcome_source=reported" in text
    assert "sip.transfer.kind=attended" in text


def test_linked_traces_have_one_clock() -> None:
    tell = Telling()
    first = Call()
    later = Call(parent=None, decision="linked", trace_id=OTHER_TRACE)
    later.origin.links = [first.root]
    tell.all(first.basic())
    tell(later.arrives(60.0), later.concludes(later.root, 486, 61.0))
    lines = render(tell.spans).splitlines()
    assert any(line.endswith("+60000.0 ms     1000.0 ms") for line in lines)
    assert lines[-1].split() == ["link", "to", "[1]", "INVITE", "SERVER", "in", "trace", "4bf92f35…"]
    unlinked = [span._replace(links=()) for span in tell.spans]
    assert "+60000.0 ms" not in render(unlinked)


def test_branches_of_one_trace_name_no_trace() -> None:
    tell = Telling()
    first, second = Call(), Call()
    second.origin.links = [first.root]
    tell.all([*first.basic(), *second.basic()])
    text = render(tell.spans)
    assert "link to [1] INVITE SERVER\n" in text
    assert "link from [2] INVITE SERVER\n" in text
    assert "linked to the above" not in text
