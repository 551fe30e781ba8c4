"""What Prometheus reads at `/metrics`: the figures of the workers as they told them last, and the observer's.

The workers count (`telemetry/meter.py`), so that a restart of the observer loses nothing; what the observer
counts itself begins anew then, as any counter may. Exemplars are in the OpenMetrics format alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, product
from typing import Any

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, exposition
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from ..telemetry.families import FAMILIES, HEP_RESULTS, UNKNOWN, Family, Kind
from ..telemetry.figures import Counter, Labels
from ..telemetry.histogram import Picture

State = Mapping[str, Any]  # of one worker: `meter`, `draining`, `loop_lag_s`, `tap_dropped`, `handover`

# Of several workers; all else is added up.
_GREATEST = (
    "sipproxy_loop_lag_seconds",
    "sipproxy_draining",
    "sip_peer_rtt_seconds",
    "sipproxy_start_time_seconds",
)
_LEAST = (
    *("sipproxy_trunk_up", "sipproxy_config_reload_success", "sipproxy_config_reload_time_seconds"),
    "sipproxy_certificate_expiry_time_seconds",
)
_FIGURES = {  # of destinations, as forwarders name them
    "exported": "sipproxy_spans_exported_total",
    "dropped": "sipproxy_spans_dropped_total",
    "refused": "sipproxy_spans_refused_total",
    "queued": "sipproxy_spans_queued",
    "failures": "sipproxy_export_failures_total",
}


def _nothing() -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Parts:
    """Who is asked, each time somebody reads: forwarders by their destinations' names, the keeper, the HEP
    emitter.
    """

    workers: Callable[[], Iterable[State]]
    destinations: Callable[[], Mapping[str, Mapping[str, Any]]] = _nothing
    store: Callable[[], Mapping[str, Any]] = _nothing
    hep: Callable[[], Mapping[str, Any]] = _nothing


class Metrics:
    """All families, made anew for each reader; any thread may ask."""

    def __init__(self, parts: Parts, *, version: str, region: str) -> None:
        self._parts = parts
        self._build = {"version": version, "region": region}

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Body and content type, as an Accept header wants them."""
        page = _Page(self._families())
        if "application/openmetrics-text" in accept:
            body: bytes = openmetrics.generate_latest(page)  # type: ignore[no-untyped-call]  # it has no types
            return body, openmetrics.CONTENT_TYPE_LATEST
        return exposition.generate_latest(page), CONTENT_TYPE_PLAIN_0_0_4

    def _families(self) -> Iterator[Metric]:
        states = [*self._parts.workers()]
        values = _added_up(states)
        values |= self._of_the_observer()
        histograms = _joined(states)
        trunks = [labels[0] for labels in values.get("sipproxy_trunk_up", ())]
        for family in FAMILIES:
            if family.kind is Kind.INFO:
                yield InfoMetricFamily(family.name.removesuffix("_info"), family.text, self._build)
            elif family.kind is Kind.HISTOGRAM:
                yield _histogram(family, histograms.get(family.name, {}))
            else:
                yield _plain(family, {**_zeros(family, trunks), **values.get(family.name, {})})

    def _of_the_observer(self) -> dict[str, Counter]:
        values: dict[str, Counter] = {name: {} for name in _FIGURES.values()}
        for destination, figures in self._parts.destinations().items():
            for figure, name in _FIGURES.items():
                if figure in figures:
                    values[name][destination,] = figures[figure]
        hep, store = self._parts.hep(), self._parts.store()
        values["sipproxy_hep_messages_total"] = {(result,): hep[result] for result in HEP_RESULTS if hep}
        values["sipproxy_store_bytes"] = {(): store["bytes"]} if store else {}
        values["sipproxy_store_failures_total"] = {(): store["failures"]} if store else {}
        return values


class _Page(Collector):
    """As prometheus_client wants to be given families."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Each once."""
        return self._families


# Several workers, one page


def _of_worker(state: State) -> dict[str, Counter]:
    """What a worker's state says beside its meter."""
    handover = state.get("handover", {})
    spans, messages = handover.get("spans_dropped", 0), handover.get("messages_dropped", 0)
    return {
        **state.get("figures", {}),
        "sipproxy_loop_lag_seconds": {(): state.get("loop_lag_s", 0.0)},
        "sipproxy_draining": {(): state.get("draining", False)},
        "sipproxy_worker_restarts_total": {(): handover.get("restarts", 0)},
        "sipproxy_handover_dropped_total": {
            ("spans",): spans,
            ("messages",): messages + state.get("tap_dropped", 0),
        },
    }


def _added_up(states: Iterable[State]) -> dict[str, Counter]:
    total: dict[str, Counter] = {}
    for state in states:
        for name, counter in {**state["meter"]["values"], **_of_worker(state)}.items():
            into = total.setdefault(name, {})
            for labels, value in counter.items():
                if labels not in into:
                    into[labels] = value
                elif name in _GREATEST:
                    into[labels] = max(into[labels], value)
                elif name in _LEAST:
                    into[labels] = min(into[labels], value)
                else:
                    into[labels] += value
    return total


def _joined(states: Iterable[State]) -> dict[str, dict[Labels, Picture]]:
    total: dict[str, dict[Labels, Picture]] = {}
    for state in states:
        for name, pictures in state["meter"]["histograms"].items():
            into = total.setdefault(name, {})
            for labels, picture in pictures.items():
                into[labels] = _both(into[labels], picture) if labels in into else picture
    return total


def _both(one: Picture, other: Picture) -> Picture:
    """Counts and sums together, and of two exemplars the younger."""
    counts = [mine + theirs for mine, theirs in zip(one[0], other[0], strict=True)]
    exemplars = [
        max((kept for kept in pair if kept is not None), key=lambda kept: kept[3], default=None)
        for pair in zip(one[2], other[2], strict=True)
    ]
    return counts, one[1] + other[1], exemplars


# Families


def _zeros(family: Family, trunks: list[str]) -> Counter:
    """Of what a trunk may count one day: without a zero before it a rate would miss the first one."""
    names = [label.name for label in family.labels]
    if family.name == "sip_peer_rtt_seconds":  # nobody has measured it yet
        return {}
    if trunks and family.name == "sip_rejected_total":
        return {(word,): 0 for word in family.labels[0].values}
    if "trunk" not in names or len(names) > 2:
        return {}
    known = [*trunks, UNKNOWN] if family.kind is Kind.COUNTER and trunks else trunks
    return {labels: 0 for labels in product(*(label.values or known for label in family.labels))}


def _plain(family: Family, counter: Counter) -> Metric:
    make = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = make(family.name, family.text, labels=[label.name for label in family.labels])
    for labels, value in counter.items():
        metric.add_metric(labels, float(value))
    return metric


def _histogram(family: Family, pictures: Mapping[Labels, Picture]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.text, labels=[label.name for label in family.labels])
    bounds = [*map(floatToGoString, family.bounds), "+Inf"]
    for labels, (counts, total, exemplars) in pictures.items():
        buckets: list[Any] = []
        for bound, count, kept in zip(bounds, accumulate(counts), exemplars, strict=True):
            if kept is None:
                buckets.append((bound, count))
                continue
            trace_id, span_id, value, at = kept
            marks = {"trace_id": trace_id, "span_id": span_id}
            buckets.append((bound, count, Exemplar(marks, value, round(at, 3))))
        metric.add_metric(labels, buckets, total)
    return metric
