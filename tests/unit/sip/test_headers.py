"""Kinds of headers: names in every spelling, values parsed when read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipproxy.errors import RemoteProtocolError
from sipproxy.sip.headers import (
    CALL_ID,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    MAX_FORWARDS,
    RETRY_AFTER,
    SESSION_EXPIRES,
    SUPPORTED,
    VIA,
    Kind,
    key_of,
)

COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}


@pytest.mark.parametrize(("short", "long"), COMPACT.items())
def test_compact_forms_of_the_registry(short: str, long: str) -> None:
    assert key_of(short) == key_of(short.upper()) == long


@pytest.mark.parametrize("name", ["Via", "VIA", "via", "vIa", "Via ", "via\t ", "v", "V\t"])
def test_a_name_in_every_spelling(name: str) -> None:
    assert key_of(name) == VIA.key


@pytest.mark.parametrize("name", ["", " ", " Via", "X Y", "X(Y)", "Vía", "X\r", "a,b", 'a"b'])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(RemoteProtocolError):
        key_of(name)


def test_an_unknown_name_is_its_own_key() -> None:
    assert key_of("X-Whatever!%*_+`'~") == "x-whatever!%*_+`'~"


def test_adding_a_header_is_adding_a_row() -> None:
    kind = Kind("X-Test-Only", int, "9")
    assert key_of("9") == key_of("X-TEST-ONLY") == kind.key
    assert repr(kind) == "Kind(X-Test-Only)"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (MAX_FORWARDS, "0068", 68),
        (MAX_FORWARDS, "300", 255),  # more than there is: as much as there is
        (CONTENT_LENGTH, "0", 0),
        (SESSION_EXPIRES, "1800;refresher=uac", 1800),
        (RETRY_AFTER, "120 (busy);duration=60", 120),
        (RETRY_AFTER, "18000;duration=3600", 18000),
        (SUPPORTED, "100rel, timer", ["100rel", "timer"]),
        (SUPPORTED, "", []),
        (CALL_ID, "a@b", "a@b"),
        (CONTENT_TYPE, "application/sdp;x=y", "application/sdp;x=y"),
    ],
)
def test_a_value(kind: Kind[object], text: str, value: object) -> None:
    assert kind.parse(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (MAX_FORWARDS, "many"),
        (MAX_FORWARDS, "-1"),
        (MAX_FORWARDS, ""),
        (CONTENT_LENGTH, "1 0"),
        (CONTENT_LENGTH, str(2**40)),
        (SESSION_EXPIRES, "soon"),
        (RETRY_AFTER, "(tomorrow)"),
        (RETRY_AFTER, ""),
    ],
)
def test_a_value_that_is_none(kind: Kind[object], text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        kind.parse(text)


@given(st.text())
def test_any_name_has_a_key_or_is_refused(name: str) -> None:
    try:
        key = key_of(name)
    except RemoteProtocolError:
        return
    assert key == key.lower() == key_of(key)
