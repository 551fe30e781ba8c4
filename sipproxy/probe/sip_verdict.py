"""From what both ends of the calls saw to a verdict on the path."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import RemoteProtocolError
from ..sip.refer import MARKER, ReferTo
from ..sip.uri import parse_uri
from .advice import advise
from .calls import Call, Heard, Referral
from .fates import Fate, Finding, Judged, Row, compare, judge
from .messages import HOPS
from .placing import SipSeen
from .report import Report, in_yaml
from .trouble import trouble

CARRIERS = {
    "traceparent": "header of the INVITE",
    "tracestate": "header of the INVITE",
    "baggage": "header of the INVITE",
    "previous-trace-id": "header of the INVITE",
    "x-traceparent": "header of the INVITE",
    "x-tracestate": "header of the INVITE",
    "otel-trace-id": "header of the INVITE",
    "x-interaction-id": "header of the INVITE",
    "pai": "parameter in P-Asserted-Identity",
    "marker": f"parameter {MARKER} of the Request-URI",
    "large": "traceparent in an INVITE of 3 kB",
    "response": "traceparent in the 200 to the INVITE",
    "bye": "traceparent in the BYE",
    "refer": "traceparent in a REFER",
    "refer-to": "traceparent in the header part of Refer-To",
    "refer-to-marker": f"parameter {MARKER} of Refer-To",
    "transfer": "traceparent in the INVITE that comes of a REFER",
}
WANTED = ("traceparent",)
_IN_CALL = {  # which call has which carriers, and where they stand
    "trace": (
        ("traceparent", "INVITE"),
        ("tracestate", "INVITE"),
        ("baggage", "INVITE"),
        ("previous-trace-id", "INVITE"),
    ),
    "names": (
        ("x-traceparent", "INVITE"),
        ("x-tracestate", "INVITE"),
        ("otel-trace-id", "INVITE"),
        ("x-interaction-id", "INVITE"),
    ),
    "identity": (("pai", "P-Asserted-Identity"),),
    "marker": (("marker", "Request-URI"),),
    "large": (("large", "INVITE of 3 kB"),),
}
_PARAMETER = re.compile(r";\s*traceparent\s*=\s*\"?([^;>,?\s\"]*)", re.IGNORECASE)


def report_sip(seen: SipSeen, wanted: list[str]) -> Report:
    """The whole report."""
    report = Report("sip", wanted=wanted)
    first = seen.call("first")
    problem, text = trouble(seen, first)
    report.facts = dict(_facts(seen))
    if problem:
        report.problem = problem
        report.verdict = [text]
        return report
    for name, carriers in _IN_CALL.items():
        call = seen.call(name)
        for carrier, place in carriers:
            fate, how = _judge(call, carrier, seen)
            report.findings.append(Finding(carrier, place, fate, how))
    trace = seen.call("trace")
    if trace is not None and trace.arrivals:
        report.findings += _inside(trace)
    advise(report, seen)
    return report


def _judge(call: Call | None, carrier: str, seen: SipSeen) -> Judged:
    if call is None:
        return Fate.UNKNOWN, "not tried: too many calls were not answered"
    if not call.arrivals:
        _, text = trouble(seen, call)
        if call.final is not None and call.final >= 300 and not call.cancelled:
            return Fate.REFUSED, f"{call.final} to the whole INVITE"
        return Fate.UNKNOWN, text
    heard = call.arrivals[0]
    plant = next(plant for plant in call.plants if plant.carrier == carrier)
    if carrier == "pai":
        return _identity(plant.value, heard)
    if carrier == "marker":
        return _marker(plant.value, heard, heard.uri)
    return judge(plant.name, plant.value, heard.rows)


def _identity(sent: str, heard: Heard) -> Judged:
    values = heard.values("p-asserted-identity")
    if not values:
        fate, how = judge("P-Asserted-Identity", sent, heard.rows)
        return fate, how or "no P-Asserted-Identity arrives"
    found = [match for value in values for match in _PARAMETER.finditer(value)]
    if not found:
        fate, how = judge("traceparent", sent, heard.rows)
        if fate in (Fate.SURVIVED, Fate.CONTINUED):
            return Fate.MOVED, "to traceparent"
        return Fate.STRIPPED, "the identity arrives without it"
    if len(found) > 1:
        return Fate.ALTERED, f"{len(found)} of them arrive"
    (match,) = found
    inside = "<" in match.string and match.start() < match.string.find(">")
    fate, how = compare(sent, match[1])
    if fate is Fate.SURVIVED and not inside:
        return Fate.MOVED, "behind the brackets: a parameter of the header, no longer of the URI"
    return fate, how


def _marker(sent: str, heard: Heard, uri: str) -> Judged:
    try:
        got = parse_uri(uri).parameter(MARKER)
    except RemoteProtocolError:
        got = None
    if got is not None:
        return compare(sent, got)
    rows = [row for row in heard.rows if row.key != "refer-to"]
    for row in rows:
        if sent in row.value:
            return Fate.MOVED, f"to {row.name}"
    return Fate.STRIPPED, ""


# Inside the call


def _inside(call: Call) -> Iterator[Finding]:
    yield Finding("response", "200 to INVITE", *_answer(call))
    if call.goodbye is None or call.bye is None:
        yield Finding("bye", "BYE", Fate.UNKNOWN, "no BYE arrives: the path ends the call itself")
    else:
        yield Finding("bye", "BYE", *judge("traceparent", call.goodbye.value, call.bye.rows))
    referral = call.referral
    if referral is None:
        for carrier, place in (("refer", "REFER"), ("refer-to", "Refer-To"), ("transfer", "new INVITE")):
            yield Finding(carrier, place, Fate.UNKNOWN, "no call to send a REFER in")
        return
    yield from _referral(referral)


def _answer(call: Call) -> Judged:
    if call.response is None or call.answered is None:
        return Fate.UNKNOWN, "no 200 comes back"
    return judge("traceparent", call.response.value, call.answered.rows)


def _referral(referral: Referral) -> Iterator[Finding]:
    new = referral.new[0] if referral.new else None
    if referral.arrived is not None:
        rows, inside, uri = referral.arrived.rows, *_refer_to(referral.arrived)
        yield Finding(
            "refer", "REFER", *judge("traceparent", referral.header.value, rows, besides=("refer-to",))
        )
        yield Finding("refer-to", "Refer-To", *judge("traceparent", referral.inside.value, inside))
        yield Finding("refer-to-marker", "Refer-To", *_marker(referral.marker.value, referral.arrived, uri))
    else:
        why = refer_fate(referral)
        yield Finding("refer", "REFER", Fate.UNKNOWN, why)
        if new is None:
            yield Finding("refer-to", "Refer-To", Fate.UNKNOWN, why)
            yield Finding("refer-to-marker", "Refer-To", Fate.UNKNOWN, why)
        else:
            yield Finding("refer-to", "new INVITE", *judge("traceparent", referral.inside.value, new.rows))
            yield Finding("refer-to-marker", "new INVITE", *_marker(referral.marker.value, new, new.uri))
    if new is None:
        yield Finding("transfer", "new INVITE", Fate.UNKNOWN, "none comes back")
    else:
        yield Finding("transfer", "new INVITE", *judge("traceparent", referral.inside.value, new.rows))


def _refer_to(heard: Heard) -> tuple[list[Row], str]:
    """The header part, and the URI in front of it."""
    try:
        refer_to = ReferTo.parse(next(iter(heard.values("refer-to")), ""))
    except RemoteProtocolError:
        return [], ""
    return [Row(name, value) for name, value in refer_to.headers], refer_to.uri


def refer_fate(referral: Referral) -> str:
    """What the path made of a REFER, in words."""
    if referral.failed:
        return f"the REFER could not be delivered: {referral.failed}"
    if referral.status is None and referral.arrived is None:
        return "no answer to the REFER"
    if referral.status is not None and referral.status >= 300:
        return f"the path refuses REFER: {referral.status}"
    if referral.past:
        return "goes past the path, which does not stay in its calls"
    if referral.arrived is not None:
        return "relayed"
    if referral.new:
        return "the path answers REFER itself, and places the new call"
    if referral.strangers:
        return "the path answers REFER itself; the call that comes of it bears no sign of it"
    return "the path answers REFER itself, and no call comes of it"


# The path


def _facts(seen: SipSeen) -> Iterator[tuple[str, object]]:
    first = seen.call("first")
    if first is None or not first.arrivals or first.sent is None:
        return
    sent, got = first.sent, first.arrivals[0]
    yield "transport", f"{sent.transport} there, {got.transport} back"
    kept = got.call_id == sent.call_id
    yield "call_id", "kept" if kept else "rewritten: a B2BUA"
    hops = got.vias - 1 if _ours(sent) & _branches(got) else got.vias
    yield "hops", f"{hops} by Via, {_hops(got)}"
    yield "record_route", bool(got.values("record-route"))
    yield "sdp", "as sent" if got.body == sent.body else "rewritten" if got.body else "taken away"
    if first.times > 1:
        yield "arrivals", f"{first.times} of one call"
    trace, large = seen.call("trace"), seen.call("large")
    if trace is not None and trace.arrivals and trace.sent is not None:
        yield "invite_1200", f"{trace.sent.transport} there, {trace.arrivals[0].transport} back"
    if large is not None and large.arrivals and large.sent is not None:
        way = "TCP refused, so by UDP in pieces" if large.moved else f"{large.sent.transport} there"
        yield "invite_3000", f"{way}, {large.arrivals[0].transport} back"
    if trace is not None and trace.referral is not None:
        yield "refer", refer_fate(trace.referral)


def _hops(got: Heard) -> str:
    if got.hops_left is None:
        return "no Max-Forwards"
    if got.hops_left > HOPS:
        return "Max-Forwards begins anew"
    return f"{HOPS - got.hops_left} by Max-Forwards"


def _branches(heard: Heard) -> set[str]:
    return {
        match for value in heard.values("via") for match in re.findall(r";\s*branch\s*=\s*([^;,\s]+)", value)
    }


def _ours(sent: Heard) -> set[str]:
    return _branches(sent)


def settings_line(report: Report) -> str:
    """What to switch on, as it is written."""
    return in_yaml(report.switch_on)
