"""From what both ends of the HTTP requests saw to a verdict on the load balancer."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from ..sip.flow import join_host
from .asking import Exchange, HttpPlan
from .fates import Fate, Finding, Judged, Problem, Row, judge
from .messages import SIGN
from .report import Report

CARRIERS = {
    "traceparent": "header",
    "tracestate": "header",
    "baggage": "header",
    "previous-trace-id": "header",
    "x-traceparent": "header",
    "x-interaction-id": "header",
    "letters": "TRACEPARENT, in capitals",
    "tracestate-rows": "tracestate in two rows",
    "traceparent-rows": "traceparent in two rows: a good path passes both, or refuses the request",
    "long-tracestate": "tracestate of 512 characters",
    "long-baggage": "baggage of 8192 characters",
    "underscore": "trace_parent",
}
WANTED = ("traceparent",)
_IN_REQUEST = {  # which request has which carriers
    "trace": (
        "traceparent",
        "tracestate",
        "baggage",
        "previous-trace-id",
        "x-traceparent",
        "x-interaction-id",
    ),
    "letters": ("letters",),
    "rows": ("tracestate-rows", "traceparent-rows"),
    "long tracestate": ("long-tracestate",),
    "long baggage": ("long-baggage",),
    "underscore": ("underscore",),
}
_ORDINARY = frozenset(
    {"host", "user-agent", "accept", "connection", "content-length", "content-type", "accept-encoding"}
)


def report_http(made: list[Exchange], plan: HttpPlan, wanted: list[str]) -> Report:
    """The whole report."""
    report = Report("http", wanted=wanted)
    first = made[0]
    report.problem, text = trouble(first, plan)
    if report.problem:
        report.verdict = [text]
        return report
    report.facts = _facts(first, made)
    known = {exchange.name: exchange for exchange in made}
    for name, carriers in _IN_REQUEST.items():
        report.findings += [_finding(carrier, known.get(name)) for carrier in carriers]
    report.verdict = [*_verdict(report)]
    return report


def trouble(first: Exchange, plan: HttpPlan) -> tuple[Problem | None, str]:
    """A word and a sentence for a path that does not lead back here; None for one that does."""
    if first.complete:
        return None, ""
    told, here = first.told, join_host(plan.host, plan.port)
    where = urlsplit(plan.url).netloc.rpartition("@")[2]
    if told.failed:
        if first.arrivals:
            return Problem.ANSWER_LOST, f"The request came here; of its answer this is left: {told.failed}."
        return told.kind or Problem.SILENT, f"{where}: {told.failed}."
    status = told.status
    if first.arrivals:
        return (
            Problem.ANSWER_LOST,
            f"The request came here and got its 200; its sender was told {status}.",
        )
    if status in (502, 503, 504):
        hint = "" if plan.wait_s else " If it checks first who is up, give it time: --wait 10."
        return (
            Problem.NO_BACK_END,
            f"{where} answers {status} itself: it does not reach the probe at {here}.{hint}",
        )
    if status in (301, 302, 303, 307, 308):
        return (
            Problem.REDIRECTED,
            f"{where} redirects the request ({status}); the probe follows nothing.",
        )
    if status in (401, 403, 407):
        return Problem.REFUSED, f"{where} refuses the request: {status}."
    return (
        Problem.ANSWERED_ELSEWHERE,
        f"{where} answers {status}, but not from the probe: it is not its back end.",
    )


def _finding(carrier: str, exchange: Exchange | None) -> Finding:
    place = CARRIERS[carrier].partition(":")[0]
    if exchange is None:
        return Finding(carrier, place, Fate.UNKNOWN, "not tried")
    if not exchange.arrivals:
        status = exchange.told.status
        if status is not None and status >= 400:
            return Finding(carrier, place, Fate.REFUSED, f"{status} to the whole request")
        return Finding(carrier, place, Fate.UNKNOWN, exchange.told.failed or f"answered with {status}")
    rows = exchange.arrivals[0].rows
    sent = [row for name, row in exchange.sent if name == carrier]
    if len(sent) > 1:
        return Finding(carrier, place, *_twice(sent, rows))
    return Finding(carrier, place, *judge(sent[0].name, sent[0].value, rows))


def _twice(sent: list[Row], rows: list[Row]) -> Judged:
    """Two rows of one name: in this order, joined to one, or only one of them."""
    values = [row.value for row in sent]
    got = [row.value for row in rows if row.key == sent[0].key]
    if got == values:
        return Fate.SURVIVED, "two rows"
    if not got:
        return Fate.STRIPPED, ""
    if len(got) == 1:
        if [part.strip() for part in got[0].split(",")] == values:
            # For tracestate both are the same (W3C 3.3.1.4); two traceparents in one are no traceparent.
            return (Fate.SURVIVED if sent[0].key == "tracestate" else Fate.ALTERED), "joined into one row"
        if got[0] in values:
            return Fate.ALTERED, f"only the {'first' if got[0] == values[0] else 'second'} of two rows"
    return Fate.ALTERED, f"{len(got)} other rows"


def _facts(first: Exchange, made: list[Exchange]) -> dict[str, object]:
    asked = first.arrivals[0]
    sent = {SIGN.lower()} | _ORDINARY
    added = [row.name for row in asked.rows if row.key not in sent]
    repeated = [exchange.name for exchange in made if len(exchange.arrivals) > 1]
    facts: dict[str, object] = {"back_end": asked.version, "added_headers": sorted(set(added))}
    if repeated:
        facts["came_more_than_once"] = repeated
    return facts


def _verdict(report: Report) -> Iterator[str]:
    if report.good:
        yield f"The trace gets through: {', '.join(report.wanted)}."
    else:
        lost = [f"{each.carrier} is {each.fate}" for each in report.missing]
        yield f"Not everything that is wanted gets through: {', '.join(lost)}."
    found = {each.carrier: each for each in report.findings}
    if found["traceparent"].fate is Fate.STRIPPED:
        yield (
            "Something on the way removes it: an empty proxy_set_header, a del-header, a list of headers that"
            " may pass. See docs/load-balancers.md."
        )
    if found["traceparent-rows"].fate is Fate.ALTERED:
        yield "Of two traceparents, which are none, it makes one: leave the header alone, do not set it anew."
    if found["letters"].fate is Fate.RECASED:
        yield "Names of headers change their letters: harmless, HTTP knows no upper and lower case there."
    for carrier in ("long-tracestate", "long-baggage"):
        if found[carrier].fate is Fate.REFUSED:
            yield f"{CARRIERS[carrier]} is refused: its buffer for headers is too small."
    if found["underscore"].fate is Fate.STRIPPED:
        yield "Names with an underscore are dropped: use none."
