"""A path that does not bring a call back: a word for it, for programs, and a sentence, for people."""

from __future__ import annotations

from .calls import Call
from .fates import Problem
from .placing import SipSeen

Trouble = tuple[Problem | None, str]
_LOOPS = (482, 483)
_CREDENTIALS = (401, 407)
_UNKNOWN_THERE = (403, 404, 480, 484, 604)
_BACK = "See docs/probe.md for how a path is told to route it back here."


def trouble(seen: SipSeen, call: Call | None) -> Trouble:
    """None for a call that came back whole."""
    if seen.failed:
        return Problem.UNRESOLVED, f"No call could be placed: {seen.failed}."
    if call is None or call.complete:
        return None, ""
    where = str(seen.way)
    if call.garbled:
        return Problem.GARBAGE, f"{where} answers the call with a 200 that cannot be read."
    if call.failed and not call.statuses:
        return Problem.UNREACHABLE, f"Nobody takes calls at {where}: {call.failed}."
    final = call.final
    if call.answered is not None:
        return Problem.ANSWERED_ELSEWHERE, _elsewhere(seen)
    if final is not None and not call.cancelled:
        return _refused(seen, call, final, where)
    return _half(seen, call, where)


def _elsewhere(seen: SipSeen) -> str:
    if seen.counts["strangers"]:
        return (
            "The call was answered, but not here; a call came here that bears no sign of the probe. If it was"
            " the probe's, the path takes away every sign: put {token} into the user part of the URI."
        )
    return f"The path answers the call itself, or somebody behind it does: it never came here. {_BACK}"


def _refused(seen: SipSeen, call: Call, final: int, where: str) -> Trouble:
    if final == 502 and seen.counts["malformed"]:  # what the core makes of a To that cannot be read
        return Problem.GARBAGE, f"{where} answers the call with something that cannot be read."
    if final in _LOOPS:
        here = f" It came here {call.times} times." if call.arrivals else ""
        return Problem.LOOP, f"The path sends the call round in circles until it is refused ({final}).{here}"
    if call.arrivals:
        return (
            Problem.ANSWER_LOST,
            f"The call came here and was answered with 200; its caller was told {final}.",
        )
    if final < 400:
        return (
            Problem.REDIRECTED,
            f"{where} redirects the call ({final}); the probe calls nothing but its own URI.",
        )
    if final in _CREDENTIALS:
        return Problem.CREDENTIALS, (
            f"{where} asks for credentials ({final}); the probe has none: let its address in without."
        )
    hint = f" {_BACK}" if final in _UNKNOWN_THERE else ""
    return Problem.REFUSED, f"{where} refuses the call: {final}.{hint}"


def _half(seen: SipSeen, call: Call, where: str) -> Trouble:
    if call.arrivals:
        return (
            Problem.ANSWER_LOST,
            "The call came here and was answered with 200; the answer did not get back.",
        )
    heard = [status for status in call.statuses if status < 200]
    if not heard:
        if seen.counts["malformed"]:
            count = seen.counts["malformed"]
            return (
                Problem.GARBAGE,
                f"What comes from {where} is no SIP that could be used ({count} messages).",
            )
        return Problem.SILENT, f"{where} says nothing."
    if max(heard) > 100:
        return (
            Problem.RINGS_ELSEWHERE,
            f"It rings ({max(heard)}), but not here: the path leads somewhere else. {_BACK}",
        )
    return Problem.HALF, f"{where} says 100 Trying, and then nothing more."
