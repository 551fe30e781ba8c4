"""What the probe says of a path, for each thing that a path can do to a REFER."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sipproxy.probe.fates import Fate
from sipproxy.sip.build import respond_to
from sipproxy.sip.message import Request

from .support import Path, found, probe, saying, strip


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
