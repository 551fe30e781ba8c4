"""What the probe says of a path, for each thing that a path can do to a call."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sipproxy.probe.fates import Fate
from sipproxy.probe.messages import LARGE, SMALL
from sipproxy.probe.report import in_yaml
from sipproxy.probe.sip_verdict import CARRIERS
from sipproxy.sip.build import respond_to
from sipproxy.sip.message import Request, Response

from .support import Change, Path, found, probe, saying, strip, timed


def test_a_path_that_passes_everything() -> None:
    path = Path()
    seen, report = probe(path)
    assert {each.carrier for each in report.findings} == set(CARRIERS)
    assert {each.fate for each in report.findings} == {Fate.SURVIVED}
    assert report.good
    assert report.verdict[0] == "The trace gets through: traceparent."
    assert report.switch_on == {
        "trace": {"send": ["traceparent", "tracestate", "baggage"]},
        "refer": "relay",
    }
    assert report.verdict[-1].endswith(in_yaml(report.switch_on))
    assert report.facts["call_id"] == "kept"
    assert report.facts["hops"] == "1 by Via, 1 by Max-Forwards"
    assert path.requests.count("INVITE") == 7, "six calls, and the one that is transferred"
    assert path.requests.count("BYE") == 7
    assert seen.counts == {}


def test_the_long_invites_are_as_long_as_they_say() -> None:
    seen, _ = probe(Path())
    for name, size, transport in (("trace", SMALL, "UDP"), ("large", LARGE, "TCP")):
        call = seen.call(name)
        assert call is not None
        assert call.sent is not None
        assert abs(call.sent.size - size) < 24
        assert call.sent.transport == transport


def test_a_path_that_takes_headers_away() -> None:
    _, report = probe(Path(strip("traceparent", "tracestate", "baggage")), wanted=["traceparent", "baggage"])
    assert [each.carrier for each in report.findings if each.fate is Fate.STRIPPED] == [
        *("traceparent", "tracestate", "baggage", "large", "bye", "refer", "transfer"),
    ]
    assert (report.good, report.exit_code) == (False, 1)
    lost = "traceparent is stripped, baggage is stripped"
    assert report.verdict[0] == f"Not everything that is wanted gets through: {lost}."
    assert report.switch_on["trace"] == {"send": ["x-traceparent", "tracestate"]}
    assert report.switch_on["refer"] == "relay", "Refer-To is left alone"


def test_a_path_that_passes_x_names_alone_and_what_is_wanted_is_one_of_them() -> None:
    headers = ("traceparent", "tracestate", "baggage", "previous-trace-id", "otel-trace-id")
    _, report = probe(Path(strip(*headers)), wanted=["x-traceparent"])
    assert report.good
    assert report.switch_on["trace"] == {"send": ["x-traceparent", "tracestate"]}


def renamed(request: Request) -> None:
    value = request.headers.text("traceparent")
    if value is not None:
        request.headers.remove("traceparent")
        request.headers.add("X-Trace-Context", value)


def test_a_path_that_renames() -> None:
    _, report = probe(Path(renamed))
    assert found(report, "traceparent").fate is Fate.MOVED
    assert found(report, "traceparent").how == "to X-Trace-Context"
    assert not report.good
    assert report.switch_on["trace"]["aliases"] == ["X-Trace-Context"]


def recased(request: Request) -> None:
    lines = request.headers.lines
    lines[:] = ["Traceparent" + line[11:] if line.startswith("traceparent:") else line for line in lines]


def test_letters_of_a_name_do_no_harm() -> None:
    _, report = probe(Path(recased))
    assert found(report, "traceparent").fate is Fate.RECASED
    assert report.good


def with_a_trace_of_its_own(request: Request) -> None:
    if "traceparent" in request.headers:
        request.headers.set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


def test_a_path_with_a_trace_of_its_own() -> None:
    _, report = probe(Path(with_a_trace_of_its_own))
    assert found(report, "traceparent").fate is Fate.ALTERED
    assert "trace of its own" in found(report, "traceparent").how
    assert "b7ad6b7169203331" not in str(report.shape()), "what arrives is not quoted"


def with_a_span_of_its_own(request: Request) -> None:
    value = request.headers.text("traceparent")
    if value is not None:
        request.headers.set("traceparent", value[:36] + "b7ad6b7169203331" + value[52:])


def test_a_path_that_takes_part_in_the_trace() -> None:
    _, report = probe(Path(with_a_span_of_its_own))
    assert found(report, "traceparent").fate is Fate.CONTINUED
    assert report.good


# P-Asserted-Identity, and what stands in URIs


def identity(value: str) -> Change:
    def change(request: Request) -> None:
        was = request.headers.text("p-asserted-identity")
        if was is not None:
            trace = was.partition("traceparent=")[2].rstrip(">")
            request.headers.set("P-Asserted-Identity", value.format(trace))

    return change


@pytest.mark.parametrize(
    ("becomes", "fate", "how"),
    [
        ("<sip:alice@192.0.2.1>", Fate.STRIPPED, "the identity arrives without it"),
        ("<sip:alice@192.0.2.1>;traceparent={}", Fate.MOVED, "behind the brackets"),
        ("<sip:alice@192.0.2.1;traceparent=gone>", Fate.ALTERED, "another value"),
        ("<sip:a@h;traceparent={0}>, <tel:+441632960001;traceparent={0}>", Fate.ALTERED, "2 of them arrive"),
    ],
)
def test_the_parameter_in_an_identity(becomes: str, fate: Fate, how: str) -> None:
    _, report = probe(Path(identity(becomes)))
    assert found(report, "pai").fate is fate
    assert found(report, "pai").how.startswith(how)


def test_an_identity_that_an_untrusted_side_does_not_get() -> None:
    _, report = probe(Path(strip("p-asserted-identity")))
    assert found(report, "pai").fate is Fate.STRIPPED
    assert found(report, "pai").how == "no P-Asserted-Identity arrives"


def test_a_path_that_lets_only_the_identity_through() -> None:
    def change(request: Request) -> None:
        strip("traceparent", "tracestate", "baggage", "x-traceparent", "x-tracestate")(request)

    _, report = probe(Path(change), wanted=["pai"])
    assert report.good
    assert report.switch_on["trace"] == {"send": ["pai"], "read_pai": True}


def test_a_path_that_cuts_parameters_off_the_request_uri() -> None:
    def change(request: Request) -> None:
        request.uri = request.uri.partition(";")[0]

    _, report = probe(Path(change))
    assert found(report, "marker").fate is Fate.STRIPPED
    assert found(report, "refer-to-marker").fate is Fate.SURVIVED, "in Refer-To it is not the path's business"


# Transfers


def without_the_refer_to_headers(request: Request) -> None:
    value = request.headers.text("refer-to")
    if value is not None:
        request.headers.set("Refer-To", value.partition(";")[0].partition("?")[0].rstrip(">") + ">")


def test_a_path_that_cuts_refer_to_short() -> None:
    _, report = probe(Path(without_the_refer_to_headers))
    assert found(report, "refer-to").fate is Fate.STRIPPED
    assert found(report, "refer-to-marker").fate is Fate.STRIPPED
    assert report.switch_on["refer"] == "local"
    assert report.facts["refer"] == "relayed"


def elsewhere(request: Request) -> None:
    if "refer-to" in request.headers:
        request.headers.set("Refer-To", "<sip:+441632960960@expensive.example>")


def test_a_refer_that_was_turned_elsewhere_is_not_followed() -> None:
    path = Path(elsewhere)
    _, report = probe(path)
    assert path.requests.count("INVITE") == 6
    assert found(report, "transfer").how == "none comes back"
    assert "expensive" not in str(report.shape())
    assert report.switch_on["refer"] == "local"


@pytest.mark.parametrize("status", [403, 405, 501, 603])
def test_a_path_that_refuses_refer(status: int) -> None:
    _, report = probe(Path(answers=saying(status, only="REFER")))
    assert report.facts["refer"] == f"the path refuses REFER: {status}"
    assert report.switch_on["refer"] == "local"
    assert report.good, "what was wanted is the traceparent of the INVITE"


def test_a_path_that_accepts_refer_and_forgets_it() -> None:
    _, report = probe(Path(answers=saying(202, only="REFER")))
    assert report.facts["refer"] == "the path answers REFER itself, and no call comes of it"
    assert report.switch_on["refer"] == "local"


def placing(*, keeps: bool) -> Path:
    """A path that answers REFER itself, and places the new call."""

    def answers(request: Request) -> Sequence[bytes]:
        if request.method != "REFER":
            return []
        accepted = respond_to(request, 202, to_tag="path").encode()
        refer_to = request.headers.text("refer-to") or ""
        uri, _, headers = refer_to.strip("<>").partition("?")
        rows = (
            [pair.replace("=", ": ", 1).replace("%3B", ";") for pair in headers.split("&")] if keeps else []
        )
        invite = [
            f"INVITE {uri if keeps else uri.partition(';')[0]} SIP/2.0",
            "Via: SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bKnew;rport",
            "From: <sip:path@192.0.2.20>;tag=new",
            "To: <sip:probe@192.0.2.20:5060>",
            "Call-ID: new@192.0.2.20",
            "CSeq: 1 INVITE",
            "Max-Forwards: 70",
            "Contact: <sip:path@192.0.2.20:5060>",
            *rows,
        ]
        return [accepted, ("\r\n".join(invite) + "\r\n\r\n").encode()]

    return Path(answers=answers)


def test_a_path_that_places_the_new_call_with_all_that_refer_to_asks_for() -> None:
    _, report = probe(placing(keeps=True))
    assert report.facts["refer"] == "the path answers REFER itself, and places the new call"
    assert found(report, "refer-to").fate is Fate.SURVIVED
    assert found(report, "refer-to-marker").fate is Fate.SURVIVED
    assert found(report, "transfer").fate is Fate.SURVIVED
    assert report.switch_on["refer"] == "relay"


def test_a_path_that_places_the_new_call_without_anything() -> None:
    seen, report = probe(placing(keeps=False))
    assert seen.counts["strangers"] == 1
    assert report.facts["refer"].endswith("the call that comes of it bears no sign of it")
    assert report.switch_on["refer"] == "local"


def test_a_path_that_does_not_stay_in_its_calls() -> None:
    path = Path(strip("traceparent"), stays=False)
    _, report = probe(path)
    assert "REFER" not in path.requests
    assert "BYE" not in path.requests
    assert report.facts["refer"] == "goes past the path, which does not stay in its calls"
    assert found(report, "bye").fate is Fate.SURVIVED


# Paths that do not lead back


@pytest.mark.parametrize(
    ("path", "problem", "says"),
    [
        (Path(answers=saying(403)), "refused", "refuses the call: 403"),
        (Path(answers=saying(407)), "credentials", "asks for credentials (407)"),
        (Path(answers=saying(302)), "redirected", "redirects the call (302)"),
        (Path(answers=saying(482)), "loop", "round in circles until it is refused (482)"),
        (Path(answers=saying(483)), "loop", "round in circles until it is refused (483)"),
        (Path(answers=saying(100)), "half", "100 Trying, and then nothing more"),
        (Path(answers=saying(180)), "rings elsewhere", "It rings (180), but not here"),
        (Path(answers=saying(200)), "answered elsewhere", "answers the call itself"),
        (Path(answers=lambda _: [b"HTTP/1.1 400 Bad Request\r\n\r\n"]), "garbage", "is no SIP"),
        (Path(answers=lambda _: [b"\x00\xff" * 40]), "garbage", "is no SIP"),
        (Path(answers=lambda _: [b"SIP/2.0 200 OK\r\n\r\n"]), "garbage", "is no SIP"),
        (Path(answers=lambda _: [b"\r\n"]), "silent", "says nothing"),
    ],
)
def test_a_path_that_does_not_lead_back(path: Path, problem: str, says: str) -> None:
    seen, report = probe(path)
    assert report.problem == problem
    assert len(report.verdict) == 1
    assert says in report.verdict[0]
    assert report.exit_code == 1
    assert len(seen.calls) == 1, "no further call is made"
    assert report.findings == []


def test_somebody_else_who_answers_is_hung_up_on_at_once() -> None:
    path = Path(answers=saying(200))
    _, took = timed(path)
    assert path.requests == ["INVITE", "ACK", "BYE"]
    assert took <= 2.0


def test_a_telephone_that_rings_elsewhere_does_not_ring_on() -> None:
    path = Path(
        answers=lambda request: [respond_to(request, 180 if request.method == "INVITE" else 200).encode()]
    )
    _, took = timed(path)
    assert path.requests == ["INVITE", "CANCEL"]
    assert took <= 7.0


def test_an_answer_that_does_not_get_back() -> None:
    def replies(response: Response) -> Response | None:
        return (
            None if response.status == 200 and "INVITE" in (response.headers.text("cseq") or "") else response
        )

    path = Path(replies=replies)
    seen, report = probe(path)
    assert report.problem == "answer lost"
    assert len(seen.calls) == 1


def test_an_answer_that_becomes_an_error() -> None:
    def replies(response: Response) -> Response | None:
        if "INVITE" in (response.headers.text("cseq") or ""):
            response.status, response.reason = 488, "Not Acceptable Here"
        return response

    _, report = probe(Path(replies=replies))
    assert report.problem == "answer lost"
    assert "was told 488" in report.verdict[0]


def test_a_call_that_comes_three_times() -> None:
    _, report = probe(Path(copies=3))
    assert report.facts["arrivals"] == "3 of one call"
    assert "Each call comes 3 times: the path forks it, or goes in circles." in report.verdict
    assert report.good


def test_calls_that_are_not_answered_any_more_end_the_run() -> None:
    calls = 0

    def answers(request: Request) -> Sequence[bytes]:
        nonlocal calls
        calls += request.method == "INVITE"
        return [b"\r\n"] if calls > 2 else []

    seen, took = timed(Path(answers=answers))
    assert seen.untried == ["marker", "large"]
    assert took < 30.0


def test_a_path_that_refuses_one_kind_of_call() -> None:
    def answers(request: Request) -> Sequence[bytes]:
        return saying(400)(request) if "p-asserted-identity" in request.headers else []

    _, report = probe(Path(answers=answers))
    assert found(report, "pai").fate is Fate.REFUSED
    assert found(report, "pai").how == "400 to the whole INVITE"
    assert report.good


def test_a_path_that_refuses_a_parameter_in_the_request_uri() -> None:
    def answers(request: Request) -> Sequence[bytes]:
        return saying(404)(request) if "sipproxy-ref" in request.uri and request.method == "INVITE" else []

    _, report = probe(Path(answers=answers))
    assert found(report, "marker").fate is Fate.REFUSED
    assert report.switch_on["transfer_anchor"] is False


def test_a_path_that_needs_time_to_find_the_probe() -> None:
    tries = 0

    def answers(request: Request) -> Sequence[bytes]:
        nonlocal tries
        tries += request.method == "INVITE"
        return saying(503)(request) if tries < 4 else []

    seen, report = probe(Path(answers=answers), wait_s=10.0)
    assert report.good
    assert len([call for call in seen.calls if call.name == "first"]) == 1


def test_a_token_in_the_user_part() -> None:
    path = Path()
    seen, report = probe(path, target="sip:probe-{token}@192.0.2.20:5060")
    assert report.good
    first = seen.call("first")
    assert first is not None
    assert first.arrivals[0].uri == f"sip:probe-{first.secrets.token}@192.0.2.20:5060"
    assert report.switch_on["refer"] == "relay", "Refer-To has the token of the new call"


def test_a_target_that_is_the_probe_itself() -> None:
    path = Path()
    seen, _ = probe(path, target="sip:probe@192.0.2.10:5099")
    assert seen.straight
    assert path.requests == []


def test_a_name_that_leads_nowhere() -> None:
    _, report = probe(Path(), target="sip:probe@nowhere.invalid", listen=[("UDP", "192.0.2.10", 5099)])
    assert report.problem == "unresolved"
    assert report.exit_code == 1


JUNK = ("", "\x00", "<", "a" * 3000, "99999999999999999999", "<sip:\xff@>;tag=\xff")


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
@pytest.mark.parametrize("name", ["via", "from", "to", "call-id", "cseq", "contact", "record-route", None])
def test_half_an_answer_gives_a_verdict_all_the_same(name: str | None, junk: str) -> None:
    """A 200 with one header that is junk, or gone, or cut off in the middle."""

    def answers(request: Request) -> Sequence[bytes]:
        if request.method != "INVITE":
            return [b"\r\n"]
        response = respond_to(request, 200, to_tag="path")
        if name is None:
            return [response.encode()[: len(response.encode()) // (2 + len(junk) % 7)]]
        response.headers.add("Contact", f"<sip:path@{request.parsed_uri.host}>")
        response.headers.remove(name)
        if junk:
            response.headers.add_line(name, f"{name}: {junk}")
        return [response.encode()]

    seen, report = probe(Path(answers=answers))
    assert report.problem in ("answered elsewhere", "garbage", "silent")
    assert len(seen.calls) == 1


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
@pytest.mark.parametrize(
    "name",
    ["p-asserted-identity", "refer-to", "traceparent", "max-forwards", "session-id", "x-sipproxy-probe"],
)
def test_junk_in_a_header_gives_a_verdict_all_the_same(name: str, junk: str) -> None:
    def change(request: Request) -> None:
        if name in request.headers:
            request.headers.set(name, junk)

    _, report = probe(Path(change))
    assert report.verdict
    assert junk not in str(report.shape()) or len(junk) < 8
