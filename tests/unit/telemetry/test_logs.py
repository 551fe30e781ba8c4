"""Log lines: JSON, masked, with ids that can be searched for; and what writes them to stderr."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator

import pytest
import structlog

from sipproxy.telemetry.logs import LineWriter, is_written, open_log, set_level
from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.settings import PrivacySettings
from tests.unit.telemetry.facts import CALLER
from tests.unit.telemetry.sinks import DEADLINE_S

ID_LIKE_A_NUMBER = "00000000000000001234567890123456"
MEGABYTE = 1 << 20


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


# The level


def test_details_are_written_once_somebody_asks_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    log = open_log(str)
    log.debug("unasked")
    assert not is_written("debug")
    set_level("debug")
    log.debug("asked")
    assert is_written("debug")
    set_level("warning")
    log.info("too much")
    log.warning("a warning")
    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert events == ["asked", "a warning"]


def test_lines_are_masked_at_every_level(capsys: pytest.CaptureFixture[str]) -> None:
    log = open_log(Masker(PrivacySettings()).mask_text, "debug")
    log.debug("call began", sender=CALLER)
    set_level("error")
    log.error("internal error", error=CALLER)
    assert CALLER.lstrip("+") not in capsys.readouterr().err


@pytest.mark.parametrize("level", ["", "loud", "INFO", "notset", "critical"])
def test_what_is_no_level_changes_nothing(level: str) -> None:
    open_log(str)
    with pytest.raises(ValueError, match="none of debug, info, warning, error"):
        set_level(level)
    assert is_written("info")
    assert not is_written("debug")


# The writer: whoever reads stderr, or does not, the calls go on


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):  # a test may have closed it
            os.close(end)


def read_lines(descriptor: int, count: int) -> list[str]:
    """So many lines, as they come."""
    with open(descriptor, closefd=False) as stream:
        return [stream.readline().rstrip("\n") for _ in range(count)]


def test_lines_leave_in_order(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1])
    open_log(lambda text: text, writer=writer).info("one", number=1)
    writer.write("caf\u00e9 \udce9\n")
    writer.close(DEADLINE_S)
    first, second = read_lines(pipe[0], 2)
    assert json.loads(first)["event"] == "one"
    assert second == "caf\u00e9 \\udce9"
    assert writer.dropped == 0


def test_a_pipe_that_nobody_reads_blocks_nothing_and_what_it_costs_is_counted(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1])
    lines = [f"{number}:{'x' * 1000}" for number in range(5000)]
    for line in lines:
        writer.write(line + "\n")
    assert writer.dropped >= 5000 - 1000 - 100  # so many wait, and a pipe holds less than a hundred
    began = time.monotonic()
    writer.close(0.05)
    assert 0.04 < time.monotonic() - began < DEADLINE_S / 2
    dropped = writer.dropped
    read = read_lines(pipe[0], 5000 - dropped)
    assert read == [line for line in lines if line in {*read}]  # whole, and in order
    writer.write("heard again\n")
    assert read_lines(pipe[0], 1) == ["heard again"]
    writer.close(DEADLINE_S)
    assert writer.dropped == dropped


def test_lines_to_a_reader_that_is_gone_are_dropped(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    writer = LineWriter(pipe[1])
    for _ in range(3):
        writer.write("line\n")
    writer.close(DEADLINE_S)
    assert writer.dropped == 3


def test_lines_to_a_full_disk_are_dropped() -> None:
    with open("/dev/full", "wb") as full:
        writer = LineWriter(full.fileno())
        writer.write("line\n")
        writer.close(DEADLINE_S)
    assert writer.dropped == 1


def test_the_log_neither_blocks_nor_raises_without_a_reader(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    writer = LineWriter(pipe[1])
    log = open_log(lambda text: text, writer=writer)
    log.warning("cannot resolve", host="sbc.example")
    log.error("internal error")
    writer.close(DEADLINE_S)
    assert writer.dropped == 2


def test_what_is_left_of_a_log_that_nobody_read_are_whole_lines(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1])
    log = open_log(lambda text: text, writer=writer)
    for number in range(3000):
        log.info("event", number=number, padding="x" * 100)
    assert writer.dropped >= 1000
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, MEGABYTE)  # now there is room for all that waits
    writer.close(DEADLINE_S)
    text = os.read(pipe[0], MEGABYTE)
    assert text.endswith(b"\n")
    kept = [json.loads(line)["number"] for line in text.splitlines()]
    assert kept == sorted(kept)
    assert len(kept) == 3000 - writer.dropped


def test_closing_what_wrote_nothing_takes_no_time(pipe: tuple[int, int]) -> None:
    began = time.monotonic()
    LineWriter(pipe[1]).close(DEADLINE_S)
    assert time.monotonic() - began < DEADLINE_S / 2
