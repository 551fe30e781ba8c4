"""What the probe says of a path that does not lead back, and of half answers and junk."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sipproxy.probe.fates import Fate
from sipproxy.sip.build import respond_to
from sipproxy.sip.message import Request, Response

from .support import Path, found, probe, saying, timed


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
