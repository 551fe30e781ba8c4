"""The calls that the page's tests look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .page_data import START_US, Json, Tale, hexid, row_of, us

HOSTILE = "<img src=x onerror=alert(1)>\"'`&amp;</script><script>alert(2)</script>\u202e{{7*7}}"


def set_up(
    tale: Tale, call: Json, caller: str, callee: str, at: float, answer: float, until: float | None, end: str
) -> str:
    """An answered call from INVITE to the end of its dialogs, with its messages; gives the root's id."""
    root: str = call["id"]
    call |= {
        "answered_us": START_US + us(answer),
        "trunks": [caller, callee],
        "outcome": "answered",
        "status": 200,
    }
    call |= {"setup_ms": round(answer - at)}
    if until is not None:
        call |= {"ended_us": START_US + us(until), "talk_ms": round(until - answer), "end": end}
    tale.span(
        "INVITE",
        "SERVER",
        at,
        answer,
        call=call,
        ident=root,
        parent=call.get("parent", ""),
        leg="caller",
        trunk=caller,
        request__method="INVITE",
        response__status_code=200,
        trace__carrier="traceparent",
        trace__decision="adopted",
        events=[("100", at + 0.4), ("180", at + 120.6), ("200", answer), ("ACK", answer + 28)],
    )
    tale.span("route", "INTERNAL", at + 0.2, at + 0.3, call=call, trunk=callee)
    out = tale.span(
        "INVITE",
        "CLIENT",
        at + 0.6,
        answer - 0.4,
        call=call,
        leg="callee",
        trunk=callee,
        request__method="INVITE",
        response__status_code=200,
        proxy__delay_us=612,
        events=[("100", at + 18), ("180", at + 120), ("200", answer - 0.4)],
    )
    ended: dict[str, Any] = {} if until is None else {"talk_ms": round(until - answer), "dialog__end": end}
    one = tale.span(
        "dialog",
        "SERVER",
        answer,
        until,
        call=call,
        leg="caller",
        trunk=caller,
        ring_ms=round(answer - at - 120),
        **ended,
    )
    other = tale.span(
        "dialog",
        "CLIENT",
        answer - 0.4,
        until,
        call=call,
        leg="callee",
        trunk=callee,
        **ended,
    )
    call |= {"dialogs": (one, other)}
    context = f"traceparent: 00-{call['trace_id']}-{out}-01"
    tale.says(
        at,
        caller,
        "INVITE",
        root,
        call=call,
        rows=[f"traceparent: 00-{call['trace_id']}-00f067aa0ba902b7-01"],
        body="application/sdp",
    )
    tale.says(at + 0.4, caller, "100", root, call=call, sent=True)
    tale.says(at + 0.6, callee, "INVITE", out, call=call, sent=True, rows=[context], body="application/sdp")
    tale.says(at + 18, callee, "100", out, call=call)
    tale.says(at + 120, callee, "180", out, call=call)
    tale.says(at + 120.6, caller, "180", root, call=call, sent=True)
    tale.says(answer - 0.4, callee, "200", out, call=call, body="application/sdp")
    tale.says(answer, caller, "200", root, call=call, sent=True, body="application/sdp")
    tale.says(answer + 28, caller, "ACK", root, one, call=call)
    tale.says(answer + 28.4, callee, "ACK", out, other, call=call, sent=True)
    return root


def hang_up(tale: Tale, call: Json, caller: str, callee: str, at: float) -> None:
    """The caller's BYE and the callee's."""
    one, other = call["dialogs"]
    tale.says(at, caller, "BYE", one, call=call, cseq=2)
    tale.says(at + 0.4, callee, "BYE", other, call=call, cseq=2, sent=True)
    tale.says(at + 19, callee, "200", other, call=call, cseq=2, method="BYE")
    tale.says(at + 19.4, caller, "200", one, call=call, cseq=2, method="BYE", sent=True)


def finished(tale: Tale, **more: Any) -> Json:
    """The story without what only its making needed."""
    for call in tale.calls:
        call.pop("dialogs", None)
        call.pop("parent", None)
    return tale.told(**more)


def basic() -> Json:
    """Answered after 3 s, talked for 42 s."""
    tale = Tale()
    call = tale.call("basic", 0)
    set_up(tale, call, "customer", "agent", 0, 3120, 45_340, "caller_bye")
    hang_up(tale, call, "customer", "agent", 45_320)
    return finished(tale)


def still_talking(started_us: int) -> Json:
    """Answered, and going on."""
    tale = Tale("11112222333344445555666677778888")
    call = tale.call("talking", 0, state="talking")
    set_up(tale, call, "customer", "agent", 0, 1120, None, "")
    story = finished(tale)
    shift = started_us - START_US
    for each in [*story["calls"], *story["spans"], *story["messages"]]:
        for key in ("began_us", "answered_us", "start_us", "end_us", "at_us"):
            if each.get(key) is not None:
                each[key] += shift
        for event in each.get("events", ()):
            event["at_us"] += shift
    return story


def failed() -> Json:
    """The first trunk says 503, the second is busy; the first one's INVITE had to be repeated."""
    tale = Tale("5c0ffee05c0ffee05c0ffee05c0ffee0")
    call = tale.call(
        "failed", 0, outcome="busy", status=486, setup_ms=842, failed=True, ended_us=START_US + us(870)
    )
    call["trunks"] = ["customer", "carrier-a", "carrier-b"]
    root = call["id"]
    tale.span(
        "INVITE",
        "SERVER",
        0,
        842,
        call=call,
        ident=root,
        leg="caller",
        trunk="customer",
        request__method="INVITE",
        response__status_code=486,
        trace__carrier="none",
        trace__decision="new",
        events=[("100", 0.4), ("486", 842)],
    )
    tale.span("route", "INTERNAL", 0.2, 0.3, call=call, trunk="carrier-a")
    first = tale.span(
        "INVITE",
        "CLIENT",
        0.6,
        540,
        call=call,
        leg="callee",
        trunk="carrier-a",
        failed=True,
        response__status_code=503,
        error__type="503",
        events=[("retransmission", 501), ("503", 540)],
    )
    second = tale.span(
        "INVITE",
        "CLIENT",
        541,
        841,
        call=call,
        leg="callee",
        trunk="carrier-b",
        response__status_code=486,
        events=[("100", 560), ("486", 841)],
    )
    tale.says(0, "customer", "INVITE", root, body="application/sdp")
    tale.says(0.4, "customer", "100", root, sent=True)
    for at in (0.6, 501.0):
        tale.says(at, "carrier-a", "INVITE", first, sent=True, body="application/sdp")
    tale.messages[-1]["text"] = tale.messages[-2]["text"]
    tale.says(540, "carrier-a", "503", first)
    tale.says(540.5, "carrier-a", "ACK", first, sent=True)
    tale.says(541, "carrier-b", "INVITE", second, sent=True, body="application/sdp")
    tale.says(560, "carrier-b", "100", second)
    tale.says(841, "carrier-b", "486", second)
    tale.says(841.4, "carrier-b", "ACK", second, sent=True)
    tale.says(842, "customer", "486", root, sent=True)
    tale.says(869, "customer", "ACK", root)
    return finished(tale)


def hostile() -> Json:
    """Each text that a peer can write is markup, script, or nonsense."""
    tale = Tale(interaction=HOSTILE)
    call = tale.call("hostile", 0, error=HOSTILE, outcome="failed", **{"from": HOSTILE, "to": HOSTILE})
    call |= {"trunks": [HOSTILE], "call_ids": [HOSTILE], "status": 503, "state": HOSTILE, "end": HOSTILE}
    tale.span(
        HOSTILE,
        "SERVER",
        0,
        100,
        call=call,
        ident=call["id"],
        failed=True,
        leg=HOSTILE,
        trunk=HOSTILE,
        events=[(HOSTILE, 50)],
        links=[{"trace_id": HOSTILE, "span_id": HOSTILE}],
        **{HOSTILE: HOSTILE},
    )
    tale.span("transfer", HOSTILE, 10, 90, call=call, transfer__kind=HOSTILE, transfer__outcome=HOSTILE)
    tale.says(0, HOSTILE, "INVITE", call["id"], rows=[f"Subject: {HOSTILE}", f"{HOSTILE}: 1"], body=HOSTILE)
    tale.says(1, HOSTILE, "200", call["id"], sent=True)
    tale.messages[1] |= {
        "start": f"200 {HOSTILE}",
        "transport": HOSTILE,
        "from": HOSTILE,
        "to": HOSTILE,
        "call_id": HOSTILE,
    }
    story = finished(tale, raw=True)
    return story | {
        "deep_links": {
            "Jaeger": "javascript:alert(3)",
            HOSTILE: "https://tempo.example/",
            "data": "data:text/html,x",
        }
    }


def many_messages(number: int = 500) -> Json:
    """A call that is held and resumed for hours."""
    tale = Tale("abcdefabcdefabcdefabcdefabcdefab")
    call = tale.call("many", 0)
    set_up(tale, call, "customer", "agent", 0, 900, 9_000_000, "caller_bye")
    one, other = call["dialogs"]
    while len(tale.messages) < number:
        at, cseq = 2000 + len(tale.messages) * 4000.0, 10 + len(tale.messages)
        span = tale.span(
            "re-INVITE",
            "SERVER",
            at,
            at + 40,
            call=call,
            leg="caller",
            trunk="customer",
            response__status_code=200,
            ident=hexid(f"{len(tale.spans):08}"),
        )
        tale.says(at, "customer", "re-INVITE", span, one, cseq=cseq, body="application/sdp")
        tale.says(at + 1, "agent", "re-INVITE", span, other, cseq=cseq, sent=True, body="application/sdp")
        tale.says(at + 20, "agent", "200", span, other, cseq=cseq, body="application/sdp")
        tale.says(at + 21, "customer", "200", span, one, cseq=cseq, sent=True, body="application/sdp")
        tale.says(at + 39, "customer", "ACK", span, one, cseq=cseq)
    del tale.messages[number:]
    return finished(tale)


def as_row(live: Mapping[str, Any]) -> Json:
    """A live call as the search tells it."""
    return {**row_of(live["id"], live["trace_id"], live["began_us"]), **live}


def trunks() -> Json:
    """What a matrix of a contact centre looks like."""
    return {
        "sbc-customers": {
            "arrived": {
                "traceparent": {"adopted": 18231},
                "marker": {"recovered": 412},
                "none": {"new": 137},
                "uri-header": {"adopted": 20},
            },
            "rejected": {"bad_format": 12, "duplicate": 3},
            "returned": {
                "marker": 432,
                "uri-header": 20,
                "referred-by": 401,
                "previous-trace-id": 0,
                "replaces": 61,
            },
        },
        "agents": {
            "arrived": {
                "traceparent": {"adopted": 2044},
                "replaces": {"recovered": 88},
                "none": {"new": 1204},
            },
            "rejected": {},
            "returned": {
                "traceparent": 310,
                "marker": 310,
                "replaces": 88,
                "referred-by": 310,
                "previous-trace-id": 310,
            },
        },
        "carrier-a": {
            "arrived": {
                "none": {"new": 9120},
                "previous-trace-id": {"linked": 41},
                "traceparent": {"linked": 77},
            },
            "rejected": {"untrusted": 512},
            "returned": {},
        },
    }
