"""Log lines: JSON, masked, with ids that can be searched for."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import structlog

from sipproxy.telemetry.logs import open_log
from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.settings import PrivacySettings
from tests.unit.telemetry.facts import CALLER

ID_LIKE_A_NUMBER = "00000000000000001234567890123456"


@pytest.fixture(autouse=True)
def _structlog_as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def line(capsys: pytest.CaptureFixture[str], **facts: object) -> dict[str, object]:
    masker = Masker(PrivacySettings())
    open_log(masker.mask_text, mask_id=masker.mask_id).info("event", **facts)
    read: dict[str, object] = json.loads(capsys.readouterr().err)
    return read


def test_numbers_are_masked_and_other_values_stay(capsys: pytest.CaptureFixture[str]) -> None:
    facts = line(capsys, reason=f"no route to {CALLER}", count=1234567)
    assert (facts["event"], facts["level"]) == ("event", "info")
    assert (facts["reason"], facts["count"]) == ("no route to ***34", 1234567)


def test_ids_of_a_trace_stay(capsys: pytest.CaptureFixture[str]) -> None:
    facts = line(capsys, trace_id=ID_LIKE_A_NUMBER, span_id=ID_LIKE_A_NUMBER[16:])
    assert (facts["trace_id"], facts["span_id"]) == (ID_LIKE_A_NUMBER, ID_LIKE_A_NUMBER[16:])


@pytest.mark.parametrize(
    ("call_id", "shown"),
    [
        ("1c71c6ae-90a1-4d10-9a0e-123456789012", "1c71c6ae-90a1-4d10-9a0e-123456789012"),
        (f"{CALLER}@192.0.2.1", "***34@192.0.2.1"),
    ],
)
def test_a_call_id_is_masked_as_it_is_on_spans(
    call_id: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line(capsys, call_id=call_id)["call_id"] == shown
