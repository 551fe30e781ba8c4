"""The wire between phones and proxy: late, lossy, doubling and reordering, all from one seed.

Datagrams may be lost, doubled and overtaken. What a stream carries arrives once and in order, or it breaks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from sipproxy.sip.flow import UDP, join_host

from .world import World

Place = tuple[str, str, int]  # transport, host, port
Take = Callable[[bytes, Place, int], None]  # bytes, where they come from, the stream's number or 0


@dataclass(frozen=True, slots=True)
class Weather:
    """What the wire does to a datagram. Jitter beyond the latency is what reorders."""

    latency_s: float = 0.010
    jitter_s: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0


FAIR = Weather()


@dataclass(slots=True)
class Packet:
    """One message on the wire, as a ladder shows it."""

    at: float
    sender: str
    receiver: str
    data: bytes
    fate: str = ""  # "lost", "held", or empty


Rule = Callable[[Packet], str]  # "lost", "held", "twice", or "" for let it pass


class Network:
    """Everybody is bound to a place; who is not can be unreachable (and the sender learns it) or silent."""

    def __init__(self, world: World, weather: Weather, rng: Random) -> None:
        self.world = world
        self.weather = weather
        self.rng = rng
        self.log: list[Packet] = []
        self.rules: list[Rule] = []
        self.held: list[Callable[[], None]] = []
        self.unreachable: set[tuple[str, int]] = set()
        self.slowness: dict[str, float] = {}  # seconds that a member's messages take in addition
        self.streams: dict[int, tuple[Place, Place]] = {}
        self._members: dict[Place, tuple[str, Take]] = {}
        self._stream_free_at: dict[tuple[int, str], float] = {}
        self._streams_opened = 0

    def bind(self, name: str, place: Place, take: Take) -> None:
        """Receive what is sent to a place."""
        self._members[place] = (name, take)

    def name_of(self, place: Place) -> str:
        """Who is there."""
        found = self._members.get(place)
        return found[0] if found else join_host(place[1], place[2])

    # Datagrams

    def send(self, data: bytes, source: Place, target: Place) -> bool:
        """Send a datagram; False when the system would report that nobody is there."""
        if (target[1], target[2]) in self.unreachable:
            self._note(data, source, target, "lost")
            return False
        packet = self._note(data, source, target, "")
        if target not in self._members:
            packet.fate = "lost"
            return True
        fate = self._fate(packet)
        if fate == "lost" or (not fate and self.rng.random() < self.weather.loss):
            packet.fate = "lost"
            return True

        def deliver() -> None:
            self._members[target][1](data, source, 0)

        if fate == "held":
            packet.fate = "held"
            self.held.append(lambda: self.world.carry(self._delay(source), deliver))
            return True
        self.world.carry(self._delay(source), deliver)
        if fate == "twice" or self.rng.random() < self.weather.duplication:
            self.world.carry(self._delay(source), deliver)
        return True

    def release(self) -> None:
        """Let go on what was held, in the order of holding."""
        held, self.held = self.held, []
        for go in held:
            go()

    # Streams

    def connect(self, source: Place, target: Place) -> int:
        """Open a stream; 0 when nobody listens there."""
        if target not in self._members or (target[1], target[2]) in self.unreachable:
            return 0
        self._streams_opened += 1
        self.streams[self._streams_opened] = (source, target)
        return self._streams_opened

    def write(self, stream: int, data: bytes, source: Place) -> bool:
        """Send a message by a stream; False when it is gone."""
        ends = self.streams.get(stream)
        if ends is None:
            return False
        target = ends[1] if ends[0] == source else ends[0]
        packet = self._note(data, source, target, "")
        if self._fate(packet) == "lost":  # the stream broke under it
            packet.fate = "lost"
            self.cut(stream)
            return True
        way = (stream, join_host(target[1], target[2]))
        at = max(self._stream_free_at.get(way, 0.0), self.world.now + self._delay(source))
        self._stream_free_at[way] = at

        def deliver() -> None:
            if stream in self.streams:
                self._members[target][1](data, source, stream)

        self.world.carry(at - self.world.now, deliver)
        return True

    def cut(self, stream: int) -> None:
        """Break a stream: what it still carries is lost."""
        self.streams.pop(stream, None)

    def stream_to(self, place: Place) -> int:
        """The stream whose far end that is; 0 when there is none."""
        for number, ends in self.streams.items():
            if place in ends:
                return number
        return 0

    # Inside

    def _delay(self, source: Place) -> float:
        weather = self.weather
        slow = self.slowness.get(self.name_of(source), 0.0)
        jitter = self.rng.random() * weather.jitter_s if weather.jitter_s else 0.0
        return weather.latency_s + slow + jitter

    def _fate(self, packet: Packet) -> str:
        for rule in self.rules:
            fate = rule(packet)
            if fate:
                return fate
        return ""

    def _note(self, data: bytes, source: Place, target: Place, fate: str) -> Packet:
        packet = Packet(self.world.now, self.name_of(source), self.name_of(target), data, fate)
        self.log.append(packet)
        return packet


def is_stream(place: Place) -> bool:
    """Whether that place is spoken to by streams."""
    return place[0] != UDP
