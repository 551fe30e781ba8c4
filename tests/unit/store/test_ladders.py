"""SIP messages on their way into the store: whose they are, and that nothing unmasked gets there."""

from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path

import pytest

from sipproxy.store import StoredMessage, ladders
from sipproxy.store.settings import StoreSettings
from sipproxy.store.summary import CallSummary
from sipproxy.telemetry.record import SpanRecord
from tests.unit.store.support import CALLEE_CALL_ID, SDP, Exported, Observer, Worker, ladder, message
from tests.unit.telemetry.facts import CALLEE, CALLER, Call, request


def messages(observer: Observer, call: Call) -> list[StoredMessage]:
    story = observer.reader.story(call.root.span_id)
    assert story is not None
    return story.messages


def starts(observer: Observer, call: Call) -> list[tuple[str, str]]:
    return [(m.start, m.method) for m in messages(observer, call)]


def tell_basic(worker: Worker, observer: Observer, call: Call) -> None:
    for facts, seen in zip(call.basic(), ladder(call), strict=True):
        observer.stores(worker(*facts, messages=seen))


def test_a_ladder_is_complete_and_in_order(worker: Worker, observer: Observer) -> None:
    call = Call()
    tell_basic(worker, observer, call)
    assert starts(observer, call) == [
        ("INVITE", "INVITE"),
        ("100 Trying", "INVITE"),
        ("INVITE", "INVITE"),
        ("100 Trying", "INVITE"),
        ("180 Ringing", "INVITE"),
        ("180 Ringing", "INVITE"),
        ("200 OK", "INVITE"),
        ("200 OK", "INVITE"),
        ("ACK", "ACK"),
        ("ACK", "ACK"),
        ("BYE", "BYE"),
        ("BYE", "BYE"),
        ("200 OK", "BYE"),
        ("200 OK", "BYE"),
    ]
    first = messages(observer, call)[0]
    assert (first.sent, first.transport, first.peer, first.ours) == (
        *(False, "UDP"),
        *("192.0.2.1:5070", "127.0.0.1:5060"),
    )
    assert (first.cseq, first.status, first.call_id) == (7, 0, call.request.call_id)
    assert (first.root_id, first.number) == (call.root.span_id, 1)
    numbers = [m.n for m in messages(observer, call)]
    assert len(set(numbers)) == 14


def test_nothing_unmasked_is_written(worker: Worker, observer: Observer, tmp_path: Path) -> None:
    call = Call(request=request(call_id="4915550001234@192.0.2.1"))
    for facts, seen in zip(call.basic(), ladder(call), strict=True):
        observer.stores(worker(*facts, messages=seen))
    assert len(messages(observer, call)) == 14
    story = observer.reader.story("4915550001234@192.0.2.1")  # and is found by it all the same
    assert story is not None
    observer.close()
    sql = sqlite3.connect(tmp_path / "store.db")
    stored = b"".join(
        value if isinstance(value, bytes) else str(value).encode()
        for (table,) in sql.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for row in sql.execute(f"SELECT * FROM {table}")
        for value in row
    )
    sql.close()
    texts = repr((story, stored)).encode() + b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (CALLER.removeprefix("+").encode(), b"Jane", b"Roe", b"IN IP4"):
        assert secret not in texts
    assert CALLEE.encode() not in b"".join(m.text.encode() for m in story.messages)


def test_a_body_is_named_and_not_kept(worker: Worker, observer: Observer) -> None:
    call = Call()
    tell_basic(worker, observer, call)
    text = messages(observer, call)[0].text
    assert SDP.splitlines()[1] not in text
    assert f"[body: {len(SDP) + SDP.count(chr(10))} bytes" in text


def test_raw_messages_are_kept_when_asked_for_alone(tmp_path: Path, worker: Worker) -> None:
    call = Call()
    seen = [*itertools.chain(*ladder(call))]
    for name, raw in (("with", True), ("without", False)):
        folder = tmp_path / name
        folder.mkdir()
        observer = Observer(folder, raw=raw)
        observer.begin()
        observer.stores(Worker().all(call.basic())._replace(messages=seen))
        ladders = messages(observer, call)
        kept = [observer.reader.raw(call.root.span_id, m.n) for m in ladders]
        assert kept == ([m.data for m in seen] if raw else [None] * 14)
        assert observer.reader.raw("f" * 32, ladders[0].n) is None
        assert observer.reader.raw(call.root.span_id, 7) is None
        observer.close()


def test_no_messages_are_kept_where_the_settings_say_so(tmp_path: Path, worker: Worker) -> None:
    observer = Observer(tmp_path, StoreSettings(messages=False))
    observer.begin()
    call = Call()
    tell_basic(worker, observer, call)
    assert messages(observer, call) == []
    observer.close()


def test_strangers_are_counted_and_dropped(worker: Worker, observer: Observer) -> None:
    call = Call()
    odd = message(0.0, "OPTIONS", "nobody@example.com", 1)
    observer.stores(worker(call.arrives(), messages=[odd, odd._replace(data=b"\r\n\r\n")]))
    observer.stores(worker(call.is_tried()))
    observer.stores(worker())
    assert messages(observer, call) == []
    assert observer.keeper.figures()["strangers"] == 2


def test_a_message_may_come_a_parcel_before_its_call(worker: Worker, observer: Observer) -> None:
    call = Call()
    observer.stores(worker(messages=ladder(call)[0][:1]))
    observer.stores(worker(call.arrives(), call.is_tried(), messages=ladder(call)[0][1:]))
    assert starts(observer, call) == [("INVITE", "INVITE"), ("100 Trying", "INVITE"), ("INVITE", "INVITE")]
    assert observer.keeper.figures()["strangers"] == 0


def test_a_late_message_finds_its_call(worker: Worker, observer: Observer) -> None:
    call = Call()
    tell_basic(worker, observer, call)
    late = message(40.0, "200 OK", CALLEE_CALL_ID, 2, "BYE")
    observer.stores(worker(messages=[late]))
    assert len(messages(observer, call)) == 15
    much_later = message(75.0, "200 OK", CALLEE_CALL_ID, 2, "BYE")
    observer.stores(worker(Call().arrives(75.0)))
    observer.stores(worker(messages=[much_later]))
    assert len(messages(observer, call)) == 15


def test_what_cannot_be_read_is_counted(worker: Worker, observer: Observer) -> None:
    call = Call()
    data = f"garbage\r\nCall-ID: {call.request.call_id}\r\n\r\n".encode()
    broken = message(0.0, "INVITE", "x", 1)._replace(data=data)
    observer.stores(worker(call.arrives(), messages=[broken]))
    assert messages(observer, call) == []
    assert observer.keeper.figures()["unreadable"] == 1


def test_a_call_id_that_is_used_again_goes_by_time(worker: Worker, observer: Observer) -> None:
    challenged, again = Call(trace_id="1" * 32), Call(trace_id="2" * 32)
    here = challenged.request.call_id
    observer.stores(
        worker(
            challenged.arrives(1.0),
            challenged.concludes(challenged.root, 401, 1.1),
            challenged.is_forgotten(),
            again.arrives(2.0),
            messages=[
                message(1.0, "INVITE", here, 7),
                message(1.1, "401 Unauthorized", here, 7, "INVITE", sent=True),
                message(1.2, "ACK", here, 7),
                message(2.0, "INVITE", here, 8),
            ],
        )
    )
    assert [start for start, _ in starts(observer, challenged)] == ["INVITE", "401 Unauthorized", "ACK"]
    assert [start for start, _ in starts(observer, again)] == ["INVITE"]


def test_messages_of_one_moment_stay_in_their_order_across_calls(worker: Worker, observer: Observer) -> None:
    """What left comes after what came in and caused it, though it belongs to another call of the story."""
    one, other = Call(), Call(request=request(call_id="other@192.0.2.1"))
    observer.stores(
        worker(
            one.arrives(),
            other.arrives(),
            messages=[
                message(1.0, "INFO", "other@192.0.2.1", 9),
                message(1.0, "INFO", one.request.call_id, 1, sent=True),
                message(1.0, "INFO", "other@192.0.2.1", 10),
                message(1.0, "INFO", one.request.call_id, 2, sent=True),
            ],
        )
    )
    assert [m.cseq for m in messages(observer, one)] == [9, 1, 10, 2]


def test_many_messages_in_one_parcel(worker: Worker, observer: Observer) -> None:
    call = Call()
    seen = [message(1.0, "INFO", call.request.call_id, number) for number in range(8, 208)]
    observer.stores(worker(call.arrives(), messages=seen))
    assert [m.cseq for m in messages(observer, call)] == [*range(8, 208)]
    assert len({m.n for m in messages(observer, call)}) == 200


def test_no_call_has_more_than_anybody_reads(
    worker: Worker, observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever knows a Call-ID can send messages with it."""
    monkeypatch.setattr(ladders, "MOST_OF_ONE", 10)
    call = Call()
    for first in (0, 6):
        seen = [message(1.0, "INFO", call.request.call_id, number) for number in range(first, first + 6)]
        observer.stores(worker(call.arrives() if not first else [], messages=seen))
    assert [m.cseq for m in messages(observer, call)] == [*range(10)]
    assert observer.keeper.figures()["strangers"] == 2


def test_a_commit_that_fails_neither_loses_nor_doubles_messages(tmp_path: Path, worker: Worker) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    troubles = [full, full]

    class Failing(Exported):
        def add(self, records: list[SpanRecord], ended: list[CallSummary], boot: str) -> None:
            if records and troubles:
                raise troubles.pop()

    observer = Observer(tmp_path, outbox=Failing)
    observer.begin()
    call = Call()
    observer.stores(worker(messages=ladder(call)[0][:1]))
    parcel = worker(call.arrives(), call.is_routed(), call.is_tried(), messages=ladder(call)[0][1:])
    changes = observer.live.take(parcel)
    stored = []
    for _ in range(3):
        assert observer.keeper.keep("first", 2, parcel, changes)
        stored.append(observer.keeper.commit())
    assert stored == [False, False, True]
    assert len(messages(observer, call)) == 3
    observer.close()
