"""What the observer is owed: parcels as bytes, in order, until it has stored them; bounded.

    unsent ──► in flight ──► acknowledged: forgotten
       └────────────┘  the connection is lost

No more is in flight than `window`, nor more than half of the spans that may be owed: an observer that cannot
store gets no more than it can hold, and still hears how the worker fares. Beyond the bound the oldest unsent
messages go, then the oldest unsent spans. What is in flight stays: it will be stored, or become unsent again.
So what counts as dropped was never stored.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(slots=True)
class Owed:
    """One parcel."""

    number: int
    data: bytes  # its frame
    spans: int
    messages: int


class Backlog:
    """Parcels with messages are kept apart from those with spans, so that the former can go first."""

    def __init__(self, *, most_spans: int, most_bytes: int, window: int) -> None:
        self._most_spans = most_spans
        self._most_bytes = most_bytes
        self._window = window  # bytes
        self.spans = 0  # owed
        self.bytes = 0
        self.spans_dropped = 0
        self.messages_dropped = 0
        self._spans: deque[Owed] = deque()  # unsent
        self._messages: deque[Owed] = deque()  # unsent
        self._in_flight: deque[Owed] = deque()
        self._in_flight_bytes = self._in_flight_spans = 0

    def add(self, owed: Owed) -> None:
        """One more. `trim` sees to the bounds, once the socket had its chance."""
        (self._messages if owed.messages else self._spans).append(owed)
        self.bytes += len(owed.data)
        self.spans += owed.spans

    def next(self) -> bytes:
        """The oldest unsent one is under way from now on; nothing when none may go."""
        spans, messages = self._spans, self._messages
        if self._in_flight_bytes >= self._window or self._in_flight_spans >= self._most_spans // 2:
            return b""
        if spans and (not messages or spans[0].number < messages[0].number):
            owed = spans.popleft()
        elif messages:
            owed = messages.popleft()
        else:
            return b""
        self._in_flight.append(owed)
        self._in_flight_bytes += len(owed.data)
        self._in_flight_spans += owed.spans
        return owed.data

    @property
    def next_number(self) -> int:
        """Of the oldest unsent one; 0 when there is none."""
        return min((queue[0].number for queue in (self._spans, self._messages) if queue), default=0)

    def acknowledged(self, number: int) -> None:
        """All up to this number are stored."""
        in_flight = self._in_flight
        while in_flight and in_flight[0].number <= number:
            owed = in_flight.popleft()
            self._in_flight_bytes -= len(owed.data)
            self._in_flight_spans -= owed.spans
            self._forget(owed)

    def disconnected(self) -> None:
        """What was in flight may not have arrived: it is sent again, and the observer knows what it has."""
        while self._in_flight:
            owed = self._in_flight.pop()
            (self._messages if owed.messages else self._spans).appendleft(owed)
        self._in_flight_bytes = self._in_flight_spans = 0

    def trim(self) -> bool:
        """Back within the bounds. True: parcels with spans were dropped."""
        while self.bytes > self._most_bytes and self._messages:
            self._drop(self._messages.popleft())
        dropped = False
        while self._spans and (self.bytes > self._most_bytes or self.spans > self._most_spans):
            self._drop(self._spans.popleft())
            dropped = True
        return dropped

    def clear(self) -> None:
        """Nobody will take it any more: all of it is dropped."""
        self.disconnected()
        for queue in (self._spans, self._messages):
            while queue:
                self._drop(queue.popleft())

    @property
    def all_sent(self) -> bool:
        """Nothing waits for its turn."""
        return not (self._spans or self._messages)

    @property
    def relaxed(self) -> bool:
        """Less than half full."""
        return self.bytes < self._most_bytes // 2 and self.spans <= self._most_spans // 2

    def _drop(self, owed: Owed) -> None:
        self._forget(owed)
        self.spans_dropped += owed.spans
        self.messages_dropped += owed.messages

    def _forget(self, owed: Owed) -> None:
        self.bytes -= len(owed.data)
        self.spans -= owed.spans
