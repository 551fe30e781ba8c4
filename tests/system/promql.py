"""What PromQL names, held against the table of our metrics: a typing error finds nothing and is silent."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sipproxy.telemetry.families import FAMILY, Family, Kind

# What Prometheus, the configuration of its scrapes, or a rule adds to a series.
ADDED = {"instance", "job", "region", "quantile"}
_SELECTOR = re.compile(r"(?<![:\w])(sip_\w+|sipproxy_\w+)(?:\{([^}]*)\})?(?!\w*:)")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_SUFFIXES = ("_bucket", "_count", "_sum")


def family_of(name: str) -> Family | None:
    """Whose series have that name."""
    for suffix in _SUFFIXES:
        found = FAMILY.get(name.removesuffix(suffix))
        if name.endswith(suffix) and found is not None and found.kind is Kind.HISTOGRAM:
            return found
    found = FAMILY.get(name)
    return None if found is not None and found.kind is Kind.HISTOGRAM else found


def faults(promql: str) -> Iterator[str]:
    """Metrics, labels and values of labels that we do not have."""
    known = {"le", *ADDED}
    for name, matchers in _SELECTOR.findall(promql):
        family = family_of(name)
        if family is None:
            yield f"no metric {name}"
            continue
        labels = {label.name: label.values for label in family.labels}
        known |= set(labels)
        for label, operator, value in _MATCHER.findall(matchers):
            if label not in labels and label not in ADDED:
                yield f"{name} has no label {label}"
            elif labels.get(label) and "$" not in value:
                yield from _not_a_value(name, label, operator, value, labels[label])
    if "otelcol_" not in promql and _SELECTOR.search(promql):
        for labels_ in _GROUPING.findall(promql):
            for label in re.findall(r"\w+", labels_):
                if label not in known:
                    yield f"nothing here has a label {label}"


def _not_a_value(name: str, label: str, operator: str, value: str, values: tuple[str, ...]) -> Iterator[str]:
    for word in value.split("|") if "~" in operator else [value]:
        if not any(re.fullmatch(word, one) for one in values):
            yield f"{name}: {label} is never {word}"
