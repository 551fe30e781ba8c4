"""Log lines about calls: those that failed and those that were transferred; all of them when asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import structlog

from sipproxy.b2bua.events import Fact
from sipproxy.observer.telling import tell
from sipproxy.store.live import LiveCalls
from sipproxy.telemetry.callkey import CallKeys
from sipproxy.telemetry.logs import open_log
from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.parcel import Parcel
from sipproxy.telemetry.settings import PrivacySettings
from sipproxy.telemetry.spans import SpanBook
from tests.unit.telemetry.facts import CALLER, Call, request

CALL_ID = f"{CALLER}@192.0.2.1"
KEYS = CallKeys(bytes(32))


@pytest.fixture(autouse=True)
def _structlog_as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()


class Observer:
    """The book, the live calls and the log; no process, no store."""

    def __init__(self, capsys: pytest.CaptureFixture[str], level: str) -> None:
        masker = Masker(PrivacySettings())
        self._capsys = capsys
        self._log = open_log(masker.mask_text, level, mask_id=masker.mask_id)
        self._book = SpanBook(masker, 0.0, keys=KEYS, journal=True)
        self._live = LiveCalls(1, KEYS)

    def hears(self, *batches: list[Fact]) -> list[dict[str, object]]:
        """The lines that these facts lead to; each batch is a parcel."""
        for facts in batches:
            finished = self._book.take(facts, 1.0)
            opened, notes = self._book.gathered()
            parcel = Parcel(opened, [*finished], notes, [])
            tell(self._log, parcel, self._live.take(parcel))
        return [json.loads(line) for line in self._capsys.readouterr().err.splitlines()]


def refused(call: Call, status: int) -> list[list[Fact]]:
    ends = [call.concludes(context, status, 1.0) for context in (call.attempt, call.root)]
    return [
        [call.arrives(0.0), call.is_routed("carrier-a"), call.is_tried(at=0.0)],
        [*ends, call.is_forgotten()],
    ]


def a_call() -> Call:
    return Call(request=request(call_id=CALL_ID))


@pytest.mark.parametrize(
    ("status", "outcome"), [(500, "failed"), (404, "refused"), (408, "timeout"), (403, "refused")]
)
def test_a_call_that_failed_is_told_of(status: int, outcome: str, capsys: pytest.CaptureFixture[str]) -> None:
    call = a_call()
    (line,) = Observer(capsys, "info").hears(*refused(call, status))
    assert (line["event"], line["level"]) == ("call failed", "info")
    assert (line["trace_id"], line["span_id"]) == (call.root.trace_id, call.root.span_id)
    assert line["call_id"] == "***34@192.0.2.1"
    assert (line["status"], line["outcome"]) == (status, outcome)
    assert line["trunks"] == ["sbc", "carrier-a"]


@pytest.mark.parametrize("status", [486, 487, 603])
def test_a_call_that_somebody_did_not_want_is_no_failure(
    status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Observer(capsys, "info").hears(*refused(a_call(), status)) == []


def test_a_good_call_is_told_of_where_everything_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert Observer(capsys, "info").hears(*a_call().basic()) == []
    call = a_call()
    began, ended = Observer(capsys, "debug").hears(*call.basic())
    assert (began["event"], ended["event"]) == ("call began", "call ended")
    assert began["trace_id"] == ended["trace_id"] == call.root.trace_id
    assert began["sender"] == "***34"
    assert (ended["outcome"], ended["end"]) == ("answered", "caller_bye")


def test_no_line_shows_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Observer(capsys, "debug").hears(*a_call().basic(), *refused(a_call(), 500))
    assert len(lines) == 5
    assert CALLER.lstrip("+") not in json.dumps(lines)


def test_of_several_calls_in_one_parcel_each_has_its_own_ids(capsys: pytest.CaptureFixture[str]) -> None:
    calls = [a_call(), a_call()]
    facts = [fact for call in calls for batch in refused(call, 500) for fact in batch]
    lines = Observer(capsys, "debug").hears(facts)
    assert [line["event"] for line in lines].count("call began") == 2
    failed = [line["span_id"] for line in lines if line["event"] == "call failed"]
    assert failed == [call.root.span_id for call in calls]
