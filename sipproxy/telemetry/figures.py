"""All that has been counted since the start, and a picture of it in plain values.

What comes with a word outside its closed set is counted under `_OTHER`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from ..b2bua.settings import TrunkSettings
from .families import (
    CARRIERS,
    CLASSES,
    DECISIONS,
    DIRECTIONS,
    FAMILY,
    INCIDENTS,
    METHODS,
    NONE,
    OTHER,
    REASONS,
    REFER_CARRIERS,
    REJECTIONS,
    RESULTS,
    TRANSFER_KINDS,
    TRANSFER_MODES,
    TRANSFER_OUTCOMES,
    TRANSFER_STAGES,
    UNKNOWN,
    WEBHOOK_RESULTS,
)
from .histogram import Histogram, Picture
from .tally import Tally

Labels = tuple[str, ...]
Counter = dict[Labels, float]
MessageKey = tuple[str, bool, str]  # word, whether it was sent, trunk

_MOST_TRUNKS = 4096  # names over all reloads of the configuration
_WORDS = frozenset((*METHODS, *CLASSES))
_SUCCESS, _FAILURE = RESULTS
_RECEIVED, _SENT = DIRECTIONS


class Snapshot(TypedDict):
    """By the names of families, then by the values of their labels in their order. Of a trunk what is zero is
    left out.
    """

    values: dict[str, Counter]
    histograms: dict[str, dict[Labels, Picture]]


class Figures:
    """Cumulative, and bounded by the configuration alone."""

    __slots__ = (
        "_carriers",
        "_contexts",
        "_incidents",
        "_other",
        "_rejected",
        "_returned",
        "_tallies",
        "_transfers",
        "_trunks",
        "_webhook",
        "delay",
        "down",
        "messages",
        "parse_errors",
    )

    def __init__(self) -> None:
        self._other = Tally(OTHER)
        unknown = Tally(UNKNOWN)
        self._tallies = {UNKNOWN: unknown, "": unknown}
        self._trunks: Mapping[str, TrunkSettings] = {}
        self._carriers = set(CARRIERS)
        self._contexts: dict[Labels, int] = {}
        self._returned: Counter = {}
        self._incidents: Counter = {}
        self._transfers: Counter = {}
        self._rejected: Counter = {(reason,): 0 for reason in REJECTIONS}
        self._webhook: Counter = {(result,): 0 for result in WEBHOOK_RESULTS}
        self.delay = Histogram(FAMILY["sipproxy_delay_seconds"].bounds)
        self.messages: dict[MessageKey, int] = {}
        self.parse_errors = 0
        self.down: set[str] = set()

    def know(self, trunks: Mapping[str, TrunkSettings]) -> None:
        """These are the trunks from now on. What others have counted stays."""
        for name, settings in trunks.items():
            if name not in self._tallies and len(self._tallies) < _MOST_TRUNKS:
                self._tallies[name] = Tally(name)
            self._carriers.update(alias.lower() for alias in settings.trace.aliases)
            known = self._trunks.get(name)
            if known is None or known.address != settings.address:
                self.down.discard(name)
        self._trunks = dict(trunks)

    def tally(self, trunk: str) -> Tally:
        """A trunk's figures, by the name that facts give."""
        return self._tallies.get(trunk) or self._other

    # What has labels of its own

    def context(self, trunk: str, carrier: str, decision: str, rejected: str) -> None:
        """A request has begun something."""
        key, contexts = (trunk, carrier, decision, rejected), self._contexts
        if key in contexts:
            contexts[key] += 1
            return
        trunk = trunk if trunk in self._tallies else OTHER
        carrier = carrier if carrier in self._carriers else OTHER
        decision = decision if decision in DECISIONS else OTHER
        rejected = rejected if not rejected or rejected in REASONS else OTHER
        key = (trunk, carrier, decision, rejected)
        contexts[key] = contexts.get(key, 0) + 1

    def returned(self, trunk: str, carrier: str) -> None:
        """A carrier of a REFER has come back."""
        _add(self._returned, (self.tally(trunk).name, _one_of(REFER_CARRIERS, carrier)))

    def transferred(self, kind: str, mode: str, outcome: str, stage: str) -> None:
        """A transfer has come to its end."""
        kind, mode = _one_of(TRANSFER_KINDS, kind), _one_of(TRANSFER_MODES, mode)
        outcome, stage = _one_of(TRANSFER_OUTCOMES, outcome), _one_of(TRANSFER_STAGES, stage or NONE)
        _add(self._transfers, (kind, mode, outcome, stage))

    def rejected(self, reason: str) -> None:
        """We refused a request."""
        _add(self._rejected, (_one_of(REJECTIONS, reason),))

    def incident(self, kind: str, trunk: str) -> None:
        """Something went wrong."""
        _add(self._incidents, (_one_of(INCIDENTS, kind), self.tally(trunk).name))

    def consulted(self, result: str) -> None:
        """The routing webhook was asked."""
        _add(self._webhook, (_one_of(WEBHOOK_RESULTS, result),))

    # The picture

    def snapshot(self, offset: float) -> Snapshot:
        """Everything, as marshal takes it. `offset` makes of the core's time that since 1970."""
        tallies = [*self._tallies.values(), self._other]
        del tallies[0]  # it is there twice
        values: dict[str, Counter] = {
            "sip_calls_total": _by_word(tallies, "calls"),
            "sip_calls_active": _by_word(tallies, "active"),
            "sip_dialogs_active": _by_word(tallies, "dialogs"),
            "sip_attempts_total": _by_word(tallies, "attempts"),
            "sip_retransmissions_total": {
                (tally.name, direction): count
                for tally in tallies
                for direction, count in zip(DIRECTIONS, tally.retransmissions, strict=True)
                if count
            },
            "sip_transfers_total": dict(self._transfers),
            "sip_trace_contexts_total": _contexts(self._contexts),
            "sip_trace_refer_carriers_total": dict(self._returned),
            "sip_messages_total": self._messages(),
            "sip_parse_errors_total": {(): self.parse_errors},
            "sip_rejected_total": dict(self._rejected),
            "sip_incidents_total": dict(self._incidents),
            "sipproxy_webhook_total": dict(self._webhook),
            "sipproxy_trunk_up": {(name,): name not in self.down for name in self._trunks},
        }
        return {"values": values, "histograms": self._histograms(tallies, offset)}

    def _messages(self) -> Counter:
        counter: Counter = {}
        for (word, sent, trunk), count in self.messages.items():
            key = (word if word in _WORDS else OTHER, _SENT if sent else _RECEIVED, self.tally(trunk).name)
            counter[key] = counter.get(key, 0) + count
        return counter

    def _histograms(self, tallies: list[Tally], offset: float) -> dict[str, dict[Labels, Picture]]:
        found: dict[str, dict[Labels, Picture]] = {
            "sip_session_request_delay_seconds": {},
            "sip_session_duration_seconds": {},
            "sip_session_disconnect_delay_seconds": {},
            "sip_attempt_delay_seconds": {},
            "sipproxy_delay_seconds": {},
        }

        def add(family: str, labels: Labels, histogram: Histogram) -> None:
            picture = histogram.picture(offset)
            if picture is not None:
                found[family][labels] = picture

        add("sipproxy_delay_seconds", (), self.delay)
        for tally in tallies:
            for family, delay in (
                ("sip_session_request_delay_seconds", tally.request_delay),
                ("sip_attempt_delay_seconds", tally.attempt_delay),
                ("sip_session_disconnect_delay_seconds", tally.disconnect_delay),
            ):
                add(family, (tally.name, _SUCCESS), delay.success)
                add(family, (tally.name, _FAILURE), delay.failure)
            for leg, durations in tally.durations.items():
                add("sip_session_duration_seconds", (tally.name, leg), durations)
        return found


def _one_of(values: Labels, word: str) -> str:
    return word if word in values else OTHER


def _add(counter: Counter, key: Labels) -> None:
    counter[key] = counter.get(key, 0) + 1


def _by_word(tallies: list[Tally], what: str) -> Counter:
    words: list[tuple[str, dict[str, int]]] = [(tally.name, getattr(tally, what)) for tally in tallies]
    return {(name, word): count for name, counts in words for word, count in counts.items() if count}


def _contexts(contexts: Mapping[Labels, int]) -> Counter:
    counter: Counter = {}
    for (trunk, carrier, decision, rejected), count in contexts.items():
        key = (trunk or UNKNOWN, carrier, decision, rejected or NONE)
        counter[key] = counter.get(key, 0) + count
    return counter
