"""Calls that never were, as the signalling process would tell of them, for bench/store.py."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator

from sipproxy.telemetry.attributes import Attributes
from sipproxy.telemetry.callkey import CallKeys
from sipproxy.telemetry.parcel import OVER, Message, Note, Parcel, pack
from sipproxy.telemetry.record import CLIENT, INTERNAL, SERVER, SpanRecord

SPANS_PER_CALL = 5
BEGAN_NS = 1_700_000_000 * 10**9
EVERY_NS = 5_000_000
RARE = 5  # calls among all that a rare filter finds: old ones
GOING_ON = 500
IN_PARCEL = 100  # records: some 64 kB

Piece = tuple[list[SpanRecord], list[SpanRecord], list[Note]]

_DIALOGUE = (
    ("INVITE", "INVITE", 1),
    ("100 Trying", "INVITE", 1),
    ("180 Ringing", "INVITE", 1),
    ("200 OK", "INVITE", 1),
    ("ACK", "ACK", 1),
    ("BYE", "BYE", 2),
    ("200 OK", "BYE", 2),
)
_HEADERS = """\
{line}
Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK-{branch};rport
Max-Forwards: 70
From: "Jane Roe" <sip:+4915550001234@192.0.2.7>;tag={tag}
To: <sip:+4915550009999@192.0.2.9>
Call-ID: {call_id}
CSeq: {cseq} {method}
Contact: <sip:jane@192.0.2.7:5060>
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, INFO, PRACK, UPDATE
Supported: replaces, timer, 100rel
User-Agent: bench/1.0
Content-Type: application/sdp
Content-Length: {length}

"""
_SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


def parcels(calls: int, keys: CallKeys) -> Iterator[bytes]:
    """Packed, of that many calls."""
    opened: list[SpanRecord] = []
    finished: list[SpanRecord] = []
    notes: list[Note] = []
    for piece in _pieces(calls, keys):
        opened += piece[0]
        finished += piece[1]
        notes += piece[2]
        if len(opened) + len(finished) >= IN_PARCEL:
            yield pack(Parcel(opened, finished, notes, []))
            opened, finished, notes = [], [], []
    yield pack(Parcel(opened, finished, notes, []))


def _pieces(calls: int, keys: CallKeys) -> Iterator[Piece]:
    going_on: deque[Iterator[Piece]] = deque()
    chance = random.Random(1)
    for number in range(calls):
        life = call(number, calls, chance, keys)
        yield next(life)
        going_on.append(life)
        if len(going_on) > GOING_ON:
            yield from (next(going_on[GOING_ON // 2]), next(going_on[0]))
            going_on.popleft()
    for life in going_on:
        yield from life


def call(number: int, calls: int, chance: random.Random, keys: CallKeys) -> Iterator[Piece]:
    """It arrives; it is answered or refused; it is over."""
    trace_id = f"{chance.getrandbits(128):032x}"
    ids = [f"{chance.getrandbits(64):016x}" for _ in range(SPANS_PER_CALL)]
    root_id = ids[0]
    rare = number <= RARE
    status = 603 if rare else 486 if number % 4 == 0 else 200
    to = "rare" if rare else "busy-only" if status == 486 else f"carrier-{number % 3}"
    setup_ms = 60_000 + number if rare else chance.randrange(20, 20_000)
    began = BEGAN_NS + number * EVERY_NS
    answered, over = began + setup_ms * 10**6, began + (setup_ms + 30_000) * 10**6
    common: Attributes = {"interaction.id": f"INT-{number}"}
    call_ids = f"call-{number}@host", f"{chance.getrandbits(128):032x}"

    def span(which: int, name: str, kind: str, start: int) -> SpanRecord:
        leg = 0 if kind == SERVER else 1
        known: Attributes = dict(common)
        if kind != INTERNAL:
            known |= {
                "sip.call_id": call_ids[leg],
                "sip.leg": "caller" if leg == 0 else "callee",
                "sip.trunk": "sbc" if leg == 0 else to,
                "network.transport": "udp",
                "network.peer.address": f"192.0.2.{number % 200}",
                "network.peer.port": 5060,
            }
        return SpanRecord(
            trace_id, ids[which], "" if which == 0 else root_id, 1, "", name, kind, start, 0, False,
            known, (), 0, (), root_id, keys(call_ids[leg]) if kind != INTERNAL else 0,
        )  # fmt: skip

    def end(opening: SpanRecord, at: int, more: Attributes, *events: str) -> SpanRecord:
        told = tuple((event, at, None) for event in events)
        return opening._replace(end_ns=at, attributes=opening.attributes | more, events=told)

    root = span(0, "INVITE", SERVER, began)
    root.attributes.update(
        {"sip.request.method": "INVITE", "sip.cseq": 1, "sip.from.user": "***34", "sip.to.user": "***65"}
    )
    root.attributes.update({"sip.trace.carrier": "traceparent", "sip.trace.decision": "adopted"})
    attempt = span(1, "INVITE", CLIENT, began)
    attempt.attributes.update({"sip.request.method": "INVITE", "sip.cseq": 1, "sip.proxy.delay_us": 900})
    if rare:
        root.attributes["sip.transfer"] = True
    yield [root, attempt], [end(span(2, "route", INTERNAL, began), began, {"sip.trunk": to})], []
    final: Attributes = {"sip.response.status_code": status}
    ended = [
        end(attempt, answered, final, "100", "180", str(status), "ACK"),
        end(root, answered, final | {"sip.setup.duration_ms": setup_ms}, "180", str(status), "ACK"),
    ]
    if status != 200:
        yield [], ended, []
        yield [], [], [(OVER, root_id, answered)]
        return
    dialogs = [span(3, "dialog", SERVER, answered), span(4, "dialog", CLIENT, answered)]
    for dialog in dialogs:
        dialog.attributes["sip.ring_ms"] = 900
    yield dialogs, ended, []
    last: Attributes = {"sip.dialog.end": "caller_bye", "sip.talk_ms": 30_000}
    yield [], [end(dialog, over, last, "BYE") for dialog in dialogs], [(OVER, root_id, over)]


def messages(caller: SpanRecord, callee: SpanRecord) -> list[Message]:
    """The 14 messages of a call with these two INVITEs."""
    found = []
    for start, method, cseq in _DIALOGUE:
        for sent, leg in ((False, caller), (True, callee)):
            line = (
                f"{start} sip:+4955500{cseq}@192.0.2.9:5060 SIP/2.0"
                if start == method
                else f"SIP/2.0 {start}"
            )
            body = _SDP if start in ("INVITE", "200 OK") and method == "INVITE" else ""
            text = _HEADERS.format(
                line=line,
                branch=leg.span_id,
                tag=leg.trace_id[:8],
                call_id=leg.attributes["sip.call_id"],
                cseq=cseq,
                method=method,
                length=len(body),
            )
            data = text.replace("\n", "\r\n").encode() + body.encode()
            found.append(Message(caller.start_ns, sent, "UDP", "192.0.2.7:5060", "192.0.2.1:5060", data))
    return found
