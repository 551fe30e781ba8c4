"""Stored spans once more to the collectors, whether the proxy runs or not: the store is only read.

What is sent is what was exported, or would have been: calls that are sampled and that `tracing.keep` keeps,
each under the start of the proxy that it was of. A collector that has them already gets them twice; most
take the second one for the first.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..errors import ConfigurationError
from ..telemetry.answers import Fault, Outcome, Refusal
from ..telemetry.encode import Envelope, encode_span
from ..telemetry.otlp import Outlet, targets
from ..telemetry.record import SpanRecord
from ..telemetry.resource import envelope_for
from ..telemetry.settings import TracingSettings
from .outbox import ROW_BYTES, SAMPLED, rows_of
from .place import Place
from .reader import Reader
from .schema import connect_to_read
from .sieve import Sieve
from .tail import STRONG, Tail, touched

_WAITS_S = (0.5, 1.0, 2.0, 4.0)  # between the attempts of one request
_LONGEST_RETRY_AFTER_S = 30.0

Call = list[tuple[str, SpanRecord]]  # each span with the start of the proxy that made it


class Replayed(NamedTuple):
    """Spans and calls that arrived, added up over the destinations."""

    spans: int = 0
    calls: int = 0  # that were read
    refused: int = 0  # spans that a collector did not want
    failed: int = 0  # spans that did not arrive
    reason: str = ""  # why they did not


def replay(
    place: Place,
    tracing: TracingSettings,
    since_ns: int,
    until_ns: int,
    to: str | None,  # a destination; None: all of them
    *,
    version: str,
    region: str | None,
    progress: Callable[[int], None] = lambda _: None,  # told how many spans have arrived
    wait: Callable[[float], None] = time.sleep,
) -> Replayed:
    """Send the calls that began in that time. Raises ConfigurationError, StoreError."""
    envelopes = _Envelopes(place, lambda boot: envelope_for(tracing, version, region, boot))
    reader = Reader(place)
    with contextlib.ExitStack() as stack:
        stack.callback(reader.close)
        outlets = [Outlet(target) for target in targets(tracing) if to in (None, target.name)]
        if not outlets:
            known = ", ".join(target.name for target in targets(tracing)) or "none"
            raise ConfigurationError([f"tracing: no destination {to or ''!r}; there is {known}"])
        for outlet in outlets:
            stack.callback(outlet.close)
        senders = [_Sender(outlet, tracing.batch, envelopes, wait) for outlet in outlets]
        calls = 0
        for call in _kept(reader, tracing, since_ns, until_ns):
            calls += 1
            for sender in senders:
                sender.put(call)
            progress(sum(sender.arrived for sender in senders))
        for sender in senders:
            sender.flush()
        progress(sum(sender.arrived for sender in senders))
    return Replayed(
        sum(sender.arrived for sender in senders),
        calls,
        sum(sender.refused for sender in senders),
        sum(sender.failed for sender in senders),
        "; ".join(sender.reason for sender in senders if sender.reason),
    )


def _kept(reader: Reader, tracing: TracingSettings, since_ns: int, until_ns: int) -> Iterator[Call]:
    """The calls that tail sampling keeps; what is linked with them is known only when all were seen."""
    tail = None if tracing.keep is None else Tail(tracing.keep)
    traces: set[str] = set()
    if tail is not None:
        for call in reader.spans(since_ns, until_ns):
            if _reasons(tail, call) & STRONG:
                traces.update(*(touched(span) for _, span in call))
    for call in reader.spans(since_ns, until_ns):
        sampled = [(boot, span) for boot, span in call if span.flags & SAMPLED and span.end_ns]
        if not sampled:
            continue
        if tail is None or _reasons(tail, sampled) or any(touched(span) & traces for _, span in sampled):
            yield sampled


def _reasons(tail: Tail, call: Call) -> int:
    found = 0
    for _, span in call:
        found |= tail.reasons(span)
    return found


class _Envelopes:
    """Those of the outbox, so that nothing is labelled anew; for a start that it has forgotten a new one."""

    def __init__(self, place: Place, make: Callable[[str], Envelope]) -> None:
        self._make = make
        self._known: dict[str, Envelope] = {}
        sql = connect_to_read(place.file)
        if sql is None:
            return
        with contextlib.closing(sql), contextlib.suppress(sqlite3.OperationalError):  # never exported
            for boot, resource, scope in sql.execute("SELECT boot, resource, scope FROM outbox_origins"):
                self._known[boot] = Envelope(resource, scope)

    def of(self, boot: str) -> Envelope:
        if boot not in self._known:
            self._known[boot] = self._make(boot)
        return self._known[boot]


class _Sender:
    """Fills requests, and tries each a few times. After one that did not arrive it only counts."""

    def __init__(
        self, outlet: Outlet, most: int, envelopes: _Envelopes, wait: Callable[[float], None]
    ) -> None:
        self.arrived = self.refused = self.failed = 0
        self.reason = ""
        self._outlet = outlet
        self._most = most
        self._envelopes = envelopes
        self._wait = wait
        self._boot = ""
        self._spans: list[bytes] = []

    def put(self, call: Call) -> None:
        for boot, span in call:
            if boot != self._boot or len(self._spans) >= self._most:
                self.flush()
                self._boot = boot
            self._spans.append(encode_span(span))

    def flush(self) -> None:
        spans, self._spans = self._spans, []
        for row in rows_of(spans, self._most, ROW_BYTES):
            if self.reason:
                self.failed += len(row)
            else:
                self._send(row)

    def _send(self, spans: list[bytes]) -> None:
        sieve, rejected = Sieve(spans, random.shuffle), 0
        while group := sieve.group:
            answer = self._try(group)
            if not isinstance(answer, Refusal):
                rejected += min(answer.rejected, len(group)) if answer is not None else 0
                sieve.taken()
            elif answer.fault in (Fault.DATA, Fault.SIZE):
                sieve.refused(answer.reason)
                if sieve.is_hopeless:
                    self._give_up(answer)
            else:
                self._give_up(answer)
                break
        aside = 0 if self.reason else len(sieve.aside)
        self.arrived += sieve.taken_count - rejected
        self.refused += rejected + aside
        self.failed += len(spans) - sieve.taken_count - aside

    def _try(self, group: list[bytes]) -> Outcome:
        """What time may change is tried again."""
        envelope = self._envelopes.of(self._boot)
        for wait_s in _WAITS_S:
            answer = self._outlet.send(envelope, group)
            if not isinstance(answer, Refusal) or answer.fault is not Fault.AWAY:
                return answer
            self._wait(max(wait_s, min(answer.retry_after_s, _LONGEST_RETRY_AFTER_S)))
        return self._outlet.send(envelope, group)

    def _give_up(self, refusal: Refusal) -> None:
        self.reason = f"{self._outlet.name}: {refusal.reason}"
