"""An outbox in a file, spans to put into it, and what its destinations would get, for tests."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sipproxy.store.cursor import Batch, Cursor
from sipproxy.store.outbox import Outbox, outbox_of
from sipproxy.store.settings import StoreSettings
from sipproxy.store.summary import CallSummary
from sipproxy.telemetry.answers import Outcome
from sipproxy.telemetry.encode import Envelope
from sipproxy.telemetry.record import SERVER, SpanRecord
from sipproxy.telemetry.settings import DestinationSettings, KeepSettings, TracingSettings

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Keeper:
    """As far as the outbox needs one: it has the connection, and the transactions."""

    def __init__(
        self,
        file: Path,
        *further: str,
        keep: KeepSettings | None = None,
        batch: int = 512,
        unsent_mb: int = 1024,
        main: bool = True,
    ) -> None:
        tracing = TracingSettings(
            exporter=None if main else "none",  # type: ignore[arg-type]  # its text is as good
            endpoint="http://127.0.0.1:1",
            destinations={name: DestinationSettings("http://127.0.0.1:1") for name in further},
            keep=keep,
            batch=batch,
        )
        self.sql = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self.sql.execute("PRAGMA journal_mode = WAL")
        self.sql.execute("PRAGMA synchronous = NORMAL")
        store = StoreSettings(unsent_mb=unsent_mb)
        with self:
            self.box: Outbox = outbox_of(tracing, store, version="0.1.0", region=None)(self.sql)

    def __enter__(self) -> None:
        self.sql.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.sql.execute("COMMIT" if kind is None else "ROLLBACK")

    def add(self, records: Sequence[SpanRecord], *ended: str, boot: str = "boot-1") -> None:
        """Spans, and the root ids of calls that are over."""
        with self:
            self.box.add([*records], [CallSummary(1, root_id, TRACE, 0) for root_id in ended], boot)

    def maintain(self, after_s: float = 0.0) -> None:
        """Until there is nothing more to do."""
        more = True
        while more:
            with self:
                more = self.box.maintain(time.time_ns() + int(after_s * 1e9))

    def count(self, table: str) -> int:
        found: tuple[int] = self.sql.execute(f"SELECT count(*) FROM outbox_{table}").fetchone()
        return found[0]

    def close(self) -> None:
        self.sql.close()


def spans(numbers: Sequence[int], size: int = 0) -> list[SpanRecord]:
    """Spans that can be told apart by `sip.cseq`; sampled, each of a call of its own."""
    return [
        span(f"{n + 1:016x}", attributes={"sip.cseq": n, **({"sip.trunk": "x" * size} if size else {})})
        for n in numbers
    ]


def span(span_id: str, root_id: str = "", **changes: object) -> SpanRecord:
    record = SpanRecord(
        TRACE,
        span_id,
        "",
        1,
        "",
        "INVITE",
        SERVER,
        10**18,
        10**18 + 1,
        False,
        {},
        (),
        0,
        (),
        root_id or span_id,
    )
    return record._replace(**changes)  # type: ignore[arg-type]  # each test names its own


def numbers_in(batch: Batch) -> list[int]:
    """`sip.cseq` of its spans."""
    return numbers_of(batch.envelope, batch.spans)


def numbers_of(envelope: Envelope, encoded: Sequence[bytes]) -> list[int]:
    request = ExportTraceServiceRequest.FromString(envelope.around(encoded))
    (group,) = request.resource_spans
    (scope,) = group.scope_spans
    return [value.value.int_value for s in scope.spans for value in s.attributes if value.key == "sip.cseq"]


def instance_in(batch: Batch) -> str:
    """Which start of the proxy made them."""
    request = ExportTraceServiceRequest.FromString(batch.envelope.around(batch.spans))
    (found,) = [a for a in request.resource_spans[0].resource.attributes if a.key == "service.instance.id"]
    return str(found.value.string_value)


def taken_by(file: Path, name: str = "main", most: int = 512, room: int = 1_000_000) -> list[int]:
    """All that this destination has not got yet; from now on it has."""
    cursor = Cursor(file, name)
    taken: list[int] = []
    assert cursor.open()
    while (batch := cursor.next(most, room)) is not None:
        taken += numbers_in(batch)
        cursor.arrived(batch)
    cursor.close()
    return taken


class Scripted:
    """A sender that answers as told, and notes what arrived, and when."""

    def __init__(self, *answers: Outcome, name: str = "main") -> None:
        self.name = name
        self.endpoint = "http://collector.example:4318"
        self.answers = [*answers]
        self.sent: list[list[int]] = []  # every request
        self.arrived: list[int] = []
        self.is_closed = False

    def send(self, envelope: Envelope, encoded: list[bytes]) -> Outcome:
        numbers = numbers_of(envelope, encoded)
        self.sent.append(numbers)
        outcome = self.judge(numbers)
        if not isinstance(outcome, Exception):
            self.arrived += numbers
        return outcome

    def judge(self, numbers: list[int]) -> Outcome:
        return self.answers.pop(0) if self.answers else None

    def close(self) -> None:
        self.is_closed = True
