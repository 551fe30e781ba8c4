"""What is read of a NOTIFY that passes: which REFER it is about, and what it reports."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.relaying import event_of, reported_status
from tests.unit.b2bua.messages import request


@pytest.mark.parametrize(
    ("row", "package", "number"),
    [
        ("Event: refer", "refer", None),
        ("o: refer", "refer", None),
        ("Event: refer;id=93809824", "refer", 93809824),
        ("Event: Refer ; ID = 7", "refer", 7),
        ("Event: refer;x=1;id=7;y", "refer", 7),
        ("Event: refer;id=0", "refer", 0),
        ("Event: refer;id=4294967295", "refer", 4294967295),
        ("Event: refer;id=", "refer", None),
        ("Event: refer;id=seven", "refer", None),
        ("Event: refer;id=-7", "refer", None),
        ("Event: refer;id=\u0667", "refer", None),  # a digit, but none of SIP's
        ("Event: refer;id=12345678901", "refer", None),  # longer than any CSeq
        ("Event: refer;idea=7", "refer", None),
        ("Event: dialog;id=7", "dialog", 7),
        ("Event: refer.winfo", "refer.winfo", None),
        ("X: none", "", None),
    ],
)
def test_the_event_names_its_refer(row: str, package: str, number: int | None) -> None:
    assert event_of(request(row, method="NOTIFY")) == (package, number)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"SIP/2.0 200 OK", 200),
        (b"SIP/2.0 100 Trying\r\nTo: x\r\n", 100),
        (b"SIP/2.0 486", 486),
        (b"\r\n SIP/2.0  699 Far out\r\n", 699),
        (b"sip/2.0 180 Ringing", 180),
        (b"", 0),
        (b"SIP/2.0", 0),
        (b"SIP/2.0 OK", 0),
        (b"SIP/2.0 -20 x", 0),
        (b"SIP/2.0 99 x", 0),
        (b"SIP/2.0 700 x", 0),
        (b"SIP/1.0 200 OK", 0),
        (b"HTTP/1.1 200 OK", 0),
        (b"INVITE sip:b@h SIP/2.0", 0),
        (b" " * 64 + b"SIP/2.0 200 OK", 0),  # no sipfrag begins so late
        (b"SIP/2.0 " + b"9" * 4000, 0),
        (b"\xff\xfe\x00", 0),
    ],
)
def test_what_a_sipfrag_reports(body: bytes, status: int) -> None:
    assert reported_status(body) == status
