"""No number and no name leaves the process as it came, except when the operator says so."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipproxy.errors import LocalProtocolError
from sipproxy.telemetry.masking import LONGEST_TEXT, Masker, clean
from sipproxy.telemetry.settings import Mask, PrivacySettings

KEY = "a key of the operator"
MASKS = {mask: Masker(PrivacySettings(mask, KEY)) for mask in Mask}
LAST2, HASH, FULL, NONE = (MASKS[mask] for mask in (Mask.LAST2, Mask.HASH, Mask.FULL, Mask.NONE))

SIX_DIGITS = re.compile(r"\d{6}")
A_HASH = re.compile(r"h:[0-9a-f]{16}")
DIGITS = st.text("0123456789", min_size=6, max_size=20)
NOISE = st.text(st.characters(codec="utf-8") | st.sampled_from('0123456789+-. ()/:;<>@"'), max_size=40)
HIDING = pytest.mark.parametrize("masker", [LAST2, HASH, FULL], ids=["last2", "hash", "full"])


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ("+4915550001234", "***34"),
        ("1234", "***34"),
        ("112", "***"),
        ("alice", "***ce"),
        ("bob", "***"),
        ("", "***"),
        ("%61lice", "***ce"),
        ("+49-155-5000.1234;phone-context=example.com", "***34"),
        ("1234;npdi;rn=+4915550009876", "***34"),
        ("Jane Roe", "***oe"),
        ("j\u00f6rg", "***rg"),
        ("caf\udce9", "***f?"),
    ],
)
def test_of_a_user_two_characters_are_shown_if_it_has_more_than_three(user: str, shown: str) -> None:
    assert LAST2.mask_user(user) == shown


def test_full_shows_nothing_and_none_shows_all() -> None:
    assert FULL.mask_user("+4915550001234") == "***"
    assert NONE.mask_user("+4915550001234") == "+4915550001234"
    assert NONE.mask_text("call +4915550001234") == "call +4915550001234"
    assert NONE.mask_id("4915550001234@h") == "4915550001234@h"


def test_a_hash_is_an_hmac_that_the_operator_can_compute() -> None:
    # printf 4915550001234 | openssl dgst -sha256 -hmac 'a key of the operator' | cut -c1-16
    assert HASH.mask_user("+4915550001234") == "h:eb1e30dc3a9fc3be"


@pytest.mark.parametrize(
    "spelling", ["4915550001234", "+49 155 5000-1234", "+49.155.5000.1234;ext=1", "%2B4915550001234"]
)
def test_every_spelling_of_a_number_has_one_hash(spelling: str) -> None:
    assert HASH.mask_user(spelling) == HASH.mask_user("+4915550001234")


def test_text_and_user_have_one_hash() -> None:
    assert (
        HASH.mask_text("no route for +49 155 5000-1234") == f"no route for {HASH.mask_user('+4915550001234')}"
    )


def test_another_key_gives_another_hash() -> None:
    other = Masker(PrivacySettings(Mask.HASH, "some other secret"))
    assert other.mask_user("alice") != HASH.mask_user("alice") != HASH.mask_user("bob")


def test_hashing_needs_a_key() -> None:
    with pytest.raises(LocalProtocolError, match=r"privacy\.key"):
        Masker(PrivacySettings(Mask.HASH))


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("sip:alice@example.com", "***ce"),
        ("sips:alice:secret@example.com;transport=tls?subject=x", "***ce"),
        ("SIP:+4915550001234;phone-context=x@example.com;user=phone", "***34"),
        ("sip:a;b@c@example.com", "***"),  # nonsense shows nothing
        ("tel:+49-155-5000-1234;ext=55", "***34"),
        ("sip:example.com", None),
        ("urn:service:sos", None),
        ("", None),
    ],
)
def test_the_user_of_a_uri(uri: str, shown: str | None) -> None:
    assert LAST2.mask_uri(uri) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no route for 4915550001234", "no route for ***34"),
        ("+49 155-50001234", "***34"),
        ("+49 (155) 5000.1234, twice", "***34, twice"),
        ("(555) 123-4567", "***67"),
        ("0155 5000 1234", "***34"),
        ("0155/50001234", "***34"),
        ("555-123-4567", "***67"),
        ("x123456y", "x***56y"),
        ("\u0661\u0662\u0663\u0664\u0665\u0666", "***\u0665\u0666"),
        ('bad From: "Jane \\"J\\" Roe" <sip:jane@h>', "bad From: *** <sip:***ne@h>"),
        ("bad From: Jane Roe <sip:jane:secret@h>", "bad From: *** <sip:***ne@h>"),
        ("to tel:+4915550001234;ext=1 and tel:12345", "to tel:***34;ext=1 and tel:***45"),
    ],
)
def test_numbers_and_names_in_text(text: str, shown: str) -> None:
    assert LAST2.mask_text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "12345",
        "udp:127.0.0.1:5060",
        "192.168.100.200:65535",
        "2001:db8::1234",
        "486 after 180, 503 and 408",
        "SIPp v3.7.2, Asterisk 20.5.1",
        "port 5060 in use",
    ],
)
def test_what_is_no_number_stays(text: str) -> None:
    assert LAST2.mask_text(text) == text


@pytest.mark.parametrize(
    ("call_id", "shown"),
    [
        ("1-2345@127.0.0.1", "1-2345@127.0.0.1"),
        ("12-12345@127.0.0.1", "12-12345@127.0.0.1"),
        ("12-123456@127.0.0.1", "12-***56@127.0.0.1"),
        ("4915550001234@h", "***34@h"),
        ("+49-155-5000-1234@h", "***34@h"),
        ("a0123456789012345678901234567890b", "a***90b"),
    ],
)
def test_a_call_id_loses_its_numbers_and_keeps_its_fields(call_id: str, shown: str) -> None:
    assert LAST2.mask_id(call_id) == shown


@pytest.mark.parametrize(
    "call_id",
    [
        "0123456789abcdef0123456789abcdef",
        "550e8400-e29b-41d4-a716-446655440000",
        "550E8400-E29B-41D4-A716-446655440000@192.0.2.1",
    ],
)
def test_hexadecimal_ids_stay_whole(call_id: str) -> None:
    assert LAST2.mask_id(call_id) == call_id


def test_an_id_without_a_letter_is_a_number() -> None:
    assert LAST2.mask_id("00000000-0000-4000-8000-004915550001") == "***01"


def test_a_reference_of_the_operator_stays_unless_it_is_an_address() -> None:
    assert LAST2.mask_reference("1700000000.4711") == "1700000000.4711"
    assert LAST2.mask_reference("+4915550001234") == "***34"
    assert LAST2.mask_reference("sip:alice@example.com") == "sip:***ce@example.com"
    assert len(LAST2.mask_reference("x" * 1000)) == 128


def test_a_long_text_is_not_cut_through_a_number() -> None:
    text = "x" * (LONGEST_TEXT - 4) + "4915550001234"
    assert LAST2.mask_text(text) == "x" * (LONGEST_TEXT - 4)


@pytest.mark.parametrize("text", ["\x1b[2J", "a\tb", "caf\udce9", "a\u2028b", "\x00"])
def test_nothing_steers_a_terminal_or_breaks_utf8(text: str) -> None:
    shown = NONE.mask_text(text)
    assert shown.isprintable()
    shown.encode()


@given(NOISE, DIGITS, NOISE)
@HIDING
def test_no_number_survives_in_text(masker: Masker, before: str, number: str, after: str) -> None:
    for shown in (masker.mask_text(before + number + after), masker.mask_id(f"{before} {number} {after}")):
        assert not SIX_DIGITS.search(A_HASH.sub("", shown))


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_last2_shows_two_characters_of_a_user(user: str) -> None:
    assert len(LAST2.mask_user(user)) <= len("***") + 2
    assert FULL.mask_user(user) == "***"
    assert A_HASH.fullmatch(HASH.mask_user(user))


@given(DIGITS, st.sampled_from(["sip:{}@h", "sips:{}:{}@h", "tel:{}", "tel:+{};ext={}", "sip:{};rn={}@h"]))
@HIDING
def test_no_user_of_a_uri_survives(masker: Masker, number: str, form: str) -> None:
    uri = form.format(number, number)
    assert number not in str(masker.mask_uri(uri))
    assert number not in masker.mask_text(f"bad address <{uri}>")


@given(st.text())
def test_clean_text_can_be_sent_and_printed(text: str) -> None:
    assert clean(text).isprintable()
    assert len(clean(text)) == len(text)


@pytest.mark.parametrize(
    "mask", [LAST2.mask_user, LAST2.mask_text, LAST2.mask_id], ids=["user", "text", "id"]
)
def test_long_texts_are_masked_and_not_kept(mask: Callable[[str], str]) -> None:
    def references_kept(text: str) -> int:
        before = sys.getrefcount(text)
        assert "4915550001234" not in mask(text)
        return sys.getrefcount(text) - before

    assert references_kept(f"short {mask!r} 4915550001234") > 0
    assert references_kept(f"{'long' * 1000} 4915550001234") == 0


def test_escaped_digits_are_digits() -> None:
    masker = Masker(PrivacySettings())
    assert masker.mask_id("%34%39%31%35%35%35%30@h") == "***50@h"
    assert masker.mask_text("to 49%3155500") == "to ***00"
    assert masker.mask_id("a%2Fb%3f1") == "a%2Fb%3f1"  # others stay
