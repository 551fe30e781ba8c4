"""One end of a stream of frames: bounded at a time, heard to its last word."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

from sipproxy.net.channel import Channel
from sipproxy.net.frames import ACK, END, MOST_BYTES, PARCEL, Frame, FrameError, FrameReader, frame
from tests.unit.net.support import DEADLINE_S, Run, turn


class End:
    """A channel, and the plain socket at its other end."""

    def __init__(self, *frames: bytes) -> None:
        ours, self.other = socket.socketpair()
        self.other.setblocking(False)
        self.frames = [*frames]
        self.received: list[Frame] = []
        self.refuses = False
        self.reasons: list[str] = []
        self.channel = Channel(ours, more=self._more, received=self._receive, lost=self.reasons.append)

    def _more(self) -> bytes:
        return self.frames.pop(0) if self.frames else b""

    def _receive(self, received: Frame) -> None:
        if self.refuses:
            raise FrameError("not like this")
        self.received.append(received)

    async def arrived(self, count: int) -> list[Frame]:
        reader, frames = FrameReader(), list[Frame]()
        async with asyncio.timeout(DEADLINE_S):
            while len(frames) < count:
                frames += reader.feed(await asyncio.get_running_loop().sock_recv(self.other, 1 << 20))
        return frames

    async def until(self, enough: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not enough():
                await turn()

    def closes(self) -> None:
        self.channel.close()
        self.other.close()


def test_frames_go_both_ways(run: Run) -> None:
    async def story() -> None:
        it = End(frame(PARCEL, 1, b"one"), frame(PARCEL, 2, b"two"))
        it.channel.send()
        assert await it.arrived(2) == [Frame(PARCEL, 1, b"one"), Frame(PARCEL, 2, b"two")]
        it.other.send(frame(ACK, 2))
        await it.until(lambda: it.received)
        assert it.received == [Frame(ACK, 2, b"")]
        it.closes()

    run(story())


def test_what_the_socket_does_not_take_waits_and_others_have_their_turn(run: Run) -> None:
    async def story() -> None:
        count = 200
        it = End(*(frame(PARCEL, number, bytes(100_000)) for number in range(count)))
        began = time.thread_time()
        it.channel.send()
        assert time.thread_time() - began < 0.02
        assert len(it.frames) > count / 2
        assert len(await it.arrived(count)) == count
        it.closes()

    run(story())


def test_a_frame_as_large_as_they_may_be_arrives_whole(run: Run) -> None:
    async def story() -> None:
        it = End(frame(PARCEL, 1, bytes(MOST_BYTES)))
        it.channel.send()
        (arrived,) = await it.arrived(1)
        assert len(arrived.payload) == MOST_BYTES
        it.closes()

    run(story())


def test_the_last_words_of_the_other_end_are_heard_also_when_it_hears_nothing_more(run: Run) -> None:
    async def story() -> None:
        it = End()
        it.other.send(frame(ACK, 7))
        it.other.close()
        it.frames.append(frame(END))
        it.channel.send()
        await it.until(lambda: not it.channel.is_open)
        assert (it.received, it.reasons) == ([Frame(ACK, 7, b"")], [""])
        it.channel.send()  # nobody is there
        it.channel.close()
        assert it.reasons == [""]

    run(story())


def test_draining_hears_what_has_come_and_lets_go(run: Run) -> None:
    async def story() -> None:
        it = End()
        it.other.send(frame(ACK, 7))
        it.channel.drain()
        assert (it.received, it.reasons) == ([Frame(ACK, 7, b"")], [""])
        it.other.close()

    run(story())


def test_garbage_and_what_the_listener_refuses_ends_it_with_a_reason(run: Run) -> None:
    async def story() -> None:
        for refuses, data, reason in ((False, b"x" * 13, "no frame"), (True, frame(END), "not like this")):
            it = End()
            it.refuses = refuses
            it.other.send(data)
            await it.until(lambda it=it: it.reasons)  # type: ignore[misc]  # bound early on purpose
            assert it.reasons[0].startswith(reason)
            it.other.close()

    run(story())
