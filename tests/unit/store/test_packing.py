"""How spans and calls lie in the store, and that damage is noticed."""

from __future__ import annotations

from contextlib import suppress

import pytest

from sipproxy.store.dictionary import DICTIONARY
from sipproxy.store.live import LiveCalls
from sipproxy.store.packing import Packer, of_call, plain
from tests.unit.store.support import Worker
from tests.unit.telemetry.facts import Call

PACKER = Packer(DICTIONARY)


def test_spans_come_back_as_they_were(worker: Worker) -> None:
    call = Call(interaction_id="INT-\udcff7 ü", rtt_ms=1.5)
    records = worker.all(call.basic()).finished
    assert PACKER.spans(PACKER.pack(records)) == records
    assert PACKER.spans(plain(records)) == records


def test_calls_come_back_as_they_were(worker: Worker) -> None:
    (call,) = LiveCalls().take(worker.all(Call().basic())).ended
    assert PACKER.call(PACKER.pack(of_call(call))) == call


def test_what_a_later_version_added_to_a_call_is_passed_over(worker: Worker) -> None:
    (call,) = LiveCalls().take(worker.all(Call().basic())).ended
    assert PACKER.call(plain({**of_call(call), "unheard_of": [1]})) == call


def test_a_basic_call_takes_little_room(worker: Worker) -> None:
    assert len(PACKER.pack(worker.all(Call().basic()).finished)) < 700


def test_a_file_with_an_older_dictionary_is_read_with_that() -> None:
    older = Packer(b"sip.call_id")
    packed = older.pack(["sip.call_id"])
    assert older.unpack(packed) == ["sip.call_id"]
    with pytest.raises(ValueError, match=r"."):
        PACKER.unpack(packed)


@pytest.mark.parametrize("broken", [b"", b"x", b"[", b"{}", b"[1]", b"[[1]]", b"null"])
def test_damage_is_a_value_error(broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        PACKER.spans(broken)
    with pytest.raises(ValueError, match=r"."):
        PACKER.call(broken)


def test_each_damaged_byte_is_noticed_or_harmless(worker: Worker) -> None:
    records = worker.all(Call().basic()).finished
    packed = PACKER.pack(records)
    for position in range(len(packed)):
        damaged = bytearray(packed)
        damaged[position] ^= 0x55
        with suppress(ValueError):  # bits that fill up a byte say nothing
            assert PACKER.spans(bytes(damaged)) == records
    for length in range(len(packed)):
        with pytest.raises(ValueError, match=r"."):
            PACKER.spans(packed[:length])
