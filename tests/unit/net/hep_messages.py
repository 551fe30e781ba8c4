"""A message to send copies of, as it came and as it is shown."""

from __future__ import annotations

from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.parcel import Message
from sipproxy.telemetry.settings import Mask, PrivacySettings
from sipproxy.telemetry.wire import Wire, WireMessage

AT_NS = 1_700_000_000_123_456_789
BYE = (
    b"BYE sip:+4915550001234@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n"
    b"From: <sip:+4930555098765@192.0.2.1>;tag=a\r\nTo: <sip:+4915550001234@192.0.2.9>;tag=b\r\n"
    b"Call-ID: one\r\nCSeq: 2 BYE\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nlilac"
)
READ = {mask: Wire(Masker(PrivacySettings(mask, "a key"))).read(BYE) for mask in Mask}


def message(
    *, sent: bool = False, peer: str = "192.0.2.1:5070", ours: str = "192.0.2.9:5060", transport: str = "UDP"
) -> Message:
    return Message(AT_NS, sent, transport, peer, ours, BYE)


def read(mask: Mask = Mask.LAST2) -> WireMessage:
    found = READ[mask]
    assert found is not None
    return found
