"""What the observer spends on masking: `python -m bench.masking` prints microseconds per message.

Calls of 14 messages, as both legs of a basic call have them. Numbers, tags, branches and Call-IDs differ from
call to call, so what is measured is what a proxy under load has to do.
"""

import hashlib
import time
from collections.abc import Iterator

from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.settings import Mask, PrivacySettings
from sipproxy.telemetry.wire import Wire, call_id_of

CALLS = 500
_SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n"
_ALLOW = "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REFER, NOTIFY, INFO, UPDATE"


def messages_of_call(number: int) -> list[bytes]:
    """Both legs, in the order in which they pass."""
    caller = [*_leg(number, "a", "192.0.2.1:5060", "192.0.2.100:5060")]
    callee = [*_leg(number, "b", "192.0.2.100:5060", "192.0.2.2:5060")]
    return [message for pair in zip(caller, callee, strict=True) for message in pair]


def us_per_message(mask: Mask = Mask.LAST2, calls: int = CALLS) -> float:
    """On average over so many calls that follow each other, the first of them included."""
    played = [message for number in range(calls) for message in messages_of_call(number)]
    wire = Wire(Masker(PrivacySettings(mask, "a key")))
    began = time.process_time()
    for message in played:
        wire.read(message)
    return (time.process_time() - began) / len(played) * 1e6


def us_per_call_id(calls: int = CALLS) -> float:
    """To find the Call-ID alone."""
    played = [message for number in range(calls) for message in messages_of_call(number)]
    began = time.process_time()
    for message in played:
        call_id_of(message)
    return (time.process_time() - began) / len(played) * 1e6


def _leg(number: int, leg: str, sender: str, receiver: str) -> Iterator[bytes]:
    def unique(what: str, digits: int = 16) -> str:
        return hashlib.sha256(f"{number} {leg} {what}".encode()).hexdigest()[:digits]

    caller, callee = f"+4930555{number:06}", f"+4915550{number % 7:06}"
    to = f"To: <sip:{callee}@{receiver};user=phone>"
    tag = f";tag={unique('to')}"
    common = [f'From: "Caller {number}" <sip:{caller}@{sender}>;tag={unique("from")}']
    call_id = f"Call-ID: {unique('call', 32)}"
    traced = f"traceparent: 00-{unique('trace', 32)}-{unique('span')}-01"
    product = "User-Agent: Session-Border-Controller/8.4.1"
    contact = [f"Contact: <sip:{caller}@{sender}>", f"Contact: <sip:{callee}@{receiver};transport=udp>"]
    length = ["Content-Type: application/sdp", f"Content-Length: {len(_SDP)}"]

    def request(method: str, cseq: str, *more: str, target: str = receiver, body: str = "") -> bytes:
        via = f"Via: SIP/2.0/UDP {sender};branch=z9hG4bK{unique(method)};rport"
        toward = to if method == "INVITE" else to + tag
        rows = [via, "Max-Forwards: 70", *common, toward, call_id, cseq, *more]
        return "\r\n".join([f"{method} sip:{callee}@{target} SIP/2.0", *rows, "", body]).encode()

    def response(status: str, method: str, cseq: str, *more: str, body: str = "") -> bytes:
        branch = f"Via: SIP/2.0/UDP {sender};branch=z9hG4bK{unique(method)};rport=5060;received=192.0.2.1"
        rows = [branch, *common, to if status[0] == "1" else to + tag, call_id, cseq, *more]
        return "\r\n".join([f"SIP/2.0 {status}", *rows, "", body]).encode()

    invite, bye, empty = "CSeq: 1 INVITE", "CSeq: 2 BYE", "Content-Length: 0"
    offered = [contact[0], _ALLOW, "Supported: replaces, timer", product, traced, *length]
    yield request("INVITE", invite, *offered, body=_SDP)
    yield response("100 Trying", "INVITE", invite, empty)
    yield response("180 Ringing", "INVITE", invite, contact[1], empty)
    yield response("200 OK", "INVITE", invite, contact[1], _ALLOW, product, *length, body=_SDP)
    yield request("ACK", "CSeq: 1 ACK", traced, empty)
    yield request("BYE", bye, product, traced, empty)
    yield response("200 OK", "BYE", bye, empty)


if __name__ == "__main__":
    for setting in Mask:
        print(f"masking, {setting:5}  {us_per_message(setting):5.1f} us per message")
    print(f"its Call-ID     {us_per_call_id():5.1f} us per message")
