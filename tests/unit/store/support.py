"""A signalling process that tells of calls in parcels, and an observer that stores them, for tests."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sipproxy.b2bua.events import Fact
from sipproxy.store import Beginning, MakeOutbox
from sipproxy.store.keeper import Keeper
from sipproxy.store.live import LiveCalls
from sipproxy.store.place import Place
from sipproxy.store.reader import Reader
from sipproxy.store.settings import StoreSettings
from sipproxy.store.summary import CallSummary
from sipproxy.telemetry.callkey import CallKeys
from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.parcel import Message, Note, Parcel, pack, unpack
from sipproxy.telemetry.record import SpanRecord
from sipproxy.telemetry.settings import PrivacySettings
from sipproxy.telemetry.spans import SpanBook
from sipproxy.telemetry.wire import Wire
from tests.unit.telemetry.facts import CALLEE, CALLER, Call
from tests.unit.telemetry.telling import WALL

KEY = bytes(range(32))
KEYS = CallKeys(KEY)
MASKER = Masker(PrivacySettings())
CALLEE_CALL_ID = "0123456789abcdef0123456789abcdef"  # of every Call in facts.py
PROXY, PEER = "127.0.0.1:5060", "192.0.2.1:5070"


def ns(at: float) -> int:
    """A moment on the core's clock, as it is stored."""
    return int(at * 1e9) + WALL * 10**9


class Worker:
    """Makes parcels of facts, as the signalling process does."""

    def __init__(self) -> None:
        self.book = SpanBook(MASKER, float(WALL), keys=KEYS, journal=True)

    def __call__(
        self, *facts: Fact | list[Fact], at: float = 0.0, messages: Iterable[Message] = ()
    ) -> Parcel:
        """One parcel, which has crossed to the other process."""
        told = [fact for some in facts for fact in (some if isinstance(some, list) else [some])]
        finished = self.book.take(told, at)
        opened, notes = self.book.gathered()
        return unpack(pack(Parcel(opened, [*finished], notes, [*messages])))

    def all(self, lists: Iterable[list[Fact]]) -> Parcel:
        """A parcel of what came in one after the other."""
        return joined(self(*facts) for facts in lists)

    def openings(self) -> Parcel:
        """All that is open."""
        return Parcel([*self.book.openings()], [], self.book.going(), [])


def joined(parcels: Iterable[Parcel]) -> Parcel:
    """What all of them tell, as one."""
    opened: list[SpanRecord] = []
    finished: list[SpanRecord] = []
    notes: list[Note] = []
    messages: list[Message] = []
    for parcel in parcels:
        opened += parcel.opened
        finished += parcel.finished
        notes += parcel.notes
        messages += parcel.messages
    return Parcel(opened, finished, notes, messages)


@dataclass
class Lines:
    """A log that can be asked."""

    lines: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)

    def info(self, event: str, **facts: object) -> None:
        self.lines.append(("info", event, facts))

    def warning(self, event: str, **facts: object) -> None:
        self.lines.append(("warning", event, facts))

    def error(self, event: str, **facts: object) -> None:
        self.lines.append(("error", event, facts))

    @property
    def events(self) -> list[str]:
        return [event for _, event, _ in self.lines]


class Exported:
    """An outbox that remembers what was committed: its table says so."""

    def __init__(self, sql: sqlite3.Connection) -> None:
        self._sql = sql
        sql.execute("CREATE TABLE IF NOT EXISTS outbox_test (boot TEXT, span TEXT, ended TEXT)")

    def add(self, records: list[SpanRecord], ended: list[CallSummary], boot: str) -> None:
        rows: list[tuple[str, str | None, str | None]] = [(boot, record.span_id, None) for record in records]
        rows += [(boot, None, call.root_id) for call in ended]
        self._sql.executemany("INSERT INTO outbox_test VALUES (?, ?, ?)", rows)

    def held_bytes(self) -> int:
        return 0

    def maintain(self, now_ns: int) -> bool:
        return False


class Observer:
    """What the other process does with parcels; `stops` and `begin` are a restart."""

    def __init__(
        self,
        folder: Path,
        settings: StoreSettings | None = None,
        *,
        outbox: MakeOutbox | None = Exported,
        raw: bool = False,
    ) -> None:
        self.place = Place(folder, KEY)
        self.log = Lines()
        self._settings = settings or StoreSettings()
        self._outbox = outbox
        self._raw = raw
        self._number = 0
        self.renewals = 0
        self.restarts_wanted = 0
        self.boot = ""
        self.keeper = self._new_keeper()
        self.live = LiveCalls()
        self.reader = Reader(self.place, reference=MASKER.mask_reference, suspect=self.suspect)

    def _new_keeper(self) -> Keeper:
        wire = Wire(MASKER)
        parts = self.place, self._settings, wire, KEYS, self._outbox, self.log
        return Keeper(*parts, raw=self._raw, renewed=self._renew, restart=self._restart)

    def _renew(self) -> None:
        self.renewals += 1

    def _restart(self) -> None:
        self.restarts_wanted += 1

    def tells_everything(self) -> None:
        """What an observer does whose store is a new one."""
        parcel, changes = self.live.everything()
        assert self.keeper.keep(self.boot, 0, parcel, changes)
        assert self.keeper.commit()

    def suspect(self) -> None:
        self.keeper.suspect()

    def begin(self, boot: str = "first") -> Beginning:
        beginning = self.keeper.begin(boot)
        if boot != self.boot:
            self._number = 0
        self.boot = boot
        self.live = LiveCalls(beginning.next_number, KEYS, calls=beginning.calls, opened=beginning.opened)
        return beginning

    def restarts(self, boot: str | None = None) -> Beginning:
        """A SIGKILL and a new process: what was not committed is gone."""
        self.keeper.close()
        self.reader.close()
        self.keeper = self._new_keeper()
        return self.begin(boot or self.boot)

    def takes(self, parcel: Parcel, number: int | None = None) -> bool:
        """Keep a parcel; with number 0 openings told again."""
        if number is None:
            self._number += 1
            number = self._number
        return self.keeper.keep(self.boot, number, parcel, self.live.take(parcel))

    def stores(self, *parcels: Parcel) -> None:
        """Keep parcels, and commit."""
        for parcel in parcels:
            assert self.takes(parcel)
        assert self.keeper.commit()

    def close(self) -> None:
        self.reader.close()
        self.keeper.close()


def exported(folder: Path) -> list[tuple[str, str]]:
    """Boots and span ids that the outbox was given."""
    sql = sqlite3.connect(folder / "store.db")
    try:
        return sql.execute("SELECT boot, span FROM outbox_test WHERE span IS NOT NULL").fetchall()
    finally:
        sql.close()


def ended(folder: Path) -> list[str]:
    """Root ids of calls that the outbox was told the end of."""
    sql = sqlite3.connect(folder / "store.db")
    try:
        rows = sql.execute("SELECT ended FROM outbox_test WHERE ended IS NOT NULL").fetchall()
    finally:
        sql.close()
    return [root_id for (root_id,) in rows]


_MESSAGE = """\
{start}
Via: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK-{branch}
From: "Jane Roe" <sip:{caller}@192.0.2.1:5070>;tag=1
To: <sip:{callee}@sip.example.com>
Call-ID: {call_id}
CSeq: {cseq} {method}
Content-Length: {length}

{body}"""

SDP = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\n"


def sip(start: str, call_id: str, cseq: int, method: str, body: str = "") -> bytes:
    """A message; `start` is "BYE" or "200 OK"."""
    line = f"SIP/2.0 {start}" if start[0].isdigit() else f"{start} sip:{CALLEE}@sip.example.com SIP/2.0"
    values = {"branch": cseq, "caller": CALLER, "callee": CALLEE, "call_id": call_id, "cseq": cseq}
    text = _MESSAGE.format(start=line, method=method, length=len(body), body=body, **values)
    return text.replace("\n", "\r\n").encode()


def message(at: float, start: str, call_id: str, cseq: int, method: str = "", **more: Any) -> Message:
    """One that came or, `sent=True`, left."""
    data = sip(start, call_id, cseq, method or start, more.pop("body", ""))
    return Message(ns(at), more.pop("sent", False), "UDP", PEER, PROXY, data)


def ladder(call: Call, start: float = 0.0) -> list[list[Message]]:
    """The messages of `call.basic()`, in the same lists."""
    here, there = call.request.call_id, CALLEE_CALL_ID
    at = [start, start + 0.1, start + 0.5, start + 2.0, start + 2.1, start + 10.0]
    return [
        [
            message(at[0], "INVITE", here, 7, body=SDP),
            message(at[0], "100 Trying", here, 7, "INVITE", sent=True),
            message(at[0], "INVITE", there, 1, sent=True, body=SDP),
        ],
        [message(at[1], "100 Trying", there, 1, "INVITE")],
        [
            message(at[2], "180 Ringing", there, 1, "INVITE"),
            message(at[2], "180 Ringing", here, 7, "INVITE", sent=True),
        ],
        [
            message(at[3], "200 OK", there, 1, "INVITE", body=SDP),
            message(at[3], "200 OK", here, 7, "INVITE", sent=True, body=SDP),
        ],
        [message(at[4], "ACK", here, 7), message(at[4], "ACK", there, 1, sent=True)],
        [
            message(at[5], "BYE", here, 8),
            message(at[5], "BYE", there, 2, sent=True),
            message(at[5], "200 OK", here, 8, "BYE", sent=True),
            message(at[5] + 0.1, "200 OK", there, 2, "BYE"),
        ],
    ]
