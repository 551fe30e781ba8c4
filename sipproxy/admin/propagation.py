"""The health of trace propagation per trunk: by which carriers contexts arrive, what is made of them, why
some are refused, and which of those in a REFER come back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..telemetry.families import CARRIERS, DECISIONS, NONE, REASONS, REFER_CARRIERS

Counts = dict[str, int]
Matrix = dict[str, dict[str, dict[str, Any]]]  # `trunks`; then arrived, rejected, returned by a trunk's name

_NAME, _CARRIER, _NUMBERS = 15, 20, (9, 10, 8, 8, 10)  # columns, of 80
_HEAD = ("trunk", "carrier", *DECISIONS, "came back")


def matrix(states: Iterable[Mapping[str, Any]]) -> Matrix:
    """What the workers' states say: the body of `/api/propagation`."""
    trunks: dict[str, dict[str, Any]] = {}

    def of(trunk: str) -> dict[str, Any]:
        return trunks.setdefault(trunk, {"arrived": {}, "rejected": {}, "returned": {}})

    for state in states:
        values = state["meter"]["values"]
        for (trunk,) in values["sipproxy_trunk_up"]:
            of(trunk)
        for (trunk, carrier, decision, reason), count in values["sip_trace_contexts_total"].items():
            _add(of(trunk)["arrived"].setdefault(carrier, {}), decision, count)
            if reason != NONE:
                _add(of(trunk)["rejected"], reason, count)
        for (trunk, carrier), count in values["sip_trace_refer_carriers_total"].items():
            _add(of(trunk)["returned"], carrier, count)
    for figures in trunks.values():
        arrived = _in_order(figures["arrived"], CARRIERS)
        figures["arrived"] = {carrier: _in_order(counts, DECISIONS) for carrier, counts in arrived.items()}
        figures["rejected"] = _in_order(figures["rejected"], REASONS)
        figures["returned"] = _in_order(figures["returned"], REFER_CARRIERS)
    return {"trunks": trunks}


def table(body: Mapping[str, Any]) -> str:
    """The same for a terminal of 80 columns."""
    lines = [_line(*_HEAD)]
    for trunk, figures in body["trunks"].items():
        arrived, returned, rejected = figures["arrived"], figures["returned"], figures["rejected"]
        name = trunk
        for carrier in _in_order({**arrived, **returned}, CARRIERS) or (NONE,):
            counts = arrived.get(carrier, {})
            cells = [_short(counts.get(decision, 0)) for decision in DECISIONS]
            back = _short(returned.get(carrier, 0)) if carrier in REFER_CARRIERS else ""
            lines.append(_line(name, carrier, *cells, back))
            name = ""
        for reason, count in rejected.items():
            lines.append(_line("", f"refused {reason}", _short(count)))
    return "\n".join(lines) + "\n"


def _add(counts: Counts, key: str, count: int) -> None:
    counts[key] = counts.get(key, 0) + count


def _in_order(counts: dict[str, Any], order: tuple[str, ...]) -> dict[str, Any]:
    """Those that are in none of our lists, an alias of the configuration say, come last."""
    known = {key: counts[key] for key in order if key in counts}
    return known | dict(sorted(counts.items()))


def _line(name: str, carrier: str, *numbers: str) -> str:
    cells = [f"{text:>{width}}" for text, width in zip(numbers, _NUMBERS, strict=False)]
    return "".join([_cut(name, _NAME), _cut(carrier, _CARRIER), *cells]).rstrip()


def _cut(text: str, width: int) -> str:
    """A column, with a blank behind it."""
    return f"{text if len(text) < width else text[: width - 2] + '~':<{width}}"


def _short(count: float) -> str:
    """At most seven characters."""
    if not count:
        return "-"
    for unit in ("", "k", "M", "G", "T"):
        if count < 100_000:
            return f"{count:.0f}{unit}"
        count /= 1000
    return f"{count:.0f}P"
