"""The embedded store: spans, SIP messages and calls in one SQLite file, and what is asked of it.

    place.py       the folder: who may write there, the key of its Call-IDs
    schema.py      the file: tables, versions, what its errors mean
    live.py        LiveCalls: what the calls are doing now, by what the signalling process tells
    keeper.py      Keeper: the one writer; rows.py, journal.py, ladders.py, retention.py are what it writes
    reader.py      Reader: search.py, story.py
    outbox.py      Outbox: what no collector has taken yet

What is exchanged between them stands here. Texts are masked, times are ns since 1970.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ..errors import SipProxyError
from ..telemetry.record import SpanRecord
from .summary import CallSummary

MOST_ROWS = 200  # calls on one page of a search


class StoreError(SipProxyError):
    """The store cannot do this now; the text says why. The next try may succeed."""


class Changes(NamedTuple):
    """What a parcel meant for the calls: copies, so that another thread can read them.

    A call stands in at most one of the first four.
    """

    added: list[CallSummary]
    changed: list[CallSummary]
    ended: list[CallSummary]  # state "over" from now on; told once for each call
    late: list[CallSummary]  # was over before, and had a span that finished only now
    gone: list[CallSummary]  # over for so long that LiveCalls has forgotten them
    lost: tuple[SpanRecord, ...] = ()  # ended by LiveCalls.settle, since nobody else will


class Beginning(NamedTuple):
    """What a restarted observer goes on with."""

    next_number: int  # for LiveCalls
    last: int  # a parcel of this boot up to that number is in the store: LiveCalls must not see it again
    calls: list[CallSummary]  # of this boot, for LiveCalls
    opened: list[SpanRecord]  # of this boot, for LiveCalls
    lost: list[SpanRecord]  # of an earlier boot; closed now, and told to the outbox


@dataclass(frozen=True, slots=True)
class Query:
    """All that is given must be met."""

    id: str | None = None  # trace-id, Call-ID (as it is or masked), interaction id, root span id
    trunk: str | None = None
    outcome: str | None = None
    slower_than_ms: int | None = None  # to the final response
    transferred: bool | None = None
    since_ns: int | None = None  # began then or later
    until_ns: int | None = None  # began before
    before: str | None = None  # `next` of the page before
    limit: int = 50


class Found(NamedTuple):
    """A page of calls, newest first."""

    calls: list[CallSummary]
    next: str | None  # for Query.before; None: this is the last page


@dataclass(slots=True)
class StoredMessage:
    """A SIP message, without its body, and where it belongs."""

    n: int  # names the message
    at_ns: int
    sent: bool  # by us
    transport: str
    peer: str  # host:port
    ours: str  # host:port
    start: str  # "INVITE" or "200 OK"
    method: str  # of CSeq
    cseq: int
    status: int  # 0: a request
    call_id: str
    text: str
    number: int  # of its call
    root_id: str  # of its call
    call_key: int
    spans: tuple[str, ...] = ()  # span ids
    order: int = 0  # among those of one moment


@dataclass(slots=True)
class Story:
    """Calls that belong together: one that was asked for, and all that links lead to."""

    calls: list[CallSummary] = field(default_factory=list)  # oldest first
    traces: list[str] = field(default_factory=list)  # those asked for first
    spans: list[SpanRecord] = field(default_factory=list)  # by start; `end_ns` is 0 on open ones
    messages: list[StoredMessage] = field(default_factory=list)  # by time
    truncated: bool = False  # there is more than is here


class Outbox(Protocol):
    """What the keeper hands on, within its own transaction."""

    def add(self, records: list[SpanRecord], ended: list[CallSummary], boot: str) -> None:
        """Spans that finished, in order, and calls that ended with them. `boot`: of which start of the
        signalling process they are; after a crash also of an earlier one.
        """

    def held_bytes(self) -> int:
        """About how much of the file is its own: retention must not delete calls for it."""

    def maintain(self, now_ns: int) -> bool:
        """A little housekeeping, within a transaction. True: there is more to do."""


MakeOutbox = Callable[[sqlite3.Connection], Outbox]  # called whenever the file is opened; makes its tables


class WireMessage(Protocol):
    """What telemetry/wire.py reads of a message."""

    @property
    def start(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def cseq(self) -> int: ...
    @property
    def status(self) -> int: ...
    @property
    def call_id(self) -> str: ...
    @property
    def text(self) -> str: ...


class Wire(Protocol):
    """Masks messages."""

    def read(self, data: bytes) -> WireMessage | None:
        """None where it is no SIP message."""
