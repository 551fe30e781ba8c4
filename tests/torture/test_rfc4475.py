"""RFC 4475: fifty messages that parsers get wrong. `index.yaml` beside them is the judge."""

from __future__ import annotations

import pytest

from sipproxy.sip.flow import TCP
from sipproxy.sip.message import Request, parse
from tests.torture.hop import Hop, Reaction, judge
from tests.torture.messages import Torture, load, needs_shared

MESSAGES = {message.name: message for message in load("rfc4475")}

pytestmark = needs_shared


def reaction_to(name: str) -> Reaction:
    return Hop().send(MESSAGES[name].data, MESSAGES[name].transport)


def forwarded(name: str) -> Request:
    """The one request that went to the trunk."""
    (request,) = [request for request in reaction_to(name).forwarded if request.method != "ACK"]
    return request


def test_all_fifty_are_here() -> None:
    assert len(MESSAGES) == 50


@pytest.mark.parametrize("message", MESSAGES.values(), ids=str)
def test_the_proxy_does_what_the_message_earns(message: Torture) -> None:
    judge(Hop(), message.data, message.transport, message.outcomes)


@pytest.mark.parametrize("message", [m for m in MESSAGES.values() if m.valid], ids=str)
def test_what_is_well_formed_can_be_read_and_written_unchanged(message: Torture) -> None:
    read = parse(message.data)
    written = read.encode()
    assert message.data.startswith(written) or "content-length" not in read.headers


@pytest.mark.parametrize("message", MESSAGES.values(), ids=str)
def test_on_a_stream_it_leaves_the_proxy_in_order(message: Torture) -> None:
    hop = Hop()
    hop.send(message.data, TCP)
    hop.pass_time()
    assert hop.answers_options()
    hop.pass_time()
    assert hop.left_over() == []


@pytest.mark.parametrize("name", ["ncl", "clerr", "mcl01"])
def test_a_wrong_length_on_a_stream_forwards_nothing(name: str) -> None:
    assert not Hop().send(MESSAGES[name].data, TCP).forwarded


def test_wsinv_without_its_to_tag_is_a_call_and_its_odd_headers_pass_untouched() -> None:
    data = MESSAGES["wsinv"].data.replace(b" ;   tag    = 1918181833n", b"")
    request = next(r for r in Hop().send(data).forwarded if r.method == "INVITE")
    assert "NewFangledHeader:   newfangled value\r\n continued newfangled value" in request.headers.lines
    assert "UnknownHeaderWithUnusualValue: ;;,,;;,;" in request.headers.lines
    assert request.headers.text("max-forwards") == "67"
    assert request.body == parse(MESSAGES["wsinv"].data).body


@pytest.mark.parametrize("name", ["intmeth", "esc02"])
def test_an_unusual_method_is_neither_cut_nor_decoded(name: str) -> None:
    data = MESSAGES[name].data
    answers = reaction_to(name).answers
    method = data.split(b" ", 1)[0].decode()
    assert forwarded(name).method == method
    assert all(str(answer.headers.text("cseq")).endswith(method) for answer in answers)
    call_id = next(
        line for line in data.decode("utf-8", "surrogateescape").split("\r\n") if "Call-ID" in line
    )
    assert all(call_id in answer.headers.lines for answer in answers)


def test_intmeth_loses_nothing_behind_the_quoted_nul() -> None:
    sent = parse(MESSAGES["intmeth"].data)
    lines = forwarded("intmeth").headers.lines
    passing = [
        line for line in sent.headers.lines if line.startswith(("From", "To", "extensionHeader", "Unknown"))
    ]
    assert any("\\\0" in line for line in passing)
    assert [line for line in passing if line not in lines] == []


def test_esc01_keeps_every_escape() -> None:
    uri = MESSAGES["esc01"].data.split(b" ", 2)[1].decode()
    assert forwarded("esc01").uri == uri


def test_esc02_has_two_contacts_not_three() -> None:
    request = forwarded("esc02")
    assert request.headers.keys.count("contact") == 2
    assert any(line.startswith("C%6Fntact: ") for line in request.headers.lines)


def test_escnull_keeps_both_contacts_whole() -> None:
    contacts = [line for line in forwarded("escnull").headers.lines if line.startswith("Contact")]
    assert contacts == ["Contact: <sip:%00@host5.example.com>", "Contact: <sip:%00%00@host5.example.com>"]


def test_longreq_gets_every_via_back_in_order() -> None:
    sent = parse(MESSAGES["longreq"].data)
    vias = [value for value in sent.headers.values("via")]
    for answer in reaction_to("longreq").answers:
        assert answer.headers.values("via")[1:] == vias[1:]
        assert answer.headers.values("via")[0].startswith("SIP/2.0/TCP sip33.example.com")


def test_transports_gets_unknown_transports_back() -> None:
    sent = parse(MESSAGES["transports"].data)
    (answer,) = reaction_to("transports").answers
    assert answer.headers.values("via")[1:] == sent.headers.values("via")[1:]


def test_dblreq_forwards_no_noise() -> None:
    (wire,) = reaction_to("dblreq").wire
    assert b"INVITE" not in wire
    assert wire.endswith(b"\r\n\r\n")


def test_mpart01_carries_its_body_byte_for_byte() -> None:
    (wire,) = reaction_to("mpart01").wire
    body = MESSAGES["mpart01"].data.partition(b"\r\n\r\n")[2]
    assert len(body) == 553
    assert wire.partition(b"\r\n\r\n")[2] == body


def test_escruri_neither_keeps_nor_obeys_the_route_in_its_uri() -> None:
    for request in reaction_to("escruri").forwarded:
        assert "?" not in request.uri
        assert "route" not in request.headers


def test_semiuri_keeps_its_user() -> None:
    assert forwarded("semiuri").parsed_uri.user == "user;par=u%40example.net"


def test_inv2543_gets_the_max_forwards_it_lacks() -> None:
    reaction = reaction_to("inv2543")
    invite = reaction.forwarded[0]
    assert invite.headers.text("max-forwards") == "70"
    assert invite.body == MESSAGES["inv2543"].data.partition(b"\r\n\r\n")[2]


def test_bext01_names_what_is_not_supported() -> None:
    (answer,) = reaction_to("bext01").answers
    wanted = {
        "nothingSupportsThis",
        "nothingSupportsThisEither",
        "noProxiesSupportThis",
        "norDoAnyProxiesSupportThis",
    }
    listed = {tag.strip().lower() for tag in (answer.headers.text("unsupported") or "").split(",")}
    assert listed == {tag.lower() for tag in wanted}


def test_regaut01_keeps_its_authorization() -> None:
    assert any(
        line.startswith("Authorization: NoOneKnowsThisScheme") for line in forwarded("regaut01").headers.lines
    )


def test_regescrt_does_not_obey_the_route_in_its_contact() -> None:
    request = forwarded("regescrt")
    assert "route" not in request.headers
    assert "?Route=%3Csip:sip.example.com%3E" in (request.headers.text("contact") or "")


def test_cparam_parameters_stay_where_they_were() -> None:
    assert forwarded("cparam01").headers.text("contact") == "sip:+19725552222@gw1.example.net;unknownparam"
    assert forwarded("cparam02").headers.text("contact") == "<sip:+19725552222@gw1.example.net;unknownparam>"


def test_badbranch_twice_is_two_requests_unless_it_is_the_same() -> None:
    hop = Hop()
    data = MESSAGES["badbranch"].data
    assert hop.send(data).forwarded
    assert hop.send(data.replace(b"badbranch.", b"another.")).forwarded
    assert not hop.send(data).forwarded
