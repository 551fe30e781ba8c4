"""What follows for sipproxy: the verdict's words, and the settings of the trunk for this peer."""

from __future__ import annotations

from typing import Any

from .fates import Fate, Finding
from .placing import SipSeen
from .report import Report, in_yaml


def advise(report: Report, seen: SipSeen) -> None:
    """Fill in the verdict and `switch_on`."""
    found = {each.carrier: each for each in report.findings}
    trace, reasons = _trace(found)
    refer, why = _refer(found, seen)
    report.switch_on = {"trace": trace, "refer": refer}
    marker = found.get("marker")
    if refer == "relay" and marker is not None and marker.fate is Fate.REFUSED:
        report.switch_on["transfer_anchor"] = False
        reasons.append("transfer_anchor: false, since the path refuses a call with a parameter in its URI.")
    if report.good:
        report.verdict.append(f"The trace gets through: {_list(report.wanted)}.")
    else:
        lost = [f"{each.carrier} is {_word(each)}" for each in report.missing]
        report.verdict.append(f"Not everything that is wanted gets through: {', '.join(lost)}.")
    first = seen.call("first")
    if first is not None and first.times > 1:
        report.verdict.append(f"Each call comes {first.times} times: the path forks it, or goes in circles.")
    report.verdict += [*reasons, why]
    report.verdict.append(f"For this peer's trunk: {in_yaml(report.switch_on)}")


def _trace(found: dict[str, Finding]) -> tuple[dict[str, Any], list[str]]:
    """The `trace` section: how to write towards the peer, how to read what comes back."""
    reasons: list[str] = []
    settings: dict[str, Any] = {}
    if _alive(found, "traceparent"):
        send = ["traceparent", *(["tracestate"] if _alive(found, "tracestate") else [])]
    elif _alive(found, "x-traceparent"):
        send = ["x-traceparent", *(["tracestate"] if _alive(found, "x-tracestate") else [])]
        reasons.append(f"traceparent is {_word(found['traceparent'])}, but X-Traceparent gets through.")
    elif _alive(found, "pai"):
        send = ["pai"]
        settings["read_pai"] = True
        reasons.append("No header gets through, but the parameter in P-Asserted-Identity does.")
    else:
        send = []
        reasons.append("No carrier gets through: send nothing, and join the calls by X-Interaction-ID.")
        if not _alive(found, "x-interaction-id"):
            reasons[-1] = "No carrier gets through: send nothing."
    if _alive(found, "baggage") and send:
        send.append("baggage")
    settings = {"send": send, **settings}
    moved = found.get("traceparent")
    if moved is not None and moved.fate is Fate.MOVED:
        name = moved.how.rpartition(" ")[2]
        settings["aliases"] = [name]
        reasons.append(f"What comes back has the trace in {name}: it is read from there with aliases.")
    large = found.get("large")
    if large is not None and not large.alive and _alive(found, "traceparent"):
        reasons.append(f"In an INVITE of 3 kB it is {_word(large)}: keep INVITEs short, or let TCP through.")
    return settings, reasons


def _refer(found: dict[str, Finding], seen: SipSeen) -> tuple[str, str]:
    """relay where the trace survives the transfer, local where it would be lost on the way."""
    trace = seen.call("trace")
    referral = None if trace is None else trace.referral
    if referral is None:
        return "local", "refer: local, since no REFER could be tried."
    kept = [each for each in ("refer-to", "refer-to-marker", "transfer") if _alive(found, each)]
    if referral.past:
        return "relay", "refer: relay: the path does not stay in its calls, so REFER goes past it."
    if referral.arrived is not None:
        if kept:
            return "relay", f"refer: relay: REFER is passed on, and {_list(kept)} with it."
        return "local", "refer: local: REFER is passed on, but without what Refer-To carried."
    if referral.new and kept:
        return "relay", "refer: relay: the path places the new call itself, and the trace is in it."
    if referral.status is not None and referral.status >= 300:
        return "local", f"refer: local: the path refuses REFER ({referral.status})."
    if referral.status is None:
        return "local", "refer: local: the path does not answer REFER."
    return "local", "refer: local: the path answers REFER itself, and the trace is lost there."


def _alive(found: dict[str, Finding], carrier: str) -> bool:
    return carrier in found and found[carrier].alive


def _word(finding: Finding) -> str:
    return f"{finding.fate} ({finding.how})" if finding.how else str(finding.fate)


def _list(names: list[str]) -> str:
    return ", ".join(names)
