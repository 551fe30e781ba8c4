"""Who is recorded is OpenTelemetry's decision."""

from __future__ import annotations

import pytest

from sipproxy.propagation.context import TraceContext
from sipproxy.telemetry.sampling import sampler
from sipproxy.telemetry.settings import TracingSettings

LOW, HIGH = (
    "a" * 16 + "0" * 15 + "1",
    "a" * 16 + "f" * 16,
)  # by their last 64 bits, which is what the ratio looks at
YES, NO = (TraceContext(LOW, "b" * 16, flags, "vendor=1") for flags in (1, 0))


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_TRACES_SAMPLER", raising=False)
    monkeypatch.delenv("OTEL_TRACES_SAMPLER_ARG", raising=False)


@pytest.mark.parametrize("ratio", [None, 1.0])
def test_by_default_everything_is_recorded_except_what_the_parent_left_out(ratio: float | None) -> None:
    sample = sampler(TracingSettings(sample_ratio=ratio))
    assert sample(LOW, None)
    assert sample(HIGH, None)
    assert sample(HIGH, YES)
    assert not sample(LOW, NO)


def test_a_ratio_decides_by_the_trace_id_where_there_is_no_parent() -> None:
    sample = sampler(TracingSettings(sample_ratio=0.5))
    assert sample(LOW, None)
    assert not sample(HIGH, None)
    assert sample(HIGH, YES)
    assert not sample(LOW, NO)


def test_a_ratio_of_nothing_still_follows_the_parent() -> None:
    sample = sampler(TracingSettings(sample_ratio=0.0))
    assert not sample(LOW, None)
    assert sample(LOW, YES)


@pytest.mark.parametrize(
    ("name", "argument", "low", "high", "under_yes", "under_no"),
    [
        ("always_on", "", True, True, True, True),
        ("always_off", "", False, False, False, False),
        ("traceidratio", "0.5", True, False, True, True),
        ("parentbased_always_on", "", True, True, True, False),
        ("parentbased_always_off", "", False, False, True, False),
        ("parentbased_traceidratio", "0.5", True, False, True, False),
    ],
)
def test_the_variables_of_opentelemetry_hold_where_the_file_is_silent(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    argument: str,
    low: bool,
    high: bool,
    under_yes: bool,
    under_no: bool,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    sample = sampler(TracingSettings())
    assert [sample(LOW, None), sample(HIGH, None), sample(LOW, YES), sample(LOW, NO)] == [
        low,
        high,
        under_yes,
        under_no,
    ]


def test_the_file_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    assert sampler(TracingSettings(sample_ratio=1.0))(HIGH, None)
