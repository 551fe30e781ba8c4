"""Transferred calls that the page's tests look at."""

from __future__ import annotations

from .page_calls import finished, hang_up, set_up
from .page_data import Json, Tale


def blind_relay() -> Json:
    """The agent sends the customer on to a colleague; the customer's phone places the new call: one trace."""
    tale = Tale()
    call = tale.call("first", 0, to="***22", transfers=1, transferred=True)
    set_up(tale, call, "customer", "agent", 0, 2110, 31_050, "transferred")
    one, other = call["dialogs"]
    transfer = tale.span(
        "transfer",
        "INTERNAL",
        30_000,
        31_020,
        call=call,
        trunk="agent",
        transfer=True,
        transfer__kind="blind",
        transfer__mode="relay",
        transfer__outcome="completed",
        transfer__stage="answered",
        response__status_code=200,
        events=[("accepted", 30_021), ("notify", 30_040), ("notify", 31_000), ("outcome", 31_020)],
    )
    new = tale.call("second", 30_060, transferred=True, to="***33")
    new["parent"] = transfer
    refer_to = (
        "Refer-To: <sip:***33@192.0.2.10;sipproxy-ref=9c1b2a?traceparent=00-4bf92f3577f34da6a3ce929d0e0e4736>"
    )
    tale.says(30_000, "agent", "REFER", other, transfer, cseq=3, rows=["Refer-To: <sip:***33@192.0.2.10>"])
    tale.says(30_000.8, "customer", "REFER", one, transfer, cseq=3, sent=True, rows=[refer_to])
    tale.says(30_020, "customer", "202", one, transfer, method="REFER", cseq=3)
    tale.says(30_020.6, "agent", "202", other, transfer, method="REFER", cseq=3, sent=True)
    tale.says(30_040, "customer", "NOTIFY", one, transfer, cseq=4, body="message/sipfrag")
    tale.says(30_040.5, "agent", "NOTIFY", other, transfer, cseq=4, sent=True, body="message/sipfrag")
    tale.says(30_058, "agent", "200", other, transfer, method="NOTIFY", cseq=4)
    tale.says(30_058.4, "customer", "200", one, transfer, method="NOTIFY", cseq=4, sent=True)
    set_up(tale, new, "customer", "colleague", 30_060, 30_960, 58_000, "caller_bye")
    tale.says(31_000, "customer", "NOTIFY", one, transfer, cseq=5, body="message/sipfrag")
    tale.says(31_000.5, "agent", "NOTIFY", other, transfer, cseq=5, sent=True, body="message/sipfrag")
    tale.says(31_019, "agent", "200", other, transfer, method="NOTIFY", cseq=5)
    tale.says(31_019.3, "customer", "200", one, transfer, method="NOTIFY", cseq=5, sent=True)
    tale.says(31_030, "agent", "BYE", other, cseq=6)
    tale.says(31_030.4, "customer", "BYE", one, cseq=6, sent=True)
    tale.says(31_049, "customer", "200", one, method="BYE", cseq=6)
    tale.says(31_049.4, "agent", "200", other, method="BYE", cseq=6, sent=True)
    hang_up(tale, new, "customer", "colleague", 57_980)
    return finished(tale)


def attended_local() -> Json:
    """The agent asks an expert first and then connects the two; two traces that know of each other."""
    tale = Tale("0af7651916cd43dd8448eb211c80319c", "visit-41")
    call = tale.call("customers", 0, transfers=1, transferred=True)
    set_up(tale, call, "customer", "agent", 0, 1810, 66_000, "caller_bye")
    one, other = call["dialogs"]
    asks = tale.call(
        "agents", 20_000, trace_id="9a1b0c2d3e4f5061728394a5b6c7d8e9", to="***44", **{"from": "***22"}
    )
    set_up(tale, asks, "agent", "expert", 20_000, 22_400, 41_500, "transferred")
    old = asks["dialogs"][1]
    transfer = tale.span(
        "transfer",
        "INTERNAL",
        41_000,
        41_420,
        call=call,
        trunk="agent",
        transfer=True,
        transfer__kind="attended",
        transfer__mode="local",
        transfer__outcome="completed",
        transfer__stage="answered",
        response__status_code=200,
        events=[("accepted", 41_001), ("outcome", 41_420)],
        links=[{"trace_id": asks["trace_id"], "span_id": old}],
    )
    tale.spans[-2]["links"].append({"trace_id": tale.trace_id, "span_id": transfer})
    offer = tale.span(
        "re-INVITE",
        "CLIENT",
        41_003,
        41_100,
        call=call,
        parent=transfer,
        leg="callee",
        trunk="expert",
        response__status_code=200,
    )
    answer = tale.span(
        "re-INVITE",
        "CLIENT",
        41_101,
        41_210,
        call=call,
        parent=transfer,
        leg="caller",
        trunk="customer",
        response__status_code=200,
    )
    joined = tale.span(
        "dialog",
        "CLIENT",
        41_220,
        66_000,
        call=call,
        parent=transfer,
        leg="callee",
        trunk="expert",
        dialog__end="caller_bye",
        talk_ms=24_780,
        links=[
            {"trace_id": asks["trace_id"], "span_id": old},
            {"trace_id": "77777777777777777777777777777777", "span_id": "8888888888888888"},
        ],
    )
    tale.says(
        41_000,
        "agent",
        "REFER",
        other,
        transfer,
        cseq=3,
        rows=["Refer-To: <sip:***44@192.0.2.10?Replaces=8f%3Bto-tag%3D1>"],
    )
    tale.says(41_001, "agent", "202", other, transfer, method="REFER", cseq=3, sent=True)
    tale.says(41_001.5, "agent", "NOTIFY", other, transfer, cseq=2, sent=True, body="message/sipfrag")
    tale.says(41_003, "expert", "re-INVITE", offer, transfer, cseq=2, sent=True, call=call)
    tale.says(41_020, "agent", "200", other, transfer, method="NOTIFY", cseq=2)
    tale.says(41_100, "expert", "200", offer, transfer, cseq=2, call=call, body="application/sdp")
    tale.says(41_101, "customer", "re-INVITE", answer, transfer, cseq=2, sent=True, body="application/sdp")
    tale.says(41_210, "customer", "200", answer, transfer, cseq=2, body="application/sdp")
    tale.says(41_211, "customer", "ACK", answer, transfer, cseq=2, sent=True)
    tale.says(
        41_212, "expert", "ACK", offer, transfer, joined, cseq=2, sent=True, call=call, body="application/sdp"
    )
    tale.says(41_420, "agent", "NOTIFY", other, transfer, cseq=3, sent=True, body="message/sipfrag")
    tale.says(41_440, "agent", "200", other, transfer, method="NOTIFY", cseq=3)
    for each, dialog, cseq in ((call, other, 4), (asks, asks["dialogs"][0], 2)):
        tale.says(41_450, "agent", "BYE", dialog, cseq=cseq, sent=True, call=each)
        tale.says(41_470, "agent", "200", dialog, method="BYE", cseq=cseq, call=each)
    call["dialogs"] = (one, joined)
    hang_up(tale, call, "customer", "expert", 65_980)
    return finished(tale)
