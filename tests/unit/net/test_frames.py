"""Frames come out as they went in, however the stream is cut; what is none of them ends it."""

from __future__ import annotations

import pytest

from sipproxy.net.frames import (
    ACK,
    COMMAND,
    END,
    HELLO,
    MOST_BYTES,
    PAGE,
    PARCEL,
    SETTLED,
    STATE,
    Frame,
    FrameError,
    FrameReader,
    frame,
)

KINDS = [HELLO, PARCEL, SETTLED, STATE, END, ACK, PAGE, COMMAND]
FRAMES = [Frame(kind, number, b"x" * number) for number, kind in enumerate(KINDS)]
STREAM = b"".join(frame(*each) for each in FRAMES)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 12, 13, 14, 20, 4096])
def test_frames_come_out_whole_however_the_stream_is_cut(size: int) -> None:
    reader, frames = FrameReader(), list[Frame]()
    for start in range(0, len(STREAM), size):
        frames += reader.feed(STREAM[start : start + size])
    assert frames == FRAMES


def test_the_highest_number_fits() -> None:
    assert [*FrameReader().feed(frame(ACK, 2**64 - 1))] == [Frame(ACK, 2**64 - 1, b"")]


def test_a_frame_on_the_wire() -> None:
    assert frame(PARCEL, 258, b"ab") == b"\0\0\0\x0bP\0\0\0\0\0\0\1\2ab"


def test_a_large_one_comes_in_pieces() -> None:
    reader, payload = FrameReader(), bytes(range(256)) * 8192
    whole = frame(PARCEL, 1, payload) + frame(END)
    assert [*reader.feed(whole[:1000])] == []
    assert [*reader.feed(whole[1000:-1])] == [Frame(PARCEL, 1, payload)]
    assert [*reader.feed(whole[-1:])] == [Frame(END, 0, b"")]


def test_nothing_comes_of_nothing() -> None:
    reader = FrameReader()
    assert [*reader.feed(b"")] == []
    assert [*reader.feed(frame(END)[:5])] == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"INVITE sip:alice@example.com SIP/2.0\r\n",
        b"\0\0\0\x09?\0\0\0\0\0\0\0\0",  # a kind that nobody knows
        b"\0\0\0\x08P\0\0\0\0\0\0\0\0",  # shorter than its own head
        b"\0\0\0\0P\0\0\0\0\0\0\0\0",
        (MOST_BYTES + 10).to_bytes(4) + b"P" + bytes(8),  # longer than anybody sends
        b"\xff" * 13,
    ],
)
def test_garbage_is_no_frame(garbage: bytes) -> None:
    frames: list[Frame] = []
    with pytest.raises(FrameError, match="no frame"):
        frames.extend(FrameReader().feed(frame(END) + garbage))
    assert frames == [Frame(END, 0, b"")]  # what came before it counts
