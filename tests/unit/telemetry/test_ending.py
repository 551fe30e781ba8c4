"""What the end of a span says, and what counts as an error."""

from __future__ import annotations

import pytest

from tests.unit.telemetry.facts import Call
from tests.unit.telemetry.telling import Telling, names
from tests.unit.telemetry.transfers import Transfer


@pytest.fixture
def tell() -> Telling:
    return Telling()


@pytest.mark.parametrize(
    ("status", "error", "server", "client"),
    [
        (200, "", "", ""),
        (302, "", "", ""),
        (401, "", "", ""),
        (407, "", "", ""),
        (486, "", "", ""),
        (487, "", "", ""),
        (404, "", "", "404"),
        (488, "", "", "488"),
        (408, "timeout", "timeout", "timeout"),
        (500, "", "500", "500"),
        (503, "transport", "transport", "transport"),
        (503, "dns", "dns", "dns"),
        (600, "", "600", "600"),
        (0, "timeout", "timeout", "timeout"),
        (0, "transport", "transport", "transport"),
        (0, "", "", ""),
    ],
)
def test_what_counts_as_an_error(tell: Telling, status: int, error: str, server: str, client: str) -> None:
    call = Call()
    tell(call.arrives(), call.is_tried())
    for context in (call.attempt, call.root):
        tell(call.concludes(context, status, 1.0, error=error, settled=True))
    for kind, expected in (("SERVER", server), ("CLIENT", client)):
        span = tell.one("INVITE", kind)
        assert span.failed is (expected != "")
        assert span.attributes.get("error.type", "") == expected
        assert span.attributes.get("sip.response.status_code", 0) == status


@pytest.mark.parametrize(
    ("outcome", "status", "error", "shown"),
    [
        ("completed", 200, "", ""),
        ("completed", 0, "", ""),
        ("completed", 200, "timeout", ""),
        ("cancelled", 487, "", ""),
        ("cancelled", 0, "", ""),
        ("unknown", 0, "", ""),
        ("unknown", 0, "timeout", ""),
        ("refused", 401, "", ""),
        ("refused", 407, "", ""),
        ("refused", 403, "", "403"),
        ("refused", 603, "", "603"),
        ("refused", 503, "overload", "overload"),
        ("failed", 401, "", "401"),
        ("failed", 488, "", "488"),
        ("busy", 486, "", "486"),
        ("busy", 600, "", "600"),
        ("declined", 603, "", "603"),
        ("timeout", 408, "", "408"),
        ("timeout", 0, "timeout", "timeout"),
        ("unreachable", 480, "", "480"),
        ("unreachable", 0, "transport", "transport"),
        ("unreachable", 503, "dns", "dns"),
        ("failed", 0, "", "_OTHER"),
        ("failed", 999, "", "_OTHER"),
    ],
)
def test_which_transfers_are_errors(tell: Telling, outcome: str, status: int, error: str, shown: str) -> None:
    transfer = Transfer(Call())
    tell(transfer.call.arrives(), transfer.begins())
    tell(transfer.ends(outcome, 4.0, stage="failed", status=status, error=error))
    span = tell.one("transfer", "INTERNAL")
    assert span.failed is (shown != "")
    assert span.attributes.get("error.type", "") == shown
    assert span.attributes.get("sip.response.status_code", 0) == status
    assert span.attributes["sip.transfer.outcome"] == outcome
    assert names(span) == ["outcome"]


@pytest.mark.parametrize("source", ["", "reported"])
@pytest.mark.parametrize("stage", ["", "refused", "trying", "ringing", "answered", "abandoned", "expired"])
def test_what_is_not_known_of_a_transfer_is_left_out(tell: Telling, stage: str, source: str) -> None:
    transfer = Transfer(Call(), "attended", "relay")
    tell(transfer.call.arrives(), transfer.begins(), transfer.ends("unknown", stage=stage, source=source))
    attributes = tell.one("transfer", "INTERNAL").attributes
    assert (attributes["sip.transfer.kind"], attributes["sip.transfer.mode"]) == ("attended", "relay")
    assert attributes.get("sip.transfer.stage", "") == stage
    assert attributes.get("sip.transfer.outcome_source", "") == source


def test_a_failed_re_invite_is_an_error_of_the_transferee_alone(tell: Telling) -> None:
    transfer = Transfer(Call())
    tell.all(transfer.call.until_answered())
    tell(transfer.begins(), transfer.changes_transferee())
    tell(transfer.call.concludes(transfer.reinvite, 488, 5.1))
    tell(transfer.ends("failed", 5.2, stage="failed", status=488))
    failed = {(span.name, span.attributes["error.type"]) for span in tell.spans if span.failed}
    assert failed == {("re-INVITE", "488"), ("transfer", "488")}
