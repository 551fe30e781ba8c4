"""SIP messages on their way into the store: whose they are, masked, those of one call together in one row.

A message finds its call by its Call-ID. Where the call is not known yet it waits for the next commit: a
parcel may end between a message and what the proxy made of it. One that belongs to no call is dropped.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from ..telemetry.parcel import Message
from ..telemetry.wire import call_id_of
from . import StoredMessage, Wire
from .names import Keys
from .packing import Packer
from .summary import CallSummary

INDEX_BITS = 8  # of a message's number: which of its row it is
_IN_ROW = 64
_VALUES = 13  # of a message in its row
_MOST_WAITING = 2000
MOST_OF_ONE = 5000  # of one call: whoever knows its Call-ID can send more, and nobody reads as many
_SLACK_NS = 2_000_000  # by which a message may be older than the call it begins

Row = tuple[int, int, bytes, bytes | None]  # call, count, data, raw


class Prepared(NamedTuple):
    """What a commit writes, and what waits for the next one."""

    rows: list[Row]
    waiting: list[Message]
    kept: int
    dropped: int
    unreadable: int


class Ladders:
    """Knows the Call-IDs of live calls."""

    def __init__(self, wire: Wire, keys: Keys, *, raw: bool) -> None:
        self._wire = wire
        self._keys = keys
        self._raw = raw
        self._calls: dict[int, list[tuple[int, int]]] = {}  # by key: when a call began, its number
        self._known: dict[int, tuple[int, tuple[int, ...]]] = {}  # by number: when it began, its keys
        self._stored: dict[int, int] = {}  # by number: messages
        self._waiting: list[Message] = []
        self._seen = 0  # messages: those of one moment stay in their order, also across calls

    def know(self, calls: Iterable[CallSummary]) -> None:
        """These are live, or were a moment ago."""
        for call in calls:
            began_ns, keys = self._known.get(call.number, (call.began_ns, ()))
            if began_ns == call.began_ns and keys == call.call_keys:
                continue
            stored = self._stored.get(call.number, 0)
            self.forget([call])
            self._stored[call.number] = stored
            for key in call.call_keys:
                insort(self._calls.setdefault(key, []), (call.began_ns, call.number))
            self._known[call.number] = call.began_ns, call.call_keys

    def forget(self, calls: Iterable[CallSummary]) -> None:
        """Nothing more will come for these."""
        for call in calls:
            began_ns, keys = self._known.pop(call.number, (0, ()))
            self._stored.pop(call.number, None)
            for key in keys:
                entries = self._calls[key]
                del entries[bisect_left(entries, (began_ns, call.number))]
                if not entries:
                    del self._calls[key]

    def prepare(self, messages: list[Message], packer: Packer) -> Prepared:
        """Mask what is anybody's. Nothing is noted before `wrote`."""
        found: dict[int, list[tuple[Message, list[object]]]] = {}
        waiting: list[Message] = []
        dropped = unreadable = 0
        late = len(self._waiting)
        for order, message in enumerate(chain(self._waiting, messages)):
            owner = self._owner(message)
            if owner is None:
                if order < late or len(waiting) >= _MOST_WAITING:
                    dropped += 1
                else:
                    waiting.append(message)
                continue
            number, key = owner
            if self._stored.get(number, 0) + len(found.get(number, ())) >= MOST_OF_ONE:
                dropped += 1
                continue
            read = self._wire.read(message.data)
            if read is None:
                unreadable += 1
                continue
            values = [*message[:-1], read.start, read.method, read.cseq, read.status, read.call_id, read.text]
            found.setdefault(number, []).append((message, [*values, key, self._seen + order]))
        rows = [row for number, entries in found.items() for row in self._rows(number, entries, packer)]
        self._seen += late + len(messages)
        return Prepared(rows, waiting, sum(row[1] for row in rows), dropped, unreadable)

    def wrote(self, prepared: Prepared) -> None:
        """It is in the store."""
        for number, count, _, _ in prepared.rows:
            if number in self._known:
                self._stored[number] = self._stored.get(number, 0) + count
        self._waiting = prepared.waiting

    def _owner(self, message: Message) -> tuple[int, int] | None:
        """The number of the call, and the key of the Call-ID."""
        call_id = call_id_of(message.data)
        key = self._keys(call_id) if call_id else 0
        entries = self._calls.get(key)
        if not entries:
            return None
        behind = bisect_left(entries, (message.at_ns + _SLACK_NS, 0))
        return entries[max(0, behind - 1)][1], key

    def _rows(
        self, number: int, entries: list[tuple[Message, list[object]]], packer: Packer
    ) -> Iterator[Row]:
        for start in range(0, len(entries), _IN_ROW):
            part = entries[start : start + _IN_ROW]
            raw = None
            if self._raw:
                raw = packer.pack([message.data.decode("latin-1") for message, _ in part])
            yield number, len(part), packer.pack([values for _, values in part]), raw


def stored(packer: Packer, row: int, data: bytes, call: CallSummary) -> Iterator[StoredMessage]:
    """The messages of a row. ValueError: it is damaged."""
    values = packer.unpack(data)
    if not isinstance(values, list):
        raise ValueError("no list")
    for index, value in enumerate(values):
        if not isinstance(value, list) or len(value) != _VALUES:
            raise ValueError("no message")
        at_ns, sent, transport, peer, ours, start, method, cseq, status, call_id, text, key, order = value
        yield StoredMessage(
            n=row << INDEX_BITS | index,
            at_ns=at_ns,
            sent=sent,
            transport=transport,
            peer=peer,
            ours=ours,
            start=start,
            method=method,
            cseq=cseq,
            status=status,
            call_id=call_id,
            text=text,
            number=call.number,
            root_id=call.root_id,
            call_key=key,
            order=order,
        )


def raw_of(packer: Packer, data: bytes, n: int) -> bytes | None:
    """Message `n` of its row, as it was on the wire."""
    texts = packer.unpack(data)
    index = n & ((1 << INDEX_BITS) - 1)
    if not isinstance(texts, list) or index >= len(texts) or not isinstance(texts[index], str):
        return None
    return str(texts[index]).encode("latin-1")
