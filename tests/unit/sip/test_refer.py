"""Refer-To, Replaces and Target-Dialog: as user agents write them, and as they may not be written."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipproxy.errors import RemoteProtocolError
from sipproxy.sip.message import Headers
from sipproxy.sip.refer import (
    MARKER,
    REFER_TO,
    REFERRED_BY,
    REPLACES,
    TARGET_DIALOG,
    ReferTo,
    Replaces,
    TargetDialog,
    escape,
    uri_headers,
    without_parameters,
)
from sipproxy.sip.uri import Uri

TP = "00-4bf92f3577f34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PREVIOUS = "4bf92f3577f34da6a3ce929d0e0e4736;span=00f067aa0ba902b7"


def dialog(replaces: Replaces | None) -> tuple[str, str, str, bool] | None:
    if replaces is None:
        return None
    return replaces.call_id, replaces.to_tag, replaces.from_tag, replaces.early_only


def status_of(parse: Callable[[str], object], text: str) -> int:
    with pytest.raises(RemoteProtocolError) as caught:
        parse(text)
    return caught.value.status


# Refer-To: the address


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("<sip:carol@h.example>", "sip:carol@h.example"),
        ("sip:carol@h.example", "sip:carol@h.example"),
        ("Carol <sip:carol@h>", "sip:carol@h"),
        ('"Carol, \\"C\\" <x@y>" <sips:carol@h:5061>', "sips:carol@h:5061"),
        ("<SIP:Carol@H.Example:5070;transport=UDP>", "SIP:Carol@H.Example:5070;transport=UDP"),
        ("<sip:carol@h>;early;x=1", "sip:carol@h"),  # parameters of the header field
        ("sip:carol@h;x=1", "sip:carol@h"),  # here too (RFC 3261 section 20)
        ("<sip:192.0.2.1>", "sip:192.0.2.1"),
        ("<sip:carol@[2001:db8::1]:5070>", "sip:carol@[2001:db8::1]:5070"),
        ("sip:[2001:db8::1]", "sip:[2001:db8::1]"),
        ("<sip:+49;npdi;cpc=a?b:pw@h;user=phone>", "sip:+49;npdi;cpc=a?b:pw@h;user=phone"),
        ("sip:+49;npdi@h", "sip:+49;npdi@h"),  # what has an @ behind it is no parameter
        ("<sip:c%61rol%40x@h;a=%3b>", "sip:c%61rol%40x@h;a=%3b"),  # escapes are the target's
        ("<tel:+1-201-555-0123;phone-context=example.com>", "tel:+1-201-555-0123;phone-context=example.com"),
        ("<sip:carol@h?>", "sip:carol@h"),
        ("<sip:\udcff\udcfe@h>", "sip:\udcff\udcfe@h"),  # bytes that are no UTF-8
    ],
)
def test_an_address_keeps_the_characters_it_came_with(text: str, uri: str) -> None:
    target = ReferTo.parse(text)
    assert (target.uri, str(target.parsed).lower()) == (uri, uri.lower())
    assert (target.headers, dialog(target.replaces), target.refused) == ([], None, 0)


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("<sip:carol@h;method=INVITE>", "sip:carol@h"),
        ("<sip:carol@h;transport=tcp;Method=invite;user=phone>", "sip:carol@h;transport=tcp;user=phone"),
        ("<sip:h;m%65thod=INV%49TE;x>", "sip:h;x"),
        (f"<sip:carol@h;{MARKER}=0123;method=INVITE>", f"sip:carol@h;{MARKER}=0123"),  # whose, is not said
    ],
)
def test_a_method_does_not_go_on(text: str, uri: str) -> None:
    assert ReferTo.parse(text).uri == uri


@pytest.mark.parametrize(
    ("uri", "without"),
    [
        (f"sip:carol@h;{MARKER}=0123;user=phone", "sip:carol@h;user=phone"),
        (f"sip:carol@h;{MARKER.upper()}=0123;{MARKER}", "sip:carol@h"),
        ("sip:carol@h;%73ipproxy-ref=0123", "sip:carol@h"),
        (f"sip:carol@h;{MARKER}=0123;x=a@b", "sip:carol@h;x=a@b"),
        (f"sip:{MARKER}=1;{MARKER}=2@h;{MARKER}=3", f"sip:{MARKER}=1;{MARKER}=2@h"),  # its user is its own
        (f"tel:+1;{MARKER}=0123;x=y", "tel:+1;x=y"),
    ],
)
def test_a_marker_of_ours_does_not_go_on(uri: str, without: str) -> None:
    assert without_parameters(uri, MARKER) == without


@pytest.mark.parametrize(
    "text",
    [
        "", "<>", "carol", "<sip:carol@>", "<sip:@h>", "<sip:carol@h", "<sip:carol@h> <sip:dave@h>",
        "<sip:carol@h>, <sip:dave@h>", "sip:carol@h, sip:dave@h", "sip:carol,dave@h?a=b", "sip:carol@h>",
        '"Carol <sip:carol@h>', '"Carol" sip:carol@h', "<sip:ca rol@h>", "<sip:ca\0rol@h>", "<sip:carol@h;>",
        "<sip:carol@[2001:db8::1>", "<tel:>", "<tel:+1@h>", "<tel:+1?Route=x>", "<tel:+1;x=y?Route=x>",
    ],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    assert status_of(ReferTo.parse, text) == 400


@pytest.mark.parametrize("text", ["<http://example.com/>", "<urn:service:sos>", "<im:carol@h>"])
def test_an_address_that_cannot_be_called(text: str) -> None:
    assert status_of(ReferTo.parse, text) == 416


@pytest.mark.parametrize(
    "parameters",
    ["method=BYE", "METHOD=subscribe", "method", "x;%6dethod=REFER", "method=INVITE;method=BYE"],
)
def test_a_transfer_places_a_call_and_nothing_else(parameters: str) -> None:
    assert status_of(ReferTo.parse, f"<sip:carol@h;{parameters}>") == 603


def test_two_in_a_request_are_two_however_they_are_written() -> None:
    def count(*values: str) -> int:
        headers = Headers()
        for value in values:
            headers.add("Refer-To", value)
        return len(headers.every(REFER_TO))

    assert count() == 0
    assert count("<sip:a,b@h?Subject=c,d>") == count('"A, B" <sip:a@h>') == 1
    assert count("<sip:a@h>, <sip:b@h>") == count("sip:a@h,sip:b@h") == count("<sip:a@h>", "<sip:b@h>") == 2
    headers = Headers()
    headers.add("r", "<sip:a@h>, <sip:b@h>")
    with pytest.raises(RemoteProtocolError):
        headers.first(REFER_TO)


def test_compact_names_are_known() -> None:
    headers = Headers()
    headers.add("r", "<sip:carol@h>")
    (target,) = headers.every(REFER_TO)
    assert target.uri == "sip:carol@h"
    headers.add("b", '"Bob" <sip:bob@h>;cid="x@y"')
    assert headers.first(REFERRED_BY) == '"Bob" <sip:bob@h>;cid="x@y"'


# Refer-To: its headers


def test_headers_are_decoded_once_and_keep_their_order() -> None:
    target = ReferTo.parse(f"<sip:carol@h;x=1?traceparent={TP}&Subject=a%2520b%26c%3Dd&X-E=&s%20=%c3%9c>")
    assert target.uri == "sip:carol@h;x=1"
    assert target.headers == [("traceparent", TP), ("Subject", "a%20b&c=d"), ("X-E", ""), ("s", "Ü")]


@pytest.mark.parametrize(
    "text",
    [
        "<sip:carol@h?Replaces=425928%40bobster.example.org%3Bto-tag%3D7743%3Bfrom-tag%3D6472>",
        "<sip:carol@h?replaces=425928%40bobster.example.org%3bfrom-tag%3d6472%3bto-tag%3d7743>",  # linphonec
        "<sip:carol@h?REPLACES=425928@bobster.example.org;To-Tag=7743;FROM-TAG=6472>",  # escapes left out
        "sip:carol@h?Replaces=425928%40bobster.example.org%3Bto-tag%3D7743%3Bfrom-tag%3D6472",
        "sip:carol@h?Subject=a&Re%70laces=425928@bobster.example.org;to-tag=7743;from-tag=6472",
        '"C" <sip:carol@h?Replaces=425928@bobster.example.org%20;%20to-tag=7743;from-tag=6472;x=%22y%22>;z=1',
    ],
)
def test_the_dialog_to_be_replaced(text: str) -> None:
    target = ReferTo.parse(text)
    assert target.uri == "sip:carol@h"
    assert dialog(target.replaces) == ("425928@bobster.example.org", "7743", "6472", False)
    assert target.headers in ([], [("Subject", "a")])


def test_a_uri_without_brackets_may_have_parameters_before_its_headers() -> None:
    target = ReferTo.parse("sip:carol@h;transport=tcp?Subject=a")
    assert (target.uri, target.headers) == ("sip:carol@h;transport=tcp", [("Subject", "a")])


@pytest.mark.parametrize(
    "name",
    [
        "From", "f", "To", "t", "Call-ID", "i", "CSeq", "Via", "v", "Route", "Record-Route", "Contact", "m",
        "Max-Forwards", "Content-Length", "l", "CONTENT-TYPE", "c", "Content-Disposition", "Content-X", "e",
        "body", "Accept", "Accept-Encoding", "a", "Allow", "Supported", "k", "Require", "User-Agent",
        "Organization", "Date", "Timestamp", "MIME-Version", "Authorization", "Proxy-Authorization",
        "Proxy-Require", "Join", "P-Asserted-Identity", "Remote-Party-ID", "Identity", "y", "Privacy",
        "Refer-To", "r", "Referred-By", "b", "Event", "o", "Session-Expires", "x", "History-Info",
        "Session-ID", "Diversion", "WWW-Authenticate", "Answer-Mode", "Priv-Answer-Mode",
        "Resource-Priority", "Security-Verify", "Fr%6fm", "From%20",
    ],
)  # fmt: skip
def test_what_a_refer_may_not_ask_for_is_dropped_and_counted(name: str) -> None:
    target = ReferTo.parse(f"<sip:carol@h?Subject=a&{name}=b&X-C=d>")
    assert (target.headers, target.refused) == ([("Subject", "a"), ("X-C", "d")], 1)


@pytest.mark.parametrize("sign", ["%0d", "%0A", "%0d%0aVia: x", "%00", "\0", "\r\n"])
@pytest.mark.parametrize(
    "pair", ["Subject=a{}b", "Sub{}ject=a", "{}a=b", "From={}b", "Replaces=a{}%3Bto-tag%3Db"]
)
def test_no_line_can_be_smuggled_in(sign: str, pair: str) -> None:
    assert status_of(ReferTo.parse, f"<sip:carol@h?{pair.format(sign)}>") == 400
    assert status_of(ReferTo.parse, f"sip:carol@h?{pair.format(sign)}") == 400


@pytest.mark.parametrize(
    "headers",
    [
        "Subject", "=a", "a:b=c", "a b=c", "a%20b=c", "%ff=a", "?", "a=b&c", "Replaces", "Replaces=",
        "Replaces=a", "Replaces=a%3Bto-tag%3Db", "Replaces=%3Bto-tag%3Db%3Bfrom-tag%3Dc",
        "Replaces=a;to-tag=b;from-tag=c&replaces=a;to-tag=b;from-tag=c",
        "Replaces=a;to-tag=b;from-tag=c,d;to-tag=e;from-tag=f",
        "Replaces=a;to-tag=b;from-tag=c%2Cd",
    ],
)  # fmt: skip
def test_malformed_headers_refuse_the_refer(headers: str) -> None:
    assert status_of(ReferTo.parse, f"<sip:carol@h?{headers}>") == 400


def test_a_stray_ampersand_says_nothing() -> None:
    assert uri_headers("&a=b&&c=d=e&") == [("a", "b"), ("c", "d=e")]
    assert uri_headers("") == uri_headers("&") == []


# Refer-To, written


def test_what_is_added_stands_first_and_only_once() -> None:
    target = ReferTo.parse(f"<sip:carol@h?Subject=a%26b&TraceParent={TP}&X-C=%25>")
    extra = [("traceparent", TP.replace("01", "00")), ("previous-trace-id", PREVIOUS)]
    assert target.written(
        f"sip:carol@us:5060;{MARKER}=0a", extra, Replaces("i@h", "a", "b", early_only=True)
    ) == (
        f"<sip:carol@us:5060;{MARKER}=0a?traceparent={TP.replace('01', '00')}"
        "&previous-trace-id=4bf92f3577f34da6a3ce929d0e0e4736%3Bspan%3D00f067aa0ba902b7"
        "&Subject=a%26b&X-C=%25&Replaces=i%40h%3Bto-tag%3Da%3Bfrom-tag%3Db%3Bearly-only>"
    )


def test_without_headers_there_is_no_question_mark() -> None:
    assert ReferTo.parse("sip:carol@h?").written("sip:carol@us", [], None) == "<sip:carol@us>"


def test_a_tel_uri_is_written_without_headers() -> None:
    assert ReferTo.parse("<tel:+1>").written("tel:+1", [("traceparent", TP)], None) == "<tel:+1>"
    assert ReferTo.parse("<tel:+1>").written("sip:+1@us", [("a", "b")], None) == "<sip:+1@us?a=b>"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        (TP, TP),
        ("a-_.!~*'()[]/?:+$Z", "a-_.!~*'()[]/?:+$Z"),
        ('a b"<>&=;@,%\\^`{|}#', "a%20b%22%3C%3E%26%3D%3B%40%2C%25%5C%5E%60%7B%7C%7D%23"),
        ("a%20", "a%2520"),
        ("Ü\udcff", "%C3%9C%FF"),
        ("", ""),
    ],
)
def test_escapes(text: str, escaped: str) -> None:
    assert escape(text) == escaped
    assert uri_headers(f"a={escaped}") == [("a", text)]


# Dialogs


def test_a_dialog_is_read_and_written() -> None:
    text = "98732@sip.example.com;from-tag=r33th4x0r;to-tag=ff87ff;early-only"
    assert dialog(Replaces.parse(text)) == ("98732@sip.example.com", "ff87ff", "r33th4x0r", True)
    assert str(Replaces.parse(text)) == "98732@sip.example.com;to-tag=ff87ff;from-tag=r33th4x0r;early-only"
    assert dialog(Replaces.parse(" a ; TO-TAG = 1 ;\r\n from-tag=2;x ")) == ("a", "1", "2", False)
    assert Replaces.parse('(<a>:"\\/[?]{b}@c;to-tag=1;from-tag=2').call_id == '(<a>:"\\/[?]{b}@c'


def test_a_dialog_without_a_tag_is_written_with_a_zero() -> None:
    assert str(Replaces("a", "", "2")) == "a;to-tag=0;from-tag=2"


def test_a_target_dialog_is_read_and_written() -> None:
    headers = Headers()
    headers.add("target-dialog", "fa77@host.example.com;remote-tag=6544;local-tag=kkaz-;x=1")
    (target,) = headers.every(TARGET_DIALOG)
    assert (target.call_id, target.local_tag, target.remote_tag) == ("fa77@host.example.com", "kkaz-", "6544")
    assert str(target) == "fa77@host.example.com;local-tag=kkaz-;remote-tag=6544"


@pytest.mark.parametrize(
    ("kind", "one", "other"), [(Replaces, "to", "from"), (TargetDialog, "local", "remote")]
)
@pytest.mark.parametrize(
    "text",
    [
        "", "a", "a;{one}-tag=1", "a;{other}-tag=1", ";{one}-tag=1;{other}-tag=2",
        "a;{one}-tag;{other}-tag=2", "a;{one}-tag=;{other}-tag=2", "a;{one}-tag=1;;{other}-tag=2",
        "a?{one}-tag=1&{other}-tag=2",
        "a;{one}-tag=1;{other}-tag=2;{one}-tag=3", "a;{one}-tag=1;{other}-tag=2;{ONE}-tag=1",
        "a b;{one}-tag=1;{other}-tag=2", "a,b;{one}-tag=1;{other}-tag=2", "a;{one}-tag=1;{other}-tag=2,3",
        "a;{one}-tag=1;{other}-tag=2, b;{one}-tag=1;{other}-tag=2", "a;{one}-tag=1\0;{other}-tag=2",
    ],
)  # fmt: skip
def test_what_names_no_dialog(
    kind: type[Replaces] | type[TargetDialog], one: str, other: str, text: str
) -> None:
    assert status_of(kind.parse, text.format(one=one, ONE=one.upper(), other=other)) == 400


def test_two_replaces_in_one_line_are_two() -> None:
    headers = Headers()
    headers.add("Replaces", "a;to-tag=1;from-tag=2, b;to-tag=1;from-tag=2")
    assert [str(replaces) for replaces in headers.every(REPLACES)] == [
        "a;to-tag=1;from-tag=2",
        "b;to-tag=1;from-tag=2",
    ]


# Parameters


def test_parameters_are_taken_out_by_name() -> None:
    assert without_parameters("sip:a;x=1@h;X=2;y;x;z=x", "x") == "sip:a;x=1@h;y;z=x"
    assert without_parameters("sip:[::1]:5060;x=1;y=[::2];X", "x", "y") == "sip:[::1]:5060"
    assert without_parameters("sip:h;xx=1;x-=2", "x") == "sip:h;xx=1;x-=2"
    assert without_parameters("tel:+1;x=1;y", "x") == "tel:+1;y"
    assert without_parameters("sip:h", "x") == "sip:h"


# Anything

TEXT = st.binary(max_size=60).map(lambda data: data.decode("utf-8", "surrogateescape"))
VALUE = TEXT.filter(lambda text: not {"\r", "\n", "\0"} & set(text))
TOKEN = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=12)
NAME = TOKEN.map(lambda text: "X-" + text)
CALL_ID = st.text("abcXYZ019-.!%*_+`'~@()<>:\\\"/[]?{}", min_size=1, max_size=20)
DIALOG = st.builds(Replaces, CALL_ID, TOKEN, TOKEN, early_only=st.booleans())
URI = st.sampled_from(
    ["sip:carol@h", "sips:h:5061", "sip:[::1]:5070;transport=tcp", "sip:a;b?c=d:e@h;x", "SIP:%40@H;a=b"]
)


@given(TEXT)
def test_what_was_escaped_comes_back(text: str) -> None:
    assert re.fullmatch(r"([\w.!~*'()\[\]/?:+$-]|%[0-9A-F]{2})*", escape(text), re.ASCII)
    if not {"\r", "\n", "\0"} & set(text):
        assert uri_headers(f"a={escape(text)}") == [("a", text)]


@given(URI, st.lists(st.tuples(NAME, VALUE), max_size=6), st.none() | DIALOG)
def test_what_was_written_comes_back(
    uri: str, headers: list[tuple[str, str]], replaces: Replaces | None
) -> None:
    text = ReferTo(uri, headers, replaces).written(uri, [], replaces)
    lines = Headers()
    lines.add("Refer-To", text)
    (read,) = lines.every(REFER_TO)
    assert (read.uri, read.headers, read.refused) == (uri, headers, 0)
    assert dialog(read.replaces) == dialog(replaces)
    assert read.written(uri, [], read.replaces) == text
    assert Uri.parse(text[1:-1]).host == Uri.parse(uri).host


@given(DIALOG)
def test_a_dialog_that_was_written_comes_back(replaces: Replaces) -> None:
    assert dialog(Replaces.parse(str(replaces))) == dialog(replaces)
    target = TargetDialog(replaces.call_id, replaces.to_tag, replaces.from_tag)
    read = TargetDialog.parse(str(target))
    assert (read.call_id, read.local_tag, read.remote_tag) == dialog(replaces)[:3]  # type: ignore[index]


@given(TEXT | st.text('sip:@h?&=;%3bRePlaces<>",\\0a[]- \r\n\0', max_size=60))
def test_reading_anything_raises_nothing_else(text: str) -> None:
    for form in ("{}", "<{}>", "<sip:{}>", "<sip:c@h?{}>", "<sip:c@h;{}>", "<tel:{}>"):
        with suppress(RemoteProtocolError):
            target = ReferTo.parse(form.format(text))
            again = ReferTo.parse(target.written(target.uri, [], target.replaces))
            assert (again.uri, again.headers, again.refused) == (target.uri, target.headers, 0)
            assert dialog(again.replaces) == dialog(target.replaces)
    for parse in (Replaces.parse, TargetDialog.parse):
        with suppress(RemoteProtocolError):
            value = parse(text)
            assert str(parse(str(value))) == str(value)


@pytest.mark.parametrize(
    "piece",
    ["a=b&", "&", "%", "%41", ";a", ";", "<", ">", '"', "\\", "?", "@", ",", ":", " ", "a", "Replaces=a;"],
)
def test_time_grows_with_length_and_not_faster(piece: str) -> None:
    count = 300_000 // len(piece)  # several datagrams' worth: were it quadratic, it would take minutes
    began = perf_counter()
    for form in ("{}", "<sip:c@h?{}>", "<sip:c@h;{}>", '"{}" <'):
        for parse in (ReferTo.parse, Replaces.parse, TargetDialog.parse):
            with suppress(RemoteProtocolError):
                parse(form.format(piece * count))
    escape(piece * count)
    assert perf_counter() - began < 10
