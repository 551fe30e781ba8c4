"""The embedded store alone, on one core: spans/s that it takes, and how long a search lasts over a million.

    python -m bench.store [--spans N]

Calls are made beforehand and told in parcels as the signalling process would: 500 go on at a time, each in
three pieces (it arrives, it is answered, it ends). Only what the observer does with a parcel is timed.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sipproxy.store import Query
from sipproxy.store.keeper import Keeper
from sipproxy.store.live import LiveCalls
from sipproxy.store.place import Place
from sipproxy.store.reader import Reader
from sipproxy.store.settings import StoreSettings
from sipproxy.telemetry.attributes import Attributes
from sipproxy.telemetry.callkey import CallKeys
from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.parcel import OVER, Message, Note, Parcel, pack, unpack
from sipproxy.telemetry.record import CLIENT, INTERNAL, SERVER, SpanRecord
from sipproxy.telemetry.settings import PrivacySettings
from sipproxy.telemetry.wire import Wire

SPANS = 1_000_000
_SPANS_PER_CALL = 5
_GOING_ON = 500
_IN_PARCEL = 100  # records: some 64 kB
_PARCELS_IN_COMMIT = 40  # as many as the observer takes when it lags behind
_BEGAN_NS = 1_700_000_000 * 10**9
_RARE = 5  # calls among all that a rare filter finds: old ones
_TRIES = 7


class Row(NamedTuple):
    """One figure."""

    what: str
    value: float
    unit: str
    goal: str = ""


_LADDERS = 2000
_DIALOGUE = (
    ("INVITE", "INVITE", 1),
    ("100 Trying", "INVITE", 1),
    ("180 Ringing", "INVITE", 1),
    ("200 OK", "INVITE", 1),
    ("ACK", "ACK", 1),
    ("BYE", "BYE", 2),
    ("200 OK", "BYE", 2),
)
_HEADERS = """\
{line}
Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK-{branch};rport
Max-Forwards: 70
From: "Jane Roe" <sip:+4915550001234@192.0.2.7>;tag={tag}
To: <sip:+4915550009999@192.0.2.9>
Call-ID: {call_id}
CSeq: {cseq} {method}
Contact: <sip:jane@192.0.2.7:5060>
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, INFO, PRACK, UPDATE
Supported: replaces, timer, 100rel
User-Agent: bench/1.0
Content-Type: application/sdp
Content-Length: {length}

"""
_SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"

Piece = tuple[list[SpanRecord], list[SpanRecord], list[Note]]


class Quiet:
    """A log that nobody reads."""

    def info(self, event: str, **facts: object) -> None: ...

    def warning(self, event: str, **facts: object) -> None: ...

    def error(self, event: str, **facts: object) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.store", description=__doc__)
    parser.add_argument("--spans", type=int, default=SPANS)
    for row in measure(parser.parse_args().spans):
        print(f"{row.what:<48} {row.value:>12,.1f} {row.unit:<8} {row.goal}")


def measure(spans: int = SPANS) -> list[Row]:
    """All figures, on a store in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="bench-store-") as folder:
        place = Place(Path(folder), bytes(range(32)))
        calls = spans // _SPANS_PER_CALL
        rows = [*_write(place, calls), *_search(place, calls)]
    with tempfile.TemporaryDirectory(prefix="bench-store-") as folder:
        return [*rows, *_ladders(Place(Path(folder), bytes(range(32))))]


def _write(place: Place, calls: int) -> Iterator[Row]:
    keys = CallKeys(place.key)
    keeper = Keeper(place, StoreSettings(max_mb=100_000), None, keys, None, Quiet())
    live = LiveCalls(keeper.begin("bench").next_number, keys)
    following = keeping = slowest = 0.0
    waiting = number = 0
    for number, data in enumerate(_parcels(calls, keys), 1):
        parcel = unpack(data)
        before = time.process_time()
        changes = live.take(parcel)
        between = time.process_time()
        keeper.keep("bench", number, parcel, changes)
        waiting += 1
        if waiting == _PARCELS_IN_COMMIT:
            waiting = 0
            began = time.perf_counter()
            keeper.commit()
            slowest = max(slowest, time.perf_counter() - began)
        following += between - before
        keeping += time.process_time() - between
    keeper.commit()
    keeper.maintain(_BEGAN_NS)
    figures = keeper.figures()
    keeper.close()
    spans = figures["spans"]
    yield Row("store: spans/s written", spans / keeping, "spans/s", "at least 20,000")
    yield Row("store: spans/s with the live calls", spans / (keeping + following), "spans/s")
    yield Row("store: slowest commit", slowest * 1000, "ms")
    yield Row("store: bytes per span", figures["bytes"] / spans, "bytes")


def _ladders(place: Place) -> Iterator[Row]:
    """Masking included: 14 messages a call, each of 400 to 900 bytes."""
    keys = CallKeys(place.key)
    wire = Wire(Masker(PrivacySettings()))
    keeper = Keeper(place, StoreSettings(), wire, keys, None, Quiet())
    live = LiveCalls(keeper.begin("bench").next_number, keys)
    spent = 0.0
    for number in range(_LADDERS):
        opened: list[SpanRecord] = []
        finished: list[SpanRecord] = []
        notes: list[Note] = []
        for piece in _call(4 * number + 101, _LADDERS, random.Random(number), keys):
            opened += piece[0]
            finished += piece[1]
            notes += piece[2]
        parcel = Parcel(opened, finished, notes, _messages(opened[0], opened[1]))
        changes = live.take(parcel)
        before = time.process_time()
        keeper.keep("bench", number + 1, parcel, changes)
        if number % 20 == 19:
            keeper.commit()
        spent += time.process_time() - before
    keeper.maintain(_BEGAN_NS)
    figures = keeper.figures()
    keeper.close()
    assert figures["messages"] == 14 * _LADDERS
    yield Row("store: calls/s with spans and ladder", _LADDERS / spent, "calls/s")
    yield Row("store: bytes per call with its ladder", figures["bytes"] / _LADDERS, "bytes")


def _messages(caller: SpanRecord, callee: SpanRecord) -> list[Message]:
    found = []
    for start, method, cseq in _DIALOGUE:
        for sent, leg in ((False, caller), (True, callee)):
            line = (
                f"{start} sip:+4955500{cseq}@192.0.2.9:5060 SIP/2.0"
                if start == method
                else f"SIP/2.0 {start}"
            )
            body = _SDP if start in ("INVITE", "200 OK") and method == "INVITE" else ""
            text = _HEADERS.format(
                line=line,
                branch=leg.span_id,
                tag=leg.trace_id[:8],
                call_id=leg.attributes["sip.call_id"],
                cseq=cseq,
                method=method,
                length=len(body),
            )
            data = text.replace("\n", "\r\n").encode() + body.encode()
            found.append(Message(caller.start_ns, sent, "UDP", "192.0.2.7:5060", "192.0.2.1:5060", data))
    return found


def _search(place: Place, calls: int) -> Iterator[Row]:
    reader = Reader(place)
    middle = _BEGAN_NS + calls // 2 * _EVERY_NS
    rare = f"call-{_RARE}@host"
    queries = {
        "everything": Query(),
        "a second page": Query(before=reader.search(Query()).next),
        "Call-ID": Query(id=rare),
        "no such id": Query(id="f" * 32),
        "interaction id": Query(id=f"INT-{_RARE}"),
        "trunk that all use": Query(trunk="sbc"),
        "rare trunk": Query(trunk="rare"),
        "outcome of most": Query(outcome="answered"),
        "rare outcome": Query(outcome="declined"),
        "slower than 1 ms": Query(slower_than_ms=1),
        "slower than 50 s, rare": Query(slower_than_ms=50_000),
        "transferred, rare": Query(transferred=True),
        "not transferred": Query(transferred=False),
        "ten seconds of long ago": Query(since_ns=middle, until_ns=middle + 10**10),
        "half a year of nothing": Query(since_ns=0, until_ns=_BEGAN_NS),
        "two that never meet": Query(trunk="busy-only", outcome="answered"),
        "two that never meet, and slow": Query(trunk="busy-only", outcome="answered", slower_than_ms=1),
        "all at once": Query(trunk="sbc", outcome="answered", transferred=True, slower_than_ms=1),
    }
    for what, query in queries.items():
        yield Row(f"search: {what}", _typical(partial(reader.search, query)), "ms", "under 100")
    yield Row("one call's story", _typical(lambda: reader.story(rare)), "ms")
    reader.close()


def _typical(question: Callable[[], object]) -> float:
    """The median, or the first, if that took longer: nothing was in SQLite's cache then."""
    times = []
    for _ in range(_TRIES):
        before = time.perf_counter()
        question()
        times.append(time.perf_counter() - before)
    return max(statistics.median(times), times[0]) * 1000


# Calls

_EVERY_NS = 5_000_000


def _parcels(calls: int, keys: CallKeys) -> Iterator[bytes]:
    opened: list[SpanRecord] = []
    finished: list[SpanRecord] = []
    notes: list[Note] = []
    for piece in _pieces(calls, keys):
        opened += piece[0]
        finished += piece[1]
        notes += piece[2]
        if len(opened) + len(finished) >= _IN_PARCEL:
            yield pack(Parcel(opened, finished, notes, []))
            opened, finished, notes = [], [], []
    yield pack(Parcel(opened, finished, notes, []))


def _pieces(calls: int, keys: CallKeys) -> Iterator[Piece]:
    going_on: deque[Iterator[Piece]] = deque()
    chance = random.Random(1)
    for number in range(calls):
        call = _call(number, calls, chance, keys)
        yield next(call)
        going_on.append(call)
        if len(going_on) > _GOING_ON:
            yield from (next(going_on[_GOING_ON // 2]), next(going_on[0]))
            going_on.popleft()
    for call in going_on:
        yield from call


def _call(number: int, calls: int, chance: random.Random, keys: CallKeys) -> Iterator[Piece]:
    """It arrives; it is answered or refused; it is over."""
    trace_id = f"{chance.getrandbits(128):032x}"
    ids = [f"{chance.getrandbits(64):016x}" for _ in range(_SPANS_PER_CALL)]
    root_id = ids[0]
    rare = number <= _RARE
    status = 603 if rare else 486 if number % 4 == 0 else 200
    to = "rare" if rare else "busy-only" if status == 486 else f"carrier-{number % 3}"
    setup_ms = 60_000 + number if rare else chance.randrange(20, 20_000)
    began = _BEGAN_NS + number * _EVERY_NS
    answered, over = began + setup_ms * 10**6, began + (setup_ms + 30_000) * 10**6
    common: Attributes = {"interaction.id": f"INT-{number}"}
    call_ids = f"call-{number}@host", f"{chance.getrandbits(128):032x}"

    def span(which: int, name: str, kind: str, start: int) -> SpanRecord:
        leg = 0 if kind == SERVER else 1
        known: Attributes = dict(common)
        if kind != INTERNAL:
            known |= {
                "sip.call_id": call_ids[leg],
                "sip.leg": "caller" if leg == 0 else "callee",
                "sip.trunk": "sbc" if leg == 0 else to,
                "network.transport": "udp",
                "network.peer.address": f"192.0.2.{number % 200}",
                "network.peer.port": 5060,
            }
        return SpanRecord(
            trace_id, ids[which], "" if which == 0 else root_id, 1, "", name, kind, start, 0, False,
            known, (), 0, (), root_id, keys(call_ids[leg]) if kind != INTERNAL else 0,
        )  # fmt: skip

    def end(opening: SpanRecord, at: int, more: Attributes, *events: str) -> SpanRecord:
        told = tuple((event, at, None) for event in events)
        return opening._replace(end_ns=at, attributes=opening.attributes | more, events=told)

    root = span(0, "INVITE", SERVER, began)
    root.attributes.update(
        {"sip.request.method": "INVITE", "sip.cseq": 1, "sip.from.user": "***34", "sip.to.user": "***65"}
    )
    root.attributes.update({"sip.trace.carrier": "traceparent", "sip.trace.decision": "adopted"})
    attempt = span(1, "INVITE", CLIENT, began)
    attempt.attributes.update({"sip.request.method": "INVITE", "sip.cseq": 1, "sip.proxy.delay_us": 900})
    if rare:
        root.attributes["sip.transfer"] = True
    yield [root, attempt], [end(span(2, "route", INTERNAL, began), began, {"sip.trunk": to})], []
    final: Attributes = {"sip.response.status_code": status}
    ended = [
        end(attempt, answered, final, "100", "180", str(status), "ACK"),
        end(root, answered, final | {"sip.setup.duration_ms": setup_ms}, "180", str(status), "ACK"),
    ]
    if status != 200:
        yield [], ended, []
        yield [], [], [(OVER, root_id, answered)]
        return
    dialogs = [span(3, "dialog", SERVER, answered), span(4, "dialog", CLIENT, answered)]
    for dialog in dialogs:
        dialog.attributes["sip.ring_ms"] = 900
    yield dialogs, ended, []
    last: Attributes = {"sip.dialog.end": "caller_bye", "sip.talk_ms": 30_000}
    yield [], [end(dialog, over, last, "BYE") for dialog in dialogs], [(OVER, root_id, over)]


if __name__ == "__main__":
    main()
